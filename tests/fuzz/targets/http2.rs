//! HTTP/2: any bytes, any holes.

#![no_main]

use fuzz::protocol::http2::Http2;
use fuzz::script::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (midway, script) = Script::new(input);
    fuzz::carry(Http2::new(midway), script);
});
