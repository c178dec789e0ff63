//! The head of a message: start line and fields (RFC 9112, sections 2 to 5), and what they say of
//! the body's framing (section 6.3).
//!
//! One pass over a head that lies in one piece; nothing is allocated until its end was found.
//! Bias: reads what servers in use accept (bare LF, folded lines, spaces before the colon, any
//! method token); a line that is no field is passed over, only a bad start line makes a head bad.

use memchr::memchr;

use crate::protocol::http::{Field, Fields, Head, Start, Version};
use crate::protocol::{Match, Side};

/// Largest head that is read, in bytes with its last line: Node refuses more, nginx's and Apache's
/// single lines end at 8 KiB, and the kernel side captures as much of each turn of a direction.
pub const HEAD_LIMIT: usize = 16 * 1024;

/// Longest method that is taken for one where the version does not prove it: twice the longest one
/// registered with IANA (`UPDATEREDIRECTREF`).
const METHOD_LIMIT: usize = 34;

/// What [`parse`] found.
pub(super) enum Parsed {
    /// No end within these bytes.
    Partial,
    /// The start line is none.
    Bad,
    /// A head, and the bytes it took.
    Complete(Box<Head>, Framing, usize),
}

/// What a head says of its body, before the rules that depend on method and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framing {
    pub length: Length,
    pub coding: Coding,
}

/// `Content-Length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Absent,
    Bytes(u64),
    /// No number, or several that differ.
    Bad,
}

/// `Transfer-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Absent,
    /// The last coding is `chunked`.
    Chunked,
    /// The last coding is another one: the body's end can't be told from its bytes.
    Other,
}

/// What a request's method means for its response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    Other,
    /// Not seen, or not yet.
    Unknown,
}

impl Method {
    /// By the first word of a request that may not be complete.
    pub(super) fn of(request: &[u8]) -> Method {
        match request.iter().position(|&b| is_space(b)) {
            Some(end) => Method::named(&request[..end]),
            None => Method::Unknown,
        }
    }

    /// By its name.
    pub(super) fn named(name: &[u8]) -> Method {
        match name {
            b"HEAD" => Method::Head,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        }
    }
}

/// Reads a head that begins at the first of `bytes`.
pub(super) fn parse(side: Side, bytes: &[u8]) -> Parsed {
    let bytes = &bytes[..bytes.len().min(HEAD_LIMIT)];
    let Some(end) = memchr(b'\n', bytes) else {
        return Parsed::Partial;
    };
    let Some((start, version)) = start_line(side, &bytes[..end]) else {
        return Parsed::Bad;
    };
    let mut fields = Fields::new();
    let mut framing = Framing {
        length: Length::Absent,
        coding: Coding::Absent,
    };
    let mut folded = false;
    let mut at = end + 1;
    loop {
        let Some(length) = memchr(b'\n', &bytes[at..]) else {
            return Parsed::Partial;
        };
        let line = trim_cr(&bytes[at..at + length]);
        if line.is_empty() {
            at += length + 1;
            break;
        }
        if is_space(line[0]) {
            // A folded line goes on with the field before it (section 5.2); after the start line
            // there is none, and section 2.2 has it ignored.
            if let Some(last) = fields.last_mut() {
                let Field { value_end, .. } = last;
                *value_end = (at + trim_end(line).len()) as u32;
                folded = true;
            }
        } else if let Some(field) = field(line, at) {
            fields.push(field);
        }
        at += length + 1;
    }

    let mut text = bytes[..at].to_vec();
    for f in &mut fields {
        if folded {
            unfold(&mut text, f);
        }
        let name = &mut text[f.name as usize..f.name_end as usize];
        name.make_ascii_lowercase();
        // Both names are told from nearly all others by their length.
        match name.len() {
            14 if name == b"content-length" => {
                let value = &text[f.value as usize..f.value_end as usize];
                framing.length = framing.length.and(value);
            }
            17 if name == b"transfer-encoding" => {
                let value = &text[f.value as usize..f.value_end as usize];
                framing.coding = framing.coding.and(value);
            }
            _ => {}
        }
    }
    let head = Head {
        text,
        fields,
        start,
        version,
    };
    Parsed::Complete(Box::new(head), framing, at)
}

/// The start line's facts; its offsets count from the line's first byte. None if it is no start line
/// of that side. `line` may end in CR.
pub(super) fn start_line(side: Side, line: &[u8]) -> Option<(Start, Version)> {
    let line = trim_end(line);
    match side {
        Side::Request => {
            // Words are parted by white space (section 3); what stands between the first and the
            // last is the target, spaces in it included, since some servers take it so.
            let method_end = line.iter().position(|&b| is_space(b))?;
            let version = version(line.len().checked_sub(8).map(|at| &line[at..])?)?;
            let target = trim_end(line.get(method_end..line.len() - 8)?);
            let target_end = method_end + target.len();
            let leading = target.iter().take_while(|&&b| is_space(b)).count();
            let parted = target_end < line.len() - 8;
            if method_end == 0
                || !line[..method_end].iter().all(|&b| is_token(b))
                || leading == target.len()
                || !parted
            {
                return None;
            }
            let start = Start::Request {
                method: 0,
                method_end: method_end as u32,
                target: (method_end + leading) as u32,
                target_end: target_end as u32,
            };
            Some((start, version))
        }
        Side::Response => {
            let version = version(line.get(..8)?)?;
            let rest = &line[8..];
            let leading = rest.iter().take_while(|&&b| is_space(b)).count();
            let [a, b, c, after @ ..] = &rest[leading..] else {
                return None;
            };
            let digits = [a, b, c].iter().all(|d| d.is_ascii_digit());
            // The reason phrase may be missing, with or without the space before it (section 4).
            if leading == 0 || !digits || *a == b'0' || after.first().is_some_and(|&b| !is_space(b))
            {
                return None;
            }
            let digit = |b: &u8| u16::from(b - b'0');
            let status = digit(a) * 100 + digit(b) * 10 + digit(c);
            Some((Start::Response { status }, version))
        }
    }
}

