//! THeader, the transport header of Apache Thrift and fbthrift (doc/specs/HeaderFormat.md).
//!
//! `u32 LENGTH | 0FFF | u16 flags | u32 sequence id | u16 words | words x 4 bytes | payload`, where
//! LENGTH counts what follows it, and the words hold varints: the protocol, the count of transforms
//! and their ids, and the infos.
//!
//! Left out: transforms but zlib's, of which none is in use; a payload so transformed is not read. Of a
//! compressed one as much is inflated as tells its method and whether the call failed.

use flate2::{Decompress, FlushDecompress};

use super::begin::{Read, Short};
use super::message::HEAD_LIMIT;
use super::read::{be16, be32, varint};
use crate::protocol::rpc::{Codec, Key};
use crate::protocol::ttheader;

/// Bytes before the words.
const META: usize = 14;

/// The transform that compresses.
const ZLIB: u64 = 1;

/// Bytes of a compressed payload that are inflated, and of what they become: a begin with the longest
/// name, and a text of an exception as long as they are in practice.
const COMPRESSED_LIMIT: usize = 1024;
const INFLATED_LIMIT: usize = 4096;

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
    /// It is compressed besides.
    pub compressed: bool,
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
    let mut known = true;
    for _ in 0..transforms {
        known &= words.number()? == ZLIB;
    }
    let codec = match protocol {
        _ if !known || transforms > 1 => None,
        0 => Some(Codec::Binary),
        2 => Some(Codec::Compact),
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
        compressed: transforms > 0,
    })
}

/// What a compressed payload begins with, as far as these first bytes of it tell; true: more of it
/// would tell no more.
pub(super) fn inflate(payload: &[u8]) -> (Vec<u8>, bool) {
    let input = &payload[..payload.len().min(COMPRESSED_LIMIT)];
    let mut inflated = Vec::with_capacity(INFLATED_LIMIT);
    let mut zlib = Decompress::new(true);
    // What is wrong in it shows in what it says.
    let status = zlib.decompress_vec(input, &mut inflated, FlushDecompress::Sync);
    let ended = !matches!(status, Ok(flate2::Status::Ok | flate2::Status::BufError));
    let full = input.len() == COMPRESSED_LIMIT || inflated.len() == INFLATED_LIMIT;
    (inflated, ended || full)
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
