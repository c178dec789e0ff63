//! Trace and parent: propagated, by the connection's other end, by who did it; and their refusals.

use super::*;
use crate::context::Format;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{SENDER}-01")
}

/// A client (process 1) calls a server (process 2): connection 1 is the client's end, 2 the server's.
fn two_ends(bed: &mut Bed) {
    ends(bed, (1, 2), 4001);
}

/// The two ends of another connection, by the client's port.
fn ends(bed: &mut Bed, (caller, server): (u64, u64), port: u16) {
    let local = format!("127.0.0.1:{port}");
    bed.connection_with(caller, Role::Connected, &local, "127.0.0.1:80", (900, 700));
    bed.connection_with(server, Role::Accepted, "127.0.0.1:80", &local, (700, 900));
}

const CALLER: On = On {
    connection: 1,
    pid: 1,
    tid: 1,
    goid: 0,
    lineage: 0,
};
const SERVER: On = On {
    connection: 2,
    pid: 2,
    tid: 2,
    goid: 0,
    lineage: 0,
};

fn of_kind(spans: &[Span], kind: Kind) -> &Span {
    let mut found = spans.iter().filter(|span| span.kind == kind);
    let span = found.next().unwrap();
    assert!(found.next().is_none());
    span
}

#[track_caller]
fn assert_server_below_client(spans: &[Span]) {
    let (client, server) = (of_kind(spans, Kind::Client), of_kind(spans, Kind::Server));
    assert_eq!(
        server.parent,
        Some((client.span_id, ParentSource::Connection))
    );
    assert_eq!(server.trace_id, client.trace_id);
}

#[test]
fn a_propagated_context_is_taken_over() {
    let mut bed = Bed::new();
    bed.accepted(1);
    let request = format!(
        "GET / HTTP/1.1\r\ntraceparent: 00-{TRACE}-{SENDER}-00\r\ntracestate: a=1,b=2\r\n\r\n"
    );
    bed.received(on(1), (100, 110), request.as_bytes());
    bed.sent(on(1), (120, 130), OK);
    let span = bed.span();
    assert_eq!(span.trace_id.to_string(), TRACE);
    let (parent, source) = span.parent.unwrap();
    assert_eq!(
        (parent.to_string().as_str(), source),
        (SENDER, ParentSource::Propagated)
    );
    assert_eq!(
        (span.sampled, span.trace_state.as_str()),
        (Some(false), "a=1,b=2")
    );
    assert_eq!(span.format, Some(Format::W3c));
    assert_eq!(bed.tracker.counts().contexts, 1);
}

#[test]
fn a_malformed_context_is_ignored_and_counted() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get_in("/", "00-nonsense-01"));
    bed.sent(on(1), (120, 130), OK);
    let span = bed.span();
    assert_eq!((span.parent, span.format, span.sampled), (None, None, None));
    assert_eq!(bed.tracker.counts().malformed_contexts, 1);
}

#[test]
fn both_ends_of_a_connection_are_one_chain() {
    let mut bed = Bed::new();
    two_ends(&mut bed);
    for n in 0..3 {
        let at = n * 1000;
        bed.sent(CALLER, (at + 100, at + 110), &get("/"));
        bed.received(SERVER, (at + 110, at + 120), &get("/"));
        bed.sent(SERVER, (at + 200, at + 210), OK);
        bed.received(CALLER, (at + 210, at + 220), OK);
        let spans = bed.spans();
        assert_server_below_client(&spans);
        assert_eq!(of_kind(&spans, Kind::Client).parent, None);
    }
}

#[test]
fn both_ends_with_a_propagated_context() {
    let mut bed = Bed::new();
    two_ends(&mut bed);
    let request = get_in("/", &traceparent());
    bed.sent(CALLER, (100, 110), &request);
    bed.received(SERVER, (110, 120), &request);
    bed.sent(SERVER, (200, 210), OK);
    bed.received(CALLER, (210, 220), OK);
    let spans = bed.spans();
    assert_server_below_client(&spans);
    let client = of_kind(&spans, Kind::Client);
    assert_eq!(client.parent.unwrap().1, ParentSource::Propagated);
    assert_eq!(client.trace_id.to_string(), TRACE);
    assert_eq!(of_kind(&spans, Kind::Server).format, Some(Format::W3c));
}

