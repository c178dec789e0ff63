//! A protocol that says what it is told to: what a parser may bring about, without its bytes.

use std::sync::{Arc, Mutex};

use super::*;
use crate::protocol::{Event as Told, Input, Protocol, Side, http, rpc};
use crate::span::feed::Feed;

/// What the next transfer, or the end, brings about.
type Lines = Arc<Mutex<Vec<Told>>>;

struct Script {
    lines: Lines,
    framing: Option<Framing>,
}

impl Protocol for Script {
    fn memory(&self) -> usize {
        0
    }

    fn push(&mut self, _: Side, input: Input<'_>, out: &mut Vec<Told>) {
        if let Input::Bytes(_) = input {
            out.append(&mut self.lines.lock().unwrap());
        }
    }

    fn end(&mut self, _: Side, _: Incomplete, out: &mut Vec<Told>) {
        out.append(&mut self.lines.lock().unwrap());
    }

    fn framing(&self) -> Option<Framing> {
        self.framing
    }
}

/// A connection that follows a script.
pub(super) struct Scripted {
    on: On,
    kind: Kind,
    lines: Lines,
}

impl Bed {
    /// Connection `id` follows a script from now on.
    pub(super) fn scripted(&mut self, id: u64, kind: Kind, framing: Option<Framing>) -> Scripted {
        match kind {
            Kind::Server => self.accepted(id),
            Kind::Client => self.connected(id),
        }
        let lines = Lines::default();
        let script = Script {
            lines: lines.clone(),
            framing,
        };
        let slot = self.tracker.table.followed(ConnectionId(id)).unwrap();
        self.tracker.table.get_mut(slot).unwrap().feed = Feed::of(kind, Box::new(script));
        Scripted {
            on: on(id),
            kind,
            lines,
        }
    }

    /// A transfer of that side, of 100 bytes, brings that about.
    pub(super) fn told(
        &mut self,
        script: &Scripted,
        side: Side,
        time: (u64, u64),
        events: Vec<Told>,
    ) {
        *script.lines.lock().unwrap() = events;
        let received = (side == Side::Request) == (script.kind == Kind::Server);
        match received {
            true => self.received(script.on, time, &[0; 100]),
            false => self.sent(script.on, time, &[0; 100]),
        }
    }

    /// The connection closes, which brings that about.
    pub(super) fn told_at_end(&mut self, script: &Scripted, at: u64, events: Vec<Told>) {
        *script.lines.lock().unwrap() = events;
        self.closed(script.on.connection, at);
    }
}

/// The head of a gRPC call.
pub(super) fn call(path: &str) -> Head {
    let mut head = http::Head::request(b"POST", path.as_bytes(), http::Version::Http2);
    head.push(b":authority", b"a:80");
    head.push(b"content-type", b"application/grpc");
    head.into()
}

/// The head of its answer.
pub(super) fn answer() -> Head {
    let mut head = http::Head::response(200, http::Version::Http2);
    head.push(b"content-type", b"application/grpc");
    head.into()
}

/// What follows it.
pub(super) fn trailers(status: &str) -> Box<http::Head> {
    let mut head = http::Head::response(0, http::Version::Http2);
    head.push(b"grpc-status", status.as_bytes());
    Box::new(head)
}

/// The head of a Thrift message.
pub(super) fn thrift(kind: rpc::Kind) -> Head {
    rpc::Head {
        transport: rpc::Transport::Framed,
        codec: Some(rpc::Codec::Binary),
        kind,
        seq_id: 1,
        method: b"echo".to_vec(),
        fields: vec![],
        failure: None,
    }
    .into()
}
