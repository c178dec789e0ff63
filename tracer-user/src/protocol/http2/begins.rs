//! How a connection that carries HTTP/2 is known, and who asks on it.
//!
//! By the client's preface; by the SETTINGS that a server sends first, perhaps before it has read
//! anything; and midway, by frames that go on from one to the next until a header block names one of
//! the pseudo-fields that only requests, or only responses, have.

use super::frame::{self, Frame, HEAD, PREFACE, Run};
use super::head::{Draft, Kind};
use super::hpack::Decoder;
use crate::protocol::{Match, Side};

/// Settings known (RFC 9113, section 6.5.2, and what IANA registered since) end below this.
const SETTINGS: u16 = 0x10;

/// Whether the first bytes of that side of a connection, or `midway` those of a transfer, are
/// HTTP/2's.
pub fn begins(side: Side, bytes: &[u8], midway: bool) -> Match {
    if side == Side::Request {
        let n = bytes.len().min(PREFACE.len());
        if bytes[..n] == PREFACE[..n] {
            return match n == PREFACE.len() {
                true => Match::Yes,
                false => Match::Perhaps,
            };
        }
    }
    match (midway, side) {
        (true, _) => goes_on(side, bytes),
        (false, Side::Request) => Match::No,
        (false, Side::Response) => is_settings(bytes),
    }
}

/// Few settings, and the first is a known one.
fn is_settings(bytes: &[u8]) -> Match {
    let fits = |(at, byte): (usize, &u8)| match at {
        2 => byte.is_multiple_of(6),
        3 => *byte == 4,
        _ => *byte == 0,
    };
    if !bytes.iter().take(HEAD).enumerate().all(fits) {
        return Match::No;
    }
    match bytes.get(HEAD..) {
        Some(_) if bytes[2] == 0 => Match::Yes,
        Some([high, low, ..]) => match u16::from_be_bytes([*high, *low]) {
            1..SETTINGS => Match::Yes,
            _ => Match::No,
        },
        _ => Match::Perhaps,
    }
}

/// Whether these are frames among which a message of that side begins.
fn goes_on(side: Side, bytes: &[u8]) -> Match {
    let mut found = Ok(None);
    let run = frame::run(bytes, |frame, payload| {
        if frame.kind == frame::Kind::Headers {
            found = kind(&frame, payload);
        }
        found != Ok(None)
    });
    let wanted = match side {
        Side::Request => Kind::Request,
        Side::Response => Kind::Response,
    };
    match (run, found) {
        (Run::No, _) | (_, Err(())) => Match::No,
        (Run::Short, _) if bytes.first() != Some(&0) => Match::No,
        (_, Ok(Some(kind))) if kind == wanted => Match::Yes,
        (_, Ok(Some(_))) => Match::No,
        (_, Ok(None)) => Match::Perhaps,
    }
}

/// What the header block begins whose first bytes these are; None: they don't tell. An error: it is
/// no header block.
fn kind(frame: &Frame, payload: &[u8]) -> Result<Option<Kind>, ()> {
    let prefix = frame.prefix() as usize;
    let Some((prefix, mut block)) = payload.split_at_checked(prefix) else {
        return Ok(None);
    };
    if frame.is_padded() && payload.len() == frame.length as usize {
        let content = block.len().checked_sub(prefix[0].into()).ok_or(())?;
        block = &block[..content];
    }
    let mut draft = Draft::new();
    draft
        .read(&mut Decoder::new(true), &mut block)
        .map_err(|_| ())?;
    Ok(Some(draft.kind()).filter(|kind| *kind != Kind::Fields))
}
