//! Kitex on netpoll: its transports, with and without the trace context, and what can go wrong in a
//! handler. One server, one port for all of them.

use std::io::{Read, Write};
use std::net::TcpStream;

use tests::agent::Family;
use tests::load;
use tests::rpc::check::{self, Events, Facts, Pids};
use tests::rpc::{Call, Done, Form, Stack};
use tests::span::Value;

use super::{connected, exact, int, text};
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("kitex_framed", |family| plain(family, "framed")),
        ("kitex_buffered", |family| plain(family, "buffered")),
        ("kitex_ttheader", |family| ttheader(family, "ttheader")),
        ("kitex_ttheaderframed", |family| {
            ttheader(family, "ttheaderframed")
        }),
        ("kitex_protobuf", protobuf),
        ("kitex_grpc", grpc),
        ("kitex_mux", mux),
        ("kitex_json", json),
        ("kitex_mesh_header", mesh_header),
    ]
}

const CALLS: usize = 120;

/// A call of each kind there is.
fn call(number: usize, form: Form, context: bool) -> Call {
    let (method, size) = match number % 8 {
        1 => ("fail", number),
        2 => ("panic", 0),
        3 => ("biz", 3),
        4 => ("missing", number),
        5 => ("declared", 1),
        6 => ("oneway", number),
        7 if number % 24 == 7 => ("echo", 1_000_000),
        _ => ("echo", number),
    };
    let method = match form {
        Form::Thrift => method.to_string(),
        // The server of its own has no such.
        Form::Json if ["declared", "oneway"].contains(&method) => "echo".into(),
        Form::Json => method.into(),
        // The Protobuf service has no such, and capitals.
        Form::Protobuf if ["declared", "oneway"].contains(&method) => "Echo".into(),
        Form::Protobuf => method[..1].to_uppercase() + &method[1..],
    };
    Call {
        traceparent: match context {
            true => Call::new(number, "").traceparent,
            false => String::new(),
        },
        id: number,
        method,
        send: vec![size],
        ..Call::default()
    }
}

