//! What the fuzzers begin with, of all forms there are on the wire. Part of xtask, which writes it.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::bufread::DeflateDecoder;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x01\0\0\x10\0";

/// Writes the seeds, into a folder per target. `recordings`: where some are.
pub fn write_all(folder: &Path, recordings: &Path) -> std::io::Result<()> {
    let connections = [
        ("http1", http1()),
        ("http2", http2()),
        ("thrift", thrift()),
        ("ttheader", ttheader()),
    ];
    let all = connections.iter().flat_map(|(_, scripts)| scripts.clone());
    write(folder, "detect", all.collect())?;
    let tape = |form: u8| {
        (0..100)
            .map(|n: u8| form.wrapping_add(n.wrapping_mul(form | 37)))
            .collect()
    };
    write(folder, "pieces", (0..18).map(tape).collect())?;
    for (target, scripts) in connections {
        write(folder, target, scripts)?;
    }
    write(folder, "hpack", hpack())?;
    write(folder, "event", event())?;
    write(folder, "context", context())?;
    write(folder, "recording", recording(recordings)?)?;
    write(folder, "capture", capture(recordings)?)
}

fn write(folder: &Path, target: &str, seeds: Vec<Vec<u8>>) -> std::io::Result<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    for (n, seed) in seeds.into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{n}")), seed)?;
    }
    Ok(())
}

fn http1() -> Vec<Vec<u8>> {
    let get = "GET /a?b=1 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let post = "POST /p HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nT: 1\r\n\r\n";
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let upgrade = "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let agreed = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
    let frames = [SETTINGS, b"\0\0\x01\x01\x05\0\0\0\x01\x88"].concat();
    vec![
        Writer::new(false).ask(get).answer(chunked).ask(get).done(),
        Writer::new(false)
            .ask(get)
            .answer(long)
            .gap(1000, false)
            .done(),
        Writer::new(true)
            .answer("rest of a body")
            .ask(post)
            .answer("HTTP/1.1 100 Continue\r\n\r\n")
            .ask("hello")
            .answer("HTTP/1.0 304 Not Modified\r\n\r\n")
            .done(),
        Writer::new(false)
            .ask([get, post, get].concat())
            .gap(60, true)
            .answer(long)
            .done(),
        Writer::new(false)
            .ask("CONNECT a:1 HTTP/1.1\r\n\r\n")
            .answer("HTTP/1.1 403 No\r\n\r\n")
            .done(),
        Writer::new(false)
            .ask(upgrade)
            .answer([&agreed[..], &frames].concat())
            .ask([PREFACE, SETTINGS, b"\0\0\x03\x01\x05\0\0\0\x03\x82\x86\x84"].concat())
            .done(),
    ]
}

fn http2() -> Vec<Vec<u8>> {
    let open = [PREFACE, SETTINGS].concat();
    let get = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";
    let ok = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x05\0\x01\0\0\0\x01hello";
    // The fields are inserted, and come by their indices in the second call.
    let call = b"\0\0\x19\x01\x04\0\0\0\x01\x83\x86\x44\x02/7\x5f\x10application/grpc\
        \0\0\x08\0\x01\0\0\0\x01\0\0\0\0\x03abc";
    let again = b"\0\0\x04\x01\x05\0\0\0\x03\x83\x86\xbf\xbe";
    let answer = b"\0\0\x13\x01\x04\0\0\0\x01\x88\x5f\x10application/grpc\
        \0\0\x08\0\0\0\0\0\x01\0\0\0\0\x03abc\0\0\x0e\x01\x05\0\0\0\x01\x40\x0bgrpc-status\x010";
    let split =
        b"\0\0\x01\x01\x01\0\0\0\x05\x82\0\0\x01\x09\0\0\0\0\x05\x86\0\0\x01\x09\x04\0\0\0\x05\x84";
    let padded = b"\0\0\x0b\x01\x2d\0\0\0\x05\x02\0\0\0\0\x10\x82\x86\x84\0\0";
    let others = b"\0\0\x08\x06\0\0\0\0\0pingping\0\0\x04\x08\0\0\0\0\0\0\0\x10\0\
        \0\0\x05\x02\0\0\0\0\x01\0\0\0\0\x10\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
    let away = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0";
    let promise = b"\0\0\x07\x05\x04\0\0\0\x01\0\0\0\x02\x82\x86\x84";
    let large = b"\0\x27\x10\0\x01\0\0\0\x01\0\0\0\x27\x0b";
    vec![
        Writer::new(false)
            .answer(SETTINGS)
            .ask([&open[..], get].concat())
            .answer(ok)
            .done(),
        Writer::new(false)
            .ask([&open[..], call, again].concat())
            .answer([SETTINGS, answer].concat())
            .done(),
        Writer::new(false)
            .ask([&open[..], split, padded].concat())
            .answer([SETTINGS, promise, away].concat())
            .done(),
        Writer::new(false)
            .ask([&open[..], get, others].concat())
            .answer(ok)
            .done(),
        Writer::new(true)
            .ask([&others[..], again].concat())
            .answer(answer)
            .done(),
        Writer::new(false)
            .ask([&open[..], get].concat())
            .answer([SETTINGS, &ok[..10], large].concat())
            .gap(9995, false)
            .gap(50, true)
            .answer(ok)
            .done(),
    ]
}

