//! HTTP/1: any bytes, any holes.

#![no_main]

use fuzz::protocol::http1::Http1;
use fuzz::script::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (midway, script) = Script::new(input);
    fuzz::carry(Http1::new(midway), script);
});
