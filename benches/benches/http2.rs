//! HTTP/2: what a call, a header block, and the bytes of DATA cost the parser.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tracer::protocol::http2::Http2;
use tracer::protocol::http2::hpack::Decoder;
use tracer::protocol::{Event, Input, Protocol, Side};

const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A call as grpc-go sends it: its first inserts what the later ones refer to.
const CALL: &[u8] = b"\x83\x86\x45\x0b/pkg.E/Echo\x41\x09127.0.0.1\x5f\x10application/grpc\
    \x7a\x07grpc-go\x40\x02te\x08trailers\
    \x40\x0btraceparent\x3700-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const CALL_AGAIN: &[u8] = b"\x83\x86\xc3\xc2\xc1\xc0\xbf\
    \x0f\x2f\x3700-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const ANSWER: &[u8] = b"\x88\x5f\x10application/grpc\x40\x0bgrpc-status\x010\x40\x0cgrpc-message\0";
const ANSWER_AGAIN: &[u8] = b"\x88\xc0";
const TRAILERS_AGAIN: &[u8] = b"\xbf\xbe";
const MESSAGE: &[u8] = b"\0\0\0\0\x20aaaaaaaabbbbbbbbccccccccdddddddd";

/// `:method: GET`, `:scheme: http`, `:path: /`; `:status: 200`.
const GET: &[u8] = b"\x82\x86\x84";
const OK: &[u8] = b"\x88";

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags, 0, 0, 0, 1]);
    bytes.extend(payload);
    bytes
}

/// Frames of one stream, whose number is written into them.
struct Frames {
    bytes: Vec<u8>,
    streams: Vec<usize>,
}

impl Frames {
    fn new(frames: &[Vec<u8>]) -> Frames {
        let mut streams = Vec::new();
        let mut at = 0;
        for frame in frames {
            streams.push(at + 5);
            at += frame.len();
        }
        Frames {
            bytes: frames.concat(),
            streams,
        }
    }

    fn on(&mut self, stream: u32) -> &[u8] {
        for &at in &self.streams {
            self.bytes[at..at + 4].copy_from_slice(&stream.to_be_bytes());
        }
        black_box(&self.bytes)
    }
}

/// A connection on which that call was made once.
fn connection(call: &[u8], answer: &[u8]) -> (Http2, Vec<Event>) {
    let (mut http, mut out) = (Http2::new(false), Vec::new());
    for (side, bytes) in [
        (Side::Request, OPENING),
        (Side::Response, SETTINGS),
        (Side::Request, &frame(1, END_STREAM | END_HEADERS, call)[..]),
        (
            Side::Response,
            &frame(1, END_STREAM | END_HEADERS, answer)[..],
        ),
    ] {
        http.push(side, Input::Bytes(bytes), &mut out);
    }
    out.clear();
    (http, out)
}

fn exchanges(c: &mut Criterion) {
    let mut group = c.benchmark_group("exchange");
    group.throughput(Throughput::Elements(1));
    let grpc = (
        connection(CALL, ANSWER),
        Frames::new(&[
            frame(1, END_HEADERS, CALL_AGAIN),
            frame(0, END_STREAM, MESSAGE),
        ]),
        Frames::new(&[
            frame(1, END_HEADERS, ANSWER_AGAIN),
            frame(0, 0, MESSAGE),
            frame(1, END_STREAM | END_HEADERS, TRAILERS_AGAIN),
        ]),
        9,
    );
    let short = (
        connection(GET, OK),
        Frames::new(&[frame(1, END_STREAM | END_HEADERS, GET)]),
        Frames::new(&[frame(1, END_STREAM | END_HEADERS, OK)]),
        6,
    );
    for (name, ((mut http, mut out), mut request, mut response, events)) in
        [("grpc", grpc), ("short", short)]
    {
        let mut stream = 1;
        group.bench_function(name, |b| {
            b.iter(|| {
                stream += 2;
                http.push(Side::Request, Input::Bytes(request.on(stream)), &mut out);
                http.push(Side::Request, Input::EndOfTransfer, &mut out);
                http.push(Side::Response, Input::Bytes(response.on(stream)), &mut out);
                http.push(Side::Response, Input::EndOfTransfer, &mut out);
                assert_eq!(out.len(), events);
                out.clear();
            });
        });
    }
    group.finish();
}

/// 16 KiB of DATA, a message of gRPC's in it.
fn data(c: &mut Criterion) {
    let mut group = c.benchmark_group("data");
    let (mut http, mut out) = connection(CALL, ANSWER);
    let mut open = frame(1, END_HEADERS, CALL_AGAIN);
    open[8] = 3;
    http.push(Side::Request, Input::Bytes(&open), &mut out);
    let mut bytes = frame(0, 0, &[0; 16_384]);
    bytes[8] = 3;
    bytes[9..14].copy_from_slice(&[0, 0, 0, 0x3f, 0xfb]);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for (name, seen) in [("seen", bytes.len()), ("skipped", 73)] {
        let skipped = (bytes.len() - seen) as u64;
        group.bench_function(name, |b| {
            b.iter(|| {
                let seen = Input::Bytes(black_box(&bytes[..seen]));
                http.push(Side::Request, seen, &mut out);
                if skipped > 0 {
                    http.push(Side::Request, Input::Skipped(skipped), &mut out);
                }
                out.clear();
            });
        });
    }
    group.finish();
}

fn blocks(c: &mut Criterion) {
    let mut group = c.benchmark_group("hpack");
    // `www.example.com` in Huffman code, as a field that is not indexed.
    let huffman = b"\x0f\x0d\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    for (name, block) in [("indexed", &b"\x82"[..]), ("huffman", huffman)] {
        let mut decoder = Decoder::new(false);
        let mut text = Vec::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                text.clear();
                decoder.begin();
                decoder
                    .field(&mut black_box(block), &mut text, true)
                    .is_ok()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exchanges, data, blocks);
criterion_main!(benches);
