//! Traffic that tries the agent: pipelined, byte by byte, long heads, large bodies, rude clients,
//! garbage. Shapes of single messages are in [`crate::shapes`].

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use tests::agent::Family;
use tests::load::{self, Body, Connection, Request};
use tests::servers::{Kind, Server};
use tests::span::Span;
use tests::{check, wait};

use crate::Test;
use crate::common::{OK, OK_SIZE, Traced, listening_peer, plain_peer, traceparent};

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("traffic_pipelined_to_real_servers", pipelined as Test),
        (
            "traffic_pipelined_answered_in_one_write",
            pipelined_one_answer,
        ),
        ("traffic_one_byte_writes", one_byte_writes),
        ("traffic_one_byte_answers", one_byte_answers),
        ("traffic_traceparent_after_12_kib", late_traceparent),
        ("traffic_large_bodies_both_ways", large_bodies),
        ("traffic_disconnects", disconnects),
        ("traffic_garbage_and_endless_line", garbage),
    ]
}

/// 50 requests in one write to servers that answer as they like.
fn pipelined(family: Family) {
    for kind in [Kind::Nginx, Kind::Node, Kind::Go, Kind::Axum, Kind::Java] {
        let server = Server::start(kind);
        let traced = Traced::attach(family, &[server.pid()]);
        let mut all = Vec::new();
        for round in 0..4 {
            all.extend(pipeline(&server, round, |n| kind.request(n)));
        }
        let (spans, _) = traced.finish();
        check::exact(&spans, &all);
    }
}

/// 50 requests in one write; the exchanges as they were answered.
fn pipeline(
    server: &Server,
    round: usize,
    request: impl Fn(usize) -> Request,
) -> Vec<load::Exchange> {
    const DEPTH: usize = 50;
    let numbers = round * DEPTH..(round + 1) * DEPTH;
    let mut bytes = Vec::new();
    let mut sent = Vec::new();
    for number in numbers {
        let request = request(number);
        let (_, trace_id, parent) = traceparent(number);
        let (one, body) = load::encode(&request, &trace_id, &parent);
        sent.push((request, trace_id, parent, one.len() as u64, body));
        bytes.extend(one);
    }
    let mut connection = Connection::open(server.address).expect("it listens");
    let began = load::now();
    // What is written may be more than the server reads before it wants its answers read.
    let mut writer = connection.stream().try_clone().expect("a socket");
    let writing = std::thread::spawn(move || writer.write_all(&bytes).expect("it reads"));
    let exchanges = sent
        .into_iter()
        .map(
            |(request, trace_id, parent, request_wire, request_body)| load::Exchange {
                response: connection.read(request.method).expect("an answer"),
                method: request.method,
                target: request.target,
                trace_id,
                parent,
                request_wire,
                request_body,
                began,
                ended: load::now(),
            },
        )
        .collect();
    writing.join().expect("written");
    exchanges
}

/// 50 requests in one write, read in one read, answered in one write.
fn pipelined_one_answer(family: Family) {
    let mut steps = vec!["head".to_string(); 50];
    let answer = OK.strip_prefix("write:").expect("a write");
    steps.push(format!("write:{}", answer.repeat(50)));
    steps.push("again".into());
    let peer = listening_peer("127.0.0.1:0", &steps);
    let traced = Traced::attach(family, &[peer.pid()]);
    let exchanges = pipeline(&peer, 0, |n| load::get(format!("/{n}")));
    let (spans, _) = traced.finish();
    // All responses leave in the one write: their stages are right, though they begin together.
    check::exact(&spans, &exchanges);
}

/// A request whose every byte is a write, and so most often a read, of its own.
fn one_byte_writes(family: Family) {
    for kind in [Kind::Nginx, Kind::Go, Kind::Node, Kind::Axum] {
        let server = Server::start(kind);
        let traced = Traced::attach(family, &[server.pid()]);
        let mut connection = Connection::open(server.address).expect("it listens");
        let mut exchanges = Vec::new();
        for number in 0..10 {
            let body = match number % 2 {
                0 => Body::Length(20),
                _ => Body::Chunked(vec![3, 12]),
            };
            let request = match kind {
                // It would refuse a body before that has come.
                Kind::Nginx => load::get(format!("/page/{number}")),
                _ => Request {
                    method: "POST",
                    body,
                    ..load::get(format!("/echo/{number}"))
                },
            };
            let (_, trace_id, parent) = traceparent(number);
            let (bytes, request_body) = load::encode(&request, &trace_id, &parent);
            let began = load::now();
            for byte in &bytes {
                connection.write(&[*byte]).expect("it reads");
                // Not awaiting anything: without a pause the kernel would hand over many at once.
                std::thread::yield_now();
            }
            exchanges.push(load::Exchange {
                response: connection.read(request.method).expect("an answer"),
                method: request.method,
                target: request.target,
                trace_id,
                parent,
                request_wire: bytes.len() as u64,
                request_body,
                began,
                ended: load::now(),
            });
        }
        let (spans, _) = traced.finish();
        check::exact(&spans, &exchanges);
    }
}

/// A response whose every byte is a write of its own.
fn one_byte_answers(family: Family) {
    let steps = [
        "head".to_string(),
        OK.replace("write:", "bytewise:"),
        "again".into(),
    ];
    let peer = listening_peer("127.0.0.1:0", &steps);
    let traced = Traced::attach(family, &[peer.pid()]);
    let exchanges = load::run(peer.address, 2, 40, |n| load::get(format!("/{n}")));
    let (spans, _) = traced.finish();
    check::exact(&spans, &exchanges);
    assert_eq!(exchanges[0].response.wire, OK_SIZE);
}

