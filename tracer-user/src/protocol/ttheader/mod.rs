//! TTHeader, Kitex' transport header (gopkg, protocol/ttheader), and the mesh header that may stand
//! before a message (kitex, pkg/remote/codec).
//!
//! `u32 LENGTH | 1000 | u16 flags | i32 sequence id | u16 words | words x 4 bytes | payload`, where
//! LENGTH counts what follows it, and the words hold: u8 protocol, u8 count of transforms and their
//! ids, and the infos.
//!
//! Left out: the payload (see [`super::thrift`]), and the access token an info may carry: a secret is
//! not kept. Bias: what Kitex itself refuses is no header.

pub(super) mod stream;

use super::rpc::Key;
use super::thrift::begin::{Read, Short};
use super::thrift::read::{be16, be32};

/// Largest LENGTH (ttheader.MaxFrameSize).
pub(in crate::protocol) const LENGTH_LIMIT: u32 = 0x3fff_ffff;

/// Bytes before the words.
pub(in crate::protocol) const META: usize = 14;

/// The flag of a stream's frames.
const STREAMING: u16 = 0x2;

/// Most fields of a head; one of more is too large. Kitex sends some 15 of its own and metainfo is
/// meant for few, while each costs more memory than the 4 bytes it can be on the wire.
pub(in crate::protocol) const FIELD_LIMIT: usize = 256;

/// The access token where it is sent as an ordinary info.
const TOKEN: &[u8] = b"gdpr-token";

/// The protocol whose payload is a Protobuf message and nothing else (a stream's).
pub(in crate::protocol) const PROTOBUF_STRUCT: u8 = 0x11;

/// Integer key: the method called.
pub(in crate::protocol) const TO_METHOD: u16 = 9;

/// Integer key: what kind of frame of a stream it is.
pub(in crate::protocol) const FRAME_TYPE: u16 = 27;

/// A header's fixed part.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Meta {
    /// Bytes of the whole message.
    pub total: u64,
    /// It is a frame of a stream.
    pub streaming: bool,
    pub seq_id: i32,
    /// Bytes of the header: where the payload begins.
    pub header: usize,
}

/// Reads a header's fixed part.
pub(in crate::protocol) fn meta(bytes: &[u8]) -> Read<Meta> {
    let (Some(length), Some(flags), Some(seq_id), Some(words)) = (
        be32(bytes, 0),
        be16(bytes, 6),
        be32(bytes, 8),
        be16(bytes, 12),
    ) else {
        return Err(Short::Needs(META));
    };
    let header = META + 4 * usize::from(words);
    let total = u64::from(length) + 4;
    if length > LENGTH_LIMIT || words == 0 || header as u64 > total {
        return Err(Short::Bad);
    }
    Ok(Meta {
        total,
        streaming: flags & STREAMING != 0,
        seq_id: seq_id as i32,
        header,
    })
}

/// Reads the infos in a header's words. Returns the protocol.
pub(in crate::protocol) fn infos(words: &[u8], fields: &mut Vec<(Key, Vec<u8>)>) -> Read<u8> {
    let (&protocol, &transforms) = match words {
        [protocol, transforms, ..] => (protocol, transforms),
        _ => return Err(Short::Bad),
    };
    // Kitex knows no transform.
    if !matches!(protocol, 0 | 2 | 3 | 4 | 0x10 | PROTOBUF_STRUCT) || transforms != 0 {
        return Err(Short::Bad);
    }
    let mut words = Words(&words[2..]);
    while let Some(id) = words.byte() {
        match id {
            0x00 => {}
            0x01 => {
                for _ in 0..words.number()? {
                    let (key, value) = (words.text()?, words.text()?);
                    if key != TOKEN {
                        push(fields, Key::Text(key.to_vec()), value)?;
                    }
                }
            }
            0x10 => {
                for _ in 0..words.number()? {
                    let key = words.number()?;
                    push(fields, Key::Number(key), words.text()?)?;
                }
            }
            0x11 => {
                words.text()?;
            }
            _ => return Err(Short::Bad),
        }
    }
    Ok(protocol)
}

/// The mesh header `FFAF | u16 length | u16 count | (u16 length and key, u16 length and value)...`:
/// reads its fields and returns how many bytes it takes.
pub(in crate::protocol) fn mesh(bytes: &[u8], fields: &mut Vec<(Key, Vec<u8>)>) -> Read<usize> {
    let length = 4 + usize::from(be16(bytes, 2).ok_or(Short::Needs(4))?);
    let mut words = Words(bytes.get(4..length).ok_or(Short::Needs(length))?);
    for _ in 0..words.number()? {
        let (key, value) = (words.text()?, words.text()?);
        if key != TOKEN {
            push(fields, Key::Text(key.to_vec()), value)?;
        }
    }
    Ok(length)
}

pub(in crate::protocol) fn push(
    fields: &mut Vec<(Key, Vec<u8>)>,
    key: Key,
    value: &[u8],
) -> Read<()> {
    if fields.len() >= FIELD_LIMIT {
        return Err(Short::Large);
    }
    fields.push((key, value.to_vec()));
    Ok(())
}

/// What is left of a header's words.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn number(&mut self) -> Read<u16> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Short::Bad)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*first))
    }

    fn text(&mut self) -> Read<&'a [u8]> {
        let length = usize::from(self.number()?);
        let (text, rest) = self.0.split_at_checked(length).ok_or(Short::Bad)?;
        self.0 = rest;
        Ok(text)
    }
}
