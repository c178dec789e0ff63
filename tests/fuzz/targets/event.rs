//! Ring records: any bytes.

#![no_main]

use fuzz::event::{self, Event};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(Event::Transfer(transfer)) = event::decode(input) {
        assert!(transfer.head.len() + transfer.tail.len() <= input.len());
    }
});
