//! TTHeader: any bytes, any holes.

#![no_main]

use fuzz::protocol::thrift::Thrift;
use fuzz::script::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (midway, script) = Script::new(input);
    fuzz::carry(Thrift::ttheader(midway), script);
});
