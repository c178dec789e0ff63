//! Protocols: bytes in, message events out.
//!
//! Pure: no clock, no I/O, no pid, so that replay, fuzzing and benches need nothing but bytes. The
//! caller ([`crate::span`]) feeds what a connection's two directions carried, in the order it
//! happened, and stamps each [`Event`] with the latest transfer *of the event's own side*: an event
//! is emitted by the very input that holds the byte it speaks of. Where the other side's input (or
//! [`Protocol::end`]) brings it about, it still speaks of the last byte of its own side: a body that
//! runs until the close ended with its last byte, not with the close.
//!
//! Messages are counted so: each is *started* by its `RequestStarted` or `ResponseStarted` (an
//! interim response takes that back), or, where its first byte was not seen, by its `Incomplete`.
//! After that exactly one `RequestEnded`, `ResponseEnded` or `Incomplete` follows, whatever the input.
//!
//! Bias: exact or silent. What was not seen is named ([`Incomplete`]), never filled in.

pub mod detect;
pub mod http;
pub mod http1;
pub mod http2;
pub mod rpc;
#[cfg(test)]
mod tests;
pub mod thrift;
mod ttheader;

/// Numbers the exchanges of one connection, in the order their requests began.
pub type ExchangeId = u64;

/// Who speaks: the side that sends requests or the one that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Client to server.
    Request,
    /// Server to client.
    Response,
}

/// Whether bytes are the begin of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// They are.
    Yes,
    /// More of them are needed to tell.
    Perhaps,
    /// They are not.
    No,
}

/// What a direction carried next.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// This many bytes that were moved but not captured (bodies, sendfile).
    Skipped(u64),
    /// This many bytes whose event was lost.
    Lost(u64),
    /// The transfer that brought the bytes before this ends here. Messages tend to begin where a
    /// transfer begins: after a hole they are looked for there.
    EndOfTransfer,
}

/// Something in the life of an exchange. Events of one side come in the order given here; the
/// response may begin before the request has ended (413, early answers).
#[derive(Debug)]
pub enum Event {
    /// The first byte of a request, and where it lies: how many bytes of the request side came before
    /// it, from the first one pushed on.
    RequestStarted(ExchangeId, u64),
    /// The request's head is complete.
    RequestHead(ExchangeId, Head),
    /// The request's last byte.
    RequestEnded(ExchangeId, Sizes),
    /// The first byte of a response (perhaps an interim one).
    ResponseStarted(ExchangeId),
    /// The response begun last is interim (1xx): forget its start, another will come.
    ResponseInterim(ExchangeId),
    /// The final response's head is complete. A TTHeader stream's comes once more with its trailer, if
    /// that tells how the call went.
    ResponseHead(ExchangeId, Head),
    /// A stream carried a message of this exchange (gRPC); comes with the message's last byte.
    Message {
        /// The exchange it belongs to.
        exchange: ExchangeId,
        /// Who sent it.
        side: Side,
        /// Bytes of it, without its prefix, as they were sent.
        size: u64,
    },
    /// The response's fields that follow its body (HTTP/2; where there is no body, they are its head
    /// and come as [`Event::ResponseHead`]).
    Trailers(ExchangeId, Box<http::Head>),
    /// One side gave the exchange up (RST_STREAM of HTTP/2, the reset of a TTHeader stream). What is
    /// unfinished of it follows as [`Incomplete::StreamReset`].
    Reset {
        /// The exchange.
        exchange: ExchangeId,
        /// Who gave it up.
        side: Side,
        /// Why, as it says.
        cause: Cause,
    },
    /// The response's last byte. The exchange is over, unless its request has not ended yet (an
    /// early answer): then with the request's end.
    ResponseEnded(ExchangeId, Sizes),
    /// No response will come: the exchange is over with its request (a oneway call).
    NoResponse(ExchangeId),
    /// A message can't be followed to its end, or (a response) will not come or can't be told from
    /// others. It takes the place of the message's `Ended`.
    Incomplete {
        /// The exchange it belongs to; none for a response whose request was not seen.
        exchange: Option<ExchangeId>,
        /// Which message of it.
        side: Side,
        /// Why.
        reason: Incomplete,
    },
    /// What follows is not ours to read (WebSocket, CONNECT, a protocol unknown).
    Opaque,
}

/// Why one side gave an exchange up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// HTTP/2's error code (RFC 9113, section 7).
    Code(u32),
    /// The exception in a TTHeader stream's reset; none if there is none in it.
    Failure(Option<Box<rpc::Failure>>),
}

impl Cause {
    /// HTTP/2's error code, if it is one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Cause::Code(code) => Some(*code),
            Cause::Failure(_) => None,
        }
    }
}

