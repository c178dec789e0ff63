//! The gateways' fixtures themselves: every request one span on each of the four sides, that say which
//! request they are of. Whether a parent is known is another test's.

use std::collections::BTreeMap;

use tests::agent::Family;
use tests::frameworks::Gateway;
use tests::load;
use tests::span::{CLIENT, SERVER, Span};

use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("frameworks_hertz_kitex_framed", |family| {
            gateway(family, Gateway::HertzKitex("framed"))
        }),
        ("frameworks_hertz_kitex_ttheader", |family| {
            gateway(family, Gateway::HertzKitex("ttheader"))
        }),
        ("frameworks_gozero", |family| {
            gateway(family, Gateway::GoZero)
        }),
        ("frameworks_kratos", |family| {
            gateway(family, Gateway::Kratos)
        }),
        ("frameworks_nethttp", |family| {
            gateway(family, Gateway::NetHttp)
        }),
    ]
}

fn gateway(family: Family, gateway: Gateway) {
    const REQUESTS: usize = 200;
    let pair = gateway.start();
    let traced = Traced::attach_with(
        family,
        &[pair.front.pid(), pair.behind.pid()],
        &Gateway::CAPTURE,
    );
    let exchanges = load::run(pair.front.address, 20, REQUESTS, |number| {
        let how = ["", "spawn", "nested", "pool"][number % 4];
        gateway.request(number, number * 7 % 21, number % 2 == 0, how)
    });
    let (mut spans, _) = traced.finish();
    // Kratos' client asks for its server's health once.
    spans.retain(|span| !span.name.starts_with("grpc.health.v1.Health/"));
    let mut sides: BTreeMap<(i64, i32), BTreeMap<usize, &Span>> = BTreeMap::new();
    for span in &spans {
        let number = gateway.number(span);
        let number = number.unwrap_or_else(|| panic!("of no request: {span:?}"));
        let side = sides
            .entry((span.pid().expect("told"), span.kind))
            .or_default();
        let other = side.insert(number, span);
        assert_eq!(other, None, "two of one request: {span:?}");
    }
    let of = |server: &tests::servers::Server, kind| &sides[&(server.pid().into(), kind)];
    assert_eq!(sides.len(), 3, "{sides:#?}");
    for side in sides.values() {
        assert_eq!(side.len(), REQUESTS);
    }
    for exchange in &exchanges {
        assert_eq!(exchange.response.status, 200, "{exchange:?}");
        let number = exchange.target.split(['/', '?']).nth(2);
        let number: usize = number.and_then(|number| number.parse().ok()).expect("told");
        let served = of(&pair.front, SERVER)[&number];
        let asking = of(&pair.front, CLIENT)[&number];
        let answered = of(&pair.behind, SERVER)[&number];
        assert_eq!(served.trace_id, exchange.trace_id);
        assert_eq!(answered.parent, asking.span_id, "{asking:?} {answered:?}");
        // A parent that is claimed is the right one, always.
        if !asking.parent.is_empty() && asking.parent != exchange.parent {
            assert_eq!(asking.parent, served.span_id, "{asking:?} {served:?}");
        }
        if number.is_multiple_of(2) && gateway.propagates() {
            assert_eq!(asking.trace_id, exchange.trace_id, "{asking:?}");
        }
    }
}
