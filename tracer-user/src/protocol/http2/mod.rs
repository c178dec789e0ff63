//! HTTP/2 (RFC 9113), and gRPC in it: both directions of one connection.
//!
//! [`reader`] cuts a side into frames, [`hpack`] and [`head`] read the header blocks in them, and
//! [`streams`] knows which messages are under way; their number pairs them. Here they meet: what each
//! frame does to its stream, and the events. A message that begins is told once its frame's head is
//! there.
//!
//! After a hole that hid frames, the messages of that side that had begun can't be followed, and the
//! dynamic table is unknown. Which of the responses still due went by in it does not show: those on
//! which nothing is seen for [`DOUBT`] more requests are taken to be lost.
//!
//! Left out: pushed requests, priorities, flow control, extensions. The fields behind a request's body
//! are read and dropped. Of a stream's messages (gRPC) those after a part that was not seen are not
//! counted.

mod begins;
pub(crate) mod frame;
mod grpc;
mod head;
pub mod hpack;
mod reader;
mod stream;
mod streams;
#[cfg(test)]
mod tests;

pub use begins::begins;
pub use head::HEAD_LIMIT;

use frame::Frame;
use grpc::Messages;
use head::{Block, Kind};
use reader::{Reader, Step};
use stream::{Phase, Stream};
use streams::Streams;

use super::{Cause, Event, ExchangeId, Framing, Incomplete, Input, Protocol, Side};

/// Requests after which a response that may have been in a hole is not awaited any more. Of those
/// under way at once, 100 or 250 as a rule, nearly all are answered by then.
const DOUBT: u32 = 256;

/// HTTP/2 on one connection.
#[derive(Debug)]
pub struct Http2 {
    requests: Reader,
    responses: Reader,
    streams: Streams,
    /// The next exchange's number.
    next: ExchangeId,
    /// The last stream opened.
    last: u32,
    /// Requests may have gone by unseen since then.
    unseen: Option<Incomplete>,
    /// Streams below may have been opened unseen, and why.
    unseen_below: (u32, Incomplete),
    /// Why the begin of a response may not have been seen.
    hidden: Incomplete,
    /// Up to this stream, responses may have gone by unseen; and how many requests ago that was
    /// found.
    doubt: Option<(u32, u32)>,
    /// Streams above get no response, and why.
    refused: Option<(u32, Incomplete)>,
}

impl Http2 {
    /// Nothing was seen yet. `midway`: messages, or part of one, went by before.
    pub fn new(midway: bool) -> Http2 {
        let reason = match midway {
            true => Incomplete::AttachedMidway,
            false => Incomplete::Malformed,
        };
        Http2 {
            requests: Reader::new(Side::Request, midway),
            responses: Reader::new(Side::Response, midway),
            streams: Streams::default(),
            next: 0,
            last: 0,
            unseen: midway.then_some(reason),
            unseen_below: (0, reason),
            hidden: reason,
            doubt: None,
            refused: None,
        }
    }

    /// HTTP/1.1 goes on as HTTP/2: an exchange whose request was sent becomes stream 1 (RFC 7540,
    /// section 3.2). `next` is the number of the next exchange; `asked` bytes of requests went before.
    pub(super) fn upgraded(exchange: ExchangeId, next: ExchangeId, asked: u64) -> Http2 {
        let mut http = Http2::new(false);
        http.requests.begin_at(asked);
        http.next = next;
        http.last = 1;
        let first = http.streams.open(1, exchange, &mut Vec::new());
        first.request.phase = Phase::Over;
        http
    }

    fn read(&mut self, side: Side, mut input: &[u8], out: &mut Vec<Event>) {
        loop {
            match self.reader(side).bytes(&mut input) {
                Step::More => break,
                step => self.step(side, step, out),
            }
        }
    }

    fn gap(&mut self, side: Side, n: u64, lost: bool, out: &mut Vec<Event>) {
        let step = self.reader(side).gap(n, lost);
        self.step(side, step, out);
        self.read(side, &[], out);
    }

    fn reader(&mut self, side: Side) -> &mut Reader {
        match side {
            Side::Request => &mut self.requests,
            Side::Response => &mut self.responses,
        }
    }

