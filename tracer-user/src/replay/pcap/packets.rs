//! The packets of a capture file, pcap or pcapng, one by one.
//!
//! Memory is that of a block, [`MOST_ROOM`] at most, whatever the file says. Blocks that hold no packet are
//! passed over, and what makes no sense ends the file there.

use std::io::{self, Read};

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

/// Room for blocks of the file: the largest packet there is (256 KiB, by libpcap) several times over.
const ROOM: usize = 1 << 20;
/// Most that it may grow to for one block, such as one of names or secrets: more is no capture.
const MOST_ROOM: usize = 16 << 20;

/// Most interfaces of a section.
const MAX_INTERFACES: usize = 4096;

/// Reads a file's packets.
pub struct Packets {
    reader: Box<dyn PcapReaderIterator + Send>,
    interfaces: Interfaces,
    room: usize,
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
pub struct Packet {
    /// Its link type (tcpdump.org/linktypes.html).
    pub link: i32,
    /// Unix ns; none = not told.
    pub at: Option<u64>,
    /// What is there of it.
    pub bytes: Vec<u8>,
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

impl Packets {
    /// Reads what it is.
    ///
    /// # Errors
    /// It can't be read, or is no capture.
    pub fn new(from: impl Read + Send + 'static) -> io::Result<Packets> {
        let reader = create_reader(ROOM, from);
        let reader = reader.map_err(|_| io::Error::other("not a capture that can be read"))?;
        Ok(Packets {
            reader,
            interfaces: Interfaces::default(),
            room: ROOM,
            cut: false,
        })
    }

    /// Whether they ended within a packet, or where the file is damaged.
    pub fn are_cut(&self) -> bool {
        self.cut
    }
}

impl Iterator for Packets {
    type Item = Packet;

    /// The next packet; none at the end, or where the file makes no sense any more.
    fn next(&mut self) -> Option<Packet> {
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
                self.cut = true;
                return None;
            }
        }
    }
}

impl Packets {
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
