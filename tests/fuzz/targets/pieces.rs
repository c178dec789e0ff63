//! Whole exchanges of every protocol, against what was sent: wherever their bytes are cut, their spans say it all;
//! where transfers are lost or captured in part, they say nothing else. Once nothing is missing any more, spans
//! of a client that waits for each answer are whole again.
//!
//! The input is a tape of choices.

#![no_main]

use std::sync::Arc;

use fuzz::event::{self, ConnectionId, Direction, Event, Role, Transfer};
use fuzz::protocol::{Framing, Head};
use fuzz::resource::{Resource, SharedResource};
use fuzz::span::{Host, Span, Tracker};
use libfuzzer_sys::fuzz_target;

/// What the kernel side copies of a long transfer: its first bytes and its last.
const CAPTURED: (usize, usize) = (256, 1024);

/// With this exchange everything is whole again.
const LOSSES_END: usize = 8;
/// Exchanges at all.
const EXCHANGES: usize = 14;

fuzz_target!(|input: &[u8]| {
    let mut tape = Tape(input);
    let form = FORMS[usize::from(tape.next()) % FORMS.len()];
    // What is pipelined behind a chunked body can't be told from it where that was not captured.
    let choice = tape.next();
    let pipelines = choice & 1 != 0 && form != Form::Chunked;
    let loses = choice & 6 != 0;
    let mut carried = Carried::default();
    let mut sent = Vec::new();
    let mut cuts_heads = false;
    carried.one(Direction::Received, form.opening(), false, false);
    while sent.len() < EXCHANGES {
        let n = sent.len();
        let mixed = (1..LOSSES_END).contains(&n);
        let batch = match mixed && pipelines {
            true => usize::from(tape.next()) % 3 + 1,
            false => 1,
        };
        for n in n..n + batch {
            let (asked, answered) = (tape.length(), tape.length());
            sent.push((form.request(n, asked), form.response(n, answered)));
        }
        let batch = &sent[n..];
        for (direction, bytes) in [
            (
                Direction::Received,
                batch.iter().flat_map(|sent| sent.0.clone()).collect(),
            ),
            (
                Direction::Sent,
                batch
                    .iter()
                    .flat_map(|sent| sent.1.clone())
                    .collect::<Vec<u8>>(),
            ),
        ] {
            if !mixed {
                carried.one(direction, &bytes, false, false);
                continue;
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                cuts_heads |= form == Form::Http2 && is_in_head(&bytes, bytes.len() - rest.len());
                let choice = tape.next();
                let length = match choice & 3 {
                    0 => rest.len(),
                    _ => usize::from(tape.next()) * 4 + 1,
                };
                let (transfer, behind) = rest.split_at(length.min(rest.len()));
                rest = behind;
                let lost = loses && choice & 0x1c == 4;
                let in_part = loses && choice & 0x20 != 0;
                carried.one(direction, transfer, lost, in_part);
            }
        }
    }
    let spans = carried.finish();
    for span in &spans {
        hold(span, &sent);
    }
    let first = match (loses, pipelines) {
        (false, _) => 0,
        // What is left of a head, and what comes behind it, may look like a head.
        (true, false) if cuts_heads => return,
        // Each side's last loss shows with its next message.
        (true, false) => LOSSES_END + 2,
        // How many answers were lost does not show.
        (true, true) => return,
    };
    for n in first..EXCHANGES {
        let found = spans
            .iter()
            .find(|span| number(span.request.as_ref()) == Some(n));
        let found = found.unwrap_or_else(|| panic!("{form:?}: no span of {n}: {spans:#?}"));
        assert!(found.incomplete.is_none(), "{form:?}: {found:#?}");
        assert_eq!(number(found.response.as_ref()), Some(n), "{form:?}");
    }
});

/// What a span says is what was sent.
fn hold(span: &Span, sent: &[(Vec<u8>, Vec<u8>)]) {
    let asked = number(span.request.as_ref());
    let answered = number(span.response.as_ref());
    if let (Some(asked), Some(answered)) = (asked, answered) {
        assert_eq!(asked, answered, "a wrong pair: {span:#?}");
    }
    if let (Some(n), Some(sizes)) = (asked, span.request_sizes) {
        assert_eq!(sizes.wire, sent[n].0.len() as u64, "{span:#?}");
    }
    if let (Some(n), Some(sizes)) = (answered, span.response_sizes) {
        assert_eq!(sizes.wire, sent[n].1.len() as u64, "{span:#?}");
    }
    if span.incomplete.is_none() {
        assert!(asked.is_some() && answered.is_some(), "{span:#?}");
        assert!(span.request_sizes.is_some() && span.response_sizes.is_some());
    }
}

/// Which exchange a head is of.
fn number(head: Option<&Head>) -> Option<usize> {
    let text = match head? {
        Head::Http(head) => head.target().strip_prefix(b"/").or(head.field("number")),
        Head::Rpc(head) => head.method.strip_prefix(b"m"),
    };
    let text = text.unwrap_or_else(|| panic!("a head that nobody sent: {head:?}"));
    Some(String::from_utf8_lossy(text).parse().expect("a number"))
}

/// Choices, one after the other; 0 when there are no more.
struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Of a body: small ones, and those that are captured in part.
    fn length(&mut self) -> usize {
        match usize::from(self.next()) {
            small @ 0..128 => small,
            large => (large - 127) * 40,
        }
    }
}

/// A connection that a server accepted, and the spans of it.
struct Carried {
    tracker: Tracker,
    spans: Spans,
    positions: [u64; 2],
    now: u64,
}

struct Spans {
    resource: SharedResource,
    spans: Vec<Span>,
}

