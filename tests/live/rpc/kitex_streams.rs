//! Kitex' streams, over gRPC and over its own header: all shapes, many at once, some given up.

use tests::agent::Family;
use tests::rpc::check::{self, Events, Facts};
use tests::rpc::{Call, Done, Form, Stack};
use tests::span::{CLIENT, SERVER, Span, Value};

use super::grpc::DEADLINE_MS;
use super::{connected, int, text, traced};
use crate::Test;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("kitex_streams_ttheader", |family| {
            streams(family, "streaming")
        }),
        ("kitex_streams_grpc", |family| streams(family, "grpc")),
        ("kitex_streams_given_up", given_up),
    ]
}

/// What a handler says that is no failure.
const BUSINESS: i32 = 1001;
/// A handler that fails.
const FAILS: i32 = 2;

/// A stream of each shape, by its number, well and badly ended. No message is smaller than an empty
/// struct with a text in it.
fn shape(number: usize) -> Call {
    let call = |method: &str, send: &[usize], answer: &[usize]| Call {
        send: send.to_vec(),
        answer: answer.to_vec(),
        ..Call::new(number, method)
    };
    match number % 8 {
        0 => call("chat", &[20, 8, 1000], &[]),
        1 => call("upload", &[8, 50_000, 20], &[9]),
        2 => call("download", &[20], &[8, 30, 100_000]),
        3 => Call {
            code: BUSINESS,
            ..call("download", &[20], &[8])
        },
        4 => Call {
            code: FAILS,
            ..call("chat", &[20, 30], &[])
        },
        5 => call("chat", &[], &[]),
        6 if number % 24 == 6 => call("upload", &[1_000_000], &[20]),
        6 if number % 24 == 14 => call("download", &[8], &[1_000_000]),
        6 => call("chat", &[30_000, 8, 30_000, 8, 30_000], &[]),
        _ => call("chat", &[8], &[]),
    }
}

/// Twenty at a time, of either transport; unlike gRPC's other servers, Kitex' counts as a failure
/// whatever a handler returns.
fn streams(family: Family, transport: &'static str) {
    let stack = Stack::Kitex(transport, Form::Thrift);
    let server = stack.serve();
    let calls: Vec<Call> = (1..=240).map(shape).collect();
    let (pids, mut done, spans, stats) = traced(family, (stack, &server), 20, &calls);
    received(&calls, &mut done);
    check::exact(&spans, &calls, &done, pids, |call, done| {
        let facts = match transport {
            "grpc" => in_grpc(call),
            _ => in_ttheader(call),
        };
        told(facts, call, done)
    });
    assert_eq!(stats.spans.made, 2 * calls.len() as u64, "{stats:?}");
}

/// Of a stream that ends badly Kitex drops the messages that were not taken yet: what reached the
/// client is what its call says.
fn received(calls: &[Call], done: &mut [Done]) {
    for (call, done) in calls.iter().zip(done) {
        let answer = match &call.method[..] {
            "chat" => &call.send,
            _ => &call.answer,
        };
        if call.code == 0 && !call.wait {
            assert_eq!(&done.got, answer, "{call:?}");
        }
        done.got.clone_from(answer);
    }
}

/// What both transports have of a stream.
fn told(mut facts: Facts, call: &Call, done: &Done) -> Facts {
    let (sent, got) = (call.send.len(), done.got.len());
    if (sent, got) != (0, 0) {
        facts.both.push(("rpc.request.message_count", int(sent)));
        facts.both.push(("rpc.response.message_count", int(got)));
    }
    if call.code == BUSINESS {
        assert_eq!(done.code, BUSINESS);
        facts.both.push(("kitex.biz_status_code", int(1001)));
        facts.both.push(("kitex.biz_message", text("no stock")));
    } else {
        assert_eq!(done.code == 0, call.code == 0, "{done:?} of {call:?}");
    }
    facts
}

