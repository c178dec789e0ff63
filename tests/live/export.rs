//! Where spans go: the three protocols, endpoints that fail, standard output.

use std::time::{Duration, Instant};

use tests::agent::{Agent, Ended};
use tests::load::{self, get};
use tests::otlp_json;
use tests::servers::{Kind, Server};
use tests::sink::{Mood, Sink};
use tests::span::Span;
use tests::{check, wait};

use crate::Test;
use crate::common::{Traced, plain_peer};
use tests::agent::Family;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("export_every_protocol", protocols),
        ("export_gzip_and_headers", gzip_and_headers),
        ("export_endpoint_away_and_back", away_and_back),
        ("export_endpoint_never_there", never_there),
        ("export_rejected_spans_are_counted", rejected),
        ("export_slow_endpoint_at_the_end", slow_end),
        ("export_json_lines", json_lines),
        ("export_pretty", pretty),
        ("export_unsampled", unsampled),
        ("export_levels_and_captured_headers", levels),
    ]
}

fn protocols(family: Family) {
    let server = Server::start(Kind::Node);
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        let traced = Traced::attach_with(family, &[server.pid()], &["--otlp-protocol", protocol]);
        let exchanges = load::run(server.address, 10, wait::fewer(2_000), |n| {
            Kind::Node.request(n)
        });
        let stats = traced.agent.stop_for_stats();
        stats.assert_nothing_lost();
        for body in traced.sink.json_bodies() {
            otlp_json::check(&body).unwrap_or_else(|error| panic!("{protocol}: {error}"));
        }
        check::exact(&traced.sink.spans(), &exchanges);
    }
}

fn gzip_and_headers(family: Family) {
    let server = plain_peer();
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        let sink = Sink::start();
        let agent = Agent::spawn_with(
            [
                "-p",
                &server.pid().to_string(),
                "--otlp-protocol",
                protocol,
                "--probes",
                family.name(),
            ],
            |command| {
                command
                    .env("OTEL_EXPORTER_OTLP_ENDPOINT", sink.endpoint())
                    .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
                    .env(
                        "OTEL_EXPORTER_OTLP_HEADERS",
                        "api-key=secret%20one,tenant=7",
                    );
            },
        );
        agent.wait_ready();
        let exchanges = load::run(server.address, 2, 300, |n| get(format!("/{n}")));
        agent.stop();
        check::exact(&sink.spans(), &exchanges);
        let headers = sink.headers();
        let has = |name: &str, value: &str| headers.iter().any(|(n, v)| n == name && v == value);
        let encoding = if protocol == "grpc" {
            "grpc-encoding"
        } else {
            "content-encoding"
        };
        assert!(has(encoding, "gzip"), "{protocol}: {headers:?}");
        assert!(
            has("api-key", "secret one") && has("tenant", "7"),
            "{protocol}: {headers:?}"
        );
    }
}

/// How long a batch is tried.
const TRIED: Duration = Duration::from_secs(6);

