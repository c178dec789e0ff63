//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112): both directions of one connection.
//!
//! [`reader`] finds each side's messages, [`head`] and [`body`] read their parts, [`pairing`] knows
//! which response answers which request. Here they meet: what a response's framing takes from its
//! request, and the events.
//!
//! Left out: what heads say beyond framing (see [`crate::context`], [`crate::semconv`]), and whatever
//! a connection carries after `CONNECT` or `Upgrade`, unless that is HTTP/2 ([`upgrade`]).

mod body;
mod head;
mod pairing;
mod reader;
#[cfg(test)]
mod tests;
mod upgrade;

use body::{Body, is_interim, is_tunnel, request_body, response_body};
use pairing::{Owner, Pairing};
use reader::{Reader, Step};

pub use head::HEAD_LIMIT;
use head::{Framing, Method};

use super::http::Head;
use super::http2::Http2;
use super::{Event, ExchangeId, Incomplete, Input, Match, Protocol, Side, Sizes};

/// Most bytes of a response kept for a request whose own record comes after it in the ring. One
/// read's worth: by the next, the request's record is there.
const EARLY_LIMIT: usize = HEAD_LIMIT;

/// Whether a message of that side begins with these bytes, empty lines before it allowed.
pub fn begins(side: Side, bytes: &[u8]) -> Match {
    let mut bytes = bytes;
    while let [b'\r' | b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    head::begins(side, bytes)
}

/// HTTP/1 on one connection.
#[derive(Debug)]
pub struct Http1 {
    requests: Reader,
    responses: Reader,
    pairing: Pairing,
    /// Whose request is being read, or was read last.
    request: ExchangeId,
    /// Bytes of requests that are used up, and where the one read last begins among them.
    asked: u64,
    asked_at: u64,
    /// What comes after it, up to the next request found, is taken to be part of it.
    trailing: bool,
    /// A request ended within this transfer, and a response.
    ended: [bool; 2],
    /// Why that request's response is not awaited.
    unanswerable: Option<Incomplete>,
    /// Whose response is being read.
    response: Option<Owner>,
    /// Responses are over: what ended them.
    closed: Option<Incomplete>,
    /// Bytes of a response that came before its request's, and whether their transfer has ended.
    early: Vec<u8>,
    early_ended: bool,
    /// What the connection carries from now on.
    http2: Option<Box<Http2>>,
}

impl Http1 {
    /// Nothing was seen yet. `midway`: messages, or part of one, went by before.
    pub fn new(midway: bool) -> Http1 {
        Http1 {
            requests: Reader::new(Side::Request, midway),
            responses: Reader::new(Side::Response, midway),
            pairing: Pairing::new(midway),
            request: 0,
            asked: 0,
            asked_at: 0,
            trailing: false,
            ended: [false; 2],
            unanswerable: None,
            response: None,
            closed: None,
            early: Vec::new(),
            early_ended: false,
            http2: None,
        }
    }

    fn request_bytes(&mut self, mut input: &[u8], out: &mut Vec<Event>) {
        loop {
            let before = input.len();
            let step = self.requests.bytes(&mut input);
            self.asked = self.asked.saturating_add((before - input.len()) as u64);
            match step {
                Step::More => break,
                Step::Started => self.asked_at = self.asked.saturating_sub(self.requests.begun()),
                _ => {}
            }
            self.request_step(step, out);
        }
        self.release_early(out);
    }

    fn response_bytes(&mut self, mut input: &[u8], out: &mut Vec<Event>) {
        if !self.early.is_empty() {
            return self.keep_early(input, out);
        }
        loop {
            let before = input;
            let step = self.responses.bytes(&mut input);
            match step {
                Step::More => break,
                Step::Started => {
                    if self.ended[1] {
                        self.pairing.see_overlap();
                    }
                    let owner = self.pairing.response(self.responses.passed(), out);
                    if owner == Owner::Early && self.responses.rewind() {
                        if head::begins(Side::Response, before) == Match::No {
                            // More bytes than the response before said it has: no message's.
                            self.responses.hunt(false);
                            return;
                        }
                        return self.keep_early(before, out);
                    }
                    self.response = Some(owner);
                    if let Owner::Exchange(id) = owner {
                        out.push(Event::ResponseStarted(id));
                    }
                }
                step => self.response_step(step, out),
            }
            if let Some(http2) = &mut self.http2 {
                return http2.push(Side::Response, Input::Bytes(input), out);
            }
        }
    }

    fn gap(&mut self, side: Side, mut n: u64, lost: bool, out: &mut Vec<Event>) {
        if side == Side::Response && !self.early.is_empty() {
            self.drop_early(Incomplete::of_gap(lost), out);
        }
        while n > 0 {
            match side {
                Side::Request => {
                    let before = n;
                    let step = self.requests.gap(&mut n, lost);
                    self.asked = self.asked.saturating_add(before - n);
                    self.request_step(step, out);
                }
                Side::Response => {
                    let step = self.responses.gap(&mut n, lost);
                    self.response_step(step, out);
                }
            }
        }
    }

    fn request_step(&mut self, step: Step, out: &mut Vec<Event>) {
        match step {
            Step::More => {}
            Step::Started => self.begin_request(out),
            Step::Head(head, framing) => self.request_head(head, framing, out),
            Step::Ended(sizes) => {
                self.request_ended(sizes, out);
            }
            Step::Broken { reason, .. } => {
                let method = match Method::of(&self.requests.take_broken_head()) {
                    // No server takes it for HEAD either.
                    Method::Unknown if reason == Incomplete::Malformed => Method::Other,
                    method => method,
                };
                self.pairing.set_method(self.request, method);
                self.request_broken(reason, out);
            }
            Step::Hole(reason) => {
                // Responses that came with no request to answer were those requests', the last one's
                // among them if the client waits for each.
                if !self.pairing.is_serial() {
                    self.drop_early(reason, out);
                }
                self.trailing = false;
                self.pairing.hide(1, reason);
                self.drop_early(reason, out);
            }
            Step::Passed => {
                if !self.trailing || !self.pairing.is_serial() {
                    self.pairing.hide_more(Incomplete::AttachedMidway);
                }
            }
        }
    }

    fn begin_request(&mut self, out: &mut Vec<Event>) {
        // A client that waits for each answer has had the one before, though its end could not be
        // told from its bytes.
        if let Some(Owner::Exchange(id)) = self.response
            && self.responses.in_tail()
            && self.pairing.is_serial_at(id)
        {
            self.lose_response(id, out);
        }
        self.trailing = false;
        if self.ended[0] {
            self.pairing.see_overlap();
        }
        let (id, unanswerable) = self.pairing.request();
        self.request = id;
        self.unanswerable = self.closed.or(unanswerable);
        out.push(Event::RequestStarted(id, self.asked_at));
        if self.response == Some(Owner::Unknown) && !self.pairing.has_hidden() {
            // The line is quiet, so that response is over, wherever its end was.
            self.response = None;
            self.responses.hunt(true);
        }
    }

    /// The response's end can't be told: its chunk heads were not captured.
    fn lose_response(&mut self, id: ExchangeId, out: &mut Vec<Event>) {
        self.response = None;
        out.push(incomplete(id, Side::Response, Incomplete::BytesUnseen));
        self.pairing.answered(false);
        self.pairing.mark_hole(true, Incomplete::BytesUnseen);
        self.responses.hunt(true);
    }

    fn request_head(&mut self, head: Box<Head>, framing: Framing, out: &mut Vec<Event>) {
        let method = Method::named(head.method());
        self.pairing.set_method(self.request, method);
        out.push(Event::RequestHead(self.request, super::Head::Http(head)));
        let Some(body) = request_body(framing) else {
            self.requests.hunt(false);
            return self.request_broken(Incomplete::Malformed, out);
        };
        let Some(sizes) = self.requests.body(body) else {
            return;
        };
        self.request_ended(sizes, out);
        if method == Method::Connect {
            // What follows is a tunnel's, or, once that is refused, another request.
            self.requests.hunt(false);
            self.trailing = true;
            self.pairing.hide(0, Incomplete::BytesUnseen);
        }
    }

    fn request_ended(&mut self, sizes: Sizes, out: &mut Vec<Event>) {
        self.ended[0] = true;
        out.push(Event::RequestEnded(self.request, sizes));
        self.request_over(out);
    }

    /// The request can't be followed; where the next one begins may be unknown as well.
    fn request_broken(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        out.push(incomplete(self.request, Side::Request, reason));
        self.request_over(out);
        if self.requests.is_hunting() {
            self.trailing = true;
            self.pairing.hide(0, reason);
            self.drop_early(reason, out);
        }
    }

    fn request_over(&mut self, out: &mut Vec<Event>) {
        if let Some(reason) = self.unanswerable.take() {
            self.pairing.withdraw(self.request);
            out.push(incomplete(self.request, Side::Response, reason));
        }
    }

    fn response_step(&mut self, step: Step, out: &mut Vec<Event>) {
        match step {
            Step::More | Step::Started => {}
            // A response that is due might be in it.
            Step::Passed => self.pairing.responses_passed(out),
            Step::Head(head, framing) => match self.response {
                Some(Owner::Exchange(id)) => self.response_head(id, head, framing, out),
                _ => self.unknown_response_head(&head, framing, out),
            },
            Step::Ended(sizes) => {
                self.ended[1] = true;
                if let Some(Owner::Exchange(id)) = self.response.take() {
                    out.push(Event::ResponseEnded(id, sizes));
                    self.pairing.answered(true);
                }
            }
            Step::Broken { in_head, reason } => {
                self.responses.take_broken_head();
                match self.response.take() {
                    Some(Owner::Exchange(id)) => {
                        out.push(incomplete(id, Side::Response, reason));
                        self.pairing.answered(false);
                    }
                    _ if in_head => self.pairing.unknown_answered(reason, out),
                    _ => {}
                }
                if self.responses.is_hunting() {
                    self.pairing.mark_hole(!in_head, reason);
                }
            }
            Step::Hole(reason) => self.pairing.response_hole(false, reason, out),
        }
    }

    fn response_head(
        &mut self,
        id: ExchangeId,
        head: Box<Head>,
        framing: Framing,
        out: &mut Vec<Event>,
    ) {
        let method = match self.pairing.front().map(|pending| pending.method) {
            Some(Method::Unknown) if self.requests.in_head() && self.request == id => {
                Method::of(self.requests.partial_head())
            }
            Some(method) => method,
            None => Method::Unknown,
        };
        let status = head.status();
        if is_interim(status) {
            self.responses.body(Body::Fixed(0));
            self.response = None;
            out.push(Event::ResponseInterim(id));
            return;
        }
        if upgrade::agrees(&head) && self.request == id && self.requests.is_idle() {
            return self.upgrade(id, out);
        }
        out.push(Event::ResponseHead(id, super::Head::Http(head)));
        let body = match response_body(status, method, framing) {
            Ok(body) => body,
            Err(reason) => {
                self.response = None;
                out.push(incomplete(id, Side::Response, reason));
                self.pairing.answered(false);
                self.pairing.mark_hole(true, reason);
                self.responses.hunt(false);
                return;
            }
        };
        if let Some(sizes) = self.responses.body(body) {
            self.ended[1] = true;
            self.response = None;
            out.push(Event::ResponseEnded(id, sizes));
            self.pairing.answered(true);
        }
        if is_tunnel(status, method) {
            self.leave(out);
        }
    }

    /// Of a client that pipelines such responses are counted, so they are read as if the requests were
    /// common ones. Of one that waits the next is found without that.
    fn unknown_response_head(&mut self, head: &Head, framing: Framing, out: &mut Vec<Event>) {
        let status = head.status();
        self.response = Some(Owner::Unknown);
        if is_interim(status) {
            self.responses.body(Body::Fixed(0));
            self.response = None;
            return;
        }
        self.pairing.unknown_answered(Incomplete::LostEvents, out);
        match response_body(status, Method::Other, framing) {
            Ok(body) if !self.pairing.is_serial() => {
                if self.responses.body(body).is_some() {
                    self.ended[1] = true;
                    self.response = None;
                }
            }
            _ => {
                self.response = None;
                self.responses.hunt(false);
            }
        }
        if status == 101 {
            self.leave(out);
        }
    }

    /// From here on the connection carries something else.
    fn leave(&mut self, out: &mut Vec<Event>) {
        if let Some(Err(reason)) = self.requests.end(Incomplete::Malformed) {
            out.push(incomplete(self.request, Side::Request, reason));
            self.request_over(out);
        }
        self.responses.deafen();
        self.pairing.give_up_all(Incomplete::Malformed, out);
        out.push(Event::Opaque);
    }

    /// Keeps bytes of a response whose request's record is still to come.
    fn keep_early(&mut self, input: &[u8], out: &mut Vec<Event>) {
        if self.early.len() + input.len() > EARLY_LIMIT {
            // A server that speaks unasked.
            self.pairing.hide(0, Incomplete::Malformed);
            self.drop_early(Incomplete::Malformed, out);
            return self.response_bytes(input, out);
        }
        self.early.extend_from_slice(input);
        self.early_ended = false;
    }

    /// Reads what was kept, once its request is there.
    fn release_early(&mut self, out: &mut Vec<Event>) {
        if !self.early.is_empty() && !self.requests.in_head() && self.pairing.front().is_some() {
            self.read_early(out);
        }
    }

    /// What was kept answers no request that will be seen.
    fn drop_early(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        if !self.early.is_empty() {
            self.pairing.hide(0, reason);
            self.read_early(out);
        }
    }

    fn read_early(&mut self, out: &mut Vec<Event>) {
        let early = std::mem::take(&mut self.early);
        self.response_bytes(&early, out);
        if self.early.is_empty() && self.early_ended {
            self.response_transfer_ends(out);
        }
    }

    fn response_transfer_ends(&mut self, out: &mut Vec<Event>) {
        if !self.early.is_empty() {
            self.early_ended = true;
            return;
        }
        if let Some(Owner::Exchange(id)) = self.response
            && self.responses.in_tail()
            && !self.pairing.is_serial_at(id)
        {
            // The end there may be another's, pipelined behind it.
            self.lose_response(id, out);
        }
        let step = self.responses.end_of_transfer();
        self.response_step(step, out);
        self.ended[1] = false;
    }

    fn request_transfer_ends(&mut self, out: &mut Vec<Event>) {
        if self.requests.in_tail() && !self.pairing.is_serial() {
            // As above.
            self.requests.hunt(true);
            self.request_broken(Incomplete::BytesUnseen, out);
        }
        let step = self.requests.end_of_transfer();
        self.request_step(step, out);
        self.ended[0] = false;
        if self.requests.in_tail() && !self.pairing.is_open(self.request) {
            // Its response is over: what the next transfer begins may be another request.
            self.requests.hunt(true);
            self.request_broken(Incomplete::BytesUnseen, out);
        }
    }
}

impl Protocol for Http1 {
    fn memory(&self) -> usize {
        let http2 = self.http2.as_ref().map_or(0, |http2| http2.memory());
        size_of::<Http1>()
            + self.requests.memory()
            + self.responses.memory()
            + self.pairing.memory()
            + self.early.capacity()
            + http2
    }

    fn push(&mut self, side: Side, input: Input<'_>, out: &mut Vec<Event>) {
        if let Some(http2) = &mut self.http2 {
            return http2.push(side, input, out);
        }
        match (side, input) {
            (Side::Request, Input::Bytes(bytes)) => self.request_bytes(bytes, out),
            (Side::Response, Input::Bytes(bytes)) => self.response_bytes(bytes, out),
            (side, Input::Skipped(n)) => self.gap(side, n, false, out),
            (side, Input::Lost(n)) => self.gap(side, n, true, out),
            (Side::Request, Input::EndOfTransfer) => self.request_transfer_ends(out),
            (Side::Response, Input::EndOfTransfer) => self.response_transfer_ends(out),
        }
    }

    fn end(&mut self, side: Side, reason: Incomplete, out: &mut Vec<Event>) {
        if let Some(http2) = &mut self.http2 {
            return http2.end(side, reason, out);
        }
        match side {
            Side::Request => {
                if let Some(Err(reason)) = self.requests.end(reason) {
                    out.push(incomplete(self.request, Side::Request, reason));
                    self.request_over(out);
                }
            }
            Side::Response => {
                self.drop_early(reason, out);
                let outcome = self.responses.end(reason);
                if let Some(Owner::Exchange(id)) = self.response.take() {
                    match outcome {
                        Some(Ok(sizes)) => out.push(Event::ResponseEnded(id, sizes)),
                        _ => out.push(incomplete(id, Side::Response, reason)),
                    }
                    self.pairing.answered(true);
                }
                if self.closed.is_none() {
                    self.closed = Some(reason);
                    self.pairing.give_up_all(reason, out);
                }
            }
        }
    }

    fn framing(&self) -> Option<super::Framing> {
        self.http2.as_ref()?.framing()
    }
}

fn incomplete(id: ExchangeId, side: Side, reason: Incomplete) -> Event {
    Event::Incomplete {
        exchange: Some(id),
        side,
        reason,
    }
}