/// A message in Thrift's strict binary protocol: `t` 1 call, 2 reply, 3 exception, 4 oneway.
fn binary(t: u8, sequence: u8) -> Vec<u8> {
    let mut message = vec![0x80, 1, 0, t];
    message.extend(b"\0\0\0\x04echo\0\0\0");
    message.push(sequence);
    // Field 1: a string; of an exception also field 2: its type.
    message.extend(b"\x0b\0\x01\0\0\0\x02hi");
    if t == 3 {
        message.extend(b"\x08\0\x02\0\0\0\x06");
    }
    message.push(0);
    message
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], message].concat()
}

fn protobuf(t: u8) -> Vec<u8> {
    framed(
        &[
            b"\x90\x01\0",
            &[t][..],
            b"\0\0\0\x04echo\0\0\0\x01\x0a\x02hi",
        ]
        .concat(),
    )
}

fn thrift() -> Vec<Vec<u8>> {
    let compact = |t: u8| [&[0x82, t << 5 | 1], &b"\x01\x04echo\x18\x02hi\0"[..]].concat();
    let old = |t: u8| {
        [
            b"\0\0\0\x04echo",
            &[t][..],
            b"\0\0\0\x01\x0b\0\x01\0\0\0\x02hi\0",
        ]
        .concat()
    };
    // The header protocol of Apache: length, magic, flags, sequence id, words, protocol and infos.
    let theader = |message: &[u8]| {
        let header = b"\x0f\xff\0\0\0\0\0\x01\0\x01\0\0\0\0";
        framed(&[header, message].concat())
    };
    let pair = |call: Vec<u8>, reply: Vec<u8>| Writer::new(false).ask(call).answer(reply).done();
    let mut seeds = vec![
        pair(binary(1, 1), binary(2, 1)),
        pair(
            [binary(1, 1), binary(4, 2), binary(1, 3)].concat(),
            [binary(3, 3), binary(2, 1)].concat(),
        ),
        pair(compact(1), compact(2)),
    ];
    // Bits 1 and 2 of the first byte: what the connection is known to carry.
    let mut known = |kind: u8, mut seed: Vec<u8>| {
        seed[0] |= kind << 1;
        seeds.push(seed);
    };
    known(2, pair(old(1), old(2)));
    known(3, pair(framed(&old(1)), framed(&old(3))));
    let frames = [
        pair(framed(&binary(1, 1)), framed(&binary(2, 1))),
        pair(framed(&compact(1)), framed(&compact(3))),
        pair(protobuf(1), protobuf(3)),
        pair(theader(&binary(1, 1)), theader(&binary(2, 1))),
        Writer::new(true)
            .answer("xyz")
            .ask(framed(&binary(1, 9)))
            .gap(40, true)
            .done(),
    ];
    for seed in frames {
        known(1, seed);
    }
    seeds
}

