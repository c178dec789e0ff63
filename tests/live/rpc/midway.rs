//! Attaching to gRPC connections that have been in use: HPACK's table was filled before we looked.

use tests::agent::Family;
use tests::rpc::check::Pids;
use tests::rpc::{Call, Client, Done, Stack};
use tests::servers::Server;
use tests::span::{CLIENT, SERVER, Span};

use super::grpc::shape;
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("midway_first_contexts", first_contexts),
        ("midway_known_tables", known_tables),
    ]
}

/// The two ends of a connection that has carried calls.
struct Used {
    server: Server,
    client: Client,
    calls: usize,
}

impl Used {
    fn by(stack: Stack, calls: &[Call]) -> Used {
        let server = stack.serve();
        let mut client = stack.client(&server, 4);
        client.tell(calls);
        client.wait_done(calls.len());
        Used {
            server,
            client,
            calls: calls.len(),
        }
    }

    fn pids(&self) -> Pids {
        Pids {
            client: Some(self.client.pid()),
            server: Some(self.server.pid()),
        }
    }

    fn attach(&self, family: Family) -> Traced {
        Traced::attach(family, &[self.client.pid(), self.server.pid()])
    }

    /// Tells it the calls; what came of them and the spans.
    fn finish(mut self, traced: Traced, calls: &[Call]) -> (Vec<Done>, Vec<Span>) {
        self.client.tell(calls);
        let mut done = self.client.finish();
        let done = done.split_off(self.calls);
        (done, traced.finish().0)
    }
}

const STACKS: [Stack; 4] = [
    Stack::GrpcGo,
    Stack::GrpcPython,
    Stack::GrpcNode,
    Stack::Tonic,
];

/// The calls before had no context and were of another method, so that the next new stream's are
/// literal: its span has both at once.
fn first_contexts(family: Family) {
    for stack in STACKS {
        let before: Vec<Call> = (1..=20)
            .map(|number| Call {
                traceparent: String::new(),
                send: vec![1],
                ..Call::new(number, "/test.Echo/Before")
            })
            .collect();
        let used = Used::by(stack, &before);
        let (pids, traced) = (used.pids(), used.attach(family));
        let calls: Vec<Call> = (100..=400).map(shape).collect();
        let (done, spans) = used.finish(traced, &calls);
        assert_eq!(done.len(), calls.len(), "{stack:?}");
        known(stack, &spans, &calls, pids, true);
    }
}

/// The calls before were of the same method and had contexts, so that the next may name both by
/// entries that nobody can know. Every call is a span with its ids all the same, and what else it says
/// is true.
fn known_tables(family: Family) {
    for stack in STACKS {
        let before: Vec<Call> = (1..=20).map(shape).collect();
        let used = Used::by(stack, &before);
        let (pids, traced) = (used.pids(), used.attach(family));
        let calls: Vec<Call> = (101..=700).map(shape).collect();
        let (done, spans) = used.finish(traced, &calls);
        assert_eq!(done.len(), calls.len(), "{stack:?}");
        known(stack, &spans, &calls, pids, false);
    }
}

/// Two spans a call, by its ids; what else is known of each is its call's. `path`: that is known.
fn known(stack: Stack, spans: &[Span], calls: &[Call], pids: Pids, path: bool) {
    assert_eq!(spans.len(), 2 * calls.len(), "{stack:?}");
    for call in calls {
        let of_it = spans.iter().filter(|span| span.trace_id == call.trace_id());
        let mut of_it: Vec<&Span> = of_it.collect();
        of_it.sort_by_key(|span| span.kind);
        let [server, client] = of_it[..] else {
            panic!("{stack:?}: {} spans of {call:?}", of_it.len());
        };
        assert_eq!((client.kind, server.kind), (CLIENT, SERVER));
        assert_eq!(client.pid(), pids.client.map(i64::from), "{client:?}");
        assert_eq!(client.parent, call.parent(), "{client:?}");
        assert_eq!(server.parent, client.span_id, "{server:?}");
        for span in of_it {
            // That it is gRPC may be as unknown as the rest.
            let url = span.text("url.full").splitn(4, '/').nth(3);
            let told = [
                span.text("rpc.method"),
                span.text("url.path").trim_start_matches('/'),
                url.unwrap_or_default(),
            ];
            let told: Vec<&str> = told.into_iter().filter(|text| !text.is_empty()).collect();
            let method = call.method.trim_start_matches('/');
            let right = match told[..] {
                [] => !path && span.text("tracer.incomplete") == "attached_midway",
                [told] => told == method,
                _ => false,
            };
            assert!(right, "{stack:?}: {told:?} in {span:?} of {call:?}");
            let status = span.text("rpc.response.status_code");
            if !status.is_empty() {
                assert_eq!(
                    status == "OK",
                    call.code == 0 && !method.ends_with("Missing")
                );
            }
        }
    }
}
