//! Spans of a file: a recording (`--record`) goes through the stations once more, and so does a capture
//! ([`pcap`]).
//!
//! A recording is given to them as it was recorded, as fast as they and who takes their spans go; the clocks
//! are the recording's. So the spans are the same, ids included, and so are the lines of `-o json`.

pub mod pcap;

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use self::pcap::Capture;
use crate::counters::{Counters, KernelCounters};
use crate::record::{self, End, Input, Reader};
use crate::resource::{self, Resource};
use crate::stations::{Describe, Outlets, Source, Stations};

/// How long to wait where the endpoint, or the reader of standard output, does not keep up.
const PAUSE: Duration = Duration::from_millis(1);

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
    reader: Reader<BufReader<File>>,
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
        let mut file = File::open(path)?;
        // Reading a folder fails later, and says less.
        if file.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
        }
        let mut begin = Vec::new();
        (&mut file).take(4).read_to_end(&mut begin)?;
        file.rewind()?;
        if begin
            .first_chunk()
            .is_some_and(|begin| Capture::begins(*begin))
        {
            return Ok(Replay::Capture(Capture::open(path, file)?));
        }
        Ok(Replay::Recording(Recording {
            path: path.to_owned(),
            reader: Reader::new(BufReader::new(file))?,
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
        let (tell, told) = channel();
        let describe = as_told(told, resource);
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
                Ok(Input::Process(resource)) => {
                    // The stations, and what receives it, live as long as this.
                    _ = tell.send(resource);
                }
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
            log::warn!("{path} lacks {lost} events, which its writer had no time for");
        }
    }
}

fn unix(boot_ns: u64, to_unix: i64) -> u64 {
    boot_ns.saturating_add_signed(to_unix)
}

/// What processes are called, as was told before somebody asks, but for what the user says now.
fn as_told(told: Receiver<Resource>, options: resource::Options) -> Describe {
    let mut known: HashMap<u32, Resource> = HashMap::new();
    Box::new(move |pid| {
        known.extend(told.try_iter().map(|resource| (resource.pid, resource)));
        // What was told of it may be in a part that is lost.
        let resource = known.get(&pid).cloned().unwrap_or_else(|| Resource {
            pid,
            service_name: "unknown_service".to_owned(),
            attributes: Vec::new(),
            go: false,
        });
        Arc::new(resource.with(&options))
    })
}
