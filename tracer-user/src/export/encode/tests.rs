//! The bytes, read back with the official types, against what the conventions say.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span as Decoded};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::context::SpanId;
use crate::export::batch::Batch;
use crate::export::samples::rpc;
use crate::export::{Signal, json, samples};
use crate::protocol::http::{Head, Version};
use crate::semconv::{CapturedHeader, Level, Options};

/// What a path is called.
const PATH: Option<PathName<'_>> = Some(PathName::Template("/users/{id}"));

/// What the conventions say, as the official types have it.
#[derive(Default)]
struct Expected(Vec<KeyValue>);

fn key_value(name: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(wrapped(value)),
        ..KeyValue::default()
    }
}

fn wrapped(value: AnyValue) -> opentelemetry_proto::tonic::common::v1::AnyValue {
    opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value) }
}

fn text(text: &str) -> AnyValue {
    AnyValue::StringValue(text.to_owned())
}

impl AttributeSink for Expected {
    fn text(&mut self, name: &str, pieces: &[&str]) {
        self.0.push(key_value(name, text(&pieces.concat())));
    }

    fn int(&mut self, name: &str, value: i64) {
        self.0.push(key_value(name, AnyValue::IntValue(value)));
    }

    fn double(&mut self, name: &str, value: f64) {
        self.0.push(key_value(name, AnyValue::DoubleValue(value)));
    }

    fn texts(&mut self, name: &str, values: &[&str]) {
        let values = values.iter().map(|value| wrapped(text(value))).collect();
        self.0
            .push(key_value(name, AnyValue::ArrayValue(ArrayValue { values })));
    }
}

fn encoded(span: &Span, options: &Options, limits: &Limits) -> Decoded {
    let mut bytes = Vec::new();
    super::span(span, PATH, options, limits, &mut bytes);
    let decoded = Decoded::decode(bytes.as_slice()).unwrap();
    assert_eq!(
        decoded.encoded_len(),
        bytes.len(),
        "nothing beside what was read"
    );
    decoded
}

/// Every field against what it must be.
fn check(span: &Span, options: &Options) {
    let decoded = encoded(span, options, &Limits::default());
    assert_eq!(decoded.trace_id, span.trace_id.0);
    assert_eq!(decoded.span_id, span.span_id.0);
    assert_eq!(decoded.trace_state, span.trace_state);
    assert_eq!(
        decoded.parent_span_id,
        span.parent.map(|(id, _)| id.0.to_vec()).unwrap_or_default()
    );
    let remote = matches!(
        span.parent,
        Some((_, ParentSource::Propagated | ParentSource::Connection))
    );
    let flags = 0x100 | u32::from(span.sampled != Some(false)) | if remote { 0x200 } else { 0 };
    assert_eq!(decoded.flags, flags);
    let name = semconv::span_name(span, PATH, options, |name| name.concat());
    assert_eq!(decoded.name, name);
    let kind = match span.kind {
        Kind::Server => 2,
        Kind::Client => 3,
    };
    assert_eq!(decoded.kind, kind);
    assert_eq!(decoded.start_time_unix_nano, span.start_ns);
    assert_eq!(decoded.end_time_unix_nano, span.end_ns);
    let mut expected = Expected::default();
    semconv::attributes(span, PATH, options, &mut expected);
    assert_eq!(decoded.attributes, expected.0);
    assert_eq!(decoded.dropped_attributes_count, 0);
    let mut events = Vec::new();
    let not_kept = semconv::events(span, options.level, |event| {
        let message = event.message.map(|message| {
            let int = |name, value: u64| {
                key_value(
                    name,
                    AnyValue::IntValue(i64::try_from(value).unwrap_or(i64::MAX)),
                )
            };
            vec![
                int("rpc.message.id", message.number),
                int("rpc.message.compressed_size", message.size),
            ]
        });
        events.push((event.name, event.at, message.unwrap_or_default()));
    });
    let decoded_events: Vec<_> = decoded
        .events
        .iter()
        .map(|event| {
            (
                event.name.as_str(),
                event.time_unix_nano,
                event.attributes.clone(),
            )
        })
        .collect();
    assert_eq!(decoded_events, events);
    assert_eq!(u64::from(decoded.dropped_events_count), not_kept);
    assert!(decoded.links.is_empty());
    let status = decoded.status.unwrap();
    assert_eq!(
        status.code,
        if semconv::error(span).is_some() { 2 } else { 0 }
    );
    assert_eq!(status.message, semconv::error(span).unwrap_or_default());
}

#[test]
fn samples_come_back_whole() {
    for span in [
        samples::server(),
        samples::client(),
        rpc::grpc_server(),
        rpc::grpc_client(),
        rpc::grpc_stream(),
    ] {
        check(&span, &Options::default());
    }
}

