//! HTTP/1 in every shape: what each side writes is given byte for byte, and so is the span.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use tests::load::{self, Body, Connection, Request};
use tests::servers::{Kind, Server};
use tests::span::{SERVER, Span};
use tests::{check, wait};

use crate::Test;
use crate::common::{OK, OK_SIZE, Traced, listening_peer, plain_peer, traceparent};
use tests::agent::Family;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("shape_table", table as Test),
        ("shape_pipelined_to_real_servers", pipelined),
        (
            "shape_pipelined_answered_in_one_write",
            pipelined_one_answer,
        ),
        ("shape_one_byte_writes", one_byte_writes),
        ("shape_one_byte_answers", one_byte_answers),
        ("shape_traceparent_after_12_kib", late_traceparent),
        ("shape_large_bodies_both_ways", large_bodies),
        ("shape_disconnects", disconnects),
        ("shape_garbage_and_endless_line", garbage),
    ]
}

/// One exchange (or several, one after the other) as bytes.
struct Shape {
    name: &'static str,
    /// What the client writes; `{T}` stands for a `traceparent` line.
    request: &'static str,
    /// The server's steps; it closes after the last.
    steps: &'static [&'static str],
    /// What is written in answer, for its length and to know when all came.
    answer: &'static str,
    spans: &'static [Expected],
}

/// What a span must say.
#[derive(Clone, Copy)]
struct Expected {
    method: &'static str,
    path: &'static str,
    status: i64,
    /// Size and body size of the request; size 0: the rest of what was written.
    request: (i64, i64),
    /// Likewise of the response.
    response: (i64, i64),
}

