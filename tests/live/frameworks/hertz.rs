//! Hertz' server, on both of its transports, held against its own tracer; and its levels.

use tests::agent::Family;
use tests::frameworks::{Record, instants, records, serve};
use tests::load::{self, Body, Exchange, Request, get};
use tests::span::{SERVER, Span};

use super::Differences;
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("frameworks_hertz_netpoll", |family| hertz(family, &[])),
        ("frameworks_hertz_standard", |family| {
            hertz(family, &["-standard"])
        }),
        ("frameworks_levels", levels),
    ]
}

const REQUESTS: usize = 200;

/// A request of each kind there is.
fn request(number: usize) -> Request {
    let ms = number % 4;
    match number % 10 {
        0 => get(format!("/fail/{number}")),
        1 => get(format!("/panic/{number}?ms={ms}")),
        2 => get(format!("/chunked/{number}?ms={ms}&size=3000")),
        3 => get(format!("/stream/{number}?ms={ms}&size=3000")),
        4 => get(format!("/echo/{number}?size=1000000")),
        5 => post(number, Body::Length(1_000_000)),
        6 => post(number, Body::Chunked(vec![1 + number, 5000])),
        7 => post(number, Body::Length(number)),
        8 => get(format!("/nowhere/{number}")),
        _ => get(format!("/echo/{number}?ms={ms}&size={number}")),
    }
}

fn post(number: usize, body: Body) -> Request {
    Request {
        method: "POST",
        body,
        ..get(format!("/echo/{number}?size=10"))
    }
}

/// Requests, their spans and the framework's records, in the requests' order.
fn traced(
    family: Family,
    server: &[&str],
    agent: &[&str],
    request: fn(usize) -> Request,
) -> Vec<(Exchange, Span, Record)> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("records");
    let recording = file.to_string_lossy();
    let hertz = serve(
        "hertz",
        &[&["serve", "-record", &recording], server].concat(),
    );
    let traced = Traced::attach_with(family, &[hertz.pid()], agent);
    let mut exchanges = load::run(hertz.address, 4, REQUESTS, request);
    let records = records(&file, REQUESTS);
    let (mut spans, _) = traced.finish();
    assert_eq!((records.len(), spans.len()), (REQUESTS, REQUESTS));
    exchanges.sort_by_key(|exchange| number(&exchange.target));
    spans.sort_by_key(|span| number(span.text("url.path")));
    let both = std::iter::zip(exchanges, spans);
    std::iter::zip(both, records)
        .map(|((exchange, span), record)| (exchange, span, record))
        .collect()
}

/// The request's, in its path.
fn number(path: &str) -> usize {
    let number = path.split(['/', '?']).nth(2).expect("a path of ours");
    number.parse().expect("a number")
}

fn hertz(family: Family, server: &[&str]) {
    let mut all = Differences::default();
    let mut connections = std::collections::HashSet::new();
    let mut all_of_it = traced(family, server, &[], request);
    all_of_it.sort_by_key(|(_, span, _)| span.start);
    for (exchange, span, record) in &all_of_it {
        // Hertz' standard transport begins to wait for a connection's first request when it is
        // accepted.
        let first = connections.insert(span.int("network.peer.port")) && !server.is_empty();
        let mut wrong = Differences::default();
        facts(exchange, span, record, &mut wrong);
        let action = record.service.split('/').nth(1).unwrap_or_default();
        let names: Vec<&str> = span.events.iter().map(|(name, _)| &name[..]).collect();
        wrong.compare("events", &names, &record.names());
        wrong.0.extend(
            instants::wrong(&instants::HERTZ, span, record)
                .into_iter()
                // The answer begins inside of a handler that writes it.
                .filter(|_| action != "chunked")
                .filter(|wrong| !(first && wrong.contains("_start"))),
        );
        if action == "chunked" {
            streamed(span, record, &mut wrong);
        }
        all.of(wrong, || format!("{span:?} and {record:?}"));
    }
    all.assert_none();
}

/// Of a handler that writes its answer itself, what the socket shows is when the answer began: that is
/// where the handler's stage ends for us, within the handler.
fn streamed(span: &Span, record: &Record, wrong: &mut Differences) {
    let (ours, theirs) = (
        |name| span.event(name).expect("checked"),
        |name| record.event(name).expect("checked"),
    );
    let began = ours("write_start");
    let inside = theirs("server_handle_start") < began + instants::READING
        && began < theirs("server_handle_finish") + instants::READING;
    wrong.compare("the answer began within the handler", &inside, &true);
    let whole = ours("write_finish") <= theirs("write_finish") + instants::READING;
    wrong.compare("and was whole before the framework said so", &whole, &true);
    wrong.compare("our handler's end", &ours("server_handle_finish"), &began);
}

fn facts(exchange: &Exchange, span: &Span, record: &Record, wrong: &mut Differences) {
    wrong.compare("kind", &span.kind, &SERVER);
    wrong.compare("trace id", &span.trace_id, &exchange.trace_id);
    wrong.compare(
        "status",
        &span.int("http.response.status_code"),
        &record.status,
    );
    wrong.compare(
        "method",
        &span.text("http.request.method"),
        &&record.method[..],
    );
    wrong.compare("path", &span.text("url.path"), &&record.service[..]);
    // What fails in a handler is no error to Hertz, which answered; to HTTP's conventions it is.
    wrong.compare("error", &"", &&record.error[..]);
    let failed = record.status >= Some(500);
    wrong.compare("our status", &(span.status == 2), &failed);
    // Hertz counts a head without its first line, a body without its framing, and nothing where there
    // is no body.
    if record.received > 0 {
        let line = format!("{} {} HTTP/1.1\r\n", exchange.method, exchange.target).len() as i64;
        let framing = match &request(number(&exchange.target)).body {
            Body::Chunked(sizes) => sizes
                .iter()
                .map(|size| format!("{size:x}\r\n\r\n").len())
                .sum::<usize>()
                .saturating_add("0\r\n\r\n".len()),
            _ => 0,
        };
        let received = record.received + line + framing as i64;
        wrong.compare("received", &span.int("http.request.size"), &Some(received));
    }
    if record.sent > 0 {
        let sent = span.int("http.response.size");
        wrong.compare("sent", &sent, &Some(record.sent));
    }
    let wire = (
        span.int("http.request.size"),
        span.int("http.response.size"),
    );
    let (asked, answered) = (exchange.request_wire as i64, exchange.response.wire as i64);
    wrong.compare("sizes on the wire", &wire, &(Some(asked), Some(answered)));
}

/// At each level the same events as at Hertz' level of that name.
fn levels(family: Family) {
    for (level, count) in [("detailed", 10), ("base", 2), ("disabled", 0)] {
        let mut all = Differences::default();
        for (_, span, record) in traced(family, &["-level", level], &["--level", level], request) {
            let names: Vec<&str> = span.events.iter().map(|(name, _)| &name[..]).collect();
            let mut wrong = Differences::default();
            wrong.compare("events", &names, &record.names());
            wrong.compare("how many", &names.len(), &count);
            all.of(wrong, || format!("{span:?} and {record:?}"));
        }
        all.assert_none();
    }
}
