//! A message from its first byte to where its content begins: what it is wrapped in, and its begin.
//!
//! Each message says for itself what it is, as Kitex' servers take it: transports may change within
//! a connection. Only Thrift's old encoding, which has no mark, is read where nothing else can be.

use super::begin::{self, Begin, Read, Short};
use super::content::Reading;
use super::read::be32;
use super::theader;
use super::walk::{self, Purpose};
use crate::protocol::rpc::{Codec, Head, Key, Kind, Transport};
use crate::protocol::ttheader;
use crate::protocol::ttheader::stream::{self, Frame, FrameKind};
use crate::protocol::{Match, Side};

/// Most bytes up to where a message's content begins: as much as the kernel side captures of each
/// turn of a direction. TTHeader allows 256 KiB, of which Kitex fills less than 1 KiB.
pub(super) const HEAD_LIMIT: usize = 16 * 1024;

/// What a message's first bytes say.
#[derive(Debug)]
pub(super) struct Opening {
    pub head: Box<Head>,
    /// Bytes up to where the content begins.
    pub length: usize,
    /// Bytes of the whole message; None: its content tells.
    pub total: Option<u64>,
    /// What the content is to be read for.
    pub content: Content,
    pub form: Form,
    /// It is a frame of a TTHeader stream.
    pub frame: Option<Frame>,
}

/// What follows a message's begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing that is read.
    Opaque,
    Struct(walk::Form, Purpose),
    /// Kitex Protobuf's exception.
    ErrorProto,
}

/// What a connection's messages come in, as far as it is to be known before the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Behind their length.
    Framed,
    /// The same; they may be frames of streams.
    Ttheader,
    /// Anything else.
    Bare,
}

/// Whether a message of that side and form begins with these bytes.
pub(super) fn begins_as(form: Form, side: Side, bytes: &[u8]) -> Match {
    as_form(form, side, bytes, false)
}

/// The same on a connection whose sides are known; `old`: and its encoding is the old one.
pub(super) fn goes_on(form: Form, old: bool, side: Side, bytes: &[u8]) -> Match {
    if !old {
        return as_form(form, side, bytes, true);
    }
    match old_begin(bytes) {
        Ok((same, begin)) => {
            let asks = matches!(begin.kind, Kind::Call | Kind::Oneway);
            match same == form && asks == (side == Side::Request) {
                true => Match::Yes,
                false => Match::No,
            }
        }
        Err(Short::Needs(_)) => Match::Perhaps,
        Err(Short::Bad | Short::Large) => Match::No,
    }
}

/// Whether an answer begins with these bytes to the call in the old encoding that `other`, sent the
/// other way, begins with: the same name and sequence id. Perhaps, if they may be such a call.
pub(super) fn confirms(other: &[u8], bytes: &[u8]) -> Match {
    let asks = |begin: &Begin<'_>| matches!(begin.kind, Kind::Call | Kind::Oneway);
    let call = match (other, old_begin(bytes)) {
        ([], Ok((_, begin))) if asks(&begin) => return Match::Perhaps,
        (_, Err(Short::Needs(_))) => return Match::Perhaps,
        ([], _) => return Match::No,
        (other, _) => old_begin(other),
    };
    match (call, old_begin(bytes)) {
        (Ok((form, call)), Ok((same, reply)))
            if form == same
                && asks(&call)
                && !asks(&reply)
                && (call.name, call.seq_id) == (reply.name, reply.seq_id) =>
        {
            Match::Yes
        }
        _ => Match::No,
    }
}

/// The begin of a message in the old encoding.
pub(super) fn old_begin(bytes: &[u8]) -> Read<(Form, Begin<'_>)> {
    match bytes {
        [0, _, _, _, 0, ..] => {
            let total = 4 + u64::from(be32(bytes, 0).ok_or(Short::Bad)?);
            let begin = within(
                usize::try_from(total - 4).unwrap_or(usize::MAX),
                begin::begin(Codec::BinaryOld, &bytes[4..]),
            );
            match begin {
                Ok(begin) => Ok((Form::Framed, begin)),
                Err(Short::Needs(n)) => Err(Short::Needs(4 + n)),
                Err(short) => Err(short),
            }
        }
        [0, _, _, _, _, ..] => Ok((Form::Bare, begin::begin(Codec::BinaryOld, bytes)?)),
        [0, ..] | [] => Err(Short::Needs(5)),
        _ => Err(Short::Bad),
    }
}

fn as_form(form: Form, side: Side, bytes: &[u8], known: bool) -> Match {
    match form_of(bytes) {
        Ok(is) if is == form => begins(side, bytes, known),
        Err(Match::Perhaps) if form != Form::Bare => Match::Perhaps,
        _ => Match::No,
    }
}

