//! Heads, blocks and streams without end: bounded, and the connection stays of use.

use super::*;
use crate::protocol::http2::HEAD_LIMIT;
use crate::protocol::http2::streams::MAX_STREAMS;

/// `n` bytes as the value of a literal field that is not indexed.
fn field(n: usize) -> Vec<u8> {
    let mut block = b"\0\x01n\x7f".to_vec();
    let mut rest = n - 127;
    while rest >= 128 {
        block.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
    block.extend(vec![b'v'; n]);
    block
}

#[test]
fn a_head_that_is_too_large_keeps_hpack_right() {
    let mut wire = Wire::new();
    // Of the first block only `:path: /7` matters later: inserted, behind more than we keep.
    let large: Vec<u8> = (0..8).flat_map(|_| field(10_000)).collect();
    let block = [&b"\x82\x86"[..], &large, b"\x44\x02/7"].concat();
    let mut words = Vec::new();
    let mut parts = block.chunks(16_384).peekable();
    let first = parts.next().expect("a part");
    words.extend(wire.ask(headers(END_STREAM, 1, first)));
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        words.extend(wire.ask(frame(9, flags, 1, part)));
    }
    assert_eq!(words, ["q0+", "q0! head_too_large"]);
    let words = wire.ask(headers(WHOLE, 3, b"\x82\x86\xbe"));
    assert_eq!(words[1], "q1 GET /7");
}

#[test]
fn a_bomb_of_references_is_bounded() {
    let mut wire = Wire::new();
    let mut block = b"\x82\x86\x84".to_vec();
    let entry = field(4000);
    block.extend([&[0x40], &entry[1..]].concat());
    block.extend([0xbe; 16_000]);
    // It counts 64 MB.
    assert_eq!(
        wire.ask(headers(WHOLE, 1, &block)),
        ["q0+", "q0! head_too_large"]
    );
    assert!(wire.protocol.requests.memory() < HEAD_LIMIT);
    assert_eq!(wire.ask(headers(WHOLE, 3, GET)).len(), 3);
}

#[test]
fn continuations_without_end_are_bounded() {
    let mut wire = Wire::new();
    wire.ask(headers(END_STREAM, 1, GET));
    // Small fields, then one that never ends.
    for _ in 0..10_000 {
        assert_eq!(wire.ask(frame(9, 0, 1, STATUS)), [""; 0]);
    }
    wire.ask(frame(9, 0, 1, b"\0\x01n\x7f\xff\xff\xff\x7f"));
    for _ in 0..1000 {
        assert_eq!(wire.ask(frame(9, 0, 1, [b'x'; 1000])), [""; 0]);
        assert!(wire.protocol.requests.memory() < 3 * HEAD_LIMIT);
    }
    assert_eq!(
        wire.ask(frame(9, END_HEADERS, 1, b"")),
        ["q0! head_too_large"]
    );
    assert_eq!(wire.ask(headers(WHOLE, 3, GET)).len(), 3);
    assert_eq!(
        wire.answer(headers(WHOLE, 1, OK)),
        ["r0+", "r0 200", "r0. 10/0"]
    );
}

#[test]
fn streams_without_end_push_out_the_oldest() {
    let mut wire = Wire::new();
    let mut evicted = 0;
    for n in 0..3 * MAX_STREAMS as u32 {
        let words = wire.ask(headers(WHOLE, 2 * n + 1, GET));
        evicted += words
            .iter()
            .filter(|word| word.ends_with("evicted"))
            .count();
        assert!(wire.protocol.streams.len() <= MAX_STREAMS);
    }
    assert_eq!(evicted + wire.protocol.streams.len(), 3 * MAX_STREAMS);
    // The newest are still there.
    let last = 6 * MAX_STREAMS as u32 - 1;
    assert_eq!(wire.answer(headers(WHOLE, last, OK)).len(), 3);
}

#[test]
fn responses_to_nothing_are_bounded() {
    let mut wire = Wire::new();
    let mut dropped = 0;
    for n in 0..1000 {
        dropped += wire.answer(headers(WHOLE, 2 * n + 1, OK)).len();
        assert!(wire.protocol.streams.len() <= 32);
    }
    assert_eq!(dropped + wire.protocol.streams.len(), 1000);
    // Neither are one's messages.
    let mut wire = Wire::new();
    assert_eq!(wire.answer(headers(END_HEADERS, 1, OK_GRPC)), [""; 0]);
    for _ in 0..1000 {
        let words = wire.answer(data(0, 1, b"\0\0\0\0\x01c"));
        assert!(words.is_empty() || words == ["r_! malformed"], "{words:?}");
    }
    assert_eq!(wire.protocol.streams.len(), 0);
    // Nor its interim responses.
    let mut wire = Wire::new();
    let interim = headers(END_HEADERS, 1, b"\x08\x03103");
    for _ in 0..32 {
        assert_eq!(wire.answer(&interim), [""; 0]);
    }
    assert_eq!(wire.protocol.streams.len(), 1);
    assert_eq!(wire.answer(&interim), [""; 0]);
    assert_eq!(wire.protocol.streams.len(), 0);
}