    fn step(&mut self, side: Side, step: Step<'_>, out: &mut Vec<Event>) {
        match step {
            Step::More => {}
            Step::Frame(frame, at) => match side {
                Side::Request => self.request_frame(frame, at, out),
                Side::Response => self.response_frame(frame, out),
            },
            Step::Padding(stream, padding) => {
                self.on(side, stream, out, |stream, _| stream.pad(side, padding));
            }
            Step::Data(stream, bytes) => self.on(side, stream, out, |stream, out| {
                stream.count(side, out, |messages, ended| messages.bytes(bytes, ended));
            }),
            Step::DataPassed(stream, n) => self.on(side, stream, out, |stream, out| {
                stream.count(side, out, |messages, ended| messages.pass(n, ended));
            }),
            Step::Head {
                stream,
                block,
                ends_stream,
            } => {
                match side {
                    Side::Request => self.request_block(stream, block, out),
                    Side::Response => self.response_block(stream, block, ends_stream, out),
                }
                if ends_stream {
                    self.on(side, stream, out, |stream, out| stream.end(side, out));
                }
            }
            Step::EndStream(stream) => {
                self.on(side, stream, out, |stream, out| stream.end(side, out));
            }
            Step::CutStream(stream, reason) => self.cut(side, stream, reason, out),
            Step::Reset(stream, code) => self.reset(side, stream, code, out),
            // A client's tells which pushed requests it took.
            Step::GoAway(last) => {
                if side == Side::Response {
                    self.refuse(last, Incomplete::StreamReset, out);
                }
            }
            Step::Hole(reason) => self.hole(side, reason, out),
            Step::Found => {
                if side == Side::Response && self.doubt.is_none() {
                    self.doubt = Some((self.last, 0));
                }
            }
        }
    }

    /// Does something to a stream that may bring it to its end.
    fn on(
        &mut self,
        side: Side,
        number: u32,
        out: &mut Vec<Event>,
        act: impl FnOnce(&mut Stream, &mut Vec<Event>),
    ) {
        let stream = match side {
            Side::Request => self.streams.get(number),
            Side::Response => self.streams.answered(number),
        };
        let Some(stream) = stream else {
            return;
        };
        act(stream, out);
        if stream.is_over() || stream.holds_too_much() {
            self.streams.settle(number, self.unseen_below.1, out);
        }
    }

    fn request_frame(&mut self, frame: Frame, at: u64, out: &mut Vec<Event>) {
        if let Some(stream) = self.streams.get(frame.stream) {
            return add(&mut stream.request, &frame);
        }
        let is_new = frame.stream > self.last && frame.stream % 2 == 1;
        if is_new && frame.kind == frame::Kind::Headers {
            self.open(&frame, at, out);
        }
    }

    fn open(&mut self, frame: &Frame, at: u64, out: &mut Vec<Event>) {
        let number = frame.stream;
        if let Some(reason) = self.unseen.take() {
            self.unseen_below = (number, reason);
        }
        self.streams
            .drop_early(number - 1, self.unseen_below.1, out);
        self.last = number;
        let id = self.next;
        self.next += 1;
        let stream = self.streams.open(number, id, out);
        stream.request.phase = Phase::Head;
        stream.request.wire = frame.wire();
        out.push(Event::RequestStarted(id, at));
        if let Some((last, reason)) = self.refused
            && number > last
        {
            stream.cut(Side::Response, reason, out);
        }
        self.resolve_doubt(out);
    }

    /// Another request: what was in doubt for long is lost.
    fn resolve_doubt(&mut self, out: &mut Vec<Event>) {
        let Some((up_to, requests)) = &mut self.doubt else {
            return;
        };
        *requests += 1;
        if *requests < DOUBT {
            return;
        }
        let up_to = *up_to;
        self.doubt = None;
        let awaited = |number, phase| number <= up_to && phase == Phase::Awaited;
        self.streams.cut(Side::Response, self.hidden, awaited, out);
    }

    fn request_block(
        &mut self,
        number: u32,
        block: Result<Block, Incomplete>,
        out: &mut Vec<Event>,
    ) {
        let (_, unseen) = self.unseen_below;
        let Some(stream) = self.streams.get(number) else {
            return;
        };
        if stream.request.phase != Phase::Head {
            return;
        }
        let head = block.and_then(|block| match block.kind {
            Kind::Request => Ok(block.head),
            // Nothing but what follows a body, which was not seen.
            Kind::Fields if unseen != Incomplete::Malformed => Err(unseen),
            Kind::Fields | Kind::Response => Err(Incomplete::Malformed),
        });
        match head {
            Ok(head) => {
                stream.request.phase = Phase::Body;
                stream.request.messages = Messages::of(&head);
                out.push(Event::RequestHead(stream.exchange, super::Head::Http(head)));
                stream.release(out);
            }
            Err(reason) => self.cut(Side::Request, number, reason, out),
        }
    }

    fn response_frame(&mut self, frame: Frame, out: &mut Vec<Event>) {
        let number = frame.stream;
        let begins = frame.kind == frame::Kind::Headers;
        let is_new = number > self.last && number % 2 == 1;
        if begins && is_new && self.streams.answered(number).is_none() {
            let reason = self.unseen.unwrap_or(self.unseen_below.1);
            self.streams.hold(number, reason, out);
        }
        let hidden = self.hidden;
        let Some(stream) = self.streams.answered(number) else {
            return;
        };
        if stream.response.phase != Phase::Awaited {
            return add(&mut stream.response, &frame);
        }
        if begins {
            stream.response.phase = Phase::Head;
            stream.response.wire = frame.wire();
            stream.emit(Event::ResponseStarted(stream.exchange), out);
        } else {
            self.cut(Side::Response, number, hidden, out);
        }
    }

