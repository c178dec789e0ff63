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

/// From hand to hand at most: a worker that has its request written by another one.
const MOST_HANDS: usize = 3;

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

/// A goroutine and the one that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caller {
    goid: u64,
    parent: u64,
}

/// What a goroutine works on.
#[derive(Debug)]
enum Work {
    /// An exchange, or several of one connection.
    Serves {
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
        fresh: Fresh,
        /// What waits to know.
        waiting: Vec<NodeKey>,
    },
    /// It reads for several at once, or others answer what it read.
    Reads,
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
        self.serves(id, on.connection, span, node, Fresh(task.lineage))
    }

    fn serves(
        &mut self,
        id: Id,
        on: ConnectionId,
        span: SpanId,
        node: NodeKey,
        fresh: Fresh,
    ) -> Option<Id> {
        self.make_room();
        self.work.insert(
            id,
            Work::Serves {
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
        (span, node): (SpanId, NodeKey),
        fresh: Fresh,
    ) -> Option<Id> {
        self.serves(Id::new(pid, goid)?, on, span, node, fresh)
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

    /// A goroutine handed over what lies at an address.
    pub fn gives(&mut self, pid: u32, token: u64, goid: u64, parent: u64) {
        bound(&mut self.given, &mut self.forgotten);
        self.given.insert((pid, token), Caller { goid, parent });
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
        let Some(Work::Begun { fresh, waiting }) = self.work.get_mut(&writer) else {
            // Handed over in a way that is not known.
            self.only_reads(reader);
            return None;
        };
        let (fresh, waiting) = (*fresh, std::mem::take(waiting));
        for call in waiting {
            traces.settle(call, node, span);
        }
        self.only_reads(reader);
        self.serves(writer, on.connection, span, node, fresh)
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
        let mut caller = Caller {
            goid: task.goid,
            parent: task.lineage,
        };
        let mut handed = false;
        let mut stream = stream;
        for _ in 0..MOST_HANDS {
            let id = Id {
                goid: caller.goid,
                ..writer
            };
            match self.goes_on.remove(&(id, stream)) {
                Some(giver) => (caller, handed) = (giver, true),
                None => break,
            }
            stream = 0;
        }
        if !handed && writes == Writes::ForOthers {
            return Cause::Unknown;
        }
        let of = |goid| Id { goid, ..writer };
        match self.work.get(&of(caller.goid)) {
            Some(Work::Begun { .. }) => return Cause::Later(of(caller.goid)),
            Some(Work::Serves {
                span, node, alone, ..
            }) => {
                return match alone {
                    true => Cause::Exchange(*span, *node),
                    false => Cause::Unknown,
                };
            }
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
mod tests {
    use super::*;
    use crate::context::TraceId;

    const SPAN: SpanId = SpanId([7; 8]);

    fn task(goid: u64, lineage: u64) -> Task {
        Task {
            pid: 1,
            tid: 1,
            goid,
            lineage,
        }
    }

    fn on(connection: u64) -> On {
        On {
            connection: ConnectionId(connection),
            multiplexed: false,
            event_driven: true,
            midway: false,
        }
    }

    /// Goroutine 20 serves an exchange; the next goroutine gets the number 35.
    fn serving() -> (Goroutines, Traces, NodeKey) {
        let (mut goroutines, mut traces) = (Goroutines::default(), Traces::default());
        let node = traces.begin(TraceId([1; 16]));
        let reader = task(20, Fresh::new(35, 64).0);
        goroutines.read(reader, on(1), (SPAN, node), &mut traces);
        (goroutines, traces, node)
    }

    #[test]
    fn a_goroutine_that_serves_and_its_new_children_work_for_the_exchange() {
        let (mut goroutines, _, node) = serving();
        let known = Cause::Exchange(SPAN, node);
        let mut cause = |goid, parent| goroutines.cause(task(goid, parent), 0, Writes::Alone);
        assert_eq!(cause(20, 1), known);
        assert_eq!(cause(35, 20), known, "the next of its batch");
        assert_eq!(cause(65, 20), known, "of a batch that was not taken");
        assert_eq!(cause(34, 20), Cause::Unknown, "it was there before");
        assert_eq!(cause(49, 20), Cause::Unknown, "it may have been");
        assert_eq!(cause(35, 21), Cause::Unknown, "another's child");
        assert_eq!(cause(0, 0), Cause::Unknown);
    }

    #[test]
    fn a_child_that_was_seen_to_start_works_for_that_exchange_alone() {
        let (mut goroutines, mut traces, node) = serving();
        goroutines.starts(1, 34, 20);
        let child = task(34, 20);
        let cause = goroutines.cause(child, 0, Writes::Alone);
        assert_eq!(cause, Cause::Exchange(SPAN, node));
        goroutines.ended(Id::new(1, 20).unwrap());
        let other = (SpanId([8; 8]), node);
        goroutines.read(task(20, 0), on(1), other, &mut traces);
        let cause = goroutines.cause(child, 0, Writes::Alone);
        assert_eq!(cause, Cause::Unknown, "left over from the one before");
    }

    #[test]
    fn what_is_handed_over_is_written_for_the_giver() {
        let (mut goroutines, _, node) = serving();
        goroutines.gives(1, 0xc000, 20, 1);
        goroutines.takes(1, 0xc000, 50, 3);
        let writer = task(50, 2);
        let mut cause = |stream| goroutines.cause(writer, stream, Writes::ForOthers);
        assert_eq!(cause(1), Cause::Unknown, "another stream");
        assert_eq!(cause(3), Cause::Exchange(SPAN, node));
        assert_eq!(cause(3), Cause::Unknown, "it was told once");
        // Given before we looked: who gave it is not known, whoever gave something there before.
        goroutines.takes(1, 0xc000, 50, 3);
        let cause = goroutines.cause(writer, 3, Writes::ForOthers);
        assert_eq!(cause, Cause::Unknown);
    }

    #[test]
    fn who_reads_for_several_serves_none() {
        let (mut goroutines, mut traces, node) = serving();
        let other = (SpanId([8; 8]), node);
        assert_eq!(
            goroutines.read(task(20, 0), on(2), other, &mut traces),
            None
        );
        let cause = goroutines.cause(task(20, 1), 0, Writes::Alone);
        assert_eq!(cause, Cause::Unknown);
    }

    #[test]
    fn behind_a_poller_the_answer_tells_which_exchange_it_was() {
        let (mut goroutines, mut traces, node) = serving();
        let poller = Id::new(1, 20);
        goroutines.begins(1, 60, Fresh::default(), &mut traces);
        let Cause::Later(id) = goroutines.cause(task(60, 1), 0, Writes::ForCaller) else {
            panic!("it waits");
        };
        let call = traces.begin(TraceId([2; 16]));
        goroutines.wait(id, call, 1_000, &mut traces);
        assert!(traces.resolve(call, 10).is_none());
        let own = (SPAN, node);
        let writer = goroutines.answered(task(60, 1), poller, on(1), own, &mut traces);
        assert_eq!(writer, Id::new(1, 60));
        assert_eq!(traces.settled(call), Some(SPAN));
        assert_eq!(traces.resolve(call, 11).unwrap().id, TraceId([1; 16]));
        goroutines.ended(writer.unwrap());
        // It begins another one, which is never answered.
        goroutines.begins(1, 60, Fresh::default(), &mut traces);
        let lost = traces.begin(TraceId([3; 16]));
        goroutines.wait(id, lost, 1_000, &mut traces);
        goroutines.begins(1, 60, Fresh::default(), &mut traces);
        assert_eq!(traces.settled(lost), None);
        assert_eq!(traces.resolve(lost, 12).unwrap().id, TraceId([3; 16]));
        assert!(goroutines.is_idle());
        for node in [call, lost, node] {
            traces.release(node);
        }
        assert_eq!(traces.len(), 0);
    }
}
