//! The ways in which an exchange ends.

use super::*;

#[test]
fn an_early_answer_then_closed() {
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
    bed.closed(1, 500);
    let span = bed.span();
    assert_eq!(
        (status(&span), span.incomplete),
        (413, Some(Incomplete::ConnectionClosed))
    );
    assert_eq!(span.end_ns, unix(130), "the answer was whole");
    assert_eq!(
        bed.messages(),
        (2, 1, vec![(Incomplete::ConnectionClosed, 1)])
    );
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_request_without_an_answer_when_the_connection_closes() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/gone"));
    bed.closed(1, 500);
    let span = bed.span();
    assert_eq!(path(&span), "/gone");
    assert_eq!(span.incomplete, Some(Incomplete::ConnectionClosed));
    assert_eq!((span.start_ns, span.end_ns), (unix(110), unix(500)));
    assert_eq!(
        (span.response.is_none(), span.instants.write_start),
        (true, 0)
    );
    assert_eq!(
        bed.messages(),
        (1, 1, vec![]),
        "there was no response to count"
    );
    bed.stop();
    bed.assert_empty();
}

#[test]
fn closed_within_the_head() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), b"GET /half HTTP/1.1\r\nHo");
    bed.closed(1, 500);
    assert!(bed.spans().is_empty(), "nothing is known of it");
    assert_eq!(
        bed.messages(),
        (1, 0, vec![(Incomplete::ConnectionClosed, 1)])
    );
    bed.stop();
    bed.assert_empty();
}

/// The rest of an answer may be among what is missing: then nobody knows that it had none.
#[test]
fn closed_behind_a_gap() {
    for (gap_before, gap_after, expected) in [
        (false, true, Incomplete::LostEvents),
        (true, false, Incomplete::ConnectionClosed),
    ] {
        let mut bed = Bed::new();
        bed.accepted(1);
        let gap = |bed: &mut Bed, there| {
            if there {
                bed.tracker.gap(true);
                bed.tracker.gap(false);
            }
        };
        bed.received(on(1), (1, 2), &get("/a"));
        gap(&mut bed, gap_before);
        bed.sent(
            on(1),
            (3, 4),
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        );
        gap(&mut bed, gap_after);
        bed.closed(1, 5);
        assert_eq!(bed.span().incomplete, Some(expected));
        bed.stop();
        bed.assert_empty();
    }
}

#[test]
fn closed_within_the_answer() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/"));
    bed.sent(
        on(1),
        (120, 130),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart",
    );
    bed.closed(1, 500);
    let span = bed.span();
    assert_eq!(
        (status(&span), span.incomplete),
        (200, Some(Incomplete::ConnectionClosed))
    );
    assert_eq!((span.response_sizes, span.end_ns), (None, unix(500)));
    assert_eq!(
        bed.messages(),
        (2, 1, vec![(Incomplete::ConnectionClosed, 1)])
    );
    bed.stop();
    bed.assert_empty();
}

#[test]
fn records_of_the_last_transfers_may_come_after_the_end() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/"));
    // The client was gone when the answer was written.
    bed.ended(1, End::All, 125);
    bed.sent(on(1), (120, 130), OK);
    assert_eq!(
        (bed.span().incomplete, bed.messages()),
        (None, (2, 2, vec![]))
    );
    bed.tick(60_000_000);
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_name_used_again_at_once() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/old"));
    bed.ended(1, End::All, 120);
    bed.positions.clear();
    bed.accepted(1);
    bed.received(on(1), (200, 210), &get("/new"));
    bed.tick(60_000_000);
    bed.sent(on(1), (60_000_000, 60_000_001), OK);
    let spans = bed.spans();
    assert_eq!(spans.iter().map(path).collect::<Vec<_>>(), ["/old", "/new"]);
    assert_eq!(spans[0].incomplete, Some(Incomplete::ConnectionClosed));
    assert_eq!(spans[1].incomplete, None);
}

