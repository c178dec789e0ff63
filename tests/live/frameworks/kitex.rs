//! Kitex' server and client over each of its transports, held against its own tracer on both sides.

use tests::agent::Family;
use tests::frameworks::instants::{self, Pair};
use tests::frameworks::{Kitex, Record, records};
use tests::span::{CLIENT, SERVER, Span};

use super::Differences;
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("frameworks_kitex_framed", |family| {
            kitex(family, "framed", false)
        }),
        ("frameworks_kitex_ttheader", |family| {
            kitex(family, "ttheader", false)
        }),
        ("frameworks_kitex_ttheaderframed", |family| {
            kitex(family, "ttheaderframed", false)
        }),
        ("frameworks_kitex_protobuf", |family| {
            kitex(family, "ttheaderframed", true)
        }),
        ("frameworks_kitex_grpc", |family| {
            kitex(family, "grpc", true)
        }),
    ]
}

const CALLS: usize = 150;

/// A call of each kind there is: method and text.
fn call(number: usize, transport: &str, protobuf: bool) -> (&'static str, String) {
    let ms = number % 3;
    let (method, size, pad) = match number % 8 {
        0 => ("Fail", 10, 0),
        1 => ("Panic", 10, 0),
        // Kitex itself breaks the connection of a Protobuf answer with a business status.
        2 if !protobuf || transport == "grpc" => ("Biz", 10, 0),
        3 if !protobuf => ("Oneway", 0, number),
        4 => ("Echo", 300_000, 0),
        5 => ("Echo", 10, 300_000),
        _ => ("Echo", number, number),
    };
    (method, format!("{number} {ms} {size} {}", ".".repeat(pad)))
}

fn kitex(family: Family, transport: &str, protobuf: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let [at_server, at_client] = ["server", "client"].map(|side| folder.path().join(side));
    let server = Kitex::serve(&at_server);
    let mut client = Kitex::client(&server, transport, protobuf, &at_client);
    let traced = Traced::attach(family, &[server.pid(), client.pid()]);
    let calls: Vec<_> = (0..CALLS)
        .map(|number| call(number, transport, protobuf))
        .collect();
    for (method, text) in &calls {
        let method = match protobuf {
            true => format!("{method}Pb"),
            false => method.to_string(),
        };
        client.tell(&method, text);
    }
    client.wait();
    let served = records(&at_server, CALLS);
    let made = records(&at_client, CALLS);
    let (spans, _) = traced.finish();
    assert_eq!((served.len(), made.len()), (CALLS, CALLS));
    let of = |kind| {
        let mut spans: Vec<&Span> = spans.iter().filter(|span| span.kind == kind).collect();
        // They were made one after the other. A oneway call may begin to be served after the next.
        spans.sort_by_key(|span| span.start);
        assert_eq!(spans.len(), CALLS);
        spans
    };
    let clients = of(CLIENT);
    let servers: Vec<&Span> = clients
        .iter()
        .map(|client| {
            let mut of_it = spans.iter().filter(|span| span.parent == client.span_id);
            let server = of_it.next().unwrap_or_else(|| panic!("none of {client:?}"));
            assert_eq!((server.kind, of_it.next()), (SERVER, None));
            server
        })
        .collect();
    let grpc = transport == "grpc";
    let (server_pairs, client_pairs): (&[Pair], &[Pair]) = match grpc {
        true => (&instants::KITEX_GRPC_SERVER, &instants::KITEX_GRPC_CLIENT),
        false => (&instants::KITEX_SERVER, &instants::KITEX_CLIENT),
    };
    let mut all = Differences::default();
    for (number, (method, text)) in calls.iter().enumerate() {
        for (span, record, pairs) in [
            (servers[number], &served[number], server_pairs),
            (clients[number], &made[number], client_pairs),
        ] {
            let mut wrong = Differences::default();
            wrong.compare("id", &number.to_string(), &record.id);
            facts(span, record, (method, transport), &mut wrong);
            if grpc {
                grpc_sizes(span, record, &mut wrong);
            } else {
                events(span, record, method, &mut wrong);
                sizes(span, record, (method, text), &mut wrong);
            }
            wrong.0.extend(instants::wrong(pairs, span, record));
            all.of(wrong, || format!("{span:?} and {record:?}"));
        }
    }
    all.assert_none();
}

