//! Which response answers which request.
//!
//! The k-th final response answers the k-th request (RFC 9112, section 9.3.2). That is exact as long
//! as every message was seen. After a hole whose content is unknown, messages may have passed in it,
//! and counting is no evidence any more:
//!
//! * Requests that were open before a hole in the *requests* are still answered first, in order. What
//!   follows is not known to answer anything until the line falls quiet ([`Hidden`]).
//! * A hole in the *responses* hides at least the response that is due there. The next one seen is
//!   paired if only one request can own it.
//!
//! The line is quiet when a request begins and all before it were answered. Of a client that waits
//! for each answer (*serial*) every request shows it. Of one that sends requests in batches the
//! answers seen must outnumber those due. One that keeps requests in flight all the time
//! (*sliding*) never shows it: after a hole its exchanges stay unanswered to the connection's end.
//! What a client is, is read from the exchanges paired without a doubt; a client of which nothing
//! was seen yet is taken for serial, as nearly all are.
//!
//! Bias: no pair rather than a wrong one.

use std::collections::VecDeque;

use super::head::Method;
use crate::protocol::{Event, ExchangeId, Incomplete, Side};

/// Requests of one connection that may await their responses at once. Load generators pipeline 16 to
/// 64, and a head limit's worth of the shortest requests is a thousand; each costs its head in memory.
pub(super) const PENDING_LIMIT: usize = 256;

/// The shortest message: `HTTP/1.1 200` and two line ends. A hole shorter than that hides no other.
const SHORTEST: u64 = 14;

/// Exchanges in a row, each of which began with the line quiet, after which a client that once did
/// otherwise is taken for serial: two tasks of a process may have their records change places in the
/// ring now and then, which looks like overlap.
const SERIAL_RUN: u32 = 16;

/// A request that awaits its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub id: ExchangeId,
    pub method: Method,
}

/// Requests of unknown number, after those pending.
#[derive(Clone, Copy, Debug)]
struct Hidden {
    /// Responses due at least: to requests in the hole, and to requests after it that were given up.
    due: u64,
    /// Of these, the ones given up: their responses are counted already.
    given_up: u64,
    /// Final responses seen since that may have been theirs.
    answered: u64,
    /// Why they are not known.
    reason: Incomplete,
}

impl Hidden {
    fn none(reason: Incomplete) -> Hidden {
        Hidden {
            due: 0,
            given_up: 0,
            answered: 0,
            reason,
        }
    }
}

/// A hole in the responses after which none has begun yet.
#[derive(Clone, Copy, Debug)]
struct Hole {
    /// It began in a final response's body, so no other response to the same request follows.
    in_body: bool,
    reason: Incomplete,
}

/// To what a response belongs that begins now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// To this exchange.
    Exchange(ExchangeId),
    /// To a request that was not seen, or can't be told.
    Unknown,
    /// To no request so far, though all were seen: its request is about to come.
    Early,
}

/// The open exchanges of one connection.
#[derive(Debug)]
pub(super) struct Pairing {
    /// Answered next, in this order.
    sure: VecDeque<Pending>,
    /// What comes after them.
    hidden: Option<Hidden>,
    /// The request begun last, if it comes after `hidden`: at most one, the ones before are given up.
    behind: Option<Pending>,
    hole: Option<Hole>,
    next: ExchangeId,
    /// A response ended while others were due.
    amid: bool,
    /// Responses were due when another request began after one: sliding.
    sliding: bool,
    /// More than one response was due when one began.
    overlapping: bool,
    /// Exchanges in a row for which neither was so.
    run: u32,
}

impl Pairing {
    /// Nothing was seen yet. `midway`: requests may have been, before.
    pub(super) fn new(midway: bool) -> Pairing {
        Pairing {
            sure: VecDeque::new(),
            hidden: midway.then_some(Hidden::none(Incomplete::AttachedMidway)),
            behind: None,
            hole: None,
            next: 0,
            amid: false,
            sliding: false,
            overlapping: false,
            run: 0,
        }
    }

    /// A request begins. False: there is no room to await its response.
    pub(super) fn request(&mut self, out: &mut Vec<Event>) -> (ExchangeId, bool) {
        let id = self.next;
        self.next += 1;
        let pending = Pending {
            id,
            method: Method::Unknown,
        };
        if self.is_quiet() {
            self.give_up_behind(out);
            self.hidden = None;
        }
        if self.hidden.is_some() {
            self.give_up_behind(out);
            self.behind = Some(pending);
            return (id, true);
        }
        if self.sure.is_empty() {
            self.amid = false;
        } else if self.amid {
            self.sliding = true;
            self.run = 0;
        }
        if self.sure.len() >= PENDING_LIMIT {
            self.hide(1, Incomplete::Evicted, out);
            return (id, false);
        }
        self.sure.push_back(pending);
        (id, true)
    }

    /// The method of a request begun before, unless it is known.
    pub(super) fn set_method(&mut self, id: ExchangeId, method: Method) {
        let behind = self.behind.iter_mut();
        if let Some(pending) = behind
            .chain(self.sure.iter_mut().rev())
            .find(|p| p.id == id)
            && pending.method == Method::Unknown
        {
            pending.method = method;
        }
    }

    /// Whether that exchange still awaits (the end of) its response.
    pub(super) fn is_open(&self, id: ExchangeId) -> bool {
        self.behind.is_some_and(|p| p.id == id) || self.sure.iter().rev().any(|p| p.id == id)
    }

