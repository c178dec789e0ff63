//! Delivery through what lies between the agent and its endpoint.

use tests::agent::{Agent, Family};
use tests::load::{self, get};
use tests::sink::Sink;

use crate::Test;
use crate::common::plain_peer;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![("delivery_through_a_proxy", through_a_proxy as Test)]
}

/// The endpoint's name is known to no one: whoever the proxy's variable names gets the spans.
fn through_a_proxy(family: Family) {
    let sink = Sink::start();
    let proxy = sink.endpoint();
    let server = plain_peer();
    let pid = server.pid().to_string();
    let arguments = [
        "-p",
        &pid,
        "--otlp-endpoint",
        "http://collector.invalid:4318",
        "--probes",
        family.name(),
    ];
    let agent = Agent::spawn_with(arguments, |command| {
        command.env("HTTP_PROXY", &proxy);
    });
    agent.wait_ready();
    load::run(server.address, 1, 3, |number| get(format!("/{number}")));
    let stats = agent.stop_for_stats();
    assert_eq!((stats.spans.exported, sink.spans().len()), (3, 3));
}
