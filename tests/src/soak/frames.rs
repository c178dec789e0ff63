//! The few frames of HTTP/2 (RFC 9113, section 6) that a soak needs.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a client begins with (section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Type of a frame with a request's or answer's fields.
pub const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
/// Type of a frame that wants an answer at once.
pub const PING: u8 = 6;

const ACK: u8 = 1;
/// END_STREAM and END_HEADERS.
const WHOLE: u8 = 1 | 4;

/// Entries of HPACK's static table: `:method: GET`, `:scheme: http`, `:path: /`.
const GET: [u8; 3] = [0x82, 0x86, 0x84];
/// `:status: 200`
const STATUS: [u8; 1] = [0x88];

/// A frame.
pub struct Frame {
    /// Its type.
    pub kind: u8,
    flags: u8,
    /// Its stream.
    pub stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
        Frame {
            kind,
            flags,
            stream,
            payload: payload.to_vec(),
        }
    }

    /// No settings.
    pub fn settings() -> Frame {
        Frame::new(SETTINGS, 0, 0, &[])
    }

    /// A request without a body.
    pub fn get(stream: u32) -> Frame {
        Frame::new(HEADERS, WHOLE, stream, &GET)
    }

    /// An answer without a body.
    pub fn ok(stream: u32) -> Frame {
        Frame::new(HEADERS, WHOLE, stream, &STATUS)
    }

    /// Asks.
    pub fn ping() -> Frame {
        Frame::new(PING, 0, 0, &[0; 8])
    }

    /// Answers.
    pub fn pong() -> Frame {
        Frame::new(PING, ACK, 0, &[0; 8])
    }

    /// As it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let length = (self.payload.len() as u32).to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

/// Reads a frame.
///
/// # Errors
/// The stream's.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, number @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).await?;
    Ok(Frame {
        kind,
        flags,
        stream: u32::from_be_bytes(number),
        payload,
    })
}