fn in_ttheader(call: &Call) -> Facts {
    let name = format!("Echo/{}", call.method);
    let error = failed(call, "INTERNAL_ERROR");
    Facts {
        both: vec![
            ("rpc.system.name", text("thrift")),
            ("rpc.method", text(&name)),
            ("rpc.thrift.transport", text("ttheader")),
            ("rpc.thrift.protocol", text("binary")),
            ("kitex.to.method", text(&call.method)),
        ],
        name,
        client: error.clone(),
        server: error,
        events: Events::Stream,
    }
}

fn in_grpc(call: &Call) -> Facts {
    let name = format!("test.Echo/{}", call.method);
    let status = match call.code {
        0 => "OK",
        _ => "INTERNAL",
    };
    let error = failed(call, status);
    Facts {
        both: vec![
            ("rpc.system.name", text("grpc")),
            ("rpc.method", text(&name)),
            ("rpc.response.status_code", text(status)),
            ("network.protocol.version", text("2")),
        ],
        name,
        client: error.clone(),
        server: error,
        events: match (call.send.len(), call.answer.len()) {
            (0, _) => Events::EndsLater,
            (1, 0 | 1) => Events::EndsLater,
            _ => Events::Stream,
        },
    }
}

fn failed(call: &Call, name: &str) -> Vec<(&'static str, Value)> {
    match call.code {
        FAILS => vec![("error.type", text(name))],
        _ => vec![],
    }
}

/// Kitex' numbers of what a reset says.
const CANCELED: i32 = 12007;
const TIMED_OUT: i32 = 12015;

/// Streams that the client gives up, and streams whose time is over, among others.
fn given_up(family: Family) {
    let stack = Stack::Kitex("streaming", Form::Thrift);
    let server = stack.serve();
    let calls: Vec<Call> = (2..=61)
        .map(|number| match number % 3 {
            0 => Call {
                wait: true,
                cancel: true,
                send: vec![20],
                ..Call::new(number, "download")
            },
            1 => Call {
                wait: true,
                timeout_ms: DEADLINE_MS,
                send: vec![20],
                ..Call::new(number, "chat")
            },
            _ => shape(number),
        })
        .collect();
    let (pids, mut done, spans, _) = connected(family, (stack, &server), 10, &calls);
    received(&calls, &mut done);
    check::exact(&spans, &calls, &done, pids, |call, done| match call.wait {
        true => Facts {
            events: Events::GivenUp,
            ..in_ttheader(call)
        },
        false => told(in_ttheader(call), call, done),
    });
    for (call, done) in calls.iter().zip(&done).filter(|(call, _)| call.wait) {
        let of_it = |kind| {
            let is = |span: &&Span| span.kind == kind && span.trace_id == call.trace_id();
            spans.iter().find(is).expect("checked before")
        };
        let (client, server) = (of_it(CLIENT), of_it(SERVER));
        // Of the last ones the client may be gone before it has written that it gives them up.
        let left = |span: &Span| span.text("tracer.incomplete") == "connection_closed";
        if left(client) {
            assert!(left(server) || !call.cancel, "{server:?} of {call:?}");
            continue;
        }
        let said = [client, server].map(|span| span.text("error.type"));
        let reset = [client, server].map(|span| span.text("tracer.incomplete") == "stream_reset");
        if call.cancel {
            assert_eq!(done.code, CANCELED, "{call:?}");
            // That its client wants no more is not the server's failure.
            assert_eq!(said, [&CANCELED.to_string(), ""], "{call:?}");
            assert_eq!(reset, [true, true], "{call:?}");
        } else {
            // Either side may be first to find it too late: the client resets, the server fails.
            for (said, reset) in said.into_iter().zip(reset) {
                let fits = match reset {
                    true => said == TIMED_OUT.to_string(),
                    false => said == "INTERNAL_ERROR",
                };
                assert!(fits, "{said} of {call:?}, reset: {reset}");
            }
        }
    }
}
