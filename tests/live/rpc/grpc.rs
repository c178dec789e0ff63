//! gRPC between the frameworks people use: every shape of call, many at once on one connection.

use tests::agent::Family;
use tests::rpc::check::{self, Events, Facts, Pids};
use tests::rpc::{self, Call, Done, Stack};
use tests::span::{CLIENT, Span};
use tests::wait;

use super::{connected, exact, int, text};
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("grpc_go_to_itself", |family| {
            mixed(family, Stack::GrpcGo, Stack::GrpcGo)
        }),
        ("grpc_go_to_python", |family| {
            mixed(family, Stack::GrpcGo, Stack::GrpcPython)
        }),
        ("grpc_python_to_node", |family| {
            mixed(family, Stack::GrpcPython, Stack::GrpcNode)
        }),
        ("grpc_node_to_tonic", |family| {
            mixed(family, Stack::GrpcNode, Stack::Tonic)
        }),
        ("grpc_tonic_to_go", |family| {
            mixed(family, Stack::Tonic, Stack::GrpcGo)
        }),
        ("grpc_200_streams", many_streams),
        ("grpc_given_up", given_up),
        ("grpc_server_restarts", server_restarts),
        ("grpc_load", load),
    ]
}

/// By number, as spans name them.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const UNIMPLEMENTED: i32 = 12;
const UNAVAILABLE: i32 = 14;

/// Codes that are an error of the server's span, too (OpenTelemetry's conventions).
const SERVERS_FAULT: [i32; 6] = [2, 4, UNIMPLEMENTED, 13, UNAVAILABLE, 15];

/// A call of each shape there is, by its number, well and badly ended.
pub fn shape(number: usize) -> Call {
    let call = |method: &str, send: &[usize], answer: &[usize]| Call {
        send: send.to_vec(),
        answer: answer.to_vec(),
        ..Call::new(number, format!("/test.Echo/{method}"))
    };
    match number % 10 {
        0 => call("Unary", &[number], &[2 * number]),
        1 => call("Unary", &[0], &[0]),
        // The answer's head is all of it.
        2 => Call {
            code: 1 + (number / 10 % 16) as i32,
            ..call("Unary", &[10], &[])
        },
        3 => call("Upload", &[1, 0, 50_000], &[9]),
        4 => call("Download", &[1], &[0, 7, 100_000]),
        5 => call("Chat", &[10, 0, 1000], &[]),
        6 => call("Missing", &[1], &[]),
        7 if number % 50 == 7 => call("Unary", &[1_000_000], &[1_000_000]),
        7 => call("Unary", &[0], &[100_000]),
        8 => Call {
            code: 9,
            ..call("Download", &[1], &[3, 4])
        },
        _ => call("Chat", &[], &[]),
    }
}

/// What the spans of such a call must say.
pub fn facts(call: &Call, done: &Done) -> Facts {
    let code = match call.method.ends_with("/Missing") {
        true => UNIMPLEMENTED,
        false => call.code,
    };
    assert_eq!(done.code, code, "{call:?}");
    let name = CODES[code as usize];
    let failure = |is| match is {
        true => vec![("error.type", text(name))],
        false => vec![],
    };
    let method = call.method.trim_start_matches('/');
    let mut both = vec![
        ("rpc.system.name", text("grpc")),
        ("rpc.method", text(method)),
        ("rpc.response.status_code", text(name)),
        ("network.protocol.version", text("2")),
    ];
    let events = match (call.send.len(), done.got.len()) {
        // Servers may end such a stream before it was sent whole.
        _ if code == UNIMPLEMENTED => Events::GivenUp,
        // Nothing of such a stream is there to carry its end, which a server need not await.
        (0, 0) => Events::EndsLater,
        (sent, got) => {
            both.push(("rpc.request.message_count", int(sent)));
            both.push(("rpc.response.message_count", int(got)));
            match sent > 1 || got > 1 {
                true => Events::Stream,
                false => Events::Rpc,
            }
        }
    };
    Facts {
        name: method.into(),
        both,
        client: failure(code != 0),
        server: failure(SERVERS_FAULT.contains(&code)),
        events,
    }
}

/// Every shape of call, from one framework to another, 20 at once.
fn mixed(family: Family, client: Stack, server: Stack) {
    let server = server.serve();
    let calls: Vec<Call> = (1..=300).map(shape).collect();
    exact(family, (client, &server), 20, &calls, |call, done| {
        let mut facts = facts(call, done);
        if client == Stack::Tonic && facts.events == Events::Rpc {
            facts.events = Events::EndsLater;
        }
        facts
    });
}

/// 200 streams at once on one connection, bodies of 1 MB among empty ones.
fn many_streams(family: Family) {
    const STREAMS: usize = 200;
    let server = Stack::GrpcGo.serve();
    let sized = |number: usize, turn| match number % 20 == turn {
        true => vec![1_000_000],
        false => vec![0],
    };
    let calls: Vec<Call> = (1..=wait::fewer(1_000).max(2 * STREAMS))
        .map(|number| Call {
            send: sized(number, 0),
            answer: sized(number, 5),
            ..Call::new(number, "/test.Echo/Unary")
        })
        .collect();
    exact(family, (Stack::GrpcGo, &server), STREAMS, &calls, facts);
}

