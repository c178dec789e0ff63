//! Spans of a capture: pcap or pcapng, of what went over TCP.
//!
//! A capture knows no processes: who accepts at an address stands for one, and who connects from an
//! address for another. Both ends of each connection have their spans. The clock is the capture's.

mod packet;
mod reassembly;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
use sha2::{Digest, Sha256};

use self::packet::{NoSegment, segment};
use self::reassembly::{Counts, Party, Reassembly};
use crate::counters::Counters;
use crate::probe::KernelCounters;
use crate::resource::{self, Resource, Value};
use crate::span::Seed;
use crate::stations::{self, Outlets, Source, Stations};

/// Room for blocks of the file: the largest packet there is (256 KiB, by libpcap) several times over.
const ROOM: usize = 1 << 20;
/// Most that it may grow to for one block, such as one of names or secrets: more is no capture.
const MOST_ROOM: usize = 16 << 20;

/// Between two ticks, by the capture's clock. Ns.
const TICK: u64 = stations::TICK.as_nanos() as u64;
/// Between two looks for what was idle, likewise.
const SWEEP: u64 = stations::SWEEP.as_nanos() as u64;

/// Bytes at a file's begin of which its ids follow.
const SEEDED_BY: u64 = 64 * 1024;

/// Parties told apart; all others are one. As many processes as the tracker knows.
const MAX_PARTIES: usize = 32_768;

/// Most interfaces of a section.
const MAX_INTERFACES: usize = 4096;

/// A file that holds a capture.
pub struct Capture {
    path: PathBuf,
    blocks: Blocks,
    seed: Seed,
}