/// The form of a message with a mark that begins with these bytes.
fn form_of(bytes: &[u8]) -> Result<Form, Match> {
    match bytes {
        [0x80..=0xff, ..] => Ok(Form::Bare),
        // A length beyond any limit.
        [0x40..=0x7f, ..] => Err(Match::No),
        [_, _, _, _, 0x10, ..] => Ok(Form::Ttheader),
        [_, _, _, _, 0x0f | 0x80 | 0x82 | 0x90, ..] => Ok(Form::Framed),
        [_, _, _, _, _, ..] => Err(Match::No),
        _ => Err(Match::Perhaps),
    }
}

/// Whether a message of that side begins with these bytes. The old encoding is never taken for
/// one by itself, and of a stream's frames only those that tell their side, unless the sides are
/// `known`.
fn begins(side: Side, bytes: &[u8], known: bool) -> Match {
    match open(side, bytes) {
        Ok(opening) => {
            let asks = match opening.frame {
                Some(_) if known => side == Side::Request,
                // Only a client names the service.
                Some(Frame {
                    kind: FrameKind::Header,
                    ..
                }) => opening.head.text("isn").is_some(),
                Some(_) => return Match::No,
                None => matches!(opening.head.kind, Kind::Call | Kind::Oneway),
            };
            let likely = opening.total.unwrap_or(0) <= u64::from(ttheader::LENGTH_LIMIT) + 4;
            let marked = opening.head.codec != Some(Codec::BinaryOld);
            match likely && marked && asks == (side == Side::Request) {
                true => Match::Yes,
                false => Match::No,
            }
        }
        Err(Short::Needs(_)) => Match::Perhaps,
        Err(Short::Bad | Short::Large) => Match::No,
    }
}

/// Whether a message that begins so asks (or answers) on a stream or not, as far as these bytes
/// tell: whether its first byte begins a message of its own.
pub(super) fn is_frame(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [0x80..=0xff, ..] => Some(false),
        [_, _, _, _, 0x10, 0x00, _, flags, ..] => Some(flags & 0x2 != 0),
        [_, _, _, _, _, _, _, _, ..] => Some(false),
        _ => None,
    }
}

/// Bytes of a message whose begin can't be read on, if it is of a form that tells them.
pub(super) fn total(bytes: &[u8]) -> Option<u64> {
    match bytes {
        [0x80..=0xff, ..] => None,
        [_, _, _, _, 0x10, 0x00, ..] => ttheader::meta(bytes).ok().map(|meta| meta.total),
        [_, _, _, _, 0x0f, 0xff, ..] => theader::total(bytes).ok(),
        [_, _, _, _, 0x80 | 0x90, 0x01, ..] | [_, _, _, _, 0x82, ..] => {
            be32(bytes, 0).map(|length| u64::from(length) + 4)
        }
        _ => None,
    }
}

/// Reads a message up to where its content begins.
pub(super) fn open(side: Side, bytes: &[u8]) -> Read<Opening> {
    let mut fields = Vec::new();
    let mut at = 0;
    if let [0xff, 0xaf, ..] = bytes {
        at = within(HEAD_LIMIT, ttheader::mesh(bytes, &mut fields))?;
    }
    let inner = &bytes[at..];
    let mut opening = match inner {
        [] => return Err(Short::Needs(at + 1)),
        [0xff] if at == 0 => return Err(Short::Needs(2)),
        [0x80..=0xff, ..] => bare(inner, Transport::Buffered),
        [_, _, _, _, 0x10, 0x00, ..] => ttheader(side, inner, &mut fields),
        [_, _, _, _, 0x0f, 0xff, ..] => theader(side, inner, &mut fields),
        [_, _, _, _, 0x82, ..] | [_, _, _, _, 0x80 | 0x90, 0x01, ..] => {
            framed(inner, 0, Transport::Framed)
        }
        [_, _, _, _, _, _, ..] => old(inner),
        _ => Err(Short::Needs(6)),
    }
    .map_err(|short| match short {
        Short::Needs(n) if at + n > HEAD_LIMIT => Short::Large,
        Short::Needs(n) => Short::Needs(at + n),
        short => short,
    })?;
    opening.length += at;
    if at > 0 {
        opening.form = Form::Bare;
    }
    opening.total = opening.total.map(|total| total + at as u64);
    opening.head.fields = fields;
    Ok(opening)
}

/// A message's begin that may not lie behind `limit`.
fn within<T>(limit: usize, read: Read<T>) -> Read<T> {
    match read {
        Err(Short::Needs(n)) if n > limit => Err(Short::Bad),
        read => read,
    }
}

