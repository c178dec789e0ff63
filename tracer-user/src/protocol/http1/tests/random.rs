//! Random connections: cut anywhere, captured in part, with transfers lost, and plain garbage.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::protocol::http1::{HEAD_LIMIT, Http1};
use crate::protocol::tests::anything::{account, anything};
use crate::protocol::tests::ledger::{Ledger, Progress};
use crate::protocol::tests::line::{ALL, Line, cut};

/// How a message carries its body.
#[derive(Clone, Debug)]
enum Content {
    None,
    Length(usize),
    /// Chunk sizes, and whether trailers follow.
    Chunks(Vec<usize>, bool),
}

/// An exchange to be made up.
#[derive(Clone, Debug)]
struct Shape {
    method: &'static str,
    fields: usize,
    request: Content,
    response: Content,
    interim: bool,
    data: &'static [u8],
}

fn content(most: usize) -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::None),
        (0..most).prop_map(Content::Length),
        (proptest::collection::vec(1..most, 0..4), any::<bool>())
            .prop_map(|(sizes, trailers)| Content::Chunks(sizes, trailers)),
    ]
}

fn shape(most: usize, data: &'static [u8]) -> impl Strategy<Value = Shape> {
    (
        select(vec!["GET", "POST", "HEAD", "X-ANY"]),
        0..8usize,
        content(most),
        content(most),
        proptest::bool::weighted(0.1),
    )
        .prop_map(move |(method, fields, request, response, interim)| Shape {
            method,
            fields,
            request: match method {
                "GET" | "HEAD" => Content::None,
                _ => request,
            },
            response,
            interim,
            data,
        })
}

/// Data full of what framing is made of.
const TRAPS: &[u8] = b"\r\n0\r\n\r\nGET /9 HTTP/1.1\r\n";

/// Data that is not: after a hole nobody could tell it from messages.
const PLAIN: &[u8] = b"x";

/// Head lines for, and bytes of, a body.
fn body(content: &Content, data: &[u8], length_if_none: bool) -> (String, Vec<u8>) {
    let data = |n: usize| data.iter().copied().cycle().take(n);
    match content {
        Content::None if length_if_none => ("Content-Length: 0\r\n".to_owned(), Vec::new()),
        Content::None => (String::new(), Vec::new()),
        Content::Length(n) => (format!("Content-Length: {n}\r\n"), data(*n).collect()),
        Content::Chunks(sizes, trailers) => {
            let mut bytes = Vec::new();
            for size in sizes {
                bytes.extend(format!("{size:x};ext=\"1\"\r\n").bytes());
                bytes.extend(data(*size));
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n");
            if *trailers {
                bytes.extend(b"Trailer: 1\r\n");
            }
            bytes.extend(b"\r\n");
            ("Transfer-Encoding: chunked\r\n".to_owned(), bytes)
        }
    }
}

const INTERIM: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";

/// The two messages of exchange `n`.
fn messages(n: usize, shape: &Shape) -> (Vec<u8>, Vec<u8>) {
    let fields: String = (0..shape.fields)
        .map(|i| format!("Field-{i}: value {i}\r\n"))
        .collect();
    let (lines, bytes) = body(&shape.request, shape.data, false);
    let mut request = format!("{} /{n} HTTP/1.1\r\n{fields}{lines}\r\n", shape.method).into_bytes();
    request.extend(bytes);
    let (lines, bytes) = body(&shape.response, shape.data, true);
    let mut response = Vec::new();
    if shape.interim {
        response.extend(INTERIM);
    }
    response.extend(format!("HTTP/1.1 200 OK\r\nNumber: {n}\r\n{fields}{lines}\r\n").bytes());
    if shape.method != "HEAD" {
        response.extend(bytes);
    }
    (request, response)
}

/// How a client uses its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// One request at a time.
    Serial,
    /// That many at once, then all their answers.
    Batch(usize),
}