#[test]
fn a_failed_call_says_why() {
    let mut span = rpc::grpc_client();
    span.streamed.as_mut().unwrap().trailers = rpc::trailers(&[
        ("grpc-status", "5"),
        ("grpc-message", "no such item: %C3%A4"),
    ]);
    check(&span, &Options::default());
    let status = encoded(&span, &Options::default(), &Limits::default())
        .status
        .unwrap();
    assert_eq!(
        (status.code, status.message.as_str()),
        (2, "no such item: ä")
    );
}

#[test]
fn messages_that_are_not_kept_are_counted_as_dropped_events() {
    let mut span = rpc::grpc_stream();
    span.streamed.as_mut().unwrap().not_kept = 1000;
    let decoded = encoded(&span, &Options::default(), &Limits::default());
    assert_eq!(decoded.events.last().unwrap().name, "stream_finish");
    assert_eq!(decoded.dropped_events_count, 1000);
    let few = Limits {
        events: 2,
        ..Limits::default()
    };
    let decoded = encoded(&span, &Options::default(), &few);
    assert_eq!(
        (decoded.events.len(), decoded.dropped_events_count),
        (2, 1006)
    );
    let base = Options {
        level: Level::Base,
        ..Options::default()
    };
    let decoded = encoded(&span, &base, &Limits::default());
    assert_eq!(
        (decoded.events.len(), decoded.dropped_events_count),
        (2, 0),
        "not wanted is not dropped"
    );
}

#[test]
fn limits_cut_and_count() {
    let span = samples::server();
    let options = Options {
        captured: vec![CapturedHeader::new("accept")],
        ..Options::default()
    };
    let all = encoded(&span, &options, &Limits::default());
    let limits = Limits {
        attributes: 5,
        events: 3,
        value_length: Some(2),
    };
    let cut = encoded(&span, &options, &limits);
    assert_eq!(cut.attributes.len(), 5);
    assert_eq!(
        cut.dropped_attributes_count as usize,
        all.attributes.len() - 5
    );
    assert_eq!(cut.events.len(), 3);
    assert_eq!(cut.dropped_events_count, 7);
    assert_eq!(
        cut.attributes[0],
        key_value("http.request.method", text("GE"))
    );
    let short = Limits {
        value_length: Some(2),
        ..Limits::default()
    };
    let cut = encoded(&span, &options, &short);
    let header = cut
        .attributes
        .iter()
        .find(|a| a.key == "http.request.header.accept");
    let values = vec![wrapped(text("*/"))];
    assert_eq!(
        header,
        Some(&key_value(
            "http.request.header.accept",
            AnyValue::ArrayValue(ArrayValue { values })
        ))
    );
}

#[test]
fn length_limit_counts_characters() {
    let mut head = Head::request(b"GET", "/äöü".as_bytes(), Version::Http11);
    head.push(b"x", "äöü".as_bytes());
    let span = Span {
        request: Some(head.into()),
        ..samples::server()
    };
    let limits = Limits {
        value_length: Some(3),
        ..Limits::default()
    };
    let options = Options {
        captured: vec![CapturedHeader::new("x")],
        ..Options::default()
    };
    let cut = encoded(&span, &options, &limits);
    let path = cut.attributes.iter().find(|a| a.key == "url.path");
    assert_eq!(path, Some(&key_value("url.path", text("/äö"))));
    let header = cut
        .attributes
        .iter()
        .find(|a| a.key == "http.request.header.x");
    let values = vec![wrapped(text("äöü"))];
    assert_eq!(
        header.and_then(|h| h.value.clone()),
        Some(wrapped(AnyValue::ArrayValue(ArrayValue { values })))
    );
}

/// A request of these spans, decoded.
fn request(spans: &[Span]) -> (Vec<u8>, ExportTraceServiceRequest) {
    let mut batch = Batch::default();
    let mut scratch = Vec::new();
    for span in spans {
        scratch.clear();
        super::span(
            span,
            PATH,
            &Options::default(),
            &Limits::default(),
            &mut scratch,
        );
        batch.push(&span.resource, &scratch);
    }
    let request = batch.take().unwrap();
    assert_eq!(request.spans, spans.len() as u64);
    assert!(batch.take().is_none(), "the next one is empty");
    let decoded = ExportTraceServiceRequest::decode(request.bytes.clone()).unwrap();
    assert_eq!(decoded.encoded_len(), request.bytes.len());
    (request.bytes.to_vec(), decoded)
}

fn pid(spans: &ResourceSpans) -> i64 {
    let attributes = &spans.resource.as_ref().unwrap().attributes;
    let pid = attributes.iter().find(|a| a.key == "process.pid").unwrap();
    match pid.value.as_ref().unwrap().value {
        Some(AnyValue::IntValue(pid)) => pid,
        _ => panic!("no number: {pid:?}"),
    }
}

