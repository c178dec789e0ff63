//! HTTP/1: what a head, and a whole exchange, cost the parser.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tracer::context::{self, Formats};
use tracer::protocol::http1::Http1;
use tracer::protocol::{Event, Input, Protocol, Side};

/// What wrk sends, and nginx answers with a page of 615 bytes.
const SHORT: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\n\
    Content-Type: text/html\r\nContent-Length: 615\r\nLast-Modified: Mon, 02 Nov 2026 10:00:00 GMT\r\n\
    Connection: keep-alive\r\nETag: \"6545a2f0-267\"\r\nAccept-Ranges: bytes\r\n\r\n";
const ANSWER_BODY: u64 = 615;

/// What a service behind a gateway gets.
const LONG: &[u8] = b"GET /api/v1/orders/8731?expand=items HTTP/1.1\r\nHost: orders.internal:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: application/json, text/plain, */*\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nX-Request-Id: 0c7f4b1c-9f0e-4b68-a0a5-3a5f4f0b7f5e\r\n\
    X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
    tracestate: vendor=opaque\r\nCookie: session=9f86d081884c7d659a2feaa0c55ad015\r\n\r\n";

fn exchange(http: &mut Http1, request: &[u8], out: &mut Vec<Event>) {
    http.push(Side::Request, Input::Bytes(request), out);
    http.push(Side::Request, Input::EndOfTransfer, out);
    http.push(Side::Response, Input::Bytes(ANSWER), out);
    http.push(Side::Response, Input::Skipped(ANSWER_BODY), out);
    http.push(Side::Response, Input::EndOfTransfer, out);
}

fn exchanges(c: &mut Criterion) {
    let mut group = c.benchmark_group("exchange");
    group.throughput(Throughput::Elements(1));
    for (name, request) in [("short", SHORT), ("long", LONG)] {
        let mut http = Http1::new(false);
        let mut out = Vec::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                exchange(&mut http, black_box(request), &mut out);
                assert_eq!(out.len(), 6);
                out.clear();
            });
        });
    }
    group.finish();
}

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    let mut http = Http1::new(false);
    let mut out = Vec::new();
    for (name, request) in [("short", SHORT), ("long", LONG)] {
        group.throughput(Throughput::Bytes(request.len() as u64));
        // The answer is the least there is, so that this is the request's cost, nearly.
        group.bench_function(name, |b| {
            b.iter(|| {
                http.push(Side::Request, Input::Bytes(black_box(request)), &mut out);
                http.push(
                    Side::Response,
                    Input::Bytes(b"HTTP/1.1 204 \r\n\r\n"),
                    &mut out,
                );
                out.clear();
            });
        });
    }
    group.throughput(Throughput::Bytes(LONG.len() as u64));
    group.bench_function("long, one byte at a time", |b| {
        b.iter(|| {
            for byte in LONG {
                http.push(Side::Request, Input::Bytes(&[*byte]), &mut out);
                http.push(Side::Request, Input::EndOfTransfer, &mut out);
            }
            http.push(
                Side::Response,
                Input::Bytes(b"HTTP/1.1 204 \r\n\r\n"),
                &mut out,
            );
            out.clear();
        });
    });
    group.finish();
}

fn contexts(c: &mut Criterion) {
    let head = |bytes: &[u8]| {
        let mut out = Vec::new();
        Http1::new(false).push(Side::Request, Input::Bytes(bytes), &mut out);
        let head = out.into_iter().find_map(|event| match event {
            Event::RequestHead(_, head) => Some(head),
            _ => None,
        });
        head.expect("a whole head")
    };
    let formats = Formats::default();
    let b3 = b"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\n\
        X-B3-SpanId: a2fb4a1d1a96d312\r\nX-B3-ParentSpanId: 0020000000000001\r\nX-B3-Sampled: 1\r\n\r\n";
    for (name, head) in [
        ("context", head(LONG)),
        ("context, none", head(SHORT)),
        ("context, b3multi", head(b3)),
    ] {
        c.bench_function(name, |b| {
            b.iter(|| {
                context::extract(black_box(&head), &formats)
                    .context
                    .is_some()
            });
        });
    }
}

criterion_group!(benches, exchanges, heads, contexts);
criterion_main!(benches);
