//! Who caused it, in Go programs: a request that a goroutine writes, or has written for it, belongs to
//! the exchange that the goroutine serves.
//!
//! Goroutines move between threads, so threads say nothing. What is known of goroutines:
//!
//! * One that completes the head of a request serves it, until the exchange is over (net/http, Hertz on
//!   the standard transport). One that reads for several connections at once (a poller) serves none.
//! * Where a poller reads, a probe tells when a goroutine begins to handle a request (Hertz and Kitex
//!   on netpoll). Which one, shows when it answers: what it wrote meanwhile waits for that.
//! * Of a multiplexed connection a probe tells which stream a goroutine handles (grpc-go).
//! * A goroutine started by one that serves, since it began to, works for it (go-zero's timeouts). That
//!   it was started since is certain if its number was not given out before, see
//!   `abi::Fresh`.
//! * Where a client's requests are written by a goroutine of its own, two probes tell for whom (net/http,
//!   grpc-go, Kitex over gRPC; the workers of Kitex' timeouts).
//!
//! Leaves out grandchildren, and work handed over otherwise (a channel, a pool). Bias: no parent rather
//! than a wrong one; what a bound puts out has none.

use hashbrown::HashMap;
use tracer_ebpf::abi::Fresh;

use super::parent::On;
use super::trace::{NodeKey, Traces};
use crate::context::SpanId;
use crate::event::{ConnectionId, Task};

/// Goroutines remembered, requests handed over, readers of multiplexed connections; of each so many.
/// As many exchanges as may be open; more only if their ends are not seen, and then all are forgotten.
const MAX_KNOWN: usize = 65_536;

/// Calls of one handler that wait: some make hundreds, one that streams makes no end of them.
const MOST_WAITING: usize = 1024;

/// A goroutine of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    pid: u32,
    goid: u64,
}

impl Id {
    /// None where it is not known.
    fn new(pid: u32, goid: u64) -> Option<Id> {
        (goid != 0).then_some(Id { pid, goid })
    }
}

/// A goroutine that has a request written: the one that started it, and what it worked on then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caller {
    goid: u64,
    parent: u64,
    turn: Turn,
}

/// Tells what a goroutine works on from what it worked on before and after; 0 = nothing.
type Turn = u64;

/// What a goroutine works on.
#[derive(Debug)]
enum Work {
    /// An exchange, or several of one connection.
    Serves {
        turn: Turn,
        on: ConnectionId,
        span: SpanId,
        node: NodeKey,
        /// How many.
        count: u32,
        /// There was one only since it began.
        alone: bool,
        /// Goroutines started since.
        fresh: Fresh,
    },
    /// A request of which it is not known yet which one it is.
    Begun {
        turn: Turn,
        fresh: Fresh,
        /// What waits to know.
        waiting: Vec<NodeKey>,
    },
    /// It reads for several at once, or others answer what it read.
    Reads,
}

impl Work {
    fn turn(&self) -> Turn {
        match self {
            Work::Serves { turn, .. } | Work::Begun { turn, .. } => *turn,
            Work::Reads => 0,
        }
    }
}

/// For which exchange a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// For this one.
    Exchange(SpanId, NodeKey),
    /// For the one that this goroutine will answer: see [`Goroutines::wait`].
    Later(Id),
    /// That is not known.
    Unknown,
}

/// For whom those write who write requests on a connection, unless a probe tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Each for itself.
    Alone,
    /// A handler for itself. Others perhaps for all (Kitex' mux).
    ForCaller,
    /// One for all.
    ForOthers,
}

