//! RPC live: every call of real clients to real servers one client span and one server span, exact.

use tests::agent::{Family, Stats};
use tests::rpc::check::{self, Facts, Pids};
use tests::rpc::{Call, Done, Stack};
use tests::servers::Server;
use tests::span::{Span, Value};

use crate::Test;
use crate::common::Traced;

mod gateway;
mod grpc;
mod http2;
mod kitex;
mod kitex_streams;
mod midway;
mod thrift;

/// The tests of these modules.
pub fn tests() -> Vec<(&'static str, Test)> {
    [
        grpc::tests(),
        midway::tests(),
        http2::tests(),
        thrift::tests(),
        kitex::tests(),
        kitex_streams::tests(),
        gateway::tests(),
    ]
    .concat()
}

/// Has a client make the calls while it and the server are traced; what came of them, in the calls'
/// order, and the spans.
#[track_caller]
fn traced(
    family: Family,
    ends: (Stack, &Server),
    parallel: usize,
    calls: &[Call],
) -> (Pids, Vec<Done>, Vec<Span>, Stats) {
    in_turn(family, ends, parallel, &[calls])
}

/// The same, the first call alone: clients connect with it, and the two ends of the connection find each
/// other.
#[track_caller]
fn connected(
    family: Family,
    ends: (Stack, &Server),
    parallel: usize,
    calls: &[Call],
) -> (Pids, Vec<Done>, Vec<Span>, Stats) {
    in_turn(family, ends, parallel, &[&calls[..1], &calls[1..]])
}

#[track_caller]
fn in_turn(
    family: Family,
    (client, server): (Stack, &Server),
    parallel: usize,
    turns: &[&[Call]],
) -> (Pids, Vec<Done>, Vec<Span>, Stats) {
    let mut client = client.client(server, parallel);
    let pids = Pids {
        client: Some(client.pid()),
        server: Some(server.pid()),
    };
    let traced = Traced::attach(family, &[client.pid(), server.pid()]);
    let mut told = 0;
    for calls in turns {
        client.tell(calls);
        told += calls.len();
        client.wait_done(told);
    }
    let done = client.finish();
    let (spans, stats) = traced.finish();
    (pids, done, spans, stats)
}

/// The same, with spans that must say exactly what `facts` has of each call.
#[track_caller]
fn exact(
    family: Family,
    ends: (Stack, &Server),
    parallel: usize,
    calls: &[Call],
    facts: impl Fn(&Call, &Done) -> Facts,
) {
    let (pids, done, spans, stats) = traced(family, ends, parallel, calls);
    check::exact(&spans, calls, &done, pids, facts);
    assert_eq!(stats.spans.made, 2 * calls.len() as u64, "{stats:?}");
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn int(int: usize) -> Value {
    Value::Int(int as i64)
}
