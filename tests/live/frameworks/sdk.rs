//! go-zero and Kratos with their own OpenTelemetry tracing, held against the spans that it writes: the
//! ids that one hop carries, what was called, how it ended, when.

use tests::agent::Family;
use tests::frameworks::instants::{self, First, Pair};
use tests::frameworks::{Gateway, Record, sdk_spans};
use tests::load::{self, Body, Exchange, Request, get};
use tests::span::{CLIENT, SERVER, Span};

use super::Differences;
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("frameworks_gozero_sdk", |family| {
            traced(family, Gateway::GoZero, streaming)
        }),
        ("frameworks_kratos_sdk", |family| {
            traced(family, Gateway::Kratos, request)
        }),
    ]
}

const REQUESTS: usize = 140;

/// A request of each kind there is.
fn request(number: usize) -> Request {
    let ms = number % 3;
    match number % 7 {
        0 => get(format!("/fail/{number}?ms={ms}")),
        1 => get(format!("/panic/{number}")),
        2 => get(format!("/echo/{number}?size=1000000")),
        3 => Request {
            method: "POST",
            body: Body::Length(500_000),
            ..get(format!("/echo/{number}?size=10"))
        },
        _ => get(format!("/call/{number}?ms={ms}&down-ms={ms}&pad={number}")),
    }
}

/// Messages each way of the streams among the calls.
const MESSAGES: usize = 3;

/// The same, with streams among the calls: Kratos' middleware leaves those untraced.
fn streaming(number: usize) -> Request {
    match number % 7 {
        4 => get(format!("/call/{number}?pad={number}&messages={MESSAGES}")),
        _ => request(number),
    }
}

fn is_call(number: usize) -> bool {
    number % 7 > 3
}

/// net/http's handlers begin with the head and read the body themselves; ours say when all was read.
const WITH_BODY: [Pair; 1] = [Pair {
    ours: "read_header_finish",
    theirs: "server_handle_start",
    first: First::Ours,
}];

/// One exchange as we saw it and as the framework did.
struct Seen<'a> {
    ours: &'a Span,
    theirs: &'a Record,
}

fn traced(family: Family, gateway: Gateway, request: fn(usize) -> Request) {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = gateway.start_traced(folder.path());
    let traced = Traced::attach(family, &[pair.front.pid(), pair.behind.pid()]);
    let mut exchanges = load::run(pair.front.address, 4, REQUESTS, request);
    let calls = (0..REQUESTS).filter(|number| is_call(*number)).count();
    let front = sdk_spans(&folder.path().join("front"), REQUESTS + calls);
    let behind = sdk_spans(&folder.path().join("behind"), calls);
    let (mut spans, _) = traced.finish();
    spans.retain(|span| !span.name.starts_with("grpc.health.v1.Health/"));
    assert_eq!(spans.len(), REQUESTS + 2 * calls);
    assert_eq!((front.len(), behind.len()), (REQUESTS + calls, calls));
    exchanges.sort_by_key(number);
    let mut all = Differences::default();
    for exchange in &exchanges {
        let of = |server: u32, kind| {
            let mut of_it = spans.iter().filter(|span| {
                span.pid() == Some(server.into())
                    && span.kind == kind
                    && span.trace_id == exchange.trace_id
            });
            (of_it.next(), of_it.next())
        };
        let recorded = |records: &'_ [Record], side: &str| {
            let of_it =
                |record: &&Record| record.side == side && record.trace_id == exchange.trace_id;
            records.iter().find(of_it).cloned()
        };
        let mut wrong = Differences::default();
        let (Some(ours), None) = of(pair.front.pid(), SERVER) else {
            panic!("not one span of {exchange:?}");
        };
        let theirs = recorded(&front, "server").expect("a span of the framework's");
        served(
            exchange,
            &Seen {
                ours,
                theirs: &theirs,
            },
            &mut wrong,
        );
        if is_call(number(exchange)) {
            let (Some(calling), None) = of(pair.front.pid(), CLIENT) else {
                panic!("not one call of {exchange:?}");
            };
            let (Some(called), None) = of(pair.behind.pid(), SERVER) else {
                panic!("not one called of {exchange:?}");
            };
            let theirs_calling = recorded(&front, "client").expect("a span of the framework's");
            let theirs_called = recorded(&behind, "server").expect("a span of the framework's");
            // What the service sends is a context of its own SDK: our call is part of that.
            wrong.compare(
                "our call's parent",
                &calling.parent,
                &theirs_calling.span_id,
            );
            wrong.compare("its parent", &theirs.span_id, &theirs_calling.parent);
            wrong.compare(
                "what was served",
                &theirs_calling.span_id,
                &theirs_called.parent,
            );
            wrong.compare("for us", &called.parent, &calling.span_id);
            let calling = Seen {
                ours: calling,
                theirs: &theirs_calling,
            };
            let called = Seen {
                ours: called,
                theirs: &theirs_called,
            };
            call(&calling, &instants::SDK_CLIENT, &mut wrong);
            call(&called, &instants::SDK_SERVER, &mut wrong);
        }
        all.of(wrong, || format!("{exchange:?}, {ours:?} and {theirs:?}"));
    }
    all.assert_none();
}

/// The request's, in its path.
fn number(exchange: &Exchange) -> usize {
    let number = exchange.target.split(['/', '?']).nth(2);
    number
        .and_then(|number| number.parse().ok())
        .expect("a path of ours")
}

/// The request over HTTP.
fn served(exchange: &Exchange, Seen { ours, theirs }: &Seen<'_>, wrong: &mut Differences) {
    wrong.compare("parent", &ours.parent, &theirs.parent);
    wrong.compare("parent that was sent", &ours.parent, &exchange.parent);
    let status = ours.int("http.response.status_code");
    wrong.compare(
        "status sent",
        &status,
        &Some(exchange.response.status.into()),
    );
    if theirs.status.is_some() {
        wrong.compare("status", &status, &theirs.status);
    }
    let failed = !theirs.error.is_empty() || theirs.events.iter().any(|event| event.status == 3);
    wrong.compare("failed", &(ours.status == 2), &failed);
    let pairs: &[Pair] = match number(exchange) % 7 {
        // The answer begins within the handler once it outgrows net/http's buffer.
        2 => &instants::SDK_SERVER[..1],
        3 => &WITH_BODY,
        _ => &instants::SDK_SERVER,
    };
    wrong.0.extend(instants::wrong(pairs, ours, theirs));
}

/// The call over gRPC, on either side.
fn call(Seen { ours, theirs }: &Seen<'_>, pairs: &[Pair], wrong: &mut Differences) {
    let name = format!("{}/{}", theirs.service, theirs.method);
    wrong.compare("method", &ours.text("rpc.method"), &&name[..]);
    wrong.compare("status", &ours.text("rpc.response.status_code"), &"OK");
    wrong.compare("theirs", &0, &theirs.status.unwrap_or_default());
    if theirs.method == "Chat" {
        // The SDK tells of each message once it is handed on; a stream is not handled in one piece.
        for name in ["stream_send", "stream_recv"] {
            let messages = ours.events.iter().filter(|(event, _)| event == name);
            wrong.compare(name, &messages.count(), &MESSAGES);
        }
        let first = ours.events.first().map(|(name, _)| &name[..]);
        let last = ours.events.last().map(|(name, _)| &name[..]);
        let ends = (Some("stream_start"), Some("stream_finish"));
        wrong.compare("ends", &(first, last), &ends);
    }
    wrong.0.extend(instants::wrong(pairs, ours, theirs));
}
