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
//!   its own: a timer, a queue); unless what it read last wants no answer, and so shows no end.
//!
//! While other threads serve at the same time, a process must first have shown [`PROOF`] exchanges
//! that went well.
//!
//! A multiplexed connection (HTTP/2) has a reader and a writer of its own, or whichever thread comes
//! along reads and writes for all: what one of them does proves nothing. There only the plainest rule
//! holds, that no other exchange is in flight in the process.
//!
//! An event loop (nginx, Node, asyncio, tokio) shows nothing but that rule, and it is said so: the
//! parent is the *sole candidate*. A loop that was ever seen to make a request while it served none has
//! work of its own, which may fall into an exchange as well: it gets no parents any more. Bias: no
//! parent rather than a wrong one.

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

/// After a connection was met midway, its process may have been asked things that were not seen; so
/// long, boot-time ns, they may be under way. Proxies give up a request after a minute (nginx, HAProxy,
/// Envoy: 15 to 60 s).
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
    sole: Option<(SpanId, NodeKey)>,
    /// It makes requests of its own accord, or was not followed.
    unasked: bool,
    /// There may be exchanges that were not seen, boot-time ns.
    unseen_until: u64,
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
        self.sole = alone.then_some((span, node));
        self.open += 1;
    }

    /// An exchange is over.
    pub fn left(&mut self) {
        self.open = self.open.saturating_sub(1);
        self.sole = None;
    }

    /// A span got another id.
    pub fn renamed(&mut self, from: SpanId, to: SpanId) {
        if let Some((sole, _)) = &mut self.sole
            && *sole == from
        {
            *sole = to;
        }
    }

    /// The process makes a request of which nothing else tells the cause.
    fn sole_candidate(&mut self) -> Option<(SpanId, NodeKey)> {
        self.unasked |= self.open == 0;
        self.sole.filter(|_| !self.go && !self.unasked)
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
    /// The last one wanted no answer: whether it still serves it does not show.
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

    /// The exchange is over, answered or not. `wanted`: an answer was asked for.
    pub fn ended(&mut self, habits: Option<&mut Habits>, reader: Executor, wanted: bool) {
        if let Some(habits) = habits {
            habits.in_flight = habits.in_flight.saturating_sub(1);
        }
        if let Some(serving) = self.serving.get_mut(&reader) {
            serving.count = serving.count.saturating_sub(1);
            serving.unanswered = !wanted;
        }
    }

    /// Nobody serves anything.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.serving.values().all(|serving| serving.count == 0)
    }

    /// A client's exchange: `task` wrote the request's first byte. The exchange for which it did, as
    /// far as that is known, and how.
    pub fn cause(
        &self,
        habits: &mut Habits,
        task: Task,
        on: On,
    ) -> Option<(SpanId, NodeKey, ParentSource)> {
        let by_thread = self.by_thread(habits, task, on);
        let sole = habits.sole_candidate();
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
mod tests {
    use super::*;
    use crate::context::TraceId;
    use crate::span::trace::Traces;

    struct Bed {
        executors: Executors,
        traces: Traces,
        spans: u8,
    }

    impl Bed {
        fn new() -> Bed {
            Bed {
                executors: Executors::default(),
                traces: Traces::default(),
                spans: 0,
            }
        }

        fn read(
            &mut self,
            habits: &mut Habits,
            tid: u32,
            connection: u64,
        ) -> (Option<Executor>, SpanId) {
            self.spans += 1;
            let span = SpanId([self.spans; 8]);
            let node = self.traces.begin(TraceId([1; 16]));
            let executor = self
                .executors
                .began(habits, task(tid), single(connection), span, node);
            (executor, span)
        }

        fn cause(&self, habits: &mut Habits, tid: u32) -> Option<SpanId> {
            self.executors
                .cause(habits, task(tid), single(20))
                .map(|(span, _, _)| span)
        }
    }

    fn single(connection: u64) -> On {
        On {
            connection: ConnectionId(connection),
            multiplexed: false,
            event_driven: false,
            midway: false,
        }
    }

    fn looped(connection: u64) -> On {
        On {
            event_driven: true,
            ..single(connection)
        }
    }

    fn multiplexed(connection: u64) -> On {
        On {
            multiplexed: true,
            ..single(connection)
        }
    }

    fn task(tid: u32) -> Task {
        Task {
            pid: 100,
            tid,
            goid: 0,
            lineage: 0,
        }
    }

    #[test]
    fn a_thread_that_serves_one_exchange_tells_it() {
        let (mut bed, mut habits) = (Bed::new(), Habits::new(false));
        let (executor, span) = bed.read(&mut habits, 1, 10);
        assert_eq!(bed.cause(&mut habits, 1), Some(span));
        assert_eq!(
            bed.cause(&mut habits, 2),
            None,
            "another thread serves nothing"
        );
        bed.executors
            .answered(&mut habits, executor.unwrap(), single(10), task(1));
        bed.executors
            .ended(Some(&mut habits), executor.unwrap(), true);
        let (_, next) = bed.read(&mut habits, 1, 10);
        assert_eq!(bed.cause(&mut habits, 1), Some(next));
    }

    #[test]
    fn a_thread_that_also_works_unasked_tells_nothing() {
        let (mut bed, mut habits) = (Bed::new(), Habits::new(false));
        let (executor, _) = bed.read(&mut habits, 1, 10);
        bed.executors
            .ended(Some(&mut habits), executor.unwrap(), true);
        assert_eq!(bed.cause(&mut habits, 1), None, "a timer's, say");
        bed.read(&mut habits, 1, 10);
        assert_eq!(bed.cause(&mut habits, 1), None, "this may be one's, too");
    }

    #[test]
    fn an_event_loop_tells_nothing_ever_again() {
        let (mut bed, mut habits) = (Bed::new(), Habits::new(false));
        let (first, _) = bed.read(&mut habits, 1, 10);
        let (second, _) = bed.read(&mut habits, 1, 11);
        assert_eq!((bed.cause(&mut habits, 1), second), (None, None));
        bed.executors.ended(Some(&mut habits), first.unwrap(), true);
        bed.read(&mut habits, 1, 12);
        assert_eq!(bed.cause(&mut habits, 1), None);
    }

    #[test]
    fn an_exchange_handed_over_ends_the_evidence() {
        let (mut bed, mut habits) = (Bed::new(), Habits::new(false));
        let (executor, _) = bed.read(&mut habits, 1, 10);
        bed.executors
            .answered(&mut habits, executor.unwrap(), single(10), task(2));
        bed.executors
            .ended(Some(&mut habits), executor.unwrap(), true);
        bed.read(&mut habits, 1, 10);
        assert_eq!(bed.cause(&mut habits, 1), None);
    }

    #[test]
    fn pipelined_exchanges_are_not_told_apart_but_later_ones_are() {
        let (mut bed, mut habits) = (Bed::new(), Habits::new(false));
        let (first, _) = bed.read(&mut habits, 1, 10);
        let (second, _) = bed.read(&mut habits, 1, 10);
        assert_eq!(bed.cause(&mut habits, 1), None);
        bed.executors.ended(Some(&mut habits), first.unwrap(), true);
        assert_eq!(bed.cause(&mut habits, 1), None, "the other ran beside it");
        bed.executors
            .ended(Some(&mut habits), second.unwrap(), true);
        let (_, span) = bed.read(&mut habits, 1, 10);
        assert_eq!(bed.cause(&mut habits, 1), Some(span));
    }

    #[test]
    fn beside_other_threads_a_process_must_have_proven_itself() {
        let (mut bed, mut habits) = (Bed::new(), Habits::new(false));
        let (beside, _) = bed.read(&mut habits, 1, 10);
        for _ in 0..PROOF {
            let (executor, _) = bed.read(&mut habits, 2, 11);
            assert_eq!(bed.cause(&mut habits, 2), None);
            bed.executors
                .answered(&mut habits, executor.unwrap(), single(11), task(2));
            bed.executors
                .ended(Some(&mut habits), executor.unwrap(), true);
        }
        let (_, span) = bed.read(&mut habits, 2, 11);
        assert_eq!(bed.cause(&mut habits, 2), Some(span));
        bed.executors
            .ended(Some(&mut habits), beside.unwrap(), true);
    }

    #[test]
    fn a_go_programs_thread_tells_nothing() {
        let (mut bed, mut habits) = (Bed::new(), Habits::new(true));
        assert_eq!(bed.read(&mut habits, 1, 10).0, None);
        assert_eq!(bed.cause(&mut habits, 1), None);
    }

    #[test]
    fn an_event_loops_only_exchange_is_the_sole_candidate() {
        let (bed, mut habits) = (Bed::new(), Habits::new(false));
        let mut traces = Traces::default();
        let mut enter = |habits: &mut Habits, n: u8, now: u64| {
            let node = traces.begin(TraceId([n; 16]));
            habits.entered(looped(10), SpanId([n; 8]), node, now);
        };
        let cause = |habits: &mut Habits| {
            let cause = bed.executors.cause(habits, task(1), looped(20));
            cause.map(|(span, _, source)| (span, source))
        };
        let sole = |n: u8| Some((SpanId([n; 8]), ParentSource::SoleCandidate));
        enter(&mut habits, 1, 100);
        assert_eq!(cause(&mut habits), sole(1));
        enter(&mut habits, 2, 100);
        assert_eq!(cause(&mut habits), None, "one of two");
        habits.left();
        assert_eq!(
            cause(&mut habits),
            None,
            "it may be left over from the other"
        );
        habits.left();
        enter(&mut habits, 3, 200);
        assert_eq!(cause(&mut habits), sole(3));
        habits.left();
        let mut timer = habits;
        assert_eq!(cause(&mut timer), None);
        enter(&mut timer, 4, 300);
        assert_eq!(cause(&mut timer), None, "it has work of its own");
        let midway = On {
            midway: true,
            ..looped(11)
        };
        let node = bed_node();
        habits.entered(midway, SpanId([5; 8]), node, 300);
        assert_eq!(cause(&mut habits), None, "others may be under way unseen");
        habits.left();
        enter(&mut habits, 6, 300 + UNSEEN);
        assert_eq!(cause(&mut habits), sole(6));
    }

    fn bed_node() -> NodeKey {
        Traces::default().begin(TraceId([9; 16]))
    }

    /// Of two threads that each serve an exchange, what the second one's call is said to be for.
    fn beside_another(served: On, called: On) -> Option<SpanId> {
        let (mut bed, mut habits) = (Bed::new(), Habits::new(false));
        bed.read(&mut habits, 1, 10);
        habits.proven = PROOF;
        let node = bed.traces.begin(TraceId([1; 16]));
        let span = SpanId([9; 8]);
        bed.executors
            .began(&mut habits, task(2), served, span, node);
        let cause = bed.executors.cause(&mut habits, task(2), called);
        cause.map(|(span, _, _)| span)
    }

    #[test]
    fn on_a_multiplexed_connection_a_thread_tells_nothing_beside_others() {
        assert!(beside_another(single(11), single(20)).is_some());
        assert_eq!(beside_another(multiplexed(11), single(20)), None);
        assert_eq!(beside_another(single(11), multiplexed(20)), None);
    }

    #[test]
    fn on_a_multiplexed_connection_the_only_exchange_in_flight_is_told() {
        let (mut bed, mut habits) = (Bed::new(), Habits::new(false));
        let mut serve = |bed: &mut Bed, n: u8| {
            let node = bed.traces.begin(TraceId([1; 16]));
            let span = SpanId([n; 8]);
            let on = multiplexed(10);
            let executor = bed.executors.began(&mut habits, task(1), on, span, node);
            let cause = bed.executors.cause(&mut habits, task(1), multiplexed(20));
            (executor.unwrap(), cause.map(|(span, _, _)| span))
        };
        let (first, cause) = serve(&mut bed, 1);
        assert_eq!(cause, Some(SpanId([1; 8])));
        let (second, cause) = serve(&mut bed, 2);
        assert_eq!(cause, None, "read beside the first");
        for executor in [first, second] {
            bed.executors
                .answered(&mut habits, executor, multiplexed(10), task(1));
            bed.executors.ended(Some(&mut habits), executor, true);
        }
        assert_eq!(habits.proven, 0, "whoever writes for all proves nothing");
    }

    #[test]
    fn who_goes_on_with_a_call_that_wants_no_answer_shows_no_sign() {
        let (mut bed, mut habits) = (Bed::new(), Habits::new(false));
        let (executor, _) = bed.read(&mut habits, 1, 10);
        bed.executors
            .ended(Some(&mut habits), executor.unwrap(), false);
        assert_eq!(bed.cause(&mut habits, 1), None, "is it over?");
        let (executor, span) = bed.read(&mut habits, 1, 10);
        assert_eq!(bed.cause(&mut habits, 1), Some(span));
        bed.executors
            .ended(Some(&mut habits), executor.unwrap(), true);
        assert_eq!(bed.cause(&mut habits, 1), None, "a timer's, say");
        bed.read(&mut habits, 1, 10);
        assert_eq!(bed.cause(&mut habits, 1), None);
    }
}
