//! What a backend's own API says of real traffic, once it has what the agent gives it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value as Json;
use tests::agent::{Agent, Family};
use tests::backends::{Collector, Jaeger, Prometheus, Zipkin};
use tests::load::{self, Body, Request, get};
use tests::page;
use tests::rpc::{Form, Stack};
use tests::servers::{self, Kind, Server};
use tests::sink::Sink;
use tests::span::{self, CLIENT, Span, Value};
use tests::wait;

use crate::Test;

/// Requests of a load.
const REQUESTS: usize = 500;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("prometheus_scrapes_the_page", prometheus as Test),
        ("jaeger_and_zipkin_show_what_we_say", traces),
    ]
}

fn prometheus(family: Family) {
    let server = Server::start(Kind::Go);
    let sink = Sink::start();
    let agent = Agent::start([
        "-p",
        &server.pid().to_string(),
        "--metrics-listen",
        "127.0.0.1:0",
        "--otlp-endpoint",
        &sink.endpoint(),
        "--probes",
        family.name(),
    ]);
    let page = page::url(&agent);
    let target = page
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    let prometheus = Prometheus::start(target);
    let exchanges = load::run(server.address, 10, REQUESTS, |n| Kind::Go.request(n));

    let count = "sum(http_server_request_duration_seconds_count)";
    prometheus.wait_for(count, REQUESTS as f64);
    let failed = exchanges
        .iter()
        .filter(|exchange| exchange.response.status >= 500);
    let failed = failed.count();
    let errors = "sum(http_server_request_duration_seconds_count{error_type!=\"\"}) or vector(0)";
    prometheus.wait_for(errors, failed as f64);
    let got: u64 = exchanges
        .iter()
        .map(|exchange| exchange.response.body)
        .sum();
    prometheus.wait_for("sum(http_server_response_body_size_bytes_sum)", got as f64);
    // What is known of the process joins its metrics by job and instance.
    let joined = format!(
        "sum(http_server_request_duration_seconds_count \
         * on (job, instance) group_left () target_info{{process_pid=\"{}\"}})",
        server.pid()
    );
    prometheus.wait_for(&joined, REQUESTS as f64);
    prometheus.wait_for("tracer_transfers_lost_total{reason=\"ring_full\"}", 0.0);
    let seconds = prometheus.value("sum(http_server_request_duration_seconds_sum)");
    let seconds = seconds.expect("it was counted");

    let range = [("start", "0"), ("end", "9999999999")];
    let query = ("query", "http_server_request_duration_seconds_bucket");
    let told = prometheus.ask("query_exemplars", &[query, range[0], range[1]]);
    let series = told.as_array().expect("a list").iter();
    let examples = series.flat_map(|series| series["exemplars"].as_array().expect("a list"));
    let examples: Vec<String> = examples
        .map(|example| {
            example["labels"]["trace_id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    assert!(!examples.is_empty(), "{told}");
    agent.stop();
    let spans = sink.spans();
    let lasted: u64 = spans.iter().map(|span| span.end - span.start).sum();
    let apart = (seconds - lasted as f64 / 1e9).abs();
    assert!(apart < 1e-6, "{seconds} s, the spans {lasted} ns");
    let ids: HashSet<&str> = spans.iter().map(|span| span.trace_id.as_str()).collect();
    for example in examples {
        assert!(ids.contains(example.as_str()), "{example}");
    }
}

/// Requests of the shop, and as many of the gateway.
const EACH: usize = 10;

/// Each span as the agent prints it is what Jaeger and Zipkin have got of it by way of a Collector.
fn traces(family: Family) {
    // Java takes its time to come up.
    let zipkin = thread::spawn(Zipkin::start);
    let jaeger = Jaeger::start();
    let stock = shop("stock", &[]);
    let shop = shop("shop", &[&stock.address.port().to_string()]);
    let kitex = Stack::Kitex("framed", Form::Thrift).serve();
    let mut gateway = Command::new(servers::go("go-rpc"));
    gateway.args(["gateway", "0", &kitex.address.to_string(), "ttheader"]);
    let gateway = Server::announced(&mut gateway);
    let zipkin = zipkin.join().expect("Zipkin");
    let collector = Collector::start_with(&[
        ("otlp_http", &jaeger.endpoint()),
        ("zipkin", &zipkin.endpoint()),
    ]);
    let pids = [&stock, &shop, &kitex, &gateway].map(|server| server.pid().to_string());
    let agent = Agent::start([
        "-p",
        &pids.join(","),
        "--otlp-endpoint",
        &format!("http://{}", collector.http),
        "-o",
        "json",
        "--probes",
        family.name(),
    ]);
    let mut exchanges = load::run(shop.address, 1, EACH, shopping);
    exchanges.extend(load::run(gateway.address, 2, EACH, |number| Request {
        method: "POST",
        body: Body::Length(1 + number),
        ..get(format!("/{number}"))
    }));
    let ended = agent.stop();
    let stats = ended.stats.expect("checked by stop");
    stats.assert_nothing_lost();

    let lines = ended.stdout.iter().map(|line| serde_json::from_str(line));
    let spans = lines.flat_map(|request| span::flatten(request.expect("OTLP/JSON")));
    let mut told: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for span in spans {
        told.entry(span.trace_id.clone()).or_default().push(span);
    }
    for sent in &exchanges {
        assert!(told.contains_key(&sent.trace_id), "no span of {sent:?}");
    }
    for (id, mut ours) in told {
        ours.sort_by(|a, b| a.span_id.cmp(&b.span_id));
        let mut theirs = wait::until("Jaeger to have the trace", wait::SOON, || {
            jaeger.trace(&id).filter(|spans| spans.len() >= ours.len())
        });
        theirs.sort_by(|a, b| a.span_id.cmp(&b.span_id));
        assert_eq!(theirs, ours);
        let mut theirs = wait::until("Zipkin to have the trace", wait::SOON, || {
            zipkin.trace(&id).filter(|spans| spans.len() >= ours.len())
        });
        theirs.sort_by_key(|span| span["id"].to_string());
        assert_eq!(theirs.len(), ours.len(), "{theirs:#?}");
        for (theirs, ours) in theirs.iter().zip(&ours) {
            assert_zipkin(theirs, ours);
        }
    }
}

/// One of the two services of the demo, which name themselves and end with their standard input.
fn shop(role: &str, arguments: &[&str]) -> Server {
    let mut command = Command::new("python3");
    command
        .arg(servers::fixture("../../xtask/demo/shop.py"))
        .arg(role)
        .args(arguments)
        .env("OTEL_SERVICE_NAME", role)
        .stdin(Stdio::piped());
    Server::announced(&mut command)
}

/// What the demo's customers do.
fn shopping(number: usize) -> Request {
    match number % 5 {
        0 => get("/items/tea".to_owned()),
        1 => get("/items/lamp".to_owned()),
        2 => get("/catalog".to_owned()),
        3 => get("/broken".to_owned()),
        _ => Request {
            method: "POST",
            body: Body::Length(60_000),
            ..get("/reviews".to_owned())
        },
    }
}

/// What Zipkin's model can hold of a span: names in lower case, microseconds, texts.
#[track_caller]
fn assert_zipkin(theirs: &Json, ours: &Span) {
    let text = |name: &str| theirs[name].as_str().unwrap_or_default();
    assert_eq!(text("traceId"), ours.trace_id);
    assert_eq!(text("id"), ours.span_id);
    assert_eq!(text("parentId"), ours.parent);
    assert_eq!(text("name"), ours.name.to_lowercase());
    let kind = match ours.kind {
        CLIENT => "CLIENT",
        _ => "SERVER",
    };
    assert_eq!(text("kind"), kind);
    let service = theirs["localEndpoint"]["serviceName"].as_str();
    assert_eq!(
        service,
        ours.resource.get("service.name").map(shown).as_deref()
    );
    let micros = |nanos: u64| (nanos + 500) / 1000;
    assert_eq!(theirs["timestamp"].as_u64(), Some(micros(ours.start)));
    assert_eq!(
        theirs["duration"].as_u64(),
        Some(micros(ours.end - ours.start))
    );
    let peer = theirs["remoteEndpoint"]["ipv4"].as_str();
    assert_eq!(peer, Some(ours.text("network.peer.address")), "{theirs:#}");
    // What stands in the endpoints is no tag.
    let elsewhere = ["service.name", "network.peer.address"];
    let tags = theirs["tags"].as_object().expect("tags");
    for (name, value) in ours.attributes.iter().chain(&ours.resource) {
        let tag = tags.get(name).and_then(Json::as_str);
        if let Value::Double(double) = value {
            let number: Option<f64> = tag.and_then(|tag| tag.parse().ok());
            assert_eq!(number, Some(*double), "{name} of {theirs:#}");
            continue;
        }
        let expected = (!elsewhere.contains(&&name[..])).then(|| shown(value));
        assert_eq!(tag, expected.as_deref(), "{name} of {theirs:#}");
    }
    let events: Vec<(u64, &str)> = theirs["annotations"]
        .as_array()
        .expect("annotations")
        .iter()
        .map(|event| (event["timestamp"].as_u64(), event["value"].as_str()))
        .map(|(time, name)| (time.expect("a time"), name.expect("a name")))
        .collect();
    let expected = ours.events.iter();
    let expected = expected.map(|(name, time)| (micros(*time), &name[..]));
    // Of the same microsecond, by name.
    let expected: BTreeSet<_> = expected.collect();
    let expected: Vec<_> = expected.into_iter().collect();
    assert_eq!(events, expected, "{theirs:#}");
}

/// A value as the Collector makes a text of it.
fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Int(int) => int.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Double(_) | Value::List(_) => format!("{value:?}"),
    }
}
