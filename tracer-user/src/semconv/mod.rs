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
mod grpc;
mod http;
pub mod metrics;
mod network;
mod paths;
mod route;
mod rpc;
mod server;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod thrift;
mod url;

pub use events::{STAGES, SpanEvent, Stage, events, messages_wanted, stages, stages_by_place};
pub use paths::{PathName, Paths};
pub use route::Routes;

use std::borrow::Cow;

use self::text::Short;
use crate::protocol::Head;
use crate::protocol::http::Version;
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
    pub const RPC_METHOD: &str = "rpc.method";
    pub const RPC_STATUS_CODE: &str = "rpc.response.status_code";
    pub const RPC_SYSTEM: &str = "rpc.system.name";
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
    /// `--names`.
    pub names: Names,
}

/// What names an HTTP span. Attributes do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// The method, and what its path is called ([`Paths`]).
    #[default]
    Path,
    /// The method alone, as the conventions have it where no framework tells its route.
    Method,
}

/// A header whose values go on spans because the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedHeader {
    name: String,
    http: Captured,
    rpc: Captured,
}

/// The attributes that a header's values go to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Captured {
    request: String,
    response: String,
}

impl CapturedHeader {
    /// The header of that name, in any case.
    pub fn new(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        CapturedHeader {
            http: Captured {
                request: format!("http.request.header.{name}"),
                response: format!("http.response.header.{name}"),
            },
            rpc: Captured {
                request: format!("rpc.request.metadata.{name}"),
                response: format!("rpc.response.metadata.{name}"),
            },
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

/// Whose conventions a span follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Http,
    Grpc,
    /// Thrift and Kitex Protobuf.
    Thrift,
}

impl System {
    fn of(span: &Span) -> System {
        match span.request.as_ref().or(span.response.as_ref()) {
            Some(Head::Rpc(_)) => System::Thrift,
            Some(Head::Http(head))
                if head.version() == Version::Http2
                    && grpc::is_call(
                        span.http_request(),
                        span.http_response(),
                        span.trailers(),
                    ) =>
            {
                System::Grpc
            }
            Some(Head::Http(_)) | None => System::Http,
        }
    }
}

/// Tells the values of a captured header, if there are any.
fn texts<'a>(values: impl Iterator<Item = &'a [u8]>, name: &str, sink: &mut impl AttributeSink) {
    let values: Vec<_> = values.map(text::of_header).collect();
    if !values.is_empty() {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        sink.texts(name, &values);
    }
}

/// Names a span: tells the pieces of its name, which is low in cardinality, so never a path as it is.
/// `path` is what [`Paths`] says of it.
pub fn span_name<R>(
    span: &Span,
    path: Option<PathName<'_>>,
    options: &Options,
    tell: impl FnOnce(&[&str]) -> R,
) -> R {
    match System::of(span) {
        System::Http => {
            let method = http::method_name(span, options);
            match path.filter(|_| options.names == Names::Path) {
                Some(path) => tell(&[method, " ", path.as_str()]),
                None => tell(&[method]),
            }
        }
        System::Grpc => tell(&[&grpc::method(span).unwrap_or("grpc".into())]),
        System::Thrift => match thrift::method(span) {
            Some(method) => tell(&[&method]),
            None => tell(&[thrift::system(span)]),
        },
    }
}

/// Whether the span's status is `Error`, and then what is known of it in words, perhaps nothing.
/// Otherwise it is left unset, never `Ok`.
pub fn error(span: &Span) -> Option<Cow<'_, str>> {
    let message = match System::of(span) {
        System::Http => http::failure(span).map(|_| "".into()),
        System::Grpc => grpc::error(span),
        System::Thrift => thrift::error(span),
    };
    message.map(text::in_short)
}

/// Tells the sink every attribute of the span. `path` is what [`Paths`] says of it.
pub fn attributes(
    span: &Span,
    path: Option<PathName<'_>>,
    options: &Options,
    sink: &mut impl AttributeSink,
) {
    match System::of(span) {
        System::Http => {
            match span.kind {
                Kind::Server => server::attributes(span, options, sink),
                Kind::Client => client::attributes(span, options, sink),
            }
            if let Some(path) = path {
                sink.text(path.attribute(span.kind), &[path.as_str()]);
            }
            http::common(span, options, sink);
        }
        System::Grpc => grpc::attributes(span, options, sink),
        System::Thrift => thrift::attributes(span, options, sink),
    }
    for stage in stages(span) {
        sink.double(stage.attribute, stage.ns as f64 / 1e9);
    }
    if let Some(format) = span.format {
        sink.text("tracer.context.format", &[format.as_str()]);
    }
    if let Some(sent) = &span.sent {
        if let Some(id) = &sent.trace_id {
            sink.text("tracer.context.trace_id", &[id]);
        }
        if let Some(id) = &sent.span_id {
            sink.text("tracer.context.span_id", &[id]);
        }
    }
    if let Some(id) = span.answer_span {
        sink.text(
            "tracer.response.span_id",
            &[Short::of(format_args!("{id}")).as_str()],
        );
    }
    if let Some((_, source)) = span.parent {
        sink.text("tracer.parent.source", &[source.as_str()]);
    }
    if let Some(reason) = span.incomplete {
        sink.text(name::INCOMPLETE, &[reason.as_str()]);
    }
}

/// OTLP's whole numbers are signed.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
