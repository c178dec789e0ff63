//! Messages and their bodies, nothing missing.

use super::*;

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn an_exchange() {
    let mut wire = Wire::new();
    assert_eq!(wire.ask(GET), ["q0+", "q0 GET /a", "q0. 28/0"]);
    assert_eq!(wire.answer(OK), ["r0+", "r0 200", "r0. 40/2"]);
    assert!(wire.close().is_empty());
}

#[test]
fn keep_alive() {
    let mut wire = Wire::new();
    for id in 0..100 {
        assert_eq!(wire.ask(GET)[0], format!("q{id}+"));
        assert_eq!(wire.answer(OK)[2], format!("r{id}. 40/2"));
    }
}

#[test]
fn fifty_pipelined_answered_in_one() {
    let mut wire = Wire::new();
    assert_eq!(wire.ask(GET.repeat(50)).len(), 150);
    let words = wire.answer(OK.repeat(50));
    assert_eq!(words.len(), 150);
    assert_eq!(words[147..], ["r49+", "r49 200", "r49. 40/2"]);
}

#[test]
fn fifty_pipelined_answered_in_many() {
    let mut wire = Wire::new();
    wire.ask(GET.repeat(50));
    for id in 0..50 {
        assert_eq!(wire.answer(OK)[0], format!("r{id}+"));
    }
}

#[test]
fn next_request_before_the_response_ended() {
    let mut wire = Wire::new();
    wire.ask(GET);
    assert_eq!(wire.answer(&OK[..20]), ["r0+"]);
    assert_eq!(wire.ask(GET), ["q1+", "q1 GET /a", "q1. 28/0"]);
    assert_eq!(wire.answer(&OK[20..]), ["r0 200", "r0. 40/2"]);
    assert_eq!(wire.answer(OK)[0], "r1+");
}

#[test]
fn one_byte_at_a_time() {
    let mut wire = Wire::new();
    let request = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    let mut words = Vec::new();
    for (at, byte) in request.bytes().enumerate() {
        let now = wire.ask([byte]);
        match at {
            0 => assert_eq!(now, ["q0+"]),
            38 => assert_eq!(now, ["q0 POST /a"]),
            41 => assert_eq!(now, ["q0. 42/3"]),
            _ => assert!(now.is_empty(), "{at}: {now:?}"),
        }
        words.extend(now);
    }
    assert_eq!(words.len(), 3);
    for byte in OK.bytes() {
        words.extend(wire.answer([byte]));
    }
    assert_eq!(words[3..], ["r0+", "r0 200", "r0. 40/2"]);
}

#[test]
fn bodies_with_a_length() {
    let mut wire = Wire::new();
    let head = "PUT /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n";
    assert_eq!(wire.ask(head), ["q0+", "q0 PUT /a"]);
    assert!(wire.ask("01234").is_empty());
    // The last body byte and the next request in one transfer.
    assert_eq!(
        wire.ask(format!("56789{GET}")),
        ["q0. 49/10", "q1+", "q1 GET /a", "q1. 28/0"]
    );
}

#[test]
fn a_long_body_is_walked_over() {
    let mut wire = Wire::new();
    wire.ask(GET);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    assert_eq!(
        wire.long(Side::Response, head, 65_000, &[b'x'; 1000]),
        ["r0+", "r0 200"]
    );
    assert!(wire.long(Side::Response, b"x", 900_000, b"").is_empty());
    assert_eq!(
        wire.input(Side::Response, Input::Skipped(33_999)),
        ["r0. 1000044/1000000"]
    );
}

#[test]
fn chunked() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bodies = [
        ("5\r\nhello\r\n0\r\n\r\n", 5),
        ("0\r\n\r\n", 0),
        (
            "000a;name=value;b=\"c\"\r\n0123456789\r\nA\r\n0123456789\r\n0;last\r\n\r\n",
            20,
        ),
        ("1 \r\nx\r\n00 ; a\r\nTrailer: 1\r\nOther: 2\r\n\r\n", 1),
        // Bare line feeds.
        ("3\nabc\n0\n\n", 3),
        // Data that looks like an end.
        ("7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n", 7),
    ];
    for (body, length) in bodies {
        let message = format!("{head}{body}");
        let expected = format!("r0. {}/{length}", message.len());
        let mut wire = Wire::new();
        wire.ask(GET);
        assert_eq!(
            wire.answer(&message),
            ["r0+", "r0 200", &expected],
            "{body:?}"
        );
        for split in 1..message.len() {
            let mut wire = Wire::new();
            wire.ask(GET);
            let mut words = wire.answer(&message[..split]);
            words.extend(wire.answer(&message[split..]));
            assert_eq!(words, ["r0+", "r0 200", &expected], "{body:?} at {split}");
        }
    }
}

