//! What was not captured, what was lost, and what came before the agent.

use super::*;
use Side::{Request, Response};

/// A request and response of that number.
fn get(n: u32) -> String {
    format!("GET /{n} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

fn ok(n: u32) -> String {
    format!("HTTP/1.1 200 OK\r\nNumber: {n}\r\nContent-Length: 2\r\n\r\nok")
}

fn length(text: &str) -> u64 {
    text.len() as u64
}

/// An exchange that is seen whole, with that id.
fn exchange(wire: &mut Wire, id: u64) {
    assert_eq!(wire.ask(get(7))[0], format!("q{id}+"));
    let words = wire.answer(ok(7));
    assert_eq!(words[0], format!("r{id}+"));
    assert!(words[2].starts_with(&format!("r{id}. ")));
}

#[test]
fn a_hole_in_a_body_of_known_length_is_none() {
    let mut wire = Wire::new();
    wire.ask("POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\n");
    assert!(wire.lose(Request, 60).is_empty());
    assert_eq!(wire.ask([b'x'; 40]), ["q0. 141/100"]);
    wire.answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    assert!(wire.lose(Response, 99).is_empty());
    assert_eq!(wire.answer("x"), ["r0. 140/100"]);
    exchange(&mut wire, 1);
}

#[test]
fn a_body_that_ends_in_a_loss_is_incomplete_and_the_next_message_right() {
    let mut wire = Wire::new();
    wire.ask("POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\n");
    assert_eq!(wire.lose(Request, 100), ["q0! lost_events"]);
    wire.answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    assert_eq!(wire.ask(get(1))[0], "q1+");
    assert_eq!(wire.lose(Response, 100), ["r0! lost_events"]);
    assert_eq!(wire.answer(ok(1))[0], "r1+");
}

#[test]
fn a_hole_in_a_chunk_is_none() {
    let mut wire = Wire::new();
    wire.ask(get(0));
    wire.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n");
    assert!(wire.lose(Response, 100).is_empty());
    assert_eq!(wire.answer("\r\n0\r\n\r\n"), ["r0. 158/100"]);
}

#[test]
fn a_lost_chunk_head_cuts_the_message_off() {
    let mut wire = Wire::new();
    wire.ask(get(0));
    wire.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n");
    assert_eq!(wire.lose(Response, 101), ["r0! lost_events"]);
    assert!(wire.answer("0\r\n\r\n").is_empty());
    exchange(&mut wire, 1);
}

#[test]
fn chunk_heads_not_captured_the_tail_tells_the_end() {
    let ends = [
        "\r\n0\r\n\r\n",
        "\r\n000;a=b\r\n\r\n",
        "\n0\n\n",
        "\r\n0\r\nA: 1\r\nB: 2\r\n\r\n",
        "data\n0\r\nmore data\r\n0\r\n\r\n",
        "0\r\n\r\n0\r\n\r\n0\r\n\r\n",
    ];
    for end in ends {
        let mut wire = Wire::new();
        wire.ask(get(0));
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\nxx";
        assert_eq!(
            wire.long(Response, head, 60_000, &[b'x'; 1024]),
            ["r0+", "r0 200"]
        );
        assert!(wire.long(Response, &[b'x'; 256], 1000, b"xx").is_empty());
        let wire_size = head.len() + 60_000 + 1024 + 1258 + 256 + 60_000 + end.len();
        assert_eq!(
            wire.long(Response, &[b'x'; 256], 60_000, end.as_bytes()),
            [format!("r0. {wire_size}/?")],
            "{end:?}"
        );
        exchange(&mut wire, 1);
    }
}

#[test]
fn the_last_chunk_in_a_transfer_of_its_own_or_in_two() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\nxx";
    let mut wire = Wire::new();
    wire.ask(get(0));
    wire.long(Response, head, 60_000, b"xxxxx\r\n");
    assert_eq!(wire.answer("0\r\n\r\n")[0], "r0. 60067/?");
    wire.ask(get(1));
    wire.long(Response, head, 60_000, b"xxxxx\r\n");
    assert!(wire.answer("0\r\n").is_empty());
    assert_eq!(wire.answer("\r\n")[0], "r1. 60067/?");
    // The one before moved unseen to its end.
    wire.ask(get(2));
    wire.long(Response, head, 60_000, b"");
    assert_eq!(wire.answer("0\r\n\r\n")[0], "r2. 60060/?");
}

#[test]
fn an_end_in_the_middle_of_a_transfer_is_none() {
    let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\nxx";
    let mut wire = Wire::new();
    wire.long(Request, head, 60_000, b"\r\n0\r\n\r\nnot yet");
    assert!(wire.ask(format!("\r\n0\r\n\r\n{}", get(1))).is_empty());
    assert_eq!(wire.ask("\r\n0\r\n\r\n"), ["q0. 60119/?"]);
}

#[test]
fn a_chunked_end_not_recognised_ends_with_the_next_exchange() {
    let mut wire = Wire::new();
    wire.ask(get(0));
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\nxx";
    wire.long(Response, head, 60_000, b"");
    assert_eq!(wire.ask(get(1))[..2], ["r0! bytes_unseen", "q1+"]);
    assert_eq!(wire.answer(ok(1))[0], "r1+");

    let mut wire = Wire::new();
    let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\nxx";
    wire.long(Request, head, 60_000, b"");
    wire.answer(ok(0));
    assert_eq!(wire.ask("still the body"), ["q0! bytes_unseen"]);
    exchange(&mut wire, 1);
}

#[test]
fn a_lost_request() {
    let mut wire = Wire::new();
    exchange(&mut wire, 0);
    // Its answer comes before the hole shows itself.
    assert!(wire.answer(ok(1)).is_empty());
    assert_eq!(wire.lose(Request, length(&get(1))), ["r_! lost_events"]);
    exchange(&mut wire, 1);
}

#[test]
fn a_lost_response() {
    let mut wire = Wire::new();
    for id in 0..20 {
        exchange(&mut wire, id);
    }
    wire.ask(get(20));
    wire.ask(get(21));
    assert_eq!(wire.lose(Response, length(&ok(20))), ["r20! lost_events"]);
    assert_eq!(wire.answer(ok(21))[0], "r21+");
    exchange(&mut wire, 22);
}

#[test]
fn one_loss_of_several_makes_no_pair() {
    // Had request 3 been lost as well, this would be its answer.
    let mut wire = Wire::new();
    exchange(&mut wire, 0);
    wire.ask(get(1));
    wire.ask(get(2));
    assert_eq!(wire.lose(Response, length(&ok(1))), ["r1! lost_events"]);
    assert_eq!(wire.answer(ok(2)), ["r2! lost_events"]);
    exchange(&mut wire, 3);
}

#[test]
fn a_lost_exchange() {
    let mut wire = Wire::new();
    exchange(&mut wire, 0);
    assert!(wire.lose(Request, length(&get(1))).is_empty());
    // Nothing shows yet that the lost request was answered.
    assert_eq!(
        wire.ask(get(2)),
        ["q1+", "q1 GET /2", "q1. 36/0", "r1! lost_events"]
    );
    assert!(wire.lose(Response, length(&ok(1))).is_empty());
    assert!(wire.answer(ok(2)).is_empty());
    exchange(&mut wire, 2);
}

#[test]
fn a_lost_request_of_several() {
    let mut wire = Wire::new();
    wire.ask(get(0));
    wire.lose(Request, length(&get(1)));
    assert_eq!(wire.ask(get(2))[3], "r1! lost_events");
    assert_eq!(wire.answer(ok(0))[0], "r0+");
    // The answer to the lost one, then one that may be to it or to the next.
    assert!(wire.answer(ok(1)).is_empty());
    assert_eq!(wire.answer(ok(2)), ["r_! lost_events"]);
    exchange(&mut wire, 2);
}

#[test]
fn a_loss_in_a_head() {
    let mut wire = Wire::new();
    assert_eq!(wire.ask("HEAD /0 HTTP/1.1\r\nHo"), ["q0+"]);
    assert_eq!(wire.lose(Request, 1), ["q0! lost_events"]);
    assert!(wire.ask("t: x\r\n\r\n").is_empty());
    assert_eq!(
        wire.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        ["r0+", "r0 200", "r0. 38/0"]
    );
    exchange(&mut wire, 1);
    wire.ask(get(2));
    assert_eq!(wire.answer("HTTP/1.1 200 OK\r\nCon"), ["r2+"]);
    assert_eq!(wire.lose(Response, 5), ["r2! lost_events"]);
    assert!(wire.answer("Length: 2\r\n\r\nok").is_empty());
    exchange(&mut wire, 3);
}

#[test]
fn a_loss_in_a_method_leaves_the_answers_end_open() {
    let mut wire = Wire::new();
    wire.ask("HE");
    assert_eq!(wire.lose(Request, 20), ["q0! lost_events"]);
    assert_eq!(wire.answer(ok(0)), ["r0+", "r0 200", "r0! lost_events"]);
    exchange(&mut wire, 1);
}

#[test]
fn a_loss_among_pipelined_responses() {
    let mut wire = Wire::new();
    wire.ask((0..5).map(get).collect::<String>());
    wire.answer(ok(0));
    // More than one may be in it: nobody knows whose the next is.
    assert_eq!(wire.lose(Response, 200), ["r1! lost_events"]);
    assert_eq!(
        wire.answer(ok(3)),
        ["r2! lost_events", "r3! lost_events", "r4! lost_events"]
    );
    assert!(wire.answer(ok(4)).is_empty());
}

#[test]
fn a_loss_too_short_for_a_response() {
    let mut wire = Wire::new();
    wire.ask((0..3).map(get).collect::<String>());
    wire.answer("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n");
    assert_eq!(wire.lose(Response, 50), ["r0! lost_events"]);
    assert_eq!(wire.answer(ok(1))[0], "r1+");
}

#[test]
fn unseen_transfers_are_holes() {
    let mut wire = Wire::new();
    exchange(&mut wire, 0);
    assert!(wire.input(Request, Input::Skipped(100)).is_empty());
    wire.input(Request, Input::EndOfTransfer);
    assert_eq!(wire.answer(ok(1)), ["r_! bytes_unseen"]);
    exchange(&mut wire, 1);
}

#[test]
fn met_midway_between_exchanges() {
    let mut wire = Wire::midway();
    exchange(&mut wire, 0);
}

#[test]
fn met_midway_before_a_response() {
    let mut wire = Wire::midway();
    assert_eq!(wire.answer(ok(0)), ["r_! attached_midway"]);
    exchange(&mut wire, 0);
}

#[test]
fn met_midway_in_a_response() {
    let mut wire = Wire::midway();
    assert!(wire.answer(&ok(0)[9..]).is_empty());
    assert!(wire.long(Response, b"more", 1 << 20, b"body").is_empty());
    exchange(&mut wire, 0);
}

#[test]
fn met_midway_in_a_request() {
    let mut wire = Wire::midway();
    assert!(wire.ask(&get(0)[4..]).is_empty());
    assert_eq!(wire.answer(ok(0)), ["r_! attached_midway"]);
    exchange(&mut wire, 0);
}

#[test]
fn met_midway_before_an_answer_to_head() {
    let mut wire = Wire::midway();
    assert_eq!(
        wire.answer("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        ["r_! attached_midway"]
    );
    exchange(&mut wire, 0);
}

#[test]
fn met_midway_a_request_in_pieces() {
    let mut wire = Wire::midway();
    let mut words = Vec::new();
    for byte in get(0).bytes() {
        words.extend(wire.ask([byte]));
    }
    assert_eq!(words, ["q0+", "q0 GET /0", "q0. 36/0"]);
    assert_eq!(wire.answer(ok(0))[0], "r0+");
}

#[test]
fn a_body_that_looks_like_a_request_is_not_found_inside_a_transfer() {
    let mut wire = Wire::midway();
    assert!(wire.ask(format!("body\r\n{}", get(0))).is_empty());
    assert_eq!(wire.answer(ok(0)), ["r_! attached_midway"]);
    exchange(&mut wire, 0);
}

#[test]
fn a_lost_request_whose_answer_came_in_two() {
    let mut wire = Wire::new();
    exchange(&mut wire, 0);
    let answer = ok(1);
    assert!(wire.answer(&answer[..20]).is_empty());
    assert!(wire.answer(&answer[20..]).is_empty());
    assert_eq!(wire.lose(Request, length(&get(1))), ["r_! lost_events"]);
    let request = get(2);
    assert!(wire.ask(&request[..8]).is_empty());
    assert_eq!(wire.ask(&request[8..])[0], "q1+");
    assert_eq!(wire.answer(ok(2))[0], "r1+");
}
