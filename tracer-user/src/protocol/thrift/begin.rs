//! How a message itself begins, whatever it is wrapped in: Thrift's message begin in its three
//! encodings (thrift-binary-protocol.md, thrift-compact-protocol.md) and Kitex Protobuf's
//! (kitex, pkg/remote/codec/protobuf).
//!
//! Bias: a name is 1 to [`NAME_LIMIT`] characters of an identifier, or what is no name was not a
//! message: the fixed bytes before it prove little.

use super::read::{self, be32, varint};
use crate::protocol::rpc::{Codec, Kind};

/// Longest method name taken for one. Generated names stay below 100; a multiplexed one has its
/// service's before it.
pub(super) const NAME_LIMIT: usize = 256;

/// A message's begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin<'a> {
    pub codec: Codec,
    pub kind: Kind,
    pub name: &'a [u8],
    pub seq_id: i32,
    /// Bytes it takes.
    pub length: usize,
}

/// Part of a message, read from its first bytes.
pub(in crate::protocol) type Read<T> = Result<T, Short>;

/// Why it could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Short {
    /// This many bytes, at least, are needed from where it begins.
    Needs(usize),
    /// It is not what it should be.
    Bad,
    /// It is more than is read.
    Large,
}

/// Which encoding these bytes are the begin of; the old one (it has no mark) only if it is the only
/// one they can be.
pub(super) fn codec(bytes: &[u8]) -> Read<Codec> {
    match bytes {
        [0x80, 0x01, ..] => Ok(Codec::Binary),
        [0x90, 0x01, ..] => Ok(Codec::KitexProtobuf),
        // The version is 1; fbthrift's second version differs in how it writes doubles.
        [0x82, second, ..] if matches!(second & 0x1f, 1 | 2) => Ok(Codec::Compact),
        [0, ..] => Ok(Codec::BinaryOld),
        [] | [0x80 | 0x82 | 0x90] => Err(Short::Needs(2)),
        _ => Err(Short::Bad),
    }
}

/// Reads the begin of a message in that encoding.
pub(super) fn begin(codec: Codec, bytes: &[u8]) -> Read<Begin<'_>> {
    match codec {
        Codec::Binary | Codec::KitexProtobuf => marked(codec, bytes),
        Codec::BinaryOld => old(bytes),
        Codec::Compact => compact(bytes),
    }
}

/// `80 01 00 0t` or `90 01 00 0t`, u32 length, name, i32 sequence id.
fn marked(codec: Codec, bytes: &[u8]) -> Read<Begin<'_>> {
    if bytes.get(2).is_some_and(|unused| *unused != 0) {
        return Err(Short::Bad);
    }
    let kind = kind(*bytes.get(3).ok_or(Short::Needs(12))?)?;
    let name = name(bytes, 8, be32(bytes, 4).ok_or(Short::Needs(12))?)?;
    let length = 8 + name.len() + 4;
    let seq_id = be32(bytes, 8 + name.len()).ok_or(Short::Needs(length))?;
    Ok(Begin {
        codec,
        kind,
        name,
        seq_id: seq_id as i32,
        length,
    })
}

/// u32 length, name, u8 type, i32 sequence id.
fn old(bytes: &[u8]) -> Read<Begin<'_>> {
    let name = name(bytes, 4, be32(bytes, 0).ok_or(Short::Needs(9))?)?;
    let at = 4 + name.len();
    let length = at + 5;
    let kind = kind(*bytes.get(at).ok_or(Short::Needs(length))?)?;
    let seq_id = be32(bytes, at + 1).ok_or(Short::Needs(length))?;
    Ok(Begin {
        codec: Codec::BinaryOld,
        kind,
        name,
        seq_id: seq_id as i32,
        length,
    })
}

/// `82`, type and version, varint sequence id, varint length, name.
fn compact(bytes: &[u8]) -> Read<Begin<'_>> {
    let kind = kind(bytes.get(1).ok_or(Short::Needs(5))? >> 5)?;
    let more = || Short::Needs(bytes.len() + 1);
    let mut at = 2;
    let seq_id = varint::<5>(&bytes[at..])?.ok_or_else(more)?;
    at += seq_id.1;
    let length = varint::<5>(&bytes[at..])?.ok_or_else(more)?;
    at += length.1;
    let length = u32::try_from(length.0).map_err(|_| Short::Bad)?;
    let name = name(bytes, at, length)?;
    if bytes.len() < at + name.len() {
        return Err(Short::Needs(at + name.len()));
    }
    Ok(Begin {
        codec: Codec::Compact,
        kind,
        name,
        // Written as unsigned: the same 32 bits.
        seq_id: seq_id.0 as i32,
        length: at + name.len(),
    })
}

fn kind(kind: u8) -> Read<Kind> {
    match kind {
        1 => Ok(Kind::Call),
        2 => Ok(Kind::Reply),
        3 => Ok(Kind::Exception),
        4 => Ok(Kind::Oneway),
        _ => Err(Short::Bad),
    }
}

/// The name of that length at that place. What is there of it must be one, so that bytes which are
/// no message are told from one early.
fn name(bytes: &[u8], at: usize, length: u32) -> Read<&[u8]> {
    let length = length as usize;
    if length == 0 || length > NAME_LIMIT {
        return Err(Short::Bad);
    }
    let there = &bytes[at.min(bytes.len())..(at + length).min(bytes.len())];
    if !there.iter().all(|&byte| is_name(byte)) {
        return Err(Short::Bad);
    }
    match there.len() == length {
        true => Ok(there),
        false => Err(Short::Needs(at + length)),
    }
}

/// Of an identifier; and what stands between a service and its method in a multiplexed name (`:`),
/// a generic one (`/`, `.`, `$`, `-`).
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.' | b'/' | b'$' | b'-')
}

impl From<read::Overlong> for Short {
    fn from(_: read::Overlong) -> Short {
        Short::Bad
    }
}
