//! Every attribute name, span name and status rule: what a [`Span`] says in OpenTelemetry's words.
//!
//! Semantic conventions v1.44.0. One description for all outputs: [`attributes`] and [`events`] call
//! a sink with what the span holds, in borrowed pieces, so that writing a span needs no tree of
//! values in between. How the values are encoded is [`crate::export`]'s.
//!
//! Bias: only what was seen is said. An attribute whose value is not known is left out, also where
//! the conventions require it.
//!
//! OTLP's strings are UTF-8, a socket's bytes need not be. In a URL, bytes that are not UTF-8 are
//! percent-encoded, as the URL should have had them; in a header's value they are read as
//! ISO-8859-1, as HTTP did (RFC 9110, section 5.5). Both can be undone, a replacement character
//! could not.

mod client;
mod events;
mod forwarded;
mod http;
mod server;
#[cfg(test)]
mod tests;
mod text;
mod url;

pub use events::{Stage, events, stages};

use crate::span::{Kind, Span};

/// The conventions that names and values follow, as `schema_url`.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// Attribute names that more than one place knows.
pub mod name {
    #![allow(missing_docs)]
    pub const ERROR_TYPE: &str = "error.type";
    pub const METHOD: &str = "http.request.method";
    pub const METHOD_ORIGINAL: &str = "http.request.method_original";
    pub const STATUS_CODE: &str = "http.response.status_code";
    pub const INCOMPLETE: &str = "tracer.incomplete";
    pub const URL_FULL: &str = "url.full";
    pub const URL_PATH: &str = "url.path";
    pub const URL_QUERY: &str = "url.query";
}

/// Which stage events a span carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// None.
    Disabled,
    /// Start and finish.
    Base,
    /// All.
    #[default]
    Detailed,
}

/// What the user can choose of how spans are worded.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--level`, `TRACER_LEVEL`.
    pub level: Level,
    /// `--capture-header`, `TRACER_CAPTURE_HEADERS`.
    pub captured: Vec<CapturedHeader>,
    /// `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`: instead of the standard's; none = those.
    pub known_methods: Option<Vec<String>>,
}

/// A header whose values go on spans because the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedHeader {
    name: String,
    request: String,
    response: String,
}

impl CapturedHeader {
    /// The header of that name, in any case.
    pub fn new(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        CapturedHeader {
            request: format!("http.request.header.{name}"),
            response: format!("http.response.header.{name}"),
            name,
        }
    }
}

/// Takes a span's attributes, each name once. Texts come in pieces that belong together.
pub trait AttributeSink {
    /// A text.
    fn text(&mut self, name: &str, pieces: &[&str]);
    /// A whole number.
    fn int(&mut self, name: &str, value: i64);
    /// A fraction.
    fn double(&mut self, name: &str, value: f64);
    /// A list of texts.
    fn texts(&mut self, name: &str, values: &[&str]);
}

/// Names a span: low cardinality, so never a path.
pub fn span_name<'a>(span: &'a Span, options: &Options) -> &'a str {
    http::span_name(span, options)
}

/// Whether the span's status is `Error`; otherwise it is left unset, never `Ok`.
pub fn is_error(span: &Span) -> bool {
    http::failure(span).is_some()
}

/// Tells the sink every attribute of the span.
pub fn attributes(span: &Span, options: &Options, sink: &mut impl AttributeSink) {
    match span.kind {
        Kind::Server => server::attributes(span, options, sink),
        Kind::Client => client::attributes(span, options, sink),
    }
    http::common(span, options, sink);
    for stage in stages(span) {
        sink.double(stage.attribute, stage.ns as f64 / 1e9);
    }
    if let Some(format) = span.format {
        sink.text("tracer.context.format", &[format.as_str()]);
    }
    if let Some((_, source)) = span.parent {
        sink.text("tracer.parent.source", &[source.as_str()]);
    }
    if let Some(reason) = span.incomplete {
        sink.text(name::INCOMPLETE, &[reason.as_str()]);
    }
}
