//! Gateways: HTTP in and Thrift out by Kitex, HTTP/2 in and gRPC out by nginx. Three processes, one
//! trace.

use std::collections::BTreeMap;
use std::process::Command;

use tests::agent::Family;
use tests::load::{self, Body, Request, get};
use tests::rpc::{Form, Stack};
use tests::servers::{self, Server};
use tests::span::{CLIENT, SERVER, Span};

use super::grpc::shape;
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("gateway_http_to_thrift", |family| {
            http_to_thrift(family, "framed")
        }),
        ("gateway_http_to_ttheader", |family| {
            http_to_thrift(family, "ttheader")
        }),
        ("gateway_nginx_grpc", nginx),
    ]
}

/// Four requests at once through net/http and a Kitex client behind it.
fn http_to_thrift(family: Family, transport: &str) {
    const REQUESTS: usize = 200;
    let behind = Stack::Kitex("framed", Form::Thrift).serve();
    let mut command = Command::new(servers::go("go-rpc"));
    command.args(["gateway", "0", &behind.address.to_string(), transport]);
    let gateway = Server::announced(&mut command);
    let traced = Traced::attach(family, &[gateway.pid(), behind.pid()]);
    let exchanges = load::run(gateway.address, 4, REQUESTS, |number| Request {
        method: "POST",
        body: Body::Length(1 + number),
        ..get(format!("/{number}"))
    });
    let (spans, _) = traced.finish();
    assert_eq!(spans.len(), 3 * REQUESTS);
    let by_id: BTreeMap<&str, &Span> = spans.iter().map(|span| (&span.span_id[..], span)).collect();
    let of = |pid: u32, kind| {
        let is = move |span: &&Span| span.pid() == Some(pid.into()) && span.kind == kind;
        spans.iter().filter(is)
    };
    for exchange in &exchanges {
        assert_eq!(exchange.response.status, 200);
        let mut served = of(gateway.pid(), SERVER).filter(|s| s.trace_id == exchange.trace_id);
        let (served, none) = (served.next().expect("a span"), served.next());
        assert_eq!(none, None, "two spans of {exchange:?}");
        assert_eq!(served.parent, exchange.parent, "{served:?}");
    }
    assert_eq!(of(behind.pid(), SERVER).count(), REQUESTS);
    for span in of(behind.pid(), SERVER) {
        // The chain over the connection holds, whatever the message carries.
        let client = by_id.get(&span.parent[..]).copied();
        let client = client.unwrap_or_else(|| panic!("no client span of {span:?}"));
        assert_eq!(
            (client.kind, client.pid()),
            (CLIENT, Some(gateway.pid().into()))
        );
        assert_eq!(span.text("tracer.parent.source"), "connection", "{span:?}");
        assert_eq!(span.trace_id, client.trace_id, "{span:?} {client:?}");
        assert!(
            client.name == "echo" || client.name == "Echo/echo",
            "{client:?}"
        );
        let behind_of = |id: &str| exchanges.iter().find(|exchange| exchange.trace_id == id);
        match transport {
            // What the gateway passes on is what it got, so it is for the request that brought it.
            "ttheader" => {
                let exchange = behind_of(&client.trace_id).expect("it passes it on");
                let parent = by_id.get(&client.parent[..]).expect("a span of ours");
                assert_eq!((parent.kind, &parent.parent), (SERVER, &exchange.parent));
                assert_eq!(client.text("tracer.parent.source"), "propagated");
            }
            // Nothing is carried. A parent may be known by who ran what, and then it is right: the
            // sizes tell which request a call is of.
            _ => {
                if let Some(parent) = by_id.get(&client.parent[..]) {
                    assert_eq!(parent.kind, SERVER, "{parent:?} {client:?}");
                    let text = parent.int("http.request.body.size").expect("a size");
                    let call = client.int("rpc.request.size").expect("a size");
                    assert_eq!(call, text + 28, "{parent:?} {client:?}");
                } else {
                    assert_eq!(client.parent, "", "{client:?}");
                }
            }
        }
    }
}

/// grpc-go calls through nginx, which speaks HTTP/2 to both sides.
fn nginx(family: Family) {
    const CALLS: usize = 100;
    let behind = Stack::GrpcGo.serve();
    let gateway = servers::nginx_grpc(behind.address);
    let mut client = Stack::GrpcGo.client(&gateway, 10);
    let traced = Traced::attach(family, &[client.pid(), gateway.pid(), behind.pid()]);
    let calls: Vec<_> = (1..=CALLS).map(shape).collect();
    client.tell(&calls);
    let pid = client.pid();
    let done = client.finish();
    let (spans, _) = traced.finish();
    assert_eq!(done.len(), CALLS);
    for (call, done) in calls.iter().zip(&done) {
        let of_it = spans.iter().filter(|s| s.trace_id == call.trace_id());
        let mut of_it: Vec<&Span> = of_it.collect();
        of_it.sort_by_key(|span| span.start);
        let [first, second, third, last] = of_it[..] else {
            panic!("{} spans of {call:?}: {of_it:#?}", of_it.len());
        };
        let kinds = of_it.iter().map(|span| span.kind);
        assert_eq!(kinds.collect::<Vec<_>>(), [CLIENT, SERVER, CLIENT, SERVER]);
        assert_eq!(first.pid(), Some(pid.into()));
        assert_eq!(last.pid(), Some(behind.pid().into()));
        assert_eq!(first.parent, call.parent());
        assert_eq!(second.parent, first.span_id, "{second:?}");
        // nginx passes the header on as it is.
        assert_eq!(third.parent, second.span_id, "{third:?}");
        assert_eq!(third.text("tracer.parent.source"), "propagated");
        assert_eq!(last.parent, third.span_id, "{last:?}");
        for span in of_it {
            let method = call.method.trim_start_matches('/');
            assert_eq!(span.text("rpc.method"), method, "{span:?}");
            let ok = span.text("rpc.response.status_code") == "OK";
            assert_eq!(ok, done.code == 0, "{span:?} {done:?}");
        }
    }
    assert_eq!(spans.len(), 4 * CALLS);
}
