//! Heads: what is read of them, and of their framing.

use super::super::head::{self, Coding, Framing, HEAD_LIMIT, Length, Parsed};
use super::*;
use crate::protocol::Match;
use crate::protocol::http::{Head, Version};

fn parse(side: Side, bytes: impl AsRef<[u8]>) -> Option<(Head, Framing, usize)> {
    match head::parse(side, bytes.as_ref()) {
        Parsed::Complete(head, framing, length) => Some((*head, framing, length)),
        Parsed::Partial | Parsed::Bad => None,
    }
}

fn request(bytes: impl AsRef<[u8]>) -> Head {
    parse(Side::Request, bytes).unwrap().0
}

fn fields(head: &Head) -> Vec<(&str, &str)> {
    head.fields()
        .map(|(name, value)| {
            (
                std::str::from_utf8(name).unwrap(),
                std::str::from_utf8(value).unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_request() {
    let bytes = "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-UPPER:  Value \t\r\nempty:\r\n\r\nrest";
    let (head, framing, length) = parse(Side::Request, bytes).unwrap();
    assert_eq!(length, bytes.len() - 4);
    assert_eq!(head.method(), b"GET");
    assert_eq!(head.target(), b"/a?b=c");
    assert_eq!(head.status(), 0);
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(
        fields(&head),
        [("host", "x"), ("x-upper", "Value"), ("empty", "")]
    );
    assert_eq!(head.field("x-upper"), Some(&b"Value"[..]));
    assert_eq!(head.field("x-uppe"), None);
    assert_eq!(framing.length, Length::Absent);
    assert_eq!(framing.coding, Coding::Absent);
}

#[test]
fn a_response() {
    let (head, ..) = parse(Side::Response, "HTTP/1.0 404 Not Found\r\n\r\n").unwrap();
    assert_eq!(head.status(), 404);
    assert_eq!(head.version(), Version::Http10);
    assert_eq!((head.method(), head.target()), (&b""[..], &b""[..]));
    for line in [
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1  200 OK",
        "HTTP/1.2 200 \u{f6}",
    ] {
        let (head, ..) = parse(Side::Response, format!("{line}\r\n\r\n")).unwrap();
        assert_eq!(head.status(), 200, "{line}");
        assert_eq!(
            head.version() == Version::Http11,
            !line.starts_with("HTTP/1.0")
        );
    }
    for line in [
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 abc",
        "HTTP/2.0 200 OK",
        "HTTP/1.1200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "HTTP/1.1 099 X",
    ] {
        assert!(
            matches!(
                head::parse(Side::Response, format!("{line}\r\n\r\n").as_bytes()),
                Parsed::Bad
            ),
            "{line}"
        );
    }
}

#[test]
fn targets_and_methods() {
    for (line, method, target) in [
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*"),
        (
            "GET http://a.example/b HTTP/1.1",
            "GET",
            "http://a.example/b",
        ),
        ("CONNECT a.example:443 HTTP/1.1", "CONNECT", "a.example:443"),
        ("M-SEARCH * HTTP/1.1", "M-SEARCH", "*"),
        ("x!#$%&'*+-.^_`|~9 / HTTP/1.0", "x!#$%&'*+-.^_`|~9", "/"),
        ("GET  \t /a  HTTP/1.1 ", "GET", "/a"),
        ("GET /a b c HTTP/1.1", "GET", "/a b c"),
        ("GET /\u{fc} HTTP/1.1", "GET", "/\u{fc}"),
    ] {
        let head = request(format!("{line}\r\n\r\n"));
        assert_eq!(head.method(), method.as_bytes(), "{line}");
        assert_eq!(head.target(), target.as_bytes(), "{line}");
    }
    for line in [
        "GET /",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/1.",
        "GET /HTTP/1.1",
        "HTTP/1.1 200 OK",
        "",
        "GET",
    ] {
        assert!(
            matches!(
                head::parse(Side::Request, format!("{line}\r\n\r\n").as_bytes()),
                Parsed::Bad
            ),
            "{line}"
        );
    }
}

#[test]
fn bare_line_feeds() {
    let head = request("GET / HTTP/1.1\nA: 1\r\nB: 2\n\n");
    assert_eq!(fields(&head), [("a", "1"), ("b", "2")]);
    let mut wire = Wire::new();
    assert_eq!(
        wire.ask("GET /a HTTP/1.1\nHost: x\n\nGET /b HTTP/1.1\n\n"),
        [
            "q0+",
            "q0 GET /a",
            "q0. 25/0",
            "q1+",
            "q1 GET /b",
            "q1. 17/0"
        ]
    );
}

#[test]
fn empty_lines_before_a_message_are_not_part_of_it() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.ask("\r\n\r\n\nGET /a HTTP/1.1\r\n\r\n\r\n"),
        ["q0+", "q0 GET /a", "q0. 19/0"]
    );
    assert!(wire.ask("\r").is_empty());
    assert_eq!(wire.ask("\nG"), ["q1+"]);
}

#[test]
fn folded_lines() {
    let head = request("GET / HTTP/1.1\r\nA: 1\r\n  2\r\n\t3 \r\nB:\r\n late\r\nC: 4\r\n \r\n\r\n");
    let read: Vec<_> = head
        .fields()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value);
            let value: Vec<_> = value.split_ascii_whitespace().collect();
            (String::from_utf8_lossy(name).into_owned(), value.join(" "))
        })
        .collect();
    let expected = [("a", "1 2 3"), ("b", "late"), ("c", "4")];
    assert_eq!(read, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    for (_, value) in head.fields() {
        assert!(!value.contains(&b'\n') && !value.contains(&b'\r'));
    }
    // A folded length counts.
    let (_, framing, _) = parse(
        Side::Request,
        "POST / HTTP/1.1\r\nContent-Length:\r\n  12\r\n\r\n",
    )
    .unwrap();
    assert_eq!(framing.length, Length::Bytes(12));
    // White space right after the start line is no field.
    let head = request("GET / HTTP/1.1\r\n  Host: x\r\nA: 1\r\n\r\n");
    assert_eq!(fields(&head), [("a", "1")]);
}

