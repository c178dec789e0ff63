//! What streams carry: messages, trailers, resets; calls that want no answer; closed connections.

use super::script::{answer, call, thrift, trailers};
use super::*;
use crate::protocol::{Cause, Event as Told, Side, Sizes, rpc};

use Side::{Request, Response};

const SIZES: Sizes = Sizes {
    wire: 90,
    body: Some(40),
};

fn message(exchange: u64, side: Side, size: u64) -> Told {
    Told::Message {
        exchange,
        side,
        size,
    }
}

fn reset(exchange: u64, side: Side, code: u32) -> Told {
    Told::Reset {
        exchange,
        side,
        cause: Cause::Code(code),
    }
}

fn incomplete(exchange: u64, side: Side, reason: Incomplete) -> Told {
    Told::Incomplete {
        exchange: Some(exchange),
        side,
        reason,
    }
}

/// A request whose end is not seen yet.
fn begun(exchange: u64, path: &str) -> Vec<Told> {
    vec![
        Told::RequestStarted(exchange, exchange * 100),
        Told::RequestHead(exchange, call(path)),
    ]
}

/// A whole unary request.
fn asked(exchange: u64, path: &str) -> Vec<Told> {
    let mut events = begun(exchange, path);
    events.push(message(exchange, Request, 20));
    events.push(Told::RequestEnded(exchange, SIZES));
    events
}

/// The whole answer to it.
fn answered(exchange: u64, status: &str) -> Vec<Told> {
    vec![
        Told::ResponseStarted(exchange),
        Told::ResponseHead(exchange, answer()),
        message(exchange, Response, 30),
        Told::Trailers(exchange, trailers(status)),
        Told::ResponseEnded(exchange, SIZES),
    ]
}

fn streaming() -> Bed {
    let mut bed = Bed::new();
    bed.tracker.keep_messages(3);
    bed
}

const HTTP2: Option<Framing> = Some(Framing::Http2);

/// (side, number, size, boot-time ns) of the messages kept.
fn messages(span: &Span) -> Vec<(Side, u64, u64, u64)> {
    let streamed = span.streamed.as_ref().unwrap();
    streamed
        .messages
        .iter()
        .map(|message| {
            let at = message.at_ns.saturating_add_signed(-TO_UNIX);
            (message.side, message.number, message.size, at)
        })
        .collect()
}

