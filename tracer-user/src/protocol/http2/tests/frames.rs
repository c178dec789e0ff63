//! Each type of frame, whole.

use super::*;

#[test]
fn a_request_and_its_response() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.ask(headers(WHOLE, 1, GET)),
        ["q0+", "q0 GET /", "q0. 12/0"]
    );
    assert_eq!(
        wire.answer([headers(END_HEADERS, 1, OK), data(END_STREAM, 1, "hello")].concat()),
        ["r0+", "r0 200", "r0. 24/5"]
    );
    assert!(wire.close().is_empty());
}

#[test]
fn a_grpc_call() {
    let mut wire = Wire::new();
    let message = b"\0\0\0\0\x03abc";
    assert_eq!(
        wire.ask([headers(END_HEADERS, 1, CALL), data(END_STREAM, 1, message)].concat()),
        ["q0+", "q0 POST /7", "q0 message 3", "q0. 51/8"]
    );
    let answer = [
        headers(END_HEADERS, 1, OK_GRPC),
        data(0, 1, message),
        headers(WHOLE, 1, STATUS),
    ];
    assert_eq!(
        wire.answer(answer.concat()),
        [
            "r0+",
            "r0 200",
            "r0 message 3",
            "r0 trailers grpc-status",
            "r0. 70/8"
        ]
    );
    assert!(wire.close().is_empty());
}

#[test]
fn padding_is_no_body() {
    let mut wire = Wire::new();
    let block = [b"\x04", GET, b"\0\0\0\0"].concat();
    let body = [&b"\x03hello"[..], b"\0\0\0"].concat();
    let asked = [
        headers(PADDED | END_HEADERS, 1, block),
        data(PADDED, 1, b"\0"),
        data(PADDED | END_STREAM, 1, body),
    ];
    assert_eq!(wire.ask(asked.concat()), ["q0+", "q0 GET /", "q0. 45/5"]);
    // More padding than there is.
    let answer = [headers(END_HEADERS, 1, OK), data(PADDED, 1, b"\x04abc")].concat();
    assert_eq!(wire.answer(answer), ["r0+", "r0 200", "r0! malformed"]);
}

#[test]
fn priority_fields_are_passed_over() {
    let mut wire = Wire::new();
    let block = [b"\x02\x80\0\0\x03\x10", GET, b"\0\0"].concat();
    assert_eq!(
        wire.ask(headers(PADDED | PRIORITY | WHOLE, 5, block)),
        ["q0+", "q0 GET /", "q0. 20/0"]
    );
    assert_eq!(wire.ask(frame(2, 0, 5, b"\0\0\0\x03\x10")), [""; 0]);
    assert_eq!(
        wire.answer(headers(WHOLE, 5, OK)),
        ["r0+", "r0 200", "r0. 10/0"]
    );
}

#[test]
fn a_block_goes_on_in_continuations() {
    let mut wire = Wire::new();
    let frames = [
        headers(END_STREAM, 1, &CALL[..3]),
        frame(9, 0, 1, b""),
        frame(9, 0, 1, &CALL[3..20]),
        frame(9, END_HEADERS, 1, &CALL[20..]),
    ];
    assert_eq!(wire.ask(frames.concat()), ["q0+", "q0 POST /7", "q0. 61/0"]);
}

#[test]
fn nothing_comes_between_a_block_and_its_continuation() {
    for other in [
        data(0, 1, b"x"),
        frame(6, 0, 0, b"12345678"),
        frame(9, END_HEADERS, 3, b""),
    ] {
        let mut wire = Wire::new();
        assert_eq!(wire.ask(headers(0, 1, GET)), ["q0+"]);
        assert_eq!(wire.ask(other), ["q0! malformed"]);
        // What comes next is read again.
        assert_eq!(
            wire.ask(headers(WHOLE, 5, GET)),
            ["q1+", "q1 GET /", "q1. 12/0"]
        );
    }
    let mut wire = Wire::new();
    assert_eq!(wire.ask(frame(9, END_HEADERS, 1, GET)), [""; 0]);
}

#[test]
fn other_frames_are_passed_over() {
    let mut wire = Wire::new();
    let others = [
        frame(4, 0, 0, b"\0\x01\0\0\x20\0\0\x03\0\0\0\x64"),
        frame(4, 1, 0, b""),
        frame(6, 0, 0, b"12345678"),
        frame(6, 1, 0, b"12345678"),
        frame(8, 0, 0, b"\0\0\xff\xff"),
        frame(8, 0, 1, b"\0\0\xff\xff"),
        // Extensions': ALTSVC, PRIORITY_UPDATE, grease.
        frame(0xa, 0, 0, b"\0\0h2=\":443\""),
        frame(0x10, 0, 0, b"\0\0\0\x01u=3"),
        frame(0xfb, 0xff, 77, b"grease"),
    ];
    let others = others.concat();
    let all = [&others[..], &headers(WHOLE, 1, GET), &others].concat();
    assert_eq!(wire.ask(&all), ["q0+", "q0 GET /", "q0. 12/0"]);
    let all = [&others[..], &headers(WHOLE, 1, OK), &others].concat();
    assert_eq!(wire.answer(&all), ["r0+", "r0 200", "r0. 10/0"]);
}

