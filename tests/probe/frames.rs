//! Connections that are cut into frames: whatever the transfers and wherever they are cut, each frame's
//! head is captured and the inside of large payloads is not.
//!
//! Actor and test make the same bytes, by [`Stream`].

use std::io::Read;
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::AsRawFd;

use tracer::event::Direction::{self, Received, Sent};
use tracer::event::Role;
use tracer::probe::{Family, Options};
use tracer::protocol::Framing;

use crate::socket::{self, Pair, done, iovecs, read, write};
use crate::traps::Test;
use crate::watch::{Seen, watch_with};

/// The traps of this module.
pub const TESTS: &[(&str, Test)] = &[
    ("http2_frame_heads_in_large_writes_are_captured", |family| {
        large(family, Framing::Http2);
    }),
    ("message_heads_in_large_writes_are_captured", |family| {
        large(family, Framing::LengthPrefixed);
    }),
    ("http2_frame_heads_may_be_cut_anywhere", |family| {
        cut(family, Framing::Http2);
    }),
    ("message_heads_may_be_cut_anywhere", |family| {
        cut(family, Framing::LengthPrefixed);
    }),
    ("http2_frames_are_walked_from_midway", |family| {
        midway(family, Framing::Http2);
    }),
    ("messages_are_walked_from_midway", |family| {
        midway(family, Framing::LengthPrefixed);
    }),
    ("http2_met_midway_is_known_by_a_call", call),
    ("several_grpc_messages_in_a_frame_are_captured", several),
    ("garbage_among_frames_is_no_trap", garbage),
];

/// Frames behind each other.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    /// What must be captured: heads, and how payloads begin.
    wanted: Vec<Range<usize>>,
    /// Where frames begin.
    heads: Vec<usize>,
}

impl Stream {
    fn new(framing: Framing) -> Stream {
        let mut stream = Stream::default();
        if framing == Framing::Http2 {
            stream.add(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 0);
            stream.frame(SETTINGS, 0, 18);
        }
        stream
    }

    /// Bytes that stand for themselves.
    fn payload(&mut self, length: usize) {
        let from = self.bytes.len();
        self.bytes
            .extend((from..from + length).map(|i| (i % 251) as u8));
    }

    fn add(&mut self, head: &[u8], length: usize, wanted: usize) {
        let from = self.bytes.len();
        self.heads.push(from);
        self.bytes.extend_from_slice(head);
        self.payload(length);
        self.wanted.push(from..from + head.len() + wanted);
    }

    fn frame(&mut self, kind: u8, stream: u32, length: usize) {
        let mut head = (length as u32).to_be_bytes()[1..].to_vec();
        head.extend([kind, 0]);
        head.extend(stream.to_be_bytes());
        let all = kind != DATA || length <= 1024;
        self.add(&head, length, if all { length } else { 64 });
    }

    /// A DATA frame with as much of small gRPC messages as fits, of which `ahead` bytes of one that began
    /// before; returns what is still to come of the last.
    fn small_messages(&mut self, stream: u32, length: usize, ahead: usize) -> usize {
        const SMALL: usize = 300;
        self.frame(DATA, stream, length);
        let whole = self.wanted.pop().expect("the frame").start;
        let mut at = self.bytes.len() - length + ahead;
        let end = self.bytes.len();
        while at < end {
            let prefix = [0, 0, 0, (SMALL >> 8) as u8, SMALL as u8];
            let n = prefix.len().min(end - at);
            self.bytes[at..at + n].copy_from_slice(&prefix[..n]);
            at += prefix.len() + SMALL;
        }
        self.wanted.push(whole..end);
        at - end
    }

    /// A Thrift call, framed; `length` counts what follows its length.
    fn message(&mut self, length: usize) {
        let mut head = (length as u32).to_be_bytes().to_vec();
        head.extend([0x80, 1, 0, 1]);
        let rest = length - 4;
        self.add(&head, rest, rest.min(4000));
    }

