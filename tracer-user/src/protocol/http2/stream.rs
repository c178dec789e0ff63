//! One stream: an exchange, as far as each of its messages is.

use super::grpc::Messages;
use super::head::{Block, Kind};
use crate::protocol::{Event, ExchangeId, Head, Incomplete, Side, Sizes};

/// Events of a response that are held back: what a server may answer in the microseconds by which its
/// request's record may be late, and more.
const MAX_EARLY_EVENTS: usize = 64;

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

    /// More events are held back than its request can be late for.
    pub(super) fn holds_too_much(&self) -> bool {
        self.early.len() > MAX_EARLY_EVENTS
    }

    /// So much of a DATA frame is padding; None: not known.
    pub(super) fn pad(&mut self, side: Side, padding: Option<u32>) {
        let message = self.message(side);
        match (message.phase, padding) {
            (Phase::Body, Some(n)) => message.body = message.body.map(|body| body - u64::from(n)),
            (Phase::Body, None) => {
                message.body = None;
                message.messages = None;
            }
            _ => {}
        }
    }

    /// Counts gRPC's messages, as far as they are known.
    pub(super) fn count(
        &mut self,
        side: Side,
        out: &mut Vec<Event>,
        read: impl FnOnce(&mut Messages, &mut dyn FnMut(u64)) -> bool,
    ) {
        let Some(mut messages) = self.message(side).messages else {
            return;
        };
        let exchange = self.exchange;
        let goes_on = read(&mut messages, &mut |size| {
            let event = Event::Message {
                exchange,
                side,
                size,
            };
            match side {
                Side::Request => out.push(event),
                Side::Response => self.emit(event, out),
            }
        });
        self.message(side).messages = goes_on.then_some(messages);
    }

    /// A header block of the response: its head, or what follows its body.
    pub(super) fn answer(
        &mut self,
        block: Result<Block, Incomplete>,
        ends_stream: bool,
        out: &mut Vec<Event>,
    ) {
        let id = self.exchange;
        let block = match (self.response.phase, block) {
            (Phase::Awaited | Phase::Over, _) => return,
            (_, Ok(block)) => block,
            (_, Err(reason)) => return self.cut(Side::Response, reason, out),
        };
        if self.response.phase == Phase::Body {
            if ends_stream {
                self.emit(Event::Trailers(id, block.head), out);
            }
        } else if block.kind == Kind::Request || block.kind == Kind::Fields && !block.unknown {
            self.cut(Side::Response, Incomplete::Malformed, out);
        } else if block.is_interim() && !ends_stream {
            self.response.phase = Phase::Awaited;
            self.emit(Event::ResponseInterim(id), out);
        } else {
            self.response.phase = Phase::Body;
            self.response.messages = Messages::of(&block.head).or_else(|| {
                let hidden = block.unknown && block.head.field("content-type").is_none();
                // It answers in kind.
                (hidden && self.request.messages.is_some()).then(Messages::default)
            });
            self.emit(Event::ResponseHead(id, Head::Http(block.head)), out);
        }
    }

    /// A message ends, if it is under way.
    pub(super) fn end(&mut self, side: Side, out: &mut Vec<Event>) {
        let id = self.exchange;
        let message = self.message(side);
        if message.phase != Phase::Body {
            return;
        }
        message.phase = Phase::Over;
        message.messages = None;
        let sizes = Sizes {
            wire: message.wire,
            body: message.body,
        };
        match side {
            Side::Request => out.push(Event::RequestEnded(id, sizes)),
            Side::Response => self.emit(Event::ResponseEnded(id, sizes), out),
        }
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
