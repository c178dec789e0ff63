//! What the stream of an exchange carried besides its two heads: messages, trailers, a reset.
//!
//! An exchange that carries nothing of it (HTTP/1, Thrift) pays for a pointer. Bias: of a long stream
//! the first messages are kept and the rest are counted, since a stream may last for days.

use smallvec::SmallVec;

use super::exchange::Exchange;
use crate::protocol::http::Head;
use crate::protocol::{Cause, Side};

/// Messages kept at all, of all exchanges in flight: 48 MB. Ten thousand streams that each carry as
/// many as a span holds by default keep 1.2 million.
pub(super) const MAX_KEPT: usize = 1_500_000;

/// What a stream carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// The first messages of both sides, in the order of their last bytes.
    pub messages: SmallVec<[StreamMessage; 2]>,
    /// How many more there were, which are not kept since a span holds no more events.
    pub not_kept: u64,
    /// How many messages the client sent.
    pub requests: u64,
    /// How many messages the server sent.
    pub responses: u64,
    /// The fields after the response's body.
    pub trailers: Option<Box<Head>>,
    /// One side gave the exchange up.
    pub reset: Option<Reset>,
}

/// A message of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamMessage {
    /// Who sent it.
    pub side: Side,
    /// Which of that side's messages it is, from 1.
    pub number: u64,
    /// Its size in bytes, as it was sent.
    pub size: u64,
    /// End of the transfer with its last byte. Boot-time ns, and in a span unix ns.
    pub at_ns: u64,
}

/// Why a stream ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Who gave it up.
    pub side: Side,
    /// Why, as it says.
    pub cause: Cause,
    /// End of the transfer that said so. Boot-time ns, and in a span unix ns.
    pub at_ns: u64,
}

impl Streamed {
    /// Its instants become unix time; `to_unix` is added to boot-time ns.
    pub fn date(&mut self, to_unix: i64) {
        let messages = self.messages.iter_mut().map(|message| &mut message.at_ns);
        let reset = self.reset.iter_mut().map(|reset| &mut reset.at_ns);
        for at_ns in messages.chain(reset) {
            *at_ns = at_ns.saturating_add_signed(to_unix);
        }
    }
}

impl Exchange {
    /// A message of its stream has passed; `at_ns` is in boot time. `room`: whether it may be kept.
    /// Returns whether it was.
    pub fn carried(&mut self, side: Side, size: u64, at_ns: u64, room: usize) -> bool {
        let streamed = self.streamed();
        let count = match side {
            Side::Request => &mut streamed.requests,
            Side::Response => &mut streamed.responses,
        };
        *count += 1;
        let number = *count;
        let kept = streamed.messages.len() < room;
        if kept {
            streamed.messages.push(StreamMessage {
                side,
                number,
                size,
                at_ns,
            });
        } else {
            streamed.not_kept += 1;
        }
        kept
    }

    /// One side gave it up; `at_ns` is in boot time. The first word counts.
    pub fn was_reset(&mut self, side: Side, cause: Cause, at_ns: u64) {
        let reset = Reset { side, cause, at_ns };
        self.streamed().reset.get_or_insert(reset);
    }

    /// What its stream carries, from its first sign on.
    pub fn streamed(&mut self) -> &mut Streamed {
        self.streamed.get_or_insert_default()
    }
}