#[test]
fn the_servers_record_may_come_first() {
    let mut bed = Bed::new();
    two_ends(&mut bed);
    bed.received(SERVER, (110, 120), &get("/"));
    bed.sent(CALLER, (100, 130), &get("/"));
    bed.sent(SERVER, (200, 210), OK);
    bed.received(CALLER, (210, 220), OK);
    bed.tick(1_000);
    assert_server_below_client(&bed.spans());
}

#[test]
fn the_server_may_even_be_done_first() {
    let mut bed = Bed::new();
    two_ends(&mut bed);
    bed.received(SERVER, (110, 120), &get("/"));
    bed.sent(SERVER, (200, 210), OK);
    assert!(bed.spans().is_empty(), "its parent may still come");
    bed.sent(CALLER, (100, 220), &get("/"));
    bed.received(CALLER, (210, 230), OK);
    bed.tick(1_000);
    assert_server_below_client(&bed.spans());
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_first_exchange_waits_for_a_peer_not_known_yet() {
    let mut bed = Bed::new();
    // Some traced process makes calls.
    bed.connected(9);
    let local = "127.0.0.1:4001";
    bed.connection_with(2, Role::Accepted, "127.0.0.1:80", local, (700, 900));
    bed.received(SERVER, (110, 120), &get("/"));
    bed.sent(SERVER, (200, 210), OK);
    assert!(bed.spans().is_empty());
    bed.connection_with(1, Role::Connected, local, "127.0.0.1:80", (900, 700));
    bed.sent(CALLER, (100, 220), &get("/"));
    bed.received(CALLER, (210, 230), OK);
    bed.tick(1_000);
    assert_server_below_client(&bed.spans());
}

#[test]
fn a_peer_that_never_comes_is_not_waited_for_long() {
    let mut bed = Bed::new();
    bed.connected(9);
    bed.accepted(2);
    bed.received(SERVER, (110, 120), &get("/a"));
    bed.sent(SERVER, (200, 210), OK);
    bed.tick(90_000_000);
    assert!(bed.spans().is_empty());
    bed.tick(200_000_000);
    assert_eq!(bed.span().parent, None);
    bed.received(SERVER, (400_000_000, 400_000_001), &get("/b"));
    bed.sent(SERVER, (400_000_002, 400_000_003), OK);
    assert_eq!(bed.span().parent, None, "the second does not wait");
}

#[test]
fn a_peer_waited_for_in_vain_is_not_waited_for_again() {
    let mut bed = Bed::new();
    two_ends(&mut bed);
    bed.received(SERVER, (110, 120), &get("/a"));
    bed.sent(SERVER, (200, 210), OK);
    bed.tick(900_000_000);
    assert!(bed.spans().is_empty(), "it is traced: it comes, if late");
    bed.tick(1_100_000_000);
    assert_eq!(bed.span().parent, None);
    bed.received(SERVER, (1_300_000_000, 1_300_000_001), &get("/b"));
    bed.sent(SERVER, (1_300_000_002, 1_300_000_003), OK);
    assert_eq!(bed.span().parent, None);
    bed.stop();
    bed.assert_empty();
}

#[test]
fn alone_a_server_waits_for_nobody() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (110, 120), &get("/a"));
    bed.sent(on(1), (200, 210), OK);
    assert_eq!(bed.span().parent, None);
}

#[test]
fn a_dual_stack_listener_names_its_peer_otherwise() {
    let mut bed = Bed::new();
    bed.connection_with(
        1,
        Role::Connected,
        "127.0.0.1:4001",
        "127.0.0.1:80",
        (900, 700),
    );
    bed.connection_with(
        2,
        Role::Accepted,
        "[::ffff:127.0.0.1]:80",
        "[::ffff:127.0.0.1]:4001",
        (700, 900),
    );
    bed.sent(CALLER, (100, 110), &get("/"));
    bed.received(SERVER, (110, 120), &get("/"));
    bed.sent(SERVER, (200, 210), OK);
    bed.received(CALLER, (210, 220), OK);
    assert_server_below_client(&bed.spans());
}