/// A whole connection; `lose` says which transfers are lost, by their number and their batch's.
fn connection(
    shapes: &[Shape],
    client: Client,
    cuts: &[u16],
    captured: (usize, usize),
    midway: bool,
    lose: impl Fn(usize, usize) -> bool,
) -> Ledger {
    let mut wire = Http1::new(midway);
    let mut ledger = Ledger::default();
    let (mut asks, mut answers) = (Line::new(Side::Request), Line::new(Side::Response));
    let batch = match client {
        Client::Serial => 1,
        Client::Batch(n) => n,
    };
    let mut count = 0;
    for (first, shapes) in shapes.chunks(batch).enumerate() {
        let (mut request, mut response) = (Vec::new(), Vec::new());
        for (n, shape) in shapes.iter().enumerate() {
            let (asked, answered) = messages(first * batch + n, shape);
            request.extend(asked);
            response.extend(answered);
        }
        for (line, bytes) in [(&mut asks, request), (&mut answers, response)] {
            for piece in cut(&bytes, cuts) {
                let lost = lose(count, first);
                let what = if lost { "lost" } else { "" };
                ledger
                    .log
                    .push(format!("{:?} {what} {}", line.side, piece.escape_ascii()));
                ledger.enter(line.transfer(piece, captured, lost, &mut wire));
                count += 1;
            }
        }
    }
    let mut events = Vec::new();
    wire.end(Side::Request, Incomplete::ConnectionClosed, &mut events);
    wire.end(Side::Response, Incomplete::ConnectionClosed, &mut events);
    ledger.enter(events);
    ledger.close();
    ledger
}

