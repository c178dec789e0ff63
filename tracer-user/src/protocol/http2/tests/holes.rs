//! What was not seen: bytes skipped, transfers lost, a connection met midway.

use super::*;

#[test]
fn bytes_of_data_may_be_skipped() {
    let mut wire = Wire::new();
    wire.ask(headers(WHOLE, 1, GET));
    let body = data(END_STREAM, 1, vec![0; 100_000]);
    let head = [headers(END_HEADERS, 1, OK), body[..20].to_vec()].concat();
    assert_eq!(
        wire.input(Side::Response, Input::Bytes(&head)),
        ["r0+", "r0 200"]
    );
    assert_eq!(
        wire.long(Side::Response, &[], 99_980, &body[100_000..]),
        ["r0. 100019/100000"]
    );
}

#[test]
fn a_hole_that_hides_frames_ends_what_had_begun() {
    let mut wire = Wire::new();
    wire.ask([headers(WHOLE, 1, GET), headers(WHOLE, 3, GET)].concat());
    wire.answer(headers(END_HEADERS, 1, OK));
    assert_eq!(wire.lose(Side::Response, 30), ["r0! lost_events"]);
    // The other is still awaited, and what follows is read where a frame begins.
    assert_eq!(wire.answer("rubbish that is no frame"), [""; 0]);
    assert_eq!(
        wire.answer(headers(WHOLE, 3, OK)),
        ["r1+", "r1 200", "r1. 10/0"]
    );
}

#[test]
fn what_is_left_of_a_lost_head_is_not_taken_for_one() {
    // The end of a head of stream 11, and the next one's begin: DATA of 256 bytes on stream 184,549,387.
    let end_and_begin = b"\0\x01\0\0\0\x0b\0\0\x0b\x01\x04\0";
    // A header block on stream 30,720 + 11, its begin an earlier one's end.
    let without_end = b"\0\0\x09\x01\0\0\0\x78\x0b";
    for rubbish in [&end_and_begin[..], without_end] {
        let mut wire = Wire::new();
        wire.ask([headers(WHOLE, 1, GET), headers(WHOLE, 3, GET)].concat());
        wire.answer(headers(END_HEADERS, 1, OK));
        wire.lose(Side::Response, 30);
        assert_eq!(wire.answer(rubbish), [""; 0]);
        let answer = headers(WHOLE, 3, OK);
        assert_eq!(wire.answer(answer), ["r1+", "r1 200", "r1. 10/0"]);
    }
}

#[test]
fn met_midway_a_request_with_unknown_fields() {
    let mut wire = Wire::midway();
    // POST, http, the path an entry of before; `a: b`, inserted; then that by its index.
    let block = b"\x83\x86\xbe\x40\x01a\x01b";
    assert_eq!(
        wire.ask(headers(WHOLE, 7, block)),
        ["q0+", "q0 POST ", "q0. 17/0"]
    );
    // The response to one of before; the one to ours.
    assert_eq!(wire.answer(headers(WHOLE, 5, OK)), ["r_! attached_midway"]);
    let block = b"\x88\x40\x01a\x01b\xbe\xbf";
    assert_eq!(
        wire.answer(headers(
            PRIORITY | WHOLE,
            7,
            [&[0, 0, 0, 0, 9], &block[..]].concat()
        )),
        ["r0+", "r0 200", "r0. 22/0"]
    );
    assert!(wire.close().is_empty());
}

#[test]
fn a_response_that_comes_before_its_request_waits() {
    let mut wire = Wire::new();
    let answer = [
        headers(END_HEADERS, 3, OK_GRPC),
        data(0, 3, b"\0\0\0\0\x01c"),
        headers(WHOLE, 3, STATUS),
    ];
    assert_eq!(wire.answer(answer.concat()), [""; 0]);
    assert_eq!(
        wire.ask(headers(WHOLE, 1, GET)),
        ["q0+", "q0 GET /", "q0. 12/0"]
    );
    assert_eq!(
        wire.ask(headers(WHOLE, 3, GET)),
        [
            "q1+",
            "q1 GET /",
            "r1+",
            "r1 200",
            "r1 message 1",
            "r1 trailers grpc-status",
            "r1. 68/6",
            "q1. 12/0"
        ]
    );
}