#[test]
fn odd_field_lines() {
    let head =
        request("GET / HTTP/1.1\r\nA : 1\r\nB\t:2\r\nno field\r\n: no name\r\nC: a:b\r\n\r\n");
    assert_eq!(fields(&head), [("a", "1"), ("b", "2"), ("c", "a:b")]);
}

#[test]
fn many_fields() {
    let mut bytes = b"GET / HTTP/1.1\r\n".to_vec();
    for n in 0..1000 {
        bytes.extend(format!("N{n}: {n}\r\n").bytes());
    }
    bytes.extend(b"\r\n");
    let head = request(bytes);
    assert_eq!(head.fields().count(), 1000);
    assert_eq!(head.field("n999"), Some(&b"999"[..]));
}

fn framing(side: Side, lines: &str) -> Framing {
    let start = match side {
        Side::Request => "POST / HTTP/1.1",
        Side::Response => "HTTP/1.1 200 OK",
    };
    parse(side, format!("{start}\r\n{lines}\r\n\r\n"))
        .unwrap()
        .1
}

#[test]
fn lengths() {
    for (lines, length) in [
        ("A: 1", Length::Absent),
        ("Content-Length: 0", Length::Bytes(0)),
        ("CONTENT-LENGTH:42", Length::Bytes(42)),
        ("content-length : 007", Length::Bytes(7)),
        ("Content-Length: 5, 5", Length::Bytes(5)),
        ("Content-Length: 5\r\nContent-Length: 5", Length::Bytes(5)),
        (
            "Content-Length: 18446744073709551615",
            Length::Bytes(u64::MAX),
        ),
        ("Content-Length: 18446744073709551616", Length::Bad),
        ("Content-Length: 5\r\nContent-Length: 6", Length::Bad),
        ("Content-Length: 5, 6", Length::Bad),
        ("Content-Length: 5,", Length::Bad),
        ("Content-Length: +5", Length::Bad),
        ("Content-Length: -5", Length::Bad),
        ("Content-Length: 0x5", Length::Bad),
        ("Content-Length: 5 5", Length::Bad),
        ("Content-Length:", Length::Bad),
    ] {
        assert_eq!(framing(Side::Request, lines).length, length, "{lines}");
    }
}