    fn response_block(
        &mut self,
        number: u32,
        block: Result<Block, Incomplete>,
        ends_stream: bool,
        out: &mut Vec<Event>,
    ) {
        if self.streams.answered(number).is_none() {
            return self.unpaired_block(number, block, out);
        }
        self.on(Side::Response, number, out, |stream, out| {
            stream.answer(block, ends_stream, out);
        });
    }

    /// A header block of the response side on a stream that is not under way: it was over already, or
    /// its request was not seen.
    fn unpaired_block(&self, number: u32, block: Result<Block, Incomplete>, out: &mut Vec<Event>) {
        let (below, reason) = self.unseen_below;
        let begins = block.is_ok_and(|block| block.kind == Kind::Response && !block.is_interim());
        if begins && number < below && number % 2 == 1 {
            out.push(Event::Incomplete {
                exchange: None,
                side: Side::Response,
                reason,
            });
        }
    }

    fn cut(&mut self, side: Side, number: u32, reason: Incomplete, out: &mut Vec<Event>) {
        self.on(side, number, out, |stream, out| {
            stream.cut(side, reason, out)
        });
    }

    /// A server whose answer is whole may so say that it wants no more of the request (RFC 9113, section
    /// 8.1): that ends there. Any other reset cuts what is unfinished.
    fn reset(&mut self, side: Side, number: u32, code: Option<u32>, out: &mut Vec<Event>) {
        let Some(stream) = self.streams.get(number) else {
            return self.cut(Side::Response, number, Incomplete::StreamReset, out);
        };
        if side == Side::Response
            && code == Some(NO_ERROR)
            && stream.response.phase == Phase::Over
            && stream.request.phase == Phase::Body
        {
            let end = |stream: &mut Stream, out: &mut Vec<Event>| stream.end(Side::Request, out);
            return self.on(Side::Request, number, out, end);
        }
        if let Some(code) = code {
            out.push(Event::Reset {
                exchange: stream.exchange,
                side,
                cause: Cause::Code(code),
            });
        }
        for side in [Side::Request, Side::Response] {
            self.cut(side, number, Incomplete::StreamReset, out);
        }
    }

    /// Streams above that number get no response.
    fn refuse(&mut self, last: u32, reason: Incomplete, out: &mut Vec<Event>) {
        self.refused = Some((last, reason));
        for side in [Side::Request, Side::Response] {
            self.streams
                .cut(side, reason, |number, _| number > last, out);
        }
    }

    fn hole(&mut self, side: Side, reason: Incomplete, out: &mut Vec<Event>) {
        match side {
            Side::Request => self.unseen = Some(reason),
            Side::Response => self.hidden = reason,
        }
        let begun = |_, phase| phase != Phase::Awaited;
        self.streams.cut(side, reason, begun, out);
    }
}

impl Protocol for Http2 {
    fn memory(&self) -> usize {
        size_of::<Http2>()
            + self.requests.memory()
            + self.requests.table_memory()
            + self.responses.memory()
            + self.responses.table_memory()
            + self.streams.memory()
    }

    fn push(&mut self, side: Side, input: Input<'_>, out: &mut Vec<Event>) {
        match input {
            Input::Bytes(bytes) => self.read(side, bytes, out),
            Input::Skipped(n) => self.gap(side, n, false, out),
            Input::Lost(n) => self.gap(side, n, true, out),
            Input::EndOfTransfer => self.reader(side).end_of_transfer(),
        }
    }

    fn end(&mut self, side: Side, reason: Incomplete, out: &mut Vec<Event>) {
        self.reader(side).deafen();
        if side == Side::Response {
            let unseen = self.unseen.unwrap_or(self.unseen_below.1);
            self.streams.drop_early(u32::MAX, unseen, out);
            self.refused = Some((0, reason));
        }
        self.streams.cut(side, reason, |_, _| true, out);
    }

    /// A client numbers its streams 1, 3, 5, ...: one that does otherwise is not found.
    fn stream_of(&self, exchange: ExchangeId) -> Option<u32> {
        let later = self.next.checked_sub(1)?.checked_sub(exchange)?;
        let back = u32::try_from(later.checked_mul(2)?).ok()?;
        let number = self.last.checked_sub(back)?;
        (self.streams.exchange_on(number) == Some(exchange)).then_some(number)
    }

    fn exchange_on(&self, stream: u32) -> Option<ExchangeId> {
        self.streams.exchange_on(stream)
    }

    fn framing(&self) -> Option<Framing> {
        Some(Framing::Http2)
    }
}

/// RFC 9113, section 7.
const NO_ERROR: u32 = 0;

/// Counts another frame of a message.
fn add(message: &mut stream::Message, frame: &Frame) {
    message.wire = message.wire.saturating_add(frame.wire());
    if frame.kind == frame::Kind::Data {
        let length = u64::from(frame.length);
        message.body = message.body.map(|body| body.saturating_add(length));
    }
}
