//! A captured packet down to its TCP segment.
//!
//! Read are the link types that TCP is captured on in practice; fragments of IP packets are not put
//! together. A packet that was cut (snaplen) has fewer bytes than its length says.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// Link types (tcpdump.org/linktypes.html).
mod link {
    pub const NULL: i32 = 0;
    pub const ETHERNET: i32 = 1;
    pub const RAW: [i32; 5] = [12, 14, 101, 228, 229];
    pub const LOOP: i32 = 108;
    pub const SLL: i32 = 113;
    pub const SLL2: i32 = 276;
}

/// Bytes of the headers before the IP packet.
const NULL_HEADER: usize = 4;
const SLL_HEADER: usize = 16;
const SLL2_HEADER: usize = 20;

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Sequence number of its first byte; with `syn`, of that.
    pub sequence: u32,
    /// The next byte that its sender expects.
    pub acknowledged: Option<u32>,
    /// It opens a connection.
    pub syn: bool,
    /// It ends its direction.
    pub fin: bool,
    /// It ends the connection.
    pub reset: bool,
    /// What is there of its bytes.
    pub bytes: &'a [u8],
    /// How many it had.
    pub length: u32,
}

/// Why a packet has no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSegment {
    /// Its link type is not known.
    Link,
    /// It is of something else.
    Other,
    /// It is part of an IP packet only.
    Fragment,
    /// It was cut within its headers, or they make no sense.
    Headers,
}

/// The segment in a packet of that link type.
///
/// # Errors
/// There is none.
pub fn segment(link: i32, packet: &[u8]) -> Result<Segment<'_>, NoSegment> {
    let sliced = match link {
        link::ETHERNET => LaxSlicedPacket::from_ethernet(packet).map_err(|_| NoSegment::Headers)?,
        link::NULL | link::LOOP => ip(behind(packet, NULL_HEADER)?)?,
        link::SLL => typed(packet, 14, SLL_HEADER)?,
        link::SLL2 => typed(packet, 0, SLL2_HEADER)?,
        link if link::RAW.contains(&link) => ip(packet)?,
        _ => return Err(NoSegment::Link),
    };
    let (from, to, length): (IpAddr, IpAddr, usize) = match &sliced.net {
        Some(LaxNetSlice::Ipv4(v4)) => {
            let header = v4.header();
            // Of a packet that the card is to cut yet, it may be 0.
            let length = usize::from(header.total_len());
            let length = length.checked_sub(usize::from(header.ihl()) * 4);
            let there = v4.payload().payload.len();
            let length = length.unwrap_or(there);
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                length,
            )
        }
        Some(LaxNetSlice::Ipv6(v6)) => {
            let header = v6.header();
            let extensions = v6.extensions().slice().len();
            let there = v6.payload().payload.len();
            let length = usize::from(header.payload_length()).checked_sub(extensions);
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                length.unwrap_or(there),
            )
        }
        _ => return Err(NoSegment::Other),
    };
    let payload = sliced.net.as_ref().and_then(LaxNetSlice::ip_payload_ref);
    if payload.is_some_and(|payload| payload.fragmented) {
        return Err(NoSegment::Fragment);
    }
    let tcp = match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => tcp,
        Some(_) => return Err(NoSegment::Other),
        None if payload.is_some_and(|payload| payload.ip_number == etherparse::ip_number::TCP) => {
            return Err(NoSegment::Headers);
        }
        None => return Err(NoSegment::Other),
    };
    let bytes = tcp.payload();
    let length = length.saturating_sub(tcp.header_len()).max(bytes.len());
    Ok(Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        sequence: tcp.sequence_number(),
        acknowledged: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        reset: tcp.rst(),
        bytes,
        length: length as u32,
    })
}

fn behind(packet: &[u8], header: usize) -> Result<&[u8], NoSegment> {
    packet.get(header..).ok_or(NoSegment::Headers)
}

fn ip(packet: &[u8]) -> Result<LaxSlicedPacket<'_>, NoSegment> {
    LaxSlicedPacket::from_ip(packet).map_err(|_| NoSegment::Headers)
}

