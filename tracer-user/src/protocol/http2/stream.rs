//! One stream: an exchange, as far as each of its messages is.

use super::grpc::Messages;
use crate::protocol::{Event, ExchangeId, Incomplete, Side, Sizes};

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not begun.
    Awaited,
    /// In its header block.
    Head,
    /// Behind that.
    Body,
    /// It has ended, or can't be followed.
    Over,
}

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub phase: Phase,
    /// Bytes of its frames.
    pub wire: u64,
    /// Bytes of its DATA without padding; None: there was padding not seen.
    pub body: Option<u64>,
    /// gRPC's messages in it.
    pub messages: Option<Messages>,
}

impl Message {
    const AWAITED: Message = Message {
        phase: Phase::Awaited,
        wire: 0,
        body: Some(0),
        messages: None,
    };

    /// What it was, now that it has ended.
    pub(super) fn sizes(&self) -> Sizes {
        Sizes {
            wire: self.wire,
            body: self.body,
        }
    }
}

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub exchange: ExchangeId,
    pub request: Message,
    pub response: Message,
    /// Events of the response, held back until the request's head is there; the exchange may not have
    /// its number yet.
    early: Vec<Event>,
}

impl Stream {
    pub(super) fn new(exchange: ExchangeId) -> Stream {
        Stream {
            exchange,
            request: Message::AWAITED,
            response: Message::AWAITED,
            early: Vec::new(),
        }
    }

    pub(super) fn message(&mut self, side: Side) -> &mut Message {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    pub(super) fn phase(&self, side: Side) -> Phase {
        match side {
            Side::Request => self.request.phase,
            Side::Response => self.response.phase,
        }
    }

    /// Emits an event of the response, or holds it back.
    pub(super) fn emit(&mut self, event: Event, out: &mut Vec<Event>) {
        match self.request.phase {
            Phase::Awaited | Phase::Head => self.early.push(event),
            Phase::Body | Phase::Over => out.push(event),
        }
    }

    /// The request's head is there (or will not be): what was held back follows.
    pub(super) fn release(&mut self, out: &mut Vec<Event>) {
        let id = self.exchange;
        out.extend(
            std::mem::take(&mut self.early)
                .into_iter()
                .map(|mut event| {
                    match &mut event {
                        Event::ResponseStarted(exchange)
                        | Event::ResponseInterim(exchange)
                        | Event::ResponseHead(exchange, _)
                        | Event::ResponseEnded(exchange, _)
                        | Event::Trailers(exchange, _)
                        | Event::Message { exchange, .. }
                        | Event::Reset { exchange, .. } => *exchange = id,
                        Event::Incomplete { exchange, .. } => *exchange = Some(id),
                        _ => {}
                    }
                    event
                }),
        );
    }

    /// How many events are held back.
    pub(super) fn held(&self) -> usize {
        self.early.len()
    }

    /// A message can't be followed, unless it is over.
    pub(super) fn cut(&mut self, side: Side, reason: Incomplete, out: &mut Vec<Event>) {
        let id = self.exchange;
        let message = self.message(side);
        if message.phase == Phase::Over {
            return;
        }
        message.phase = Phase::Over;
        message.messages = None;
        let event = Event::Incomplete {
            exchange: Some(id),
            side,
            reason,
        };
        match side {
            Side::Request => {
                out.push(event);
                self.release(out);
            }
            Side::Response => self.emit(event, out),
        }
    }

    /// Nothing of it is to come.
    pub(super) fn is_over(&self) -> bool {
        self.request.phase == Phase::Over && self.response.phase == Phase::Over
    }
}
