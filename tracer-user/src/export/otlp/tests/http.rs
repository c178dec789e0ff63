use std::io::Read;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::net::{TcpListener, TcpSocket};

use super::mock::{Answer, Mock};
use super::*;
use crate::export::settings::Output;

const BINARY: Protocol = Protocol::HttpProtobuf;

#[test]
fn protobuf_goes_to_the_path_of_traces() {
    let runtime = runtime();
    let mock = Mock::start(&runtime, []);
    let mut otlp = otlp(&mock.url, BINARY);
    otlp.headers = vec![("x-key".to_owned(), "secret".to_owned())];
    let exporter = exporter(settings(otlp), 1, &runtime);
    let received = mock.next();
    let lines: Vec<&str> = received.head.lines().collect();
    assert_eq!(lines[0], "post /v1/traces http/1.1");
    assert!(
        lines.contains(&"content-type: application/x-protobuf"),
        "{lines:?}"
    );
    assert!(lines.contains(&"x-key: secret"), "{lines:?}");
    let request = ExportTraceServiceRequest::decode(received.body.as_slice()).unwrap();
    assert_eq!(spans_in(&request), 1);
    assert_eq!(finish(exporter).exported, 1);
}

#[test]
fn json_is_json() {
    let runtime = runtime();
    let mock = Mock::start(&runtime, []);
    let exporter = exporter(settings(otlp(&mock.url, Protocol::HttpJson)), 1, &runtime);
    let received = mock.next();
    assert!(received.head.contains("content-type: application/json\r\n"));
    let request: ExportTraceServiceRequest = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(spans_in(&request), 1);
    assert_eq!(finish(exporter).exported, 1);
}

#[test]
fn gzip_is_said_and_done() {
    let runtime = runtime();
    let mock = Mock::start(&runtime, []);
    let mut otlp = otlp(&mock.url, BINARY);
    otlp.gzip = true;
    let exporter = exporter(settings(otlp), 1, &runtime);
    let received = mock.next();
    assert!(received.head.contains("content-encoding: gzip\r\n"));
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(received.body.as_slice())
        .read_to_end(&mut body)
        .unwrap();
    let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    assert_eq!(spans_in(&request), 1);
    assert_eq!(finish(exporter).exported, 1);
}

#[test]
fn batches_close_when_full_or_old() {
    let runtime = runtime();
    let mock = Mock::start(&runtime, []);
    let mut settings = settings(otlp(&mock.url, BINARY));
    settings.batching.max_batch_size = 3;
    let mut exporter = exporter(settings, 7, &runtime);
    let size = |received: &super::mock::Received| {
        spans_in(&ExportTraceServiceRequest::decode(received.body.as_slice()).unwrap())
    };
    assert_eq!([size(&mock.next()), size(&mock.next())], [3, 3]);
    let begin = Instant::now();
    exporter.tick(begin);
    exporter.tick(begin + Duration::from_secs(6));
    assert_eq!(size(&mock.next()), 1);
    assert_eq!(finish(exporter).exported, 7);
    assert!(mock.is_done());
}

#[test]
fn retryable_statuses_are_retried() {
    let runtime = runtime();
    for status in [
        "429 Too Many Requests",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
    ] {
        let mock = Mock::start(&runtime, [Answer::status(status)]);
        let exporter = exporter(settings(otlp(&mock.url, BINARY)), 1, &runtime);
        assert_eq!(mock.next().body, mock.next().body, "{status}");
        assert_eq!(finish(exporter).exported, 1, "{status}");
    }
}

#[test]
fn lost_connections_are_retried() {
    let runtime = runtime();
    let mock = Mock::start(&runtime, [Answer::Close, Answer::Close]);
    let exporter = exporter(settings(otlp(&mock.url, BINARY)), 1, &runtime);
    assert_eq!(finish(exporter).exported, 1);
}

#[test]
fn retry_after_is_honoured() {
    let runtime = runtime();
    let busy = Answer::Status("503 Service Unavailable", "Retry-After: 1\r\n", Vec::new());
    let mock = Mock::start(&runtime, [busy]);
    let exporter = exporter(settings(otlp(&mock.url, BINARY)), 1, &runtime);
    let (first, second) = (mock.next(), mock.next());
    assert!(second.at - first.at >= Duration::from_secs(1));
    assert_eq!(finish(exporter).exported, 1);
}

#[test]
fn endpoint_that_wants_it_too_late_is_given_up() {
    let runtime = runtime();
    let busy = Answer::Status(
        "503 Service Unavailable",
        "Retry-After: 3600\r\n",
        Vec::new(),
    );
    let mock = Mock::start(&runtime, [busy]);
    let exporter = exporter(settings(otlp(&mock.url, BINARY)), 1, &runtime);
    assert_eq!(finish(exporter).dropped["endpoint"], 1);
}

#[test]
fn other_statuses_reject() {
    let runtime = runtime();
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "500 Internal Server Error",
        "302 Found",
    ] {
        let mock = Mock::start(
            &runtime,
            [Answer::Status(status, "Location: /\r\n", b"no".to_vec())],
        );
        let exporter = exporter(settings(otlp(&mock.url, BINARY)), 1, &runtime);
        mock.next();
        let counts = finish(exporter);
        assert_eq!(
            (counts.exported, counts.dropped["rejected"]),
            (0, 1),
            "{status}"
        );
        assert!(mock.is_done(), "{status} is not sent again");
    }
}

