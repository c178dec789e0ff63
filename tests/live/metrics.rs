//! Metrics: every exchange is counted, whatever becomes of its span, and readers get the same.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::process::Stdio;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, metric};
use tests::agent::{Agent, Family};
use tests::backends::Collector;
use tests::load::{self, Connection, Exchange};
use tests::page::{self, Page};
use tests::servers::{self, Kind, Server};
use tests::sink::Sink;
use tests::wait;

use crate::Test;
use crate::common::OK;

/// Requests of a load.
const REQUESTS: usize = 1_000;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("metrics_count_what_is_not_sampled", not_sampled as Test),
        ("metrics_lead_to_the_traces", exemplars),
        ("metrics_tell_what_is_open", open),
        ("metrics_by_otlp_in_every_protocol", otlp),
    ]
}

/// An agent with a page, and where that is.
fn with_page(
    family: Family,
    pid: u32,
    more: &[&str],
    variables: &[(&str, &str)],
) -> (Agent, String) {
    let pid = pid.to_string();
    let mut arguments = vec!["-p", &pid, "--metrics-listen", "127.0.0.1:0"];
    arguments.extend(["--probes", family.name()]);
    arguments.extend(more);
    let agent = Agent::spawn_with(arguments, |command| {
        command.envs(variables.iter().copied());
    });
    agent.wait_ready();
    let url = page::url(&agent);
    (agent, url)
}

const COUNT: &str = "http_server_request_duration_seconds_count";

/// The page, once it has counted so many requests.
#[track_caller]
fn page_of(url: &str, requests: usize) -> Page {
    wait::until("the page to count them", wait::SOON, || {
        let page = Page::of(url);
        (page.sum(COUNT, &[]) == requests as f64).then_some(page)
    })
}

/// By method and status; paths have series of their own.
type Counted = BTreeMap<(String, String), u64>;

fn summed(told: impl Iterator<Item = ((String, String), u64)>) -> Counted {
    let mut counts = Counted::new();
    for (key, count) in told {
        *counts.entry(key).or_default() += count;
    }
    counts
}

/// How many exchanges there were of each.
fn counted(exchanges: &[Exchange]) -> Counted {
    summed(exchanges.iter().map(|exchange| {
        let status = exchange.response.status.to_string();
        ((exchange.method.to_owned(), status), 1)
    }))
}

fn not_sampled(family: Family) {
    let server = Server::start(Kind::Go);
    let (agent, url) = with_page(
        family,
        server.pid(),
        &["-o", "none"],
        &[("OTEL_TRACES_SAMPLER", "always_off")],
    );
    let exchanges = load::run(server.address, 10, REQUESTS, |n| Kind::Go.request(n));
    let page = page_of(&url, REQUESTS);

    let told = page.all(COUNT, &[]).into_iter().map(|sample| {
        let of = |name| sample.label(name).to_owned();
        let key = (of("http_request_method"), of("http_response_status_code"));
        (key, sample.value as u64)
    });
    assert_eq!(summed(told), counted(&exchanges));
    let sent: u64 = exchanges.iter().map(|exchange| exchange.request_body).sum();
    let got: u64 = exchanges
        .iter()
        .map(|exchange| exchange.response.body)
        .sum();
    for (name, bytes) in [("request", sent), ("response", got)] {
        let name = format!("http_server_{name}_body_size_bytes_sum");
        assert_eq!(page.sum(&name, &[]), bytes as f64, "{name}");
    }
    for stage in ["read", "write"] {
        let labels = [("tracer_stage", stage), ("tracer_span_kind", "server")];
        let count = page.sum("tracer_stage_duration_seconds_count", &labels);
        assert_eq!(count, REQUESTS as f64, "{stage}");
    }
    let above = page.sum(
        "http_server_request_duration_seconds_bucket",
        &[("le", "+Inf")],
    );
    assert_eq!(above, REQUESTS as f64);
    let examples = page.0.iter().filter(|sample| sample.exemplar.is_some());
    assert_eq!(examples.count(), 0, "no span is kept");
    let pid = server.pid().to_string();
    let own = [("process_pid", pid.as_str())];
    let of_server = page.all("target_info", &own);
    assert_eq!(of_server.len(), 1);
    let instance = of_server[0].label("instance");
    assert_eq!(page.sum(COUNT, &[("instance", instance)]), REQUESTS as f64);
    assert_eq!(
        page.sum("tracer_spans_unsampled_total", &[]),
        REQUESTS as f64
    );

    let text = page::fetch(&url, "text/plain");
    assert!(
        text.contains("# TYPE tracer_spans_unsampled_total counter\n"),
        "{text}"
    );
    let stats = agent.stop_for_stats();
    assert_eq!(stats.spans.unsampled, REQUESTS as u64, "{stats:?}");
}

