//! The real OpenTelemetry Collector as the endpoint: it takes what the agent sends in each of the three
//! protocols, and what it passes on is what was traced.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use tests::agent::{Agent, Family};
use tests::load;
use tests::process::Process;
use tests::servers::{self, Kind, Server};
use tests::sink::Sink;
use tests::{check, wait};

use crate::Test;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![("collector_takes_every_protocol", every_protocol as Test)]
}

fn every_protocol(family: Family) {
    let server = Server::start(Kind::Go);
    for (protocol, compression) in [
        ("grpc", "gzip"),
        ("grpc", "none"),
        ("http/protobuf", "gzip"),
        ("http/protobuf", "none"),
        ("http/json", "none"),
    ] {
        let sink = Sink::start();
        let collector = Collector::start(&sink);
        let address = match protocol {
            "grpc" => collector.grpc,
            _ => collector.http,
        };
        let arguments = [
            "-p",
            &server.pid().to_string(),
            "--otlp-endpoint",
            &format!("http://{address}"),
            "--otlp-protocol",
            protocol,
            "--probes",
            family.name(),
        ];
        let agent = Agent::spawn_with(arguments, |command| {
            command.env("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
        });
        agent.wait_ready();
        let exchanges = load::run(server.address, 10, 1_000, |n| Kind::Go.request(n));
        let stats = agent.stop_for_stats();
        stats.assert_nothing_lost();
        assert_eq!(stats.spans.exported, 1_000, "{protocol}: {stats:?}");
        check::exact(&sink.spans(), &exchanges);
    }
}

/// A Collector that hands on what it takes before it says that it has it.
pub struct Collector {
    /// Where it takes OTLP/gRPC.
    pub grpc: SocketAddr,
    /// Where it takes OTLP/HTTP.
    pub http: SocketAddr,
    _process: Process,
}

impl Collector {
    /// Hands on to the sink.
    #[track_caller]
    pub fn start(sink: &Sink) -> Collector {
        // It cannot choose ports by itself: two that were free a moment ago.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [grpc, http] = free.map(|listener| listener.local_addr().expect("it listens"));
        let config = format!(
            "yaml:{{\
               receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}}}, \
               exporters: {{otlp_http: {{endpoint: '{}', compression: none, sending_queue: {{enabled: false}}}}}}, \
               service: {{telemetry: {{metrics: {{level: none}}}}, \
                          pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http]}}, \
                                      metrics: {{receivers: [otlp], exporters: [otlp_http]}}}}}}\
             }}",
            sink.endpoint()
        );
        let mut command = Command::new(servers::go("collector"));
        let mut process = Process::start(command.args(["--config", &config]));
        wait::until("the Collector", wait::SOON * 2, || {
            assert!(process.is_running(), "it ended: {:?}", process.stderr.all());
            let up = [grpc, http].iter().all(|at| TcpStream::connect(at).is_ok());
            up.then_some(())
        });
        Collector {
            grpc,
            http,
            _process: process,
        }
    }
}
