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

/// Bits of a pcap's link type; above them stands whether frames have a check sequence.
const LINK: i32 = 0x03ff_ffff;

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
    /// Units in a second; 0: more than can be told.
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
                    link: header.network.0 & LINK,
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
                        resolution: resolution(interface.if_tsresol),
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

/// Units in a second, of a pcapng interface's `if_tsresol`: a power of 10, or with the upper bit set of 2.
/// (`pcap_parser` takes those of 2 for none.)
fn resolution(option: u8) -> u64 {
    let base: u64 = if option & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(u32::from(option & 0x7f)).unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Link type, time and bytes of a packet.
    type Read = (i32, Option<u64>, Vec<u8>);

    /// All of them, and whether they were cut.
    fn packets(file: Vec<u8>) -> (Vec<Read>, bool) {
        let mut packets = Packets::new(Cursor::new(file)).unwrap();
        let all = packets.by_ref();
        let all = all.map(|packet| (packet.link, packet.at, packet.bytes));
        (all.collect(), packets.are_cut())
    }

    /// Numbers of 32 bits, in one byte order or the other.
    fn words(big: bool, words: &[u32]) -> Vec<u8> {
        let bytes = words.iter().flat_map(|word| match big {
            true => word.to_be_bytes(),
            false => word.to_le_bytes(),
        });
        bytes.collect()
    }

    /// Two numbers of 16 bits that stand where one of 32 might.
    fn halves(big: bool, first: u32, second: u32) -> u32 {
        match big {
            true => first << 16 | second,
            false => second << 16 | first,
        }
    }

    /// Both byte orders, micro- and nanoseconds; what was cut by a snaplen has but that.
    #[test]
    fn pcap() {
        for big in [false, true] {
            for (magic, ns) in [(0xa1b2_c3d4, 5_000), (0xa1b2_3c4d, 5)] {
                let version = halves(big, 2, 4);
                // The link type's upper bits tell of the frames' check sequence.
                let head = [magic, version, 0, 0, 65535, 0x5400_0001];
                let packet = [1_700_000_000, 5, 4, 60];
                let mut file = [words(big, &head), words(big, &packet), b"abcd".to_vec()].concat();
                let wanted = vec![(1, Some(1_700_000_000_000_000_000 + ns), b"abcd".to_vec())];
                assert_eq!(packets(file.clone()), (wanted.clone(), false));
                file.extend(words(big, &packet));
                file.extend(b"ab");
                assert_eq!(packets(file), (wanted, true));
            }
        }
    }

    /// A block of pcapng: its type and length, what it holds, and its length.
    fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
        let length = body.len() as u32 + 12;
        let (head, tail) = (words(big, &[kind, length]), words(big, &[length]));
        [&head[..], body, &tail].concat()
    }

    fn section(big: bool) -> Vec<u8> {
        let body = [0x1a2b_3c4d, halves(big, 1, 0), u32::MAX, u32::MAX];
        block(big, 0x0a0d_0d0a, &words(big, &body))
    }

    /// An interface of that link type; `options`: each a code, a length and four bytes.
    fn interface(big: bool, link: u32, options: &[(u32, u32, [u8; 4])]) -> Vec<u8> {
        let mut body = words(big, &[halves(big, link, 0), 0]);
        for (code, length, value) in options {
            body.extend(words(big, &[halves(big, *code, *length)]));
            body.extend(value);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
        block(big, 1, &body)
    }

    fn packet(big: bool, interface: u32, units: u64, bytes: &[u8; 4]) -> Vec<u8> {
        let body = [interface, (units >> 32) as u32, units as u32, 4, 60];
        block(big, 6, &[&words(big, &body)[..], bytes].concat())
    }

    /// Each interface has its link type and its clock, and each section its interfaces and its byte order.
    #[test]
    fn pcapng() {
        const SECOND: u64 = 1_700_000_000;
        let mut file = Vec::new();
        let mut wanted = Vec::new();
        for big in [false, true, false] {
            file.extend(section(big));
            file.extend(interface(big, 1, &[]));
            // Nanoseconds; the 1024th part of a second.
            file.extend(interface(big, 101, &[(9, 1, [9, 0, 0, 0])]));
            file.extend(interface(big, 276, &[(9, 1, [0x8a, 0, 0, 0])]));
            // Names of addresses.
            file.extend(block(big, 4, &[0; 4]));
            file.extend(packet(big, 2, SECOND * 1024 + 512, b"half"));
            file.extend(packet(big, 0, SECOND * 1_000_000 + 7, b"micr"));
            file.extend(packet(big, 1, SECOND * 1_000_000_000 + 7, b"nano"));
            // Of an interface that there is not.
            file.extend(packet(big, 3, 0, b"none"));
            // A simple one, which tells no time.
            let simple = [&words(big, &[4])[..], b"simp"].concat();
            file.extend(block(big, 3, &simple));
            let unix = SECOND * 1_000_000_000;
            wanted.extend([
                (276, Some(unix + 500_000_000), b"half".to_vec()),
                (1, Some(unix + 7_000), b"micr".to_vec()),
                (101, Some(unix + 7), b"nano".to_vec()),
                (1, None, b"simp".to_vec()),
            ]);
        }
        assert_eq!(packets(file.clone()), (wanted.clone(), false));
        file.extend(&section(true)[..20]);
        assert_eq!(packets(file), (wanted, true));
    }

    /// Seconds to be added, also where that leaves nothing.
    #[test]
    fn an_interface_may_count_from_another_second() {
        for (offset, at) in [(100_i64, Some(101_000_000_000)), (-1, Some(0)), (-2, None)] {
            let interface = Interface {
                link: 1,
                resolution: 1_000_000,
                offset,
            };
            assert_eq!(interface.unix_ns(1_000_000), at, "{offset}");
        }
    }

    #[test]
    fn what_is_no_capture() {
        for bytes in [&b""[..], b"GET / HTTP/1.1\r\n", &[0xd4, 0xc3, 0xb2, 0xa1]] {
            assert!(Packets::new(bytes).is_err());
        }
    }
}