    /// Some frames of all sizes, or messages.
    fn mixture(&mut self, framing: Framing, large: usize) {
        match framing {
            Framing::Http2 => {
                self.frame(HEADERS, 1, 30);
                self.frame(DATA, 1, large);
                self.frame(WINDOW_UPDATE, 0, 4);
                self.frame(DATA, 3, 100);
                self.frame(DATA, 3, 0);
                self.frame(HEADERS, 0x7fff_ffff, 300);
                self.frame(DATA, 1, large + 1000);
            }
            Framing::LengthPrefixed => {
                self.message(30);
                self.message(3 * large);
                self.message(4);
                self.message(300);
                self.message(4 * large + 1000);
            }
        }
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 4;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;

/// What the actor writes, and in which parts.
fn large_stream(framing: Framing) -> Stream {
    let mut stream = Stream::new(framing);
    while stream.bytes.len() < 1 << 20 {
        stream.mixture(framing, 16_384);
    }
    stream
}

/// What is seen of a connection that was quiet when we came: a call begins, with a large body.
fn call_stream() -> Stream {
    let mut stream = Stream::default();
    stream.add(&[0, 0, 40, HEADERS, END_HEADERS, 0, 0, 0, 7], 40, 40);
    while stream.bytes.len() < 1 << 20 {
        stream.mixture(Framing::Http2, 16_384);
    }
    stream
}

/// Streams of small messages in large frames, among large ones.
fn several_stream() -> Stream {
    let mut stream = Stream::new(Framing::Http2);
    let mut ahead = 0;
    for _ in 0..20 {
        stream.frame(HEADERS, 1, 30);
        ahead = stream.small_messages(1, 10_000, ahead);
        stream.frame(DATA, 3, 16_384);
    }
    stream
}

/// Each head cut at each of its bytes.
fn cut_stream(framing: Framing) -> (Stream, Vec<usize>) {
    let mut stream = Stream::new(framing);
    let mut cuts = vec![stream.bytes.len()];
    for offset in 0..=9 {
        let first = stream.heads.len();
        let mut i = first;
        stream.mixture(framing, 3000);
        let mixture = stream.heads.len() - first;
        while i < first + mixture {
            cuts.push(stream.heads[i] + offset);
            i += 1;
        }
    }
    cuts.dedup();
    (stream, cuts)
}

/// Small frames each way before the large ones.
fn midway_stream(framing: Framing) -> (Stream, usize) {
    let mut stream = Stream::default();
    for _ in 0..ROUNDS {
        small(&mut stream, framing);
    }
    let small = stream.bytes.len();
    while stream.bytes.len() < small + (1 << 20) {
        stream.mixture(framing, 16_384);
    }
    (stream, small / ROUNDS)
}

/// So many that the agent's word reaches the programs meanwhile.
const ROUNDS: usize = 20_000;

fn small(stream: &mut Stream, framing: Framing) {
    match framing {
        // Not what such a connection is known by.
        Framing::Http2 => stream.frame(PRIORITY, 1, 5),
        Framing::LengthPrefixed => stream.message(12),
    }
}

fn garbage_stream() -> (Stream, usize, usize) {
    let mut stream = Stream::new(Framing::Http2);
    let from = stream.bytes.len();
    stream.bytes.extend([0xff; 100_000]);
    let to = stream.bytes.len();
    stream.mixture(Framing::Http2, 16_384);
    (stream, from, to)
}

fn name(framing: Framing) -> &'static str {
    match framing {
        Framing::Http2 => "http2",
        Framing::LengthPrefixed => "messages",
    }
}

/// The acts. `argument` is the framing's [`name`].
pub fn act(name: &str, argument: &str) {
    let framing = if argument == "http2" {
        Framing::Http2
    } else {
        Framing::LengthPrefixed
    };
    let Pair {
        mut client,
        mut server,
    } = socket::tcp("127.0.0.1");
    match name {
        "frames_large" => {
            let bytes = large_stream(framing).bytes;
            let length = bytes.len();
            let reader = std::thread::spawn(move || read_in_turns(&mut server, length, &[65_536]));
            write(&mut client, &bytes);
            reader.join().expect("the reader");
        }
        "frames_several" | "frames_call" => {
            let bytes = match name {
                "frames_several" => several_stream().bytes,
                _ => call_stream().bytes,
            };
            let length = bytes.len();
            let reader = std::thread::spawn(move || read_in_turns(&mut server, length, &[65_536]));
            write(&mut client, &bytes);
            reader.join().expect("the reader");
        }
        "frames_cut" => {
            let (stream, cuts) = cut_stream(framing);
            let length = stream.bytes.len();
            let sizes = [1, 7, 9, 65_536, 100, 4096];
            let reader = std::thread::spawn(move || {
                // What a connection is shows in its first 8 bytes, if they come at once.
                read(&mut server, 8);
                read_in_turns(&mut server, length - 8, &sizes);
            });
            let mut parts = Vec::new();
            let mut from = 0;
            for to in cuts.into_iter().chain([length]) {
                parts.push(stream.bytes[from..to].to_vec());
                from = to;
            }
            // In turns one by one, and several at once.
            for parts in parts.chunks_mut(5) {
                let (single, several) = parts.split_at_mut(parts.len().min(2));
                for part in single {
                    write(&mut client, part);
                }
                let length: usize = several.iter().map(Vec::len).sum();
                let vector = iovecs(several);
                let count = vector.len() as i32;
                // SAFETY: iovecs over buffers of ours.
                let sent = unsafe { libc::writev(client.as_raw_fd(), vector.as_ptr(), count) };
                assert_eq!(done(sent), length);
            }
            reader.join().expect("the reader");
        }
        "frames_midway" => {
            let (stream, small) = midway_stream(framing);
            for i in 0..ROUNDS {
                let part = &stream.bytes[i * small..(i + 1) * small];
                write(&mut client, part);
                read(&mut server, small);
                write(&mut server, part);
                read(&mut client, small);
            }
            let large = &stream.bytes[ROUNDS * small..];
            let length = large.len();
            let reader = std::thread::spawn(move || read_in_turns(&mut server, length, &[65_536]));
            write(&mut client, large);
            reader.join().expect("the reader");
        }
        "frames_garbage" => {
            let (stream, from, to) = garbage_stream();
            let length = stream.bytes.len();
            let reader = std::thread::spawn(move || {
                read(&mut server, from);
                read_in_turns(&mut server, length - from, &[65_536]);
            });
            for part in [
                &stream.bytes[..from],
                &stream.bytes[from..to],
                &stream.bytes[to..],
            ] {
                write(&mut client, part);
            }
            reader.join().expect("the reader");
        }
        other => panic!("no act is called {other}"),
    }
}

fn read_in_turns(stream: &mut TcpStream, length: usize, sizes: &[usize]) {
    let mut left = length;
    for size in sizes.iter().cycle() {
        let mut buffer = vec![0; *size];
        left -= stream.read(&mut buffer).expect("read");
        if left == 0 {
            return;
        }
    }
}

fn watched(family: Family, act: &str, framing: Framing, ask: bool) -> (Seen, usize) {
    let options = Options::default();
    let seen = watch_with(
        family,
        act,
        Some(name(framing)),
        &options,
        |verdicts, piece| {
            if ask && !verdicts.frame.iter().any(|&(c, _)| c == piece.connection) {
                verdicts.frame.push((piece.connection, framing));
            }
        },
    );
    let client = usize::from(seen.connections[0].role != Role::Connected);
    (seen, client)
}

/// What was captured of a direction is right, all that must be was, and at most `most` bytes.
fn check(seen: &Seen, n: usize, direction: Direction, stream: &Stream, most: usize) {
    let mut position = 0;
    let mut captured = Vec::new();
    let pieces = seen.of(n, direction);
    for piece in &pieces {
        assert_eq!(piece.position, position, "{direction:?}");
        position += u64::from(piece.length);
        let from = piece.position as usize;
        let to = from + piece.length as usize;
        for range in [from..from + piece.head.len(), to - piece.tail.len()..to] {
            captured.push(range);
        }
        assert!(piece.head == stream.bytes[captured[captured.len() - 2].clone()]);
        assert!(piece.tail == stream.bytes[captured[captured.len() - 1].clone()]);
    }
    assert_eq!(position, stream.bytes.len() as u64, "{direction:?}");
    // Any send may begin a message.
    let mut sends = pieces.iter().filter(|p| p.direction == Sent);
    assert!(sends.all(|p| p.start_ns != 0 && p.start_ns <= p.end_ns));
    assert!(pieces.last().is_some_and(|p| p.last));
    let mut is_captured = vec![false; stream.bytes.len()];
    for range in captured {
        is_captured[range].fill(true);
    }
    for wanted in &stream.wanted {
        let missing = wanted.clone().find(|&i| !is_captured[i]);
        assert_eq!(missing, None, "{direction:?}, of {wanted:?}");
    }
    let copied = is_captured.iter().filter(|&&c| c).count();
    assert!(copied <= most, "{direction:?}: {copied} bytes copied");
}

fn large(family: Family, framing: Framing) {
    let (seen, client) = watched(family, "frames_large", framing, false);
    let stream = large_stream(framing);
    check(&seen, client, Sent, &stream, 100_000);
    check(&seen, 1 - client, Received, &stream, 200_000);
    assert_eq!(seen.counters.frames_lost, 0);
    // One write is one transfer, of a record per large frame.
    let sent = seen.of(client, Sent);
    assert_eq!(sent.iter().filter(|p| p.last).count(), 1);
    assert!(sent.len() < 120, "{} records", sent.len());
}

fn several(family: Family) {
    let (seen, client) = watched(family, "frames_several", Framing::Http2, false);
    let stream = several_stream();
    check(&seen, client, Sent, &stream, 300_000);
    assert_eq!(seen.counters.frames_lost, 0);
}

fn call(family: Family) {
    let (seen, client) = watched(family, "frames_call", Framing::Http2, false);
    let stream = call_stream();
    check(&seen, client, Sent, &stream, 100_000);
    check(&seen, 1 - client, Received, &stream, 200_000);
    assert_eq!(seen.counters.frames_lost, 0);
}

fn cut(family: Family, framing: Framing) {
    let (seen, client) = watched(family, "frames_cut", framing, false);
    let (stream, _) = cut_stream(framing);
    check(&seen, client, Sent, &stream, usize::MAX);
    check(&seen, 1 - client, Received, &stream, usize::MAX);
    assert_eq!(seen.counters.frames_lost, 0);
}

fn midway(family: Family, framing: Framing) {
    let (seen, client) = watched(family, "frames_midway", framing, true);
    let (stream, small) = midway_stream(framing);
    let most = ROUNDS * small + 200_000;
    check(&seen, client, Sent, &stream, most);
    check(&seen, 1 - client, Received, &stream, most);
    assert_eq!(seen.counters.frames_lost, 0);
}

fn garbage(family: Family) {
    let (seen, client) = watched(family, "frames_garbage", Framing::Http2, false);
    let (stream, from, to) = garbage_stream();
    check(&seen, client, Sent, &stream, 60_000);
    assert!(seen.counters.frames_lost >= 2);
    // Copied as on any connection: its begin and its end.
    let sent = seen.of(client, Sent);
    let of_garbage = sent
        .iter()
        .filter(|p| (from..to).contains(&(p.position as usize)));
    let of_garbage: Vec<_> = of_garbage.collect();
    assert_eq!(of_garbage.iter().filter(|p| p.last).count(), 1);
    assert_eq!(of_garbage.last().expect("some").tail.len(), 1024);
}
