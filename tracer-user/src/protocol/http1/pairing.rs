//! Which response answers which request.
//!
//! The k-th final response answers the k-th request (RFC 9112, section 9.3.2). That is exact as long
//! as every message was seen. After a hole whose content is unknown, messages may have passed in it,
//! and counting is no evidence any more:
//!
//! * Requests that were open before a hole in the *requests* are still answered first, in order. What
//!   follows is not known to answer anything until the line falls quiet ([`Hidden`]).
//! * A hole in the *responses* hides at least the response that is due there. The next one seen is
//!   paired if only one request can own it. A request that was lost as well would be noticed only
//!   later, so after a loss that is said only where a long run of exchanges without one makes it a
//!   single loss ([`CLEAN_RUN`]).
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

/// Exchanges in a row, seen whole, after which a loss is taken for the only one around: records are
/// lost when the ring is full, then many of a connection within few exchanges.
const CLEAN_RUN: u32 = 16;

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
    /// Final responses since that may have been theirs, those in a hole included.
    answered: u64,
    /// Of these, the ones seen.
    seen: u64,
    /// Why they are not known.
    reason: Incomplete,
}

impl Hidden {
    fn none(reason: Incomplete) -> Hidden {
        Hidden {
            due: 0,
            given_up: 0,
            answered: 0,
            seen: 0,
            reason,
        }
    }
}

/// A hole in the responses after which none has begun yet.
#[derive(Clone, Copy, Debug)]
struct Hole {
    /// It began in a final response's body, so no other response to the same request follows.
    in_body: bool,
    /// The only loss around, or none at all: bytes not captured are known at once on both sides.
    single: bool,
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
    /// Exchanges in a row since anything was lost.
    clean: u32,
}

