//! HTTP/1 in every shape: what each side writes is given byte for byte, and so is the span.

use std::io::{Read, Write};
use std::net::TcpStream;

use tests::servers::Server;
use tests::span::{SERVER, Span};
use tests::{check, wait};

use crate::Test;
use crate::common::{Traced, listening_peer, traceparent};
use tests::agent::Family;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![("shape_table", table as Test)]
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
        let soon = wait::patiently(wait::SOON);
        stream.set_read_timeout(Some(soon)).expect("a socket");
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
