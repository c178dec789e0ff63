//! THeader, the transport header of Apache Thrift and fbthrift (doc/specs/HeaderFormat.md).
//!
//! `u32 LENGTH | 0FFF | u16 flags | u32 sequence id | u16 words | words x 4 bytes | payload`, where
//! LENGTH counts what follows it, and the words hold varints: the protocol, the count of transforms
//! and their ids, and the infos.
//!
//! Left out: transformed (compressed) payloads. They are not decoded, so their method is not known.

use super::begin::{Read, Short};
use super::message::HEAD_LIMIT;
use super::read::{be16, be32, varint};
use crate::protocol::rpc::{Codec, Key};
use crate::protocol::ttheader;

/// Bytes before the words.
const META: usize = 14;

/// A header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Bytes of the whole message.
    pub total: u64,
    pub seq_id: i32,
    /// Bytes of the header: where the payload begins.
    pub length: usize,
    /// How the payload is written; None: it is transformed, or of a protocol unknown.
    pub codec: Option<Codec>,
}

/// Bytes of the message that begins so, if they are told.
pub(super) fn total(bytes: &[u8]) -> Read<u64> {
    let (Some(length), Some(words)) = (be32(bytes, 0), be16(bytes, 12)) else {
        return Err(Short::Needs(META));
    };
    let total = u64::from(length) + 4;
    let header = META as u64 + 4 * u64::from(words);
    match length > ttheader::LENGTH_LIMIT || words == 0 || header > total {
        true => Err(Short::Bad),
        false => Ok(total),
    }
}

/// Reads a header.
pub(super) fn header(bytes: &[u8], fields: &mut Vec<(Key, Vec<u8>)>) -> Read<Header> {
    let total = total(bytes)?;
    let (Some(seq_id), Some(words)) = (be32(bytes, 8), be16(bytes, 12)) else {
        return Err(Short::Needs(META));
    };
    let length = META + 4 * usize::from(words);
    if length > HEAD_LIMIT {
        return Err(Short::Large);
    }
    let mut words = Words(bytes.get(META..length).ok_or(Short::Needs(length))?);
    let protocol = words.number()?;
    let transforms = words.number()?;
    for _ in 0..transforms {
        words.number()?;
    }
    let codec = match (transforms, protocol) {
        (0, 0) => Some(Codec::Binary),
        (0, 2) => Some(Codec::Compact),
        _ => None,
    };
    while !words.0.is_empty() {
        match words.number()? {
            0 => {}
            // Of this message, and of this and those after it.
            1 | 2 => {
                for _ in 0..words.number()? {
                    let (key, value) = (words.text()?, words.text()?);
                    ttheader::push(fields, Key::Text(key.to_vec()), value)?;
                }
            }
            // What follows an info unknown can't be told from it.
            _ => break,
        }
    }
    Ok(Header {
        total,
        seq_id: seq_id as i32,
        length,
        codec,
    })
}

/// What is left of a header's words.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn number(&mut self) -> Read<u64> {
        let (number, used) = varint::<5>(self.0)?.ok_or(Short::Bad)?;
        self.0 = &self.0[used..];
        Ok(number)
    }

    fn text(&mut self) -> Read<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| Short::Bad)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Short::Bad)?;
        self.0 = rest;
        Ok(text)
    }
}
