//! The wire forms, each in both directions.

use super::build::*;
use super::*;
use crate::protocol::rpc::Kind::{Call, Exception, Oneway, Reply};

/// `1: "hi"`, and `0: "hi"`.
const ARGUMENTS: &[u8] = b"\x0b\x00\x01\x00\x00\x00\x02hi\x00";
const RESULT: &[u8] = b"\x0b\x00\x00\x00\x00\x00\x02hi\x00";

#[test]
fn strict_binary_behind_its_length() {
    let mut wire = Wire::of(Thrift::framed(false));
    let call = b"\x00\x00\x00\x1a\x80\x01\x00\x01\x00\x00\x00\x04echo\x00\x00\x00\x07\
        \x0b\x00\x01\x00\x00\x00\x02hi\x00";
    assert_eq!(
        wire.ask(call),
        ["q0+0", "q0 Framed/Binary Call echo #7", "q0. 30"]
    );
    let reply = b"\x00\x00\x00\x1a\x80\x01\x00\x02\x00\x00\x00\x04echo\x00\x00\x00\x07\
        \x0b\x00\x00\x00\x00\x00\x02hi\x00";
    assert_eq!(
        wire.answer(reply),
        ["r0+", "r0 Framed/Binary Reply echo #7", "r0. 30"]
    );
    assert_eq!(wire.thrift.framing(), Some(Framing::LengthPrefixed));
    assert!(wire.close().is_empty());
}

#[test]
fn strict_binary_bare() {
    let mut wire = Wire::of(Thrift::bare(false));
    assert_eq!(
        wire.ask(strict(Call, "echo", 7, ARGUMENTS)),
        ["q0+0", "q0 Buffered/Binary Call echo #7", "q0. 26"]
    );
    assert_eq!(
        wire.answer(strict(Reply, "echo", 7, RESULT)),
        ["r0+", "r0 Buffered/Binary Reply echo #7", "r0. 26"]
    );
    assert_eq!(wire.thrift.framing(), None);
    assert!(wire.close().is_empty());
}

#[test]
fn an_exception_has_type_and_text() {
    let content = exception("no such method", 1);
    for (thrift, frame, word, size) in [
        (Thrift::framed(false), true, "Framed", 49),
        (Thrift::bare(false), false, "Buffered", 45),
    ] {
        let mut wire = Wire::of(thrift);
        let wrap = |bytes: Vec<u8>| if frame { framed(&bytes) } else { bytes };
        wire.ask(wrap(strict(Call, "echo", 7, ARGUMENTS)));
        assert_eq!(
            wire.answer(wrap(strict(Exception, "echo", 7, &content))),
            [
                "r0+".to_owned(),
                format!("r0 {word}/Binary Exception echo #7 exception 1 no such method"),
                format!("r0. {size}"),
            ]
        );
    }
}

#[test]
fn a_declared_exception_is_a_field_of_the_result() {
    let mut wire = Wire::of(Thrift::framed(false));
    wire.ask(framed(&strict(Call, "echo", 7, ARGUMENTS)));
    let result = b"\x0c\x00\x02\x0b\x00\x01\x00\x00\x00\x01x\x00\x00";
    assert_eq!(
        wire.answer(framed(&strict(Reply, "echo", 7, result)))[1],
        "r0 Framed/Binary Reply echo #7 declared 2"
    );
    // Of nothing, and of void.
    wire.ask(framed(&strict(Call, "echo", 8, ARGUMENTS)));
    assert_eq!(
        wire.answer(framed(&strict(Reply, "echo", 8, b"\x00")))[1],
        "r1 Framed/Binary Reply echo #8"
    );
}

#[test]
fn a_oneway_call_has_no_reply() {
    let mut wire = Wire::of(Thrift::framed(false));
    assert_eq!(
        wire.ask(framed(&strict(Oneway, "log", 7, ARGUMENTS))),
        ["q0+0", "q0 Framed/Binary Oneway log #7", "q0. 29", "r0-"]
    );
    assert!(wire.close().is_empty());
}

#[test]
fn ttheader_with_its_infos() {
    let mut wire = Wire::of(Thrift::ttheader(false));
    let words = infos(
        0,
        &[("isn", "Echo"), ("RPC_TRANSIT_traceparent", "00-1-2-01")],
        &[(3, "gateway"), (9, "echo")],
    );
    let payload = strict(Call, "echo", 7, ARGUMENTS);
    assert_eq!(
        wire.ask(ttheader(1, 7, &words, &payload)),
        [
            "q0+0",
            "q0 Ttheader/Binary Call echo #7 isn=Echo RPC_TRANSIT_traceparent=00-1-2-01 3=gateway 9=echo",
            "q0. 116",
        ]
    );
    let words = infos(0, &[("biz-status", "404")], &[(22, "2")]);
    let payload = framed(&strict(Reply, "echo", 7, RESULT));
    assert_eq!(
        wire.answer(ttheader(0, 7, &words, &payload)),
        [
            "r0+",
            "r0 TtheaderFramed/Binary Reply echo #7 biz-status=404 22=2",
            "r0. 76",
        ]
    );
    assert_eq!(wire.thrift.framing(), Some(Framing::LengthPrefixed));
    assert!(wire.close().is_empty());
}

#[test]
fn several_calls_in_flight() {
    let mut wire = Wire::of(Thrift::framed(false));
    let call = |seq_id| framed(&strict(Call, "echo", seq_id, ARGUMENTS));
    let reply = |seq_id| framed(&strict(Reply, "echo", seq_id, RESULT));
    let words = wire.ask([call(1), call(2), call(3)].concat());
    assert_eq!(
        [&words[0], &words[3], &words[6]],
        ["q0+0", "q1+30", "q2+60"]
    );
    let words = wire.answer([reply(2), reply(3), reply(1)].concat());
    assert_eq!([&words[0], &words[3], &words[6]], ["r1+", "r2+", "r0+"]);
    // The same id for all: in their order.
    let words = wire.ask([call(3), call(3)].concat());
    assert_eq!([&words[0], &words[3]], ["q3+90", "q4+120"]);
    let words = wire.answer([reply(3), reply(3)].concat());
    assert_eq!([&words[0], &words[3]], ["r3+", "r4+"]);
}
