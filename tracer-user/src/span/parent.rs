//! Who caused it, from who did it: a request written by a thread that is serving exactly one exchange
//! belongs to that exchange. (Of Go programs it is the goroutine: [`super::goroutine`].)
//!
//! That holds where a thread serves one exchange from its read to its answer before it turns to the
//! next: Apache, Python's and Java's threaded servers, PHP, Ruby. It does not hold for event loops and
//! for runtimes that move tasks between threads. A socket that an event loop waits for is known by how
//! it was opened; of the others the process itself is watched, and the first sign ends this evidence
//! for it, for good:
//!
//! * a thread that reads a request while it serves one of another connection (an event loop);
//! * an exchange answered by another thread than the one that read it (handed over, migrated);
//! * a request written by a thread that serves at other times, and does not now (it also does work of
//!   its own: a timer, a queue); unless what it read last got no answer, and so shows no end.
//!
//! While other threads serve at the same time, a process must first have shown [`PROOF`] exchanges
//! that went well.
//!
//! A multiplexed connection (HTTP/2) has a reader and a writer of its own, or whichever thread comes
//! along reads and writes for all: what one of them does proves nothing. There only the plainest rule
//! holds, that no other exchange is in flight in the process.
//!
//! An event loop (nginx, Node, asyncio, tokio) shows nothing but that rule, and it is said so: the
//! parent is the *sole candidate*. It is none
//!
//! * for a loop that was ever seen to make a request while it served none: it has work of its own, which
//!   may fall into an exchange as well;
//! * as long as something may be under way in the process that was not seen, or goes on although its
//!   exchange is over: a handler whose client went away;
//! * for a request over a connection that was being opened before the exchange began.
//!
//! Bias: no parent rather than a wrong one. What remains is a loop's own work, or what a handler does
//! after its answer, that falls into a lone exchange when it happens for the first time.

use hashbrown::HashMap;

use super::ParentSource;
use super::trace::NodeKey;
use crate::context::SpanId;
use crate::event::{ConnectionId, Task};

/// Exchanges that ran beside others and were each read and answered by one thread, before threads are
/// believed beside others. A runtime that moves tasks does so within a handful under any load.
const PROOF: u32 = 32;

/// Executors remembered that have served: those of some large servers. Beyond, the idle are forgotten.
const MAX_EXECUTORS: usize = 16_384;

/// After a process may have been asked things that were not seen, so long, boot-time ns, they may be
/// under way: a connection was met midway, records were lost, a client went away. Proxies give up a
/// request after a minute (nginx, HAProxy, Envoy: 15 to 60 s).
const UNSEEN: u64 = 60_000_000_000;

/// A thread that runs handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Executor {
    pid: u32,
    tid: u32,
}

/// What is known of a process' way to run its handlers.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Written in Go: a thread says nothing.
    go: bool,
    /// It never showed one of the signs.
    told_by_executor: bool,
    /// Exchanges in flight that were read by a known executor.
    in_flight: u32,
    /// See [`PROOF`].
    proven: u32,
    /// All exchanges in flight.
    open: u32,
    /// The only one in flight since it began, on a connection that an event loop waits for.
    sole: Option<Sole>,
    /// It makes requests of its own accord, or was not followed.
    unasked: bool,
    /// There may be exchanges that were not seen, boot-time ns.
    unseen_until: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sole {
    span: SpanId,
    node: NodeKey,
    /// When it began, boot-time ns.
    since: u64,
}

impl Habits {
    /// Of a process that just began its program.
    pub fn new(go: bool) -> Habits {
        Habits {
            go,
            told_by_executor: true,
            in_flight: 0,
            proven: 0,
            open: 0,
            sole: None,
            unasked: false,
            unseen_until: 0,
        }
    }

    /// Written in Go.
    pub fn is_go(&self) -> bool {
        self.go
    }

    /// An exchange was not followed: who served it is not known, so nothing that the process' threads
    /// do is evidence any more.
    pub fn lost_sight(&mut self) {
        self.told_by_executor = false;
        self.unasked = true;
    }

    /// An exchange begins, at `now` (boot-time ns).
    pub fn entered(&mut self, on: On, span: SpanId, node: NodeKey, now: u64) {
        if on.midway {
            self.unseen_until = now + UNSEEN;
        }
        let alone = self.open == 0 && on.event_driven && now >= self.unseen_until;
        self.sole = alone.then_some(Sole {
            span,
            node,
            since: now,
        });
        self.open += 1;
    }

    /// It makes a request.
    pub fn calls(&mut self) {
        self.unasked |= self.open == 0;
    }

    /// At `now` (boot-time ns) it may do something for an exchange that is not known, or not any more.
    pub fn unseen(&mut self, now: u64) {
        self.sole = None;
        self.unseen_until = now + UNSEEN;
    }

    /// None of its threads is known to serve anything.
    pub fn forget_executors(&mut self) {
        self.in_flight = 0;
    }

    /// An exchange is over.
    pub fn left(&mut self) {
        self.open = self.open.saturating_sub(1);
        self.sole = None;
    }

    /// A span got another id.
    pub fn renamed(&mut self, from: SpanId, to: SpanId) {
        if let Some(sole) = &mut self.sole
            && sole.span == from
        {
            sole.span = to;
        }
    }