/// The endpoint stops under load and comes back: the agents go on by themselves, the equations hold,
/// and what was said to be exported is what arrived. For two protocols at once, each with its agent.
fn away_and_back(family: Family) {
    // More spans than that are made meanwhile, so that some must go; it holds a batch at least.
    let queue = wait::fewer(8_192).max(512);
    let tried = wait::patiently(TRIED);
    let server = plain_peer();
    let start = |protocol| {
        let sink = Sink::start();
        let arguments = ["-p", &server.pid().to_string(), "--otlp-protocol", protocol]
            .map(String::from)
            .into_iter()
            .chain(
                [
                    "--probes",
                    family.name(),
                    "--otlp-endpoint",
                    &sink.endpoint(),
                ]
                .map(String::from),
            );
        let agent = Agent::spawn_with(arguments, |command| {
            command.env("OTEL_BSP_MAX_QUEUE_SIZE", queue.to_string());
            command.env("OTEL_BSP_EXPORT_TIMEOUT", tried.as_millis().to_string());
            command.env("OTEL_BSP_SCHEDULE_DELAY", "500");
        });
        agent.wait_ready();
        Traced { agent, sink }
    };
    let mut both = ["grpc", "http/protobuf"].map(start);
    load::run(server.address, 4, 500, |n| get(format!("/before/{n}")));
    for traced in &mut both {
        let all = |spans: &[Span]| spans.len() == 500;
        traced.sink.wait_for("the first spans", all);
        traced.sink.stop();
    }
    let (begun, mut made) = (Instant::now(), 500);
    // Past every retry of a batch that failed at the begin.
    let away = tried + Duration::from_secs(1);
    while begun.elapsed() < away || made < 2 * queue {
        let requests = wait::fewer(2_000);
        load::run(server.address, 8, requests, |n| get(format!("/away/{n}")));
        made += requests;
    }
    for traced in &mut both {
        traced.sink.listen();
    }
    for traced in both {
        wait::until("spans after the endpoint's return", wait::SOON * 2, || {
            load::run(server.address, 1, 10, |n| get(format!("/after/{n}")));
            let arrived = |span: &Span| span.text("url.path").starts_with("/after/");
            traced.sink.spans().iter().any(arrived).then_some(())
        });
        let (_, stats) = traced.finish();
        assert!(stats.spans.made > made as u64, "{stats:?}");
        let dropped: u64 = stats.spans.dropped.values().sum();
        assert!(dropped >= (made - 500 - 2 * queue) as u64, "{stats:?}");
    }
}

/// Nobody listens at the endpoint, ever: the service does not notice, the end comes in time, every
/// span is counted as dropped.
fn never_there(family: Family) {
    let server = plain_peer();
    let agent = Agent::spawn_with(
        [
            "-p",
            &server.pid().to_string(),
            "--otlp-endpoint",
            "http://127.0.0.1:1",
            "--probes",
            family.name(),
        ],
        |command| {
            command.env("OTEL_BSP_EXPORT_TIMEOUT", "1000");
        },
    );
    agent.wait_ready();
    load::run(server.address, 4, 1_000, |n| get(format!("/{n}")));
    let ended = agent.stop();
    let stats = ended.stats.as_ref().expect("--stats");
    assert_eq!(
        (stats.spans.made, stats.spans.exported),
        (1_000, 0),
        "{ended:#?}"
    );
    assert!(
        ended.stderr.iter().any(|line| line.contains("127.0.0.1:1")),
        "not said: {ended:#?}"
    );
}

/// Partial success: what the endpoint rejects (of each request 3, or all if it has fewer) is counted
/// and not sent again.
fn rejected(family: Family) {
    let server = plain_peer();
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        let traced = Traced::attach_with(family, &[server.pid()], &["--otlp-protocol", protocol]);
        traced.sink.set_mood(Mood::RejectSome(3));
        load::run(server.address, 1, 20, |n| get(format!("/{n}")));
        let stats = traced.agent.stop_for_stats();
        assert_eq!(stats.spans.made, 20);
        let rejected = stats.spans.dropped.get("rejected").copied().unwrap_or(0);
        assert!(rejected >= 3, "{protocol}: {stats:?}");
        assert_eq!(stats.spans.exported, 20 - rejected, "{protocol}: {stats:?}");
        assert_eq!(
            traced.sink.spans().len(),
            20,
            "{protocol}: nothing is sent twice"
        );
    }
}

/// SIGTERM while the endpoint takes its time: the last batch is still awaited.
fn slow_end(family: Family) {
    let server = plain_peer();
    let traced = Traced::attach(family, &[server.pid()]);
    traced.sink.set_mood(Mood::Slow(Duration::from_millis(700)));
    let exchanges = load::run(server.address, 2, 100, |n| get(format!("/{n}")));
    let (spans, _) = traced.finish();
    check::exact(&spans, &exchanges);
}

#[track_caller]
fn printed(family: Family, format: &str) -> (Ended, Vec<load::Exchange>) {
    let server = Server::start(Kind::Go);
    let pid = server.pid().to_string();
    let agent = Agent::start(["-p", &pid, "-o", format, "--probes", family.name()]);
    let exchanges = load::run(server.address, 5, 500, |n| Kind::Go.request(n));
    let ended = agent.stop();
    let stats = ended.stats.as_ref().expect("--stats");
    stats.assert_nothing_lost();
    // Without an endpoint, what was printed counts.
    assert_eq!(stats.spans.exported, 500, "{stats:?}");
    (ended, exchanges)
}