#[test]
fn a_unary_call_has_its_messages_and_trailers() {
    let mut bed = streaming();
    let script = bed.scripted(1, Kind::Server, HTTP2);
    bed.told(&script, Request, (100, 110), asked(0, "/a/b"));
    bed.told(&script, Response, (200, 210), answered(0, "5"));
    let span = bed.span();
    assert_eq!(
        (path(&span), status(&span), span.incomplete),
        ("/a/b".to_owned(), 200, None)
    );
    assert_eq!(
        messages(&span),
        [(Request, 1, 20, 110), (Response, 1, 30, 210)]
    );
    let streamed = span.streamed.as_ref().unwrap();
    assert_eq!(
        (streamed.requests, streamed.responses, streamed.not_kept),
        (1, 1, 0)
    );
    let trailers = streamed.trailers.as_ref().unwrap();
    assert_eq!(trailers.field("grpc-status"), Some(&b"5"[..]));
    assert_eq!((span.start_ns, span.end_ns), (unix(110), unix(210)));
    assert_eq!(bed.out.framed, [(ConnectionId(1), Framing::Http2)], "once");
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_step_of_the_clock_bends_no_stream() {
    let mut bed = streaming();
    let script = bed.scripted(1, Kind::Server, HTTP2);
    bed.told(&script, Request, (100, 110), asked(0, "/a/b"));
    bed.tracker.set_clock(TO_UNIX - 3_600_000_000_000);
    let head = vec![Told::ResponseStarted(0), Told::ResponseHead(0, answer())];
    bed.told(&script, Response, (115, 120), head);
    bed.told(
        &script,
        Response,
        (200, 210),
        vec![message(0, Response, 30)],
    );
    let given_up = vec![
        reset(0, Response, 2),
        incomplete(0, Response, Incomplete::StreamReset),
    ];
    bed.told(&script, Response, (300, 310), given_up);
    let span = bed.span();
    assert_eq!(
        messages(&span),
        [(Request, 1, 20, 110), (Response, 1, 30, 210)]
    );
    assert_eq!(span.reset().unwrap().at_ns, unix(310));
    assert_eq!(span.end_ns, unix(310));
}

#[test]
fn of_a_long_stream_the_first_messages_are_kept_and_all_counted() {
    let mut bed = streaming();
    let script = bed.scripted(1, Kind::Client, HTTP2);
    bed.told(&script, Request, (100, 110), begun(0, "/a/b"));
    let head = vec![Told::ResponseStarted(0), Told::ResponseHead(0, answer())];
    bed.told(&script, Response, (115, 120), head);
    for n in 0..10 {
        let at = 200 + n * 10;
        bed.told(&script, Request, (at, at + 1), vec![message(0, Request, n)]);
        bed.told(
            &script,
            Response,
            (at, at + 2),
            vec![message(0, Response, n)],
        );
    }
    assert_eq!(bed.tracker.kept, 3);
    bed.told(
        &script,
        Request,
        (400, 401),
        vec![Told::RequestEnded(0, SIZES)],
    );
    bed.told(
        &script,
        Response,
        (500, 501),
        vec![
            Told::Trailers(0, trailers("0")),
            Told::ResponseEnded(0, SIZES),
        ],
    );
    let span = bed.span();
    assert_eq!(
        messages(&span),
        [
            (Request, 1, 0, 201),
            (Response, 1, 0, 202),
            (Request, 2, 1, 211)
        ]
    );
    let streamed = span.streamed.as_ref().unwrap();
    assert_eq!(
        (streamed.requests, streamed.responses, streamed.not_kept),
        (10, 10, 17)
    );
    assert_eq!(bed.tracker.kept, 0, "their room is free again");
    bed.stop();
    bed.assert_empty();
}

#[test]
fn the_end_of_a_stream_may_say_more_than_its_head() {
    let mut bed = streaming();
    let script = bed.scripted(1, Kind::Client, Some(Framing::LengthPrefixed));
    let asked = vec![
        Told::RequestStarted(0, 0),
        Told::RequestHead(0, thrift(rpc::Kind::Call)),
        Told::RequestEnded(0, SIZES),
    ];
    bed.told(&script, Request, (100, 110), asked);
    let head = vec![
        Told::ResponseStarted(0),
        Told::ResponseHead(0, thrift(rpc::Kind::Reply)),
    ];
    bed.told(&script, Response, (190, 200), head);
    let end = vec![
        Told::ResponseHead(0, thrift(rpc::Kind::Exception)),
        Told::ResponseEnded(0, SIZES),
    ];
    bed.told(&script, Response, (290, 300), end);
    let span = bed.span();
    let kind = span.response.as_ref().and_then(Head::rpc).unwrap().kind;
    assert_eq!(kind, rpc::Kind::Exception);
    assert_eq!(span.instants.header_read, unix(200));
    assert_eq!(span.end_ns, unix(300));
}

#[test]
fn a_call_given_up_by_its_client_ends_then() {
    let mut bed = streaming();
    let script = bed.scripted(1, Kind::Client, HTTP2);
    bed.told(&script, Request, (100, 110), asked(0, "/a/b"));
    let events = vec![
        reset(0, Request, 8),
        incomplete(0, Response, Incomplete::StreamReset),
    ];
    bed.told(&script, Request, (300, 310), events);
    let span = bed.span();
    assert_eq!(span.incomplete, Some(Incomplete::StreamReset));
    assert_eq!((span.start_ns, span.end_ns), (unix(100), unix(310)));
    let given_up = span.streamed.unwrap().reset.unwrap();
    assert_eq!(
        (given_up.side, given_up.cause, given_up.at_ns),
        (Request, Cause::Code(8), unix(310))
    );
    assert_eq!(bed.messages(), (1, 1, vec![]), "the answer never began");
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_reset_amid_both_messages_cuts_both() {
    let mut bed = streaming();
    let script = bed.scripted(1, Kind::Server, HTTP2);
    bed.told(&script, Request, (100, 110), begun(0, "/a/b"));
    let head = vec![Told::ResponseStarted(0), Told::ResponseHead(0, answer())];
    bed.told(&script, Response, (200, 210), head);
    let events = vec![
        reset(0, Response, 2),
        incomplete(0, Request, Incomplete::StreamReset),
        incomplete(0, Response, Incomplete::StreamReset),
    ];
    bed.told(&script, Response, (300, 310), events);
    let span = bed.span();
    assert_eq!((status(&span), span.end_ns), (200, unix(310)));
    assert_eq!(span.streamed.unwrap().reset.unwrap().side, Response);
    assert_eq!(bed.messages(), (2, 0, vec![(Incomplete::StreamReset, 2)]));
    bed.stop();
    bed.assert_empty();
}

#[test]
fn after_a_whole_answer_the_server_may_give_up_the_request() {
    let mut bed = streaming();
    let script = bed.scripted(1, Kind::Server, HTTP2);
    bed.told(&script, Request, (100, 110), begun(0, "/a/b"));
    let mut events = answered(0, "0");
    events.push(reset(0, Response, 0));
    events.push(incomplete(0, Request, Incomplete::StreamReset));
    bed.told(&script, Response, (200, 210), events);
    let span = bed.span();
    assert_eq!((status(&span), span.end_ns), (200, unix(210)));
    assert!(span.request_sizes.is_none() && span.response_sizes.is_some());
    assert_eq!(bed.messages(), (2, 1, vec![(Incomplete::StreamReset, 1)]));
}

#[test]
fn a_connection_that_breaks_with_fifty_open_streams_ends_each_once() {
    let mut bed = streaming();
    let script = bed.scripted(1, Kind::Client, HTTP2);
    for id in 0..50 {
        bed.told(
            &script,
            Request,
            (100 + id, 101 + id),
            asked(id, &format!("/a/{id}")),
        );
    }
    let events = (0..50)
        .map(|id| incomplete(id, Response, Incomplete::ConnectionClosed))
        .collect();
    bed.told_at_end(&script, 500, events);
    let spans = bed.spans();
    let paths: Vec<_> = spans.iter().map(path).collect();
    let expected: Vec<_> = (0..50).map(|id| format!("/a/{id}")).collect();
    assert_eq!(paths, expected);
    for span in &spans {
        assert_eq!(span.incomplete, Some(Incomplete::ConnectionClosed));
        assert_eq!(span.end_ns, unix(500));
    }
    assert_eq!(bed.messages(), (50, 50, vec![]));
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_path_that_hpack_hides_marks_the_span() {
    let mut bed = streaming();
    let script = bed.scripted(1, Kind::Server, HTTP2);
    bed.told(&script, Request, (100, 110), asked(0, ""));
    bed.told(&script, Response, (200, 210), answered(0, "0"));
    let span = bed.span();
    assert_eq!(span.incomplete, Some(Incomplete::AttachedMidway));
    assert_eq!(bed.messages(), (2, 2, vec![]), "the messages are whole");

    // What cut it off says more.
    bed.told(&script, Request, (300, 310), asked(1, ""));
    let events = vec![incomplete(1, Response, Incomplete::ConnectionClosed)];
    bed.told_at_end(&script, 400, events);
    assert_eq!(bed.span().incomplete, Some(Incomplete::ConnectionClosed));
}

#[test]
fn a_call_that_wants_no_answer_is_over_with_its_request() {
    let mut bed = Bed::new();
    for (id, kind) in [(1, Kind::Server), (2, Kind::Client)] {
        let script = bed.scripted(id, kind, Some(Framing::LengthPrefixed));
        let begun = vec![
            Told::RequestStarted(0, 0),
            Told::RequestHead(0, thrift(rpc::Kind::Oneway)),
        ];
        bed.told(&script, Request, (100, 110), begun);
        let over = vec![Told::RequestEnded(0, SIZES), Told::NoResponse(0)];
        bed.told(&script, Request, (120, 130), over);
        // The client's is kept for a server's end that may be traced.
        bed.tick(id * 1_000_000_000);
        let span = bed.span();
        assert_eq!((span.kind, span.incomplete), (kind, None));
        assert_eq!(span.end_ns, unix(130));
        assert!(span.response.is_none() && span.streamed.is_none());
        bed.closed(id, 500);
    }
    assert_eq!(bed.messages(), (2, 2, vec![]));
    bed.stop();
    assert!(bed.spans().is_empty());
    bed.assert_empty();
}

#[test]
fn events_of_exchanges_that_are_not_followed_are_harmless() {
    let mut bed = streaming();
    let script = bed.scripted(1, Kind::Server, HTTP2);
    let events = vec![
        message(7, Request, 1),
        Told::Trailers(7, trailers("0")),
        reset(7, Request, 8),
        Told::NoResponse(7),
        Told::RequestEnded(7, SIZES),
        incomplete(7, Response, Incomplete::StreamReset),
    ];
    bed.told(&script, Request, (100, 110), events);
    assert!(bed.spans().is_empty());
    assert_eq!(bed.messages(), (2, 1, vec![(Incomplete::StreamReset, 1)]));
    bed.stop();
    bed.assert_empty();
}
