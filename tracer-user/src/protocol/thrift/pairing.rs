//! Which reply answers which call.
//!
//! A reply repeats its call's sequence id. Most clients number their calls (*distinct*): then the id
//! alone names the call, in any order and whatever was lost around it. Some give every call the same
//! id, mostly 0 (*repeating*): their replies come in the order of the calls, so counting pairs them, which
//! is exact only as long as every message was seen. After a hole it is not: what is open then goes
//! without its reply, and so does what follows until the line falls quiet, which is when a call
//! begins after all replies due were seen. Only of a client that waits for each reply can that be told.
//!
//! Bias: no pair rather than a wrong one. A client is taken for repeating until two calls have shown
//! that it numbers them.

use std::collections::VecDeque;

use crate::protocol::{Event, ExchangeId, Incomplete, Side};

/// Calls of one connection that may await their replies at once: a multiplexed Kitex connection has
/// its client's every goroutine on it. Each costs some 24 bytes here, and its span.
pub(super) const PENDING_LIMIT: usize = 1024;

/// Sequence ids that a call's is compared with: no client uses one again so soon, unless all are
/// the same.
const RECENT: usize = 16;

/// Calls after which one whose reply may have been in a hole is given up, where replies come in any
/// order: a reply that is that late is no longer awaited by anyone.
const DOUBT_LIMIT: u64 = 256;

/// Replies in a row that left no call open, after which a client that once did otherwise is taken to
/// wait for each: records of two tasks may change places in the ring now and then.
const SERIAL_RUN: u32 = 16;

/// A call that awaits its reply.
#[derive(Clone, Copy, Debug)]
struct Call {
    id: ExchangeId,
    seq_id: i32,
    /// Why its reply may have gone by.
    doubt: Option<Incomplete>,
}

/// How a client gives its calls their sequence ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbering {
    /// Not known: one call at most was seen.
    Unknown,
    Distinct,
    Repeating,
}

/// Replies can't be told by counting: some calls, or some replies, were not seen.
#[derive(Clone, Copy, Debug)]
struct Unsure {
    reason: Incomplete,
    /// Replies are due to calls that are not open.
    due: bool,
}

/// To what a reply belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Exchange(ExchangeId),
    /// To a call that is about to come: all before it were seen.
    Early,
    /// To a call that was not seen, or can't be told; why.
    Unknown(Incomplete),
    /// To a call that was given up: it is accounted for.
    GivenUp,
}

/// The open calls of one connection.
#[derive(Debug)]
pub(super) struct Pairing {
    open: VecDeque<Call>,
    next: ExchangeId,
    numbering: Numbering,
    recent: [i32; RECENT],
    /// Calls that had a sequence id.
    numbered: usize,
    unsure: Option<Unsure>,
    /// Why a reply's call may not have been seen, however it is numbered.
    missed: Option<Incomplete>,
    /// Calls given up by counting, whose replies may still come.
    given_up: u64,
    /// A reply came before that of an earlier call, though none was lost.
    reordered: bool,
    /// A reply came while another call was open; replies since that did not.
    overlapping: bool,
    run: u32,
}

