//! Thrift (binary, old binary, compact) and Kitex Protobuf, in any of their transports: bare, behind a
//! length, in THeader, in TTHeader; both directions of one connection.
//!
//! [`reader`] finds each side's messages, [`message`] reads what they begin with ([`begin`],
//! [`theader`], [`super::ttheader`]), [`content`] the little that is needed of what follows, and
//! [`pairing`] knows which reply answers which call. Here they meet: the events.
//!
//! Left out: arguments and results. Bias: a frame whose length is known is passed over whatever is
//! wrong in it; where nothing tells a message's end, the next is looked for where a transfer begins.

pub(in crate::protocol) mod begin;
mod content;
mod early;
mod message;
mod pairing;
mod protobuf;
pub(in crate::protocol) mod read;
mod reader;
#[cfg(test)]
mod tests;
mod theader;
mod walk;

use early::{Early, Reply};
use message::Form;
use pairing::{Owner, Pairing};
use reader::{Reader, Step};

use super::ttheader::stream::{Frame, Streams};
use super::{Event, ExchangeId, Framing, Head, Incomplete, Input, Match, Protocol, Side};

/// Messages in a row that could not be read, after which the connection is given up: it carries
/// something else that happened to begin like ours.
const MALFORMED_LIMIT: u32 = 8;

/// Whether a TTHeader of that side begins with these bytes.
pub fn begins_ttheader(side: Side, bytes: &[u8]) -> Match {
    message::begins_as(Form::Ttheader, side, bytes)
}

/// Whether a message of that side behind its length (or in THeader) begins with these bytes.
pub fn begins_framed(side: Side, bytes: &[u8]) -> Match {
    message::begins_as(Form::Framed, side, bytes)
}

/// Whether a message of that side with no length before it, or a mesh header, begins with these
/// bytes.
pub fn begins_bare(side: Side, bytes: &[u8]) -> Match {
    message::begins_as(Form::Bare, side, bytes)
}

/// Whether an answer begins with these bytes to the call that `other`, sent the other way, begins with,
/// in Thrift's old encoding: that has no mark, so that a call alone proves nothing. Perhaps, if they may
/// be such a call.
pub fn confirms(other: &[u8], bytes: &[u8]) -> Match {
    message::confirms(other, bytes)
}

/// Thrift or Kitex Protobuf on one connection.
#[derive(Debug)]
pub struct Thrift {
    requests: Reader,
    responses: Reader,
    pairing: Pairing,
    early: Early,
    streams: Streams,
    /// Every message so far came behind its length.
    prefixed: bool,
    /// Bytes of requests that are used up.
    asked: u64,
    request: Request,
    reply: To,
    /// A call ended within this transfer, and a reply began.
    ended: [bool; 2],
    /// The frame being read of each side, if it is one.
    frames: [Option<Frame>; 2],
    /// Replies are over: what ended them.
    closed: Option<Incomplete>,
    /// Messages in a row that could not be read.
    malformed: u32,
}

/// The request being read.
#[derive(Clone, Copy, Debug, Default)]
struct Request {
    id: ExchangeId,
    seq_id: i32,
    /// What it is was read.
    opened: bool,
    /// It wants no reply.
    oneway: bool,
    /// Why its reply is not awaited.
    unanswerable: Option<Incomplete>,
}

/// What is done with the reply being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// Nothing as yet: what it is was not read.
    Unopened,
    /// The same; it is taken for this exchange's, which its sequence id will prove.
    Likely(ExchangeId),
    /// It is this exchange's.
    Exchange(ExchangeId),
    /// It waits for its call in [`Thrift::early`].
    Early,
    /// Nothing is said of it any more.
    Nobody,
}

impl Thrift {
    /// On a connection that begins with TTHeader. `midway`: messages, or part of one, went by before.
    pub fn ttheader(midway: bool) -> Thrift {
        Thrift::new(midway, Form::Ttheader)
    }

    /// On a connection whose messages come behind their lengths, or in THeader.
    pub fn framed(midway: bool) -> Thrift {
        Thrift::new(midway, Form::Framed)
    }