#[test]
fn codings() {
    for (lines, coding) in [
        ("Transfer-Encoding: chunked", Coding::Chunked),
        ("transfer-encoding: CHUNKED", Coding::Chunked),
        ("Transfer-Encoding: gzip, chunked", Coding::Chunked),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
            Coding::Chunked,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            Coding::Chunked,
        ),
        ("Transfer-Encoding: chunked, gzip", Coding::Other),
        ("Transfer-Encoding: xchunked", Coding::Other),
        ("Transfer-Encoding: identity", Coding::Absent),
        ("Transfer-Encoding:", Coding::Absent),
    ] {
        assert_eq!(framing(Side::Response, lines).coding, coding, "{lines}");
    }
}

#[test]
fn chunked_beats_a_length() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.ask(
            "POST /a HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )[2],
        "q0. 73/0"
    );
}

#[test]
fn framing_that_can_not_be_followed() {
    for lines in ["Content-Length: 1, 2", "Transfer-Encoding: gzip"] {
        let mut wire = Wire::new();
        assert_eq!(
            wire.ask(format!("POST /a HTTP/1.1\r\n{lines}\r\n\r\n")),
            ["q0+", "q0 POST /a", "q0! malformed"]
        );
        assert_eq!(
            wire.answer("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
            ["r0+", "r0 400", "r0. 47/0"]
        );
    }
    let mut wire = Wire::new();
    wire.ask("GET /a HTTP/1.1\r\n\r\n");
    assert_eq!(
        wire.answer("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nbody"),
        ["r0+", "r0 200", "r0! malformed"]
    );
    wire.ask("GET /b HTTP/1.1\r\n\r\n");
    assert_eq!(
        wire.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nbody"),
        ["r1+", "r1 200"]
    );
    assert_eq!(wire.close(), ["r1. 48/4"]);
}

/// A head of exactly that many bytes.
fn head_of(length: usize) -> Vec<u8> {
    let mut head = b"GET /a HTTP/1.1\r\nX: ".to_vec();
    head.resize(length - 4, b'x');
    head.extend(b"\r\n\r\n");
    head
}

#[test]
fn heads_up_to_the_limit() {
    for pieces in [HEAD_LIMIT, 4096, 1000, 1] {
        let mut wire = Wire::new();
        let head = head_of(HEAD_LIMIT);
        let mut words = Vec::new();
        for piece in head.chunks(pieces) {
            words.extend(wire.ask(piece));
        }
        assert_eq!(words, ["q0+", "q0 GET /a", "q0. 16384/0"]);
    }
}

#[test]
fn heads_beyond_the_limit() {
    for pieces in [1 << 20, HEAD_LIMIT, 4096, 1000] {
        let mut wire = Wire::new();
        let head = head_of(HEAD_LIMIT + 1);
        let mut words = Vec::new();
        for piece in head.chunks(pieces) {
            words.extend(wire.ask(piece));
        }
        assert_eq!(words, ["q0+", "q0! head_too_large"]);
        assert_eq!(
            wire.answer("HTTP/1.1 431 Too Large\r\nContent-Length: 2\r\n\r\nno"),
            ["r0+", "r0 431", "r0. 47/2"]
        );
        assert_eq!(
            wire.ask("GET /b HTTP/1.1\r\n\r\n"),
            ["q1+", "q1 GET /b", "q1. 19/0"]
        );
        assert_eq!(wire.answer("HTTP/1.1 204 X\r\n\r\n")[0], "r1+");
    }
}

#[test]
fn a_head_captured_in_part_is_too_large_or_unseen() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.long(
            Side::Request,
            b"HEAD /a HTTP/1.1\r\nA: ",
            20_000,
            b"\r\n\r\n"
        ),
        ["q0+", "q0! head_too_large"]
    );
    // The method was seen, so the answer's end is known.
    assert_eq!(
        wire.answer("HTTP/1.1 431 Too Large\r\nContent-Length: 2\r\n\r\n")[2],
        "r0. 45/0"
    );
    let mut wire = Wire::new();
    assert_eq!(
        wire.long(Side::Request, b"GET /a HTTP/1.1\r\nA: ", 200, b"\r\n\r\n"),
        ["q0+", "q0! bytes_unseen"]
    );
}