/// `-o json`: every line one strict OTLP/JSON request, all of them together every span.
fn json_lines(family: Family) {
    let (ended, exchanges) = printed(family, "json");
    let mut spans = Vec::new();
    for line in &ended.stdout {
        otlp_json::check(line.as_bytes()).unwrap_or_else(|error| panic!("{error} in {line}"));
        spans.extend(tests::span::flatten(
            serde_json::from_str(line).expect("a request"),
        ));
    }
    check::exact(&spans, &exchanges);
}

/// `-o pretty`: a line for each span, no colours and no more than 80 or so columns in a pipe.
fn pretty(family: Family) {
    let (ended, exchanges) = printed(family, "pretty");
    for exchange in &exchanges {
        let path = exchange.target.split('?').next().expect("a path");
        let lines = ended.stdout.iter().filter(|line| {
            line.split_whitespace()
                .any(|word| word.split('?').next() == Some(path))
        });
        assert_eq!(lines.count(), 1, "lines with {path}");
    }
    for line in &ended.stdout {
        assert!(!line.contains('\x1b'), "colour in a pipe: {line:?}");
    }
}

/// A caller that does not record, says so in its flags: nothing is exported, all is counted.
fn unsampled(family: Family) {
    let server = plain_peer();
    let traced = Traced::attach(family, &[server.pid()]);
    let mut connection = load::Connection::open(server.address).expect("it listens");
    for flags in ["00", "01", "00"] {
        let context = format!("00-{}-{}-{flags}", "a".repeat(32), "b".repeat(16));
        let bytes = format!("GET /{flags} HTTP/1.1\r\nHost: x\r\ntraceparent: {context}\r\n\r\n");
        connection.write(bytes.as_bytes()).expect("it reads");
        connection.read("GET").expect("an answer");
    }
    // Malformed contexts are ignored whole: roots, with ids of our own.
    for context in [
        "00-zz-b-01",
        "00-00000000000000000000000000000000-bbbbbbbbbbbbbbbb-01",
    ] {
        let bytes = format!("GET /bad HTTP/1.1\r\nHost: x\r\ntraceparent: {context}\r\n\r\n");
        connection.write(bytes.as_bytes()).expect("it reads");
        connection.read("GET").expect("an answer");
    }
    let (spans, stats) = traced.finish();
    assert_eq!(
        (stats.spans.made, stats.spans.unsampled),
        (5, 2),
        "{stats:?}"
    );
    let paths: Vec<&str> = spans.iter().map(|span| span.text("url.path")).collect();
    assert_eq!(paths, ["/01", "/bad", "/bad"]);
    for root in &spans[1..] {
        assert_eq!(
            (root.parent.as_str(), root.text("tracer.context.format")),
            ("", "")
        );
        assert_eq!(root.trace_id.len(), 32);
    }
    assert_ne!(spans[1].trace_id, spans[2].trace_id);
}

fn levels(family: Family) {
    let server = plain_peer();
    for (level, events) in [
        ("base", vec!["http_start", "http_finish"]),
        ("disabled", vec![]),
    ] {
        let more = [
            "--level",
            level,
            "--capture-header",
            "X-Shop",
            "--capture-header",
            "content-length",
            "--service-name",
            "shop",
        ];
        let traced = Traced::attach_with(family, &[server.pid()], &more);
        load::run(server.address, 1, 1, |n| load::Request {
            fields: "X-Shop: tea\r\n".into(),
            ..get(format!("/{n}"))
        });
        let (spans, _) = traced.finish();
        let [span] = &spans[..] else {
            panic!("{spans:#?}");
        };
        let names: Vec<&str> = span.events.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, events);
        use tests::span::Value::{List, Text};
        let list = |text: &str| Some(List(vec![Text(text.into())]));
        let attribute = |name: &str| span.attributes.get(name).cloned();
        assert_eq!(attribute("http.request.header.x-shop"), list("tea"));
        assert_eq!(attribute("http.response.header.content-length"), list("2"));
        assert_eq!(
            span.resource.get("service.name"),
            Some(&Text("shop".into()))
        );
    }
}