/// The file's blocks.
struct Blocks {
    reader: Box<dyn PcapReaderIterator + Send>,
    interfaces: Interfaces,
    room: usize,
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

/// The interfaces of a section.
#[derive(Default)]
struct Interfaces(Vec<Interface>);

struct Interface {
    link: i32,
    /// Units in a second.
    resolution: u64,
    /// Seconds to add.
    offset: i64,
}

/// A packet of a capture.
struct Packet {
    link: i32,
    /// Unix ns; none = not told.
    at: Option<u64>,
    bytes: Vec<u8>,
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
    pub fn open(path: &Path, mut file: File) -> io::Result<Capture> {
        let mut begin = Vec::new();
        (&mut file).take(SEEDED_BY).read_to_end(&mut begin)?;
        file.rewind()?;
        let reader = create_reader(ROOM, file);
        let reader = reader.map_err(|_| io::Error::other("not a capture that can be read"))?;
        Ok(Capture {
            path: path.to_owned(),
            blocks: Blocks {
                reader,
                interfaces: Interfaces::default(),
                room: ROOM,
            },
            seed: Sha256::digest(&begin).into(),
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
        let (tell, told) = channel();
        let describe = super::as_told(told, resource);
        let mut stations = Stations::new(outlets, 0, self.seed, describe, None);
        let mut clock = Clock::new();
        let mut parties = Parties::new(tell);
        let mut connections = Reassembly::new(move |party| parties.number(party));
        let mut read = Read::default();
        while let Some(packet) = self.blocks.packet(&mut read) {
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

/// What keeps a block from being read.
enum Trouble {
    /// There is none.
    End,
    /// More of the file is needed.
    More,
    /// It has no room.
    Room,
    /// It makes no sense, or the file ends within it.
    Cut,
}

impl Blocks {
    /// The next packet; none at the end, or where the file makes no sense any more.
    fn packet(&mut self, read: &mut Read) -> Option<Packet> {
        loop {
            let next = match self.reader.next() {
                Ok((length, block)) => Ok((length, self.interfaces.packet(&block))),
                Err(PcapError::Eof) => Err(Trouble::End),
                Err(PcapError::Incomplete(_)) => Err(Trouble::More),
                Err(PcapError::BufferTooSmall) => Err(Trouble::Room),
                Err(_) => Err(Trouble::Cut),
            };
            let trouble = match next {
                Ok((length, packet)) => {
                    self.reader.consume(length);
                    if packet.is_some() {
                        read.packets += 1;
                        return packet;
                    }
                    continue;
                }
                Err(trouble) => trouble,
            };
            let goes_on = match trouble {
                Trouble::End => return None,
                Trouble::More => self.refill(),
                Trouble::Room => self.grow(),
                Trouble::Cut => false,
            };
            if !goes_on {
                read.cut = true;
                return None;
            }
        }
    }

    /// Reads on. Whether there is anything to try again with.
    fn refill(&mut self) -> bool {
        let before = self.reader.data().len();
        if self.reader.refill().is_err() {
            return false;
        }
        self.reader.data().len() > before || self.reader.reader_exhausted() || self.grow()
    }

    fn grow(&mut self) -> bool {
        self.room *= 2;
        self.room <= MOST_ROOM && self.reader.grow(self.room) && self.reader.refill().is_ok()
    }
}

impl Interfaces {
    /// What a block says: of interfaces it is kept, a packet is given out.
    fn packet(&mut self, block: &PcapBlockOwned<'_>) -> Option<Packet> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let resolution = match header.is_nanosecond_precision() {
                    true => 1_000_000_000,
                    false => 1_000_000,
                };
                self.0 = vec![Interface {
                    link: header.network.0,
                    resolution,
                    offset: 0,
                }];
                None
            }
            PcapBlockOwned::Legacy(packet) => {
                let interface = self.0.first()?;
                let second = u64::from(packet.ts_sec) * interface.resolution;
                Some(Packet {
                    link: interface.link,
                    at: interface.unix_ns(second + u64::from(packet.ts_usec)),
                    bytes: packet.data.to_vec(),
                })
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.0.clear();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                if self.0.len() < MAX_INTERFACES {
                    self.0.push(Interface {
                        link: interface.linktype.0,
                        resolution: interface.ts_resolution().unwrap_or(1_000_000),
                        offset: interface.ts_offset(),
                    });
                }
                None
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = self.0.get(packet.if_id as usize)?;
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let there = packet.data.len().min(packet.caplen as usize);
                Some(Packet {
                    link: interface.link,
                    at: interface.unix_ns(units),
                    bytes: packet.data[..there].to_vec(),
                })
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let there = packet.data.len().min(packet.origlen as usize);
                Some(Packet {
                    link: self.0.first()?.link,
                    at: None,
                    bytes: packet.data[..there].to_vec(),
                })
            }
            PcapBlockOwned::NG(_) => None,
        }
    }
}

impl Interface {
    /// None: the file counts in units that make no sense.
    fn unix_ns(&self, units: u64) -> Option<u64> {
        let ns = u128::from(units) * 1_000_000_000;
        let ns = ns.checked_div(u128::from(self.resolution))?;
        let ns = i128::try_from(ns).ok()? + i128::from(self.offset) * 1_000_000_000;
        u64::try_from(ns).ok()
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
    tell: Sender<Resource>,
}

impl Parties {
    fn new(tell: Sender<Resource>) -> Parties {
        Parties {
            numbers: HashMap::default(),
            tell,
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
            // Who receives it lives as long as the stations.
            _ = self.tell.send(Resource {
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
            "{}: {} packets, {} connections",
            path.display(),
            self.packets,
            found.connections
        );
        let parts = [
            (found.repeated, "segments that came again"),
            (found.gaps, "gaps where segments are missing"),
            (found.missing, "bytes in them"),
            (found.evicted, "connections put out, as there were too many"),
            (self.others, "packets of other protocols"),
            (self.fragments, "fragments of IP packets not read"),
            (
                self.headers,
                "packets with headers that are cut or make no sense",
            ),
            (self.links, "packets of a link type that is not read"),
        ];
        for (count, what) in parts.iter().filter(|(count, _)| *count > 0) {
            _ = write!(text, "; {count} {what}");
        }
        log::info!("{text}");
        if self.cut {
            log::warn!("{} is cut or damaged: replayed up to there", path.display());
        }
    }
}
