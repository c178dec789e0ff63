//! Plain HTTP/2 without TLS: by prior knowledge and by HTTP/1's Upgrade, and nginx between.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tests::agent::Family;
use tests::check::http_name;
use tests::rpc::check::{Events, Facts};
use tests::rpc::{Call, Done, Stack};
use tests::servers::{Kind, Server};
use tests::span::SERVER;

use super::{exact, int, text};
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("http2_go_to_itself", |family| {
            many_at_once(family, &Stack::Http2.serve())
        }),
        ("http2_go_to_axum", |family| {
            many_at_once(family, &Server::start(Kind::Axum))
        }),
        ("http2_curl_prior_knowledge", |family| {
            curl(family, "--http2-prior-knowledge")
        }),
        ("http2_curl_upgrade", |family| curl(family, "--http2")),
    ]
}

/// A request of each kind, by its number; every server of these tests knows them.
fn request(number: usize) -> Call {
    let (request, send) = match number % 5 {
        0 => (format!("GET /bytes/{}/{number}", number * 7), vec![]),
        1 => (format!("POST /echo/{number}"), vec![number]),
        2 => (format!("GET /status/404/{number}"), vec![]),
        3 => (format!("GET /status/500/{number}?q={number}"), vec![]),
        _ if number % 50 == 4 => (format!("PUT /echo/{number}"), vec![1_000_000]),
        _ => (format!("DELETE /status/204/{number}"), vec![]),
    };
    Call {
        send,
        ..Call::new(number, request)
    }
}

fn facts(call: &Call, done: &Done, address: SocketAddr) -> Facts {
    let (method, target) = call.method.split_once(' ').expect("a target");
    let path = target.split('?').next().expect("a path");
    let error = |from| match done.code >= from {
        true => Some(("error.type", text(done.code.to_string()))),
        false => None,
    };
    let mut client = vec![("url.full", text(format!("http://{address}{target}")))];
    client.extend(error(400));
    let mut server = vec![("url.path", text(path))];
    server.extend(error(500));
    Facts {
        name: http_name(method, target),
        both: vec![
            ("http.request.method", text(method)),
            ("http.response.status_code", int(done.code as usize)),
            ("network.protocol.version", text("2")),
            ("http.request.body.size", int(call.send.iter().sum())),
            ("http.response.body.size", int(done.got.iter().sum())),
        ],
        client,
        server,
        events: Events::Http,
    }
}

/// 20 requests at once on net/http's one connection.
fn many_at_once(family: Family, server: &Server) {
    let calls: Vec<Call> = (1..=300).map(request).collect();
    let address = server.address;
    exact(family, (Stack::Http2, server), 20, &calls, |call, done| {
        facts(call, done, address)
    });
}

/// curl, which asks for the protocol in that way: one client span and one server span a request.
fn curl(family: Family, how: &str) {
    let server = Stack::serve_upgrading();
    let traced = Traced::attach_with(family, &[server.pid()], &[]);
    for number in 1..=5 {
        // A connection each: Debian's curl fails to use such a one again.
        let status = Command::new("curl")
            .args(["-sS", how, "-H"])
            .arg("traceparent: 00-a0000000000000000000000000000001-b000000000000001-01")
            .arg(format!("http://{}/bytes/{number}/curl", server.address))
            .stdout(Stdio::null())
            .status();
        let status = status.expect("curl");
        assert!(status.success(), "{status}");
    }
    let (mut spans, _) = traced.finish();
    spans.sort_by_key(|span| span.start);
    assert_eq!(spans.len(), 5, "{spans:#?}");
    for (number, span) in (1..).zip(&spans) {
        assert_eq!(span.kind, SERVER, "{span:?}");
        assert_eq!(span.parent, "b000000000000001", "{span:?}");
        assert_eq!(span.text("url.path"), format!("/bytes/{number}/curl"));
        assert_eq!(span.int("http.response.status_code"), Some(200));
        assert_eq!(
            span.int("http.response.body.size"),
            Some(number),
            "{span:?}"
        );
        assert_eq!(span.text("tracer.incomplete"), "", "{span:?}");
        // The request that asks for the upgrade is HTTP/1's.
        let version = match how {
            "--http2" => "1.1",
            _ => "2",
        };
        assert_eq!(span.text("network.protocol.version"), version, "{span:?}");
    }
}