#[test]
fn pipelined_requests_meet_one_by_one() {
    let mut bed = Bed::new();
    two_ends(&mut bed);
    let all: Vec<u8> = (0..3).flat_map(|n| get(&format!("/{n}"))).collect();
    bed.sent(CALLER, (100, 110), &all);
    bed.received(SERVER, (110, 120), &all[..50]);
    bed.received(SERVER, (110, 130), &all[50..]);
    bed.sent(SERVER, (200, 210), &OK.repeat(3));
    bed.received(CALLER, (210, 220), &OK.repeat(3));
    let spans = bed.spans();
    assert_eq!(spans.len(), 6);
    for n in 0..3 {
        let same: Vec<_> = spans
            .iter()
            .filter(|span| path(span) == format!("/{n}"))
            .cloned()
            .collect();
        assert_server_below_client(&same);
    }
}

#[test]
fn other_bytes_of_the_same_addresses_do_not_meet() {
    let mut bed = Bed::new();
    bed.connection_with(
        1,
        Role::Connected,
        "127.0.0.1:4001",
        "127.0.0.1:80",
        (900, 700),
    );
    // In another network namespace, say.
    bed.connection_with(
        2,
        Role::Accepted,
        "127.0.0.1:80",
        "127.0.0.1:4001",
        (123, 456),
    );
    bed.sent(CALLER, (100, 110), &get("/"));
    bed.received(SERVER, (110, 120), &get("/"));
    bed.sent(SERVER, (200, 210), OK);
    bed.received(CALLER, (210, 220), OK);
    bed.tick(1_100_000_000);
    let spans = bed.spans();
    assert_eq!(spans.len(), 2);
    assert_ne!(spans[0].trace_id, spans[1].trace_id);
    assert!(spans.iter().all(|span| span.parent.is_none()));
}

#[test]
fn without_sequence_numbers_positions_from_the_first_byte_do() {
    let mut bed = Bed::new();
    bed.connection_with(1, Role::Connected, "127.0.0.1:4001", "127.0.0.1:80", (0, 0));
    bed.connection_with(2, Role::Accepted, "127.0.0.1:80", "127.0.0.1:4001", (0, 0));
    bed.sent(CALLER, (100, 110), &get("/"));
    bed.received(SERVER, (110, 120), &get("/"));
    bed.sent(SERVER, (200, 210), OK);
    bed.received(CALLER, (210, 220), OK);
    assert_server_below_client(&bed.spans());
}

/// Process 3, thread 3, serves connection 5 and calls process 2 over connections 1 and 2 meanwhile.
const FRONT: On = On {
    connection: 5,
    pid: 3,
    tid: 3,
    goid: 0,
    lineage: 0,
};

fn calls(connection: u64) -> On {
    by(connection, 3, 3)
}

#[test]
fn a_step_of_the_clock_moves_no_child_out_of_its_parent() {
    for step in [3_600_000_000_000, -3_600_000_000_000] {
        let mut bed = Bed::new();
        bed.accepted(5);
        two_ends(&mut bed);
        bed.received(FRONT, (10, 20), &get_in("/front", &traceparent()));
        bed.tracker.set_clock(TO_UNIX + step);
        bed.sent(calls(1), (100, 110), &get("/back"));
        bed.received(SERVER, (110, 120), &get("/back"));
        bed.sent(SERVER, (200, 210), OK);
        bed.received(calls(1), (210, 220), OK);
        bed.sent(FRONT, (300, 310), OK);
        bed.tick(1_000_000_000);
        let mut times: Vec<_> = bed.spans().iter().map(|s| (s.start_ns, s.end_ns)).collect();
        times.sort_unstable();
        let all = [(20, 310), (100, 220), (120, 210)];
        assert_eq!(times, all.map(|(start, end)| (unix(start), unix(end))));
    }
}

