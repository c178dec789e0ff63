//! What threads and event loops are taken to serve.

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
        let node = self.traces.begin(TraceId([1; 16]), 0);
        let executor = self
            .executors
            .began(habits, task(tid), single(connection), span, node);
        (executor, span)
    }

    fn cause(&self, habits: &mut Habits, tid: u32) -> Option<SpanId> {
        self.executors
            .cause(habits, task(tid), single(20), None)
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
        let node = traces.begin(TraceId([n; 16]), 0);
        habits.entered(looped(10), SpanId([n; 8]), node, now);
    };
    let cause = |habits: &mut Habits| {
        habits.calls();
        let cause = bed.executors.cause(habits, task(1), looped(20), None);
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
    let mut opened = |at| {
        let cause = bed
            .executors
            .cause(&mut habits, task(1), looped(20), Some(at));
        cause.map(|(span, _, source)| (span, source))
    };
    assert_eq!(opened(301 + UNSEEN), sole(6));
    assert_eq!(opened(299 + UNSEEN), None, "it was for something before");
    habits.unseen(400 + UNSEEN);
    habits.left();
    enter(&mut habits, 7, 401 + UNSEEN);
    assert_eq!(cause(&mut habits), None, "what was not answered may go on");
}

fn bed_node() -> NodeKey {
    Traces::default().begin(TraceId([9; 16]), 0)
}

/// Of two threads that each serve an exchange, what the second one's call is said to be for.
fn beside_another(served: On, called: On) -> Option<SpanId> {
    let (mut bed, mut habits) = (Bed::new(), Habits::new(false));
    bed.read(&mut habits, 1, 10);
    habits.proven = PROOF;
    let node = bed.traces.begin(TraceId([1; 16]), 0);
    let span = SpanId([9; 8]);
    bed.executors
        .began(&mut habits, task(2), served, span, node);
    let cause = bed.executors.cause(&mut habits, task(2), called, None);
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
        let node = bed.traces.begin(TraceId([1; 16]), 0);
        let span = SpanId([n; 8]);
        let on = multiplexed(10);
        let executor = bed.executors.began(&mut habits, task(1), on, span, node);
        let cause = bed
            .executors
            .cause(&mut habits, task(1), multiplexed(20), None);
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