#[test]
fn each_process_has_its_own_resource() {
    let other = samples::resource(77, "other");
    let mut spans: Vec<Span> = (0..10_u64)
        .map(|index| Span {
            span_id: SpanId((index + 1).to_be_bytes()),
            ..samples::server()
        })
        .collect();
    let first = spans[0].resource.clone();
    for (index, span) in spans.iter_mut().enumerate() {
        span.resource = if index % 3 == 0 {
            other.clone()
        } else {
            first.clone()
        };
    }
    let (_, mut decoded) = request(&spans);
    decoded.resource_spans.sort_by_key(pid);
    let counts: Vec<_> = decoded
        .resource_spans
        .iter()
        .map(|of| (pid(of), of.scope_spans.len(), of.scope_spans[0].spans.len()))
        .collect();
    assert_eq!(counts, [(77, 1, 4), (812, 1, 6)]);
    let scope = &decoded.resource_spans[0].scope_spans[0];
    assert_eq!(scope.schema_url, semconv::SCHEMA_URL);
    let named = scope.scope.as_ref().unwrap();
    assert_eq!(
        (named.name.as_str(), named.version.as_str()),
        ("tracer", env!("CARGO_PKG_VERSION"))
    );
    let attributes = &decoded.resource_spans[1]
        .resource
        .as_ref()
        .unwrap()
        .attributes;
    let arguments = ["shop", "-v"]
        .map(|argument| wrapped(text(argument)))
        .to_vec();
    assert_eq!(
        attributes[2],
        key_value(
            "process.command_args",
            AnyValue::ArrayValue(ArrayValue { values: arguments })
        )
    );
}

#[test]
fn lengths_of_every_width() {
    // 1 to 3 bytes of length before the spans, and their boundaries.
    for count in [1, 2, 14, 15, 16, 17, 200] {
        let spans = vec![samples::server(); count];
        let mut shared = spans;
        let resource = shared[0].resource.clone();
        shared
            .iter_mut()
            .for_each(|span| span.resource = resource.clone());
        let (_, decoded) = request(&shared);
        assert_eq!(decoded.resource_spans[0].scope_spans[0].spans.len(), count);
    }
    for value in (0..64)
        .flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit])
        .chain([u64::MAX])
    {
        let mut bytes = Vec::new();
        varint(value, &mut bytes);
        assert_eq!(bytes.len(), varint_length(value), "{value}");
        assert_eq!(
            prost::encoding::decode_varint(&mut bytes.as_slice()),
            Ok(value)
        );
    }
}

#[test]
fn json_is_strict() {
    let (bytes, decoded) = request(&[samples::server(), samples::client()]);
    let mut line = Vec::new();
    json::append(Signal::Traces, &bytes, &mut line).unwrap();
    assert!(!line.contains(&b'\n'));
    let again: ExportTraceServiceRequest = serde_json::from_slice(&line).unwrap();
    assert_eq!(again, decoded);

    let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    no_nulls(&value);
    let spans: Vec<_> = value["resourceSpans"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|of| of["scopeSpans"][0]["spans"].as_array().unwrap())
        .collect();
    let server = spans.iter().find(|span| span["kind"] == 2).unwrap();
    assert_eq!(server["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(server["spanId"], "1111111111111111");
    assert_eq!(server["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(server["startTimeUnixNano"], samples::START.to_string());
    assert_eq!(
        server["events"][0]["timeUnixNano"],
        samples::START.to_string()
    );
    assert_eq!(server["flags"], 0x301);
    assert_eq!(server["traceState"], "vendor=x");
    let client = spans.iter().find(|span| span["kind"] == 3).unwrap();
    assert_eq!(client["status"]["code"], 2);
    let attributes = client["attributes"].as_array().unwrap();
    let status = attributes
        .iter()
        .find(|a| a["key"] == "http.response.status_code")
        .unwrap();
    assert_eq!(status["value"]["intValue"], "404");
    let stage = attributes
        .iter()
        .find(|a| a["key"] == "tracer.stage.wait")
        .unwrap();
    assert_eq!(stage["value"]["doubleValue"], 0.0006);
}

/// Strict readers want an object where a message belongs.
fn no_nulls(value: &serde_json::Value) {
    match value {
        serde_json::Value::Null => panic!("null"),
        serde_json::Value::Array(values) => values.iter().for_each(no_nulls),
        serde_json::Value::Object(values) => values.values().for_each(no_nulls),
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_span_comes_back_whole(
        span in samples::any(),
        level in prop::sample::select(vec![Level::Disabled, Level::Base, Level::Detailed]),
    ) {
        let options = Options {
            level,
            captured: vec![CapturedHeader::new("x-tag")],
            ..Options::default()
        };
        check(&span, &options);
    }

    #[test]
    fn any_span_is_printed_on_one_line(span in samples::any()) {
        let (bytes, _) = request(&[span]);
        let mut line = Vec::new();
        json::append(Signal::Traces, &bytes, &mut line).unwrap();
        prop_assert!(!line.contains(&b'\n'));
    }
}