#[test]
fn frames_that_no_endpoint_takes() {
    for bad in [
        data(0, 0, b"x"),
        headers(WHOLE, 0, GET),
        headers(PRIORITY | WHOLE, 3, GET),
        headers(PADDED | WHOLE, 3, b""),
        frame(3, 0, 0, b"\0\0\0\x08"),
        frame(3, 0, 1, b"\0\0\0"),
        frame(4, 0, 1, b""),
        frame(4, 0, 0, b"12345"),
        frame(4, 1, 0, b"123456"),
        frame(5, 0, 1, b"\0\0\0"),
        frame(6, 0, 0, b"1234567"),
        frame(6, 0, 1, b"12345678"),
        frame(7, 0, 0, b"1234567"),
        frame(7, 0, 1, b"12345678"),
        frame(8, 0, 0, b"12345"),
    ] {
        let mut wire = Wire::new();
        assert_eq!(wire.ask(headers(END_HEADERS, 1, GET)), ["q0+", "q0 GET /"]);
        assert_eq!(wire.ask(&bad), ["q0! malformed"], "{bad:?}");
    }
}

#[test]
fn garbage_after_the_preface_is_no_message() {
    let mut wire = Wire::new();
    assert_eq!(wire.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), [""; 0]);
    assert_eq!(wire.ask([0xff; 4096]), [""; 0]);
    let mut wire = Wire::over(Http2::new(false), word);
    assert_eq!(wire.ask(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), [""; 0]);
    assert!(wire.close().is_empty());
}

#[test]
fn streams_are_mixed() {
    let mut wire = Wire::new();
    let asked = [
        headers(END_HEADERS, 1, CALL),
        headers(END_HEADERS, 3, CALL),
        data(0, 1, b"\0\0\0\0\x02a"),
        data(END_STREAM, 3, b"\0\0\0\0\x01c"),
        data(END_STREAM, 1, b"b"),
    ];
    assert_eq!(
        wire.ask(asked.concat()),
        [
            "q0+",
            "q0 POST /7",
            "q1+",
            "q1 POST /7",
            "q1 message 1",
            "q1. 49/6",
            "q0 message 2",
            "q0. 59/7"
        ]
    );
    let answered = [
        headers(END_HEADERS, 3, OK),
        headers(END_HEADERS, 1, OK),
        data(END_STREAM, 1, b"x"),
        data(END_STREAM, 3, b"yy"),
    ];
    assert_eq!(
        wire.answer(answered.concat()),
        ["r1+", "r1 200", "r0+", "r0 200", "r0. 20/1", "r1. 21/2"]
    );
}

#[test]
fn grpc_messages_however_they_are_cut() {
    let messages = b"\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\x01\0";
    for size in [1, 2, 3, 5, 8, 100] {
        let mut wire = Wire::new();
        wire.ask(headers(END_HEADERS, 1, CALL));
        let mut words = Vec::new();
        for part in messages.chunks(size) {
            words.extend(wire.ask(data(0, 1, part)));
        }
        assert_eq!(words, ["q0 message 3", "q0 message 0"]);
        // 256 bytes are announced; the last of them comes with the end.
        assert_eq!(wire.ask(data(0, 1, [0; 255])), [""; 0]);
        let words = wire.ask(data(END_STREAM, 1, b"x"));
        assert_eq!(words[0], "q0 message 256");
    }
}

#[test]
fn messages_are_counted_in_grpc_only() {
    for content_type in [
        "application/json",
        "application/grpc-web",
        "application/grp",
    ] {
        let mut wire = Wire::new();
        let length = content_type.len() as u8;
        let block = [GET, b"\x0f\x10", &[length], content_type.as_bytes()].concat();
        wire.ask(headers(END_HEADERS, 1, block));
        assert_eq!(
            wire.ask(data(0, 1, b"\0\0\0\0\x01c")),
            [""; 0],
            "{content_type}"
        );
    }
    for content_type in [
        "application/grpc+proto",
        "application/grpc;x",
        "Application/gRPC",
    ] {
        let mut wire = Wire::new();
        let length = content_type.len() as u8;
        let block = [GET, b"\x0f\x10", &[length], content_type.as_bytes()].concat();
        wire.ask(headers(END_HEADERS, 1, block));
        assert_eq!(wire.ask(data(0, 1, b"\0\0\0\0\x01c")), ["q0 message 1"]);
    }
    // No message begins so.
    let mut wire = Wire::new();
    wire.ask(headers(END_HEADERS, 1, CALL));
    assert_eq!(wire.ask(data(0, 1, b"\x02\0\0\0\0\0\0\0\0\0")), [""; 0]);
}

