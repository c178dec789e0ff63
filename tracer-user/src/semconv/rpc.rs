//! What RPC spans of every system have in common: addresses of what names no host, sizes, messages.

use std::borrow::Cow;

use super::{AttributeSink, int, network};
use crate::protocol::{Head, Incomplete};
use crate::span::Span;

/// Bytes on the wire, and how many messages a stream carried.
pub(super) fn sizes(span: &Span, sink: &mut impl AttributeSink) {
    if let Some(sizes) = span.request_sizes {
        sink.int("rpc.request.size", int(sizes.wire));
    }
    if let Some(sizes) = span.response_sizes {
        sink.int("rpc.response.size", int(sizes.wire));
    }
    if let Some(streamed) = &span.streamed {
        // Where HPACK hides what the head of a side is of, its messages were not counted.
        let counted = |head: &Option<Head>, other: bool| {
            let head = head.as_ref().and_then(Head::http);
            other || head.is_none_or(|head| head.field("content-type").is_some())
        };
        let asked = counted(&span.request, false);
        if asked {
            sink.int("rpc.request.message_count", int(streamed.requests));
        }
        if counted(&span.response, asked) {
            sink.int("rpc.response.message_count", int(streamed.responses));
        }
    }
}

/// The client of a server's span, with its port: the conventions for RPC want both.
pub(super) fn client(span: &Span, named: Option<&[u8]>, sink: &mut impl AttributeSink) {
    network::client(span, named, sink);
    if let (None, Some(addresses)) = (named, span.addresses) {
        sink.int("client.port", addresses.remote.port().into());
    }
}

/// Why no answer tells how the call went, where that is a failure of the called: the connection
/// ended, or the stream did.
pub(super) fn cut_off(span: &Span) -> Option<Incomplete> {
    let cut = span.response.is_none() || span.response_sizes.is_none();
    let reason = span.incomplete.filter(|_| cut)?;
    matches!(
        reason,
        Incomplete::ConnectionClosed | Incomplete::StreamReset
    )
    .then_some(reason)
}

/// Kitex' business status: what a handler says that is no failure of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Business<'a> {
    pub code: i64,
    pub message: Option<Cow<'a, [u8]>>,
}

impl<'a> Business<'a> {
    /// From `biz-status` and its message; 0 is none.
    pub(super) fn of(code: Option<&[u8]>, message: Option<Cow<'a, [u8]>>) -> Option<Self> {
        let code = std::str::from_utf8(code?).ok()?.trim().parse().ok()?;
        (code != 0).then_some(Business { code, message })
    }

    pub(super) fn tell(self, sink: &mut impl AttributeSink) {
        sink.int("kitex.biz_status_code", self.code);
        if let Some(message) = self.message {
            sink.text("kitex.biz_message", &[&super::text::of_header(&message)]);
        }
    }
}
