//! What heads say of traces, beyond a plain parent: decisions, ids that a receiver takes over, and
//! answers that name the server's own span.

use super::*;
use crate::context::Format;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";
const INSIDE: &str = "1111111111111111";

fn request(fields: &[&str]) -> Vec<u8> {
    message("GET / HTTP/1.1", fields)
}

fn response(fields: &[&str]) -> Vec<u8> {
    message("HTTP/1.1 204 No Content", fields)
}

fn message(start: &str, fields: &[&str]) -> Vec<u8> {
    let mut text = format!("{start}\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// What names the server's span in an answer, as go-zero does from 1.3.2 on.
fn named(trace: &str, span: &str) -> String {
    format!("Traceparent: 00-{trace}-{span}-00")
}

/// The span of a server that is asked and answers so.
fn served(bed: &mut Bed, asked: &[&str], answered: &[&str]) -> Span {
    if bed.positions.is_empty() {
        bed.accepted(1);
    }
    let at = 100 + bed.tracker.counts().messages.started * 1000;
    bed.received(on(1), (at, at + 10), &request(asked));
    bed.sent(on(1), (at + 20, at + 30), &response(answered));
    bed.span()
}

fn text(id: Option<impl ToString>) -> String {
    id.map_or(String::new(), |id| id.to_string())
}

fn parent(span: &Span) -> String {
    text(span.parent.map(|(id, _)| id))
}

#[test]
fn a_decision_alone_is_the_new_traces() {
    let mut bed = Bed::new();
    let span = served(&mut bed, &["b3: 0"], &[]);
    assert_eq!(
        (span.sampled, span.parent, span.format),
        (Some(false), None, None)
    );
    assert_eq!(
        served(&mut bed, &["jaeger-debug-id: x"], &[]).sampled,
        Some(true)
    );
    assert_eq!(bed.tracker.counts().contexts, 0);
}

#[test]
fn a_trace_may_begin_with_its_receiver() {
    let mut bed = Bed::new();
    let root = "X-Amzn-Trace-Id: Root=1-4bf92f35-77b34da6a3ce929d0e0e4736";
    let span = served(&mut bed, &[root], &[]);
    assert_eq!(span.trace_id.to_string(), TRACE);
    assert_eq!((span.parent, span.sampled), (None, None));
    let sent = span.sent.unwrap();
    assert_eq!(
        (sent.trace_id.as_deref(), sent.span_id),
        (Some("1-4bf92f35-77b34da6a3ce929d0e0e4736"), None)
    );
}

#[test]
fn contexts_that_disagree_are_counted() {
    let mut bed = Bed::new();
    let w3c = format!("traceparent: 00-{TRACE}-{SENDER}-01");
    let span = served(&mut bed, &[&w3c, "uber-trace-id: a:b:0:1"], &[]);
    assert_eq!(span.trace_id.to_string(), TRACE);
    let counts = bed.tracker.counts();
    assert_eq!((counts.contexts, counts.disagreeing_contexts), (1, 1));
}

#[test]
fn formats_are_read_as_the_user_orders() {
    let mut bed = Bed::new();
    bed.tracker
        .read_contexts(crate::context::Formats::named("jaeger,w3c").0);
    let w3c = format!("traceparent: 00-{TRACE}-{SENDER}-01");
    let span = served(&mut bed, &[&w3c, "uber-trace-id: a:b:0:1"], &[]);
    assert_eq!(span.format, Some(Format::Jaeger));
}

#[test]
fn a_server_takes_over_the_id_that_its_caller_gave_it() {
    let mut bed = Bed::new();
    let call = |path: &str| {
        let path = format!("X-Span-ID: {path}");
        request(&["X-Trace-ID: 9b5f0f7d2c0e4a11", &path])
    };
    bed.accepted(1);
    bed.connected(2);
    bed.received(on(1), (100, 110), &call("0.1"));
    // A call of its own that carries nothing, by the thread that serves.
    bed.sent(on(2), (120, 130), &request(&[]));
    bed.received(on(2), (140, 150), &response(&[]));
    let plain = bed.span();
    bed.sent(on(2), (160, 170), &call("0.1.1"));
    bed.received(on(2), (180, 190), &response(&[]));
    let called = bed.span();
    bed.sent(
        on(1),
        (200, 210),
        &response(&["X-Trace-ID: 9b5f0f7d2c0e4a11"]),
    );
    // Its caller's end might have been traced.
    bed.tick(1_000_000_000);
    let server = bed.span();
    assert_eq!(plain.parent.unwrap().0, server.span_id);
    assert_eq!(
        called.parent,
        Some((server.span_id, ParentSource::Propagated))
    );
    assert_ne!(called.span_id, server.span_id);
    for span in [plain, called] {
        assert_eq!(span.trace_id, server.trace_id);
    }
    let sent = server.sent.unwrap();
    assert_eq!(sent.span_id.as_deref(), Some("0.1"));

    // Sent once more, as a retry is: the same place in the trace, and an id of its own.
    bed.received(on(1), (1_000_000_300, 1_000_000_310), &call("0.1"));
    bed.sent(on(1), (1_000_000_320, 1_000_000_330), &response(&[]));
    let again = bed.span();
    assert_eq!(again.parent, server.parent);
    assert_ne!(again.span_id, server.span_id);
}

#[test]
fn an_answer_tells_the_trace_of_a_request_that_did_not() {
    let mut bed = Bed::new();
    let span = served(&mut bed, &[], &[&named(TRACE, INSIDE)]);
    assert_eq!(span.trace_id.to_string(), TRACE);
    assert_eq!((span.parent, span.sampled), (None, None));
    assert_eq!(span.format, Some(Format::W3c));
    assert_eq!(text(span.answer_span), INSIDE);
    assert_ne!(
        span.span_id.to_string(),
        INSIDE,
        "that is the service's own"
    );
    assert_eq!(bed.tracker.counts().answered_contexts, 1);

    let mut bed = Bed::new();
    let span = served(&mut bed, &[], &["kratos-trace-id: a:b:c:1"]);
    assert_eq!(span.trace_id.to_string(), format!("{:032x}", 0xa));
    assert_eq!(text(span.answer_span), format!("{:016x}", 0xb));

    let mut bed = Bed::new();
    let trace = format!("X-Trace-Id: {TRACE}");
    let span = served(&mut bed, &[], &[&trace]);
    assert_eq!(
        (span.trace_id.to_string(), span.answer_span),
        (TRACE.to_owned(), None)
    );
    assert_eq!(span.format, Some(Format::GoZero));
}

#[test]
fn an_answer_does_not_overrule_the_request() {
    let mut bed = Bed::new();
    let asked = format!("traceparent: 00-{TRACE}-{SENDER}-01");
    for trace in [TRACE, "00000000000000000000000000000007"] {
        let span = served(&mut bed, &[&asked], &[&named(trace, INSIDE)]);
        assert_eq!(
            (span.trace_id.to_string(), parent(&span)),
            (TRACE.into(), SENDER.into())
        );
        assert_eq!(
            (span.sampled, text(span.answer_span)),
            (Some(true), INSIDE.to_owned())
        );
    }
    let echoed = served(&mut bed, &[&asked], &[&named(TRACE, SENDER)]);
    assert_eq!(echoed.answer_span, None);
    assert_eq!(bed.tracker.counts().answered_contexts, 0);
}

#[test]
fn an_answer_from_a_cache_tells_nothing() {
    let mut bed = Bed::new();
    let first = served(&mut bed, &[], &[&named(TRACE, INSIDE)]);
    let second = served(&mut bed, &[], &[&named(TRACE, INSIDE)]);
    assert_eq!(first.trace_id.to_string(), TRACE);
    assert_ne!(second.trace_id.to_string(), TRACE);
    assert_eq!(second.format, None);
}

#[test]
fn both_ends_are_in_the_trace_that_the_answer_tells() {
    let mut bed = Bed::new();
    let (caller, server) = (by(1, 1, 1), by(2, 2, 2));
    let (here, there) = ("127.0.0.1:4001", "127.0.0.1:80");
    bed.connection_with(1, Role::Connected, here, there, (900, 700));
    bed.connection_with(2, Role::Accepted, there, here, (700, 900));
    bed.sent(caller, (100, 110), &request(&[]));
    bed.received(server, (120, 130), &request(&[]));
    bed.sent(server, (140, 150), &response(&[&named(TRACE, INSIDE)]));
    bed.received(caller, (160, 170), &response(&[&named(TRACE, INSIDE)]));
    let spans = bed.spans();
    let [server, client] = &spans[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(
        server.parent,
        Some((client.span_id, ParentSource::Connection))
    );
    for span in [server, client] {
        assert_eq!(span.trace_id.to_string(), TRACE);
        assert_eq!(text(span.answer_span), INSIDE);
    }
}
