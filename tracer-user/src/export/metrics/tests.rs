//! What readers get of a snapshot, word for word.

use std::io::{Read, Write};
use std::net::TcpStream;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, metric,
};
use prost::Message;

use super::prometheus::Format;
use super::*;
use crate::counters::Counters;
use crate::export::samples::{START, client, server};
use crate::metrics::{Exemplars, Recorder};
use crate::semconv;

const SECOND: u64 = 1_000_000_000;

fn recorder() -> Recorder {
    Recorder::new(semconv::Options::default(), Exemplars::OfKeptSpans)
}

fn snapshot(recorder: &mut Recorder, at: u64) -> Snapshot {
    let mut counters = Counters::default();
    counters.spans.made = 3;
    counters.spans.dropped.insert("queue_full", 2);
    recorder.snapshot(at, counters, |_| {})
}

fn decoded(request: Option<crate::export::batch::Request>) -> ExportMetricsServiceRequest {
    let request = request.unwrap();
    let decoded = ExportMetricsServiceRequest::decode(request.bytes).unwrap();
    let metrics = metrics(&decoded);
    let points: usize = metrics.iter().map(|metric| points(metric)).sum();
    assert_eq!(request.spans, points as u64);
    decoded
}

fn metrics(request: &ExportMetricsServiceRequest) -> Vec<&Metric> {
    let scopes = request.resource_metrics.iter();
    let scopes = scopes.flat_map(|of| &of.scope_metrics);
    scopes.flat_map(|of| &of.metrics).collect()
}

fn points(metric: &Metric) -> usize {
    match metric.data.as_ref().unwrap() {
        metric::Data::Histogram(histogram) => histogram.data_points.len(),
        metric::Data::Sum(sum) => sum.data_points.len(),
        other => panic!("{other:?}"),
    }
}

/// The one point of a histogram, and how it counts.
fn histogram(request: &ExportMetricsServiceRequest, name: &str) -> (HistogramDataPoint, i32) {
    let all = metrics(request);
    let metric = all.iter().find(|metric| metric.name == name).unwrap();
    let Some(metric::Data::Histogram(histogram)) = &metric.data else {
        panic!("{metric:?}");
    };
    assert_eq!(histogram.data_points.len(), 1);
    let point = histogram.data_points[0].clone();
    (point, histogram.aggregation_temporality)
}

const DURATION: &str = "http.server.request.duration";

#[test]
fn otlp_has_a_resource_and_the_conventions_metrics() {
    let mut recorder = recorder();
    recorder.record(&server(), None, true);
    let now = START + 60 * SECOND;
    let mut encoder = Encoder::new(Temporality::Cumulative);
    let request = decoded(encoder.request(&snapshot(&mut recorder, now)));
    assert_eq!(request.resource_metrics.len(), 1);
    let of = &request.resource_metrics[0];
    let resource = of.resource.as_ref().unwrap();
    assert_eq!(resource.attributes[0].key, "service.name");
    assert_eq!(of.schema_url, semconv::SCHEMA_URL);
    let scope = of.scope_metrics[0].scope.as_ref().unwrap();
    assert_eq!(scope.name, "tracer");
    let told: Vec<_> = metrics(&request)
        .iter()
        .map(|metric| (metric.name.as_str(), metric.unit.as_str(), points(metric)))
        .collect();
    let expected = [
        (DURATION, "s", 1),
        ("http.server.request.body.size", "By", 1),
        ("http.server.response.body.size", "By", 1),
        ("tracer.stage.duration", "s", 4),
        ("http.server.active_requests", "{request}", 1),
    ];
    assert_eq!(told, expected);
    let (point, temporality) = histogram(&request, DURATION);
    assert_eq!(temporality, AggregationTemporality::Cumulative as i32);
    assert_eq!(
        (point.start_time_unix_nano, point.time_unix_nano),
        (START, now)
    );
    assert_eq!((point.count, point.sum), (1, Some(0.0012)));
    assert_eq!((point.min, point.max), (Some(0.0012), Some(0.0012)));
    let bounds = [
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    ];
    assert_eq!(point.explicit_bounds, bounds);
    assert_eq!((point.bucket_counts.len(), point.bucket_counts[0]), (15, 1));
    let example = &point.exemplars[0];
    assert_eq!(example.trace_id, server().trace_id.0);
    assert_eq!(example.span_id, server().span_id.0);
    assert_eq!(example.time_unix_nano, server().end_ns);

    let request = decoded(encoder.request(&snapshot(&mut recorder, now + SECOND)));
    let (point, _) = histogram(&request, DURATION);
    assert_eq!(point.exemplars, [], "told before");
}

#[test]
fn deltas_are_what_came_since_the_request_before() {
    let mut recorder = recorder();
    let mut encoder = Encoder::new(Temporality::Delta);
    assert!(encoder.request(&snapshot(&mut recorder, START)).is_none());
    recorder.record(&server(), None, true);
    recorder.record(&server(), None, true);
    let (one, two) = (START + SECOND, START + 2 * SECOND);
    let request = decoded(encoder.request(&snapshot(&mut recorder, one)));
    let (point, temporality) = histogram(&request, DURATION);
    assert_eq!(temporality, AggregationTemporality::Delta as i32);
    assert_eq!((point.count, point.start_time_unix_nano), (2, START));
    recorder.record(&server(), None, true);
    let request = decoded(encoder.request(&snapshot(&mut recorder, two)));
    let (point, _) = histogram(&request, DURATION);
    assert_eq!((point.count, point.sum), (1, Some(0.0012)));
    assert_eq!(
        (point.start_time_unix_nano, point.time_unix_nano),
        (one, two)
    );
    let request = decoded(encoder.request(&snapshot(&mut recorder, two + 1)));
    let names: Vec<_> = metrics(&request)
        .iter()
        .map(|metric| &metric.name)
        .collect();
    assert_eq!(names, ["http.server.active_requests"]);
}

