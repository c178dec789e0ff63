//! What a framework's own tracer knew of an exchange, written to a file by the fixtures' programs: as
//! their own tracers' records, or as spans of the OpenTelemetry SDK.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::Deserialize;
use serde_json::Value;

use crate::span::{CLIENT, SERVER};
use crate::wait;

/// An exchange as it was seen from inside.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Record {
    /// `server` or `client`.
    pub side: String,
    /// The request's number, where the framework's tracer was told it.
    pub id: String,
    /// RPC: what was called. Hertz: the path.
    pub service: String,
    /// Of RPC or HTTP.
    pub method: String,
    /// HTTP's, or gRPC's.
    pub status: Option<i64>,
    /// Kitex: the caller's name.
    pub from: String,
    /// The other end's address.
    pub peer: String,
    /// Bytes, as the framework counts them.
    pub sent: i64,
    /// Likewise.
    pub received: i64,
    /// What failed, in the framework's words.
    pub error: String,
    /// The framework noticed a panic of the handler.
    pub panicked: bool,
    /// Kitex' business status; 0: none.
    pub business: i64,
    /// Its words.
    pub business_message: String,
    /// The SDK's.
    pub trace_id: String,
    /// The SDK's.
    pub span_id: String,
    /// The SDK's, empty: none.
    pub parent: String,
    /// In no order but the framework's list.
    pub events: Vec<Event>,
}

/// One of a framework's events.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// As our spans name it.
    pub name: String,
    /// Unix ns.
    pub at: u64,
    /// 1 info, 2 warning, 3 error.
    pub status: i64,
}

impl Record {
    /// When an event was; none if it was not recorded.
    pub fn event(&self, name: &str) -> Option<u64> {
        let event = self.events.iter().find(|event| event.name == name);
        event.map(|event| event.at)
    }

    /// The events' names in order of time; those of one instant in the framework's order.
    pub fn names(&self) -> Vec<&str> {
        let mut events: Vec<&Event> = self.events.iter().collect();
        events.sort_by_key(|event| event.at);
        events.iter().map(|event| event.name.as_str()).collect()
    }
}

/// Awaits `count` records in a file of them. In the order of their numbers.
#[track_caller]
pub fn records(file: &Path, count: usize) -> Vec<Record> {
    let mut records: Vec<Record> = lines(file, count)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no record: {line}")))
        .collect();
    records.sort_by_key(|record| record.id.parse::<usize>().ok());
    records
}

/// Awaits `count` spans that the SDK wrote, as records: what it calls a span's start and end are the
/// handler's on a server, and the call's on a client.
#[track_caller]
pub fn sdk_spans(file: &Path, count: usize) -> Vec<Record> {
    lines(file, count).iter().map(|line| of_sdk(line)).collect()
}

fn lines(file: &Path, count: usize) -> Vec<String> {
    wait::until("the framework's own records", wait::SOON, || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        // The last line may be half written.
        let (whole, _) = text.rsplit_once('\n')?;
        let lines: Vec<String> = whole.lines().map(String::from).collect();
        (lines.len() >= count).then_some(lines)
    })
}

/// A line of `stdouttrace`.
#[track_caller]
fn of_sdk(line: &str) -> Record {
    let span: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no span: {line}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let at = |name: &str| {
        let time = humantime::parse_rfc3339(&text(&span[name])).expect("UTC");
        time.duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_nanos() as u64
    };
    let attribute = |name: &str| {
        let all = span["Attributes"].as_array().into_iter().flatten();
        let mut wanted = all.filter(|attribute| attribute["Key"] == name);
        wanted.next().map(|attribute| &attribute["Value"]["Value"])
    };
    let named = |name| attribute(name).map(text).unwrap_or_default();
    let (side, start, end) = match span["SpanKind"].as_i64().map(|kind| kind as i32) {
        Some(SERVER) => ("server", "server_handle_start", "server_handle_finish"),
        Some(CLIENT) => ("client", "rpc_start", "rpc_finish"),
        other => panic!("a span of kind {other:?}"),
    };
    let failed = span["Status"]["Code"] == "Error";
    let parent = match &span["Parent"]["SpanID"] {
        none if none == "0000000000000000" => String::new(),
        parent => text(parent),
    };
    let event = |name: &str, at| Event {
        name: name.into(),
        at,
        status: if failed { 3 } else { 1 },
    };
    let status = [
        "http.status_code",
        "rpc.grpc.status_code",
        "rpc.status_code",
    ];
    Record {
        side: side.into(),
        service: named("rpc.service"),
        method: match named("rpc.method") {
            none if none.is_empty() => named("http.method"),
            method => method,
        },
        status: status
            .iter()
            .find_map(|name| attribute(name).and_then(Value::as_i64)),
        error: match failed {
            true => text(&span["Status"]["Description"]),
            false => String::new(),
        },
        trace_id: text(&span["SpanContext"]["TraceID"]),
        span_id: text(&span["SpanContext"]["SpanID"]),
        parent,
        events: vec![event(start, at("StartTime")), event(end, at("EndTime"))],
        ..Record::default()
    }
}