/// Of calls whose time is to be over: no client is so slow to write one that it is over before.
pub const DEADLINE_MS: u64 = 500;

/// Calls that the client gives up, and calls whose time is over, among others.
fn given_up(family: Family) {
    for stack in [
        Stack::GrpcGo,
        Stack::GrpcPython,
        Stack::GrpcNode,
        Stack::Tonic,
    ] {
        let server = stack.serve();
        let calls: Vec<Call> = (2..=61)
            .map(|number| match number % 3 {
                0 => Call {
                    cancel: true,
                    ..waiting(number, "Download")
                },
                1 => Call {
                    timeout_ms: DEADLINE_MS,
                    ..waiting(number, "Unary")
                },
                _ => Call {
                    send: vec![5],
                    answer: vec![6],
                    ..Call::new(number, "/test.Echo/Unary")
                },
            })
            .collect();
        let (pids, done, spans, _) = connected(family, (stack, &server), 10, &calls);
        let mut late = 0;
        check::exact(&spans, &calls, &done, pids, |call, done| {
            let mut facts = match call.wait {
                true => abandoned(call),
                false => facts(call, done),
            };
            if stack == Stack::Tonic && facts.events == Events::Rpc {
                facts.events = Events::EndsLater;
            }
            facts
        });
        for call in calls.iter().filter(|call| call.wait) {
            let of_it: Vec<&Span> = spans
                .iter()
                .filter(|span| span.trace_id == call.trace_id())
                .collect();
            for span in of_it {
                let status = span.text("rpc.response.status_code");
                // Which word a deadline is given depends on whose clock was first to say so; of the last
                // calls the client may be gone before it says so.
                let fits = match call.cancel {
                    true => status == "CANCELLED",
                    false => ["CANCELLED", "DEADLINE_EXCEEDED"].contains(&status),
                } || span.text("tracer.incomplete") == "connection_closed";
                assert!(fits, "{stack:?}: {span:?} of {call:?}");
                if span.kind == CLIENT && !status.is_empty() {
                    late += usize::from(status == "DEADLINE_EXCEEDED");
                    assert_eq!(span.text("error.type"), status, "{stack:?}: {span:?}");
                }
            }
        }
        assert!(late > 10, "{stack:?}: {late} of 20 exceeded their deadline");
    }
}

/// A call that is answered by nothing but a head, if that.
fn waiting(number: usize, method: &str) -> Call {
    Call {
        send: vec![1],
        wait: true,
        ..Call::new(number, format!("/test.Echo/{method}"))
    }
}

fn abandoned(call: &Call) -> Facts {
    let method = call.method.trim_start_matches('/');
    Facts {
        name: method.into(),
        both: vec![("rpc.method", text(method))],
        events: Events::GivenUp,
        ..Facts::default()
    }
}

/// A server that dies with calls in flight, and comes again on its port: the client's spans say so.
fn server_restarts(family: Family) {
    const LOST: usize = 5;
    let server = Stack::GrpcGo.serve();
    let mut client = Stack::GrpcGo.client(&server, 10);
    let pids = Pids {
        client: Some(client.pid()),
        server: None,
    };
    let traced = Traced::attach(family, &[client.pid()]);
    let mut calls: Vec<Call> = (1..=20).map(shape).collect();
    client.tell(&calls);
    client.wait_done(20);
    let lost: Vec<Call> = (21..)
        .take(LOST)
        .map(|number| waiting(number, "Download"))
        .collect();
    client.tell(&lost);
    wait::until("calls in flight", wait::SOON, || {
        let lines = server.process.stdout.all();
        let waiting = lines.iter().filter(|line| *line == "waiting").count();
        (waiting == LOST).then_some(())
    });
    let port = server.address.port();
    drop(server);
    client.wait_done(20 + LOST);
    let _server = Stack::GrpcGo.serve_again(port);
    let again: Vec<Call> = (31..=60).map(shape).collect();
    client.tell(&again);
    let done = client.finish();
    calls.extend(lost);
    calls.extend(again);
    let (spans, _) = traced.finish();
    check::exact(&spans, &calls, &done, pids, |call, done| {
        if !call.wait {
            return facts(call, done);
        }
        assert_eq!(done.code, UNAVAILABLE);
        let reason = || text("connection_closed");
        Facts {
            client: vec![("error.type", reason()), ("tracer.incomplete", reason())],
            ..abandoned(call)
        }
    });
}

/// One connection under load: every call a server span, with its own parent.
fn load(family: Family) {
    let calls = wait::fewer(20_000);
    let server = Stack::GrpcGo.serve();
    let traced = Traced::attach(family, &[server.pid()]);
    let load = rpc::load(&server, 100, calls);
    assert_eq!(load.well, calls);
    let (spans, stats) = traced.finish();
    assert_eq!(stats.spans.made, calls as u64, "{stats:?}");
    check::load(&spans, calls);
}
