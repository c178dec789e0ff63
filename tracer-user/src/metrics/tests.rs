//! Spans in, points out.

use std::collections::BTreeMap;

use super::recorder::{SERIES_OF_SERVICE, SERVICES};
use super::*;
use crate::counters::Counters;
use crate::export::samples::{self, START, client, server};
use crate::protocol::http::{Head, Version};
use crate::protocol::{Incomplete, Sizes, rpc};
use crate::semconv::{self, Paths, Routes};
use crate::span::{Kind, Span};

const SECOND: u64 = 1_000_000_000;

fn recorder() -> Recorder {
    Recorder::new(semconv::Options::default(), Exemplars::OfKeptSpans)
}

fn snapshot(recorder: &mut Recorder) -> Snapshot {
    recorder.snapshot(START + SECOND, Counters::default(), |_| {})
}

/// What a metric says, by its attributes: how many values and their sum, or the number.
fn told(snapshot: &Snapshot, metric: &str) -> BTreeMap<String, (u64, u128)> {
    let points = snapshot.services.iter().flat_map(Service::points);
    let points = points.filter(|point| point.metric.name == metric);
    let told = points.map(|point| {
        let mut words: Vec<String> = point
            .attributes
            .iter()
            .map(|(name, value)| match value {
                Value::Text(text) => format!("{name}={text}"),
                Value::Int(value) => format!("{name}={value}"),
                Value::True => format!("{name}=true"),
            })
            .collect();
        let extra = point.extra.into_iter().flatten();
        words.extend(extra.map(|(name, value)| format!("{name}={value}")));
        let value = match point.value {
            Measurement::Histogram(histogram) => (histogram.count(), histogram.sum()),
            Measurement::Number(number) => (number, 0),
        };
        (words.join(" "), value)
    });
    let all: Vec<_> = told.collect();
    let told = BTreeMap::from_iter(all.clone());
    assert_eq!(told.len(), all.len(), "attributes twice: {all:?}");
    told
}

fn one(text: &str, value: (u64, u128)) -> BTreeMap<String, (u64, u128)> {
    BTreeMap::from([(text.to_owned(), value)])
}

fn asked(target: &str) -> Span {
    let mut request = Head::request(b"GET", target.as_bytes(), Version::Http11);
    request.push(b"Host", b"h");
    Span {
        request: Some(request.into()),
        ..server()
    }
}

const SERVED: &str = "http.request.method=GET url.scheme=http network.protocol.version=1.1 \
    http.response.status_code=200";

#[test]
fn a_served_request() {
    let mut recorder = recorder();
    recorder.record(&server(), None, true);
    recorder.record(&server(), None, false);
    let snapshot = snapshot(&mut recorder);
    let told = |metric| told(&snapshot, metric);
    assert_eq!(
        told("http.server.request.duration"),
        one(SERVED, (2, 2_400_000))
    );
    assert_eq!(told("http.server.request.body.size"), one(SERVED, (2, 0)));
    assert_eq!(told("http.server.response.body.size"), one(SERVED, (2, 10)));
    let stage = |name: &str, sum| {
        let words = format!("{SERVED} tracer.stage={name} tracer.span.kind=server");
        (words, (2, sum))
    };
    let stages = BTreeMap::from([
        stage("queue", 100_000),
        stage("read", 40_000),
        stage("handle", 2_000_000),
        stage("write", 360_000),
    ]);
    assert_eq!(told("tracer.stage.duration"), stages);
    assert_eq!(
        told("http.server.active_requests"),
        one("http.request.method=GET url.scheme=http", (0, 0))
    );
}

#[test]
fn a_request_made() {
    let mut recorder = recorder();
    recorder.record(&client(), None, true);
    let snapshot = snapshot(&mut recorder);
    let attributes = "http.request.method=POST server.address=prices server.port=9000 \
        network.protocol.version=1.1 http.response.status_code=404 error.type=404";
    assert_eq!(
        told(&snapshot, "http.client.request.duration"),
        one(attributes, (1, 800_000))
    );
    assert_eq!(
        told(&snapshot, "http.client.active_requests"),
        one(
            "http.request.method=POST server.address=prices server.port=9000",
            (0, 0)
        )
    );
}