    /// On a connection whose messages follow each other, or come behind mesh headers.
    pub fn bare(midway: bool) -> Thrift {
        Thrift::new(midway, Form::Bare)
    }

    /// On a connection that [`confirms`] told of, where a call begins with these bytes.
    pub fn old(midway: bool, call: &[u8]) -> Thrift {
        let form = message::old_begin(call).map_or(Form::Bare, |(form, _)| form);
        let mut thrift = Thrift::new(midway, form);
        thrift.requests.set_old();
        thrift.responses.set_old();
        thrift
    }

    fn new(midway: bool, form: Form) -> Thrift {
        let reader = |side| Reader::new(side, midway, form);
        Thrift {
            requests: reader(Side::Request),
            responses: reader(Side::Response),
            pairing: Pairing::new(midway),
            early: Early::default(),
            streams: Streams::new(midway),
            prefixed: form != Form::Bare,
            asked: 0,
            request: Request::default(),
            reply: To::Nobody,
            ended: [false; 2],
            frames: [None; 2],
            closed: None,
            malformed: 0,
        }
    }

    fn bytes(&mut self, side: Side, mut input: &[u8], out: &mut Vec<Event>) {
        loop {
            let before = input.len();
            let step = match side {
                Side::Request => self.requests.bytes(&mut input),
                Side::Response => self.responses.bytes(&mut input),
            };
            if side == Side::Request {
                self.asked = self.asked.saturating_add((before - input.len()) as u64);
            }
            if let Step::More = step {
                break;
            }
            self.step(side, step, out);
        }
    }

    fn gap(&mut self, side: Side, mut n: u64, lost: bool, out: &mut Vec<Event>) {
        while n > 0 {
            let before = n;
            let step = match side {
                Side::Request => self.requests.gap(&mut n, lost),
                Side::Response => self.responses.gap(&mut n, lost),
            };
            if side == Side::Request {
                self.asked = self.asked.saturating_add(before - n);
            }
            self.step(side, step, out);
        }
        // A message may have ended with the gap.
        self.bytes(side, &[], out);
    }

    fn step(&mut self, side: Side, step: Step, out: &mut Vec<Event>) {
        match &step {
            Step::Opened(opened) => {
                self.prefixed &= opened.prefixed;
                self.frames[side as usize] = opened.frame;
            }
            Step::Ended(_) => self.malformed = 0,
            Step::Broken(Incomplete::Malformed) => self.malformed += 1,
            _ => {}
        }
        match (self.frames[side as usize], side) {
            (Some(frame), _) => self.frame_step(frame, side, step, out),
            (None, Side::Request) => self.request_step(step, out),
            (None, Side::Response) => self.response_step(step, out),
        }
        if self.malformed >= MALFORMED_LIMIT {
            self.malformed = 0;
            self.end(Side::Request, Incomplete::Malformed, out);
            self.end(Side::Response, Incomplete::Malformed, out);
            out.push(Event::Opaque);
        }
    }

    fn request_step(&mut self, step: Step, out: &mut Vec<Event>) {
        match step {
            Step::More => {}
            Step::Started { begun } => self.begin_request(begun, out),
            Step::Opened(opened) => {
                self.request.opened = true;
                self.request.seq_id = opened.seq_id;
                self.request.oneway = opened.oneway;
                if !opened.oneway {
                    if self.ended[Side::Request as usize] {
                        self.pairing.see_overlap();
                    }
                    let id = self.request.id;
                    self.request.unanswerable = match self.closed {
                        None => self.pairing.call(id, opened.seq_id, out).err(),
                        closed => closed,
                    };
                }
            }
            Step::Head(head) => {
                let Request { id, seq_id, .. } = self.request;
                out.push(Event::RequestHead(id, Head::Rpc(head)));
                if !self.early.is_empty() && self.pairing.is_open(id) {
                    self.release(id, seq_id, out);
                }
            }
            Step::Ended(sizes) => {
                out.push(Event::RequestEnded(self.request.id, sizes));
                self.request_over(out);
            }
            Step::Broken(reason) => {
                self.request_broken(reason, out);
                if self.requests.is_hunting() {
                    self.request_hole(reason, out);
                }
            }
            Step::Hole(reason) => self.request_hole(reason, out),
        }
    }

