//! A span as it arrived, flattened out of its OTLP request, for tests to read.

use std::collections::BTreeMap;
use std::fmt;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

/// An attribute's value.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Whole number.
    Int(i64),
    /// Number.
    Double(f64),
    /// Truth.
    Bool(bool),
    /// Several.
    List(Vec<Value>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => fmt::Debug::fmt(text, f),
            Value::Int(int) => fmt::Debug::fmt(int, f),
            Value::Double(double) => fmt::Debug::fmt(double, f),
            Value::Bool(truth) => fmt::Debug::fmt(truth, f),
            Value::List(list) => fmt::Debug::fmt(list, f),
        }
    }
}

/// Attributes by name.
pub type Attributes = BTreeMap<String, Value>;

/// One span with its resource.
#[derive(Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are OTLP's")]
pub struct Span {
    pub resource: Attributes,
    pub scope: String,
    pub name: String,
    /// 2 server, 3 client.
    pub kind: i32,
    pub trace_id: String,
    pub span_id: String,
    /// Empty: none.
    pub parent: String,
    pub trace_state: String,
    /// OTLP's: bit 0 is the trace's, sampled.
    pub flags: u32,
    pub start: u64,
    pub end: u64,
    pub attributes: Attributes,
    pub events: Vec<(String, u64)>,
    /// Attributes of each of the events.
    pub details: Vec<Attributes>,
    /// 0 unset, 1 ok, 2 error.
    pub status: i32,
}

/// `kind` of a span whose process accepted the connection.
pub const SERVER: i32 = 2;
/// `kind` of a span whose process connected.
pub const CLIENT: i32 = 3;

/// Everything but the resource, on one line: tests that fail show many.
impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            SERVER => "SERVER",
            CLIENT => "CLIENT",
            _ => "?",
        };
        write!(f, "{kind} span of {:?} `{}` ", self.pid(), self.name)?;
        write!(f, "trace {} span {} ", self.trace_id, self.span_id)?;
        write!(f, "parent {:?} {:?} ", self.parent, self.trace_state)?;
        write!(
            f,
            "from {} to {} status {} {{",
            self.start, self.end, self.status
        )?;
        for (name, value) in &self.attributes {
            write!(f, " {name}={value:?}")?;
        }
        write!(f, " }} [")?;
        for (name, time) in &self.events {
            write!(f, " {name}+{}", time.wrapping_sub(self.start))?;
        }
        write!(f, " ]")
    }
}

impl Span {
    /// A text attribute; empty if it is not there.
    pub fn text(&self, name: &str) -> &str {
        match self.attributes.get(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// A whole number; none if it is not there, or not whole.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attributes.get(name) {
            Some(Value::Int(int)) => Some(*int),
            _ => None,
        }
    }

    /// A double, such as a stage's seconds.
    pub fn double(&self, name: &str) -> Option<f64> {
        match self.attributes.get(name) {
            Some(Value::Double(double)) => Some(*double),
            _ => None,
        }
    }

    /// When the first event of that name was; none if it is not there.
    pub fn event(&self, name: &str) -> Option<u64> {
        let event = self.events.iter().find(|(known, _)| known == name);
        event.map(|(_, time)| *time)
    }

    /// Path and query as the client sent them (origin form).
    pub fn target(&self) -> String {
        match self.text("url.query") {
            "" => self.text("url.path").to_string(),
            query => format!("{}?{query}", self.text("url.path")),
        }
    }

    /// The process it is of.
    pub fn pid(&self) -> Option<i64> {
        match self.resource.get("process.pid") {
            Some(Value::Int(pid)) => Some(*pid),
            _ => None,
        }
    }
}

/// All spans of a request, in its order.
pub fn flatten(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource_spans in request.resource_spans {
        let resource = resource_spans
            .resource
            .map(|resource| attributes(resource.attributes))
            .unwrap_or_default();
        for scope_spans in resource_spans.scope_spans {
            let scope = scope_spans
                .scope
                .map(|scope| scope.name)
                .unwrap_or_default();
            for span in scope_spans.spans {
                let (events, details) = span
                    .events
                    .into_iter()
                    .map(|event| {
                        let details = attributes(event.attributes);
                        ((event.name, event.time_unix_nano), details)
                    })
                    .unzip();
                spans.push(Span {
                    resource: resource.clone(),
                    scope: scope.clone(),
                    name: span.name,
                    kind: span.kind,
                    trace_id: hex(&span.trace_id),
                    span_id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    trace_state: span.trace_state,
                    flags: span.flags,
                    start: span.start_time_unix_nano,
                    end: span.end_time_unix_nano,
                    attributes: attributes(span.attributes),
                    events,
                    details,
                    status: span.status.map_or(0, |status| status.code),
                });
            }
        }
    }
    spans
}

fn attributes(list: Vec<KeyValue>) -> Attributes {
    let count = list.len();
    let map: Attributes = list
        .into_iter()
        .map(|attribute| (attribute.key, value(attribute.value)))
        .collect();
    assert_eq!(map.len(), count, "attribute names repeat: {map:?}");
    map
}

fn value(value: Option<AnyValue>) -> Value {
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => Value::Text(text),
        Some(any_value::Value::IntValue(int)) => Value::Int(int),
        Some(any_value::Value::DoubleValue(double)) => Value::Double(double),
        Some(any_value::Value::BoolValue(truth)) => Value::Bool(truth),
        Some(any_value::Value::ArrayValue(list)) => Value::List(
            list.values
                .into_iter()
                .map(|v| self::value(Some(v)))
                .collect(),
        ),
        other => panic!("an attribute that nobody makes: {other:?}"),
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