/// A message without anything around it: its begin, then a struct.
fn bare(bytes: &[u8], transport: Transport) -> Read<Opening> {
    let codec = begin::codec(bytes)?;
    if codec == Codec::KitexProtobuf {
        // Nothing would tell its end.
        return Err(Short::Bad);
    }
    let begin = begin::begin(codec, bytes)?;
    Ok(opening(&begin, transport, begin.length, None))
}

/// A message behind its length, both of them from `at` on.
fn framed(bytes: &[u8], at: usize, transport: Transport) -> Read<Opening> {
    let length = be32(bytes, at).ok_or(Short::Needs(at + 6))?;
    if length > i32::MAX as u32 {
        return Err(Short::Bad);
    }
    let total = (at + 4) as u64 + u64::from(length);
    let begin = inner(bytes, at + 4, total)?;
    Ok(opening(
        &begin,
        transport,
        at + 4 + begin.length,
        Some(total),
    ))
}

/// The begin at that place of a message of `total` bytes.
fn inner(bytes: &[u8], at: usize, total: u64) -> Read<Begin<'_>> {
    let end = usize::try_from(total).map_or(bytes.len(), |total| total.min(bytes.len()));
    let payload = &bytes[at.min(end)..end];
    let read = match begin::codec(payload) {
        // Where the transport has a mark of its own, so has what is in it.
        Ok(Codec::BinaryOld) if at > 4 => Err(Short::Bad),
        codec => codec.and_then(|codec| begin::begin(codec, payload)),
    };
    let left = usize::try_from(total - at as u64).unwrap_or(usize::MAX);
    match within(left, read) {
        Err(Short::Needs(n)) => Err(Short::Needs(at + n)),
        read => read,
    }
}

/// Thrift without a mark, bare or behind its length.
fn old(bytes: &[u8]) -> Read<Opening> {
    if bytes[0] != 0 {
        return Err(Short::Bad);
    }
    // A name's first letter or another length.
    if bytes[4] != 0 {
        return bare(bytes, Transport::Buffered);
    }
    framed(bytes, 0, Transport::Framed)
}

/// TTHeader: its infos, then a message, perhaps behind its length, or a stream's frame.
fn ttheader(side: Side, bytes: &[u8], fields: &mut Vec<(Key, Vec<u8>)>) -> Read<Opening> {
    let meta = ttheader::meta(bytes)?;
    let words = bytes
        .get(ttheader::META..meta.header)
        .ok_or(Short::Needs(meta.header))?;
    let payload = meta.total - meta.header as u64;
    if meta.header > HEAD_LIMIT {
        return Err(Short::Large);
    }
    if !meta.streaming && bytes.len() < meta.header + payload.min(6) as usize {
        // So that the infos are not read twice.
        return Err(Short::Needs(meta.header + payload.min(6) as usize));
    }
    let protocol = ttheader::infos(words, fields)?;
    let method = |fields: &[(Key, Vec<u8>)]| {
        let to_method = Key::Number(ttheader::TO_METHOD);
        let method = fields.iter().find(|(key, _)| *key == to_method);
        method.map_or(Vec::new(), |(_, method)| method.clone())
    };
    if meta.streaming {
        let frame = stream::frame(meta.seq_id, fields)?;
        let mut opening = unread(
            side,
            meta.seq_id,
            Transport::Ttheader,
            meta.header,
            meta.total,
        );
        opening.head.method = method(fields);
        opening.head.codec = match protocol {
            ttheader::PROTOBUF_STRUCT => Some(Codec::KitexProtobuf),
            _ => Some(Codec::Binary),
        };
        if frame.ends() && payload > 0 {
            // Why it ended, as a whole message.
            let begin = inner(bytes, meta.header, meta.total)?;
            opening.length += begin.length;
            opening.head.kind = begin.kind;
            opening.content = content(&begin);
        }
        opening.frame = Some(frame);
        return Ok(opening);
    }
    let at = meta.header;
    // Behind it the next message may follow.
    let end = usize::try_from(meta.total).map_or(bytes.len(), |total| total.min(bytes.len()));
    match bytes.get(at..end).unwrap_or_default() {
        [] => {
            // No message of its own: what the infos say is all there is.
            let mut opening = unread(side, meta.seq_id, Transport::Ttheader, at, meta.total);
            opening.head.method = method(fields);
            Ok(opening)
        }
        [0x80..=0xff, ..] => {
            let begin = inner(bytes, at, meta.total)?;
            let length = at + begin.length;
            Ok(opening(
                &begin,
                Transport::Ttheader,
                length,
                Some(meta.total),
            ))
        }
        _ => {
            let begin = inner(bytes, at + 4, meta.total)?;
            let length = at + 4 + begin.length;
            Ok(opening(
                &begin,
                Transport::TtheaderFramed,
                length,
                Some(meta.total),
            ))
        }
    }
}

