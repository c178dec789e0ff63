//! Thrift and Kitex Protobuf: what their messages say. The conventions name neither, so what is their
//! own stands under `rpc.thrift.` and `kitex.`.
//!
//! An exception is a failure of both sides' spans: whose fault it was, no one tells. Kitex' business
//! status is none, as Kitex itself has it.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::text::{Short, of_header};
use super::{AttributeSink, CapturedHeader, Options, name, network, rpc};
use crate::protocol::rpc::{Codec, Failure, Head, Key, Kind as Message, Transport};
use crate::protocol::{Cause, Incomplete, Side};
use crate::span::{Kind, Span};

/// Types of `TApplicationException` (apache/thrift, lib/go/thrift/application_exception.go); Kitex
/// uses the same for Protobuf.
const EXCEPTIONS: [&str; 11] = [
    "UNKNOWN",
    "UNKNOWN_METHOD",
    "INVALID_MESSAGE_TYPE",
    "WRONG_METHOD_NAME",
    "BAD_SEQUENCE_ID",
    "MISSING_RESULT",
    "INTERNAL_ERROR",
    "PROTOCOL_ERROR",
    "INVALID_TRANSFORM",
    "INVALID_PROTOCOL",
    "UNSUPPORTED_CLIENT_TYPE",
];

/// Of the exceptions in a reset, those that say that the call was given up, here or by whom it was made
/// for; the others are timeouts (kitex, pkg/remote/trans/ttstream/exception.go).
const CANCELED: RangeInclusive<i32> = 12007..=12013;

/// Integer keys of a TTHeader (cloudwego/gopkg, protocol/ttheader).
mod key {
    pub const LOG_ID: u16 = 2;
    pub const FROM_SERVICE: u16 = 3;
    pub const TO_SERVICE: u16 = 6;
    pub const TO_METHOD: u16 = 9;
    pub const FROM_METHOD: u16 = 20;
    pub const FRAME_TYPE: u16 = 27;
}

/// Whether it is of TTHeader streaming, where every frame says what it is.
pub(super) fn is_stream(head: &Head) -> bool {
    head.number(key::FRAME_TYPE).is_some()
}

fn request(span: &Span) -> Option<&Head> {
    span.request.as_ref()?.rpc()
}

/// Whether the call wants no answer.
pub(super) fn is_oneway(span: &Span) -> bool {
    request(span).is_some_and(|head| head.kind == Message::Oneway)
}

fn response(span: &Span) -> Option<&Head> {
    span.response.as_ref()?.rpc()
}

/// What both messages have alike, from the one that is known.
fn either<'a, T>(span: &'a Span, of: impl Fn(&'a Head) -> Option<T>) -> Option<T> {
    let of_request = request(span).and_then(&of);
    of_request.or_else(|| response(span).and_then(&of))
}

/// `thrift`, or what is not.
pub(super) fn system(span: &Span) -> &'static str {
    match either(span, |head| head.codec) {
        Some(Codec::KitexProtobuf) => "kitex_protobuf",
        // What a TTHeader holds that could not be read is Thrift's nearly always.
        Some(Codec::Binary | Codec::BinaryOld | Codec::Compact) | None => "thrift",
    }
}

/// `Service/method`, or the method where no one names the service.
pub(super) fn method(span: &Span) -> Option<Cow<'_, str>> {
    let method = either(span, |head| {
        let named = Some(&head.method[..]).filter(|name| !name.is_empty());
        named.or_else(|| number(head, key::TO_METHOD))
    })?;
    let method = of_header(method);
    let service = request(span).and_then(|head| text(head, "isn"));
    match service {
        Some(service) => Some(format!("{}/{method}", of_header(service)).into()),
        // TMultiplexedProtocol.
        None => Some(match method.split_once(':') {
            Some((service, method)) => format!("{service}/{method}").into(),
            None => method,
        }),
    }
}

/// A field's value, if it has one.
fn text<'a>(head: &'a Head, key: &str) -> Option<&'a [u8]> {
    head.text(key).filter(|value| !value.is_empty())
}

fn number(head: &Head, key: u16) -> Option<&[u8]> {
    head.number(key).filter(|value| !value.is_empty())
}

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why<'a> {
    /// The answer says so.
    Failure(&'a Failure),
    /// It is an exception of which no more is known.
    Exception,
    /// There is no whole answer.
    CutOff(Incomplete),
}

impl<'a> Why<'a> {
    fn of(span: &'a Span) -> Option<Self> {
        if let Some(head) = response(span) {
            if business(span).is_some() {
                return None;
            }
            if let Some(failure) = &head.failure {
                return Some(Why::Failure(failure));
            }
            if head.kind == Message::Exception {
                return Some(Why::Exception);
            }
        }
        let cut_off = rpc::cut_off(span)?;
        let Some(reset) = span.reset() else {
            return Some(Why::CutOff(cut_off));
        };
        let failure = match &reset.cause {
            Cause::Failure(failure) => failure.as_deref(),
            Cause::Code(_) => None,
        };
        // The client changed its mind.
        let unneeded = match failure {
            Some(Failure::Exception { type_id, .. }) => CANCELED.contains(type_id),
            Some(Failure::Declared(_)) => false,
            None => true,
        };
        if unneeded && reset.side == Side::Request && span.kind == Kind::Server {
            return None;
        }
        Some(failure.map_or(Why::CutOff(cut_off), Why::Failure))
    }
}

