//! The tracker as a whole: socket events in, spans out. A [`Bed`] plays the kernel.

mod bounds;
mod contexts;
mod endings;
mod exchanges;
mod midway;
mod multiplexed;
mod parents;
mod random;
mod script;
mod streams;
mod thrift;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::event::{
    Addresses, Connection, ConnectionId, Direction, End, Ended, Event, Process, ProcessChange,
    Role, Task, Transfer,
};
use crate::protocol::{Framing, Incomplete};
use crate::resource::{Resource, SharedResource};

/// Boot-time ns to unix ns, in all tests but those about the clock.
const TO_UNIX: i64 = 1_000_000;

/// What came out.
#[derive(Default)]
struct Outlet {
    spans: Vec<Span>,
    ignored: Vec<ConnectionId>,
    framed: Vec<(ConnectionId, Framing)>,
    described: Vec<u32>,
    told: Vec<(u32, bool)>,
    go: bool,
    /// Connections are waited for by an event loop.
    event_driven: bool,
}

impl Host for Outlet {
    fn span(&mut self, span: Span) {
        self.spans.push(span);
    }

    fn ignore(&mut self, connection: ConnectionId) {
        self.ignored.push(connection);
    }

    fn framed(&mut self, connection: ConnectionId, framing: Framing) {
        self.framed.push((connection, framing));
    }

    fn describe(&mut self, pid: u32) -> SharedResource {
        self.described.push(pid);
        Arc::new(Resource {
            pid,
            service_name: format!("service-{pid}"),
            attributes: vec![],
            go: self.go,
        })
    }

    fn tell_goroutines(&mut self, pid: u32, wanted: bool) {
        self.told.push((pid, wanted));
    }
}

/// A tracker with what feeds it and what it feeds.
struct Bed {
    tracker: Tracker,
    out: Outlet,
    /// By connection and whether received: where the next byte lies.
    positions: HashMap<(u64, bool), u64>,
}

/// Who acts, on which connection.
#[derive(Clone, Copy)]
struct On {
    connection: u64,
    pid: u32,
    tid: u32,
    goid: u64,
    lineage: u64,
}

/// Connection `connection`, by the only thread of process 100.
fn on(connection: u64) -> On {
    by(connection, 100, 100)
}