fn ttheader() -> Vec<Vec<u8>> {
    let header = |flags: u8, sequence: u8, protocol: u8, infos: &[u8], payload: &[u8]| {
        let mut words = [&[protocol, 0], infos].concat();
        words.resize(words.len().next_multiple_of(4), 0);
        let mut message = vec![
            0x10,
            0,
            0,
            flags,
            0,
            0,
            0,
            sequence,
            0,
            (words.len() / 4) as u8,
        ];
        message.extend(words);
        message.extend(payload);
        framed(&message)
    };
    let to = b"\x10\0\x02\0\x09\0\x04echo\0\x06\0\x03srv";
    let text = b"\x01\0\x01\0\x0bbiz-message\0\x02no";
    let frame = |kind: u8| {
        [
            b"\x10\0\x02\0\x1b\0\x01",
            &[b'0' + kind][..],
            b"\0\x09\0\x04echo",
        ]
        .concat()
    };
    let pair = |call: Vec<u8>, reply: Vec<u8>| Writer::new(false).ask(call).answer(reply).done();
    vec![
        pair(
            header(0, 1, 0, to, &binary(1, 1)),
            header(0, 1, 0, text, &binary(2, 1)),
        ),
        pair(
            header(0, 1, 0, to, &framed(&binary(1, 1))),
            header(0, 1, 0, text, &framed(&binary(3, 1))),
        ),
        pair(
            header(0, 1, 4, to, &protobuf(1)),
            header(0, 1, 4, b"", &protobuf(2)),
        ),
        pair(
            [
                header(2, 5, 0x10, &frame(2), b""),
                header(2, 5, 0x10, &frame(3), b"hi"),
            ]
            .concat(),
            [
                header(2, 5, 0x10, &frame(3), b"hi"),
                header(2, 5, 0x10, &frame(4), b""),
            ]
            .concat(),
        ),
        Writer::new(true)
            .ask("xyz")
            .ask(header(0, 1, 0, to, &binary(1, 1)))
            .gap(30, true)
            .done(),
    ]
}

fn hpack() -> Vec<Vec<u8>> {
    let blocks: [&[u8]; 4] = [
        b"\x82\x86\x84\x41\x0fwww.example.com\x40\x0acustom-key\x0ccustom-value",
        b"\x82\x87\x85\xbf\xbe\x10\x08password\x06secret\x04\x0c/sample/path",
        b"\x3f\xe1\x01\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
        b"\x20\x3f\xe1\x1f\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\xbe\xc0",
    ];
    let seed = |first: u8| {
        let blocks = blocks
            .iter()
            .map(|block| [&[block.len() as u8], *block].concat());
        [vec![first], blocks.collect::<Vec<_>>().concat()].concat()
    };
    vec![seed(0), seed(1), seed(7 << 1)]
}

fn event() -> Vec<Vec<u8>> {
    // A record of each kind, and of kinds there are not, with what the fields may hold.
    let record = |kind: u8| [vec![kind, 1], vec![1; 6], (0..120).collect()].concat();
    let mut seeds: Vec<Vec<u8>> = (0..8).map(record).collect();
    seeds.extend((0..8).map(|kind| [vec![kind], vec![0; 300]].concat()));
    seeds
}

/// Each as a file, and the first inputs of each.
fn recording(folder: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    for name in ["grpc", "http1-node", "kitex-ttheader", "thrift-header"] {
        let file = fs::read(folder.join(name).with_extension("rec"))?;
        let header = file.iter().position(|byte| *byte == b'\n');
        let stream = header.map_or(&[][..], |end| &file[end + 1..]);
        let mut inputs = Vec::new();
        DeflateDecoder::new(stream)
            .take(8192)
            .read_to_end(&mut inputs)?;
        // The first block's length and CRC go before.
        seeds.push([&[4], inputs.get(8..).unwrap_or_default()].concat());
        seeds.push([&[0], &file[..]].concat());
    }
    Ok(seeds)
}

/// A connection's packets, in order and not, behind each header that a packet may have; and a real one.
fn capture(folder: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    const CLIENT: bool = true;
    const SERVER: bool = false;
    let get = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    let (asked, answered) = (101 + get.len() as u32, 501 + ok.len() as u32);
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    const FIN: u8 = 17;
    let whole = [
        segment(CLIENT, SYN, 100, 0, b""),
        segment(SERVER, SYN | ACK, 500, 101, b""),
        segment(CLIENT, ACK, 101, 501, get),
        segment(SERVER, ACK, 501, asked, ok),
        segment(CLIENT, FIN, asked, answered, b""),
        segment(SERVER, FIN, answered, asked + 1, b""),
    ];
    // The answer's begin comes twice and late; of another connection nothing but the middle.
    let mixed = [
        segment(CLIENT, ACK, 101, 501, &get[..10]),
        segment(CLIENT, ACK, 111, 501, &get[10..]),
        segment(SERVER, ACK, 511, asked, &ok[10..]),
        segment(SERVER, ACK, 501, asked, &ok[..20]),
        segment(SERVER, ACK, 501, asked, &ok[..10]),
        segment(CLIENT, ACK, asked, answered + 50, b""),
        segment(SERVER, ACK, answered + 50, asked, ok),
        segment(CLIENT, ACK, asked, answered + 90, b""),
    ];
    let ethernet = [&[0; 12][..], &[0x81, 0, 0, 5, 8, 0]].concat();
    let linux = [&[0; 14][..], &[8, 0]].concat();
    let real = fs::read(folder.join("grpc-streams.pcapng"))?;
    Ok(vec![
        pcap(101, b"", &whole),
        pcap(101, b"", &mixed),
        pcap(1, &ethernet, &whole),
        pcap(113, &linux, &mixed),
        pcap(0, &[2, 0, 0, 0], &whole),
        real[..8192].to_vec(),
    ])
}

