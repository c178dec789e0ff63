//! HPACK: any blocks, read in pieces or at once, give the same fields.

#![no_main]

use fuzz::protocol::http2::hpack::{Decoder, Read};
use libfuzzer_sys::fuzz_target;

/// Reads what is there of a block; false: it is malformed.
fn read(decoder: &mut Decoder, input: &mut &[u8], fields: &mut Vec<Option<Vec<u8>>>) -> bool {
    loop {
        let mut text = Vec::new();
        match decoder.field(input, &mut text, true) {
            Ok(Read::More) => return true,
            Ok(Read::Unknown) => fields.push(None),
            Ok(Read::Field(name_end)) => {
                assert!(name_end <= text.len());
                // 30 bits are the longest code, 5 the shortest.
                fields.push(Some(text));
            }
            Err(_) => return false,
        }
    }
}

// Byte 0: whether the connection was met midway, and the pieces' size; then blocks, each behind its
// length.
fuzz_target!(|input: &[u8]| {
    let Some((&first, mut blocks)) = input.split_first() else {
        return;
    };
    let size = usize::from(first >> 1) + 1;
    let mut decoders = [(); 2].map(|()| Decoder::new(first & 1 != 0));
    while let Some((&length, rest)) = blocks.split_first() {
        let (block, rest) = rest.split_at(usize::from(length).min(rest.len()));
        blocks = rest;
        let [whole, pieces] = &mut decoders;
        whole.begin();
        pieces.begin();
        let mut expected = Vec::new();
        let mut input = block;
        let is_whole = read(whole, &mut input, &mut expected);
        let (mut rest, mut fields) = (Vec::new(), Vec::new());
        let is_valid = block.chunks(size).all(|piece| {
            rest.extend_from_slice(piece);
            let mut input = &rest[..];
            let is_valid = read(pieces, &mut input, &mut fields);
            rest = input.to_vec();
            is_valid
        });
        assert_eq!(is_whole, is_valid);
        assert_eq!(expected, fields);
        if is_valid && !rest.is_empty() {
            // A block that breaks off is malformed.
            whole.lose();
            pieces.lose();
        }
    }
});
