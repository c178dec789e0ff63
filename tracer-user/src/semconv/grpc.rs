//! gRPC: what its HTTP/2 messages say, in the words of the conventions.
//!
//! The status is the one in the trailers (or the head, where that is all of the answer). Where there
//! is none, what gRPC's own mapping makes of what was seen is said, since that is what the client's
//! program gets: of an HTTP status, and of a stream's reset. A connection that broke says only that.

use std::borrow::Cow;

use super::forwarded::Origin;
use super::text::{Short, of_header};
use super::url::Target;
use super::{AttributeSink, CapturedHeader, Options, http, name, network, rpc, server};
use crate::protocol::Incomplete;
use crate::protocol::http::{Head, Version};
use crate::span::{Kind, Reset, Span};

/// grpc/grpc, doc/statuscodes.md.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const OK: u32 = 0;
const CANCELLED: u32 = 1;
const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
const DATA_LOSS: u32 = 15;
const UNAUTHENTICATED: u32 = 16;

/// RFC 9113, section 7.
mod http2 {
    pub const REFUSED_STREAM: u32 = 0x7;
    pub const CANCEL: u32 = 0x8;
    pub const ENHANCE_YOUR_CALM: u32 = 0xb;
    pub const INADEQUATE_SECURITY: u32 = 0xc;
}

/// A client that gives up at its deadline does so at most this part of the timeout too early for our
/// clock, which starts when the request is written (or read), not when the timeout was set.
const EARLY_PART: u64 = 20;

/// Whether a span is a gRPC call, by its content type; the answer's where HPACK's memory hides the
/// request's; where it hides both, by a status behind the answer, where only gRPC has one (gRPC-Web's
/// is in the body or in the head).
pub(super) fn is_call(
    request: Option<&Head>,
    response: Option<&Head>,
    trailers: Option<&Head>,
) -> bool {
    let is = |head: &Head| {
        if head.version() != Version::Http2 {
            return None;
        }
        head.field("content-type").map(is_content_type)
    };
    let of = |head: Option<&Head>| head.and_then(is);
    of(request)
        .or_else(|| of(response))
        .unwrap_or_else(|| trailers.is_some_and(|head| head.field("grpc-status").is_some()))
}

/// `application/grpc`, perhaps with a codec or parameters; gRPC-Web is another protocol.
fn is_content_type(value: &[u8]) -> bool {
    let Some((start, rest)) = value.split_at_checked("application/grpc".len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(b"application/grpc")
        && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// `package.Service/Method`, if it is known.
pub(super) fn method(span: &Span) -> Option<Cow<'_, str>> {
    let head = span.http_request()?;
    // A query is none of gRPC's: who sends one all the same may have put a secret there.
    let path = Target::parse(head.method(), head.target()).path;
    let method = path.strip_prefix(b"/").unwrap_or(path);
    (!method.is_empty()).then(|| super::text::of_url(method))
}

/// How a call went.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome<'a> {
    /// With this status, and the server's words.
    Status(u32, &'a [u8]),
    /// It was cut off.
    CutOff(Incomplete),
    /// It is not known.
    Unknown,
}

impl<'a> Outcome<'a> {
    fn of(span: &'a Span) -> Self {
        if let Some(status) = ending(span, "grpc-status") {
            let code = std::str::from_utf8(status).ok();
            // A status that is none is UNKNOWN, as clients take it.
            let code = code.and_then(|code| code.trim().parse().ok());
            let message = ending(span, "grpc-message").unwrap_or_default();
            return Outcome::Status(code.unwrap_or(UNKNOWN), message);
        }
        if let Some(code) = span.http_response().and_then(|head| of_http(head.status())) {
            return Outcome::Status(code, b"");
        }
        let cut_off = rpc::cut_off(span);
        if let (Some(Incomplete::StreamReset), Some(reset)) = (cut_off, span.reset()) {
            return Outcome::Status(of_reset(span, reset), b"");
        }
        cut_off.map_or(Outcome::Unknown, Outcome::CutOff)
    }

    fn is_error(&self, kind: Kind) -> bool {
        match (self, kind) {
            (Outcome::Status(code, _), Kind::Client) => *code != OK,
            (Outcome::Status(code, _), Kind::Server) => {
                // Codes of nobody's are UNKNOWN to whoever gets them.
                *code as usize >= CODES.len()
                    || matches!(
                        *code,
                        UNKNOWN
                            | DEADLINE_EXCEEDED
                            | UNIMPLEMENTED
                            | INTERNAL
                            | UNAVAILABLE
                            | DATA_LOSS
                    )
            }
            (Outcome::CutOff(_), _) => true,
            (Outcome::Unknown, _) => false,
        }
    }
}

/// A field of the answer's end: the trailers, or the head that is all of it.
fn ending<'a>(span: &'a Span, name: &str) -> Option<&'a [u8]> {
    span.trailers()
        .and_then(|trailers| trailers.field(name))
        .or_else(|| span.http_response()?.field(name))
}

/// grpc/grpc, doc/http-grpc-status-mapping.md: what an answer without a status of its own means. Mostly
/// a proxy's. None: 200, or not known.
fn of_http(status: u16) -> Option<u32> {
    match status {
        0..=200 => None,
        400 => Some(INTERNAL),
        401 => Some(UNAUTHENTICATED),
        403 => Some(PERMISSION_DENIED),
        404 => Some(UNIMPLEMENTED),
        429 | 502 | 503 | 504 => Some(UNAVAILABLE),
        _ => Some(UNKNOWN),
    }
}