    /// The process makes a request of which nothing else tells the cause, over a connection that it
    /// began to open at that time (boot-time ns), if it did for this request.
    fn sole_candidate(&self, opened: Option<u64>) -> Option<(SpanId, NodeKey)> {
        let sole = self.sole.filter(|_| !self.go && !self.unasked)?;
        opened
            .is_none_or(|opened| opened >= sole.since)
            .then_some((sole.span, sole.node))
    }

    fn executor(&self, task: Task) -> Option<Executor> {
        (self.told_by_executor && !self.go).then_some(Executor {
            pid: task.pid,
            tid: task.tid,
        })
    }
}

/// The connection that an exchange is on.
#[derive(Clone, Copy, Debug)]
pub struct On {
    /// Its name.
    pub connection: ConnectionId,
    /// It carries many exchanges at once.
    pub multiplexed: bool,
    /// An event loop waits for it.
    pub event_driven: bool,
    /// Bytes had gone through it before it was met.
    pub midway: bool,
}

/// What an executor is serving.
#[derive(Debug)]
struct Serving {
    connection: ConnectionId,
    /// The connection carries many exchanges at once.
    multiplexed: bool,
    span: SpanId,
    node: NodeKey,
    /// Exchanges of that connection in its hands; 0 = it serves at other times.
    count: u32,
    /// No other was in its hands since this one was read.
    alone: bool,
    /// The last one was not answered: whether it still serves it does not show.
    unanswered: bool,
}

/// What every executor is serving now.
#[derive(Debug, Default)]
pub struct Executors {
    serving: HashMap<Executor, Serving, foldhash::fast::RandomState>,
}

impl Executors {
    /// A server's exchange: `task` read the request's first byte. Keep what is returned, and give it
    /// to [`Executors::answered`] and [`Executors::ended`].
    pub fn began(
        &mut self,
        habits: &mut Habits,
        task: Task,
        on: On,
        span: SpanId,
        node: NodeKey,
    ) -> Option<Executor> {
        let executor = habits.executor(task).filter(|_| !on.event_driven)?;
        if self.serving.len() >= MAX_EXECUTORS {
            self.serving.retain(|_, serving| serving.count > 0);
        }
        let first = Serving {
            connection: on.connection,
            multiplexed: on.multiplexed,
            span,
            node,
            count: 1,
            alone: true,
            unanswered: false,
        };
        match self.serving.get_mut(&executor) {
            None => _ = self.serving.insert(executor, first),
            Some(idle) if idle.count == 0 => *idle = first,
            // Pipelined: it will serve them one after the other, but which one it serves is unknown.
            Some(busy) if busy.connection == on.connection => {
                busy.alone = false;
                busy.count += 1;
            }
            Some(_) => {
                habits.told_by_executor = false;
                return None;
            }
        }
        habits.in_flight += 1;
        Some(executor)
    }

    /// The exchange that it serves has another id.
    pub fn renamed(&mut self, executor: Executor, from: SpanId, to: SpanId) {
        if let Some(serving) = self.serving.get_mut(&executor)
            && serving.span == from
        {
            serving.span = to;
        }
    }

    /// `task` wrote the first byte of the answer.
    pub fn answered(&self, habits: &mut Habits, reader: Executor, on: On, task: Task) {
        match habits.executor(task) {
            Some(writer) if writer == reader => {
                if habits.in_flight > 1 && !on.multiplexed {
                    habits.proven = habits.proven.saturating_add(1);
                }
            }
            _ => habits.told_by_executor = false,
        }
    }

    /// The exchange is over, answered or not.
    pub fn ended(&mut self, habits: Option<&mut Habits>, reader: Executor, answered: bool) {
        if let Some(habits) = habits {
            habits.in_flight = habits.in_flight.saturating_sub(1);
        }
        if let Some(serving) = self.serving.get_mut(&reader) {
            serving.count = serving.count.saturating_sub(1);
            serving.unanswered = !answered;
        }
    }

    /// Nobody serves anything.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.serving.values().all(|serving| serving.count == 0)
    }

    /// A client's exchange: `task` wrote the request's first byte. The exchange for which it did, as
    /// far as that is known, and how. `opened`: when it began to open the connection, if it was for this.
    pub fn cause(
        &self,
        habits: &mut Habits,
        task: Task,
        on: On,
        opened: Option<u64>,
    ) -> Option<(SpanId, NodeKey, ParentSource)> {
        let by_thread = self.by_thread(habits, task, on);
        let sole = habits.sole_candidate(opened);
        let known = |source| move |(span, node)| (span, node, source);
        by_thread
            .map(known(ParentSource::Execution))
            .or(sole.map(known(ParentSource::SoleCandidate)))
    }

    fn by_thread(&self, habits: &mut Habits, task: Task, on: On) -> Option<(SpanId, NodeKey)> {
        let executor = habits.executor(task)?;
        let serving = self.serving.get(&executor)?;
        if serving.count == 0 {
            habits.told_by_executor &= serving.unanswered;
            return None;
        }
        let multiplexed = serving.multiplexed || on.multiplexed;
        let believed = habits.in_flight <= 1 || (habits.proven >= PROOF && !multiplexed);
        (serving.alone && believed).then_some((serving.span, serving.node))
    }
}

#[cfg(test)]
mod tests;