#[test]
fn a_response_to_a_request_that_was_lost() {
    let mut wire = Wire::new();
    wire.ask(headers(WHOLE, 1, GET));
    wire.lose(Side::Request, 12);
    assert_eq!(wire.answer(headers(WHOLE, 3, OK)), [""; 0]);
    // Streams open in order, so the third was among what was lost.
    assert_eq!(
        wire.ask(headers(WHOLE, 7, GET)),
        ["r_! lost_events", "q1+", "q1 GET /", "q1. 12/0"]
    );
    assert_eq!(wire.answer(headers(WHOLE, 5, OK)), ["r_! lost_events"]);
    assert_eq!(wire.answer(headers(WHOLE, 1, OK)).len(), 3);
    assert_eq!(wire.answer(headers(WHOLE, 7, OK)).len(), 3);
    assert!(wire.close().is_empty());
}

#[test]
fn a_response_that_went_by_in_a_hole_is_not_awaited_for_ever() {
    let mut wire = Wire::new();
    for stream in [1, 3] {
        wire.ask(headers(WHOLE, stream, GET));
    }
    wire.lose(Side::Response, 10);
    assert_eq!(wire.answer(headers(WHOLE, 3, OK)).len(), 3);
    let mut words = Vec::new();
    for n in 0..300 {
        words.extend(wire.ask(headers(WHOLE, 5 + 2 * n, GET)));
        words.extend(wire.answer(headers(WHOLE, 5 + 2 * n, OK)));
    }
    let cut: Vec<_> = words.iter().filter(|word| word.contains('!')).collect();
    assert_eq!(cut, ["r0! lost_events"]);
    assert!(wire.close().is_empty());
}

#[test]
fn a_hole_within_data_hides_no_frame() {
    for lost in [true, false] {
        let mut wire = Wire::new();
        wire.ask(headers(WHOLE, 1, GET));
        let body = data(END_STREAM, 1, [0; 1000]);
        wire.answer([headers(END_HEADERS, 1, OK), body[..100].to_vec()].concat());
        let hole = match lost {
            true => Input::Lost(500),
            false => Input::Skipped(500),
        };
        assert_eq!(wire.input(Side::Response, hole), [""; 0]);
        assert_eq!(wire.answer(&body[600..]), ["r0. 1019/1000"]);
    }
}

#[test]
fn a_body_whose_last_byte_was_lost_ended_nobody_knows_when() {
    let mut wire = Wire::new();
    wire.ask([headers(WHOLE, 1, GET), headers(WHOLE, 3, GET)].concat());
    let body = data(END_STREAM, 1, [0; 1000]);
    wire.answer([headers(END_HEADERS, 1, OK), body[..100].to_vec()].concat());
    assert_eq!(wire.lose(Side::Response, 909), ["r0! lost_events"]);
    // The frame's end is known for all that.
    assert_eq!(wire.answer(headers(WHOLE, 3, OK)).len(), 3);
}

#[test]
fn a_hole_in_a_head_costs_that_head_and_the_table() {
    let mut wire = Wire::new();
    // `:path: /7` is inserted.
    wire.ask(headers(WHOLE, 1, b"\x82\x86\x44\x02/7"));
    let request = headers(WHOLE, 3, b"\x82\x86\xbe\0\x01a\x01b");
    assert_eq!(
        wire.long(Side::Request, &request[..13], 3, &request[16..]),
        ["q1+", "q1! bytes_unseen"]
    );
    // The path is not guessed; once it is sent again it is known.
    let words = wire.ask(headers(WHOLE, 5, b"\x82\x86\xbe"));
    assert_eq!(words, ["q2+", "q2 GET ", "q2. 12/0"]);
    wire.ask(headers(WHOLE, 7, b"\x82\x86\x44\x02/7"));
    let words = wire.ask(headers(WHOLE, 9, b"\x82\x86\xbe"));
    assert_eq!(words[1], "q4 GET /7");
    assert_eq!(wire.answer(headers(WHOLE, 3, OK)).len(), 3);
}

