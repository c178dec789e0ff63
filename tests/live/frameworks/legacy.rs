//! go-zero as it was before OpenTelemetry, held against what its own tracing told its handlers: both
//! sides of both hops in one trace, each span where go-zero has it.

use tests::agent::Family;
use tests::frameworks::serve_legacy;
use tests::load::{self, Request, get};
use tests::span::{CLIENT, SERVER, Span};

use super::Differences;
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![("frameworks_gozero_legacy", legacy)]
}

const REQUESTS: usize = 60;

/// Every third comes without a context: go-zero begins a trace of its own then.
fn request(number: usize) -> Request {
    let fields = match number % 3 {
        0 => String::new(),
        _ => format!("X-Trace-ID: {number:016x}\r\nX-Span-ID: 0.{number}\r\n"),
    };
    Request {
        fields,
        ..get(format!("/call/{number}"))
    }
}

fn legacy(family: Family) {
    let (front, behind) = serve_legacy();
    // The load's own context is of another format, which this service neither reads nor passes on.
    let traced = Traced::attach_reading(family, &[front.pid(), behind.pid()], "go-zero");
    let exchanges = load::run(front.address, 4, REQUESTS, request);
    let (spans, _) = traced.finish();
    assert_eq!(spans.len(), 3 * REQUESTS);
    let of = |pid: u32, kind| {
        let is = move |span: &&Span| span.pid() == Some(pid.into()) && span.kind == kind;
        spans.iter().filter(is)
    };
    let mut all = Differences::default();
    for exchange in &exchanges {
        let known = exchange.response.field("known").expect("answered");
        let [trace, path, trace_behind, path_behind] = known.split(' ').collect::<Vec<_>>()[..]
        else {
            panic!("go-zero says {known}");
        };
        assert_eq!(trace, trace_behind);
        let mut served = of(front.pid(), SERVER).filter(|span| span.target() == exchange.target);
        let (Some(served), None) = (served.next(), served.next()) else {
            panic!("not one span of {exchange:?}");
        };
        let of_trace = |span: &&Span| span.trace_id == served.trace_id;
        let mut wrong = Differences::default();
        wrong.compare("trace", &&served.trace_id[16..], &trace);
        for (span, path) in [
            (of(front.pid(), CLIENT).find(of_trace), path_behind),
            (of(behind.pid(), SERVER).find(of_trace), path_behind),
        ] {
            let Some(span) = span else {
                wrong.compare("a span in the trace", &false, &true);
                continue;
            };
            wrong.compare("path", &span.text("tracer.context.span_id"), &path);
            let status = span.text("rpc.response.status_code");
            wrong.compare("status", &status, &"OK");
            if span.kind == CLIENT {
                wrong.compare("parent", &span.parent, &served.span_id);
            }
        }
        if !number(&exchange.target).is_multiple_of(3) {
            wrong.compare("path", &served.text("tracer.context.span_id"), &path);
        }
        all.of(wrong, || format!("{exchange:?}: {served:?}"));
    }
    all.assert_none();
}

/// The request's, in its path.
pub fn number(path: &str) -> usize {
    let number = path.split('/').nth(2).expect("a path of ours");
    number.parse().expect("a number")
}
