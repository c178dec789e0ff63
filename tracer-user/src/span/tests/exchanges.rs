//! Pairing and instants.

use super::*;

#[test]
fn a_served_request_with_every_instant() {
    let mut bed = Bed::new();
    bed.accepted(1);
    let request = b"POST /a?b=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
    bed.received(on(1), (100, 110), &request[..20]);
    bed.received(on(1), (115, 120), &request[20..]);
    bed.received(on(1), (125, 130), b"body");
    bed.sent(
        on(1),
        (200, 210),
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
    );
    bed.sent(on(1), (220, 230), b"answer");
    let span = bed.span();
    assert_eq!((span.kind, span.resource.pid), (Kind::Server, 100));
    assert_eq!((path(&span), status(&span)), ("/a?b=1".to_owned(), 200));
    assert_eq!((span.start_ns, span.end_ns), (unix(110), unix(230)));
    assert_eq!(
        span.instants,
        Instants {
            arrived: unix(100),
            read_start: unix(110),
            header_read: unix(120),
            body_read: unix(130),
            write_start: unix(200),
            write_finish: unix(230),
            ..Instants::default()
        }
    );
    let request_sizes = span.request_sizes.unwrap();
    assert_eq!(
        (request_sizes.wire, request_sizes.body),
        (request.len() as u64 + 4, Some(4))
    );
    assert_eq!(span.response_sizes.unwrap().body, Some(6));
    assert_eq!((span.parent, span.incomplete), (None, None));
    assert_eq!(span.sampled, None);
    assert_eq!(span.addresses.unwrap().local, address("10.0.0.1:80"));
    assert_eq!(bed.messages(), (2, 2, vec![]));
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_call_has_connect_on_the_exchange_that_opened_the_connection() {
    let mut bed = Bed::new();
    bed.connected(1);
    bed.sent(on(1), (100, 110), &get("/a"));
    bed.received(on(1), (180, 190), &OK[..10]);
    bed.received(on(1), (195, 200), &OK[10..]);
    bed.sent(on(1), (300, 310), &get("/b"));
    bed.received(on(1), (380, 390), OK);
    let spans = bed.spans();
    assert_eq!(spans.len(), 2);
    assert_eq!(
        spans[0].instants,
        Instants {
            connect_start: unix(10),
            connect_end: unix(20),
            write_start: unix(100),
            write_finish: unix(110),
            read_start: unix(190),
            header_read: unix(200),
            body_read: unix(200),
            ..Instants::default()
        }
    );
    assert_eq!(
        (spans[0].kind, spans[0].start_ns, spans[0].end_ns),
        (Kind::Client, unix(100), unix(200))
    );
    assert_eq!(
        (
            spans[1].instants.connect_start,
            spans[1].instants.connect_end
        ),
        (0, 0)
    );
    assert_ne!(spans[0].span_id, spans[1].span_id);
    assert_ne!(
        spans[0].trace_id, spans[1].trace_id,
        "each call is a trace of its own"
    );
}

#[test]
fn fifty_pipelined_requests_in_one_read() {
    let mut bed = Bed::new();
    bed.accepted(1);
    let all: Vec<u8> = (0..50).flat_map(|n| get(&format!("/{n}"))).collect();
    bed.received(on(1), (100, 110), &all);
    for n in 0..50 {
        bed.sent(on(1), (200 + n * 10, 205 + n * 10), OK);
    }
    let spans = bed.spans();
    assert_eq!(spans.len(), 50);
    for (n, span) in spans.iter().enumerate() {
        assert_eq!(path(span), format!("/{n}"));
        assert_eq!(
            (span.start_ns, span.end_ns),
            (unix(110), unix(205 + n as u64 * 10))
        );
        assert_eq!(span.instants.write_start, unix(200 + n as u64 * 10));
    }
    bed.received(on(1), (1000, 1010), &all);
    bed.sent(on(1), (1100, 1110), &OK.repeat(50));
    assert_eq!(bed.spans().len(), 50);
    assert_eq!(bed.messages(), (200, 200, vec![]));
    bed.stop();
    bed.assert_empty();
}

#[test]
fn two_connections_interleaved() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.accepted(2);
    bed.received(by(1, 100, 7), (100, 110), &get("/one"));
    bed.received(by(2, 200, 8), (105, 115), &get("/two"));
    bed.sent(by(2, 200, 8), (120, 125), OK);
    bed.sent(by(1, 100, 7), (130, 135), OK);
    let spans = bed.spans();
    assert_eq!(
        (path(&spans[0]), spans[0].resource.pid, spans[0].end_ns),
        ("/two".to_owned(), 200, unix(125))
    );
    assert_eq!(
        (path(&spans[1]), spans[1].resource.pid, spans[1].end_ns),
        ("/one".to_owned(), 100, unix(135))
    );
    assert_eq!(bed.out.described, [100, 200], "once each");
}