    /// The exchange whose response is due or under way.
    pub(super) fn front(&self) -> Option<Pending> {
        self.sure.front().copied()
    }

    /// The only exchange that awaits its response is this, of a client that waits for it.
    pub(super) fn is_serial_at(&self, id: ExchangeId) -> bool {
        self.is_serial() && self.sure.len() == 1 && self.sure[0].id == id && self.hidden.is_none()
    }

    /// After those open now, at least `due` requests passed unseen.
    pub(super) fn hide(&mut self, due: u64, reason: Incomplete, out: &mut Vec<Event>) {
        self.give_up_behind(out);
        let hidden = self.hidden.get_or_insert(Hidden::none(reason));
        hidden.due = hidden.due.saturating_sub(hidden.answered) + due;
        hidden.given_up = hidden.given_up.saturating_sub(hidden.answered);
        hidden.answered = 0;
    }

    /// Some requests passed unseen, and may not be answered.
    pub(super) fn has_hidden(&self) -> bool {
        self.hidden.is_some()
    }

    /// A response begins, where one is expected or, after `passed` bytes of unknown content, where
    /// it was found again.
    pub(super) fn response(&mut self, passed: u64, out: &mut Vec<Event>) -> Owner {
        if let Some(hole) = self.hole.take() {
            let open = self.sure.len() + usize::from(self.behind.is_some());
            let known = if open == 1 {
                self.is_serial() || (self.hidden.is_none() && hole.in_body)
            } else {
                !self.sure.is_empty() && hole.in_body && passed < SHORTEST
            };
            if !known {
                self.give_up_all(hole.reason, out);
                return Owner::Unknown;
            }
            if self.sure.is_empty() {
                self.hidden = None;
                self.sure.extend(self.behind.take());
            }
        } else if !self.sure.is_empty() {
            if self.sure.len() + usize::from(self.behind.is_some()) > 1 {
                self.overlapping = true;
                self.run = 0;
            } else {
                self.run = self.run.saturating_add(1);
            }
        }
        match (self.sure.front(), self.hidden) {
            (Some(pending), _) => Owner::Exchange(pending.id),
            (None, Some(_)) => Owner::Unknown,
            (None, None) => Owner::Early,
        }
    }

    /// The first exchange's response has ended, or was cut off: it awaits nothing more.
    pub(super) fn answered(&mut self) {
        self.sure.pop_front();
        self.amid = !self.sure.is_empty();
    }

    /// A final response of [`Owner::Unknown`] was seen: counts it, unless it may be one that was
    /// counted when its exchange was given up. `reason`: unless a known hole is the reason.
    pub(super) fn unknown_answered(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        let behind = u64::from(self.behind.is_some());
        let hidden = self.hidden.get_or_insert(Hidden::none(reason));
        hidden.answered += 1;
        if hidden.answered > hidden.given_up + behind {
            out.push(Event::Incomplete {
                exchange: None,
                side: Side::Response,
                reason: hidden.reason,
            });
        }
    }

    /// Bytes of unknown content passed in the responses. The response under way, or else the one due
    /// next, was among them.
    pub(super) fn response_hole(
        &mut self,
        in_body: bool,
        reason: Incomplete,
        out: &mut Vec<Event>,
    ) {
        if let Some(pending) = self.sure.front() {
            out.push(cut(pending.id, reason));
            self.sure.pop_front();
        } else if let Some(hidden) = &mut self.hidden {
            hidden.answered += 1;
        }
        self.mark_hole(in_body, reason);
    }

    /// The same, where the response under way was dealt with.
    pub(super) fn mark_hole(&mut self, in_body: bool, reason: Incomplete) {
        self.hole = Some(Hole { in_body, reason });
        if self.sure.is_empty() && self.hidden.is_none() {
            self.hidden = Some(Hidden::none(reason));
        }
    }

    /// No response can be told any more: all that are open go without.
    pub(super) fn give_up_all(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        let open = self.sure.len() as u64;
        out.extend(self.sure.drain(..).map(|pending| cut(pending.id, reason)));
        self.hide(open, reason, out);
        if let Some(hidden) = &mut self.hidden {
            hidden.given_up += open;
        }
    }

    /// All requests of unknown number that passed are answered, as far as can be told.
    fn is_quiet(&self) -> bool {
        let Some(hidden) = self.hidden else {
            return false;
        };
        if !self.sure.is_empty() {
            return false;
        }
        if self.is_serial() {
            hidden.due == 0 || hidden.answered > 0
        } else {
            let behind = u64::from(self.behind.is_some());
            !self.sliding && hidden.answered >= hidden.due + behind
        }
    }

    /// The client waits for each answer, as far as was seen.
    pub(super) fn is_serial(&self) -> bool {
        !(self.overlapping || self.sliding) || self.run >= SERIAL_RUN
    }

    fn give_up_behind(&mut self, out: &mut Vec<Event>) {
        if let Some(pending) = self.behind.take() {
            let reason = match &mut self.hidden {
                Some(hidden) => {
                    hidden.due += 1;
                    hidden.given_up += 1;
                    hidden.reason
                }
                None => Incomplete::LostEvents,
            };
            out.push(cut(pending.id, reason));
        }
    }
}

fn cut(id: ExchangeId, reason: Incomplete) -> Event {
    Event::Incomplete {
        exchange: Some(id),
        side: Side::Response,
        reason,
    }
}
