//! Bounds: what full tables turn away, and that memory does not grow.

use super::*;
use crate::span::connection::{self, IDLE_LIMIT, MAX_CONNECTIONS};
use crate::span::exchange::Exchange;
use crate::span::peer::MAX_HELD;
use crate::span::streamed::{MAX_KEPT, StreamMessage};
use crate::span::tracker::{MAX_EXCHANGES, MAX_PROCESSES};
use crate::span::weight;

#[test]
fn a_full_table_lets_the_idlest_go() {
    let mut bed = Bed::new();
    for id in 0..MAX_CONNECTIONS as u64 {
        bed.event(Event::Connection(Connection {
            connection: ConnectionId(id),
            pid: 1,
            role: Role::Accepted,
            addresses: None,
            midway: false,
            event_driven: false,
            sequence: (0, 0),
            connect_ns: None,
        }));
        // All but the first hundred show a sign of life.
        let now = if id < 100 { 1 } else { 1000 };
        bed.received(on(id), (now, now), b"GET /a HTTP/1.1\r\n");
    }
    assert_eq!(bed.tracker.counts().limits.connections_evicted, 0);
    bed.received(on(1), (1001, 1001), b"Host: a\r\n\r\n");
    bed.received(on(u64::MAX), (1002, 1002), &get("/new"));
    bed.sent(on(u64::MAX), (1003, 1003), OK);
    assert_eq!(path(&bed.span()), "/new");
    bed.sent(on(1), (1004, 1004), OK);
    assert_eq!(path(&bed.span()), "/a", "it was not idle");
    let counts = bed.tracker.counts();
    assert_eq!(
        counts.limits.connections_evicted,
        MAX_CONNECTIONS as u64 / 16
    );
    let (_, _, incomplete) = bed.messages();
    assert_eq!(
        incomplete,
        [(Incomplete::Evicted, counts.limits.connections_evicted)]
    );
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_silent_connection_is_let_go() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.accepted(2);
    bed.received(on(1), (100, 110), &get("/a"));
    bed.received(on(2), (100, IDLE_LIMIT), &get("/b"));
    bed.ticks(0, IDLE_LIMIT + 1_000);
    bed.tracker.sweep(&mut bed.out);
    let span = bed.span();
    assert_eq!(
        (path(&span), span.incomplete),
        ("/a".to_owned(), Some(Incomplete::Evicted))
    );
    assert_eq!(bed.tracker.counts().limits.connections_idle, 1);
}

#[test]
fn while_the_machine_sleeps_no_connection_is_silent() {
    const SLEPT: u64 = 10 * IDLE_LIMIT;
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/a"));
    bed.ticks(0, 1_000);
    bed.ticks(SLEPT, SLEPT + IDLE_LIMIT - 1);
    bed.tracker.sweep(&mut bed.out);
    assert!(bed.spans().is_empty(), "it may be answered yet");
    bed.ticks(SLEPT + IDLE_LIMIT - 1, SLEPT + IDLE_LIMIT);
    bed.tracker.sweep(&mut bed.out);
    assert_eq!(bed.span().incomplete, Some(Incomplete::Evicted));
}

#[test]
fn what_is_kept_of_all_has_a_bound() {
    const KEPT: usize = 1 << 20;
    let mut bed = Bed::new();
    for id in 0..200 {
        bed.accepted(id);
        bed.received(on(id), (id, id), b"GET /slow HTTP/1.1\r\nX: ");
        bed.received(on(id), (id, id), &[b'x'; 8000]);
    }
    bed.tracker.lighten(KEPT, &mut bed.out);
    let given_up = bed.tracker.counts().limits.memory;
    assert!((50..150).contains(&given_up), "{given_up}");
    assert_eq!(bed.messages().2, [(Incomplete::Evicted, given_up)]);
    // Those that spoke last are still there.
    bed.received(on(199), (1000, 1000), b"\r\n\r\n");
    bed.sent(on(199), (1001, 1001), OK);
    assert_eq!(path(&bed.span()), "/slow");
    bed.stop();
    bed.assert_empty();
}

#[test]
fn requests_without_answers_are_followed_up_to_a_bound() {
    let mut bed = Bed::new();
    bed.accepted(1);
    for n in 0..3000 {
        bed.received(on(1), (n, n), &get("/x"));
    }
    assert!(bed.tracker.exchanges.len() <= 1024);
    for n in 0..3000 {
        bed.sent(on(1), (5000 + n, 5000 + n), OK);
    }
    bed.received(on(1), (9000, 9000), &get("/after"));
    bed.sent(on(1), (9001, 9001), OK);
    let spans = bed.spans();
    assert_eq!(path(spans.last().unwrap()), "/after");
    assert!(bed.tracker.counts().limits.exchanges > 0 || spans.len() == 3001);
    bed.stop();
    bed.assert_empty();
}

#[test]
fn too_many_processes_are_looked_at_anew() {
    let mut bed = Bed::new();
    for pid in 1..=MAX_PROCESSES as u32 + 1 {
        let on = by(pid.into(), pid, pid);
        bed.accepted(pid.into());
        bed.received(on, (1, 2), &get("/a"));
        bed.sent(on, (3, 4), OK);
        assert_eq!(bed.span().resource.pid, pid);
    }
    let counts = bed.tracker.counts();
    assert_eq!(counts.limits.processes, MAX_PROCESSES as u64);
    assert_eq!(bed.tracker.processes.len(), 1);
    bed.stop();
    bed.assert_empty();
}

#[test]
fn too_many_spans_that_wait_for_their_callers_go_without() {
    let mut bed = Bed::new();
    // So a caller may come for each connection's first request.
    bed.connected(0);
    for id in 1..=MAX_HELD as u64 + 2 {
        bed.accepted(id);
        bed.received(on(id), (100, 110), &get("/a"));
        bed.sent(on(id), (120, 130), OK);
    }
    assert_eq!(bed.tracker.counts().limits.held, 2);
    assert_eq!(bed.spans().len(), 2);
    bed.stop();
    assert_eq!(bed.spans().len(), MAX_HELD);
    bed.assert_empty();
}

/// What CONTRIBUTING says of memory.
#[test]
fn the_tables_have_a_ceiling() {
    let tables = MAX_CONNECTIONS * size_of::<connection::Connection>()
        + MAX_EXCHANGES * size_of::<Exchange>()
        + MAX_KEPT * size_of::<StreamMessage>()
        + weight::MOST;
    assert!(tables <= 350 << 20, "{} MiB", tables >> 20);
}