impl Pairing {
    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.sure.capacity() * size_of::<Pending>()
    }

    /// Nothing was seen yet. `midway`: requests may have been, before.
    pub(super) fn new(midway: bool) -> Pairing {
        Pairing {
            sure: VecDeque::new(),
            hidden: midway.then_some(Hidden::none(Incomplete::AttachedMidway)),
            hole: midway.then_some(Hole {
                in_body: false,
                single: true,
                reason: Incomplete::AttachedMidway,
            }),
            next: 0,
            amid: false,
            sliding: false,
            overlapping: false,
            run: 0,
            clean: 0,
        }
    }

    /// A request begins. With a reason: its response can't be told, or (for want of room) is not
    /// awaited.
    pub(super) fn request(&mut self) -> (ExchangeId, Option<Incomplete>) {
        let id = self.next;
        self.next += 1;
        if self.is_quiet() {
            self.hidden = None;
            self.hole = None;
        }
        if self.sure.is_empty() {
            self.amid = false;
        } else if self.amid {
            self.sliding = true;
            self.run = 0;
        }
        if self.hidden.is_none() && self.sure.len() >= PENDING_LIMIT {
            self.hidden = Some(Hidden::none(Incomplete::Evicted));
        }
        if let Some(hidden) = &mut self.hidden {
            hidden.due += 1;
            hidden.given_up += 1;
            return (id, Some(hidden.reason));
        }
        self.sure.push_back(Pending {
            id,
            method: Method::Unknown,
        });
        (id, None)
    }

    /// The number of the next exchange.
    pub(super) fn next(&self) -> ExchangeId {
        self.next
    }

    /// A request begins, or is open, that did not wait for the one before it.
    pub(super) fn see_overlap(&mut self) {
        self.overlapping = true;
        self.run = 0;
    }

    /// The method of a request begun before, unless it is known.
    pub(super) fn set_method(&mut self, id: ExchangeId, method: Method) {
        if let Some(pending) = self.sure.iter_mut().rev().find(|p| p.id == id)
            && pending.method == Method::Unknown
        {
            pending.method = method;
        }
    }

    /// The request begun last awaits no response.
    pub(super) fn withdraw(&mut self, id: ExchangeId) {
        self.sure.pop_back_if(|pending| pending.id == id);
    }

    /// Whether that exchange still awaits (the end of) its response.
    pub(super) fn is_open(&self, id: ExchangeId) -> bool {
        self.sure.iter().rev().any(|pending| pending.id == id)
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
    pub(super) fn hide(&mut self, due: u64, reason: Incomplete) {
        if reason == Incomplete::LostEvents {
            self.clean = 0;
        }
        let hidden = self.hidden.get_or_insert(Hidden::none(reason));
        hidden.due = hidden.due.saturating_sub(hidden.answered) + due;
        hidden.given_up = hidden.given_up.saturating_sub(hidden.seen);
        hidden.answered = 0;
        hidden.seen = 0;
    }

    /// Some requests passed unseen, and may not be answered.
    pub(super) fn has_hidden(&self) -> bool {
        self.hidden.is_some()
    }

    /// Still more passed unseen, of the same requests or of others.
    pub(super) fn hide_more(&mut self, reason: Incomplete) {
        self.hide(0, reason);
        if let Some(hidden) = &mut self.hidden {
            hidden.due = hidden.due.max(1);
        }
    }

    /// A response begins, where one is expected or, after `passed` bytes of unknown content, where
    /// it was found again.
    pub(super) fn response(&mut self, passed: u64, out: &mut Vec<Event>) -> Owner {
        if let Some(hole) = self.hole.take() {
            let known = match self.sure.len() {
                0 => false,
                1 => {
                    let told = self.is_serial() || (self.hidden.is_none() && hole.in_body);
                    told && (hole.single || passed < SHORTEST)
                }
                _ => hole.in_body && passed < SHORTEST,
            };
            if !known {
                self.give_up_all(hole.reason, out);
                return Owner::Unknown;
            }
        } else if !self.sure.is_empty() {
            self.clean = self.clean.saturating_add(1);
            if self.sure.len() > 1 {
                self.see_overlap();
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

    /// The first exchange's response has ended, or (not `whole`) was cut off: it awaits nothing more.
    pub(super) fn answered(&mut self, whole: bool) {
        self.sure.pop_front();
        self.amid = whole && !self.sure.is_empty();
    }

    /// A final response of [`Owner::Unknown`] was seen: counts it, unless it may be one that was
    /// counted when its exchange was given up. `reason`: unless a known hole is the reason.
    pub(super) fn unknown_answered(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        let hidden = self.hidden.get_or_insert(Hidden::none(reason));
        hidden.answered += 1;
        hidden.seen += 1;
        if hidden.seen > hidden.given_up {
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

    /// Bytes passed in the responses in which none was found.
    pub(super) fn responses_passed(&mut self, out: &mut Vec<Event>) {
        if !self.sure.is_empty() {
            let reason = match (self.hole, self.hidden) {
                (Some(Hole { reason, .. }), _) | (_, Some(Hidden { reason, .. })) => reason,
                _ => Incomplete::LostEvents,
            };
            self.response_hole(false, reason, out);
        }
    }

    /// The same, where the response under way was dealt with.
    pub(super) fn mark_hole(&mut self, in_body: bool, reason: Incomplete) {
        let single = reason != Incomplete::LostEvents || self.clean >= CLEAN_RUN;
        // Of two holes with no response between them neither is the only one.
        let first = self
            .hole
            .is_none_or(|hole| hole.reason != Incomplete::LostEvents);
        self.hole = Some(Hole {
            in_body,
            single: single && first,
            reason,
        });
        if reason == Incomplete::LostEvents {
            self.clean = 0;
        }
        if self.sure.is_empty() && self.hidden.is_none() {
            self.hidden = Some(Hidden::none(reason));
        }
    }

    /// No response can be told any more: all that are open go without.
    pub(super) fn give_up_all(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        let open = self.sure.len() as u64;
        out.extend(self.sure.drain(..).map(|pending| cut(pending.id, reason)));
        self.hide(open, reason);
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
            !self.sliding && hidden.answered >= hidden.due
        }
    }

    /// The client waits for each answer, as far as was seen.
    pub(super) fn is_serial(&self) -> bool {
        !(self.overlapping || self.sliding) || self.run >= SERIAL_RUN
    }
}

fn cut(id: ExchangeId, reason: Incomplete) -> Event {
    Event::Incomplete {
        exchange: Some(id),
        side: Side::Response,
        reason,
    }
}