#[test]
fn a_call_by_the_thread_that_serves_is_its_child() {
    let mut bed = Bed::new();
    bed.accepted(5);
    two_ends(&mut bed);
    bed.received(FRONT, (10, 20), &get_in("/front", &traceparent()));
    bed.sent(calls(1), (100, 110), &get("/back"));
    bed.received(SERVER, (110, 120), &get("/back"));
    bed.sent(SERVER, (200, 210), OK);
    bed.received(calls(1), (210, 220), OK);
    bed.sent(FRONT, (300, 310), OK);
    bed.tick(1_000_000_000);
    let spans = bed.spans();
    assert_eq!(spans.len(), 3);
    let front = spans.iter().find(|span| path(span) == "/front").unwrap();
    let client = of_kind(&spans, Kind::Client);
    assert_eq!(
        client.parent,
        Some((front.span_id, ParentSource::Execution))
    );
    let back: Vec<_> = spans
        .iter()
        .filter(|span| path(span) == "/back")
        .cloned()
        .collect();
    assert_server_below_client(&back);
    for span in &spans {
        assert_eq!(span.trace_id.to_string(), TRACE);
    }
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_chain_whose_top_becomes_known_last() {
    let mut bed = Bed::new();
    // Process 1 calls process 3 (connections 7 and 5), which calls process 2 (1 and 2). The record
    // of process 1's request comes after all others.
    bed.connection_with(
        7,
        Role::Connected,
        "127.0.0.1:4007",
        "127.0.0.1:80",
        (900, 700),
    );
    bed.connection_with(
        5,
        Role::Accepted,
        "127.0.0.1:80",
        "127.0.0.1:4007",
        (700, 900),
    );
    two_ends(&mut bed);
    bed.received(FRONT, (10, 20), &get("/front"));
    bed.sent(calls(1), (100, 110), &get("/back"));
    bed.received(SERVER, (110, 120), &get("/back"));
    bed.sent(SERVER, (200, 210), OK);
    bed.received(calls(1), (210, 220), OK);
    bed.sent(FRONT, (300, 310), OK);
    bed.tick(1_000);
    assert!(bed.spans().is_empty(), "none of them knows its trace");
    bed.sent(by(7, 1, 1), (5, 320), &get("/front"));
    bed.received(by(7, 1, 1), (310, 330), OK);
    bed.tick(2_000);
    let spans = bed.spans();
    assert_eq!(spans.len(), 4);
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id));
    assert_eq!(spans.iter().filter(|span| span.parent.is_none()).count(), 1);
    bed.stop();
    bed.assert_empty();
}

#[test]
fn what_the_call_carries_beats_who_made_it() {
    let mut bed = Bed::new();
    bed.accepted(5);
    bed.connected(1);
    bed.received(FRONT, (10, 20), &get("/front"));
    bed.sent(calls(1), (100, 110), &get_in("/back", &traceparent()));
    bed.received(calls(1), (210, 220), OK);
    let client = bed.span();
    assert_eq!(client.parent.unwrap().1, ParentSource::Propagated);
    assert_eq!(client.trace_id.to_string(), TRACE);
    bed.sent(FRONT, (300, 310), OK);
    bed.tick(1_000_000_000);
    assert_ne!(bed.span().trace_id.to_string(), TRACE);
    bed.stop();
    bed.assert_empty();
}

#[test]
fn an_event_loop_with_requests_in_flight_claims_no_parent() {
    let mut bed = Bed::new();
    bed.accepted(5);
    bed.accepted(6);
    bed.connected(1);
    bed.received(FRONT, (10, 20), &get("/one"));
    bed.received(by(6, 3, 3), (30, 40), &get("/two"));
    bed.sent(calls(1), (100, 110), &get("/back"));
    bed.received(calls(1), (210, 220), OK);
    assert_eq!(bed.span().parent, None);
    // Nor later, with one in flight: the call may be the other's.
    bed.sent(by(6, 3, 3), (230, 240), OK);
    bed.sent(calls(1), (250, 260), &get("/back"));
    bed.received(calls(1), (270, 280), OK);
    bed.tick(1_000_000_000);
    let spans = bed.spans();
    assert_eq!(of_kind(&spans, Kind::Client).parent, None);
}

/// The spans of one kind, in the order in which they began.
fn in_order(spans: &[Span], kind: Kind) -> Vec<&Span> {
    let mut of_kind: Vec<&Span> = spans.iter().filter(|span| span.kind == kind).collect();
    of_kind.sort_by_key(|span| span.start_ns);
    of_kind
}