fn business(span: &Span) -> Option<rpc::Business<'_>> {
    let head = response(span)?;
    let message = text(head, "biz-message").map(Cow::from);
    rpc::Business::of(head.text("biz-status"), message)
}

/// What is known of a failure in words; None: there was none.
pub(super) fn error(span: &Span) -> Option<Cow<'_, str>> {
    Some(match Why::of(span)? {
        Why::Failure(Failure::Exception { message, .. }) => String::from_utf8_lossy(message),
        Why::Failure(Failure::Declared(field)) => {
            format!("declared exception, field {field} of the result").into()
        }
        Why::Exception | Why::CutOff(_) => "".into(),
    })
}

fn error_type(why: Why<'_>, sink: &mut impl AttributeSink) {
    match why {
        Why::Failure(Failure::Exception { type_id, .. }) => {
            let named = usize::try_from(*type_id).ok();
            match named.and_then(|id| EXCEPTIONS.get(id)) {
                Some(name) => sink.text(name::ERROR_TYPE, &[name]),
                None => sink.text(
                    name::ERROR_TYPE,
                    &[Short::of(format_args!("{type_id}")).as_str()],
                ),
            }
        }
        Why::Failure(Failure::Declared(_)) => sink.text(name::ERROR_TYPE, &["declared_exception"]),
        Why::Exception => sink.text(name::ERROR_TYPE, &["exception"]),
        Why::CutOff(reason) => sink.text(name::ERROR_TYPE, &[reason.as_str()]),
    }
}

/// What was called and how it went; a business status is for the caller to tell.
pub(super) fn call<'a>(span: &'a Span, sink: &mut impl AttributeSink) -> Option<rpc::Business<'a>> {
    sink.text(name::RPC_SYSTEM, &[system(span)]);
    if let Some(method) = method(span) {
        sink.text(name::RPC_METHOD, &[&method]);
    }
    if let Some(why) = Why::of(span) {
        error_type(why, sink);
    }
    business(span)
}

pub(super) fn attributes(span: &Span, options: &Options, sink: &mut impl AttributeSink) {
    if let Some(business) = call(span, sink) {
        business.tell(sink);
    }
    match span.kind {
        Kind::Server => {
            network::served(span, None, sink);
            rpc::client(span, None, sink);
        }
        Kind::Client => network::called(span.addresses, None, sink),
    }
    network::peer(span, sink);
    wire(span, sink);
    if let Some(head) = request(span) {
        metainfo(head, sink);
    }
    rpc::sizes(span, sink);
    for header in &options.captured {
        captured(request(span), header, &header.rpc.request, sink);
        captured(response(span), header, &header.rpc.response, sink);
    }
}

/// How the messages were written.
fn wire(span: &Span, sink: &mut impl AttributeSink) {
    let Some(head) = request(span).or(response(span)) else {
        return;
    };
    let transport = match head.transport {
        Transport::Buffered => "buffered",
        Transport::Framed => "framed",
        Transport::Theader => "theader",
        Transport::Ttheader => "ttheader",
        Transport::TtheaderFramed => "ttheader_framed",
    };
    sink.text("rpc.thrift.transport", &[transport]);
    let codec = match either(span, |head| head.codec) {
        Some(Codec::Binary) => Some("binary"),
        Some(Codec::BinaryOld) => Some("binary_old"),
        Some(Codec::Compact) => Some("compact"),
        Some(Codec::KitexProtobuf) | None => None,
    };
    if let Some(codec) = codec {
        sink.text("rpc.thrift.protocol", &[codec]);
    }
    match request(span).map(|head| head.kind) {
        Some(Message::Call) => sink.text("rpc.thrift.message_type", &["call"]),
        Some(Message::Oneway) => sink.text("rpc.thrift.message_type", &["oneway"]),
        Some(Message::Reply | Message::Exception) | None => {}
    }
    sink.int("rpc.thrift.seq_id", head.seq_id.into());
}

/// What Kitex says of caller and called.
fn metainfo(head: &Head, sink: &mut impl AttributeSink) {
    for (key, attribute) in [
        (key::FROM_SERVICE, "kitex.from.service"),
        (key::FROM_METHOD, "kitex.from.method"),
        (key::TO_SERVICE, "kitex.to.service"),
        (key::TO_METHOD, "kitex.to.method"),
        (key::LOG_ID, "kitex.log_id"),
    ] {
        if let Some(value) = number(head, key) {
            sink.text(attribute, &[&of_header(value)]);
        }
    }
}

fn captured(
    head: Option<&Head>,
    header: &CapturedHeader,
    name: &str,
    sink: &mut impl AttributeSink,
) {
    let fields = head.map_or(&[][..], |head| &head.fields);
    let values = fields
        .iter()
        .filter(|(key, _)| match key {
            Key::Text(key) => key.eq_ignore_ascii_case(header.name.as_bytes()),
            Key::Number(_) => false,
        })
        .map(|(_, value)| &value[..]);
    super::texts(values, name, sink);
}