#[test]
fn messages_behind_an_unseen_prefix_are_not_counted() {
    let mut wire = Wire::new();
    wire.ask(headers(END_HEADERS, 1, CALL));
    let frames = data(0, 1, [&b"\0\0\0\x03\xe8"[..], &[7; 1000]].concat());
    // Inside a message nothing is hidden by a hole.
    assert_eq!(
        wire.long(Side::Request, &frames[..50], 900, &frames[950..]),
        ["q0 message 1000"]
    );
    assert_eq!(
        wire.long(Side::Request, &frames[..9], 4, &frames[13..]),
        [""; 0]
    );
    assert_eq!(wire.ask(data(0, 1, b"\0\0\0\0\x01c")), [""; 0]);
    assert_eq!(wire.ask(data(END_STREAM, 1, b"")), ["q0. 2086/2016"]);
}

#[test]
fn padding_that_was_not_seen_leaves_the_body_unknown() {
    let mut wire = Wire::new();
    wire.ask(headers(END_HEADERS, 1, GET));
    let frame = data(PADDED | END_STREAM, 1, b"\x02hello\0\0");
    assert_eq!(
        wire.long(Side::Request, &frame[..9], 4, &frame[13..]),
        ["q0. 29/?"]
    );
}

#[test]
fn frames_are_found_again_after_the_clients_preface_was_lost() {
    let mut wire = Wire::over(Http2::new(false), word);
    assert_eq!(wire.lose(Side::Request, 24), [""; 0]);
    let bytes = [SETTINGS.to_vec(), headers(WHOLE, 1, GET)].concat();
    assert_eq!(wire.ask(bytes), ["q0+", "q0 GET /", "q0. 12/0"]);
    let mut wire = Wire::midway();
    let bytes = [PREFACE, SETTINGS, &headers(WHOLE, 1, GET)].concat();
    assert_eq!(wire.ask(bytes), ["q0+", "q0 GET /", "q0. 12/0"]);
}

#[test]
fn met_midway_bytes_are_frames_only_where_a_transfer_begins() {
    let mut wire = Wire::midway();
    let request = headers(WHOLE, 9, GET);
    assert_eq!(wire.ask([b"xyz", &request[..]].concat()), [""; 0]);
    for byte in &request[..5] {
        assert_eq!(wire.ask([*byte]), [""; 0]);
    }
    assert_eq!(wire.ask(&request[5..]), ["q0+", "q0 GET /", "q0. 12/0"]);
}

#[test]
fn met_midway_the_end_of_a_request_is_no_request() {
    let mut wire = Wire::midway();
    assert_eq!(wire.ask(data(END_STREAM, 5, b"x")), [""; 0]);
    assert_eq!(
        wire.ask(headers(WHOLE, 7, STATUS)),
        ["q0+", "q0! attached_midway"]
    );
    // Trailers of a response of before; a response of before.
    assert_eq!(wire.answer(headers(WHOLE, 5, STATUS)), [""; 0]);
    assert_eq!(
        wire.answer(headers(END_HEADERS, 3, OK)),
        ["r_! attached_midway"]
    );
    assert_eq!(wire.answer(data(END_STREAM, 3, b"x")), [""; 0]);
}

#[test]
fn the_end_of_a_connection_ends_what_is_open() {
    let mut wire = Wire::new();
    wire.ask([headers(END_HEADERS, 1, GET), headers(WHOLE, 3, GET)].concat());
    wire.answer(headers(END_HEADERS, 3, OK));
    wire.answer(headers(WHOLE, 9, OK));
    assert_eq!(
        wire.close(),
        [
            "q0! connection_closed",
            "r_! malformed",
            "r0! connection_closed",
            "r1! connection_closed"
        ]
    );
    assert!(wire.close().is_empty());
}
