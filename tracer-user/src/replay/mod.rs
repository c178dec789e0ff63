//! Spans of a file: a recording (`--record`) goes through the stations once more, and so does a capture
//! ([`pcap`]).
//!
//! A recording is given to them as it was recorded, as fast as they and who takes their spans go; the clocks
//! are the recording's. So the spans are the same, ids included, and so are the lines of `-o json`.

pub mod pcap;

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use hashbrown::HashMap;

use self::pcap::Capture;
use crate::counters::{Counters, KernelCounters, counted};
use crate::record::{self, End, Input, Reader};
use crate::resource::{self, Resource};
use crate::stations::{Describe, Outlets, Source, Stations};

/// How long to wait where the endpoint, or the reader of standard output, does not keep up.
const PAUSE: Duration = Duration::from_millis(1);

/// The path that stands for standard input.
const STDIN: &str = "-";

/// What a file begins with that gzip has compressed (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Where bytes come from: a file, or a pipe, in which there is no going back.
type Bytes = Box<dyn Read + Send>;

/// A file that cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct Error {
    path: PathBuf,
    error: record::Error,
}

/// A file to be replayed.
pub enum Replay {
    /// A recording.
    Recording(Recording),
    /// A capture.
    Capture(Capture),
}

/// A recording to be replayed.
pub struct Recording {
    path: PathBuf,
    reader: Reader<BufReader<Bytes>>,
}

impl Replay {
    /// Opens it and reads what it is.
    ///
    /// # Errors
    /// It can't be read, or is none.
    pub fn open(path: &Path) -> Result<Replay, Error> {
        Replay::read(path).map_err(|error| Error {
            path: path.to_owned(),
            error,
        })
    }

    fn read(path: &Path) -> Result<Replay, record::Error> {
        let file: Bytes = match path == Path::new(STDIN) {
            true => Box::new(io::stdin()),
            false => Box::new(File::open(path)?),
        };
        let (mut begin, mut from) = begin(file)?;
        if begin.starts_with(&GZIP) {
            (begin, from) = self::begin(Box::new(MultiGzDecoder::new(from)))?;
        }
        let path = path.to_owned();
        if begin
            .first_chunk()
            .is_some_and(|begin| Capture::begins(*begin))
        {
            return Ok(Replay::Capture(Capture::open(path, from)?));
        }
        Ok(Replay::Recording(Recording {
            path,
            reader: Reader::new(BufReader::new(from))?,
        }))
    }

    /// Replays it, until it ends or `stopped` says so; then delivers what waits.
    pub fn run(
        self,
        outlets: Outlets,
        resource: resource::Options,
        stopped: impl FnMut() -> bool,
    ) -> Counters {
        match self {
            Replay::Recording(recording) => recording.run(outlets, resource, stopped),
            Replay::Capture(capture) => capture.run(outlets, resource, stopped),
        }
    }
}

/// The first four bytes, and all of them.
fn begin(mut from: Bytes) -> io::Result<(Vec<u8>, Bytes)> {
    let mut begin = Vec::new();
    (&mut from).take(4).read_to_end(&mut begin)?;
    Ok((begin.clone(), Box::new(Cursor::new(begin).chain(from))))
}

/// Waits while who takes the spans does not keep up. Whether it is over: nobody takes them, or `stopped`
/// says so.
fn held_up(stations: &Stations, stopped: &mut impl FnMut() -> bool) -> bool {
    while stations.are_behind() {
        if stations.are_deserted() || stopped() {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    stations.are_deserted() || stopped()
}

impl Recording {
    fn run(
        mut self,
        outlets: Outlets,
        resource: resource::Options,
        mut stopped: impl FnMut() -> bool,
    ) -> Counters {
        let header = self.reader.header();
        let told = Told::default();
        let describe = told.describe(resource);
        let mut to_unix = header.boot_to_unix;
        let mut stations = Stations::new(outlets, to_unix, header.seed, describe, None);
        let began = Instant::now();
        let mut boot_ns = 0;
        let mut kernel = KernelCounters::default();
        let mut lost = 0;
        let mut in_gap = false;
        let end = loop {
            match self.reader.input() {
                Ok(Input::Event(event)) => stations.event(&event),
                Ok(Input::Process(resource)) => told.tell(resource),
                Ok(Input::Told(since)) => {
                    stations.deliver(began + Duration::from_nanos(since));
                    stations.answer_readers(|| Source {
                        unix_ns: unix(boot_ns, to_unix),
                        ..Source::default()
                    });
                    if held_up(&stations, &mut stopped) {
                        break None;
                    }
                }
                Ok(Input::Clock {
                    boot_ns: now,
                    to_unix: offset,
                }) => {
                    (boot_ns, to_unix) = (now, offset);
                    stations.clock(boot_ns, to_unix);
                }
                Ok(Input::Swept) => stations.sweep(unix(boot_ns, to_unix)),
                Ok(Input::Gap(now)) => {
                    in_gap = now;
                    stations.gap(in_gap);
                }
                Ok(Input::Lost(events)) => {
                    lost += events;
                    stations.gap(true);
                    stations.gap(in_gap);
                }
                Ok(Input::Stopped(counters)) => kernel = counters,
                // For who reads the file.
                Ok(Input::Framed { .. } | Input::Ignored(_)) => {}
                Err(end) => break Some(end),
            }
            // Nobody is told.
            drop(stations.verdicts());
        };
        self.tell(end, lost);
        // Of what is not in the recording the kernel's side knew; here nobody does.
        kernel.transfers_seen = stations.delivered() + kernel.transfers_ring_full;
        stations.finish(&Source {
            kernel,
            unix_ns: unix(boot_ns, to_unix),
            ..Source::default()
        })
    }

    /// Says what is missing.
    fn tell(&self, end: Option<End>, lost: u64) {
        let path = self.path.display();
        match end {
            Some(End::Cut) => log::warn!("{path} is cut: replayed up to there"),
            Some(End::Damaged) => log::warn!("{path} is damaged: replayed up to there"),
            Some(End::Whole) | None => {}
        }
        if lost > 0 {
            let lost = counted(lost, "event");
            log::warn!("{path} lacks {lost} that its writer had no time for");
        }
    }
}

fn unix(boot_ns: u64, to_unix: i64) -> u64 {
    boot_ns.saturating_add_signed(to_unix)
}

/// What processes are called: told by who reads the file, before somebody asks. Beyond [`MOST_TOLD`], or
/// [`MOST_BYTES`], all that was told is forgotten.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    resources: HashMap<u32, Resource>,
    /// What they take in a recording.
    bytes: usize,
}

/// As many processes as the tracker knows.
const MOST_TOLD: usize = 32_768;
/// Some KB for each of them.
const MOST_BYTES: usize = 64 << 20;

impl Told {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, resource: Resource) {
        let mut known = self.known();
        let bytes = postcard::experimental::serialized_size(&resource).unwrap_or(MOST_BYTES);
        if known.resources.len() >= MOST_TOLD || known.bytes + bytes > MOST_BYTES {
            *known = Known::default();
        }
        known.bytes += bytes;
        known.resources.insert(resource.pid, resource);
    }

    /// Answers who asks, but for what the user says now.
    fn describe(&self, options: resource::Options) -> Describe {
        let told = self.clone();
        Box::new(move |pid| {
            let resource = told.known().resources.get(&pid).cloned();
            // What was told of it may be in a part that is lost.
            let resource = resource.unwrap_or_else(|| Resource {
                pid,
                service_name: "unknown_service".to_owned(),
                attributes: Vec::new(),
                go: false,
            });
            Arc::new(resource.with(&options))
        })
    }
}