#[test]
fn a_bad_chunk_makes_the_message_malformed() {
    let head = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "x\r\n",
        "\r\n",
        ";a\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\n",
        "1\r\nabc",
    ] {
        let mut wire = Wire::new();
        assert_eq!(
            wire.ask(format!("{head}{body}")),
            ["q0+", "q0 POST /a", "q0! malformed"],
            "{body:?}"
        );
        // Its answer is still its own, and the next request is found.
        assert_eq!(wire.answer(OK), ["r0+", "r0 200", "r0. 40/2"]);
        assert_eq!(wire.ask(GET), ["q1+", "q1 GET /a", "q1. 28/0"]);
        assert_eq!(wire.answer(OK)[0], "r1+");
    }
}

#[test]
fn until_close() {
    let mut wire = Wire::new();
    wire.ask("GET /a HTTP/1.0\r\n\r\n");
    assert_eq!(wire.answer("HTTP/1.0 200 OK\r\n\r\nabc"), ["r0+", "r0 200"]);
    assert!(wire.long(Side::Response, b"def", 10, b"").is_empty());
    assert!(wire.lose(Side::Response, 4).is_empty());
    assert!(wire.end(Side::Request).is_empty());
    assert_eq!(wire.end(Side::Response), ["r0. 39/20"]);
    assert!(wire.end(Side::Response).is_empty());
}

#[test]
fn until_the_agent_stops() {
    let mut wire = Wire::new();
    wire.ask("GET /a HTTP/1.0\r\n\r\n");
    wire.answer("HTTP/1.0 200 OK\r\n\r\nabc");
    let mut out = Vec::new();
    wire.protocol
        .end(Side::Response, Incomplete::AgentStopped, &mut out);
    assert_eq!(word(&out[0]), "r0! agent_stopped");
}

#[test]
fn an_answer_to_head_has_no_body() {
    let mut wire = Wire::new();
    wire.ask("HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    assert_eq!(
        wire.answer(format!("{head}{OK}")),
        ["r0+", "r0 200", "r0. 41/0", "r1+", "r1 200", "r1. 40/2"]
    );
    wire.ask("HEAD /a HTTP/1.1\r\n\r\n");
    assert_eq!(
        wire.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")[2],
        "r2. 47/0"
    );
}

#[test]
fn no_content_and_not_modified_have_no_body() {
    let mut wire = Wire::new();
    wire.ask(GET.repeat(3));
    assert_eq!(
        wire.answer("HTTP/1.1 204 No Content\r\n\r\n")[2],
        "r0. 27/0"
    );
    assert_eq!(
        wire.answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n")[2],
        "r1. 49/0"
    );
    assert_eq!(wire.answer(OK)[2], "r2. 40/2");
}

#[test]
fn interim_responses() {
    let mut wire = Wire::new();
    wire.ask("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(wire.answer("HTTP/1.1 100 Continue\r\n\r\n"), ["r0+", "r0?"]);
    assert_eq!(wire.ask("ok"), ["q0. 63/2"]);
    assert_eq!(
        wire.answer(format!(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{OK}"
        )),
        ["r0+", "r0?", "r0+", "r0?", "r0+", "r0 200", "r0. 40/2"]
    );
}

#[test]
fn answered_before_the_request_ended() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.ask("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123"),
        ["q0+", "q0 POST /a"]
    );
    assert_eq!(
        wire.answer("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"),
        ["r0+", "r0 413", "r0. 53/0"]
    );
    // The client goes on all the same, and then asks again.
    assert_eq!(wire.ask("456789"), ["q0. 50/10"]);
    assert_eq!(wire.ask(GET)[0], "q1+");
    assert_eq!(wire.answer(OK)[0], "r1+");
}

#[test]
fn answered_before_the_request_ended_and_closed() {
    let mut wire = Wire::new();
    wire.ask("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123");
    wire.answer("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n");
    assert_eq!(wire.close(), ["q0! connection_closed", "r0. 53/0"]);
}

