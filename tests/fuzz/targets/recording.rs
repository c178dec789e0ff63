//! Recordings: any file; and any inputs in a file that is sound otherwise, replayed, and replayed once more
//! with their secrets hidden, which changes no input's place or size.
//!
//! Byte 0 says which: a file, or so many inputs in each block.

#![no_main]

use std::io::Cursor;

use fuzz::event::Event;
use fuzz::record::redact::Redactor;
use fuzz::record::{End, FORMAT, Header, Input, MAGIC, Reader};
use fuzz::stations::Stations;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&first, rest)) = input.split_first() else {
        return;
    };
    if first == 0 {
        replay(rest);
        return;
    }
    let blocks = blocks(rest, usize::from(first));
    let plain = replay(&file(&blocks));
    let mut redactor = Redactor::default();
    let mut hidden: Vec<Vec<u8>> = Vec::new();
    hidden.extend(blocks.iter().map(|block| redactor.block(block.to_vec())));
    hidden.push(redactor.rest());
    let hidden: Vec<&[u8]> = hidden.iter().map(Vec::as_slice).collect();
    assert_eq!(plain, replay(&file(&hidden)));
});

/// Replays a file; gives the sizes of its transfers, and how it ended.
fn replay(file: &[u8]) -> (Vec<(u64, u32, usize)>, End) {
    let mut transfers = Vec::new();
    let Ok(mut reader) = Reader::new(Cursor::new(file)) else {
        return (transfers, End::Damaged);
    };
    let mut stations = Stations::new(reader.header().boot_to_unix);
    let end = loop {
        match reader.input() {
            Ok(input) => {
                if let Input::Event(Event::Transfer(transfer)) = &input {
                    let there = transfer.head.len() + transfer.tail.len();
                    transfers.push((transfer.position, transfer.length, there));
                }
                stations.input(&input);
            }
            Err(end) => break end,
        }
    };
    stations.finish();
    (transfers, end)
}

/// So many inputs each; what is none is the last one.
fn blocks(bytes: &[u8], inputs: usize) -> Vec<&[u8]> {
    let mut blocks = Vec::new();
    let (mut rest, mut begin, mut count) = (bytes, bytes, 0);
    while let Ok((_, behind)) = postcard::take_from_bytes::<Input<'_>>(rest) {
        (rest, count) = (behind, count + 1);
        if count % inputs == 0 {
            blocks.push(&begin[..begin.len() - rest.len()]);
            begin = rest;
        }
    }
    blocks.push(begin);
    blocks
}

fn file(blocks: &[&[u8]]) -> Vec<u8> {
    let header = Header {
        format: FORMAT,
        tracer: String::new(),
        probes: String::new(),
        secrets: false,
        boot_to_unix: 1_700_000_000_000_000_000,
        seed: [7; 32],
    };
    let json = serde_json::to_string(&header).expect("a header");
    let mut begin = format!("{MAGIC} {json}\n").into_bytes();
    let mut stream = Vec::new();
    for block in blocks.iter().filter(|block| !block.is_empty()) {
        let mut crc = flate2::Crc::new();
        crc.update(block);
        stream.extend((block.len() as u32).to_le_bytes());
        stream.extend(crc.sum().to_le_bytes());
        stream.extend(*block);
    }
    // As it is, in blocks of DEFLATE's own (RFC 1951, 3.2.4): compressing would be most of the work.
    for part in stream.chunks(usize::from(u16::MAX)) {
        let length = part.len() as u16;
        begin.push(0);
        begin.extend(length.to_le_bytes());
        begin.extend((!length).to_le_bytes());
        begin.extend(part);
    }
    begin.extend([1, 0, 0, 0xff, 0xff]);
    begin
}