const fn expected(method: &'static str, path: &'static str, status: i64) -> Expected {
    Expected {
        method,
        path,
        status,
        request: (0, 0),
        response: (0, 0),
    }
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "content length",
        request: "POST /a HTTP/1.1\r\nHost: x\r\n{T}Content-Length: 5\r\n\r\nhello",
        steps: &["head", "read:5", "ANSWER"],
        answer: "HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nyes",
        spans: &[Expected {
            request: (0, 5),
            response: (0, 3),
            ..expected("POST", "/a", 201)
        }],
    },
    Shape {
        name: "chunks with extensions and trailers, both ways",
        request: "PUT /chunks HTTP/1.1\r\nHost: x\r\n{T}Transfer-Encoding: chunked\r\n\r\n\
                  5;name=\"v;al\"\r\nhello\r\n00A\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n",
        steps: &["head", "read:56", "ANSWER"],
        answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3;x\r\nabc\r\n0\r\nExpires: never\r\nA: b\r\n\r\n",
        spans: &[Expected {
            request: (0, 15),
            response: (0, 3),
            ..expected("PUT", "/chunks", 200)
        }],
    },
    Shape {
        name: "body until close",
        request: "GET /close HTTP/1.1\r\nHost: x\r\n{T}\r\n",
        steps: &["head", "ANSWER"],
        answer: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
        spans: &[Expected {
            response: (0, 13),
            ..expected("GET", "/close", 200)
        }],
    },
    Shape {
        name: "HTTP/1.0",
        request: "GET /old HTTP/1.0\r\n{T}\r\n",
        steps: &["head", "ANSWER"],
        answer: "HTTP/1.0 200 OK\r\n\r\nold",
        spans: &[Expected {
            response: (0, 3),
            ..expected("GET", "/old", 200)
        }],
    },
    Shape {
        name: "HEAD has no body whatever its length says, and the next request follows",
        request: "HEAD /head HTTP/1.1\r\nHost: x\r\n{T}\r\n",
        steps: &["head", "ANSWER"],
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        spans: &[expected("HEAD", "/head", 200)],
    },
    Shape {
        name: "304",
        request: "GET /same HTTP/1.1\r\nHost: x\r\n{T}If-None-Match: x\r\n\r\n",
        steps: &["head", "ANSWER"],
        answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
        spans: &[expected("GET", "/same", 304)],
    },
    Shape {
        name: "204",
        request: "DELETE /gone HTTP/1.1\r\nHost: x\r\n{T}\r\n",
        steps: &["head", "ANSWER"],
        answer: "HTTP/1.1 204 No Content\r\n\r\n",
        spans: &[expected("DELETE", "/gone", 204)],
    },
    Shape {
        name: "WebSocket: the exchange ends at 101, the rest is left alone",
        request: "GET /ws HTTP/1.1\r\nHost: x\r\n{T}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        steps: &[
            "head",
            "ANSWER",
            "write:\\x81\\x05hello",
            "write:HTTP/1.1 200 OK\\r\\n\\r\\n",
        ],
        answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        spans: &[expected("GET", "/ws", 101)],
    },
    Shape {
        name: "an absolute target",
        request: "GET http://example.test/abs?x=1 HTTP/1.1\r\nHost: example.test\r\n{T}\r\n",
        steps: &["head", "ANSWER"],
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        spans: &[expected("GET", "/abs", 200)],
    },
    Shape {
        name: "a method of one's own",
        request: "BREW /pot HTTP/1.1\r\nHost: x\r\n{T}\r\n",
        steps: &["head", "ANSWER"],
        answer: "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n",
        spans: &[expected("_OTHER", "/pot", 418)],
    },
    Shape {
        name: "folded lines and names in any case",
        request: "GET /fold HTTP/1.1\r\nHOST: x\r\nX-Long: a\r\n  b\r\n\tc\r\n{T}cOnTeNt-LeNgTh: 2\r\n\r\nab",
        steps: &["head", "read:2", "ANSWER"],
        answer: "HTTP/1.1 200 OK\r\ncontent-LENGTH: 1\r\n\r\nx",
        spans: &[Expected {
            request: (0, 2),
            response: (0, 1),
            ..expected("GET", "/fold", 200)
        }],
    },
    Shape {
        name: "bare LF",
        request: "GET /lf HTTP/1.1\nHost: x\n{T}Content-Length: 1\n\nz",
        steps: &["head", "read:1", "ANSWER"],
        answer: "HTTP/1.1 200 OK\nContent-Length: 4\n\nfine",
        spans: &[Expected {
            request: (0, 1),
            response: (0, 4),
            ..expected("GET", "/lf", 200)
        }],
    },
    Shape {
        name: "no reason phrase",
        request: "GET /bare HTTP/1.1\r\nHost: x\r\n{T}\r\n",
        steps: &["head", "ANSWER"],
        answer: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        spans: &[expected("GET", "/bare", 200)],
    },
    Shape {
        name: "103 before the answer",
        request: "GET /hints HTTP/1.1\r\nHost: x\r\n{T}\r\n",
        steps: &[
            "head",
            "write:HTTP/1.1 103 Early Hints\\r\\nLink: </a>\\r\\n\\r\\n",
            "ANSWER",
        ],
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nh",
        spans: &[Expected {
            response: (0, 1),
            ..expected("GET", "/hints", 200)
        }],
    },
    Shape {
        name: "a chunk whose data reads like messages",
        request: "POST /trick HTTP/1.1\r\nHost: x\r\n{T}Content-Length: 29\r\n\r\nGET /not HTTP/1.1\r\nA: b\r\n\r\n\r\n",
        steps: &["head", "read:29", "ANSWER"],
        answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 1c\r\nHTTP/1.1 500 Not\r\n0\r\n\r\nabcde\r\n0\r\n\r\n",
        spans: &[Expected {
            request: (0, 29),
            response: (0, 28),
            ..expected("POST", "/trick", 200)
        }],
    },
    Shape {
        name: "several content lengths that agree",
        request: "POST /twice HTTP/1.1\r\nHost: x\r\n{T}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        steps: &["head", "read:2", "ANSWER"],
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        spans: &[Expected {
            request: (0, 2),
            ..expected("POST", "/twice", 200)
        }],
    },
    Shape {
        name: "an error before the body came: the connection closes",
        request: "POST /large HTTP/1.1\r\nHost: x\r\n{T}Content-Length: 1000\r\n\r\n",
        steps: &["head", "ANSWER"],
        answer: "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        spans: &[expected("POST", "/large", 413)],
    },
];

