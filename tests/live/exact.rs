//! Every request an exact span: each server under a mixed load over 50 kept connections.

use tests::servers::{Kind, Server};
use tests::{check, load, wait};

use crate::Test;
use crate::common::Traced;
use tests::agent::Family;

/// Parallel connections.
const CONNECTIONS: usize = 50;
/// Requests of each load (see [`wait::fewer`]), distinct in path and traceparent.
const REQUESTS: usize = 20_000;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("exact_nginx", |family| exact(Kind::Nginx, family)),
        ("exact_python", |family| exact(Kind::Python, family)),
        ("exact_node", |family| exact(Kind::Node, family)),
        ("exact_java", |family| exact(Kind::Java, family)),
        ("exact_go", |family| exact(Kind::Go, family)),
        ("exact_axum", |family| exact(Kind::Axum, family)),
    ]
}

fn exact(kind: Kind, family: Family) {
    let server = Server::start(kind);
    let traced = Traced::attach(family, &[server.pid()]);
    let requests = wait::fewer(REQUESTS);
    let exchanges = load::run(server.address, CONNECTIONS, requests, |n| kind.request(n));
    let (spans, stats) = traced.finish();
    check::exact(&spans, &exchanges);
    if family == Family::Sock {
        check::queue(&spans);
    }
    assert_eq!(stats.spans.made, requests as u64, "{stats:?}");
    assert_eq!(stats.messages.complete, 2 * requests as u64, "{stats:?}");
}