fn by(connection: u64, pid: u32, tid: u32) -> On {
    On {
        connection,
        pid,
        tid,
        goid: 0,
        lineage: 0,
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Bed {
    fn new() -> Bed {
        Bed {
            tracker: Tracker::new(TO_UNIX),
            out: Outlet::default(),
            positions: HashMap::new(),
        }
    }

    fn event(&mut self, event: Event<'_>) {
        self.tracker.event(&event, &mut self.out);
    }

    /// An accepted connection from 10.0.0.9:4000+id to 10.0.0.1:80, seen from its begin.
    fn accepted(&mut self, connection: u64) {
        self.connection(
            connection,
            Role::Accepted,
            "10.0.0.1:80",
            &client(connection),
        );
    }

    /// A connection to 10.0.0.1:80, seen from its begin; `connect` took from 10 to 20.
    fn connected(&mut self, connection: u64) {
        self.connection(
            connection,
            Role::Connected,
            &client(connection),
            "10.0.0.1:80",
        );
    }

    fn connection(&mut self, connection: u64, role: Role, local: &str, remote: &str) {
        self.connection_with(connection, role, local, remote, (1000, 5000));
    }

    fn connection_with(
        &mut self,
        connection: u64,
        role: Role,
        local: &str,
        remote: &str,
        sequence: (u32, u32),
    ) {
        self.event(Event::Connection(Connection {
            connection: ConnectionId(connection),
            pid: 100,
            role,
            addresses: Some(Addresses {
                local: address(local),
                remote: address(remote),
            }),
            midway: false,
            event_driven: self.out.event_driven,
            sequence,
            connect_ns: (role == Role::Connected).then_some((10, 20)),
        }));
    }

    fn received(&mut self, on: On, (begin, end): (u64, u64), bytes: &[u8]) {
        self.transfer(on, Direction::Received, (begin, end), bytes, bytes.len());
    }

    fn sent(&mut self, on: On, (begin, end): (u64, u64), bytes: &[u8]) {
        self.transfer(on, Direction::Sent, (begin, end), bytes, bytes.len());
    }

    /// `length` bytes of which the first were captured.
    fn transfer(
        &mut self,
        on: On,
        direction: Direction,
        (start_ns, end_ns): (u64, u64),
        head: &[u8],
        length: usize,
    ) {
        let lane = (on.connection, direction == Direction::Received);
        let next = self.positions.entry(lane).or_default();
        let position = *next;
        *next += length as u64;
        self.event(Event::Transfer(Transfer {
            connection: ConnectionId(on.connection),
            length: length as u32,
            start_ns,
            end_ns,
            task: Task {
                pid: on.pid,
                tid: on.tid,
                goid: on.goid,
                lineage: on.lineage,
            },
            ..Transfer::of_bytes(direction, position, head)
        }));
    }

    /// The record of a transfer finds no room in the ring.
    fn lost(&mut self, on: On, direction: Direction, length: u64) {
        let lane = (on.connection, direction == Direction::Received);
        *self.positions.entry(lane).or_default() += length;
    }

    fn ended(&mut self, connection: u64, what: End, at_ns: u64) {
        self.event(Event::Ended(Ended {
            connection: ConnectionId(connection),
            what,
            at_ns,
        }));
    }

    /// The connection is gone, and so long that nothing more of it comes.
    fn closed(&mut self, connection: u64, at_ns: u64) {
        self.ended(connection, End::All, at_ns);
        self.tick(at_ns + 50_000_000);
    }

    fn tick(&mut self, now: u64) {
        self.tracker.tick(now, &mut self.out);
    }

    /// Time passes while the agent runs.
    fn ticks(&mut self, from: u64, to: u64) {
        for now in (from..to).step_by(30_000_000_000) {
            self.tick(now);
        }
        self.tick(to);
    }

    fn stop(&mut self) {
        self.tracker.stop(&mut self.out);
    }

    /// The spans since the last call.
    fn spans(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.out.spans)
    }

    /// The only span since the last call.
    fn span(&mut self) -> Span {
        let mut spans = self.spans();
        assert_eq!(spans.len(), 1, "{spans:#?}");
        spans.remove(0)
    }

    /// (started, complete, incomplete by reason); they must add up.
    fn messages(&self) -> (u64, u64, Vec<(Incomplete, u64)>) {
        let counts = self.tracker.counts().messages;
        let incomplete: Vec<_> = Incomplete::ALL
            .into_iter()
            .zip(counts.incomplete)
            .filter(|(_, count)| *count > 0)
            .collect();
        (counts.started, counts.complete, incomplete)
    }

    /// Nothing is left behind: to be called at the end of a test, after [`Bed::stop`].
    fn assert_empty(&self) {
        let tracker = &self.tracker;
        assert_eq!(tracker.exchanges.len(), 0);
        assert_eq!(tracker.traces.len(), 0);
        assert_eq!(tracker.held.len(), 0);
        assert_eq!(tracker.kept, 0);
        assert!(tracker.executors.is_idle());
        assert!(tracker.goroutines.is_idle());
        assert!(tracker.forwarded.is_empty());
        let counts = tracker.counts().messages;
        let incomplete: u64 = counts.incomplete.iter().sum();
        assert_eq!(counts.started, counts.complete + incomplete, "{counts:?}");
    }
}

fn client(connection: u64) -> String {
    format!("10.0.0.9:{}", 4000 + connection)
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn get_in(path: &str, traceparent: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\ntraceparent: {traceparent}\r\n\r\n").into_bytes()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn path(span: &Span) -> String {
    let head = span.request.as_ref().and_then(Head::http).unwrap();
    String::from_utf8(head.target().to_vec()).unwrap()
}

fn status(span: &Span) -> u16 {
    span.response
        .as_ref()
        .and_then(Head::http)
        .map_or(0, |head| head.status())
}

/// A boot-time instant as a span shows it.
fn unix(boot: u64) -> u64 {
    boot.saturating_add_signed(TO_UNIX)
}
