//! Kratos as it was before OpenTelemetry, held against what its own tracing answers: both sides of both
//! hops in one trace, which is the caller's or else the service's own, and each answer's span told.

use tests::agent::Family;
use tests::frameworks::serve_kratos_v1;
use tests::load::{self, Request, get};
use tests::span::{CLIENT, SERVER, Span};

use super::Differences;
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![("frameworks_kratos_v1", answers)]
}

const REQUESTS: usize = 60;

/// The caller's trace and span, as [`request`] says them. Every third request has none.
fn sent(number: usize) -> Option<(String, String)> {
    let context = (
        format!("{:x}", 77 + number),
        format!("{:x}", 1_000 + number),
    );
    (!number.is_multiple_of(3)).then_some(context)
}

fn request(number: usize) -> Request {
    let context =
        sent(number).map(|(trace, span)| format!("kratos-trace-id: {trace}:{span}:0:1\r\n"));
    Request {
        fields: context.unwrap_or_default(),
        ..get(format!("/call/{number}"))
    }
}

fn answers(family: Family) {
    let (front, behind) = serve_kratos_v1();
    // The load's own context is of another format, which this service neither reads nor passes on.
    let traced = Traced::attach_reading(family, &[front.pid(), behind.pid()], "kratos");
    let exchanges = load::run(front.address, 4, REQUESTS, request);
    let (spans, _) = traced.finish();
    assert_eq!(spans.len(), 3 * REQUESTS);
    let mut all = Differences::default();
    for exchange in &exchanges {
        let of = |pid: u32, kind| {
            let is = |span: &&Span| {
                let url = [span.text("url.path"), span.text("url.full")];
                let asks = url.iter().any(|url| url.ends_with(&exchange.target));
                asks && span.pid() == Some(pid.into()) && span.kind == kind
            };
            let mut found = spans.iter().filter(is);
            match (found.next(), found.next()) {
                (Some(span), None) => span,
                other => panic!("not one span of {exchange:?}: {other:?}"),
            }
        };
        let [served, asked, answered] = [
            of(front.pid(), SERVER),
            of(front.pid(), CLIENT),
            of(behind.pid(), SERVER),
        ];
        let said = ["kratos-trace-id", "behind"].map(|name| {
            let said = exchange.response.field(name).expect("answered");
            let mut ids = said.split(':').map(|id| format!("{id:0>16}"));
            (ids.next().expect("a trace"), ids.next().expect("a span"))
        });
        let [(trace, own), (trace_behind, own_behind)] = &said;
        assert_eq!(trace, trace_behind);
        let mut wrong = Differences::default();
        for (span, own) in [(served, own), (asked, own_behind), (answered, own_behind)] {
            wrong.compare("trace", &&span.trace_id[16..], &&trace[..]);
            let told = span.text("tracer.response.span_id");
            wrong.compare("the answer's span", &told, &&own[..]);
        }
        let caller = sent(super::legacy::number(&exchange.target));
        let caller = caller.map(|(_, span)| format!("{span:0>16}"));
        wrong.compare("caller", &served.parent, &caller.unwrap_or_default());
        wrong.compare("caller behind", &answered.parent, &asked.span_id);
        all.of(wrong, || {
            format!("{exchange:?}: {served:?} {asked:?} {answered:?}")
        });
    }
    all.assert_none();
}
