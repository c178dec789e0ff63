//! What was not captured, what was lost, and what came before the agent.

use super::build::*;
use super::*;
use crate::protocol::rpc::Kind::{Call, Reply};
use Side::{Request, Response};

fn call(seq_id: i32) -> Vec<u8> {
    framed(&strict(Call, "echo", seq_id, b"\x00"))
}

fn reply(seq_id: i32) -> Vec<u8> {
    framed(&strict(Reply, "echo", seq_id, b"\x00"))
}

#[test]
fn a_reply_before_its_call_waits_for_it() {
    let mut wire = Wire::of(Thrift::framed(false));
    assert!(wire.answer(reply(1)).is_empty());
    assert_eq!(
        wire.ask(call(1)),
        [
            "q0+0",
            "q0 Framed/Binary Call echo #1",
            "r0+",
            "r0 Framed/Binary Reply echo #1",
            "r0. 21",
            "q0. 21",
        ]
    );
    assert!(wire.close().is_empty());
}

#[test]
fn a_body_is_walked_over() {
    let mut wire = Wire::of(Thrift::framed(false));
    for (side, kind, seq_id) in [(Request, Call, 1), (Response, Reply, 1)] {
        let mut message = 1_000_000_u32.to_be_bytes().to_vec();
        message.extend(strict(kind, "echo", seq_id, b"\x0b\x00\x00"));
        let skipped = 1_000_004 - message.len() as u64 - 1;
        let words = wire.long(side, &message, skipped, b"\x00");
        assert!(words[2].ends_with("0. 1000004"), "{words:?}");
    }
}

#[test]
fn calls_that_are_numbered_pair_whatever_is_lost() {
    let mut wire = Wire::of(Thrift::framed(false));
    wire.ask(call(1));
    wire.answer(reply(1));
    wire.ask(call(2));
    assert!(wire.lose(Request, 21).is_empty());
    wire.ask(call(4));
    assert!(wire.lose(Response, 42).is_empty());
    // The reply to the second call was among those lost, since they come in order.
    assert_eq!(
        wire.answer(reply(4)),
        [
            "r1! lost_events",
            "r2+",
            "r2 Framed/Binary Reply echo #4",
            "r2. 21"
        ]
    );
    assert!(wire.close().is_empty());
}

#[test]
fn calls_that_are_not_numbered_go_without_after_a_loss() {
    let mut wire = Wire::of(Thrift::framed(false));
    wire.ask(call(0));
    wire.answer(reply(0));
    wire.ask(call(0));
    assert_eq!(wire.lose(Response, 21), ["r1! lost_events"]);
    // It may be the answer to any.
    assert_eq!(
        wire.ask(call(0)),
        [
            "q2+42",
            "q2 Framed/Binary Call echo #0",
            "q2. 21",
            "r2! lost_events"
        ]
    );
    assert!(wire.answer(reply(0)).is_empty());
    // A client that waits has had all its replies.
    wire.ask(call(0));
    assert_eq!(wire.answer(reply(0))[0], "r3+");
    assert!(wire.close().is_empty());
}