#[test]
fn beside_what_is_missing_nobodys_doings_tell() {
    let mut bed = Bed::new();
    bed.accepted(5);
    bed.connected(1);
    let ask = |bed: &mut Bed, at: u64| bed.received(FRONT, (at, at + 10), &get("/front"));
    let answer = |bed: &mut Bed, at: u64| bed.sent(FRONT, (at, at + 10), OK);
    let call = |bed: &mut Bed, at: u64| {
        bed.sent(calls(1), (at, at + 10), &get("/back"));
        bed.received(calls(1), (at + 20, at + 30), OK);
    };
    ask(&mut bed, 10);
    bed.tracker.gap(true);
    // Its answer and the next request may be what is missing.
    call(&mut bed, 100);
    answer(&mut bed, 200);
    ask(&mut bed, 300);
    call(&mut bed, 400);
    bed.tracker.gap(false);
    // For what was read among the gaps.
    call(&mut bed, 500);
    answer(&mut bed, 600);
    ask(&mut bed, 700);
    call(&mut bed, 800);
    answer(&mut bed, 900);
    bed.tick(1_000_000_000);
    let spans = bed.spans();
    let last = in_order(&spans, Kind::Server)[2].span_id;
    let parents: Vec<_> = in_order(&spans, Kind::Client)
        .iter()
        .map(|span| span.parent)
        .collect();
    let known = Some((last, ParentSource::Execution));
    assert_eq!(parents, [None, None, None, known]);
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_thread_whose_client_went_away_serves_the_next_one() {
    let mut bed = Bed::new();
    bed.accepted(5);
    bed.accepted(6);
    bed.connected(1);
    bed.received(FRONT, (10, 20), &get("/one"));
    bed.closed(5, 30);
    // Its handler goes on for a while.
    bed.sent(calls(1), (40, 50), &get("/back"));
    bed.received(calls(1), (60, 70), OK);
    bed.received(by(6, 3, 3), (80, 90), &get("/two"));
    bed.sent(calls(1), (100, 110), &get("/back"));
    bed.received(calls(1), (120, 130), OK);
    bed.sent(by(6, 3, 3), (140, 150), OK);
    bed.tick(1_000_000_000);
    let spans = bed.spans();
    let two = spans.iter().find(|span| path(span) == "/two").unwrap();
    let calls = in_order(&spans, Kind::Client);
    assert_eq!(calls[0].parent, None);
    let known = Some((two.span_id, ParentSource::Execution));
    assert_eq!(calls[1].parent, known);
}

#[test]
fn another_thread_than_the_reader_claims_no_parent() {
    let mut bed = Bed::new();
    bed.accepted(5);
    bed.connected(1);
    bed.received(FRONT, (10, 20), &get("/front"));
    bed.sent(by(1, 3, 4), (100, 110), &get("/back"));
    bed.received(by(1, 3, 4), (210, 220), OK);
    assert_eq!(bed.span().parent, None);
}

#[test]
fn a_go_programs_thread_claims_no_parent() {
    let mut bed = Bed::new();
    bed.out.go = true;
    bed.accepted(5);
    bed.connected(1);
    bed.received(FRONT, (10, 20), &get("/front"));
    bed.sent(calls(1), (100, 110), &get("/back"));
    bed.received(calls(1), (210, 220), OK);
    assert_eq!(bed.span().parent, None);
}

#[test]
fn a_go_process_that_only_answers_keeps_its_goroutines_to_itself_until_it_asks() {
    let mut bed = Bed::new();
    bed.out.go = true;
    bed.accepted(5);
    bed.connected(1);
    for _ in 0..5000 {
        bed.received(FRONT, (10, 20), &get("/front"));
        bed.sent(FRONT, (30, 40), OK);
    }
    assert_eq!(bed.out.told, [(3, false)]);
    bed.sent(calls(1), (100, 110), &get("/back"));
    assert_eq!(bed.out.told, [(3, false), (3, true)]);
}

#[test]
fn children_of_an_unsampled_request_are_unsampled() {
    let mut bed = Bed::new();
    bed.accepted(5);
    bed.connected(1);
    let unsampled = format!("00-{TRACE}-{SENDER}-00");
    bed.received(FRONT, (10, 20), &get_in("/front", &unsampled));
    bed.sent(calls(1), (100, 110), &get("/back"));
    bed.received(calls(1), (210, 220), OK);
    let client = bed.span();
    assert_eq!(
        (client.sampled, client.parent.unwrap().1),
        (Some(false), ParentSource::Execution)
    );
}
