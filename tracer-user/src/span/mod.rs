//! Spans: an exchange, seen from one process, with its stages and its parent.
//!
//! [`Span`] is plain data: what is known of a finished exchange. How it is worded for OpenTelemetry
//! is [`crate::semconv`]'s; how it is written, [`crate::export`]'s.
//!
//! [`Tracker`] makes spans from socket events, and its parts each answer one question:
//!
//! * `connection`: where; which connections there are, and which two are the ends of one.
//! * `feed`: what flows through them ([`crate::stream`], [`crate::protocol`]).
//! * `exchange`: which messages belong together; `open`: which exchanges are open.
//! * `mark`: what the messages of a connection mean for its exchanges.
//! * `streamed`: what more than two heads a stream carries.
//! * `stage`: when.
//! * `trace`, `parent`, `goroutine`, `forwarded`, `peer`: which trace, who caused it, and the other
//!   end of it. `cause` asks them; `asks`: whether a Go process has any use for that.
//! * `propagated`: what heads say of traces; `taken`: which ids were taken over from them.
//! * `finish`: how they end.

mod asks;
mod cause;
mod clock;
mod connection;
mod exchange;
mod feed;
mod finish;
mod forwarded;
mod goroutine;
mod ids;
mod mark;
mod open;
mod parent;
mod peer;
mod propagated;
mod stage;
mod streamed;
mod taken;
#[cfg(test)]
mod tests;
mod trace;
mod tracker;
mod weight;

pub use clock::{boot_now, boot_to_unix};
pub use exchange::MessageCounts;
pub use ids::{Seed, any_seed};
pub use streamed::{Reset, StreamMessage, Streamed};
pub use tracker::{Host, Limits, Tracker, TrackerCounts};

use crate::context::{Format, SentIds, SpanId, TraceId};
use crate::event::Addresses;
use crate::protocol::{Head, Incomplete, Sizes, http};
use crate::resource::SharedResource;

/// Which end of the exchange the process was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It answered.
    Server,
    /// It asked.
    Client,
}

/// Where a parent is known from; the names are `tracer.parent.source`'s values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentSource {
    /// The message carried it.
    Propagated,
    /// The other end of the same connection is traced on this host.
    Connection,
    /// The same thread or goroutine was serving it.
    Execution,
    /// It was the only exchange in flight in the process.
    SoleCandidate,
}

impl ParentSource {
    /// The word users see.
    pub fn as_str(self) -> &'static str {
        match self {
            ParentSource::Propagated => "propagated",
            ParentSource::Connection => "connection",
            ParentSource::Execution => "execution",
            ParentSource::SoleCandidate => "sole_candidate",
        }
    }
}

/// The instants of an exchange that are known, unix nanoseconds; each 0 = not known.
///
/// A server's are of the request read and the response written; a client's of the request written
/// and the response read. See architecture: stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instants {
    /// Client, on the exchange that opened the connection: `connect` began.
    pub connect_start: u64,
    /// ... and was done.
    pub connect_end: u64,
    /// Server: the request's first byte was readable in the kernel.
    pub arrived: u64,
    /// End of the read that brought the first byte (server: of the request; client: of the response).
    pub read_start: u64,
    /// End of the read that completed the head.
    pub header_read: u64,
    /// End of the read that completed the message.
    pub body_read: u64,
    /// Begin of the write of the first byte (server: of the response; client: of the request).
    pub write_start: u64,
    /// End of the write of the last byte.
    pub write_finish: u64,
}

/// A finished exchange.
#[derive(Clone, Debug)]
pub struct Span {
    /// The traced process.
    pub resource: SharedResource,
    /// Which end it was.
    pub kind: Kind,
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
    /// Its parent and where that is known from.
    pub parent: Option<(SpanId, ParentSource)>,
    /// W3C `tracestate` to pass on.
    pub trace_state: String,
    /// Whether the trace is recorded, as the propagated context said; None: nobody said.
    pub sampled: Option<bool>,
    /// Format of the propagated context, where there was a valid one; without a parent, it may be the
    /// answer's.
    pub format: Option<Format>,
    /// That context's ids as sent, where they are not the digits of ours.
    pub sent: Option<Box<SentIds>>,
    /// What the answer calls the server's span: that of the tracing it has inside.
    pub answer_span: Option<SpanId>,
    /// First byte of the request read, or its write begun. Unix ns.
    pub start_ns: u64,
    /// Last byte of the response written or read. Unix ns.
    pub end_ns: u64,
    /// Its stages.
    pub instants: Instants,
    /// The connection's ends; none for `AF_UNIX`.
    pub addresses: Option<Addresses>,
    /// The request's head; none if it was not seen whole.
    pub request: Option<Head>,
    /// The response's head.
    pub response: Option<Head>,
    /// What its stream carried besides: HTTP/2, TTHeader streaming.
    pub streamed: Option<Box<Streamed>>,
    /// Size of the request, if it was seen to its end.
    pub request_sizes: Option<Sizes>,
    /// Size of the response, likewise.
    pub response_sizes: Option<Sizes>,
    /// Why part of it is not known.
    pub incomplete: Option<Incomplete>,
}

impl Span {
    /// The request's head, if it is HTTP's.
    pub fn http_request(&self) -> Option<&http::Head> {
        self.request.as_ref().and_then(Head::http)
    }

    /// The response's head, if it is HTTP's.
    pub fn http_response(&self) -> Option<&http::Head> {
        self.response.as_ref().and_then(Head::http)
    }

    /// The fields behind the response's body.
    pub fn trailers(&self) -> Option<&http::Head> {
        self.streamed.as_ref()?.trailers.as_deref()
    }

    /// Who gave it up and why, if one side did.
    pub fn reset(&self) -> Option<&Reset> {
        self.streamed.as_ref()?.reset.as_ref()
    }
}
