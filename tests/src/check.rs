//! Compares spans with the exchanges they are of: all of them, each once, every fact exact.

use std::collections::{HashMap, HashSet};

use crate::load::Exchange;
use crate::span::{SERVER, Span};

/// How far the kernel's clock, mapped to unix time, may be off the client's reading of it. Both are
/// the same clock of the same machine; the mapping is made once and the wall clock is slewed.
pub const CLOCK: u64 = 2_000_000;

/// Most differences shown.
pub(crate) const SHOWN: usize = 8;

/// The server events of the `detailed` level, in their order.
const SERVER_EVENTS: [&str; 10] = [
    "http_start",
    "read_header_start",
    "read_header_finish",
    "read_body_start",
    "read_body_finish",
    "server_handle_start",
    "server_handle_finish",
    "write_start",
    "write_finish",
    "http_finish",
];

/// Panics unless `spans` are exactly the server spans of `exchanges`: every exchange once, nothing
/// else, each with its ids, path, status, sizes and stages.
#[track_caller]
pub fn exact(spans: &[Span], exchanges: &[Exchange]) {
    let mut by_trace: HashMap<&str, Vec<&Span>> = HashMap::new();
    for span in spans {
        by_trace.entry(&span.trace_id).or_default().push(span);
    }
    let mut wrong = Vec::new();
    for exchange in exchanges {
        match by_trace.remove(exchange.trace_id.as_str()).as_deref() {
            None => wrong.push(format!("no span of {exchange:?}")),
            Some([span]) => {
                let mut differences = facts(span, exchange);
                differences.extend(stages(span));
                if !differences.is_empty() {
                    wrong.push(format!("{differences:#?} in {span:?} of {exchange:?}"));
                }
            }
            Some(several) => wrong.push(format!("{} spans of {exchange:?}", several.len())),
        }
    }
    for span in by_trace.into_values().flatten() {
        wrong.push(format!("a span of no exchange: {span:?}"));
    }
    assert!(
        wrong.is_empty(),
        "{} of {} exchanges ({} spans) are wrong, such as:\n{}",
        wrong.len(),
        exchanges.len(),
        spans.len(),
        wrong[..wrong.len().min(SHOWN)].join("\n")
    );
}

/// Panics unless each span tells how long its request waited in the kernel, where the hook for that
/// is (`sock`). A connection's first request may have come before the process, whose connection it
/// is then only known to be, accepted it.
#[track_caller]
pub fn queue(spans: &[Span]) {
    let mut spans: Vec<&Span> = spans.iter().collect();
    spans.sort_by_key(|span| span.start);
    let mut known = HashSet::new();
    for span in spans {
        let first = known.insert(span.int("network.peer.port"));
        assert!(
            first || span.double("tracer.stage.queue").is_some(),
            "no queue stage in {span:?}"
        );
    }
}

/// What a span of a request is called, if the ids in its path are numbers.
pub fn http_name(method: &str, target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let called = |segment: &str| match segment.parse::<u64>() {
        Ok(_) => "{id}".to_owned(),
        Err(_) => segment.to_owned(),
    };
    let path: Vec<String> = path.split('/').map(called).collect();
    format!("{method} {}", path.join("/"))
}

/// What a server span says of its exchange that is not so.
pub fn facts(span: &Span, exchange: &Exchange) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, is: String, should: String| {
        if is != should {
            wrong.push(format!("{what} is {is}, should be {should}"));
        }
    };
    let int = |name| format!("{:?}", span.int(name));
    let some = |value: u64| format!("{:?}", Some(value as i64));
    let status = exchange.response.status;
    compare("kind", span.kind.to_string(), SERVER.to_string());
    let name = http_name(exchange.method, &exchange.target);
    compare("name", span.name.clone(), name);
    compare("trace id", span.trace_id.clone(), exchange.trace_id.clone());
    compare("parent", span.parent.clone(), exchange.parent.clone());
    compare(
        "parent source",
        span.text("tracer.parent.source").into(),
        "propagated".into(),
    );
    compare(
        "context format",
        span.text("tracer.context.format").into(),
        "w3c".into(),
    );
    compare(
        "method",
        span.text("http.request.method").into(),
        exchange.method.into(),
    );
    compare("target", span.target(), exchange.target.clone());
    compare("scheme", span.text("url.scheme").into(), "http".into());
    compare(
        "status",
        int("http.response.status_code"),
        some(status.into()),
    );
    compare(
        "span status",
        span.status.to_string(),
        if status >= 500 { "2" } else { "0" }.into(),
    );
    compare(
        "request size",
        int("http.request.size"),
        some(exchange.request_wire),
    );
    compare(
        "request body",
        int("http.request.body.size"),
        some(exchange.request_body),
    );
    compare(
        "response size",
        int("http.response.size"),
        some(exchange.response.wire),
    );
    compare(
        "response body",
        int("http.response.body.size"),
        some(exchange.response.body),
    );
    compare(
        "incomplete",
        span.text("tracer.incomplete").into(),
        String::new(),
    );
    // The server's last write may return after the client has read what it wrote.
    let answered = span.event("write_start").unwrap_or(span.start);
    if span.start + CLOCK < exchange.began || answered > exchange.ended + CLOCK {
        wrong.push(format!(
            "it begins at {} and is answered at {answered}, the exchange lasts from {} to {}",
            span.start, exchange.began, exchange.ended
        ));
    }
    wrong
}

/// What is wrong with the stages of a complete server span at the `detailed` level.
pub fn stages(span: &Span) -> Vec<String> {
    let mut wrong = Vec::new();
    let names: Vec<&str> = span.events.iter().map(|(name, _)| name.as_str()).collect();
    if names != SERVER_EVENTS {
        wrong.push(format!("events are {names:?}"));
    }
    if !span.events.is_sorted_by_key(|(_, time)| time) {
        wrong.push("events are not in time order".into());
    }
    if span.events.first().map(|event| event.1) != Some(span.start) {
        wrong.push("the first event is not the span's start".into());
    }
    if span.events.last().map(|event| event.1) != Some(span.end) {
        wrong.push("the last event is not the span's end".into());
    }
    let duration = span.end.saturating_sub(span.start) as f64;
    let mut sum = 0.0;
    for stage in ["read", "handle", "write"] {
        match span.double(&format!("tracer.stage.{stage}")) {
            Some(seconds) if seconds >= 0.0 => sum += seconds * 1e9,
            other => wrong.push(format!("stage {stage} is {other:?}")),
        }
    }
    // A double of seconds holds nanoseconds exactly enough: to less than one.
    if sum > duration + 3.0 {
        wrong.push(format!("the stages take {sum} ns, the span {duration}"));
    }
    if span
        .double("tracer.stage.queue")
        .is_some_and(|queue| queue < 0.0)
    {
        wrong.push("the queue stage is negative".into());
    }
    wrong
}
