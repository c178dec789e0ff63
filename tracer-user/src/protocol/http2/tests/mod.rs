//! Bytes in, events out. Each file shows one side of the parser.

mod frames;
mod holes;
mod limits;
mod random;

use super::Http2;
use crate::protocol::tests::ledger::word;
use crate::protocol::{Event, Incomplete, Input, Protocol, Side};

type Wire = crate::protocol::tests::wire::Wire<Http2>;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const WHOLE: u8 = END_STREAM | END_HEADERS;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// `:method: GET`, `:scheme: http`, `:path: /`.
const GET: &[u8] = b"\x82\x86\x84";
/// `:method: POST`, `:scheme: http`, `:path: /7`, `content-type: application/grpc`.
const CALL: &[u8] = b"\x83\x86\x04\x02/7\x0f\x10\x10application/grpc";
/// `:status: 200`.
const OK: &[u8] = b"\x88";
/// `:status: 200`, `content-type: application/grpc`.
const OK_GRPC: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`.
const STATUS: &[u8] = b"\0\x0bgrpc-status\x010";

impl Wire {
    /// Both sides have sent what they begin with.
    fn new() -> Wire {
        let mut wire = Wire::over(Http2::new(false), word);
        assert!(wire.answer(SETTINGS).is_empty());
        assert!(wire.ask([PREFACE, SETTINGS].concat()).is_empty());
        wire
    }

    fn midway() -> Wire {
        Wire::over(Http2::new(true), word)
    }
}

/// A frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn data(flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

fn headers(flags: u8, stream: u32, block: impl AsRef<[u8]>) -> Vec<u8> {
    frame(1, flags, stream, block)
}