impl Host for Spans {
    fn span(&mut self, span: Span) {
        self.spans.push(span);
    }

    fn ignore(&mut self, _: ConnectionId) {}

    fn framed(&mut self, _: ConnectionId, _: Framing) {}

    fn describe(&mut self, _: u32) -> SharedResource {
        self.resource.clone()
    }

    fn tell_goroutines(&mut self, _: u32, _: bool) {}
}

impl Default for Carried {
    fn default() -> Carried {
        let mut tracker = Tracker::new(0);
        tracker.seed_ids([7; 32]);
        let mut spans = Spans {
            resource: Arc::new(Resource {
                pid: 1,
                service_name: "fuzzed".to_owned(),
                attributes: Vec::new(),
                go: false,
            }),
            spans: Vec::new(),
        };
        let connection = event::Connection {
            connection: ConnectionId(1),
            pid: 1,
            role: Role::Accepted,
            addresses: None,
            midway: false,
            event_driven: false,
            sequence: (0, 0),
            connect_ns: None,
        };
        tracker.event(&Event::Connection(connection), &mut spans);
        Carried {
            tracker,
            spans,
            positions: [0; 2],
            now: 1,
        }
    }
}

impl Carried {
    /// One transfer.
    fn one(&mut self, direction: Direction, bytes: &[u8], lost: bool, in_part: bool) {
        if bytes.is_empty() {
            return;
        }
        let position = &mut self.positions[direction as usize];
        let (head, rest) = match in_part {
            true => bytes.split_at(CAPTURED.0.min(bytes.len())),
            false => (bytes, &[][..]),
        };
        self.now += 1000;
        let transfer = Transfer {
            length: bytes.len() as u32,
            end_ns: self.now,
            tail: &rest[rest.len() - CAPTURED.1.min(rest.len())..],
            ..Transfer::of_bytes(direction, *position, head)
        };
        *position += bytes.len() as u64;
        if !lost {
            self.tracker
                .event(&Event::Transfer(transfer), &mut self.spans);
        }
    }

    fn finish(mut self) -> Vec<Span> {
        self.tracker.stop(&mut self.spans);
        self.spans.spans
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Length,
    Chunked,
    Http2,
    Bare,
    Framed,
    Ttheader,
}

const FORMS: [Form; 6] = [
    Form::Length,
    Form::Chunked,
    Form::Http2,
    Form::Bare,
    Form::Framed,
    Form::Ttheader,
];

impl Form {
    /// What a client sends before its first request.
    fn opening(self) -> &'static [u8] {
        match self {
            Form::Http2 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            _ => b"",
        }
    }

    fn request(self, n: usize, length: usize) -> Vec<u8> {
        match self {
            Form::Length | Form::Chunked => self.http1(&format!("POST /{n} HTTP/1.1\r\n"), length),
            Form::Http2 => {
                let path = format!("/{n}");
                let block = [b"\x83\x86\x04", &[path.len() as u8][..], path.as_bytes()].concat();
                http2(n, &block, length)
            }
            _ => self.thrift(1, n, length),
        }
    }

    fn response(self, n: usize, length: usize) -> Vec<u8> {
        match self {
            Form::Length | Form::Chunked => {
                self.http1(&format!("HTTP/1.1 200 OK\r\nNumber: {n}\r\n"), length)
            }
            Form::Http2 => {
                let number = n.to_string();
                let name = b"\x88\0\x06number";
                let block = [name, &[number.len() as u8][..], number.as_bytes()].concat();
                http2(n, &block, length)
            }
            _ => self.thrift(2, n, length),
        }
    }

    fn http1(self, begin: &str, length: usize) -> Vec<u8> {
        let body = "x".repeat(length);
        let text = match (self, length) {
            (Form::Chunked, 0) => format!("{begin}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            (Form::Chunked, _) => {
                format!(
                    "{begin}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
                )
            }
            _ => format!("{begin}Content-Length: {length}\r\n\r\n{body}"),
        };
        text.into_bytes()
    }

    /// `kind`: 1 a call, 2 its reply.
    fn thrift(self, kind: u8, n: usize, length: usize) -> Vec<u8> {
        let name = format!("m{n}");
        let mut message = vec![0x80, 1, 0, kind];
        message.extend((name.len() as u32).to_be_bytes());
        message.extend(name.bytes());
        message.extend((n as u32).to_be_bytes());
        message.extend(if kind == 1 {
            b"\x0b\0\x01"
        } else {
            b"\x0b\0\0"
        });
        message.extend((length as u32).to_be_bytes());
        message.extend(vec![b'x'; length]);
        message.push(0);
        let framed = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        match self {
            Form::Bare => message,
            Form::Framed => framed(&message),
            _ => {
                let number = (n as u32).to_be_bytes();
                let header = [b"\x10\0\0\0", &number[..], b"\0\x01\0\0\0\0"].concat();
                framed(&[header, message].concat())
            }
        }
    }
}

/// Whether a frame's head is cut there.
fn is_in_head(frames: &[u8], at: usize) -> bool {
    let mut begin = 0;
    while begin < at {
        let length = u32::from_be_bytes([0, frames[begin], frames[begin + 1], frames[begin + 2]]);
        if at < begin + 9 {
            return true;
        }
        begin += 9 + length as usize;
    }
    false
}

/// A message on its stream: a header block and DATA.
fn http2(n: usize, block: &[u8], length: usize) -> Vec<u8> {
    let stream = (n as u32 * 2 + 1).to_be_bytes();
    let frame = |kind: u8, flags: u8, payload: &[u8]| {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &stream, payload].concat()
    };
    let body = vec![b'x'; length];
    [frame(1, 4, block), frame(0, 1, &body)].concat()
}