/// grpc/grpc, doc/PROTOCOL-HTTP2.md, "Errors". A call that is given up when its time is over exceeded
/// its deadline: clients say CANCEL then, too.
fn of_reset(span: &Span, reset: &Reset) -> u32 {
    match reset.cause.code() {
        Some(http2::REFUSED_STREAM) => UNAVAILABLE,
        Some(http2::CANCEL) => {
            let after = reset.at_ns.saturating_sub(span.start_ns);
            match timeout(span) {
                Some(timeout) if after >= timeout - timeout / EARLY_PART => DEADLINE_EXCEEDED,
                _ => CANCELLED,
            }
        }
        Some(http2::ENHANCE_YOUR_CALM) => RESOURCE_EXHAUSTED,
        Some(http2::INADEQUATE_SECURITY) => PERMISSION_DENIED,
        // NO_ERROR as well: a call does not end so.
        _ => INTERNAL,
    }
}

/// `grpc-timeout` in nanoseconds; at most eight digits and a unit.
fn timeout(span: &Span) -> Option<u64> {
    let value = span.http_request()?.field("grpc-timeout")?;
    let (unit, digits) = value.split_last()?;
    let unit = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1_u64,
        _ => return None,
    };
    if digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    number.checked_mul(unit)
}

/// Kitex lets the status' own message stand for that of the business.
fn business(span: &Span) -> Option<rpc::Business<'_>> {
    let message = ending(span, "biz-message").map(Cow::from);
    let message = message.or_else(|| {
        let message = ending(span, "grpc-message")?;
        Some(percent_encoding::percent_decode(message).into())
    });
    rpc::Business::of(ending(span, "biz-status"), message)
}

/// The server's words if the span failed; None: it did not.
pub(super) fn error(span: &Span) -> Option<Cow<'_, str>> {
    let outcome = Outcome::of(span);
    if !outcome.is_error(span.kind) || business(span).is_some() {
        return None;
    }
    Some(match outcome {
        Outcome::Status(_, message) => {
            percent_encoding::percent_decode(message).decode_utf8_lossy()
        }
        Outcome::CutOff(_) | Outcome::Unknown => "".into(),
    })
}

/// Calls with the name of a code, or its number where it is nobody's.
fn with_name(code: u32, tell: impl FnOnce(&str)) {
    match CODES.get(code as usize) {
        Some(name) => tell(name),
        None => tell(Short::of(format_args!("{code}")).as_str()),
    }
}

/// What was called and how it went; a business status is for the caller to tell.
pub(super) fn call<'a>(span: &'a Span, sink: &mut impl AttributeSink) -> Option<rpc::Business<'a>> {
    sink.text(name::RPC_SYSTEM, &["grpc"]);
    if let Some(method) = method(span) {
        sink.text(name::RPC_METHOD, &[&method]);
    }
    let outcome = Outcome::of(span);
    if let Outcome::Status(code, _) = outcome {
        with_name(code, |name| sink.text(name::RPC_STATUS_CODE, &[name]));
    }
    let business = business(span);
    match outcome {
        _ if business.is_some() || !outcome.is_error(span.kind) => {}
        Outcome::Status(code, _) => with_name(code, |name| sink.text(name::ERROR_TYPE, &[name])),
        Outcome::CutOff(reason) => sink.text(name::ERROR_TYPE, &[reason.as_str()]),
        Outcome::Unknown => {}
    }
    business
}

/// The host that a client's call asks for, else its peer.
pub(super) fn called(span: &Span, sink: &mut impl AttributeSink) {
    network::called(
        span.addresses,
        span.http_request().and_then(http::host),
        sink,
    );
}

pub(super) fn attributes(span: &Span, options: &Options, sink: &mut impl AttributeSink) {
    if let Some(business) = call(span, sink) {
        business.tell(sink);
    }
    addresses(span, sink);
    sink.text("network.protocol.name", &["http"]);
    sink.text("network.protocol.version", &["2"]);
    if let Some(head) = span.http_request() {
        asked(span, head, sink);
    }
    if let Some(encoding) = span.http_response().and_then(|h| h.field("grpc-encoding")) {
        sink.text("rpc.grpc.response.encoding", &[&of_header(encoding)]);
    }
    rpc::sizes(span, sink);
    for header in &options.captured {
        captured(span, header, sink);
    }
}

fn addresses(span: &Span, sink: &mut impl AttributeSink) {
    match span.kind {
        Kind::Server => {
            let fields = span.http_request().map(server::Fields::of);
            let origin = fields.as_ref().map_or(Origin::default(), |f| f.origin);
            let asked = fields.as_ref().and_then(|fields| fields.host);
            network::served(span, origin.host.or(asked), sink);
            rpc::client(span, origin.client, sink);
            if let Some(agent) = fields.and_then(|fields| fields.user_agent) {
                sink.text("user_agent.original", &[&of_header(agent)]);
            }
        }
        Kind::Client => called(span, sink),
    }
    network::peer(span, sink);
}

/// What the request's metadata says of the call.
fn asked(span: &Span, head: &Head, sink: &mut impl AttributeSink) {
    if let Some(ns) = timeout(span) {
        sink.double("rpc.grpc.timeout", ns as f64 / 1e9);
    }
    for (field, attribute) in [
        ("grpc-encoding", "rpc.grpc.request.encoding"),
        ("source-service", "kitex.from.service"),
        ("source-method", "kitex.from.method"),
        ("destination-service", "kitex.to.service"),
        ("destination-method", "kitex.to.method"),
    ] {
        if let Some(value) = head.field(field) {
            sink.text(attribute, &[&of_header(value)]);
        }
    }
}

fn captured(span: &Span, header: &CapturedHeader, sink: &mut impl AttributeSink) {
    let request = span.http_request();
    http::captured(&[request], header, &header.rpc.request, sink);
    let trailers = span.streamed.as_ref().and_then(|s| s.trailers.as_deref());
    let response = [span.http_response(), trailers];
    http::captured(&response, header, &header.rpc.response, sink);
}