    fn begin_request(&mut self, begun: u64, out: &mut Vec<Event>) {
        self.request = Request {
            id: self.pairing.begin(),
            ..Request::default()
        };
        let at = self.asked.saturating_sub(begun);
        out.push(Event::RequestStarted(self.request.id, at));
    }

    fn request_broken(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        out.push(incomplete(Some(self.request.id), Side::Request, reason));
        if !self.request.opened {
            // Which reply is its one can't be told.
            self.request.unanswerable = Some(reason);
            self.request_hole(reason, out);
        }
        self.request_over(out);
    }

    fn request_over(&mut self, out: &mut Vec<Event>) {
        if self.request.oneway {
            out.push(Event::NoResponse(self.request.id));
            return;
        }
        self.ended[Side::Request as usize] = true;
        if let Some(reason) = self.request.unanswerable.take() {
            out.push(incomplete(Some(self.request.id), Side::Response, reason));
        }
    }

    fn request_hole(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        self.pairing.request_hole(reason);
        self.streams.tear(Side::Request, reason);
        // Those may have been the hole's.
        if !self.pairing.is_distinct() {
            self.drop_early(out);
        }
    }

    fn response_step(&mut self, step: Step, out: &mut Vec<Event>) {
        match step {
            Step::More => {}
            Step::Started { .. } => {
                self.reply = match self.pairing.likely() {
                    Some(id) if self.early.is_empty() => {
                        out.push(Event::ResponseStarted(id));
                        To::Likely(id)
                    }
                    _ => To::Unopened,
                };
            }
            Step::Opened(opened) => self.response_opened(opened.seq_id, out),
            Step::Head(head) => match self.reply {
                To::Exchange(id) => out.push(Event::ResponseHead(id, Head::Rpc(head))),
                To::Early => self.early.head(head),
                _ => {}
            },
            Step::Ended(sizes) => match std::mem::replace(&mut self.reply, To::Nobody) {
                To::Exchange(id) => out.push(Event::ResponseEnded(id, sizes)),
                To::Early => self.early.ended(Ok(sizes)),
                _ => {}
            },
            Step::Broken(reason) => {
                self.response_broken(reason, out);
                if self.responses.is_hunting() {
                    self.response_hole(reason, out);
                }
            }
            Step::Hole(reason) => self.response_hole(reason, out),
        }
    }

    fn response_opened(&mut self, seq_id: i32, out: &mut Vec<Event>) {
        if self.ended[Side::Response as usize] {
            self.pairing.see_overlap();
        }
        self.ended[Side::Response as usize] = true;
        let owner = self.pairing.reply(seq_id, out);
        match self.reply {
            To::Likely(id) if owner == Owner::Exchange(id) => {
                self.reply = To::Exchange(id);
                return;
            }
            To::Likely(id) => out.push(Event::ResponseInterim(id)),
            _ => {}
        }
        self.reply = match owner {
            Owner::Exchange(id) => {
                out.push(Event::ResponseStarted(id));
                To::Exchange(id)
            }
            Owner::Early => {
                if self.early.push(Reply::new(seq_id)) {
                    // The oldest had to go.
                    let reason = self.pairing.missed();
                    out.push(incomplete(None, Side::Response, reason));
                }
                To::Early
            }
            Owner::Unknown(reason) => {
                out.push(incomplete(None, Side::Response, reason));
                To::Nobody
            }
            Owner::GivenUp => To::Nobody,
        };
    }

    fn response_broken(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        match std::mem::replace(&mut self.reply, To::Nobody) {
            To::Exchange(id) => out.push(incomplete(Some(id), Side::Response, reason)),
            To::Likely(id) => {
                self.pairing.withdraw(id);
                out.push(incomplete(Some(id), Side::Response, reason));
            }
            To::Early => self.early.ended(Err(reason)),
            To::Unopened => {
                if !self.pairing.awaits() {
                    out.push(incomplete(None, Side::Response, reason));
                }
                self.response_hole(reason, out);
            }
            To::Nobody => {}
        }
    }