/// 12 KiB of other headers come before the context.
fn late_traceparent(family: Family) {
    for kind in [Kind::Nginx, Kind::Go, Kind::Node, Kind::Axum] {
        let server = Server::start(kind);
        let traced = Traced::attach(family, &[server.pid()]);
        let mut connection = Connection::open(server.address).expect("it listens");
        let mut exchanges = Vec::new();
        // In one write, and in many of odd sizes.
        for (number, piece) in [usize::MAX, 1000, 777].into_iter().enumerate() {
            let (line, trace_id, parent) = traceparent(number);
            let mut bytes = format!("GET /status/404/{number} HTTP/1.1\r\nHost: x\r\n");
            for filler in 0..12 {
                bytes.push_str(&format!("X-Filler-{filler}: {}\r\n", "y".repeat(1010)));
            }
            bytes.push_str(&format!("{line}\r\n"));
            let began = load::now();
            for piece in bytes.as_bytes().chunks(piece) {
                connection.write(piece).expect("it reads");
            }
            exchanges.push(load::Exchange {
                response: connection.read("GET").expect("an answer"),
                method: "GET",
                target: format!("/status/404/{number}"),
                trace_id,
                parent,
                request_wire: bytes.len() as u64,
                request_body: 0,
                began,
                ended: load::now(),
            });
        }
        let (spans, _) = traced.finish();
        check::exact(&spans, &exchanges);
    }
}

/// Megabytes up and down, with and without chunks: counted to the byte, and what follows is right.
fn large_bodies(family: Family) {
    let server = Server::start(Kind::Go);
    let traced = Traced::attach(family, &[server.pid()]);
    let exchanges = load::run(server.address, 4, 60, |number| match number % 3 {
        0 => Request {
            method: "POST",
            body: Body::Length(3_000_000 + number),
            ..load::get(format!("/echo/{number}"))
        },
        1 => Request {
            method: "PUT",
            body: Body::Chunked(vec![1_000_000 + number, 1, 70_000, 16_384]),
            ..load::get(format!("/echo/{number}"))
        },
        _ => load::get(format!("/bytes/5000000/{number}")),
    });
    let (spans, _) = traced.finish();
    check::exact(&spans, &exchanges);
}

/// Clients that leave within a head and within a body harm nobody else's spans.
fn disconnects(family: Family) {
    let server = Server::start(Kind::Go);
    let traced = Traced::attach(family, &[server.pid()]);
    let rude = [
        "GET /half HTTP/1.1\r\nHost: x\r\nX-Ha",
        "GET /half",
        "POST /echo/half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this",
        "POST /echo/half HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ];
    let exchanges = std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..10 {
                for bytes in rude {
                    let mut stream = TcpStream::connect(server.address).expect("it listens");
                    stream.write_all(bytes.as_bytes()).expect("it reads");
                    if round % 2 == 0 {
                        stream.shutdown(Shutdown::Write).expect("a socket");
                        // Until the server has closed as well; what it says does not matter.
                        let _ = stream.read_to_end(&mut Vec::new());
                    }
                }
            }
        });
        load::run(server.address, 8, wait::fewer(2_000), |n| {
            Kind::Go.request(n)
        })
    });
    let (spans, stats) = traced.finish();
    // Of a rude client there may be a span, if the server answered (400): it says what it lacks.
    let asked: HashSet<&str> = exchanges.iter().map(|e| e.trace_id.as_str()).collect();
    let (whole, rude): (Vec<Span>, Vec<Span>) = spans
        .into_iter()
        .partition(|span| asked.contains(span.trace_id.as_str()));
    check::exact(&whole, &exchanges);
    for span in &rude {
        assert_ne!(span.text("tracer.incomplete"), "", "{span:?}");
    }
    let closed = stats.messages.incomplete.get("connection_closed");
    assert!(closed.is_some_and(|count| *count >= 20), "{stats:?}");
}

/// Bytes of no protocol, and 100 MB without a newline: nothing grows, nobody else notices.
fn garbage(family: Family) {
    const ENDLESS: usize = 100 << 20;
    let victim = listening_peer("127.0.0.1:0", &["eof"]);
    let server = plain_peer();
    let traced = Traced::attach(family, &[victim.pid(), server.pid()]);
    let warm = load::run(server.address, 4, 500, |n| load::get(format!("/{n}")));
    let agent = traced.agent.process.pid();
    let before = tests::process::resident(agent);
    let exchanges = std::thread::scope(|scope| {
        for start in ["GET /", "\x00\x01\x02", "HTTP/1.1 ", "xxxxxxxx"] {
            let address = victim.address;
            scope.spawn(move || {
                let mut stream = TcpStream::connect(address).expect("it listens");
                stream.write_all(start.as_bytes()).expect("it reads");
                let piece = vec![b'a'; 1 << 16];
                for _ in 0..ENDLESS / piece.len() {
                    stream.write_all(&piece).expect("it reads");
                }
            });
        }
        load::run(server.address, 4, wait::fewer(2_000), |n| {
            load::get(format!("/{n}"))
        })
    });
    let after = tests::process::resident(agent);
    let (spans, _) = traced.finish();
    let (whole, rude): (Vec<Span>, Vec<Span>) = spans
        .into_iter()
        .partition(|span| span.pid() == Some(i64::from(server.pid())));
    check::exact(&whole, &[warm, exchanges].concat());
    for span in &rude {
        assert_ne!(span.text("tracer.incomplete"), "", "{span:?}");
    }
    assert!(
        after < before + (8 << 20),
        "the agent grew from {before} to {after} bytes"
    );
}
