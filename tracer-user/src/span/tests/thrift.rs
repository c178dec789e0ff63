//! Thrift's calls, by their bytes.

use super::*;
use crate::context::Format;
use crate::protocol::rpc::{self, Failure};
use crate::semconv;

const CALL: u8 = 1;
const REPLY: u8 = 2;
const EXCEPTION: u8 = 3;
const ONEWAY: u8 = 4;

/// A message in strict binary, of an empty struct or that one.
fn binary(kind: u8, name: &str, seq_id: i32, fields: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, 0x01, 0, kind];
    bytes.extend((name.len() as u32).to_be_bytes());
    bytes.extend(name.bytes());
    bytes.extend(seq_id.to_be_bytes());
    bytes.extend(fields);
    bytes.push(0);
    bytes
}

fn framed(kind: u8, name: &str, seq_id: i32, fields: &[u8]) -> Vec<u8> {
    let message = binary(kind, name, seq_id, fields);
    let mut bytes = (message.len() as u32).to_be_bytes().to_vec();
    bytes.extend(message);
    bytes
}

/// A `TApplicationException`'s fields.
fn exception(type_id: i32, text: &str) -> Vec<u8> {
    let mut bytes = vec![11, 0, 1];
    bytes.extend((text.len() as u32).to_be_bytes());
    bytes.extend(text.bytes());
    bytes.extend([8, 0, 2]);
    bytes.extend(type_id.to_be_bytes());
    bytes
}

/// A TTHeader with these text keys, and the message in it.
fn ttheader(seq_id: i32, keys: &[(&str, &str)], message: &[u8]) -> Vec<u8> {
    let short = |text: &str| {
        let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
        bytes.extend(text.bytes());
        bytes
    };
    let mut words = vec![0, 0, 1];
    words.extend((keys.len() as u16).to_be_bytes());
    for (key, value) in keys {
        words.extend(short(key));
        words.extend(short(value));
    }
    words.resize(words.len().next_multiple_of(4), 0);
    let mut bytes = ((10 + words.len() + message.len()) as u32)
        .to_be_bytes()
        .to_vec();
    bytes.extend([0x10, 0, 0, 0]);
    bytes.extend(seq_id.to_be_bytes());
    bytes.extend((words.len() as u16 / 4).to_be_bytes());
    bytes.extend(words);
    bytes.extend(message);
    bytes
}

fn name(span: &Span) -> String {
    semconv::span_name(span, None, &Default::default(), |name| name.concat())
}

fn failure(span: &Span) -> Option<&Failure> {
    let head = span.response.as_ref().and_then(Head::rpc)?;
    head.failure.as_ref()
}

#[test]
fn a_call_and_its_reply() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &framed(CALL, "echo", 7, b""));
    bed.sent(on(1), (200, 210), &framed(REPLY, "echo", 7, b""));
    let span = bed.span();
    assert_eq!((name(&span).as_str(), span.kind), ("echo", Kind::Server));
    assert_eq!((span.start_ns, span.end_ns), (unix(110), unix(210)));
    assert_eq!((span.incomplete, semconv::error(&span)), (None, None));
    assert_eq!(bed.messages(), (2, 2, vec![]));
    bed.stop();
    bed.assert_empty();
}

#[test]
fn replies_out_of_order_and_an_exception() {
    let mut bed = Bed::new();
    bed.connected(1);
    let calls = [("a", 1), ("b", 2), ("c", 3)];
    let asked: Vec<u8> = calls
        .iter()
        .flat_map(|(name, seq)| framed(CALL, name, *seq, b""))
        .collect();
    bed.sent(on(1), (100, 110), &asked);
    bed.received(on(1), (200, 210), &framed(REPLY, "c", 3, b""));
    bed.received(
        on(1),
        (300, 310),
        &framed(EXCEPTION, "a", 1, &exception(6, "biz error: no")),
    );
    bed.received(on(1), (400, 410), &framed(REPLY, "b", 2, &[12, 0, 1, 0]));
    let spans = bed.spans();
    let names: Vec<_> = spans.iter().map(name).collect();
    assert_eq!(names, ["c", "a", "b"]);
    assert_eq!(semconv::error(&spans[0]), None);
    assert_eq!(semconv::error(&spans[1]).unwrap(), "biz error: no");
    assert_eq!(failure(&spans[2]), Some(&Failure::Declared(1)));
    assert_eq!(spans[1].end_ns, unix(310));
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_oneway_call_does_not_keep_the_next_ones_reply() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (100, 110), &framed(ONEWAY, "log", 1, b""));
    let span = bed.span();
    assert_eq!((name(&span).as_str(), span.incomplete), ("log", None));
    assert_eq!(span.end_ns, unix(110));
    bed.received(on(1), (200, 210), &framed(CALL, "echo", 2, b""));
    bed.sent(on(1), (300, 310), &framed(REPLY, "echo", 2, b""));
    let span = bed.span();
    assert_eq!((name(&span).as_str(), span.end_ns), ("echo", unix(310)));
    assert_eq!(bed.messages(), (3, 3, vec![]));
    bed.stop();
    bed.assert_empty();
}

