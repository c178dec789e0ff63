//! Where a body ends (RFC 9112, sections 6 and 7): by its length, by its chunks, by its close.
//!
//! Bodies are walked over, never kept. Bias: an end is named only where it was seen; of a chunked
//! body whose chunk heads were not captured it is read from the end of a transfer ([`Tail`]).

use memchr::memchr;

use super::head::{Coding, Framing, Length, Method};
use crate::protocol::Incomplete;

/// A body's end, as told by the head and the rules of RFC 9112, section 6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// After this many bytes.
    Fixed(u64),
    /// After the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// 1xx but 101, which ends the exchange.
pub(super) fn is_interim(status: u16) -> bool {
    status < 200 && status != 101
}

/// The connection carries something else after this response.
pub(super) fn is_tunnel(status: u16, method: Method) -> bool {
    status == 101 || (method == Method::Connect && (200..300).contains(&status))
}

/// RFC 9112, section 6.3. None: its end can't be told; servers answer 400 and close.
pub(super) fn request_body(framing: Framing) -> Option<Body> {
    match (framing.coding, framing.length) {
        (Coding::Chunked, _) => Some(Body::Chunked),
        (Coding::Absent, Length::Absent) => Some(Body::Fixed(0)),
        (Coding::Absent, Length::Bytes(n)) => Some(Body::Fixed(n)),
        (Coding::Other, _) | (Coding::Absent, Length::Bad) => None,
    }
}

/// RFC 9112, section 6.3. An error: why its end can't be told.
pub(super) fn response_body(
    status: u16,
    method: Method,
    framing: Framing,
) -> Result<Body, Incomplete> {
    if is_tunnel(status, method) || method == Method::Head || matches!(status, 204 | 304) {
        return Ok(Body::Fixed(0));
    }
    let body = match (framing.coding, framing.length) {
        (Coding::Chunked, _) => Body::Chunked,
        (Coding::Other, _) | (Coding::Absent, Length::Absent) => Body::UntilClose,
        (Coding::Absent, Length::Bytes(n)) => Body::Fixed(n),
        (Coding::Absent, Length::Bad) => return Err(Incomplete::Malformed),
    };
    match (method, body) {
        // An answer to HEAD says how long its body would be.
        (Method::Unknown, body) if body != Body::Fixed(0) => Err(Incomplete::LostEvents),
        _ => Ok(body),
    }
}

/// The chunked coding, read byte by byte except for the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In a chunk's size; none = no digit yet.
    Size(Option<u64>),
    /// Behind the size: extensions, up to the line's end.
    Extension(u64),
    /// This many bytes of data are to come.
    Data(u64),
    /// Between the data and its line end.
    DataEnd,
    /// In the trailers, at the start of a line; true after its CR.
    TrailerStart(bool),
    /// In a trailer line.
    Trailer,
}

/// What a step through a body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The bytes are used up.
    More,
    /// The body's last byte was among them.
    Done,
    /// This is not the coding it claims to be.
    Bad,
}

impl Chunked {
    /// Before the first chunk.
    pub(super) const START: Chunked = Chunked::Size(None);

    /// Takes from `input` up to the body's end, counting its data into `body`.
    pub(super) fn bytes(&mut self, input: &mut &[u8], body: &mut u64) -> Progress {
        while let Some((&byte, rest)) = input.split_first() {
            match *self {
                Chunked::Data(left) => {
                    let n = left.min(input.len() as u64);
                    *input = &input[n as usize..];
                    self.skip(n, body);
                    continue;
                }
                Chunked::Extension(size) => {
                    let Some(end) = memchr(b'\n', input) else {
                        *input = &[];
                        return Progress::More;
                    };
                    *input = &input[end + 1..];
                    *self = Chunked::after_head(size);
                    continue;
                }
                Chunked::Trailer => {
                    let Some(end) = memchr(b'\n', input) else {
                        *input = &[];
                        return Progress::More;
                    };
                    *input = &input[end + 1..];
                    *self = Chunked::TrailerStart(false);
                    continue;
                }
                Chunked::Size(size) => match (byte, size) {
                    (b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', _) => {
                        let digit = (byte as char).to_digit(16).unwrap_or_default();
                        let size = size.unwrap_or(0);
                        if size >> 60 != 0 {
                            return Progress::Bad;
                        }
                        *self = Chunked::Size(Some(size << 4 | u64::from(digit)));
                    }
                    (b'\n', Some(size)) => *self = Chunked::after_head(size),
                    (b';' | b' ' | b'\t' | b'\r', Some(size)) => *self = Chunked::Extension(size),
                    _ => return Progress::Bad,
                },
                Chunked::DataEnd => match byte {
                    b'\r' => {}
                    b'\n' => *self = Chunked::START,
                    _ => return Progress::Bad,
                },
                Chunked::TrailerStart(cr) => match byte {
                    b'\n' => {
                        *input = rest;
                        return Progress::Done;
                    }
                    b'\r' if !cr => *self = Chunked::TrailerStart(true),
                    _ => *self = Chunked::Trailer,
                },
            }
            *input = rest;
        }
        Progress::More
    }

