//! Every request an exact span: each server under a mixed load over 50 kept connections.

use tests::agent::Agent;
use tests::servers::{Kind, Server};
use tests::sink::Sink;
use tests::{check, load};

use crate::{Family, Test};

/// Parallel connections.
const CONNECTIONS: usize = 50;
/// Requests of each load, distinct in path and traceparent.
const REQUESTS: usize = 20_000;

/// The tests of this module.
pub fn tests() -> Vec<(String, Test)> {
    let tests: [(Kind, Test); 6] = [
        (Kind::Nginx, |family| exact(Kind::Nginx, family)),
        (Kind::Python, |family| exact(Kind::Python, family)),
        (Kind::Node, |family| exact(Kind::Node, family)),
        (Kind::Java, |family| exact(Kind::Java, family)),
        (Kind::Go, |family| exact(Kind::Go, family)),
        (Kind::Axum, |family| exact(Kind::Axum, family)),
    ];
    tests
        .into_iter()
        .map(|(kind, test)| (format!("exact_{}", kind.name()), test))
        .collect()
}

fn exact(kind: Kind, family: Family) {
    let server = Server::start(kind);
    let sink = Sink::start();
    let agent = Agent::start([
        "-p",
        &server.pid().to_string(),
        "--probes",
        family.name(),
        "--otlp-endpoint",
        &sink.endpoint(),
    ]);
    let exchanges = load::run(server.address, CONNECTIONS, REQUESTS, |n| kind.request(n));
    let stats = agent.stop_for_stats();
    stats.assert_nothing_lost();
    check::exact(&sink.spans(), &exchanges);
    assert_eq!(stats.spans.made, REQUESTS as u64, "{stats:?}");
    assert_eq!(stats.spans.exported, REQUESTS as u64, "{stats:?}");
    assert_eq!(stats.messages.complete, 2 * REQUESTS as u64, "{stats:?}");
}
