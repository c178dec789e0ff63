//! What the heads of frames say, and what is wanted of the payloads behind them. Heads that nobody
//! writes are none: so bytes that are no frames are told from such.

use tracer_ebpf::abi::{HEAD_LIMIT, VERDICT_HTTP2, VERDICT_LENGTH_PREFIXED};

use crate::kernel::smaller;

/// Bytes of an HTTP/2 frame's head (RFC 9113, section 4.1).
pub const HTTP2_HEAD: u32 = 9;
/// A length and the 4 bytes behind it, which tell what it is the length of.
pub const PREFIX: u32 = 8;
/// DATA payloads up to this size are copied whole: whole small messages, at the price of a record that
/// would be made anyway.
const SMALL_DATA: u32 = 1024;
/// What is copied of larger ones: padding's length, a gRPC message's prefix and the first bytes.
const DATA_HEAD: u32 = 64;
/// What is copied of a message behind its length, with it: a TTHeader's infos, a Thrift head.
const MESSAGE_HEAD: u32 = 4096;
/// HTTP/2 frames beyond it are not believed. Peers agree on 16 KiB unless they ask for more, and those
/// that do ask for up to 1 MiB.
const LONGEST_FRAME: u32 = 1 << 20;
/// The same for messages: Thrift's own limit.
const LONGEST_MESSAGE: u32 = 0x3fff_ffff;

/// `PRI * HT`: with it begins HTTP/2's preface, of [`PREFACE`] bytes (RFC 9113, section 3.4).
const PREFACE_START: u64 = u64::from_be_bytes(*b"PRI * HT");
const PREFACE: u32 = 24;

/// How a connection is cut, by the first bytes that were seen of a direction; 0 = not, as far as can be
/// told. HTTP/2 is known by its preface and, met midway, by a call that begins or a small frame that
/// clients send between calls: then nothing of the first messages is missed.
#[inline(always)]
pub fn recognise(first: u64) -> u8 {
    if first == PREFACE_START || is_call(first) || is_between_calls(first) {
        VERDICT_HTTP2
    } else if message(first).is_some() {
        VERDICT_LENGTH_PREFIXED
    } else {
        0
    }
}

/// HEADERS that are complete, on a stream: its number's last byte is not seen.
#[inline(always)]
fn is_call(head: u64) -> bool {
    const HEADERS_WHOLE: u64 = 0x01_04;
    const OTHER_FLAGS: u64 = 0x01 | 0x08 | 0x20;
    let length = head >> 40;
    (head >> 24) as u16 as u64 & !OTHER_FLAGS == HEADERS_WHOLE
        && length > 0
        && length <= HEAD_LIMIT as u64
        && head & 0x80_00_00 == 0
}

/// PING or WINDOW_UPDATE.
#[inline(always)]
fn is_between_calls(head: u64) -> bool {
    const PING: u64 = 0x00_00_08_06;
    const WINDOW_UPDATE: u64 = 0x00_00_04_08;
    let (kind, flags) = (head >> 32, (head >> 24) as u8);
    kind == PING && flags <= 1 && head & 0xff_ff_ff == 0
        || kind == WINDOW_UPDATE && flags == 0 && head & 0x80_00_00 == 0
}

/// The payload behind a head.
pub struct Payload {
    /// Its bytes.
    pub length: u32,
    /// How many of the first are to be copied.
    pub wanted: u32,
}

/// What an HTTP/2 frame's head says: `head` are its first 8 bytes, `last` the 9th.
#[inline(always)]
pub fn frame(head: u64, last: u8) -> Option<Payload> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const PRIORITY: u8 = 2;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PUSH_PROMISE: u8 = 5;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;
    const CONTINUATION: u8 = 9;
    /// PRIORITY_UPDATE, the last one registered that is in use.
    const LAST_EXTENSION: u8 = 16;
    /// END_STREAM, END_HEADERS, PADDED, PRIORITY.
    const FLAGS: u8 = 0x01 | 0x04 | 0x08 | 0x20;

    if head == PREFACE_START {
        let rest = PREFACE - HTTP2_HEAD;
        return Some(Payload {
            length: rest,
            wanted: rest,
        });
    }
    let length = (head >> 40) as u32;
    let flags = (head >> 24) as u8;
    let stream = ((head as u32) & 0x00ff_ffff) << 8 | u32::from(last);
    let of_a_stream = stream != 0 && stream >> 31 == 0;
    let plausible = match (head >> 32) as u8 {
        DATA | HEADERS | PUSH_PROMISE | CONTINUATION => {
            of_a_stream && flags & !FLAGS == 0 && length <= LONGEST_FRAME
        }
        PRIORITY => of_a_stream && length == 5,
        RST_STREAM => of_a_stream && length == 4,
        SETTINGS => stream == 0 && length % 6 == 0 && length <= HEAD_LIMIT as u32,
        PING => stream == 0 && length == 8,
        GOAWAY => stream == 0 && length >= 8 && length <= HEAD_LIMIT as u32,
        WINDOW_UPDATE => stream >> 31 == 0 && length == 4,
        kind => kind <= LAST_EXTENSION && stream >> 31 == 0 && length <= HEAD_LIMIT as u32,
    };
    if !plausible {
        return None;
    }
    let most = if (head >> 32) as u8 != DATA {
        HEAD_LIMIT as u32
    } else if length <= SMALL_DATA {
        SMALL_DATA
    } else {
        DATA_HEAD
    };
    Some(Payload {
        length,
        wanted: smaller(length, most),
    })
}

#[inline(always)]
pub fn is_data(head: u64) -> bool {
    (head >> 32) as u8 == 0
}

/// What a length and the 4 bytes behind it say, if these begin something that has a length before it.
#[inline(always)]
pub fn message(head: u64) -> Option<Payload> {
    let length = (head >> 32) as u32;
    let magic = head as u32;
    let plausible = match magic >> 16 {
        // Thrift binary, Kitex Protobuf, TTHeader, THeader.
        0x8001 | 0x9001 | 0x1000 | 0x0fff => true,
        // Thrift binary without a version: the length of a method's name.
        0 => magic >= 1 && magic <= 256,
        // Thrift compact: its id, then a type and the version.
        high => high & 0xff1f == 0x8201,
    };
    if !plausible || length < 4 || length > LONGEST_MESSAGE {
        return None;
    }
    let left = length - 4;
    Some(Payload {
        length: left,
        wanted: smaller(left, MESSAGE_HEAD - PREFIX),
    })
}
