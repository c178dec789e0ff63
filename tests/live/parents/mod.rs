//! Who caused whom, at 50 requests at a time that each wait up to 20 ms before they call: the parent of
//! a call is the exchange it was made for, or none is claimed.

use tests::agent::Family;
use tests::frameworks::Gateway;
use tests::parents::Case;

use crate::Test;

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
        ("parents_java", |family| {
            measure(family, Case::Java, 2_000, Known::Nearly);
        }),
        ("parents_of_event_loops", event_loops),
    ]
}

/// Those for which the family makes no difference.
pub fn of_either() -> Vec<(&'static str, Test)> {
    vec![("parents_of_an_unreleased_go", |family| {
        let case = Case::Go {
            gateway: Gateway::UnreleasedGo,
            forward: false,
            how: "",
        };
        measure(family, case, 500, Known::Nearly);
    })]
}

/// At once.
const CONNECTIONS: usize = 50;

/// How many calls' parents are to be known.
#[derive(Clone, Copy)]
enum Known {
    All,
    /// What the first connections show may be lacking.
    Nearly,
    Any,
}

#[track_caller]
fn measure(family: Family, case: Case, requests: usize, known: Known) {
    let parents = case.measure(family, CONNECTIONS, requests);
    eprintln!(
        "{}: {} of {} calls",
        case.name(),
        parents.right,
        parents.calls
    );
    assert_eq!((parents.calls, parents.lost), (requests, 0));
    assert!(parents.wrong.is_empty(), "wrong: {:#?}", parents.wrong);
    let least = match known {
        Known::All => requests,
        Known::Nearly => requests * 95 / 100,
        Known::Any => 0,
    };
    let unknown = parents.unknown.first();
    assert!(
        parents.right >= least,
        "not known, first of all: {unknown:#?}"
    );
}

fn gateway(family: Family, gateway: Gateway) {
    let ways = [
        ("", false, Known::Nearly),
        ("pool", false, Known::Any),
        ("", true, Known::All),
    ];
    for (how, forward, known) in ways {
        if forward && !gateway.propagates() {
            continue;
        }
        let case = Case::Go {
            gateway,
            forward,
            how,
        };
        measure(family, case, 500, known);
    }
}

/// Event loops with many requests in flight: hardly any parent is known, unless they pass on a context.
fn event_loops(family: Family) {
    for case in [Case::Node, Case::Asyncio] {
        measure(family, case, 1_000, Known::Any);
    }
    for (forward, known) in [(false, Known::Any), (true, Known::All)] {
        let workers = if forward { 2 } else { 1 };
        measure(family, Case::Nginx { workers, forward }, 500, known);
    }
}