#[test]
fn partial_success_counts_and_is_not_retried() {
    let runtime = runtime();
    let partial = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 2,
            error_message: "too old".to_owned(),
        }),
    };
    let json = br#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}"#.to_vec();
    for (protocol, body) in [
        (BINARY, partial.encode_to_vec()),
        (Protocol::HttpJson, json),
    ] {
        let mock = Mock::start(&runtime, [Answer::Status("200 OK", "", body)]);
        let mut settings = settings(otlp(&mock.url, protocol));
        settings.batching.max_batch_size = 5;
        let exporter = exporter(settings, 5, &runtime);
        mock.next();
        let counts = finish(exporter);
        assert_eq!(
            (counts.exported, counts.dropped["rejected"]),
            (3, 2),
            "{protocol:?}"
        );
        assert!(mock.is_done());
    }
}

#[test]
fn success_with_a_strange_body_is_a_success() {
    let runtime = runtime();
    for body in [b"OK\n".to_vec(), vec![b'x'; 1 << 20]] {
        let mock = Mock::start(&runtime, [Answer::Status("200 OK", "", body)]);
        let exporter = exporter(settings(otlp(&mock.url, BINARY)), 1, &runtime);
        assert_eq!(finish(exporter).exported, 1);
    }
}

#[test]
fn endpoint_that_comes_later_gets_what_waited() {
    let runtime = runtime();
    // A port that is ours and closed, until it listens.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let mut exporter = exporter(settings(otlp(&url, BINARY)), 20, &runtime);
    let listener = runtime.block_on(async { socket.listen(64).unwrap() });
    let mock = Mock::on(listener, &runtime, []);
    for _ in 0..20 {
        mock.next();
    }
    await_counts(&mut exporter, |counts| counts.exported == 20);
    give(&mut exporter, 1);
    assert_eq!(finish(exporter).exported, 21);
}

#[test]
fn endpoint_that_is_gone_for_good_is_given_up() {
    let runtime = runtime();
    let mut settings = settings(otlp("http://127.0.0.1:1", BINARY));
    settings.batching.export_timeout = Duration::from_millis(300);
    let mut exporter = exporter(settings, 3, &runtime);
    await_counts(&mut exporter, |counts| counts.dropped["endpoint"] == 3);
    finish(exporter);
}

#[test]
fn silent_endpoint_times_out_and_is_tried_again() {
    let runtime = runtime();
    let mock = Mock::start(&runtime, [Answer::Silence]);
    let mut otlp = otlp(&mock.url, BINARY);
    otlp.timeout = Duration::from_millis(100);
    let exporter = exporter(settings(otlp), 1, &runtime);
    assert_eq!(mock.next().body, mock.next().body);
    assert_eq!(finish(exporter).exported, 1);
}

#[test]
fn what_does_not_fit_the_queue_is_counted() {
    let runtime = runtime();
    let mock = Mock::start(&runtime, std::iter::repeat_n(Answer::Silence, 100));
    let mut settings = settings(otlp(&mock.url, BINARY));
    settings.batching.max_queue_size = 10;
    let exporter = exporter(settings, 30, &runtime);
    assert_eq!(exporter.counts().dropped["queue_full"], 20);
    // What waits for the endpoint is given up in the end.
    let counts = exporter.finish(Duration::from_millis(50));
    assert_adds_up(&counts);
    assert_eq!(counts.dropped["endpoint"], 10);
}

#[test]
fn finish_is_bounded_and_adds_up() {
    let runtime = runtime();
    let mock = Mock::start(
        &runtime,
        [Answer::status("200 OK"), Answer::Silence, Answer::Silence],
    );
    let mut exporter = exporter(settings(otlp(&mock.url, BINARY)), 1, &runtime);
    await_counts(&mut exporter, |counts| counts.exported == 1);
    give(&mut exporter, 2);
    let begin = Instant::now();
    let counts = exporter.finish(Duration::from_millis(200));
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_adds_up(&counts);
    assert_eq!((counts.exported, counts.dropped["endpoint"]), (1, 2));
}

#[test]
fn unsampled_spans_are_counted_and_not_sent() {
    let runtime = runtime();
    let mock = Mock::start(&runtime, []);
    let mut exporter = exporter(settings(otlp(&mock.url, BINARY)), 0, &runtime);
    exporter.span(
        &Span {
            sampled: Some(false),
            ..samples::server()
        },
        None,
    );
    let counts = finish(exporter);
    assert_eq!((counts.made, counts.unsampled), (1, 1));
    assert!(mock.is_done());
}

#[test]
fn without_any_outlet_spans_are_dropped() {
    let runtime = runtime();
    let settings = Settings {
        output: Output::None,
        ..Settings::default()
    };
    let exporter = exporter(settings, 2, &runtime);
    assert_eq!(finish(exporter).dropped["no_output"], 2);
}

#[test]
fn many_spans_all_arrive() {
    let runtime = runtime();
    let mock = Mock::start(&runtime, []);
    let mut settings = settings(otlp(&mock.url, BINARY));
    settings.batching.max_batch_size = 512;
    let exporter = exporter(settings, 10_000, &runtime);
    assert_eq!(finish(exporter).exported, 10_000);
    let mut seen = 0;
    while seen < 10_000 {
        let body = mock.next().body;
        seen += spans_in(&ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
    }
    assert_eq!(seen, 10_000);
}

#[test]
fn dropped_exporter_leaves_nothing_behind() {
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let mock = Mock::on(listener, &runtime, [Answer::Silence]);
    let exporter = exporter(settings(otlp(&mock.url, BINARY)), 1, &runtime);
    mock.next();
    let metrics = runtime.metrics();
    drop(exporter);
    let deadline = Instant::now() + LONG;
    // The mock's own two tasks stay: it listens, and keeps silent on a connection.
    while metrics.num_alive_tasks() > 2 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}
