//! An input as a script: what each side carried, in order.
//!
//! The first byte says whether the connection was met midway. Then each act begins with a byte: bit 0
//! is the side, bits 1 to 3 what it is; a length, where it has one, and its bytes follow. So the
//! fuzzer changes bytes and acts alike, and every input means something.

use crate::protocol::Side;

/// What a side carried.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// Bytes, and the end of their transfer.
    Transfer(&'a [u8]),
    /// Bytes not captured.
    Skipped(u64),
    /// Bytes whose event was lost.
    Lost(u64),
    /// The end of a transfer.
    EndOfTransfer,
}

/// Reads acts.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    /// Whether the connection was met midway, and what it carried.
    pub fn new(input: &'a [u8]) -> (bool, Script<'a>) {
        let (first, rest) = input.split_first().unwrap_or((&0, &[]));
        (first & 1 != 0, Script { rest })
    }

    fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(n.min(self.rest.len()));
        self.rest = rest;
        bytes
    }

    /// A little-endian number of so many bytes; what is not there is 0.
    fn number(&mut self, bytes: usize) -> u64 {
        let bytes = self.bytes(bytes).iter().rev();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl<'a> Iterator for Script<'a> {
    type Item = (Side, Act<'a>);

    fn next(&mut self) -> Option<(Side, Act<'a>)> {
        let (&act, rest) = self.rest.split_first()?;
        self.rest = rest;
        let side = match act & 1 {
            0 => Side::Request,
            _ => Side::Response,
        };
        let act = match act >> 1 & 7 {
            0 => {
                let n = self.number(1);
                Act::Bytes(self.bytes(n as usize))
            }
            1 => {
                let n = self.number(2);
                Act::Bytes(self.bytes(n as usize))
            }
            2 => Act::EndOfTransfer,
            3 => Act::Skipped(self.number(2)),
            4 => Act::Skipped(self.number(8)),
            5 => Act::Lost(self.number(2)),
            6 => Act::Lost(self.number(8)),
            _ => {
                let n = self.number(2);
                Act::Transfer(self.bytes(n as usize))
            }
        };
        Some((side, act))
    }
}