fn exemplars(family: Family) {
    let server = Server::start(Kind::Go);
    let sink = Sink::start();
    let endpoint = sink.endpoint();
    let more = ["--otlp-endpoint", &endpoint];
    let (agent, url) = with_page(family, server.pid(), &more, &[]);
    let exchanges = load::run(server.address, 10, REQUESTS, |n| Kind::Go.request(n));
    let page = page_of(&url, REQUESTS);
    agent.stop();
    let spans = sink.spans();
    assert_eq!(spans.len(), exchanges.len());
    let ids: HashSet<(&str, &str)> = spans
        .iter()
        .map(|span| (span.trace_id.as_str(), span.span_id.as_str()))
        .collect();
    let name = "http_server_request_duration_seconds_bucket";
    let with_example = page.all(name, &[]);
    let with_example = with_example
        .iter()
        .filter_map(|sample| sample.exemplar.as_ref());
    let examples: Vec<_> = with_example.collect();
    assert!(!examples.is_empty());
    for example in examples {
        let id = (example["trace_id"].as_str(), example["span_id"].as_str());
        assert!(ids.contains(&id), "{example:?}");
    }
}

fn open(family: Family) {
    let mut command = servers::ours("peer");
    command.args(["listen", "127.0.0.1:0", "head", "wait", OK, "again"]);
    let mut peer = Server::announced(command.stdin(Stdio::piped()));
    let (agent, url) = with_page(family, peer.pid(), &["-o", "none"], &[]);
    let mut connection = Connection::open(peer.address).expect("it listens");
    connection
        .write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        .expect("sent");
    let labels = [("http_request_method", "GET"), ("url_scheme", "http")];
    let open = |count: f64| {
        wait::until("the number of open requests", wait::SOON, || {
            let page = Page::of(&url);
            let told = page.all("http_server_active_requests", &labels);
            let told: Vec<f64> = told.iter().map(|sample| sample.value).collect();
            (told == [count]).then_some(())
        });
    };
    open(1.0);
    let stdin = peer.process.child().stdin.as_mut().expect("it is piped");
    stdin.write_all(b"go\n").expect("told");
    assert_eq!(connection.read("GET").expect("answered").status, 200);
    open(0.0);
    page_of(&url, 1);
    agent.stop();
}

fn otlp(family: Family) {
    let server = Server::start(Kind::Go);
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        let sink = Sink::start();
        let collector = Collector::start(&sink);
        let pid = server.pid().to_string();
        let of_us = ["-p", &pid, "--probes", family.name()].map(String::from);
        let arguments = of_us.into_iter().chain(collector.options(protocol));
        let agent = Agent::spawn_with(arguments, |command| {
            command.env("OTEL_METRICS_EXPORTER", "otlp");
            command.env("OTEL_METRIC_EXPORT_INTERVAL", "200");
            command.env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
        });
        agent.wait_ready();
        let exchanges = load::run(server.address, 10, REQUESTS, |n| Kind::Go.request(n));
        wait::until("metrics before the end", wait::SOON, || {
            sink.metrics().first().map(|_| ())
        });
        agent.stop();

        // Counted from the begin on: the last request has it all.
        let requests = sink.metrics();
        let last = requests.last().expect("there were some");
        let points = histogram(last, "http.server.request.duration");
        let told = points.iter().map(|point| {
            let of = |name| text(&point.attributes, name);
            let key = (of("http.request.method"), of("http.response.status_code"));
            (key, point.count)
        });
        assert_eq!(summed(told), counted(&exchanges), "{protocol}");
        let body = histogram(last, "http.server.response.body.size");
        let got: u64 = exchanges
            .iter()
            .map(|exchange| exchange.response.body)
            .sum();
        let told: f64 = body.iter().filter_map(|point| point.sum).sum();
        assert_eq!(told, got as f64, "{protocol}");

        let of = last.resource_metrics[0]
            .resource
            .as_ref()
            .expect("a resource");
        let spans = sink.spans();
        let span = spans.first().expect("spans came, too");
        for name in ["service.name", "service.instance.id", "process.pid"] {
            let of_span = format!("{:?}", span.resource[name]);
            assert_eq!(
                text(&of.attributes, name),
                of_span.trim_matches('"'),
                "{name}"
            );
        }
        let ids: HashSet<&str> = spans.iter().map(|span| span.trace_id.as_str()).collect();
        let all = requests.iter();
        let all = all.flat_map(|request| histogram(request, "http.server.request.duration"));
        let examples: Vec<_> = all.flat_map(|point| point.exemplars.clone()).collect();
        assert!(!examples.is_empty(), "{protocol}");
        for example in examples {
            let trace_id: String = example
                .trace_id
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            assert!(ids.contains(trace_id.as_str()), "{protocol}: {trace_id}");
        }
    }
}

/// The points of a histogram; none if it is not there.
fn histogram<'a>(request: &'a ExportMetricsServiceRequest, name: &str) -> &'a [HistogramDataPoint] {
    assert_eq!(request.resource_metrics.len(), 1, "one process");
    let scopes = &request.resource_metrics[0].scope_metrics;
    let metrics = scopes.iter().flat_map(|scope| &scope.metrics);
    let found = { metrics }.find(|metric| metric.name == name);
    match found.and_then(|metric| metric.data.as_ref()) {
        Some(metric::Data::Histogram(histogram)) => &histogram.data_points,
        _ => &[],
    }
}

/// An attribute as text; empty if it is not there.
fn text(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(value)) => value.to_string(),
        _ => String::new(),
    }
}