/// A TCP segment in an IPv4 packet.
fn segment(asks: bool, flags: u8, sequence: u32, acknowledged: u32, bytes: &[u8]) -> Vec<u8> {
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (ports, ends) = match asks {
        true => ([0xc0, 0, 0, 80], [client, server]),
        false => ([0, 80, 0xc0, 0], [server, client]),
    };
    let length = 40 + bytes.len() as u16;
    let mut packet = [[0x45, 0], length.to_be_bytes()].concat();
    packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend(ends.concat());
    packet.extend(ports);
    packet.extend(sequence.to_be_bytes());
    packet.extend(acknowledged.to_be_bytes());
    packet.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    packet.extend(bytes);
    packet
}

/// A file of packets, each behind a link type's header.
fn pcap(link: u32, header: &[u8], packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0x4_0000, link] {
        file.extend(u32::to_le_bytes(word));
    }
    for (at, packet) in packets.iter().enumerate() {
        let length = (header.len() + packet.len()) as u32;
        for word in [1_700_000_000, at as u32, length, length] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend(header);
        file.extend(packet);
    }
    file
}

/// Of each format one, by the names' places in the target.
fn context() -> Vec<Vec<u8>> {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let one =
        |name: u8, value: &str| [&[name, 0, value.len() as u8][..], value.as_bytes()].concat();
    let w3c = one(0, &format!("00-{trace}-{span}-01"));
    let b3 = one(2, &format!("{trace}-{span}-1-{span}"));
    vec![
        [&w3c[..], &one(1, "a=1,b@c=2")].concat(),
        [w3c, b3].concat(),
        [
            one(3, trace),
            one(4, span),
            one(5, span),
            one(6, "1"),
            one(7, "1"),
        ]
        .concat(),
        [one(8, "4bf9%3Af067:0:1"), one(9, "x")].concat(),
        [one(10, "4bf9"), one(11, span), one(12, "true")].concat(),
        [one(13, &trace[16..]), one(14, "0.1.2")].concat(),
        one(15, "4bf9:f067:0:1:s-1"),
        one(
            16,
            "Self=1-5759e988-bd862e3fe1be46a994272793;Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=?",
        ),
        [
            one(17, "1234567890123456789"),
            one(18, "987654321"),
            one(19, "-1"),
            one(20, "_dd.p.dm=-1,_dd.p.tid=640cfd8d00000000"),
        ]
        .concat(),
        one(21, "1-dHJhY2U=-c2VnbWVudA==-3-YQ==-YQ==-YQ==-YQ=="),
        one(22, "AABL+S81d7NNpqPOkp0ADkc2ATTwZ6oLqQK3AgE="),
        one(
            23,
            "S/kvNXezTaajzpKdDg5HNgDwZ6oLqQK3AAAAAAAAAAABAAAAAQAAAAFhAAAAAWI=",
        ),
    ]
}

/// Writes a script, as `src/script.rs` reads it.
struct Writer(Vec<u8>);

impl Writer {
    /// One without acts.
    fn new(midway: bool) -> Writer {
        Writer(vec![u8::from(midway)])
    }

    /// A transfer of the client's.
    fn ask(self, bytes: impl AsRef<[u8]>) -> Writer {
        self.transfer(0, bytes.as_ref())
    }

    /// A transfer of the server's.
    fn answer(self, bytes: impl AsRef<[u8]>) -> Writer {
        self.transfer(1, bytes.as_ref())
    }

    /// Bytes of the server's that were not captured (or, `lost`, whose event was not).
    fn gap(mut self, n: u16, lost: bool) -> Writer {
        self.0.push(if lost { 5 << 1 | 1 } else { 3 << 1 | 1 });
        self.0.extend(n.to_le_bytes());
        self
    }

    /// The script.
    fn done(self) -> Vec<u8> {
        self.0
    }

    fn transfer(mut self, side: u8, bytes: &[u8]) -> Writer {
        self.0.push(7 << 1 | side);
        self.0.extend((bytes.len() as u16).to_le_bytes());
        self.0.extend(bytes);
        self
    }
}
