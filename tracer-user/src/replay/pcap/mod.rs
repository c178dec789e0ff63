//! Spans of a capture: pcap or pcapng, of what went over TCP.
//!
//! A capture knows no processes: who accepts at an address stands for one, and who connects from an
//! address for another. Both ends of each connection have their spans. The clock is the capture's.

mod packet;
mod packets;
mod reassembly;

use std::fmt::Write as _;
use std::io::{self, Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use self::packet::{NoSegment, segment};
use self::packets::Packets;
use self::reassembly::{Counts, Party, Reassembly};
use super::Told;
use crate::counters::{Counters, KernelCounters, counted};
use crate::resource::{self, Resource, Value};
use crate::span::Seed;
use crate::stations::{self, Outlets, Source, Stations};

/// Between two ticks, by the capture's clock. Ns.
const TICK: u64 = stations::TICK.as_nanos() as u64;
/// Between two looks for what was idle, likewise.
const SWEEP: u64 = stations::SWEEP.as_nanos() as u64;

/// Bytes at a file's begin of which its ids follow.
const SEEDED_BY: u64 = 64 * 1024;

/// Parties told apart; all others are one. As many processes as the tracker knows.
const MAX_PARTIES: usize = 32_768;

/// A file that holds a capture.
pub struct Capture {
    path: PathBuf,
    packets: Packets,
    seed: Seed,
}

/// What was read and what was not.
#[derive(Default)]
struct Read {
    packets: u64,
    links: u64,
    fragments: u64,
    headers: u64,
    others: u64,
    /// The file ends within a packet, or is damaged there.
    cut: bool,
}

impl Capture {
    /// Whether a file that begins so is one: both formats, both byte orders, micro- and nanoseconds.
    pub fn begins(bytes: [u8; 4]) -> bool {
        let magics = [0xa1b2_c3d4_u32, 0xa1b2_3c4d, 0x0a0d_0d0a];
        let number = u32::from_be_bytes(bytes);
        magics.contains(&number) || magics.contains(&number.swap_bytes())
    }

    /// Reads what it is. The same capture gives the same ids, each time.
    ///
    /// # Errors
    /// It can't be read, or is none.
    pub fn open(path: PathBuf, mut from: impl io::Read + Send + 'static) -> io::Result<Capture> {
        let mut begin = Vec::new();
        (&mut from).take(SEEDED_BY).read_to_end(&mut begin)?;
        Ok(Capture {
            path,
            seed: Sha256::digest(&begin).into(),
            packets: Packets::new(Cursor::new(begin).chain(from))?,
        })
    }

    /// Makes spans of it, until it ends or `stopped` says so; then delivers what waits, and says what was not
    /// read.
    pub fn run(
        mut self,
        outlets: Outlets,
        resource: resource::Options,
        mut stopped: impl FnMut() -> bool,
    ) -> Counters {
        let told = Told::default();
        let describe = told.describe(resource);
        let mut stations = Stations::new(outlets, 0, self.seed, describe, None);
        let mut clock = Clock::new();
        let mut parties = Parties::new(told);
        let mut connections = Reassembly::new(move |party| parties.number(party));
        let mut read = Read::default();
        for packet in self.packets.by_ref() {
            read.packets += 1;
            let at = clock.passes(packet.at, &mut stations);
            match segment(packet.link, &packet.bytes) {
                Ok(segment) => connections.segment(&segment, at, |event| stations.event(event)),
                Err(NoSegment::Link) => read.links += 1,
                Err(NoSegment::Fragment) => read.fragments += 1,
                Err(NoSegment::Headers) => read.headers += 1,
                Err(NoSegment::Other) => read.others += 1,
            }
            // Nobody is told.
            drop(stations.verdicts());
            if super::held_up(&stations, &mut stopped) {
                break;
            }
        }
        connections.finish(|event| stations.event(event));
        read.cut = self.packets.are_cut();
        read.tell(&self.path, &connections.counts());
        let kernel = KernelCounters {
            transfers_seen: stations.delivered(),
            ..KernelCounters::default()
        };
        stations.finish(&Source {
            kernel,
            unix_ns: clock.now,
            ..Source::default()
        })
    }
}

/// The capture's clock, and what is due by it.
struct Clock {
    began: Instant,
    /// The first packet's time, unix ns.
    first: Option<u64>,
    /// The latest one's.
    now: u64,
    ticked: u64,
    swept: u64,
}

impl Clock {
    fn new() -> Clock {
        Clock {
            began: Instant::now(),
            first: None,
            now: 0,
            ticked: 0,
            swept: 0,
        }
    }

    /// It is that late, or as late as before; what is due is done. Returns the time.
    fn passes(&mut self, at: Option<u64>, stations: &mut Stations) -> u64 {
        let at = at.unwrap_or(self.now);
        self.now = self.now.max(at);
        let first = *self.first.get_or_insert(self.now);
        if self.now - self.ticked >= TICK {
            self.ticked = self.now;
            stations.clock(self.now, 0);
            let since = Duration::from_nanos(self.now - first);
            stations.deliver(self.began + since);
        }
        if self.now - self.swept >= SWEEP {
            self.swept = self.now;
            stations.sweep(self.now);
        }
        at
    }
}

/// Who takes part, numbered like processes.
struct Parties {
    numbers: HashMap<Party, u32, foldhash::fast::RandomState>,
    told: Told,
}

impl Parties {
    fn new(told: Told) -> Parties {
        Parties {
            numbers: HashMap::default(),
            told,
        }
    }

    /// The party's number, the same each time; the first time it is told what it is called.
    fn number(&mut self, party: Party) -> u32 {
        let next = self.numbers.len() as u32 + 1;
        if next as usize > MAX_PARTIES && !self.numbers.contains_key(&party) {
            return next;
        }
        *self.numbers.entry(party).or_insert_with(|| {
            let (name, ip) = match party {
                Party::Server(address) => (address.to_string(), address.ip()),
                Party::Client(ip) => (ip.to_string(), ip),
            };
            self.told.tell(Resource {
                pid: next,
                service_name: name,
                attributes: vec![("host.ip".to_owned(), Value::List(vec![ip.to_string()]))],
                go: false,
            });
            next
        })
    }
}

impl Read {
    /// Says what was found, and what was not read.
    fn tell(&self, path: &Path, found: &Counts) {
        let mut text = format!(
            "{}: {}, {}",
            path.display(),
            counted(self.packets, "packet"),
            counted(found.connections, "connection")
        );
        let parts = [
            (found.repeated, "segment", "that came again"),
            (found.gaps, "gap", "where segments are missing"),
            (found.missing, "byte", "missing there"),
            (
                found.evicted,
                "connection",
                "put out, as there were too many",
            ),
            (self.others, "packet", "of other protocols"),
            (self.fragments, "fragment", "of IP packets not read"),
            (
                self.headers,
                "packet",
                "with headers that are cut or make no sense",
            ),
            (self.links, "packet", "of a link type that is not read"),
        ];
        for (count, what, which) in parts.iter().filter(|(count, ..)| *count > 0) {
            _ = write!(text, "; {} {which}", counted(*count, what));
        }
        log::info!("{text}");
        if self.cut {
            log::warn!("{} is cut or damaged: replayed up to there", path.display());
        }
    }
}