/// What all goroutines work on.
#[derive(Debug, Default)]
pub struct Goroutines {
    work: HashMap<Id, Work, foldhash::fast::RandomState>,
    /// The last one.
    turn: Turn,
    /// Given and not taken yet: by process and address.
    given: HashMap<(u32, u64), Caller, foldhash::fast::RandomState>,
    /// For whom a goroutine goes on, by HTTP/2 stream (0: none).
    goes_on: HashMap<(Id, u32), Caller, foldhash::fast::RandomState>,
    /// Goroutines that were seen to start, and for which exchange: that of the one that started them.
    started: HashMap<Id, (Id, SpanId), foldhash::fast::RandomState>,
    /// Which multiplexed connection a goroutine reads.
    readers: HashMap<Id, ConnectionId, foldhash::fast::RandomState>,
    /// What bounds turned away.
    pub forgotten: u64,
}

impl Goroutines {
    /// `task` completed the head of a request. The goroutine to name to [`Goroutines::answered`] and
    /// [`Goroutines::ended`].
    pub fn read(
        &mut self,
        task: Task,
        on: On,
        (span, node): (SpanId, NodeKey),
        traces: &mut Traces,
    ) -> Option<Id> {
        let id = Id::new(task.pid, task.goid)?;
        if on.multiplexed {
            return None;
        }
        self.make_room();
        match self.work.get_mut(&id) {
            // A probe has told that it handles a request: this one, as it reads itself.
            Some(Work::Begun { waiting, .. }) => {
                waiting.drain(..).for_each(|node| traces.orphan(node));
            }
            None => {}
            Some(Work::Reads) => return None,
            Some(Work::Serves {
                on: other,
                count,
                alone,
                ..
            }) if *other == on.connection => {
                *count += 1;
                *alone = false;
                return Some(id);
            }
            Some(reads @ Work::Serves { .. }) => {
                *reads = Work::Reads;
                return None;
            }
        }
        let turn = self.next_turn();
        self.serves(id, on.connection, (span, node), Fresh(task.lineage), turn)
    }

    fn next_turn(&mut self) -> Turn {
        self.turn += 1;
        self.turn
    }

    fn serves(
        &mut self,
        id: Id,
        on: ConnectionId,
        (span, node): (SpanId, NodeKey),
        fresh: Fresh,
        turn: Turn,
    ) -> Option<Id> {
        self.make_room();
        self.work.insert(
            id,
            Work::Serves {
                turn,
                on,
                span,
                node,
                count: 1,
                alone: true,
                fresh,
            },
        );
        Some(id)
    }

    /// A goroutine handles that exchange, of a multiplexed connection.
    pub fn serves_stream(
        &mut self,
        (pid, goid): (u32, u64),
        on: ConnectionId,
        own: (SpanId, NodeKey),
        fresh: Fresh,
    ) -> Option<Id> {
        let turn = self.next_turn();
        self.serves(Id::new(pid, goid)?, on, own, fresh, turn)
    }

    /// `task` read the begin of a request from a multiplexed connection.
    pub fn reads(&mut self, task: Task, connection: ConnectionId) {
        if let Some(id) = Id::new(task.pid, task.goid) {
            bound(&mut self.readers, &mut self.forgotten);
            self.readers.insert(id, connection);
        }
    }

    /// The multiplexed connection that this goroutine reads.
    pub fn reader_of(&self, pid: u32, goid: u64) -> Option<ConnectionId> {
        self.readers.get(&Id::new(pid, goid)?).copied()
    }

    /// A goroutine handed over what lies at an address: for itself, or for whom it goes on.
    pub fn gives(&mut self, pid: u32, token: u64, goid: u64, parent: u64) {
        let Some(id) = Id::new(pid, goid) else { return };
        let giver = self.goes_on.remove(&(id, 0));
        let giver = giver.unwrap_or_else(|| self.caller(id, parent));
        bound(&mut self.given, &mut self.forgotten);
        self.given.insert((pid, token), giver);
    }

    fn caller(&self, id: Id, parent: u64) -> Caller {
        Caller {
            goid: id.goid,
            parent,
            turn: self.work.get(&id).map_or(0, Work::turn),
        }
    }