#[test]
fn calls_have_their_method_and_status() {
    let mut recorder = recorder();
    recorder.record(&samples::rpc::grpc_server(), None, true);
    let ask = samples::rpc::thrift(rpc::Kind::Call);
    let answer = samples::rpc::thrift(rpc::Kind::Reply);
    recorder.record(&samples::rpc::thrift_client(ask, Some(answer)), None, true);
    let snapshot = snapshot(&mut recorder);
    let server = told(&snapshot, "rpc.server.call.duration");
    let client = told(&snapshot, "rpc.client.call.duration");
    println!("{server:?} {client:?}");
    assert!(
        server
            .keys()
            .all(|key| key.starts_with("rpc.system.name=grpc rpc.method="))
    );
    assert!(
        client
            .keys()
            .all(|key| key.starts_with("rpc.system.name=thrift rpc.method="))
    );
    assert_eq!((server.len(), client.len()), (1, 1));
}

#[test]
fn paths_are_what_they_are_called() {
    let mut recorder = recorder();
    let mut paths = Paths::new(Routes::new(["/users/:id"]).unwrap());
    for target in ["/users/7", "/users/8", "/items/9", "/items/10?x=y"] {
        let span = asked(target);
        recorder.record(&span, paths.name(&span), true);
    }
    let told = told(&snapshot(&mut recorder), "http.server.request.duration");
    let expected = ["http.route=/users/:id", "url.template=/items/{id}"];
    let expected = expected.map(|path| (format!("{SERVED} {path}"), (2, 2_400_000)));
    assert_eq!(told, BTreeMap::from(expected));
}

#[test]
fn examples_are_of_spans_that_are_kept() {
    let examples = |filter, kept| {
        let mut recorder = Recorder::new(semconv::Options::default(), filter);
        recorder.record(&server(), None, kept);
        let snapshot = snapshot(&mut recorder);
        let point = snapshot.services[0].points().next().unwrap();
        let Measurement::Histogram(histogram) = point.value else {
            panic!("no histogram");
        };
        let bounds = point.metric.bounds.unwrap().len();
        let found: Vec<Exemplar> = histogram
            .buckets(bounds)
            .filter_map(|(_, example)| example.copied())
            .collect();
        found
    };
    let example = Exemplar {
        trace_id: server().trace_id,
        span_id: server().span_id,
        value: 1_200_000,
        at: server().end_ns,
    };
    assert_eq!(examples(Exemplars::OfKeptSpans, true), [example]);
    assert_eq!(examples(Exemplars::OfKeptSpans, false), []);
    assert_eq!(examples(Exemplars::All, false), [example]);
    assert_eq!(examples(Exemplars::None, true), []);
}

#[test]
fn an_exchange_whose_end_was_not_seen_took_nobody_knows_how_long() {
    let cut = |reason| {
        let mut recorder = recorder();
        recorder.record(
            &Span {
                response_sizes: None,
                incomplete: Some(reason),
                ..server()
            },
            None,
            true,
        );
        told(&snapshot(&mut recorder), "http.server.request.duration")
    };
    assert!(cut(Incomplete::LostEvents).is_empty());
    assert!(cut(Incomplete::AgentStopped).is_empty());
    let closed = format!("{SERVED} error.type=connection_closed");
    assert_eq!(
        cut(Incomplete::ConnectionClosed),
        one(&closed, (1, 1_200_000))
    );
}

#[test]
fn methods_of_nobodys_are_one() {
    let mut recorder = recorder();
    for method in ["PURGE", "BREW"] {
        let head = Head::request(method.as_bytes(), b"/", Version::Http11);
        recorder.record(
            &Span {
                request: Some(head.into()),
                ..server()
            },
            None,
            true,
        );
    }
    let told = told(&snapshot(&mut recorder), "http.server.request.duration");
    assert_eq!(told.values().collect::<Vec<_>>(), [&(2, 2_400_000)]);
    assert!(
        told.keys()
            .all(|key| key.starts_with("http.request.method=_OTHER "))
    );
}

#[test]
fn open_requests_are_counted_when_somebody_asks() {
    let mut recorder = recorder();
    let span = asked("/");
    let mut open = |count: usize| {
        let snapshot = recorder.snapshot(START, Counters::default(), |each| {
            for _ in 0..count {
                let request = span.request.as_ref().unwrap();
                each(&span.resource, Kind::Server, request, span.addresses);
            }
        });
        told(&snapshot, "http.server.active_requests")
    };
    let attributes = "http.request.method=GET url.scheme=http";
    assert_eq!(open(3), one(attributes, (3, 0)));
    assert_eq!(open(1), one(attributes, (1, 0)));
    assert_eq!(open(0), one(attributes, (0, 0)));
}

