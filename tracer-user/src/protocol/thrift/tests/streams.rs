//! TTHeader streaming: frames that share a connection.

use super::build::*;
use super::*;
use Side::{Request, Response};

const HEADER: &str = "2";
const DATA: &str = "3";
const TRAILER: &str = "4";
const RESET: &str = "5";

fn frame(stream: i32, kind: &str, texts: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let words = infos(0x10, texts, &[(9, "chat"), (27, kind)]);
    ttheader(0x2, stream, &words, payload)
}

fn wire() -> Wire {
    Wire::of(Thrift::ttheader(false))
}

#[test]
fn a_stream_is_an_exchange() {
    let mut wire = wire();
    let open = frame(5, HEADER, &[("isn", "Chat")], b"");
    assert_eq!(
        wire.ask(&open),
        [
            "q0+0",
            "q0 Ttheader/Binary Call chat #5 isn=Chat 9=chat 27=2"
        ]
    );
    assert_eq!(wire.ask(frame(5, DATA, &[], b"hello")), ["q0: 5"]);
    assert_eq!(
        wire.answer(frame(5, HEADER, &[], b"")),
        ["r0+", "r0 Ttheader/Binary Reply chat #5 9=chat 27=2"]
    );
    assert_eq!(
        wire.answer([frame(5, DATA, &[], b"hi"), frame(5, DATA, &[], b"")].concat()),
        ["r0: 2", "r0: 0"]
    );
    let size = open.len() + 2 * frame(5, DATA, &[], b"").len() + 5;
    assert_eq!(
        wire.ask(frame(5, TRAILER, &[], b"")),
        [format!("q0. {size}")]
    );
    let answers = wire.answer(frame(5, TRAILER, &[], b""));
    assert_eq!(answers.len(), 1);
    assert!(answers[0].starts_with("r0. "));
    assert_eq!(wire.protocol.framing(), Some(Framing::LengthPrefixed));
    assert!(wire.close().is_empty());
}

#[test]
fn streams_are_mixed_and_ids_may_be_negative() {
    let mut wire = wire();
    let open = |stream| frame(stream, HEADER, &[("isn", "Chat")], b"");
    let words = wire.ask([open(-3), open(-2), frame(-3, DATA, &[], b"x")].concat());
    assert_eq!(words[0], "q0+0");
    assert_eq!(words[2], format!("q1+{}", open(0).len()));
    assert_eq!(words[4], "q0: 1");
    let words = wire.answer(
        [
            frame(-2, HEADER, &[], b""),
            frame(-2, TRAILER, &[], b""),
            frame(-3, HEADER, &[], b""),
        ]
        .concat(),
    );
    assert_eq!(words[0], "r1+");
    assert!(words[2].starts_with("r1. "));
    assert_eq!(words[3], "r0+");
    // The server was first to end it; the client's trailer still comes.
    assert!(wire.ask(frame(-2, TRAILER, &[], b""))[0].starts_with("q1. "));
    assert_eq!(
        wire.close(),
        ["q0! connection_closed", "r0! connection_closed"]
    );
}

#[test]
fn a_trailer_says_what_went_wrong() {
    let mut wire = wire();
    wire.ask(frame(1, HEADER, &[("isn", "Chat")], b""));
    wire.answer(frame(1, HEADER, &[], b""));
    let why = strict(rpc::Kind::Exception, "chat", 1, &exception("biz error", 6));
    let words = wire.answer(frame(1, TRAILER, &[], &why));
    assert_eq!(
        words[0],
        "r0 Ttheader/Binary Exception chat #1 9=chat 27=4 exception 6 biz error"
    );
    assert!(words[1].starts_with("r0. "));
    // A business status is no failure.
    wire.ask(frame(2, HEADER, &[("isn", "Chat")], b""));
    wire.answer(frame(2, HEADER, &[], b""));
    let words = wire.answer(frame(2, TRAILER, &[("biz-status", "7")], b""));
    assert_eq!(
        words[0],
        "r1 Ttheader/Binary Reply chat #2 biz-status=7 9=chat 27=4"
    );
}