/// THeader: its infos, then a message, perhaps compressed.
fn theader(side: Side, bytes: &[u8], fields: &mut Vec<(Key, Vec<u8>)>) -> Read<Opening> {
    let header = theader::header(bytes, fields)?;
    let (at, total) = (header.length, header.total);
    let mut read = match header.codec {
        Some(codec) if header.compressed => {
            let end = usize::try_from(total).map_or(bytes.len(), |total| total.min(bytes.len()));
            let payload = &bytes[at.min(end)..end];
            let read = inflated(codec, payload, at, total)?;
            // What was looked at is used up.
            let at = at + payload.len();
            read.unwrap_or_else(|| unread(side, header.seq_id, Transport::Theader, at, total))
        }
        Some(codec) => {
            let begin = inner(bytes, at, total)?;
            if begin.codec != codec {
                return Err(Short::Bad);
            }
            opening(&begin, Transport::Theader, at + begin.length, Some(total))
        }
        None => unread(side, header.seq_id, Transport::Theader, at, total),
    };
    // fbthrift's messages leave theirs 0.
    read.head.seq_id = header.seq_id;
    Ok(read)
}

/// A message whose compressed payload begins so, at that place; none if it can't be read.
fn inflated(codec: Codec, payload: &[u8], at: usize, total: u64) -> Read<Option<Opening>> {
    let (bytes, done) = theader::inflate(payload);
    let length = at + payload.len();
    let done = done || length as u64 == total;
    let more = Short::Needs(length + 1);
    let begin = match begin::codec(&bytes) {
        Ok(is) if is != codec => Err(Short::Bad),
        is => is.and_then(|codec| begin::begin(codec, &bytes)),
    };
    match begin {
        Ok(begin) => {
            let mut opening = opening(&begin, Transport::Theader, length, Some(total));
            let content = std::mem::replace(&mut opening.content, Content::Opaque);
            let mut reading = Reading::new(content);
            reading.bytes(&mut &bytes[begin.length..]);
            if !done && !reading.is_known() {
                return Err(more);
            }
            opening.head = reading.answered(opening.head);
            Ok(Some(opening))
        }
        Err(Short::Needs(_)) if !done => Err(more),
        Err(_) => Ok(None),
    }
}

/// What a begin that was read leads to.
fn opening(begin: &Begin<'_>, transport: Transport, length: usize, total: Option<u64>) -> Opening {
    Opening {
        head: Box::new(Head {
            transport,
            codec: Some(begin.codec),
            kind: begin.kind,
            seq_id: begin.seq_id,
            method: begin.name.to_vec(),
            fields: Vec::new(),
            failure: None,
        }),
        length,
        total,
        content: match total {
            None if content(begin) == Content::Opaque => {
                Content::Struct(form(begin.codec), Purpose::End)
            }
            _ => content(begin),
        },
        form: match (total, transport) {
            (None, _) => Form::Bare,
            (_, Transport::Ttheader | Transport::TtheaderFramed) => Form::Ttheader,
            _ => Form::Framed,
        },
        frame: None,
    }
}

/// A message whose content is not read: it is what its side sends.
fn unread(side: Side, seq_id: i32, transport: Transport, length: usize, total: u64) -> Opening {
    Opening {
        head: Box::new(Head {
            transport,
            codec: None,
            kind: match side {
                Side::Request => Kind::Call,
                Side::Response => Kind::Reply,
            },
            seq_id,
            method: Vec::new(),
            fields: Vec::new(),
            failure: None,
        }),
        length,
        total: Some(total),
        content: Content::Opaque,
        form: match transport {
            Transport::Theader => Form::Framed,
            _ => Form::Ttheader,
        },
        frame: None,
    }
}

fn content(begin: &Begin<'_>) -> Content {
    match (begin.codec, begin.kind) {
        (_, Kind::Call | Kind::Oneway) => Content::Opaque,
        (Codec::KitexProtobuf, Kind::Reply) => Content::Opaque,
        (Codec::KitexProtobuf, Kind::Exception) => Content::ErrorProto,
        (codec, Kind::Reply) => Content::Struct(form(codec), Purpose::First),
        (codec, Kind::Exception) => Content::Struct(form(codec), Purpose::Exception),
    }
}

fn form(codec: Codec) -> walk::Form {
    match codec {
        Codec::Compact => walk::Form::Compact,
        _ => walk::Form::Binary,
    }
}