fn facts(span: &Span, record: &Record, (method, transport): (&str, &str), wrong: &mut Differences) {
    let is_server = record.side == "server";
    let called = span.text("rpc.method");
    let called = called.rsplit('/').next().unwrap_or_default();
    wrong.compare("method", &called, &&record.method[..]);
    // What Kitex' header says of both ends; Framed has none.
    if transport != "framed" {
        wrong.compare(
            "service",
            &span.text("kitex.to.service"),
            &&record.service[..],
        );
        wrong.compare(
            "its method",
            &span.text("kitex.to.method"),
            &&record.method[..],
        );
        let from = span.text("kitex.from.service");
        if !is_server {
            wrong.compare("caller", &from, &&record.from[..]);
        }
        let business = span.int("kitex.biz_status_code").unwrap_or_default();
        wrong.compare("business status", &business, &record.business);
        let message = span.text("kitex.biz_message");
        wrong.compare("its words", &message, &&record.business_message[..]);
    }
    let failed = ["Fail", "Panic"].contains(&method);
    wrong.compare("failed", &failed, &!record.error.is_empty());
    wrong.compare("span's status", &(span.status == 2), &failed);
    // A panic is the server's to know; to its client it is an error like any other.
    wrong.compare(
        "panicked",
        &(is_server && method == "Panic"),
        &record.panicked,
    );
    let address = span.text("network.peer.address");
    let port = span.int("network.peer.port").unwrap_or_default();
    let peer = format!("{address}:{port}");
    wrong.compare("peer", &peer, &record.peer);
}

/// The same events in the same order, but for these: what Kitex calls waiting lies on its server within
/// reading, and on its client comes after the begin of reading; it tells of every time it takes a
/// connection, we of those that it opens.
fn events(span: &Span, record: &Record, method: &str, wrong: &mut Differences) {
    let is_server = span.kind == SERVER;
    let ours: Vec<&str> = span.events.iter().map(|(name, _)| &name[..]).collect();
    let opened = ours.contains(&"client_conn_start");
    let mut theirs = record.names();
    theirs.retain(|name| {
        !name.starts_with("wait_read") && (opened || !name.starts_with("client_conn"))
    });
    // Of a oneway call that is served, the socket shows when it was read, and nothing after.
    if is_server && method == "Oneway" {
        theirs
            .retain(|name| !["server_handle_finish", "write_start", "write_finish"].contains(name));
    }
    if let Some(at) = theirs
        .iter()
        .position(|name| *name == "read_start")
        .filter(|_| !is_server)
    {
        theirs.splice(at..at, ["wait_read_start", "wait_read_finish"]);
    }
    // A call begins for us with what it writes.
    if opened {
        theirs.remove(0);
        theirs.insert(2, "rpc_start");
    }
    wrong.compare("events", &ours, &theirs);
}

/// What Kitex counts is what is on the wire, but of what it received for the length before a frame.
fn sizes(span: &Span, record: &Record, (method, text): (&str, &str), wrong: &mut Differences) {
    let int = |name| span.int(name).unwrap_or_default();
    let (sent, received) = match span.kind {
        SERVER => (int("rpc.response.size"), int("rpc.request.size")),
        _ => (int("rpc.request.size"), int("rpc.response.size")),
    };
    wrong.compare("sent", &sent, &record.sent);
    let transport = span.text("rpc.thrift.transport");
    let length = match transport {
        "framed" | "ttheader_framed" if received > 0 => 4,
        _ => 0,
    };
    wrong.compare("received", &received, &(record.received + length));
    if span.kind == CLIENT && transport == "framed" {
        // Frame's length, message begin, a field of text, the end of the struct.
        let whole = 4 + (4 + 4 + method.len() + 4) + (3 + 4 + text.len()) + 1;
        wrong.compare("on the wire", &sent, &(whole as i64));
    }
}

/// Over gRPC Kitex counts messages, without their frames and heads.
fn grpc_sizes(span: &Span, record: &Record, wrong: &mut Differences) {
    let int = |name| span.int(name).unwrap_or_default();
    let (sent, received) = match span.kind {
        SERVER => (int("rpc.response.size"), int("rpc.request.size")),
        _ => (int("rpc.request.size"), int("rpc.response.size")),
    };
    wrong.compare("more was sent", &(sent > record.sent), &true);
    wrong.compare("more was received", &(received > record.received), &true);
}