#[test]
fn a_reset_ends_both_sides() {
    let mut wire = wire();
    wire.ask(frame(1, HEADER, &[("isn", "Chat")], b""));
    let why = strict(
        rpc::Kind::Exception,
        "chat",
        1,
        &exception("canceled", 12007),
    );
    assert_eq!(
        wire.ask(frame(1, RESET, &[], &why)),
        ["q0x 12007 canceled", "q0! stream_reset", "r0! stream_reset"]
    );
    // Kitex' client sends a trailer all the same.
    assert!(wire.ask(frame(1, TRAILER, &[], b"")).is_empty());
    assert!(wire.close().is_empty());
}

#[test]
fn a_client_that_has_sent_all_may_still_give_up_the_answer() {
    let mut wire = wire();
    wire.ask(frame(1, HEADER, &[("isn", "Chat")], b""));
    wire.answer(frame(1, HEADER, &[], b""));
    wire.ask(frame(1, TRAILER, &[], b""));
    let words = wire.ask(frame(1, RESET, &[("ttscp", "caller")], b""));
    assert_eq!(words, ["q0x None", "r0! stream_reset"]);
    assert!(wire.answer(frame(1, TRAILER, &[], b"")).is_empty());
    assert!(wire.close().is_empty());
}

#[test]
fn a_reset_may_say_nothing_and_what_another_frame_said_is_not_its_own() {
    let mut wire = wire();
    for stream in [1, 2, 3] {
        wire.ask(frame(stream, HEADER, &[("isn", "Chat")], b""));
    }
    let why = strict(rpc::Kind::Exception, "chat", 1, &exception("late", 12015));
    wire.answer([frame(1, HEADER, &[], b""), frame(1, TRAILER, &[], &why)].concat());
    let words = wire.answer(frame(2, RESET, &[], b""));
    assert!(words.contains(&"r1x None".to_owned()), "{words:?}");
    // It breaks off before its type.
    let words = wire.ask(frame(3, RESET, &[], &why[..why.len() - 5]));
    assert_eq!(words[0], "q2x 0 late");
}

#[test]
fn frames_that_were_lost_leave_a_side_unknown() {
    let mut wire = wire();
    wire.ask(frame(1, HEADER, &[("isn", "Chat")], b""));
    wire.answer(frame(1, HEADER, &[], b""));
    assert!(wire.lose(Response, 99).is_empty());
    assert_eq!(
        wire.answer(frame(1, TRAILER, &[], b"")),
        ["r0! lost_events"]
    );
    assert!(wire.ask(frame(1, TRAILER, &[], b""))[0].starts_with("q0. "));
    // The next stream is whole again.
    wire.ask(frame(2, HEADER, &[("isn", "Chat")], b""));
    wire.answer(frame(2, HEADER, &[], b""));
    assert!(wire.answer(frame(2, TRAILER, &[], b""))[0].starts_with("r1. "));
}

#[test]
fn a_large_message_is_walked_over() {
    let mut wire = wire();
    wire.ask(frame(1, HEADER, &[("isn", "Chat")], b""));
    let mut data = frame(1, DATA, &[], b"");
    let length = data.len() as u32 - 4 + 1_000_000;
    data[..4].copy_from_slice(&length.to_be_bytes());
    assert_eq!(wire.long(Request, &data, 999_999, b"x"), ["q0: 1000000"]);
}

#[test]
fn met_midway_the_next_stream_is_followed() {
    let mut wire = Wire::of(Thrift::ttheader(true));
    assert!(wire.ask(frame(1, DATA, &[], b"x")).is_empty());
    assert_eq!(
        wire.ask(frame(2, HEADER, &[("isn", "Chat")], b""))[0],
        format!("q0+{}", frame(1, DATA, &[], b"x").len())
    );
    assert_eq!(
        wire.answer(frame(1, TRAILER, &[], b"")),
        ["r_! attached_midway"]
    );
    assert_eq!(wire.answer(frame(2, HEADER, &[], b""))[0], "r0+");
}

#[test]
fn a_frame_that_began_before_its_stream_is_none_of_its_messages() {
    let mut wire = wire();
    let data = frame(5, DATA, &[], b"hello");
    let (begin, rest) = data.split_at(data.len() - 2);
    assert!(wire.answer(begin).is_empty());
    assert_eq!(wire.ask(frame(5, HEADER, &[], b"")).len(), 2);
    assert!(wire.answer(rest).is_empty());
    assert_eq!(
        wire.answer(frame(5, TRAILER, &[], b"")).last(),
        Some(&"r0! malformed".to_owned())
    );
    assert_eq!(wire.close(), ["q0! connection_closed"]);
}