/// What spans say of calls whatever they are carried in; `transport`: as spans name it.
fn facts(call: &Call, system: &str, transport: &str, name: String) -> Facts {
    let kind = call.method.to_lowercase();
    let error = match &kind[..] {
        "fail" | "panic" => Some("INTERNAL_ERROR"),
        "declared" => Some("declared_exception"),
        _ => None,
    };
    let error: Vec<(&'static str, Value)> = error
        .map(|error| ("error.type", text(error)))
        .into_iter()
        .collect();
    Facts {
        both: vec![
            ("rpc.system.name", text(system)),
            ("rpc.method", text(&name)),
            ("rpc.thrift.transport", text(transport)),
        ],
        name,
        client: error.clone(),
        server: error,
        events: match &kind[..] {
            "oneway" => Events::Oneway,
            _ => Events::Rpc,
        },
    }
}

/// Transports that carry nothing but the message: no trace context, no business status.
fn plain(family: Family, transport: &'static str) {
    let stack = Stack::Kitex(transport, Form::Thrift);
    let server = stack.serve();
    let calls: Vec<Call> = (1..=CALLS)
        .map(|number| call(number, Form::Thrift, false))
        .collect();
    exact(family, (stack, &server), 1, &calls, |call, _| {
        let mut facts = facts(call, "thrift", transport, call.method.clone());
        facts.both.push(("rpc.thrift.protocol", text("binary")));
        if call.method == "missing" {
            // Of two services on a port, none is asked by its name here: Kitex' own number.
            let error = ("error.type", text("20"));
            facts.client.push(error.clone());
            facts.server.push(error);
        }
        if call.method == "echo" {
            let framing = if transport == "framed" { 4 } else { 0 };
            let wire = framing + 4 + 4 + 4 + 4 + 1 + 2 + 4 + call.send[0] + 1;
            facts.both.push(("rpc.request.size", int(wire)));
            facts.both.push(("rpc.response.size", int(wire)));
        }
        facts
    });
}

/// Kitex' header, with the trace context and without.
fn ttheader(family: Family, transport: &'static str) {
    let stack = Stack::Kitex(transport, Form::Thrift);
    let named = transport.replace("framed", "_framed");
    let server = stack.serve();
    for (context, parallel) in [(true, 10), (false, 1)] {
        let calls: Vec<Call> = (1..=CALLS)
            .map(|number| call(number, Form::Thrift, context))
            .collect();
        exact(family, (stack, &server), parallel, &calls, |call, done| {
            let facts = facts(call, "thrift", &named, format!("Echo/{}", call.method));
            in_header(facts, call, done)
        });
    }
}

/// Protobuf in Kitex' header.
fn protobuf(family: Family) {
    let stack = Stack::Kitex("ttheaderframed", Form::Protobuf);
    let server = stack.serve();
    for (context, parallel) in [(true, 10), (false, 1)] {
        let calls: Vec<Call> = (1..=CALLS)
            .map(|number| call(number, Form::Protobuf, context))
            .collect();
        exact(family, (stack, &server), parallel, &calls, |call, done| {
            let name = format!("PbEcho/{}", call.method);
            let facts = facts(call, "kitex_protobuf", "ttheader_framed", name);
            in_header(facts, call, done)
        });
    }
}

/// What the header adds.
fn in_header(mut facts: Facts, call: &Call, done: &Done) -> Facts {
    facts.both.push(("kitex.to.service", text("test.echo")));
    facts.both.push(("kitex.to.method", text(&call.method)));
    match &call.method.to_lowercase()[..] {
        "biz" => {
            assert_eq!(done.code, 1001);
            facts.both.push(("kitex.biz_status_code", int(1001)));
            facts.both.push(("kitex.biz_message", text("no stock")));
        }
        "missing" => {
            let error = ("error.type", text("UNKNOWN_METHOD"));
            facts.client.push(error.clone());
            facts.server.push(error);
        }
        _ => {}
    }
    facts
}

/// gRPC by Kitex' own HTTP/2.
fn grpc(family: Family) {
    let stack = Stack::Kitex("grpc", Form::Protobuf);
    let server = stack.serve();
    let calls: Vec<Call> = (1..=CALLS)
        .map(|number| call(number, Form::Protobuf, true))
        .collect();
    exact(family, (stack, &server), 10, &calls, |call, done| {
        let name = format!("test.PbEcho/{}", call.method);
        let mut facts = facts(call, "grpc", "", name);
        facts
            .both
            .retain(|(name, _)| *name != "rpc.thrift.transport");
        (facts.client, facts.server) = (vec![], vec![]);
        let status = match &call.method[..] {
            "Echo" => "OK",
            // Kitex' own choice.
            "Missing" => "CANCELLED",
            _ => "INTERNAL",
        };
        if status == "INTERNAL" && call.method != "Biz" {
            facts.server.push(("error.type", text(status)));
        }
        if status != "OK" && call.method != "Biz" {
            facts.client.push(("error.type", text(status)));
        }
        if call.method == "Biz" {
            assert_eq!(done.code, 1001);
            facts.both.push(("kitex.biz_status_code", int(1001)));
            facts.both.push(("kitex.biz_message", text("no stock")));
        }
        facts.both.push(("rpc.response.status_code", text(status)));
        if call.method == "Missing" {
            facts.events = Events::Unread;
        }
        facts
    });
}

/// One connection for all calls, several of which share a write, and whose replies come in any order.
fn mux(family: Family) {
    let stack = Stack::Kitex("mux", Form::Thrift);
    let server = stack.serve();
    let calls: Vec<Call> = (0..4 * CALLS)
        .map(|number| call(number, Form::Thrift, true))
        .collect();
    let (pids, done, spans, _) = connected(family, (stack, &server), 50, &calls);
    check::exact(&spans, &calls, &done, pids, |call, done| {
        let name = format!("Echo/{}", call.method);
        in_header(facts(call, "thrift", "ttheader_framed", name), call, done)
    });
}

/// Messages made of JSON and an IDL, on both sides.
fn json(family: Family) {
    for (transport, named) in [
        ("framed", "framed"),
        ("ttheader", "ttheader"),
        ("ttheaderframed", "ttheader_framed"),
    ] {
        let stack = Stack::Kitex(transport, Form::Json);
        let server = stack.serve();
        let carries = transport != "framed";
        let calls: Vec<Call> = (1..=CALLS)
            .map(|number| call(number, Form::Json, carries))
            .collect();
        exact(family, (stack, &server), 1, &calls, |call, done| {
            let name = match carries {
                true => format!("Echo/{}", call.method),
                false => call.method.clone(),
            };
            let mut facts = facts(call, "thrift", named, name);
            facts.both.push(("rpc.thrift.protocol", text("binary")));
            match (carries, &call.method[..]) {
                (true, _) => in_header(facts, call, done),
                (false, "missing") => {
                    let error = ("error.type", text("20"));
                    facts.client.push(error.clone());
                    facts.server.push(error);
                    facts
                }
                (false, _) => facts,
            }
        });
    }
}

/// A client, this test, that puts the mesh header before its messages, as a mesh does; Kitex reads it.
fn mesh_header(family: Family) {
    let server = Stack::Kitex("framed", Form::Thrift).serve();
    let traced = Traced::attach(family, &[server.pid()]);
    let calls: Vec<Call> = (1..=40)
        .map(|number| Call {
            method: "echo".into(),
            send: vec![number],
            ..Call::new(number, "")
        })
        .collect();
    let mut done = Vec::new();
    let mut connection = TcpStream::connect(server.address).expect("it listens");
    for call in &calls {
        let traceparent = ("RPC_TRANSIT_traceparent", &call.traceparent[..]);
        let mut wire = mesh(&[("destService", "test.echo"), traceparent]);
        let message = echo(call);
        let framed = call.id % 2 == 0;
        if framed {
            wire.extend_from_slice(&(message.len() as u32).to_be_bytes());
        }
        wire.extend_from_slice(&message);
        let began = load::now();
        connection.write_all(&wire).expect("it reads");
        let mut answer = vec![0; message.len() + if framed { 4 } else { 0 }];
        connection.read_exact(&mut answer).expect("it answers");
        done.push(Done {
            id: call.id,
            code: 0,
            got: vec![],
            began,
            ended: load::now(),
        });
    }
    drop(connection);
    let (spans, _) = traced.finish();
    let pids = Pids {
        client: None,
        server: Some(server.pid()),
    };
    check::exact(&spans, &calls, &done, pids, |call, _| {
        let transport = match call.id % 2 {
            0 => "framed",
            _ => "buffered",
        };
        facts(call, "thrift", transport, call.method.clone())
    });
}

/// `FFAF`, the length of what follows, and the count of pairs of texts behind their lengths.
fn mesh(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut words = (pairs.len() as u16).to_be_bytes().to_vec();
    for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
        words.extend_from_slice(&(text.len() as u16).to_be_bytes());
        words.extend_from_slice(text.as_bytes());
    }
    [
        &[0xff, 0xaf],
        &(words.len() as u16).to_be_bytes()[..],
        &words,
    ]
    .concat()
}

/// A call in Thrift's strict binary encoding; its answer is as long.
fn echo(call: &Call) -> Vec<u8> {
    let text = "m".repeat(call.send[0]);
    let method = call.method.as_bytes();
    [
        &[0x80, 0x01, 0, 1],
        &(method.len() as u32).to_be_bytes()[..],
        method,
        &(call.id as u32).to_be_bytes(),
        &[11, 0, 1],
        &(text.len() as u32).to_be_bytes(),
        text.as_bytes(),
        &[0],
    ]
    .concat()
}
