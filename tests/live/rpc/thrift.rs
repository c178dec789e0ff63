//! Apache Thrift, as its Python package speaks it: every transport and protocol, every kind of answer.

use tests::agent::Family;
use tests::rpc::check::{self, Events, Facts, Pids};
use tests::rpc::{Call, Done, Stack};
use tests::span::Span;

use super::{exact, int, text};
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("thrift_every_form", every_form),
        ("thrift_connections", connections),
        ("thrift_midway", midway),
    ]
}

/// Its name, what spans call its transport and protocol, and the bytes of a message besides its
/// method's name and its text.
const FORMS: [(&str, &str, &str, Option<usize>); 6] = [
    ("framed", "framed", "binary", Some(4 + OVERHEAD)),
    ("buffered", "buffered", "binary", Some(OVERHEAD)),
    ("compact", "framed", "compact", None),
    ("header", "theader", "binary", None),
    ("zlib", "theader", "binary", None),
    ("old", "buffered", "binary_old", Some(OVERHEAD - 3)),
];

/// Version and type, the name's length, the sequence id; the field's type, id and length; stop.
const OVERHEAD: usize = 4 + 4 + 4 + 1 + 2 + 4 + 1;

/// A call of each kind there is; it carries no trace context, Thrift has no place for one.
fn call(number: usize) -> Call {
    let (method, size) = match number % 8 {
        1 => ("fail", number),
        2 => ("declared", 0),
        3 => ("missing", 3),
        4 => ("oneway", number),
        5 if number % 24 == 5 => ("echo", 1_000_000),
        6 => ("echo", 0),
        _ => ("echo", number),
    };
    Call {
        id: number,
        method: method.into(),
        send: vec![size],
        ..Call::default()
    }
}

fn facts(form: usize, call: &Call, done: &Done) -> Facts {
    let (_, transport, protocol, overhead) = FORMS[form];
    let size = call.send[0];
    let oneway = call.method == "oneway";
    let mut both = vec![
        ("rpc.system.name", text("thrift")),
        ("rpc.method", text(&call.method)),
        ("rpc.thrift.transport", text(transport)),
        ("rpc.thrift.protocol", text(protocol)),
        ("rpc.thrift.seq_id", int(call.id)),
        (
            "rpc.thrift.message_type",
            text(if oneway { "oneway" } else { "call" }),
        ),
    ];
    let (code, error) = match &call.method[..] {
        "fail" => (6, Some("INTERNAL_ERROR")),
        "declared" => (1, Some("declared_exception")),
        "missing" => (1, Some("UNKNOWN_METHOD")),
        _ => (0, None),
    };
    assert_eq!(done.code, code, "{call:?}");
    if let Some(overhead) = overhead {
        let wire = overhead + call.method.len() + size;
        both.push(("rpc.request.size", int(wire)));
        if call.method == "echo" {
            both.push(("rpc.response.size", int(wire)));
        }
    }
    let error: Vec<_> = error
        .map(|error| ("error.type", text(error)))
        .into_iter()
        .collect();
    Facts {
        name: call.method.clone(),
        both,
        client: error.clone(),
        server: error,
        events: match oneway {
            true => Events::Oneway,
            false => Events::Rpc,
        },
    }
}

/// One connection of each form, both its ends. Not of the old encoding, which is known by an answer
/// only: whether the ends of its first call meet is the scheduler's; [`midway`] has it.
fn every_form(family: Family) {
    let forms = FORMS.into_iter().enumerate();
    for (form, (name, ..)) in forms.filter(|(_, form)| form.2 != "binary_old") {
        let stack = Stack::Thrift(name);
        let server = stack.serve();
        let calls: Vec<Call> = (1..=200).map(call).collect();
        exact(family, (stack, &server), 1, &calls, |call, done| {
            facts(form, call, done)
        });
    }
}

/// Several connections at once: of each call one span of either side.
fn connections(family: Family) {
    let stack = Stack::Thrift("framed");
    let server = stack.serve();
    let calls: Vec<Call> = (1..=400).map(call).collect();
    let (_, done, mut spans, _) = super::traced(family, (stack, &server), 8, &calls);
    assert_eq!(spans.len(), 800);
    for done in done {
        let of_it = spans.extract_if(.., |span| {
            span.int("rpc.thrift.seq_id") == Some(done.id as i64)
        });
        let mut of_it: Vec<_> = of_it.collect();
        of_it.sort_by_key(|span| span.kind);
        let [server, client] = &of_it[..] else {
            panic!("call {}: {of_it:#?}", done.id);
        };
        assert_eq!(server.parent, client.span_id, "{server:?} {client:?}");
        assert_eq!(server.trace_id, client.trace_id, "{server:?} {client:?}");
    }
}

/// Connections that were there already: known by their next call, whatever its form. Of the old
/// encoding, whether the ends of that call meet is the scheduler's.
fn midway(family: Family) {
    for (form, (name, _, protocol, _)) in FORMS.into_iter().enumerate() {
        let stack = Stack::Thrift(name);
        let server = stack.serve();
        let mut client = stack.client(&server, 1);
        let before: Vec<Call> = (1..=10).map(call).collect();
        client.tell(&before);
        client.wait_done(before.len());
        let pids = Pids {
            client: Some(client.pid()),
            server: Some(server.pid()),
        };
        let traced = Traced::attach(family, &[client.pid(), server.pid()]);
        // The last one is answered: only then has the server read them all.
        let mut calls: Vec<Call> = (11..=61).map(call).collect();
        client.tell(&calls);
        let mut done = client.finish().split_off(before.len());
        let (mut spans, _) = traced.finish();
        if protocol == "binary_old" {
            let first = calls.remove(0).id as i64;
            done.remove(0);
            let is_first = |span: &mut Span| span.int("rpc.thrift.seq_id") == Some(first);
            assert_eq!(spans.extract_if(.., is_first).count(), 2);
        }
        check::exact(&spans, &calls, &done, pids, |call, done| {
            facts(form, call, done)
        });
    }
}