/// What a message says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// HTTP of any version, and what HTTP/2 carries: gRPC.
    Http(Box<http::Head>),
    /// Thrift and Kitex Protobuf over their transports.
    Rpc(Box<rpc::Head>),
}

impl Head {
    /// HTTP's, if it is one.
    pub fn http(&self) -> Option<&http::Head> {
        match self {
            Head::Http(head) => Some(head),
            Head::Rpc(_) => None,
        }
    }

    /// Bytes of memory behind it.
    pub fn memory(&self) -> usize {
        match self {
            Head::Http(head) => head.memory(),
            Head::Rpc(head) => head.memory(),
        }
    }

    /// Thrift's or Kitex', if it is one.
    pub fn rpc(&self) -> Option<&rpc::Head> {
        match self {
            Head::Rpc(head) => Some(head),
            Head::Http(_) => None,
        }
    }
}

impl From<http::Head> for Head {
    fn from(head: http::Head) -> Head {
        Head::Http(Box::new(head))
    }
}

impl From<rpc::Head> for Head {
    fn from(head: rpc::Head) -> Head {
        Head::Rpc(Box::new(head))
    }
}

/// How a connection's bytes are cut into frames, so that the kernel side can walk from one to the
/// next and copy what lies between bodies, however large a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// HTTP/2 frames (RFC 9113, section 4.1).
    Http2,
    /// Each message behind its length, a big-endian u32 that does not count itself.
    LengthPrefixed,
}

/// How large a message was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes on the wire, head and body with its framing. Interim responses are not part of it.
    pub wire: u64,
    /// Body as transferred, without chunk framing. None where its framing was not seen.
    pub body: Option<u64>,
}

/// Why a message, or a span, is not wholly known. The names are `tracer.incomplete`'s values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Incomplete {
    /// The ring was full: events of it were lost.
    LostEvents,
    /// It had begun before the agent attached.
    AttachedMidway,
    /// The connection ended before it did.
    ConnectionClosed,
    /// Its head is larger than the capture limit.
    HeadTooLarge,
    /// Its head was moved in a way that hides the bytes (io_uring, splice).
    BytesUnseen,
    /// It is not what it began as.
    Malformed,
    /// Nothing moved for longer than the idle limit, or a table was full.
    Evicted,
    /// The agent stopped before it ended.
    AgentStopped,
    /// One side gave up the stream it was on.
    StreamReset,
}

impl Incomplete {
    /// Every reason, for counters.
    pub const ALL: [Incomplete; 9] = [
        Incomplete::LostEvents,
        Incomplete::AttachedMidway,
        Incomplete::ConnectionClosed,
        Incomplete::HeadTooLarge,
        Incomplete::BytesUnseen,
        Incomplete::Malformed,
        Incomplete::Evicted,
        Incomplete::AgentStopped,
        Incomplete::StreamReset,
    ];

    /// Why bytes are missing: their event was lost, or they were moved and not captured.
    pub fn of_gap(lost: bool) -> Incomplete {
        match lost {
            true => Incomplete::LostEvents,
            false => Incomplete::BytesUnseen,
        }
    }

    /// The word users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Incomplete::LostEvents => "lost_events",
            Incomplete::AttachedMidway => "attached_midway",
            Incomplete::ConnectionClosed => "connection_closed",
            Incomplete::HeadTooLarge => "head_too_large",
            Incomplete::BytesUnseen => "bytes_unseen",
            Incomplete::Malformed => "malformed",
            Incomplete::Evicted => "evicted",
            Incomplete::AgentStopped => "agent_stopped",
            Incomplete::StreamReset => "stream_reset",
        }
    }
}

/// A protocol's state on one connection, both directions.
pub trait Protocol: Send {
    /// Takes what one side carried next and appends what it brought about.
    fn push(&mut self, side: Side, input: Input<'_>, out: &mut Vec<Event>);

    /// One side's stream has ended (or, with both calls, the connection): bodies that run until the
    /// close end here if `reason` is [`Incomplete::ConnectionClosed`]; anything else unfinished is
    /// `reason`. After the response side's end every exchange still unanswered is `Incomplete` too.
    /// Calling it again does nothing.
    fn end(&mut self, side: Side, reason: Incomplete, out: &mut Vec<Event>);

    /// Bytes of memory behind it, which grow with what the connection carries: what is kept of messages that
    /// are not whole, or not paired. About; rather more than less.
    fn memory(&self) -> usize;

    /// How the connection is cut into frames; None: it is not, or not any more.
    fn framing(&self) -> Option<Framing> {
        None
    }

    /// The HTTP/2 stream that an open exchange is on.
    fn stream_of(&self, _exchange: ExchangeId) -> Option<u32> {
        None
    }

    /// The open exchange that is on an HTTP/2 stream.
    fn exchange_on(&self, _stream: u32) -> Option<ExchangeId> {
        None
    }
}
