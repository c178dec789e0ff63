//! The real OpenTelemetry Collector as the endpoint: it takes what the agent sends in each of the three
//! protocols, and what it passes on is what was traced.

use tests::agent::{Agent, Family};
use tests::backends::Collector;
use tests::servers::{Kind, Server};
use tests::sink::Sink;
use tests::{check, load, wait};

use crate::Test;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![("collector_takes_every_protocol", every_protocol as Test)]
}

fn every_protocol(family: Family) {
    let server = Server::start(Kind::Go);
    let requests = wait::fewer(1_000);
    for (protocol, compression) in [
        ("grpc", "gzip"),
        ("grpc", "none"),
        ("http/protobuf", "gzip"),
        ("http/protobuf", "none"),
        ("http/json", "none"),
    ] {
        let sink = Sink::start();
        let collector = Collector::start(&sink);
        let pid = server.pid().to_string();
        let of_us = ["-p", &pid, "--probes", family.name()].map(String::from);
        let arguments = of_us.into_iter().chain(collector.options(protocol));
        let agent = Agent::spawn_with(arguments, |command| {
            command.env("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
        });
        agent.wait_ready();
        let exchanges = load::run(server.address, 10, requests, |n| Kind::Go.request(n));
        let stats = agent.stop_for_stats();
        stats.assert_nothing_lost();
        assert_eq!(
            stats.spans.exported, requests as u64,
            "{protocol}: {stats:?}"
        );
        check::exact(&sink.spans(), &exchanges);
    }
}