#[test]
fn one_byte_at_a_time() {
    let mut bed = Bed::new();
    bed.accepted(1);
    let request = get("/slow");
    for (n, byte) in request.iter().enumerate() {
        let at = 100 + n as u64 * 10;
        bed.received(on(1), (at - 10, at), &[*byte]);
    }
    for (n, byte) in OK.iter().enumerate() {
        let at = 1000 + n as u64 * 10;
        bed.sent(on(1), (at, at + 1), &[*byte]);
    }
    let span = bed.span();
    let last = 100 + (request.len() as u64 - 1) * 10;
    assert_eq!(span.instants.arrived, unix(90));
    assert_eq!(span.instants.read_start, unix(100));
    assert_eq!(
        (span.instants.header_read, span.instants.body_read),
        (unix(last), unix(last))
    );
    assert_eq!(span.instants.write_start, unix(1000));
    assert_eq!(
        span.instants.write_finish,
        unix(1001 + (OK.len() as u64 - 1) * 10)
    );
}

#[test]
fn a_record_of_the_connection_that_comes_late_still_tells_its_addresses() {
    let mut bed = Bed::new();
    bed.received(on(1), (100, 110), &get("/a"));
    bed.accepted(1);
    bed.sent(on(1), (120, 130), OK);
    let span = bed.span();
    assert_eq!((path(&span), span.incomplete), ("/a".to_owned(), None));
    assert_eq!(span.addresses.unwrap().local, address("10.0.0.1:80"));
}

#[test]
fn when_bytes_arrived_is_left_out_where_it_is_not_known() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (0, 110), &get("/a"));
    bed.sent(on(1), (0, 130), OK);
    let span = bed.span();
    assert_eq!(
        (span.instants.arrived, span.instants.read_start),
        (0, unix(110))
    );
    assert_eq!(span.instants.write_start, unix(130));
}

#[test]
fn an_interim_response_does_not_start_the_answer() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(
        on(1),
        (100, 110),
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    bed.sent(on(1), (120, 125), b"HTTP/1.1 100 Continue\r\n\r\n");
    bed.received(on(1), (130, 140), b"hi");
    bed.sent(on(1), (150, 160), OK);
    let span = bed.span();
    assert_eq!((status(&span), span.instants.write_start), (200, unix(150)));
    assert_eq!(span.instants.body_read, unix(140));
    assert_eq!(bed.messages(), (2, 2, vec![]));
}

#[test]
fn an_early_answer_leaves_the_requests_end_out_of_the_stages() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(
        on(1),
        (100, 110),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
    );
    bed.sent(
        on(1),
        (120, 130),
        b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n",
    );
    assert!(bed.spans().is_empty(), "its request goes on");
    bed.transfer(on(1), Direction::Received, (140, 150), b"", 1000);
    let span = bed.span();
    assert_eq!((status(&span), span.incomplete), (413, None));
    assert_eq!((span.start_ns, span.end_ns), (unix(110), unix(130)));
    assert_eq!(
        (span.instants.header_read, span.instants.body_read),
        (unix(110), 0)
    );
    assert_eq!(span.request_sizes.unwrap().body, Some(1000));
    assert_eq!(bed.messages(), (2, 2, vec![]));
}

#[test]
fn a_step_of_the_clock_does_not_bend_a_span() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/a"));
    bed.tracker.set_clock(TO_UNIX + 3_600_000_000_000);
    bed.sent(on(1), (200, 210), OK);
    bed.received(on(1), (300, 310), &get("/b"));
    bed.sent(on(1), (400, 410), OK);
    let spans = bed.spans();
    assert_eq!((spans[0].start_ns, spans[0].end_ns), (unix(110), unix(210)));
    let later = |boot: u64| unix(boot) + 3_600_000_000_000;
    assert_eq!(
        (spans[1].start_ns, spans[1].end_ns),
        (later(310), later(410))
    );
}

#[test]
fn a_connection_without_a_record_tells_its_role_by_its_bytes() {
    let mut bed = Bed::new();
    bed.sent(on(1), (100, 110), &get("/call"));
    bed.received(on(1), (120, 130), OK);
    let span = bed.span();
    assert_eq!((span.kind, span.addresses), (Kind::Client, None));
}

#[test]
fn a_new_program_is_described_anew() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/a"));
    bed.event(Event::Process(Process {
        pid: 100,
        what: ProcessChange::Execed,
        at_ns: 115,
    }));
    bed.sent(on(1), (120, 130), OK);
    bed.received(on(1), (200, 210), &get("/b"));
    bed.sent(on(1), (220, 230), OK);
    assert_eq!(bed.spans().len(), 2);
    assert_eq!(bed.out.described, [100, 100]);
}
