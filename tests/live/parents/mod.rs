//! Who caused whom, at 50 requests at a time that each wait up to 20 ms before they call: the parent of
//! a call is the exchange it was made for, or none is claimed.

use std::collections::HashMap;
use std::process::Command;

use tests::agent::Family;
use tests::frameworks::Gateway;
use tests::load::{self, get};
use tests::servers::{self, Kind, Server};
use tests::span::{CLIENT, SERVER, Span};

use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("parents_hertz_kitex_framed", |family| {
            gateway(family, Gateway::HertzKitex("framed"))
        }),
        ("parents_hertz_kitex_ttheader", |family| {
            gateway(family, Gateway::HertzKitex("ttheader"))
        }),
        ("parents_gozero", |family| gateway(family, Gateway::GoZero)),
        ("parents_kratos", |family| gateway(family, Gateway::Kratos)),
        ("parents_nethttp", |family| {
            gateway(family, Gateway::NetHttp)
        }),
        ("parents_java", java),
        ("parents_of_event_loops", event_loops),
    ]
}

/// At once.
const CONNECTIONS: usize = 50;

/// How many calls' parents are right, and how many are claimed at all. None is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parents {
    calls: usize,
    right: usize,
}

impl Parents {
    /// Of the calls among these spans. `number` tells of which request a span is.
    #[track_caller]
    fn of<'a>(
        spans: impl Iterator<Item = &'a Span> + Clone,
        number: impl Fn(&Span) -> Option<usize>,
    ) -> Parents {
        let by_id: HashMap<&str, &Span> = spans
            .clone()
            .map(|span| (span.span_id.as_str(), span))
            .collect();
        let mut parents = Parents::default();
        for call in spans.filter(|span| span.kind == CLIENT) {
            let of = number(call);
            assert_ne!(of, None, "a call of no request: {call:?}");
            parents.calls += 1;
            if call.parent.is_empty() {
                continue;
            }
            let parent = by_id.get(call.parent.as_str());
            let parent = parent.unwrap_or_else(|| panic!("a parent that is none: {call:?}"));
            assert_eq!(parent.kind, SERVER, "{call:?} {parent:?}");
            assert_eq!(number(parent), of, "a wrong parent: {call:?} {parent:?}");
            parents.right += 1;
        }
        parents
    }

    /// Nearly all are known; what the first connections show may be lacking.
    #[track_caller]
    fn assert_known(&self, calls: usize) {
        assert_eq!(self.calls, calls);
        assert!(self.right * 100 >= calls * 95, "{self:?}");
    }
}

fn gateway(family: Family, gateway: Gateway) {
    const REQUESTS: usize = 500;
    for (how, forward) in [("", false), ("pool", false), ("", true)] {
        if forward && !gateway.propagates() {
            continue;
        }
        let pair = gateway.start();
        let pids = [pair.front.pid(), pair.behind.pid()];
        let traced = Traced::attach_with(family, &pids, &Gateway::CAPTURE);
        load::run(pair.front.address, CONNECTIONS, REQUESTS, |number| {
            gateway.request(number, number * 7 % 21, forward, how)
        });
        let (spans, _) = traced.finish();
        // Kratos' client asks for its server's health once.
        let spans = spans
            .iter()
            .filter(|span| !span.name.starts_with("grpc.health.v1.Health/"));
        let parents = Parents::of(spans, |span| gateway.number(span));
        eprintln!("{} {how:?} forward {forward}: {parents:?}", gateway.name());
        match (how, forward) {
            (_, true) => assert_eq!((parents.calls, parents.right), (REQUESTS, REQUESTS)),
            ("", _) => parents.assert_known(REQUESTS),
            _ => assert_eq!(parents.calls, REQUESTS),
        }
    }
}

/// A gateway that is asked for /fetch/PORT/N, and asks that port for N.
fn fetching(family: Family, front: &Server, requests: usize) -> Parents {
    let back = Server::start(Kind::Go);
    let traced = Traced::attach(family, &[front.pid(), back.pid()]);
    let port = back.address.port();
    load::run(front.address, CONNECTIONS, requests, |number| {
        get(format!("/fetch/{port}/{number}"))
    });
    let (spans, _) = traced.finish();
    Parents::of(spans.iter(), |span| {
        let path = match span.text("url.path") {
            "" => span.text("url.full"),
            path => path,
        };
        path.rsplit('/').next()?.parse().ok()
    })
}

/// A pool of threads that block.
fn java(family: Family) {
    const REQUESTS: usize = 2_000;
    let parents = fetching(family, &Server::start(Kind::Java), REQUESTS);
    eprintln!("java: {parents:?}");
    parents.assert_known(REQUESTS);
}

/// Event loops with many requests in flight: hardly any parent is known, and none is wrong.
fn event_loops(family: Family) {
    const REQUESTS: usize = 2_000;
    let mut asyncio = Command::new("python3");
    asyncio.arg(servers::fixture("python/asyncio_gateway.py"));
    for front in [Server::announced(&mut asyncio), Server::start(Kind::Node)] {
        let parents = fetching(family, &front, REQUESTS);
        eprintln!("an event loop: {parents:?}");
        assert_eq!(parents.calls, REQUESTS);
    }
}
