//! What HTTP spans of both kinds have in common.

use super::text::{Short, of_header};
use super::{AttributeSink, CapturedHeader, Options, int, name, network};
use crate::protocol::http::{Head, Version};
use crate::protocol::{Incomplete, Side, Sizes};
use crate::span::{Kind, Span};

/// Name of a span whose method is not known, or not a known one.
const UNKNOWN: &str = "HTTP";

/// What the method is called in a span's name.
pub(super) fn method_name<'a>(span: &'a Span, options: &Options) -> &'a str {
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

/// Nothing where HPACK's memory hides it.
pub(super) fn method(head: &Head, options: &Options, sink: &mut impl AttributeSink) {
    if known_or_other(head, options, sink) == Some(OTHER) {
        sink.text(name::METHOD_ORIGINAL, &[&of_header(head.method())]);
    }
}

/// Method that is none of the known ones.
const OTHER: &str = "_OTHER";

/// The method, as one of few; likewise.
pub(super) fn known_or_other<'a>(
    head: &'a Head,
    options: &Options,
    sink: &mut impl AttributeSink,
) -> Option<&'a str> {
    if head.method().is_empty() {
        return None;
    }
    let method = known_method(head.method(), options).unwrap_or(OTHER);
    sink.text(name::METHOD, &[method]);
    Some(method)
}

/// The host that was asked for. HTTP/2's own field stands first (RFC 9113, section 8.3.1).
pub(super) fn host(head: &Head) -> Option<&[u8]> {
    head.field(":authority").or_else(|| head.field("host"))
}

/// RFC 9113, section 7.
const RESETS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// Of these, what says that the one who gave up needs the answer no more.
const NEEDED_NO_MORE: [u32; 2] = [0x0, 0x8];

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The status says so.
    Status(u16),
    /// The connection ended before the response did. An error of a server, too: whoever closed it,
    /// what was asked for was not answered, and no status tells so.
    ConnectionClosed,
    /// The stream was reset before the response ended; with its code, if that is known. No error of a
    /// server whose client just changed its mind.
    Reset(Option<u32>),
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
    match span.incomplete.filter(|_| cut)? {
        Incomplete::ConnectionClosed => Some(Failure::ConnectionClosed),
        Incomplete::StreamReset => {
            let reset = span.reset();
            let code = reset.and_then(|reset| reset.cause.code());
            let unneeded = span.kind == Kind::Server
                && reset.is_some_and(|reset| reset.side == Side::Request)
                && code.is_some_and(|code| NEEDED_NO_MORE.contains(&code));
            (!unneeded).then_some(Failure::Reset(code))
        }
        _ => None,
    }
}

/// The attributes that do not depend on the kind.
pub(super) fn common(span: &Span, options: &Options, sink: &mut impl AttributeSink) {
    network::peer(span, sink);
    outcome(span, sink);
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
        captured(&[span.http_request()], header, &header.http.request, sink);
        captured(&[span.http_response()], header, &header.http.response, sink);
    }
}

/// How it went, and in which version.
pub(super) fn outcome(span: &Span, sink: &mut impl AttributeSink) {
    if let Some(head) = span.http_request().or(span.http_response()) {
        let version = match head.version() {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        };
        sink.text("network.protocol.version", &[version]);
    }
    // 0: HPACK's memory hides it.
    if let Some(response) = span.http_response().filter(|head| head.status() != 0) {
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
        Some(Failure::Reset(code)) => {
            let name = code.and_then(|code| RESETS.get(code as usize));
            sink.text(
                name::ERROR_TYPE,
                &[name.unwrap_or(&Incomplete::StreamReset.as_str())],
            );
        }
        None => {}
    }
}

fn sizes(sizes: Option<Sizes>, [whole, body]: [&str; 2], sink: &mut impl AttributeSink) {
    let Some(sizes) = sizes else { return };
    sink.int(whole, int(sizes.wire));
    if let Some(size) = sizes.body {
        sink.int(body, int(size));
    }
}

/// The values of a header in those heads.
pub(super) fn captured(
    heads: &[Option<&Head>],
    header: &CapturedHeader,
    name: &str,
    sink: &mut impl AttributeSink,
) {
    let fields = heads.iter().flatten().flat_map(|head| head.fields());
    let values = fields
        .filter(|(name, _)| *name == header.name.as_bytes())
        .map(|(_, value)| value);
    super::texts(values, name, sink);
}
