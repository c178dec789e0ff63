//! Thrift in all its encodings and Kitex Protobuf, framed and bare: any bytes, any holes.

#![no_main]

use fuzz::protocol::thrift::Thrift;
use fuzz::script::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (midway, script) = Script::new(input);
    // Bits 1 and 2 of the first byte: framed, bare, or the old encoding, known by such a call.
    match input.first().map_or(0, |byte| byte >> 1 & 3) {
        0 => fuzz::carry(Thrift::bare(midway), script),
        1 => fuzz::carry(Thrift::framed(midway), script),
        2 => fuzz::carry(Thrift::old(midway, OLD), script),
        _ => fuzz::carry(Thrift::old(midway, OLD_FRAMED), script),
    }
});

const OLD: &[u8] = b"\0\0\0\x04echo\x01\0\0\0\x01\0";
const OLD_FRAMED: &[u8] = b"\0\0\0\x0e\0\0\0\x04echo\x01\0\0\0\x01\0";
