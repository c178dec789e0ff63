//! Thrift and Kitex Protobuf, framed and bare: any bytes, any holes.

#![no_main]

use fuzz::protocol::thrift::Thrift;
use fuzz::script::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (midway, script) = Script::new(input);
    match input.first().is_some_and(|byte| byte & 2 != 0) {
        true => fuzz::carry(Thrift::framed(midway), script),
        false => fuzz::carry(Thrift::bare(midway), script),
    }
});