/// Connection 1 is the client's end (process 1), 2 the server's.
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

#[test]
fn both_ends_of_oneway_calls_are_one_chain() {
    let mut bed = Bed::new();
    let (client, server) = ("127.0.0.1:4001", "127.0.0.1:80");
    bed.connection_with(1, Role::Connected, client, server, (900, 700));
    bed.connection_with(2, Role::Accepted, server, client, (700, 900));
    for n in 0..3 {
        let at = n * 1000;
        let call = framed(ONEWAY, "log", n as i32, b"");
        bed.sent(CALLER, (at + 100, at + 110), &call);
        bed.received(SERVER, (at + 110, at + 120), &call);
        bed.tick(at + 130);
        let mut spans = bed.spans();
        spans.sort_by_key(|span| span.kind == Kind::Server);
        let [client, server] = &spans[..] else {
            panic!("{spans:?}");
        };
        let source = ParentSource::Connection;
        assert_eq!(server.parent, Some((client.span_id, source)));
        assert_eq!(server.trace_id, client.trace_id);
        assert_eq!(client.parent, None);
    }
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_oneway_call_whose_server_is_not_traced_is_not_kept_for_long() {
    let mut bed = Bed::new();
    bed.connected(1);
    bed.sent(on(1), (100, 110), &framed(ONEWAY, "log", 1, b""));
    bed.tick(1_000_000_000);
    assert_eq!(name(&bed.span()), "log");
    bed.stop();
    bed.assert_empty();
}

#[test]
fn kitex_metainfo_gives_the_parent_and_the_service() {
    let mut bed = Bed::new();
    bed.accepted(1);
    let keys = [
        ("isn", "Echo"),
        (
            "RPC_TRANSIT_traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ];
    bed.received(
        on(1),
        (100, 110),
        &ttheader(7, &keys, &framed(CALL, "echo", 7, b"")),
    );
    let keys = [("biz-status", "1001"), ("biz-message", "sold out")];
    bed.sent(
        on(1),
        (200, 210),
        &ttheader(7, &keys, &framed(REPLY, "echo", 7, b"")),
    );
    let span = bed.span();
    assert_eq!(name(&span), "Echo/echo");
    assert_eq!(
        span.trace_id.to_string(),
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    let (parent, source) = span.parent.unwrap();
    assert_eq!(
        (parent.to_string().as_str(), source, span.format),
        (
            "00f067aa0ba902b7",
            ParentSource::Propagated,
            Some(Format::W3c)
        )
    );
    assert_eq!(semconv::error(&span), None, "a business status is none");
    let head = span.request.as_ref().and_then(Head::rpc).unwrap();
    assert_eq!(head.transport, rpc::Transport::TtheaderFramed);
    assert!(!bed.out.framed.is_empty());
}

#[test]
fn a_connection_that_breaks_ends_what_is_open_once() {
    let mut bed = Bed::new();
    bed.connected(1);
    for seq in 1..=50 {
        bed.sent(on(1), (100, 110), &framed(CALL, "echo", seq, b""));
    }
    for seq in 1..=10 {
        bed.received(on(1), (200, 210), &framed(REPLY, "echo", seq, b""));
    }
    assert_eq!(bed.spans().len(), 10);
    bed.closed(1, 500);
    let spans = bed.spans();
    assert_eq!(spans.len(), 40);
    for span in spans {
        assert_eq!(span.incomplete, Some(Incomplete::ConnectionClosed));
        assert!(semconv::error(&span).is_some());
    }
    bed.stop();
    bed.assert_empty();
}