/// Whether a message of that side may begin so. `Yes` only where hardly anything else does.
pub(super) fn begins(side: Side, bytes: &[u8]) -> Match {
    match side {
        Side::Response => {
            let prefix = b"HTTP/1.";
            let n = bytes.len().min(prefix.len());
            match (bytes[..n] == prefix[..n], n == prefix.len()) {
                (false, _) => Match::No,
                (true, false) => Match::Perhaps,
                (true, true) => Match::Yes,
            }
        }
        Side::Request => {
            let word = bytes.iter().take_while(|&&b| is_token(b)).count();
            if word > METHOD_LIMIT {
                return Match::No;
            }
            let Some(&after) = bytes.get(word) else {
                return Match::Perhaps;
            };
            if word == 0 || !is_space(after) {
                return Match::No;
            }
            if let Some(end) = memchr(b'\n', bytes) {
                return match start_line(side, &bytes[..end]) {
                    Some(_) => Match::Yes,
                    None => Match::No,
                };
            }
            // RTSP, SIP and ICAP use some of these methods too, with other targets.
            let known = METHODS.contains(&&bytes[..word]);
            let target = &bytes[word + 1..];
            match target.first() {
                Some(b'/') if known => Match::Yes,
                _ if known && target.starts_with(b"http") => Match::Yes,
                _ if bytes.len() >= HEAD_LIMIT => Match::No,
                _ => Match::Perhaps,
            }
        }
    }
}

/// Whether these bytes may go on to be a request's or response's start line, or (with its line feed)
/// are one. Stricter than [`start_line`], for use after a hole, where any bytes may come: behind the
/// rest of a body `GET` would be found in `xxxGET`.
pub(super) fn resumes(side: Side, bytes: &[u8]) -> bool {
    if let Some(line) = bytes.strip_suffix(b"\n")
        && start_line(side, line).is_none()
    {
        return false;
    }
    let method = match side {
        Side::Response => return begins(side, bytes) != Match::No,
        Side::Request => bytes.iter().take_while(|&&b| is_token(b)).count(),
    };
    match bytes.len() == method {
        true => METHODS.iter().any(|known| known.starts_with(bytes)),
        false => METHODS.contains(&&bytes[..method]) && begins(side, bytes) != Match::No,
    }
}

/// IANA's methods but those of versioning, and what UPnP and caches add.
const METHODS: [&[u8]; 26] = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"QUERY",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"REPORT",
    b"SEARCH",
    b"MERGE",
    b"MKCALENDAR",
    b"PURGE",
    b"M-SEARCH",
    b"NOTIFY",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
];

/// A header field's place; `at` is the line's first byte. None if the line is no field.
fn field(line: &[u8], at: usize) -> Option<Field> {
    let colon = memchr(b':', line)?;
    // Space before the colon is forbidden (section 5.1) and yet taken by some servers.
    let name_end = trim_end(&line[..colon]).len();
    if name_end == 0 {
        return None;
    }
    let leading = line[colon + 1..]
        .iter()
        .take_while(|&&b| is_space(b))
        .count();
    let value = colon + 1 + leading;
    let value_end = value + trim_end(&line[value..]).len();
    Some(Field {
        name: at as u32,
        name_end: (at + name_end) as u32,
        value: (at + value) as u32,
        value_end: (at + value_end) as u32,
    })
}

/// Replaces the line breaks in a folded value by spaces, as section 5.2 asks. Where the first line
/// held nothing, the value begins on a later one.
fn unfold(text: &mut [u8], f: &mut Field) {
    let value = &mut text[f.value as usize..f.value_end as usize];
    for b in value.iter_mut().filter(|b| matches!(**b, b'\r' | b'\n')) {
        *b = b' ';
    }
    let leading = value.iter().take_while(|&&b| is_space(b)).count();
    f.value += leading as u32;
}

impl Length {
    /// With one more field line. A list of equal numbers counts as that number (section 6.3).
    fn and(self, value: &[u8]) -> Length {
        value
            .split(|&b| b == b',')
            .fold(self, |seen, one| match (seen, number(trim(one))) {
                (Length::Absent, Some(n)) => Length::Bytes(n),
                (Length::Bytes(m), Some(n)) if m == n => seen,
                _ => Length::Bad,
            })
    }
}

impl Coding {
    /// With one more field line: the last coding of the last line counts.
    fn and(self, value: &[u8]) -> Coding {
        let mut seen = self;
        for one in value.split(|&b| b == b',') {
            let name = one.split(|&b| b == b';').next().unwrap_or_default();
            let name = trim(name);
            if name.eq_ignore_ascii_case(b"chunked") {
                seen = Coding::Chunked;
            } else if !name.is_empty() && !name.eq_ignore_ascii_case(b"identity") {
                // `identity` was no coding even when it was allowed (RFC 2616): as if absent.
                seen = Coding::Other;
            }
        }
        seen
    }
}

/// Decimal digits only, as section 6.2 asks.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// `HTTP/1.0` or a later minor version, which counts as 1.1 (RFC 9110, section 2.5).
fn version(text: &[u8]) -> Option<Version> {
    match text {
        b"HTTP/1.0" => Some(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Some(Version::Http11),
        _ => None,
    }
}

fn is_space(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t' | b'\r'] = text {
        text = rest;
    }
    text
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    trim_end(text)
}