#[test]
fn what_is_too_many_is_counted_together() {
    let mut recorder = recorder();
    let resource = samples::resource(7, "shop");
    let of = |host: usize| {
        let mut head = Head::request(b"GET", b"/", Version::Http11);
        head.push(b"Host", format!("h{host}").as_bytes());
        Span {
            resource: resource.clone(),
            request: Some(head.into()),
            ..client()
        }
    };
    for round in 0..2 {
        for host in 0..2 * SERIES_OF_SERVICE {
            recorder.record(&of(host), None, true);
        }
        let told = told(&snapshot(&mut recorder), "http.client.request.duration");
        // As many of what is open are there, too.
        assert_eq!(told.len(), SERIES_OF_SERVICE / 2 + 1);
        let all: u64 = told.values().map(|(count, _)| count).sum();
        assert_eq!(all, (round + 1) * 2 * SERIES_OF_SERVICE as u64);
        let together = told["otel.metric.overflow=true"].0;
        assert_eq!(together, recorder.unmeasured().overflowed);
    }
}

#[test]
fn programs_of_one_identity_are_one_service() {
    let mut recorder = recorder();
    for _ in 0..2 {
        recorder.record(
            &Span {
                resource: samples::resource(7, "shop"),
                ..server()
            },
            None,
            true,
        );
    }
    let snapshot = snapshot(&mut recorder);
    assert_eq!(snapshot.services.len(), 1);
    let told = told(&snapshot, "http.server.request.duration");
    assert_eq!(told[SERVED].0, 2);
}

#[test]
fn what_is_gone_is_let_go_after_a_while() {
    let mut recorder = recorder();
    let lives = server();
    recorder.record(&lives, None, true);
    recorder.record(
        &Span {
            resource: samples::resource(9, "job"),
            ..server()
        },
        None,
        true,
    );
    let services = |recorder: &mut Recorder| snapshot(recorder).services.len();
    recorder.sweep(START + 299 * SECOND);
    assert_eq!(services(&mut recorder), 2);
    recorder.sweep(START + 301 * SECOND);
    assert_eq!(services(&mut recorder), 1);
    assert_eq!(snapshot(&mut recorder).services[0].resource.pid, 812);
    recorder.sweep(START + 25 * 3600 * SECOND);
    let left = snapshot(&mut recorder);
    assert_eq!(left.services[0].points().count(), 0);
    recorder.record(&lives, None, true);
    assert_eq!(
        told(&snapshot(&mut recorder), "http.server.request.duration")[SERVED].0,
        1
    );
}

#[test]
fn a_host_of_short_processes_is_bounded() {
    let mut recorder = recorder();
    let kept: Vec<Span> = (0..SERVICES as u32 + 3)
        .map(|pid| Span {
            resource: samples::resource(pid, &format!("service {pid}")),
            ..server()
        })
        .collect();
    for span in &kept {
        recorder.record(span, None, true);
    }
    assert_eq!(snapshot(&mut recorder).services.len(), SERVICES);
    assert_eq!(recorder.unmeasured().services, 3);
}

#[test]
fn sizes_that_are_not_known_are_not_counted() {
    let mut recorder = recorder();
    recorder.record(
        &Span {
            request_sizes: None,
            response_sizes: Some(Sizes {
                wire: 9,
                body: None,
            }),
            ..server()
        },
        None,
        true,
    );
    let snapshot = snapshot(&mut recorder);
    assert!(told(&snapshot, "http.server.request.body.size").is_empty());
    assert!(told(&snapshot, "http.server.response.body.size").is_empty());
}

#[test]
fn any_span_can_be_counted() {
    use proptest::prelude::*;

    let recorder = std::cell::RefCell::new(recorder());
    proptest!(|(span in samples::any(), kept in any::<bool>())| {
        recorder.borrow_mut().record(&span, None, kept);
    });
    let snapshot = snapshot(&mut recorder.into_inner());
    for metric in &semconv::metrics::METRICS {
        told(&snapshot, metric.name);
    }
}

#[test]
fn whoever_asks_is_answered() {
    let (source, inquiries) = Source::new();
    inquiries.answer(|| unreachable!("nobody asked"));
    drop(source.ask());
    inquiries.answer(|| unreachable!("it gave up"));
    let (mut one, mut other) = (source.ask(), source.ask());
    let mut recorder = recorder();
    inquiries.answer(|| snapshot(&mut recorder));
    assert_eq!(one.try_recv().unwrap().at, other.try_recv().unwrap().at);
    let never = source.ask();
    drop(inquiries);
    assert!(never.blocking_recv().is_err());
    assert!(source.ask().blocking_recv().is_err());
}
