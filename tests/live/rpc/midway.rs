//! Attaching to gRPC connections that have been in use: HPACK's table was filled before we looked, and
//! bodies may be under way.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use tests::agent::Family;
use tests::rpc::check::Pids;
use tests::rpc::{Call, Client, Done, Stack};
use tests::servers::Server;
use tests::span::{CLIENT, SERVER, Span};
use tests::wait;

use super::grpc::shape;
use crate::Test;
use crate::common::Traced;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("midway_first_contexts", first_contexts),
        ("midway_known_tables", known_tables),
        ("midway_200_streams", many_streams),
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
        // Each shape there is, at least.
        let count = wait::fewer(600).max(50);
        let calls: Vec<Call> = (101..=100 + count).map(shape).collect();
        let (done, spans) = used.finish(traced, &calls);
        assert_eq!(done.len(), calls.len(), "{stack:?}");
        known(stack, &spans, &calls, pids, false);
    }
}

/// Attaches in the middle of 200 streams that never pause, 1 MB bodies among them; and once more when the
/// connection is 10 s older. Every call that begins once the agent is ready is two spans.
fn many_streams(family: Family) {
    const STREAMS: usize = 200;
    let count = wait::fewer(2_000).max(STREAMS);
    let sized = |number: usize, turn| match number % 100 == turn {
        true => vec![1_000_000],
        false => vec![0],
    };
    let call = |number: usize| Call {
        send: sized(number, 0),
        answer: sized(number, 5),
        ..Call::new(number, "/test.Echo/Unary")
    };
    let server = Stack::GrpcGo.serve();
    let mut client = Stack::GrpcGo.client(&server, STREAMS);
    let pids = Pids {
        client: Some(client.pid()),
        server: Some(server.pid()),
    };
    let mut told = 0;
    let mut tell = |client: &mut Client, count| {
        let calls: Vec<Call> = (told + 1..=told + count).map(call).collect();
        told += count;
        client.tell(&calls);
        // So many are ahead as keep the streams busy: else what is told while an agent attaches slowly
        // would take long to be made.
        client.wait_done(told.saturating_sub(2 * STREAMS));
        calls
    };
    tell(&mut client, count);
    let begun = Instant::now();
    for after in [Duration::ZERO, Duration::from_secs(10)] {
        while begun.elapsed() < after {
            tell(&mut client, 10);
        }
        let attached = [client.pid(), server.pid()];
        let attaching = thread::spawn(move || Traced::attach(family, &attached));
        while !attaching.is_finished() {
            tell(&mut client, 10);
        }
        let traced = attaching.join().expect("attached");
        let calls = tell(&mut client, count);
        client.wait_done(calls[count - 1].id);
        let (spans, _) = traced.finish();
        let ids: HashSet<String> = calls.iter().map(Call::trace_id).collect();
        let (spans, before): (Vec<_>, Vec<_>) = spans
            .into_iter()
            .partition(|span| ids.contains(&span.trace_id));
        known(Stack::GrpcGo, &spans, &calls, pids, false);
        for span in before {
            // Whatever is said of calls that had begun, it is of none that was not made.
            let of_call = span.text("tracer.parent.source") == "propagated";
            assert!(!of_call || span.trace_id.starts_with("c0000"), "{span:?}");
        }
    }
    assert!(client.finish().iter().all(|done| done.code == 0));
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