/// Every shape on a process of its own, all under one agent.
fn table(family: Family) {
    let peers: Vec<Server> = SHAPES
        .iter()
        .map(|shape| {
            let steps: Vec<String> = shape
                .steps
                .iter()
                .map(|step| match *step {
                    "ANSWER" => format!("write:{}", escape(shape.answer)),
                    step => step.to_string(),
                })
                .collect();
            listening_peer("127.0.0.1:0", &steps)
        })
        .collect();
    let pids: Vec<u32> = peers.iter().map(Server::pid).collect();
    let traced = Traced::attach(family, &pids);
    for (number, (shape, peer)) in SHAPES.iter().zip(&peers).enumerate() {
        let request = shape.request.replace("{T}", &traceparent(number).0);
        let mut stream = TcpStream::connect(peer.address).expect("it listens");
        stream.set_read_timeout(Some(wait::SOON)).expect("a socket");
        stream.write_all(request.as_bytes()).expect("it reads");
        // Servers that read a body await it; the one that refuses it closes by itself.
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .unwrap_or_else(|e| panic!("{}: {e}", shape.name));
        assert!(!answer.is_empty(), "{}: no answer", shape.name);
    }
    let (spans, _) = traced.finish();
    let mut wrong = Vec::new();
    for (number, (shape, peer)) in SHAPES.iter().zip(&peers).enumerate() {
        let of_it: Vec<&Span> = spans
            .iter()
            .filter(|span| span.pid() == Some(i64::from(peer.pid())))
            .collect();
        if of_it.len() != shape.spans.len() {
            wrong.push(format!("{}: {} spans: {of_it:#?}", shape.name, of_it.len()));
            continue;
        }
        for (span, expected) in of_it.iter().zip(shape.spans) {
            let differences = differences(span, expected, shape, number);
            if !differences.is_empty() {
                wrong.push(format!("{}: {differences:#?} in {span:?}", shape.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn differences(span: &Span, expected: &Expected, shape: &Shape, number: usize) -> Vec<String> {
    let (line, trace_id, parent) = traceparent(number);
    let whole = |size: i64, text: &str| match size {
        0 => text.replace("{T}", &line).len() as i64,
        size => size,
    };
    let request = (whole(expected.request.0, shape.request), expected.request.1);
    let response = (
        whole(expected.response.0, shape.answer),
        expected.response.1,
    );
    // A body that was announced and never came: its message is incomplete, its size is not known.
    let refused = shape.request.contains("Content-Length: 1000");
    let is = (
        (
            span.kind,
            span.text("http.request.method"),
            span.text("url.path"),
        ),
        span.int("http.response.status_code"),
        (span.trace_id.as_str(), span.parent.as_str()),
        (
            span.int("http.request.size"),
            span.int("http.request.body.size"),
        ),
        (
            span.int("http.response.size"),
            span.int("http.response.body.size"),
        ),
        span.text("tracer.incomplete"),
    );
    let should = (
        (SERVER, expected.method, expected.path),
        Some(expected.status),
        (trace_id.as_str(), parent.as_str()),
        if refused {
            (None, None)
        } else {
            (Some(request.0), Some(request.1))
        },
        (Some(response.0), Some(response.1)),
        if refused { "connection_closed" } else { "" },
    );
    let mut wrong = Vec::new();
    if is != should {
        wrong.push(format!("is {is:?}, should be {should:?}"));
    }
    if !refused {
        wrong.extend(check::stages(span));
    }
    wrong
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\r', "\\r")
        .replace('\n', "\\n")
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
        load::run(server.address, 8, 2_000, |n| Kind::Go.request(n))
    });
    let (spans, stats) = traced.finish();
    // Of a rude client there may be a span, if the server answered (400): it says what it lacks.
    let (rude, whole): (Vec<Span>, Vec<Span>) = spans
        .into_iter()
        .partition(|span| !span.trace_id.starts_with("00000000000000"));
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
        load::run(server.address, 4, 2_000, |n| load::get(format!("/{n}")))
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
