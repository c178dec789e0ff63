//! Kitex Protobuf's exception, `ErrorProto { int32 TypeID = 1; string Message = 2; }`
//! (kitex, pkg/remote/codec/protobuf/error.proto), however it is cut.

use super::read::varint;
use super::walk::{Progress, TEXT_LIMIT};

/// Longest piece of structure that is read as one: a varint of 64 bits.
const TOKEN_LIMIT: usize = 10;

/// What the next bytes are.
#[derive(Clone, Copy, Debug, Default)]
enum Next {
    #[default]
    Tag,
    Number(u64),
    Length(u64),
}

/// One on its way.
#[derive(Debug, Default)]
pub(super) struct ErrorProto {
    next: Next,
    /// Bytes to pass over, and whether they are the text.
    pass: u64,
    is_text: bool,
    has_text: bool,
    token: Vec<u8>,
    pub type_id: Option<i32>,
    /// The begin of the text.
    pub text: Vec<u8>,
}

impl ErrorProto {
    /// Nothing that follows would add to it.
    pub(super) fn is_known(&self) -> bool {
        self.type_id.is_some() && self.has_text && !self.is_text
    }

    /// Reads on, taking what it used from `input`.
    pub(super) fn bytes(&mut self, input: &mut &[u8]) -> Progress {
        loop {
            if self.pass > 0 {
                let n =
                    usize::try_from(self.pass).map_or(input.len(), |pass| pass.min(input.len()));
                if self.is_text {
                    let kept = n.min(TEXT_LIMIT - self.text.len());
                    self.text.extend_from_slice(&input[..kept]);
                }
                *input = &input[n..];
                self.pass -= n as u64;
                self.is_text &= self.pass > 0;
                if self.pass > 0 {
                    return Progress::More;
                }
            }
            if self.is_known() {
                return Progress::Known;
            }
            let Some((&byte, rest)) = input.split_first() else {
                return Progress::More;
            };
            *input = rest;
            self.token.push(byte);
            match varint::<TOKEN_LIMIT>(&self.token) {
                Ok(None) => continue,
                Ok(Some((number, _))) if self.take(number) => self.token.clear(),
                _ => return Progress::Bad,
            }
        }
    }

    /// Passes over bytes that were not captured; false if structure was among them.
    pub(super) fn skip(&mut self, n: u64) -> bool {
        if n > self.pass {
            return false;
        }
        self.pass -= n;
        self.is_text = false;
        true
    }

    /// Takes the next number; false if it can't be.
    fn take(&mut self, number: u64) -> bool {
        match std::mem::take(&mut self.next) {
            Next::Tag => match number & 7 {
                0 => self.next = Next::Number(number >> 3),
                1 => self.pass = 8,
                2 => self.next = Next::Length(number >> 3),
                5 => self.pass = 4,
                _ => return false,
            },
            Next::Number(1) => self.type_id = Some(number as i32),
            Next::Number(_) => {}
            Next::Length(field) => {
                self.pass = number;
                if field == 2 && !self.has_text {
                    self.has_text = true;
                    self.is_text = number > 0;
                }
            }
        }
        true
    }
}