#[test]
fn a_hundred_megabytes_without_a_line() {
    for side in [Side::Request, Side::Response] {
        let mut wire = Wire::new();
        wire.ask("GET /a HTTP/1.1\r\n\r\n");
        let garbage = [b'x'; 65_536];
        let mut words = Vec::new();
        for _ in 0..1600 {
            words.extend(wire.transfer(side, &garbage));
        }
        words.extend(wire.close());
        assert!(words.len() <= 4, "{words:?}");
        assert!(wire.protocol.requests.partial_head().len() <= HEAD_LIMIT);
        assert!(wire.protocol.responses.partial_head().len() <= HEAD_LIMIT);
    }
}

#[test]
fn how_messages_begin() {
    let begins = crate::protocol::http1::begins;
    assert_eq!(begins(Side::Response, b"HT"), Match::Perhaps);
    assert_eq!(begins(Side::Response, b"HTTP/1.1 200"), Match::Yes);
    assert_eq!(begins(Side::Response, b"HTTP/2"), Match::No);
    assert_eq!(begins(Side::Request, b""), Match::Perhaps);
    assert_eq!(begins(Side::Request, b"G"), Match::Perhaps);
    assert_eq!(begins(Side::Request, b"\x16\x03"), Match::No);
    assert_eq!(begins(Side::Request, &[b'A'; 64]), Match::No);
}

proptest::proptest! {
    /// What httparse takes for a head, we read alike.
    #[test]
    fn heads_are_read_as_httparse_reads_them(
        line in "(GET|X-Y|HEAD|POST) [!-~]{1,20} HTTP/1\\.[01]",
        fields in proptest::collection::vec("[A-Za-z0-9_-]{1,12}:[ \t]{0,2}[!-~ \t]{0,12}", 0..20),
        end in "\r?\n",
    ) {
        let bytes = format!("{line}{end}{}{end}", fields.iter().map(|f| format!("{f}{end}")).collect::<String>());
        let mut table = [httparse::EMPTY_HEADER; 32];
        let mut theirs = httparse::Request::new(&mut table);
        let Ok(httparse::Status::Complete(length)) = theirs.parse(bytes.as_bytes()) else {
            return Ok(());
        };
        let (ours, _, taken) = parse(Side::Request, &bytes).unwrap();
        proptest::prop_assert_eq!(taken, length);
        proptest::prop_assert_eq!(ours.method(), theirs.method.unwrap().as_bytes());
        proptest::prop_assert_eq!(ours.target(), theirs.path.unwrap().as_bytes());
        proptest::prop_assert_eq!(ours.version() == Version::Http11, theirs.version == Some(1));
        let theirs: Vec<_> = theirs
            .headers
            .iter()
            .map(|h| (h.name.to_ascii_lowercase().into_bytes(), h.value.to_vec()))
            .collect();
        let ours: Vec<_> = ours.fields().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        proptest::prop_assert_eq!(ours, theirs);
    }
}