#[test]
fn trailers_only_is_a_head() {
    let mut wire = Wire::new();
    wire.ask(headers(WHOLE, 1, CALL));
    let block = [OK_GRPC, STATUS].concat();
    assert_eq!(
        wire.answer(headers(WHOLE, 1, block)),
        ["r0+", "r0 200", "r0. 44/0"]
    );
}

#[test]
fn what_follows_a_requests_body_is_part_of_it() {
    let mut wire = Wire::new();
    let asked = [
        headers(END_HEADERS, 1, GET),
        data(0, 1, b"x"),
        headers(WHOLE, 1, STATUS),
    ];
    assert_eq!(wire.ask(asked.concat()), ["q0+", "q0 GET /", "q0. 46/1"]);
}

#[test]
fn interim_responses_are_not_counted() {
    let mut wire = Wire::new();
    assert_eq!(wire.ask(headers(END_HEADERS, 1, GET)), ["q0+", "q0 GET /"]);
    let interim = headers(END_HEADERS, 1, b"\x08\x03100");
    assert_eq!(wire.answer(&interim), ["r0+", "r0?"]);
    assert_eq!(wire.answer(&interim), ["r0+", "r0?"]);
    assert_eq!(wire.ask(data(END_STREAM, 1, b"x")), ["q0. 22/1"]);
    assert_eq!(
        wire.answer(headers(WHOLE, 1, OK)),
        ["r0+", "r0 200", "r0. 10/0"]
    );
}

#[test]
fn a_tunnel_ends_as_other_streams_do() {
    let mut wire = Wire::new();
    // `:method: CONNECT`, `:authority: a:1`.
    let block = b"\x02\x07CONNECT\x01\x03a:1";
    assert_eq!(
        wire.ask(headers(END_HEADERS, 1, block)),
        ["q0+", "q0 CONNECT "]
    );
    assert_eq!(wire.answer(headers(END_HEADERS, 1, OK)), ["r0+", "r0 200"]);
    assert_eq!(wire.ask(data(0, 1, b"ping")), [""; 0]);
    assert_eq!(wire.answer(data(END_STREAM, 1, b"pong")), ["r0. 23/4"]);
    assert_eq!(wire.ask(data(END_STREAM, 1, b"")), ["q0. 45/4"]);
}

#[test]
fn a_reset_cuts_what_is_unfinished() {
    let mut wire = Wire::new();
    wire.ask([headers(END_HEADERS, 1, GET), headers(WHOLE, 3, GET)].concat());
    wire.answer(headers(END_HEADERS, 1, OK));
    let cancel = b"\0\0\0\x08";
    assert_eq!(
        wire.ask(frame(3, 0, 1, cancel)),
        ["q0 reset 8", "q0! stream_reset", "r0! stream_reset"]
    );
    // The server may not know yet.
    assert_eq!(wire.answer(data(0, 1, b"late")), [""; 0]);
    assert_eq!(wire.answer(headers(WHOLE, 1, STATUS)), [""; 0]);
    assert_eq!(
        wire.answer(frame(3, 0, 3, b"\0\0\0\x07")),
        ["r1 reset 7", "r1! stream_reset"]
    );
    assert_eq!(wire.answer(frame(3, 0, 3, b"\0\0\0\x07")), [""; 0]);
    assert!(wire.close().is_empty());
}

#[test]
fn a_server_may_answer_and_want_no_more() {
    let mut wire = Wire::new();
    wire.ask(headers(END_HEADERS, 1, GET));
    wire.ask(data(0, 1, b"ping"));
    let answer = [headers(WHOLE, 1, OK), frame(3, 0, 1, b"\0\0\0\0")].concat();
    assert_eq!(
        wire.answer(answer),
        ["r0+", "r0 200", "r0. 10/0", "q0. 25/4"]
    );
    // The client may not know yet.
    assert_eq!(wire.ask(data(END_STREAM, 1, b"")), [""; 0]);
    // Another word than that is a failure.
    wire.ask(headers(END_HEADERS, 3, GET));
    let answer = [headers(WHOLE, 3, OK), frame(3, 0, 3, b"\0\0\0\x08")].concat();
    assert_eq!(
        wire.answer(answer),
        [
            "r1+",
            "r1 200",
            "r1. 10/0",
            "r1 reset 8",
            "q1! stream_reset"
        ]
    );
}

