//! Delivery to mock endpoints that answer what they are told, through the exporter as the pipeline
//! uses it.

mod grpc;
mod http;
mod mock;
mod tls;

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tokio::runtime::Runtime;

use crate::context::SpanId;
use crate::export::settings::{Batching, Endpoint, Otlp, Protocol, Settings};
use crate::export::{Counts, Exporter, samples};
use crate::resource::SharedResource;
use crate::span::Span;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn otlp(address: &str, protocol: Protocol) -> Otlp {
    Otlp::new(Endpoint::Flag(address.to_owned()), protocol)
}

/// Settings under which each span is a batch.
fn settings(otlp: Otlp) -> Settings {
    Settings {
        otlp: Some(otlp),
        batching: Batching {
            max_batch_size: 1,
            ..Batching::default()
        },
        ..Settings::default()
    }
}

/// An exporter that has taken so many spans.
fn exporter(settings: Settings, spans: u64, runtime: &Runtime) -> Exporter {
    let mut exporter = Exporter::start(settings, runtime.handle()).unwrap();
    give(&mut exporter, spans);
    exporter
}

fn give(exporter: &mut Exporter, spans: u64) {
    let sample = samples::server();
    for index in 1..=spans {
        exporter.span(
            &Span {
                span_id: SpanId(index.to_be_bytes()),
                resource: SharedResource::clone(&sample.resource),
                ..sample.clone()
            },
            None,
        );
    }
}

/// Waits until the counts are so.
fn await_counts(exporter: &mut Exporter, so: impl Fn(&Counts) -> bool) -> Counts {
    let deadline = Instant::now() + LONG;
    loop {
        exporter.tick(Instant::now());
        let counts = exporter.counts();
        if so(&counts) {
            return counts;
        }
        assert!(Instant::now() < deadline, "{counts:?}");
        std::thread::yield_now();
    }
}

/// `made = exported + unsampled + sum(dropped)`
fn assert_adds_up(counts: &Counts) {
    let sum = counts.exported + counts.unsampled + counts.dropped.values().sum::<u64>();
    assert_eq!(counts.made, sum, "{counts:?}");
}

/// Finishes with time enough, and checks the equation.
fn finish(exporter: Exporter) -> Counts {
    let counts = exporter.finish(LONG);
    assert_adds_up(&counts);
    counts
}

fn spans_in(request: &ExportTraceServiceRequest) -> usize {
    request
        .resource_spans
        .iter()
        .flat_map(|of| &of.scope_spans)
        .map(|of| of.spans.len())
        .sum()
}