    /// A goroutine goes on with it.
    pub fn takes(&mut self, pid: u32, token: u64, goid: u64, stream: u32) {
        let Some(id) = Id::new(pid, goid) else { return };
        bound(&mut self.goes_on, &mut self.forgotten);
        match self.given.remove(&(pid, token)) {
            Some(caller) => _ = self.goes_on.insert((id, stream), caller),
            // Given before we looked.
            None => _ = self.goes_on.remove(&(id, stream)),
        }
    }

    /// A goroutine begins to handle a request.
    pub fn begins(&mut self, pid: u32, goid: u64, fresh: Fresh, traces: &mut Traces) {
        let Some(id) = Id::new(pid, goid) else { return };
        // It may have read the request itself, then that is known already.
        if matches!(self.work.get(&id), Some(Work::Serves { .. })) {
            return;
        }
        self.make_room();
        let begun = Work::Begun {
            turn: self.next_turn(),
            fresh,
            waiting: Vec::new(),
        };
        if let Some(Work::Begun { waiting, .. }) = self.work.insert(id, begun) {
            // What it began before was never answered.
            waiting.into_iter().for_each(|node| traces.orphan(node));
        }
    }

    /// A goroutine was just started by `parent`.
    pub fn starts(&mut self, pid: u32, goid: u64, parent: u64) {
        let (Some(id), Some(parent)) = (Id::new(pid, goid), Id::new(pid, parent)) else {
            return;
        };
        if let Some(Work::Serves {
            span, alone: true, ..
        }) = self.work.get(&parent)
        {
            let span = *span;
            bound(&mut self.started, &mut self.forgotten);
            self.started.insert(id, (parent, span));
        }
    }

    /// The span of what it serves got another id.
    pub fn renamed(&mut self, id: Id, from: SpanId, to: SpanId) {
        if let Some(Work::Serves { span, .. }) = self.work.get_mut(&id)
            && *span == from
        {
            *span = to;
        }
    }

    /// `task` wrote the first byte of an exchange's answer; `reader` is what [`Goroutines::read`]
    /// returned of it. Returns who serves it from now on.
    pub fn answered(
        &mut self,
        task: Task,
        reader: Option<Id>,
        on: On,
        (span, node): (SpanId, NodeKey),
        traces: &mut Traces,
    ) -> Option<Id> {
        let Some(writer) = Id::new(task.pid, task.goid).filter(|_| !on.multiplexed) else {
            return reader;
        };
        if reader == Some(writer) {
            return reader;
        }
        let Some(Work::Begun {
            turn,
            fresh,
            waiting,
        }) = self.work.get_mut(&writer)
        else {
            // Handed over in a way that is not known.
            self.only_reads(reader);
            return None;
        };
        let (turn, fresh, waiting) = (*turn, *fresh, std::mem::take(waiting));
        for call in waiting {
            traces.settle(call, node, span);
        }
        self.only_reads(reader);
        self.serves(writer, on.connection, (span, node), fresh, turn)
    }

    fn only_reads(&mut self, reader: Option<Id>) {
        if let Some(work) = reader.and_then(|reader| self.work.get_mut(&reader)) {
            *work = Work::Reads;
        }
    }