#[test]
fn answered_before_the_head_ended() {
    let mut wire = Wire::new();
    wire.ask("HEAD /a HTTP/1.1\r\nHo");
    assert_eq!(
        wire.answer("HTTP/1.1 408 Request Timeout\r\nContent-Length: 9\r\n\r\n"),
        ["r0+", "r0 408", "r0. 51/0"]
    );
}

#[test]
fn upgrade() {
    let mut wire = Wire::new();
    wire.ask("GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    assert_eq!(
        wire.answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02"),
        ["r0+", "r0 101", "r0. 56/0", "opaque"]
    );
    assert!(wire.ask(GET).is_empty());
    assert!(wire.answer(OK).is_empty());
    assert!(wire.close().is_empty());
}

/// What a client asks with that would rather speak HTTP/2.
const WOULD_UPGRADE: &str = "GET /old HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\n\
    Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";

#[test]
fn an_upgrade_to_http2_goes_on_as_such() {
    let mut wire = Wire::new();
    assert_eq!(wire.ask(WOULD_UPGRADE), ["q0+", "q0 GET /old", "q0. 98/0"]);
    // The 101, the server's settings, and the response to the upgrading request on stream 1.
    let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let frames = b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x04\0\0\0\x01\x88";
    assert_eq!(
        wire.answer([&agreed[..], frames].concat()),
        ["r0+", "r0?", "r0+", "r0 200"]
    );
    assert_eq!(
        wire.protocol.framing(),
        Some(crate::protocol::Framing::Http2)
    );
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let request = b"\0\0\x03\x01\x05\0\0\0\x03\x82\x86\x84";
    let mut events = Vec::new();
    let bytes = [&preface[..], request].concat();
    wire.protocol
        .push(Side::Request, Input::Bytes(&bytes), &mut events);
    let words: Vec<_> = events.iter().map(word).collect();
    assert_eq!(words, ["q1+", "q1 GET /", "q1. 12/0"]);
    assert!(matches!(events[0], Event::RequestStarted(1, 131)));
    assert_eq!(wire.answer(b"\0\0\x02\0\x01\0\0\0\x01hi"), ["r0. 21/2"]);
    assert_eq!(wire.close(), ["r1! connection_closed"]);
}

#[test]
fn a_server_that_does_not_upgrade_answers() {
    let mut wire = Wire::new();
    wire.ask(WOULD_UPGRADE);
    assert_eq!(
        wire.answer("HTTP/1.1 204 No\r\nUpgrade: h2c\r\n\r\n"),
        ["r0+", "r0 204", "r0. 33/0"]
    );
    assert_eq!(wire.ask(GET).len(), 3);
}

#[test]
fn connect() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n"),
        ["q0+", "q0 CONNECT a.example:443", "q0. 34/0"]
    );
    assert_eq!(
        wire.answer("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"),
        ["r0+", "r0 407", "r0. 67/2"]
    );
    wire.ask("CONNECT a.example:443 HTTP/1.1\r\nProxy-Authorization: x\r\n\r\n");
    assert_eq!(
        wire.answer("HTTP/1.1 200 Connection established\r\n\r\n\x16\x03\x01"),
        ["r1+", "r1 200", "r1. 39/0", "opaque"]
    );
    assert!(wire.ask(b"\x16\x03\x01").is_empty());
}

#[test]
fn a_tunnel_may_be_used_before_it_is_granted() {
    let mut wire = Wire::new();
    wire.ask("CONNECT a:443 HTTP/1.1\r\n\r\n\x16\x03\x01garbage");
    assert!(wire.ask("more garbage").is_empty());
    assert_eq!(
        wire.answer("HTTP/1.1 200 OK\r\n\r\n"),
        ["r0+", "r0 200", "r0. 19/0", "opaque"]
    );
}

#[test]
fn closed_at_any_point() {
    let request = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    for cut in 1..request.len() {
        let mut wire = Wire::new();
        wire.ask(&request[..cut]);
        assert_eq!(
            wire.close(),
            ["q0! connection_closed", "r0! connection_closed"]
        );
    }
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for cut in 1..chunked.len() {
        let mut wire = Wire::new();
        wire.ask(GET);
        wire.answer(&chunked[..cut]);
        assert_eq!(wire.close(), ["r0! connection_closed"], "{cut}");
    }
}