fn client() -> impl Strategy<Value = Client> {
    prop_oneof![Just(Client::Serial), (2..6usize).prop_map(Client::Batch)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Where a stream is cut makes no difference.
    #[test]
    fn cuts_change_nothing(
        shapes in proptest::collection::vec(shape(300, TRAPS), 1..5),
        cuts in proptest::collection::vec(0..1000u16, 0..30),
    ) {
        let run = |cuts: &[u16], ends: bool| {
            let mut wire = Http1::new(false);
            let mut words = Vec::new();
            for (n, shape) in shapes.iter().enumerate() {
                let (request, response) = messages(n, shape);
                for (side, bytes) in [(Side::Request, request), (Side::Response, response)] {
                    for piece in cut(&bytes, cuts) {
                        wire.push(side, Input::Bytes(piece), &mut words);
                        if ends {
                            wire.push(side, Input::EndOfTransfer, &mut words);
                        }
                    }
                }
            }
            format!("{words:?}")
        };
        let whole = run(&[], true);
        prop_assert_eq!(&whole, &run(&cuts, true));
        prop_assert_eq!(&whole, &run(&cuts, false));
        let every: Vec<u16> = (0..1000).collect();
        prop_assert_eq!(&whole, &run(&every, true));
    }

    /// With nothing lost every exchange is whole, its sizes exact.
    #[test]
    fn sizes_are_exact(
        shapes in proptest::collection::vec(shape(300, TRAPS), 1..20),
        client in client(),
        cuts in proptest::collection::vec(0..1000u16, 0..5),
    ) {
        let ledger = connection(&shapes, client, &cuts, ALL, false, |_, _| false);
        prop_assert_eq!(ledger.exchanges.len(), shapes.len());
        for ((id, exchange), shape) in ledger.exchanges.iter().zip(&shapes) {
            let (request, response) = messages(*id as usize, shape);
            let interim = if shape.interim { INTERIM.len() } else { 0 };
            let wire = |progress| match progress {
                Progress::Ended(sizes) => sizes.wire as usize,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(exchange.asked, Some(*id as u32));
            prop_assert_eq!(exchange.answered, Some(*id as u32));
            prop_assert_eq!(wire(exchange.request), request.len());
            prop_assert_eq!(wire(exchange.response), response.len() - interim);
        }
    }

    /// Whatever is lost: no wrong pair, every message accounted for.
    #[test]
    fn losses_make_no_wrong_pair(
        shapes in proptest::collection::vec(shape(300, PLAIN), 1..30),
        client in client(),
        cuts in proptest::collection::vec(0..1000u16, 0..4),
        lost in proptest::collection::vec(proptest::bool::weighted(0.1), 400),
        midway in any::<bool>(),
    ) {
        connection(&shapes, client, &cuts, ALL, midway, |n, _| lost[n % lost.len()]);
    }

    /// The same where bodies are captured in part.
    #[test]
    fn losses_and_long_bodies_make_no_wrong_pair(
        shapes in proptest::collection::vec(shape(6000, PLAIN), 1..20),
        client in client(),
        cuts in proptest::collection::vec(0..1000u16, 0..4),
        lost in proptest::collection::vec(proptest::bool::weighted(0.05), 400),
    ) {
        let mut shapes = shapes;
        if client != Client::Serial {
            // What is pipelined behind a chunked body can't be told from it.
            for content in shapes.iter_mut().flat_map(|s| [&mut s.request, &mut s.response]) {
                if let Content::Chunks(sizes, _) = content {
                    *content = Content::Length(sizes.iter().sum());
                }
            }
        }
        connection(&shapes, client, &cuts, (256, 1024), false, |n, _| lost[n % lost.len()]);
    }

    /// Once nothing is lost any more, a client that waits for each answer is read right again from
    /// the third exchange on.
    #[test]
    fn what_follows_a_loss_is_right(
        shapes in proptest::collection::vec(shape(300, PLAIN), 10..30),
        cuts in proptest::collection::vec(0..1000u16, 0..4),
        lost in proptest::collection::vec(proptest::bool::weighted(0.3), 400),
    ) {
        let mut shapes = shapes;
        for shape in shapes.iter_mut().filter(|shape| shape.method == "X-ANY") {
            shape.method = "POST"; // After a hole only known methods are taken for one.
        }
        let last = shapes.len() / 2;
        let ledger = connection(&shapes, Client::Serial, &cuts, ALL, false, |n, exchange| {
            exchange < last && lost[n % lost.len()]
        });
        // Each side's last loss shows with its next message.
        let first = last + 2;
        for n in first..shapes.len() {
            let exchange = ledger.exchanges.values().find(|e| e.asked == Some(n as u32));
            prop_assert!(exchange.is_some_and(|e| e.is_complete()), "{n}: {exchange:?} {:#?}", ledger.log);
        }
    }

    /// Anything at all, in any order: no panic, every message accounted for, memory bounded.
    #[test]
    fn garbage_is_accounted_for(
        inputs in proptest::collection::vec(anything(23, bytes()), 0..200),
        midway in any::<bool>(),
    ) {
        let wire = Http1::new(midway);
        account(wire, &inputs, |wire| {
            assert!(wire.memory() <= 3 * HEAD_LIMIT);
        });
    }
}

/// Bytes that look like messages, now and then, and others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"GET /1 HTTP/1.1\r\n",
        b"HEAD /2 HTTP/1.1\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n",
        b"POST /3 HTTP/1.0\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n",
        b"HTTP/1.0 500 \r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 300\r\n",
        b"Content-Length: x\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Other: 7\r\n",
        b" folded\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"ff;x\r\n",
        b"hello",
        b"H",
        b"G",
        b"\x00\xff\x16",
    ];
    let mixed = proptest::collection::vec(select(pieces), 1..8).prop_map(|pieces| pieces.concat());
    let random = proptest::collection::vec(any::<u8>(), 0..40);
    let long = (select(b"xG0\r\n".to_vec()), 1000..40_000usize).prop_map(|(b, n)| vec![b; n]);
    prop_oneof![
        20 => mixed,
        2 => random,
        1 => long,
    ]
}