#[test]
fn a_body_until_the_close_ends_with_its_last_byte() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/"));
    bed.sent(on(1), (120, 130), b"HTTP/1.1 200 OK\r\n\r\nsome");
    bed.sent(on(1), (140, 150), b" more");
    bed.closed(1, 500);
    let span = bed.span();
    assert_eq!((status(&span), span.incomplete), (200, None));
    assert_eq!(
        (span.end_ns, span.instants.write_finish),
        (unix(150), unix(150))
    );
    assert_eq!(span.response_sizes.unwrap().body, Some(9));
    assert_eq!(bed.messages(), (2, 2, vec![]));
}

#[test]
fn a_peer_that_shuts_down_its_side_still_gets_its_answer() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/"));
    bed.ended(1, End::Receiving, 115);
    assert!(bed.spans().is_empty());
    bed.sent(on(1), (120, 130), OK);
    assert_eq!(
        (bed.span().incomplete, bed.messages()),
        (None, (2, 2, vec![]))
    );
}

#[test]
fn a_hole_makes_only_its_own_message_incomplete() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/a"));
    bed.lost(on(1), Direction::Sent, OK.len() as u64);
    bed.received(on(1), (200, 210), &get("/b"));
    bed.sent(on(1), (220, 230), OK);
    bed.received(on(1), (300, 310), &get("/c"));
    bed.sent(on(1), (320, 330), OK);
    let spans = bed.spans();
    let last = spans.last().unwrap();
    assert_eq!(
        (path(last), status(last), last.incomplete),
        ("/c".to_owned(), 200, None)
    );
    assert_eq!((last.start_ns, last.end_ns), (unix(310), unix(330)));
    let broken: Vec<_> = spans
        .iter()
        .filter(|span| span.incomplete.is_some())
        .collect();
    assert!(!broken.is_empty());
    for span in broken {
        assert_eq!(span.incomplete, Some(Incomplete::LostEvents));
    }
    bed.stop();
    bed.assert_empty();
}

#[test]
fn what_is_open_when_the_agent_stops_is_counted_and_not_exported() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.accepted(2);
    bed.accepted(3);
    bed.received(on(1), (100, 110), &get("/open"));
    bed.received(on(2), (100, 110), b"GET /half");
    bed.received(on(3), (100, 110), &get("/half-answered"));
    bed.sent(
        on(3),
        (120, 130),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    );
    bed.stop();
    assert!(bed.spans().is_empty());
    assert_eq!(bed.messages(), (4, 2, vec![(Incomplete::AgentStopped, 2)]));
    bed.assert_empty();
}

#[test]
fn after_an_upgrade_the_rest_is_left_alone() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(
        on(1),
        (100, 110),
        b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    bed.sent(
        on(1),
        (120, 130),
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    let span = bed.span();
    assert_eq!(
        (status(&span), span.incomplete, span.end_ns),
        (101, None, unix(130))
    );
    assert_eq!(bed.out.ignored, [ConnectionId(1)]);
    bed.received(on(1), (140, 150), &get("/in-the-tunnel"));
    bed.sent(on(1), (160, 170), OK);
    bed.closed(1, 500);
    bed.stop();
    assert!(bed.spans().is_empty());
    assert_eq!(bed.messages(), (2, 2, vec![]));
    assert_eq!(
        bed.tracker.counts().delivered,
        4,
        "every transfer is counted"
    );
    bed.assert_empty();
}

#[test]
fn another_protocol_is_given_up() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), b"\x16\x03\x01\x02\x00\x01");
    assert_eq!(bed.out.ignored, [ConnectionId(1)]);
    bed.sent(on(1), (120, 130), b"\x16\x03\x03");
    assert_eq!(bed.out.ignored.len(), 1);
    assert_eq!(bed.tracker.counts().ignored, 1);
    bed.closed(1, 500);
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_name_used_again_is_another_connection() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &get("/old"));
    // Its end was lost, and the inode was given to a new socket.
    bed.positions.clear();
    bed.accepted(1);
    bed.received(on(1), (200, 210), &get("/new"));
    bed.sent(on(1), (220, 230), OK);
    let spans = bed.spans();
    assert_eq!(spans.iter().map(path).collect::<Vec<_>>(), ["/old", "/new"]);
    assert_eq!(spans[0].incomplete, Some(Incomplete::LostEvents));
    assert_eq!(spans[1].incomplete, None);
    bed.stop();
    bed.assert_empty();
}