    /// The exchange is over.
    pub fn ended(&mut self, id: Id) {
        if let Some(Work::Serves { count, .. }) = self.work.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.work.remove(&id);
            }
        }
    }

    /// For which exchange `task` writes a request, on `stream` of a multiplexed connection (0: it is
    /// none).
    pub fn cause(&mut self, task: Task, stream: u32, writes: Writes) -> Cause {
        let Some(writer) = Id::new(task.pid, task.goid) else {
            return Cause::Unknown;
        };
        let giver = self.goes_on.remove(&(writer, stream));
        let handed = giver.is_some();
        if !handed && writes == Writes::ForOthers {
            return Cause::Unknown;
        }
        let caller = giver.unwrap_or_else(|| self.caller(writer, task.lineage));
        // It went on to something else before this was written.
        let gone_on = |work: &Work| work.turn() != caller.turn;
        let of = |goid| Id { goid, ..writer };
        match self.work.get(&of(caller.goid)) {
            Some(work) if gone_on(work) => return Cause::Unknown,
            Some(Work::Begun { .. }) => return Cause::Later(of(caller.goid)),
            Some(Work::Serves {
                span, node, alone, ..
            }) => {
                return match alone {
                    true => Cause::Exchange(*span, *node),
                    false => Cause::Unknown,
                };
            }
            Some(Work::Reads) | None if caller.turn != 0 => return Cause::Unknown,
            Some(Work::Reads) | None => {}
        }
        if !handed && writes == Writes::ForCaller {
            return Cause::Unknown;
        }
        if let Some((parent, of)) = self.started.get(&of(caller.goid))
            && let Some(Work::Serves {
                span,
                node,
                alone: true,
                ..
            }) = self.work.get(parent)
            && span == of
        {
            return Cause::Exchange(*span, *node);
        }
        match self.work.get(&of(caller.parent)) {
            Some(Work::Begun { fresh, .. }) if fresh.has(caller.goid) => {
                Cause::Later(of(caller.parent))
            }
            Some(Work::Serves {
                span,
                node,
                alone: true,
                fresh,
                ..
            }) if fresh.has(caller.goid) => Cause::Exchange(*span, *node),
            _ => Cause::Unknown,
        }
    }

    /// The call of that node waits to know for which exchange goroutine `id` works.
    pub fn wait(&mut self, id: Id, node: NodeKey, until: u64, traces: &mut Traces) {
        if let Some(Work::Begun { waiting, .. }) = self.work.get_mut(&id)
            && waiting.len() < MOST_WAITING
        {
            traces.keep(node);
            traces.await_parent(node, until);
            waiting.push(node);
        }
    }

    /// Records were lost: what else is seen may be of what is not known.
    pub fn forget(&mut self, traces: &mut Traces) {
        self.stop(traces);
        self.given.clear();
        self.goes_on.clear();
        self.started.clear();
        self.readers.clear();
    }

    /// Process `pid` is gone, or runs another program.
    pub fn gone(&mut self, pid: u32, traces: &mut Traces) {
        self.work.retain(|id, work| {
            if id.pid == pid
                && let Work::Begun { waiting, .. } = work
            {
                waiting.drain(..).for_each(|node| traces.orphan(node));
            }
            id.pid != pid
        });
        self.given.retain(|(of, _), _| *of != pid);
        self.goes_on.retain(|(id, _), _| id.pid != pid);
        self.started.retain(|id, _| id.pid != pid);
        self.readers.retain(|id, _| id.pid != pid);
    }

    /// The agent stops: nothing is waited for.
    pub fn stop(&mut self, traces: &mut Traces) {
        for (_, work) in self.work.drain() {
            if let Work::Begun { waiting, .. } = work {
                waiting.into_iter().for_each(|node| traces.orphan(node));
            }
        }
    }

    /// Nothing waits, and nobody serves.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.work.values().all(|work| match work {
            Work::Begun { waiting, .. } => waiting.is_empty(),
            Work::Serves { .. } => false,
            Work::Reads => true,
        })
    }

    /// Those that wait stay: forgetting them would leave their nodes behind.
    fn make_room(&mut self) {
        if self.work.len() >= MAX_KNOWN {
            self.forgotten += self.work.len() as u64;
            self.work.retain(
                |_, work| matches!(work, Work::Begun { waiting, .. } if !waiting.is_empty()),
            );
        }
    }
}

fn bound<K, V, S>(map: &mut HashMap<K, V, S>, forgotten: &mut u64) {
    if map.len() >= MAX_KNOWN {
        *forgotten += map.len() as u64;
        map.clear();
    }
}

#[cfg(test)]
mod tests;