/// With the type of what follows the header in the header at that place.
fn typed(packet: &[u8], at: usize, header: usize) -> Result<LaxSlicedPacket<'_>, NoSegment> {
    let inner = behind(packet, header)?;
    let ether_type = u16::from_be_bytes([packet[at], packet[at + 1]]);
    Ok(LaxSlicedPacket::from_ether_type(
        EtherType(ether_type),
        inner,
    ))
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader, VlanId};

    use super::*;

    const BYTES: &[u8] = b"hello";

    fn tcp(mut tcp: PacketBuilderStep<TcpHeader>) -> Vec<u8> {
        tcp = tcp.psh().ack(7);
        let mut packet = Vec::new();
        tcp.write(&mut packet, BYTES).unwrap();
        packet
    }

    fn v4() -> Vec<u8> {
        let ip = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        tcp(ip.tcp(1000, 80, 5, 100))
    }

    fn v6() -> Vec<u8> {
        let mut one = [0; 16];
        one[15] = 1;
        tcp(PacketBuilder::ipv6(one, one, 64).tcp(1000, 80, 5, 100))
    }

    #[track_caller]
    fn is_read(link: i32, packet: &[u8], from: &str) {
        let segment = segment(link, packet).unwrap();
        assert_eq!(segment.from, from.parse().unwrap());
        assert_eq!((segment.sequence, segment.acknowledged), (5, Some(7)));
        assert_eq!((segment.bytes, segment.length), (BYTES, 5));
    }

    #[test]
    fn link_types() {
        let with = |header: &[u8], ip: Vec<u8>| [header, &ip].concat();
        let v4_from = "10.0.0.1:1000";
        let v6_from = "[::1]:1000";
        for raw in [12, 101, 228] {
            is_read(raw, &v4(), v4_from);
        }
        is_read(101, &v6(), v6_from);
        is_read(0, &with(&[2, 0, 0, 0], v4()), v4_from);
        is_read(0, &with(&[0, 0, 0, 2], v4()), v4_from);
        is_read(0, &with(&[30, 0, 0, 0], v6()), v6_from);
        is_read(108, &with(&[0, 0, 0, 2], v4()), v4_from);
        let sll = [[0; 14].as_slice(), &[8, 0]].concat();
        is_read(113, &with(&sll, v4()), v4_from);
        let sll2 = [[0x86, 0xdd].as_slice(), &[0; 18]].concat();
        is_read(276, &with(&sll2, v6()), v6_from);
        assert_eq!(segment(147, &v4()), Err(NoSegment::Link));
    }

    #[test]
    fn ethernet_with_tags_and_padding() {
        let ethernet = || PacketBuilder::ethernet2([1; 6], [2; 6]);
        let ip = |step: PacketBuilderStep<etherparse::Ethernet2Header>| {
            tcp(step
                .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
                .tcp(1000, 80, 5, 100))
        };
        let mut packet = ip(ethernet());
        packet.resize(packet.len().max(60), 0);
        is_read(1, &packet, "10.0.0.1:1000");
        let id = VlanId::try_new(5).unwrap();
        let tagged = ethernet().single_vlan(id).ipv4([10, 0, 0, 1], [1; 4], 1);
        is_read(1, &tcp(tagged.tcp(1000, 80, 5, 100)), "10.0.0.1:1000");
        let double = ethernet()
            .double_vlan(id, id)
            .ipv4([10, 0, 0, 1], [1; 4], 1);
        let mut double = tcp(double.tcp(1000, 80, 5, 100));
        is_read(1, &double, "10.0.0.1:1000");
        // As tagged before 802.1ad.
        double[12..14].copy_from_slice(&[0x91, 0]);
        is_read(1, &double, "10.0.0.1:1000");
    }

    #[test]
    fn headers_between_ip_and_tcp() {
        // Hop-by-hop and destination options, of 8 and 16 bytes; a fragment's that is the whole.
        let options = b"\x3c\0\x01\x04\0\0\0\0\x2c\x01\x01\x0c\0\0\0\0\0\0\0\0\0\0\0\0";
        let fragment = b"\x06\0\0\0\0\0\0\x07";
        let plain = v6();
        let mut packet = [&plain[..40], options, fragment, &plain[40..]].concat();
        let length = packet.len() as u16 - 40;
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        packet[6] = 0;
        is_read(101, &packet, "[::1]:1000");
        // More of it is to come.
        packet[40 + options.len() + 3] = 1;
        assert_eq!(segment(101, &packet), Err(NoSegment::Fragment));
        // IPv4 with options: no operation, four times.
        let plain = v4();
        let mut packet = [&plain[..20], &[1; 4], &plain[20..]].concat();
        packet[0] = 0x46;
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        is_read(101, &packet, "10.0.0.1:1000");
    }

    /// What the card is to cut into packets has no length yet, or none that fits.
    #[test]
    fn a_packet_before_it_is_cut_by_the_card() {
        let mut packet = v4();
        packet[2..4].fill(0);
        is_read(101, &packet, "10.0.0.1:1000");
        let mut packet = v6();
        packet[4..6].fill(0);
        is_read(101, &packet, "[::1]:1000");
    }

    #[test]
    fn cut_packets_say_how_much_they_had() {
        let packet = v4();
        let cut = segment(101, &packet[..packet.len() - 3]).unwrap();
        assert_eq!((cut.bytes, cut.length), (&b"he"[..], 5));
        assert_eq!(segment(101, &packet[..30]), Err(NoSegment::Headers));
        assert_eq!(segment(1, &packet[..5]), Err(NoSegment::Headers));
    }

    #[test]
    fn what_else_there_is() {
        let mut fragment = v4();
        fragment[6] |= 0x20;
        assert_eq!(segment(101, &fragment), Err(NoSegment::Fragment));
        let mut udp = Vec::new();
        let builder = PacketBuilder::ipv4([1; 4], [2; 4], 1).udp(1, 2);
        builder.write(&mut udp, b"x").unwrap();
        assert_eq!(segment(101, &udp), Err(NoSegment::Other));
        assert!(segment(101, b"").is_err());
    }
}