fn page(format: Format, recorder: &mut Recorder) -> String {
    let mut page = Vec::new();
    prometheus::write(&snapshot(recorder, START), format, &mut page).unwrap();
    String::from_utf8(page).unwrap()
}

#[test]
fn openmetrics_has_examples() {
    let mut recorder = recorder();
    recorder.record(&server(), None, true);
    let page = page(Format::Open, &mut recorder);
    let begin = r##"# TYPE target info
# HELP target What is known of a traced process.
target_info{job="shop",process_command_args="[\"shop\",\"-v\"]",process_pid="812"} 1
# TYPE http_server_request_duration_seconds histogram
# UNIT http_server_request_duration_seconds seconds
# HELP http_server_request_duration_seconds Duration of HTTP server requests.
http_server_request_duration_seconds_bucket{job="shop",otel_scope_name="tracer",otel_scope_version="VERSION",http_request_method="GET",url_scheme="http",network_protocol_version="1.1",http_response_status_code="200",le="0.005"} 1 # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736",span_id="1111111111111111"} 0.0012 1704164645.001
"##;
    let begin = begin.replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert!(page.starts_with(&begin), "{page}");
    for line in [
        "le=\"10.0\"} 1\n",
        "http_server_active_requests{job=\"shop\",",
        "tracer_stage=\"queue\",tracer_span_kind=\"server\",le=\"1e-5\"} 0\n",
        "# TYPE tracer_spans_made counter\n",
        "\ntracer_spans_made_total 3\n",
        "\ntracer_spans_dropped_total{reason=\"queue_full\"} 2\n",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    assert!(page.ends_with("\n# EOF\n"), "{page}");
}

#[test]
fn the_older_format_has_none() {
    let mut recorder = recorder();
    recorder.record(&server(), None, true);
    let page = page(Format::Text, &mut recorder);
    for line in [
        "# TYPE target_info gauge\n",
        "le=\"10\"} 1\n",
        "# TYPE tracer_spans_made_total counter\n",
        "\ntracer_spans_made_total 3\n",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    assert!(!page.contains("# {") && !page.contains("# EOF") && !page.contains("# UNIT"));
}

#[test]
fn a_metric_is_told_in_one_place() {
    let mut recorder = recorder();
    for pid in 0..3 {
        for span in [server(), client()] {
            let resource = crate::export::samples::resource(pid, &format!("service {pid}"));
            recorder.record(&crate::span::Span { resource, ..span }, None, true);
        }
    }
    for format in [Format::Open, Format::Text] {
        let page = page(format, &mut recorder);
        let mut heads: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .collect();
        let all = heads.len();
        heads.sort_unstable();
        heads.dedup();
        assert_eq!(heads.len(), all, "{heads:?}");
    }
}

#[test]
fn the_scraper_chooses_the_format() {
    // Prometheus 2.42, 3.0, curl, VictoriaMetrics, one that wants no OpenMetrics.
    for (accept, format) in [
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format::Open,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            Format::Open,
        ),
        ("*/*", Format::Text),
        ("", Format::Text),
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Format::Text),
        ("application/openmetrics-text;q=0,text/plain", Format::Text),
    ] {
        assert_eq!(Format::of(accept), format, "{accept}");
    }
}

/// Asks, and has the pipeline answer.
fn ask(readers: &Readers, address: std::net::SocketAddr, request: &str) -> String {
    let request = request.to_owned();
    let asking = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    let mut recorder = recorder();
    recorder.record(&server(), None, true);
    while !asking.is_finished() {
        readers.answer(|| snapshot(&mut recorder, START));
        std::thread::yield_now();
    }
    asking.join().unwrap()
}

#[test]
fn the_page_is_at_metrics_and_nowhere_else() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let settings = Metrics {
        page: Some(("127.0.0.1".to_owned(), 0)),
        ..Metrics::default()
    };
    let readers = Readers::start(settings, runtime.handle()).unwrap().unwrap();
    let address = readers._page.as_ref().unwrap().address;
    let answer = ask(
        &readers,
        address,
        "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(answer.contains("tracer_spans_made_total 3"));
    let packed = "GET /metrics HTTP/1.1\r\nHost: h\r\nAccept: application/openmetrics-text\r\nAccept-Encoding: gzip\r\n\r\n";
    let answer = ask(&readers, address, packed);
    assert!(answer.contains("content-encoding: gzip\r\n"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0;"));
    let answer = ask(&readers, address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let post = "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    assert!(ask(&readers, address, post).starts_with("HTTP/1.1 405 "));
    let taken = Metrics {
        page: Some((address.ip().to_string(), address.port())),
        ..Metrics::default()
    };
    let error = Readers::start(taken, runtime.handle())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.starts_with("metrics page: can't listen on 127.0.0.1:"),
        "{error}"
    );
    assert!(
        readers
            .finish(snapshot(&mut recorder(), START), Instant::now())
            .is_none()
    );
    // Nobody listens any more, soon.
    while TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
}