#[test]
fn streams_above_a_goaways_last_get_no_response() {
    let mut wire = Wire::new();
    for stream in [1, 3, 5] {
        wire.ask(headers(WHOLE, stream, GET));
    }
    // A graceful one first, which refuses none.
    assert_eq!(
        wire.answer(frame(7, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0")),
        [""; 0]
    );
    assert_eq!(
        wire.answer(frame(7, 0, 0, b"\0\0\0\x03\0\0\0\0bye")),
        ["r2! stream_reset"]
    );
    assert_eq!(
        wire.ask(headers(WHOLE, 7, GET)),
        ["q3+", "q3 GET /", "r3! stream_reset", "q3. 12/0"]
    );
    // A client's concerns pushed requests.
    assert_eq!(wire.ask(frame(7, 0, 0, b"\0\0\0\0\0\0\0\0")), [""; 0]);
    assert_eq!(
        wire.answer(headers(WHOLE, 3, OK)),
        ["r1+", "r1 200", "r1. 10/0"]
    );
    assert_eq!(wire.close(), ["r0! connection_closed"]);
}

#[test]
fn pushed_requests_are_passed_over() {
    let mut wire = Wire::new();
    wire.ask(headers(WHOLE, 1, GET));
    // Its block inserts `a: b`, which the response refers to.
    let promise = frame(5, END_HEADERS, 1, b"\0\0\0\x02\x82\x86\x84\x40\x01a\x01b");
    let pushed = [headers(END_HEADERS, 2, OK), data(END_STREAM, 2, b"pushed")];
    assert_eq!(wire.answer(promise), [""; 0]);
    assert_eq!(wire.answer(pushed.concat()), [""; 0]);
    let mut events = Vec::new();
    let response = headers(WHOLE, 1, b"\x88\xbe");
    wire.protocol
        .push(Side::Response, Input::Bytes(&response), &mut events);
    let head = events.iter().find_map(|event| match event {
        Event::ResponseHead(_, crate::protocol::Head::Http(head)) => head.field("a"),
        _ => None,
    });
    assert_eq!(head, Some(&b"b"[..]));
}

#[test]
fn messages_that_are_none_of_http() {
    // A request without any pseudo-field, one that has a status, a response that has none.
    let mut wire = Wire::new();
    assert_eq!(
        wire.ask(headers(WHOLE, 1, STATUS)),
        ["q0+", "q0! malformed"]
    );
    assert_eq!(wire.ask(headers(WHOLE, 3, OK)), ["q1+", "q1! malformed"]);
    wire.ask(headers(WHOLE, 5, GET));
    assert_eq!(
        wire.answer(headers(WHOLE, 5, STATUS)),
        ["r2+", "r2! malformed"]
    );
    wire.ask(headers(WHOLE, 7, GET));
    assert_eq!(wire.answer(data(0, 7, b"x")), ["r3! malformed"]);
}

#[test]
fn pseudo_fields_become_a_head() {
    let mut wire = Wire::new();
    let block = b"\x82\x87\x84\x01\x05a.com\0\x09:protocol\x09websocket\0\x01X\x01y\0\x01z\x02\r\n";
    let bytes = headers(WHOLE, 1, block);
    let mut events = Vec::new();
    wire.protocol
        .push(Side::Request, Input::Bytes(&bytes), &mut events);
    let head = events.iter().find_map(|event| match event {
        Event::RequestHead(_, crate::protocol::Head::Http(head)) => Some(head),
        _ => None,
    });
    let head = head.expect("a head");
    assert_eq!((head.method(), head.target()), (&b"GET"[..], &b"/"[..]));
    let fields: Vec<_> = head.fields().collect();
    let expected: [(&[u8], &[u8]); 4] = [
        (b":scheme", b"https"),
        (b":authority", b"a.com"),
        (b":protocol", b"websocket"),
        (b"x", b"y"),
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_requests_position_is_its_first_byte() {
    let mut wire = Wire::new();
    let bytes = [frame(6, 0, 0, b"12345678"), headers(WHOLE, 1, GET)].concat();
    let mut events = Vec::new();
    for byte in bytes {
        wire.protocol
            .push(Side::Request, Input::Bytes(&[byte]), &mut events);
    }
    let at = events.iter().find_map(|event| match event {
        Event::RequestStarted(_, at) => Some(*at),
        _ => None,
    });
    assert_eq!(at, Some((PREFACE.len() + SETTINGS.len() + 17) as u64));
}