    /// Passes over `n` bytes without seeing them; false if chunk heads are among them.
    pub(super) fn skip(&mut self, n: u64, body: &mut u64) -> bool {
        let Chunked::Data(left) = *self else {
            return n == 0;
        };
        if n > left {
            return false;
        }
        *body = body.saturating_add(n);
        *self = match left - n {
            0 => Chunked::DataEnd,
            left => Chunked::Data(left),
        };
        true
    }

    fn after_head(size: u64) -> Chunked {
        match size {
            0 => Chunked::TrailerStart(false),
            size => Chunked::Data(size),
        }
    }
}

/// Looks for a chunked body's end without knowing its chunks: a line of zeros, trailers or none, and
/// an empty line, right at the end of a transfer. The same inside of one proves nothing, data may hold
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// After bytes that were not captured.
    Unseen,
    /// Somewhere in a line.
    Middle,
    /// At a line's start.
    LineStart,
    /// In a line of only zeros so far.
    Zeros,
    /// In the extension behind a line of zeros.
    Extension,
    /// After the last chunk's line, or a trailer's, at a line's start; true after its CR.
    TrailerStart(bool),
    /// In a trailer line; true after its colon.
    Trailer(bool),
    /// Behind the empty line.
    Done,
}

impl Tail {
    /// Where the chunks' walk ended in bytes that were not captured.
    pub(super) fn after(chunked: Chunked) -> Tail {
        match chunked {
            Chunked::Trailer | Chunked::TrailerStart(_) => Tail::Trailer(true),
            _ => Tail::Unseen,
        }
    }

    /// Takes all of these bytes.
    pub(super) fn bytes(&mut self, input: &[u8]) {
        for &byte in input {
            *self = self.next(byte);
        }
    }

    /// Passes over bytes that were not captured.
    pub(super) fn skip(&mut self) {
        // Trailers may be longer than what is captured of the end of a transfer; what follows the
        // last chunk can't be data any more.
        *self = match self {
            Tail::Trailer(_) | Tail::TrailerStart(_) => Tail::Trailer(true),
            _ => Tail::Unseen,
        };
    }

    /// A transfer ends here; true if the body does.
    pub(super) fn end_of_transfer(&mut self) -> bool {
        if *self == Tail::Unseen {
            // Servers that send the last chunk by itself begin a transfer with it.
            *self = Tail::LineStart;
        }
        *self == Tail::Done
    }

    fn next(self, byte: u8) -> Tail {
        match (self, byte) {
            (Tail::TrailerStart(_), b'\n') => Tail::Done,
            (Tail::TrailerStart(false), b'\r') => Tail::TrailerStart(true),
            (Tail::TrailerStart(true), _) => Tail::Middle,
            (Tail::LineStart | Tail::Zeros | Tail::TrailerStart(false) | Tail::Done, b'0') => {
                Tail::Zeros
            }
            (Tail::Zeros, b'\r' | b';' | b' ' | b'\t') => Tail::Extension,
            (Tail::Zeros | Tail::Extension, b'\n') => Tail::TrailerStart(false),
            (Tail::Extension, _) => Tail::Extension,
            (Tail::TrailerStart(false), _) => Tail::Trailer(false),
            (Tail::Trailer(true), b'\n') => Tail::TrailerStart(false),
            (Tail::Trailer(_), b':') => Tail::Trailer(true),
            (Tail::Trailer(colon), b) if b != b'\n' => Tail::Trailer(colon),
            (_, b'\n') => Tail::LineStart,
            _ => Tail::Middle,
        }
    }
}
