//! Thrift and TTHeader: what a small exchange costs the parser, and how fast contents pass.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tracer::protocol::thrift::Thrift;
use tracer::protocol::{Event, Input, Protocol, Side};

/// A message in strict binary: `0b 00 01` and a text of 8 bytes.
fn message(kind: u8) -> Vec<u8> {
    let mut bytes = vec![0x80, 0x01, 0x00, kind];
    bytes.extend(b"\x00\x00\x00\x08getOrder\x00\x00\x00\x07");
    bytes.extend([0x0b, 0x00, kind - 1]);
    bytes.extend(b"\x00\x00\x00\x0812345678\x00");
    bytes
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// With the infos that Kitex sends, and a trace context.
fn ttheader(kind: u8) -> Vec<u8> {
    let mut words = vec![0, 0];
    let text = |words: &mut Vec<u8>, text: &str| {
        words.extend((text.len() as u16).to_be_bytes());
        words.extend(text.bytes());
    };
    let texts = [
        ("isn", "OrderService"),
        (
            "RPC_TRANSIT_traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ];
    let numbers = [
        (3, "gateway"),
        (6, "shop.order"),
        (9, "getOrder"),
        (22, "1"),
        (1, "framed"),
        (12, "20000"),
    ];
    if kind == 1 {
        words.extend([0x01, 0, texts.len() as u8]);
        for (key, value) in texts {
            text(&mut words, key);
            text(&mut words, value);
        }
        words.extend([0x10, 0, numbers.len() as u8]);
        for (key, value) in numbers {
            words.extend((key as u16).to_be_bytes());
            text(&mut words, value);
        }
    } else {
        words.extend([0x10, 0, 1, 0, 22, 0, 1, b'2']);
    }
    words.resize(words.len().next_multiple_of(4), 0);
    let mut bytes = b"\x10\x00\x00\x00\x00\x00\x00\x07".to_vec();
    bytes.extend((words.len() as u16 / 4).to_be_bytes());
    bytes.extend(words);
    bytes.extend(framed(&message(kind)));
    framed(&bytes)
}

fn exchange(thrift: &mut Thrift, messages: &(Vec<u8>, Vec<u8>), out: &mut Vec<Event>) {
    for (side, message) in [(Side::Request, &messages.0), (Side::Response, &messages.1)] {
        thrift.push(side, Input::Bytes(black_box(message)), out);
        thrift.push(side, Input::EndOfTransfer, out);
    }
}

/// Two messages each.
fn exchanges(c: &mut Criterion) {
    let mut group = c.benchmark_group("thrift exchange");
    group.throughput(Throughput::Elements(2));
    let both = |wrap: &dyn Fn(u8) -> Vec<u8>| (wrap(1), wrap(2));
    for (name, mut thrift, messages) in [
        ("bare", Thrift::bare(false), both(&message)),
        (
            "framed",
            Thrift::framed(false),
            both(&|kind| framed(&message(kind))),
        ),
        ("ttheader", Thrift::ttheader(false), both(&ttheader)),
    ] {
        let mut out = Vec::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                exchange(&mut thrift, &messages, &mut out);
                assert_eq!(out.len(), 6);
                out.clear();
            });
        });
    }
    group.finish();
}

/// A megabyte behind a head, of which the kernel side copied 16 KiB; and all of it captured.
fn contents(c: &mut Criterion) {
    const LENGTH: usize = 1_000_000;
    let mut group = c.benchmark_group("thrift content");
    group.throughput(Throughput::Bytes(LENGTH as u64));
    let mut text = message(1)[..23].to_vec();
    text.extend((LENGTH as u32).to_be_bytes());
    text.resize(text.len() + LENGTH, b'x');
    text.push(0);
    // A list of structs with a text of 20 bytes and a number.
    let mut list = message(1)[..20].to_vec();
    list.extend(b"\x0f\x00\x01\x0c");
    let item = b"\x0b\x00\x01\x00\x00\x00\x14xxxxxxxxxxxxxxxxxxxx\x08\x00\x02\x00\x00\x00\x07\x00";
    let count = LENGTH / item.len();
    list.extend((count as u32).to_be_bytes());
    list.extend(item.repeat(count));
    list.push(0);
    let mut out = Vec::new();
    let mut thrift = Thrift::bare(false);
    let reply = message(2);
    let mut run = |name: &str, inputs: &[Input<'_>]| {
        group.bench_function(name, |b| {
            b.iter(|| {
                for input in inputs {
                    thrift.push(Side::Request, *black_box(input), &mut out);
                }
                thrift.push(Side::Response, Input::Bytes(&reply), &mut out);
                assert_eq!(out.len(), 6);
                out.clear();
            });
        });
    };
    let (head, rest) = text.split_at(16 * 1024);
    let (passed, tail) = rest.split_at(rest.len() - 1024);
    run(
        "text, skipped",
        &[
            Input::Bytes(head),
            Input::Skipped(passed.len() as u64),
            Input::Bytes(tail),
        ],
    );
    run("text, captured", &[Input::Bytes(&text)]);
    run("structs, captured", &[Input::Bytes(&list)]);
    group.finish();
}

criterion_group!(benches, exchanges, contents);
criterion_main!(benches);