    fn response_hole(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        self.pairing.response_hole(reason, out);
        self.streams.tear(Side::Response, reason);
        if !self.pairing.is_distinct() {
            self.drop_early(out);
        }
    }

    /// The replies held for that call's come now.
    fn release(&mut self, id: ExchangeId, seq_id: i32, out: &mut Vec<Event>) {
        let Some((reply, last)) = self.early.take(seq_id) else {
            return;
        };
        self.pairing.withdraw(id);
        out.push(Event::ResponseStarted(id));
        if let Some(head) = reply.head {
            out.push(Event::ResponseHead(id, Head::Rpc(head)));
        }
        match reply.end {
            Some(Ok(sizes)) => out.push(Event::ResponseEnded(id, sizes)),
            Some(Err(reason)) => out.push(incomplete(Some(id), Side::Response, reason)),
            None => {}
        }
        if last && self.reply == To::Early {
            self.reply = To::Exchange(id);
        }
    }

    /// What was held answers no call that will be seen.
    fn drop_early(&mut self, out: &mut Vec<Event>) {
        for reply in self.early.drain() {
            let missed = self.pairing.not_early();
            let reason = match reply.end {
                Some(Err(reason)) => reason,
                _ => missed,
            };
            out.push(incomplete(None, Side::Response, reason));
        }
        if self.reply == To::Early {
            self.reply = To::Nobody;
        }
    }

    /// A frame of a stream.
    fn frame_step(&mut self, frame: Frame, side: Side, step: Step, out: &mut Vec<Event>) {
        match step {
            Step::Opened(opened) => {
                if side == Side::Request && self.streams.opens(frame) {
                    let id = self.pairing.begin();
                    let at = self.asked.saturating_sub(opened.length);
                    out.push(Event::RequestStarted(id, at));
                    self.streams.open(frame.stream, id, out);
                }
                self.streams.content(side, opened.content);
            }
            Step::Head(head) => self.streams.head(frame, side, head, out),
            Step::Ended(sizes) => {
                self.frames[side as usize] = None;
                self.streams.ended(frame, side, sizes, out);
            }
            Step::Broken(reason) => {
                self.frames[side as usize] = None;
                self.streams.tear(side, reason);
            }
            Step::More | Step::Started { .. } | Step::Hole(_) => {}
        }
    }
}

impl Protocol for Thrift {
    fn memory(&self) -> usize {
        size_of::<Thrift>()
            + self.requests.memory()
            + self.responses.memory()
            + self.pairing.memory()
            + self.early.memory()
            + self.streams.memory()
    }

    fn push(&mut self, side: Side, input: Input<'_>, out: &mut Vec<Event>) {
        match (side, input) {
            (side, Input::Bytes(bytes)) => self.bytes(side, bytes, out),
            (side, Input::Skipped(n)) => self.gap(side, n, false, out),
            (side, Input::Lost(n)) => {
                self.gap(side, n, true, out);
                // What comes next is of another transfer.
                self.ended[side as usize] = false;
            }
            (side, Input::EndOfTransfer) => {
                self.ended[side as usize] = false;
                match side {
                    Side::Request => self.requests.end_of_transfer(),
                    Side::Response => self.responses.end_of_transfer(),
                }
            }
        }
    }

    fn end(&mut self, side: Side, reason: Incomplete, out: &mut Vec<Event>) {
        match side {
            Side::Request => {
                if self.requests.end() {
                    self.request_broken(reason, out);
                }
            }
            Side::Response => {
                if self.responses.end() {
                    self.response_broken(reason, out);
                }
                self.drop_early(out);
                self.pairing.end(reason, out);
                self.closed = self.closed.or(Some(reason));
            }
        }
        self.frames[side as usize] = None;
        self.streams.end(side, reason, out);
    }

    fn framing(&self) -> Option<Framing> {
        self.prefixed.then_some(Framing::LengthPrefixed)
    }
}

fn incomplete(exchange: Option<ExchangeId>, side: Side, reason: Incomplete) -> Event {
    Event::Incomplete {
        exchange,
        side,
        reason,
    }
}