impl Pairing {
    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Call>()
    }

    /// Nothing was seen yet. `midway`: calls may have been, before.
    pub(super) fn new(midway: bool) -> Pairing {
        let reason = Incomplete::AttachedMidway;
        Pairing {
            open: VecDeque::new(),
            next: 0,
            numbering: Numbering::Unknown,
            recent: [0; RECENT],
            numbered: 0,
            unsure: midway.then_some(Unsure { reason, due: false }),
            missed: midway.then_some(reason),
            given_up: 0,
            reordered: false,
            overlapping: false,
            run: 0,
        }
    }

    /// A request begins: its exchange.
    pub(super) fn begin(&mut self) -> ExchangeId {
        let id = self.next;
        self.next += 1;
        id
    }

    /// It is a call of that sequence id, and wants a reply. With a reason: that can't be told from
    /// others, or is not awaited for want of room.
    pub(super) fn call(
        &mut self,
        id: ExchangeId,
        seq_id: i32,
        out: &mut Vec<Event>,
    ) -> Result<(), Incomplete> {
        self.learn(seq_id, out);
        if self.numbering == Numbering::Distinct {
            let overdue = |call: &mut Call| call.doubt.is_some() && id - call.id > DOUBT_LIMIT;
            while let Some(call) = self.open.pop_front_if(overdue) {
                out.extend(call.doubt.map(|reason| unanswered(call.id, reason)));
            }
            if self.open.len() >= PENDING_LIMIT
                && let Some(call) = self.open.pop_front()
            {
                let reason = call.doubt.unwrap_or(Incomplete::Evicted);
                out.push(unanswered(call.id, reason));
            }
        } else {
            if let Some(unsure) = self.unsure
                && self.open.is_empty()
                && self.is_serial()
                && !unsure.due
            {
                self.unsure = None;
                self.given_up = 0;
            }
            if self.unsure.is_none() && self.open.len() >= PENDING_LIMIT {
                self.unsure = Some(Unsure {
                    reason: Incomplete::Evicted,
                    due: true,
                });
            }
            if let Some(unsure) = &mut self.unsure {
                unsure.due = true;
                self.given_up += 1;
                return Err(unsure.reason);
            }
        }
        self.open.push_back(Call {
            id,
            seq_id,
            doubt: None,
        });
        Ok(())
    }

    /// Whose the reply is that begins, as far as that can be told before its head is read: the only
    /// one that is open.
    pub(super) fn likely(&self) -> Option<ExchangeId> {
        match self.open.front() {
            Some(call) if self.open.len() == 1 && self.is_sure() && call.doubt.is_none() => {
                Some(call.id)
            }
            _ => None,
        }
    }

    /// A reply has this sequence id. Its call awaits nothing more.
    pub(super) fn reply(&mut self, seq_id: i32, out: &mut Vec<Event>) -> Owner {
        let Some(at) = self.open.iter().position(|call| call.seq_id == seq_id) else {
            return self.unmatched();
        };
        if at > 0 && !self.reordered {
            if self.open.iter().take(at).any(|call| call.doubt.is_none()) {
                self.reordered = true;
            } else {
                // Replies come in order: those before it are gone.
                for call in self.open.drain(..at) {
                    out.extend(call.doubt.map(|reason| unanswered(call.id, reason)));
                }
                return self.take(0);
            }
        }
        self.take(at)
    }

    fn take(&mut self, at: usize) -> Owner {
        let Some(call) = self.open.remove(at) else {
            return self.unmatched();
        };
        // Calls that began before this reply.
        if self.open.is_empty() {
            self.run = self.run.saturating_add(1);
        } else {
            self.see_overlap();
        }
        Owner::Exchange(call.id)
    }

    /// A call did not wait for the reply to the one before it.
    pub(super) fn see_overlap(&mut self) {
        self.overlapping = true;
        self.run = 0;
    }

    /// A reply to no call that is open.
    fn unmatched(&mut self) -> Owner {
        let distinct = self.numbering == Numbering::Distinct;
        match &mut self.unsure {
            Some(unsure) if !distinct => {
                // Of a client that waits, the last that was due.
                unsure.due = false;
                if self.given_up > 0 {
                    self.given_up -= 1;
                    return Owner::GivenUp;
                }
                Owner::Unknown(unsure.reason)
            }
            _ => Owner::Early,
        }
    }

    /// A reply taken for early was not: its call passed unseen. Why.
    pub(super) fn not_early(&mut self) -> Incomplete {
        if let Some(unsure) = &mut self.unsure {
            unsure.due = false;
        }
        self.missed()
    }

    /// Why a reply is of no call that was seen.
    pub(super) fn missed(&self) -> Incomplete {
        // A server that speaks unasked.
        self.missed.unwrap_or(Incomplete::Malformed)
    }

    /// That exchange's reply began, but can't be followed: it awaits no other.
    pub(super) fn withdraw(&mut self, id: ExchangeId) {
        if let Some(at) = self.open.iter().position(|call| call.id == id) {
            self.open.remove(at);
        }
    }

    /// Requests of unknown content passed.
    pub(super) fn request_hole(&mut self, reason: Incomplete) {
        self.missed = Some(reason);
        if self.numbering != Numbering::Distinct {
            // Those open are answered before what passed.
            self.unsure = Some(Unsure { reason, due: true });
        }
    }

    /// Replies of unknown content passed.
    pub(super) fn response_hole(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        if self.numbering == Numbering::Distinct {
            for call in &mut self.open {
                call.doubt = call.doubt.or(Some(reason));
            }
            return;
        }
        self.give_up_open(reason, out);
    }

    /// No reply to what is open can be told.
    fn give_up_open(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        self.missed = Some(reason);
        let due = !self.open.is_empty() || self.unsure.is_some_and(|unsure| unsure.due);
        self.given_up += self.open.len() as u64;
        self.unsure = Some(Unsure { reason, due });
        self.end(reason, out);
    }

    /// Nothing is awaited any more.
    pub(super) fn end(&mut self, reason: Incomplete, out: &mut Vec<Event>) {
        let calls = self.open.drain(..);
        out.extend(calls.map(|call| unanswered(call.id, call.doubt.unwrap_or(reason))));
    }

    /// That call awaits its reply.
    pub(super) fn is_open(&self, id: ExchangeId) -> bool {
        self.open.back().is_some_and(|call| call.id == id)
    }

    /// Any call awaits its reply.
    pub(super) fn awaits(&self) -> bool {
        !self.open.is_empty()
    }

    /// Its client numbers its calls: their ids name them whatever is lost.
    pub(super) fn is_distinct(&self) -> bool {
        self.numbering == Numbering::Distinct
    }

    /// Replies pair with what is open beyond doubt.
    fn is_sure(&self) -> bool {
        self.numbering == Numbering::Distinct || self.unsure.is_none()
    }

    /// The client waits for each reply, as far as was seen.
    fn is_serial(&self) -> bool {
        !self.overlapping || self.run >= SERIAL_RUN
    }

    /// What a call's sequence id tells of its client.
    fn learn(&mut self, seq_id: i32, out: &mut Vec<Event>) {
        let seen = self.numbered.min(RECENT);
        let repeats = self.recent[..seen].contains(&seq_id);
        self.recent[self.numbered % RECENT] = seq_id;
        self.numbered += 1;
        match self.numbering {
            Numbering::Repeating => {}
            _ if repeats => {
                self.numbering = Numbering::Repeating;
                if let Some(doubt) = self.open.iter().find_map(|call| call.doubt) {
                    self.give_up_open(doubt, out);
                }
            }
            Numbering::Unknown if seen > 0 => self.numbering = Numbering::Distinct,
            _ => {}
        }
    }
}

fn unanswered(id: ExchangeId, reason: Incomplete) -> Event {
    Event::Incomplete {
        exchange: Some(id),
        side: Side::Response,
        reason,
    }
}