#[test]
fn closed_without_an_answer() {
    let mut wire = Wire::new();
    wire.ask(GET.repeat(2));
    wire.answer(OK);
    assert_eq!(wire.close(), ["r1! connection_closed"]);
}

#[test]
fn the_client_shuts_down_its_side_first() {
    let mut wire = Wire::new();
    wire.ask(GET);
    assert!(wire.end(Side::Request).is_empty());
    assert_eq!(wire.answer(OK), ["r0+", "r0 200", "r0. 40/2"]);
}

#[test]
fn asked_after_the_server_shut_down_its_side() {
    let mut wire = Wire::new();
    wire.ask(GET);
    wire.answer(OK);
    assert!(wire.end(Side::Response).is_empty());
    assert_eq!(
        wire.ask(GET),
        ["q1+", "q1 GET /a", "q1. 28/0", "r1! connection_closed"]
    );
}

#[test]
fn a_response_whose_request_is_recorded_later() {
    let mut wire = Wire::new();
    assert!(wire.answer(OK).is_empty());
    assert_eq!(
        wire.ask(GET),
        ["q0+", "q0 GET /a", "q0. 28/0", "r0+", "r0 200", "r0. 40/2"]
    );
    assert!(wire.answer(&OK[..10]).is_empty());
    assert!(wire.answer(&OK[10..]).is_empty());
    assert_eq!(wire.ask(GET)[3..], ["r1+", "r1 200", "r1. 40/2"]);
    wire.ask(GET);
    assert_eq!(wire.answer(OK), ["r2+", "r2 200", "r2. 40/2"]);
}

#[test]
fn a_response_that_nobody_asked_for() {
    let mut wire = Wire::new();
    wire.ask(GET);
    wire.answer(OK);
    assert!(
        wire.answer("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            .is_empty()
    );
    assert_eq!(wire.close(), ["r_! connection_closed"]);
}

#[test]
fn requests_without_answers_are_bounded() {
    let mut wire = Wire::new();
    let limit = crate::protocol::http1::pairing::PENDING_LIMIT as u64;
    for id in 0..limit {
        assert_eq!(wire.ask(GET)[0], format!("q{id}+"));
    }
    assert_eq!(
        wire.ask(GET)[1..],
        [
            format!("q{limit} GET /a"),
            format!("q{limit}. 28/0"),
            format!("r{limit}! evicted")
        ]
    );
    for _ in 0..100_000 {
        wire.ask(GET);
    }
    // Those before are answered as ever.
    assert_eq!(wire.answer(OK)[0], "r0+");
}

#[test]
fn bytes_beyond_a_response_are_no_message() {
    let mut wire = Wire::new();
    wire.ask(GET);
    assert_eq!(wire.answer(format!("{OK}\r\nextra")).len(), 3);
    assert!(wire.answer("more of it").is_empty());
    wire.ask(GET);
    assert_eq!(wire.answer(OK), ["r1+", "r1 200", "r1. 40/2"]);
    assert!(wire.close().is_empty());
}

/// Where each request begins is told, whatever lies before it and however it is cut.
#[test]
fn requests_tell_where_they_begin() {
    let stream = b"\r\n\r\nGET /a HTTP/1.1\r\n\r\n\r\nPOST /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nxyzGET /c HTTP/1.1\r\n\r\n";
    for size in [1, 7, stream.len()] {
        let (mut http, mut events) = (Http1::new(false), Vec::new());
        for piece in stream.chunks(size) {
            http.push(Side::Request, Input::Bytes(piece), &mut events);
        }
        let begins: Vec<u64> = events
            .iter()
            .filter_map(|event| match event {
                Event::RequestStarted(_, at) => Some(*at),
                _ => None,
            })
            .collect();
        let begin_of = |what: &[u8]| stream.windows(what.len()).position(|w| w == what);
        let expected = [&b"GET /a"[..], b"POST", b"GET /c"].map(|w| begin_of(w).unwrap() as u64);
        assert_eq!(begins, expected, "in pieces of {size}");
    }
    // After a hole the position goes on counting.
    let (mut http, mut events) = (Http1::new(false), Vec::new());
    http.push(Side::Request, Input::Lost(100), &mut events);
    for byte in b"GET /d HTTP/1.1\r\n\r\n" {
        http.push(Side::Request, Input::Bytes(&[*byte]), &mut events);
    }
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::RequestStarted(_, 100))),
        "{events:?}"
    );
}
