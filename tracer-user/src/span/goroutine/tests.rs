//! What goroutines are taken to work on.

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
    let node = traces.begin(TraceId([1; 16]), 0);
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
    let call = traces.begin(TraceId([2; 16]), 0);
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
    let lost = traces.begin(TraceId([3; 16]), 0);
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

#[test]
fn what_is_written_once_the_giver_went_on_has_no_parent() {
    let (mut goroutines, mut traces, node) = serving();
    goroutines.gives(1, 0xc000, 20, 1);
    goroutines.takes(1, 0xc000, 50, 3);
    goroutines.gives(1, 0xd000, 20, 1);
    goroutines.ended(Id::new(1, 20).unwrap());
    let cause = |goroutines: &mut Goroutines, writer, stream| {
        goroutines.cause(task(writer, 2), stream, Writes::ForOthers)
    };
    assert_eq!(cause(&mut goroutines, 50, 3), Cause::Unknown, "it is over");
    let next = (SpanId([8; 8]), node);
    goroutines.read(task(20, 0), on(1), next, &mut traces);
    goroutines.takes(1, 0xd000, 50, 5);
    assert_eq!(cause(&mut goroutines, 50, 5), Cause::Unknown);
    goroutines.gives(1, 0xe000, 20, 1);
    goroutines.takes(1, 0xe000, 50, 7);
    let known = Cause::Exchange(next.0, node);
    assert_eq!(cause(&mut goroutines, 50, 7), known);
}

#[test]
fn a_worker_gives_for_whom_it_works_then() {
    let (mut goroutines, mut traces, node) = serving();
    let other = (SpanId([8; 8]), node);
    goroutines.read(task(21, 0), on(2), other, &mut traces);
    // A worker of a pool has a request written, and works for another one before it is.
    goroutines.gives(1, 0xc000, 20, 1);
    goroutines.takes(1, 0xc000, 60, 0);
    goroutines.gives(1, 0xd000, 60, 2);
    goroutines.gives(1, 0xc000, 21, 1);
    goroutines.takes(1, 0xc000, 60, 0);
    goroutines.takes(1, 0xd000, 50, 3);
    let cause = goroutines.cause(task(50, 2), 3, Writes::ForOthers);
    assert_eq!(cause, Cause::Exchange(SPAN, node));
    let cause = goroutines.cause(task(60, 2), 0, Writes::ForCaller);
    assert_eq!(cause, Cause::Exchange(other.0, node));
}

#[test]
fn too_many_goroutines_are_forgotten() {
    let (mut goroutines, mut traces, node) = serving();
    for goid in 100..100 + MAX_KNOWN as u64 {
        goroutines.read(task(goid, 0), on(goid), (SPAN, node), &mut traces);
    }
    assert_eq!(goroutines.forgotten, MAX_KNOWN as u64);
    let cause = goroutines.cause(task(20, 1), 0, Writes::Alone);
    assert_eq!(cause, Cause::Unknown, "no parent rather than a wrong one");
}
