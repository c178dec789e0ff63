//! What HTTP spans of both kinds have in common.

use super::text::{Short, of_header};
use super::{AttributeSink, CapturedHeader, Options, name};
use crate::protocol::http::{Head, Version};
use crate::protocol::{Incomplete, Sizes};
use crate::span::{Kind, Span};

/// Name of a span whose method is not known, or not a known one.
const UNKNOWN: &str = "HTTP";

pub(super) fn span_name<'a>(span: &'a Span, options: &Options) -> &'a str {
    span.http_request()
        .and_then(|head| known_method(head.method(), options))
        .unwrap_or(UNKNOWN)
}

/// The method as text, if it is a known one. Methods are case-sensitive (RFC 9110, section 9.1).
fn known_method<'a>(method: &'a [u8], options: &Options) -> Option<&'a str> {
    let method = std::str::from_utf8(method).ok()?;
    let known = match &options.known_methods {
        Some(known) => known.iter().any(|m| m == method),
        // RFC 9110, section 9.3; RFC 5789; QUERY.
        None => matches!(
            method,
            "GET"
                | "POST"
                | "PUT"
                | "DELETE"
                | "HEAD"
                | "OPTIONS"
                | "PATCH"
                | "CONNECT"
                | "TRACE"
                | "QUERY"
        ),
    };
    known.then_some(method)
}

pub(super) fn method(head: &Head, options: &Options, sink: &mut impl AttributeSink) {
    match known_method(head.method(), options) {
        Some(method) => sink.text(name::METHOD, &[method]),
        None => {
            sink.text(name::METHOD, &["_OTHER"]);
            sink.text(name::METHOD_ORIGINAL, &[&of_header(head.method())]);
        }
    }
}

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The status says so.
    Status(u16),
    /// The connection ended before the response did. An error of a server, too: whoever closed it,
    /// what was asked for was not answered, and no status tells so.
    ConnectionClosed,
}

pub(super) fn failure(span: &Span) -> Option<Failure> {
    let lowest = match span.kind {
        Kind::Server => 500,
        Kind::Client => 400,
    };
    if let Some(response) = span.http_response()
        && response.status() >= lowest
    {
        return Some(Failure::Status(response.status()));
    }
    // A response that is whole answers also a request that was cut short.
    let cut = span.response.is_none() || span.response_sizes.is_none();
    (cut && span.incomplete == Some(Incomplete::ConnectionClosed))
        .then_some(Failure::ConnectionClosed)
}

/// The attributes that do not depend on the kind.
pub(super) fn common(span: &Span, options: &Options, sink: &mut impl AttributeSink) {
    match span.addresses {
        Some(addresses) => {
            let peer = Short::address(addresses.remote.ip());
            sink.text("network.peer.address", &[peer.as_str()]);
            sink.int("network.peer.port", addresses.remote.port().into());
        }
        None => sink.text("network.transport", &["unix"]),
    }
    if let Some(head) = span.http_request().or(span.http_response()) {
        let version = match head.version() {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        };
        sink.text("network.protocol.version", &[version]);
    }
    if let Some(response) = span.http_response() {
        sink.int(name::STATUS_CODE, response.status().into());
    }
    match failure(span) {
        Some(Failure::Status(status)) => {
            sink.text(
                name::ERROR_TYPE,
                &[Short::of(format_args!("{status}")).as_str()],
            );
        }
        Some(Failure::ConnectionClosed) => {
            sink.text(name::ERROR_TYPE, &[Incomplete::ConnectionClosed.as_str()]);
        }
        None => {}
    }
    sizes(
        span.request_sizes,
        ["http.request.size", "http.request.body.size"],
        sink,
    );
    sizes(
        span.response_sizes,
        ["http.response.size", "http.response.body.size"],
        sink,
    );
    for header in &options.captured {
        captured(span.http_request(), header, &header.request, sink);
        captured(span.http_response(), header, &header.response, sink);
    }
}

fn sizes(sizes: Option<Sizes>, [whole, body]: [&str; 2], sink: &mut impl AttributeSink) {
    let Some(sizes) = sizes else { return };
    sink.int(whole, int(sizes.wire));
    if let Some(size) = sizes.body {
        sink.int(body, int(size));
    }
}

/// OTLP's whole numbers are signed.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn captured(
    head: Option<&Head>,
    header: &CapturedHeader,
    name: &str,
    sink: &mut impl AttributeSink,
) {
    let Some(head) = head else { return };
    let values: Vec<_> = head
        .fields()
        .filter(|(name, _)| *name == header.name.as_bytes())
        .map(|(_, value)| of_header(value))
        .collect();
    if !values.is_empty() {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        sink.texts(name, &values);
    }
}
