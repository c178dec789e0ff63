//! Who caused whom: gateways that are asked for calls, many at once, and the parents that their calls
//! were given, held against the numbers that the programs themselves wrote on the wire.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;

use crate::agent::{Agent, Family};
use crate::frameworks::{self, Gateway, Pair};
use crate::load::{self, Request, get};
use crate::servers::{self, Kind, Server};
use crate::sink::Sink;
use crate::span::{CLIENT, SERVER, Span};

/// A gateway, and how its calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Written with a framework of Go.
    Go {
        /// Which.
        gateway: Gateway,
        /// It passes on the trace context that it got.
        forward: bool,
        /// See [`Gateway::request`].
        how: &'static str,
    },
    /// A pool of threads of Java that block.
    Java,
    /// An event loop.
    Node,
    /// An event loop.
    Asyncio,
    /// nginx with so many workers, before two servers.
    Nginx {
        /// How many processes it serves with.
        workers: usize,
        /// It passes on the trace context that it got.
        forward: bool,
    },
}

/// What became of the calls.
#[derive(Debug, Default)]
pub struct Parents {
    /// How many calls were seen.
    pub calls: usize,
    /// Their parent is the request they were made for.
    pub right: usize,
    /// The others that have one.
    pub wrong: Vec<String>,
    /// No parent is claimed, or one that was not seen.
    pub unknown: Vec<String>,
    /// Transfers that the agent was too slow to take.
    pub lost: u64,
}

/// The programs of a case, serving.
enum Running {
    Frameworks(Pair),
    /// Is asked for `/fetch/PORT/N`, and asks that port for N.
    Fetching(Server, Server),
    Nginx(Server, [Server; 2]),
}

impl Case {
    /// For a line of a table.
    pub fn name(self) -> String {
        let passed_on = |forward| if forward { ", context passed on" } else { "" };
        match self {
            Case::Go {
                gateway,
                forward,
                how,
            } => format!("{} {how}{}", gateway.name(), passed_on(forward)),
            Case::Java => "Java, a pool of threads".into(),
            Case::Node => "Node".into(),
            Case::Asyncio => "Python, asyncio".into(),
            Case::Nginx { workers, forward } => {
                format!("nginx, {workers} workers{}", passed_on(forward))
            }
        }
    }

    fn start(self) -> Running {
        let fetching = |front| Running::Fetching(front, Server::start(Kind::Go));
        match self {
            Case::Go { gateway, .. } => Running::Frameworks(gateway.start()),
            Case::Java => fetching(Server::start(Kind::Java)),
            Case::Node => fetching(Server::start(Kind::Node)),
            Case::Asyncio => {
                let script = servers::fixture("python/asyncio_gateway.py");
                fetching(Server::announced(Command::new("python3").arg(script)))
            }
            Case::Nginx { workers, .. } => {
                let behind = [(); 2].map(|()| frameworks::serve("nethttp", &["serve"]));
                let addresses = [behind[0].address, behind[1].address];
                Running::Nginx(servers::nginx_proxy(workers, addresses), behind)
            }
        }
    }

    /// The request of that number, on whose behalf a call is made after up to 20 ms.
    fn request(self, running: &Running, number: usize) -> Request {
        let ms = number * 7 % 21;
        match (self, running) {
            (
                Case::Go {
                    gateway,
                    forward,
                    how,
                },
                _,
            ) => gateway.request(number, ms, forward, how),
            (Case::Nginx { forward, .. }, _) => {
                let path = if forward { "forward" } else { "call" };
                get(format!("/{path}/{number}?ms={ms}"))
            }
            (_, Running::Fetching(_, behind)) => {
                get(format!("/fetch/{}/{number}", behind.address.port()))
            }
            _ => unreachable!("it was started for another case"),
        }
    }

    /// The number of the request that a span is of.
    fn number(self, span: &Span) -> Option<usize> {
        match self {
            Case::Go { gateway, .. } => gateway.number(span),
            _ => path(span)
                .rsplit('/')
                .next()?
                .split('?')
                .next()?
                .parse()
                .ok(),
        }
    }

    /// Attaches to all programs, makes `requests` requests over `connections` connections at once, and
    /// looks at the parents of the calls.
    #[track_caller]
    pub fn measure(self, family: Family, connections: usize, requests: usize) -> Parents {
        let running = self.start();
        let sink = Sink::start();
        let pids: Vec<String> = running.pids().iter().map(u32::to_string).collect();
        let (pids, endpoint) = (pids.join(","), sink.endpoint());
        let arguments = ["-p", &pids, "--otlp-endpoint", &endpoint];
        let probes = ["--probes", family.name()];
        let agent = Agent::start([&arguments[..], &probes, &Gateway::CAPTURE].concat());
        load::run(running.address(), connections, requests, |number| {
            self.request(&running, number)
        });
        let stats = agent.stop_for_stats();
        // Kratos' client asks for its server's health once.
        let mut spans = sink.spans();
        spans.retain(|span| !span.name.starts_with("grpc.health.v1.Health/"));
        Parents {
            lost: stats.transfers.seen - stats.transfers.delivered,
            ..Parents::of(&spans, |span| self.number(span))
        }
    }
}

impl Running {
    fn address(&self) -> SocketAddr {
        match self {
            Running::Frameworks(pair) => pair.front.address,
            Running::Fetching(front, _) | Running::Nginx(front, _) => front.address,
        }
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Running::Frameworks(pair) => vec![pair.front.pid(), pair.behind.pid()],
            Running::Fetching(front, behind) => vec![front.pid(), behind.pid()],
            Running::Nginx(front, behind) => {
                vec![front.pid(), behind[0].pid(), behind[1].pid()]
            }
        }
    }
}

impl Parents {
    /// Of the calls among these spans. `number` tells of which request a span is.
    fn of(spans: &[Span], number: impl Fn(&Span) -> Option<usize>) -> Parents {
        let by_id: HashMap<&str, &Span> = spans
            .iter()
            .map(|span| (span.span_id.as_str(), span))
            .collect();
        let mut parents = Parents::default();
        for call in spans.iter().filter(|span| span.kind == CLIENT) {
            let of = number(call);
            parents.calls += 1;
            match by_id.get(call.parent.as_str()) {
                Some(parent) if parent.kind == SERVER && of.is_some() && number(parent) == of => {
                    parents.right += 1;
                }
                None if call.parent.is_empty() => parents.unknown.push(format!("{call:?}")),
                // Who served the request that brought it was not seen: it names the sender of that.
                None if call.text("tracer.parent.source") == "propagated" => {
                    parents.unknown.push(format!("{call:?}"));
                }
                parent => parents.wrong.push(format!("{call:?} of {parent:?}")),
            }
        }
        parents
    }
}

fn path(span: &Span) -> &str {
    match span.text("url.path") {
        "" => span.text("url.full"),
        path => path,
    }
}
