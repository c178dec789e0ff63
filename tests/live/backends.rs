//! What a backend's own API says of real traffic, once it has what the agent gives it.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::agent::{Agent, Family};
use tests::load;
use tests::page;
use tests::process::Process;
use tests::servers::{Kind, Server};
use tests::sink::Sink;
use tests::wait;

use crate::Test;

/// Requests of a load.
const REQUESTS: usize = 500;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![("prometheus_scrapes_the_page", prometheus as Test)]
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
    let ids: HashSet<&str> = spans.iter().map(|span| span.trace_id.as_str()).collect();
    for example in examples {
        assert!(ids.contains(example.as_str()), "{example}");
    }
}

/// A Prometheus that scrapes one page.
struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    #[track_caller]
    fn start(target: &str) -> Prometheus {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "scrape_configs: [{{job_name: tracer, scrape_interval: 500ms, scrape_timeout: 500ms, \
             honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}]"
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("written");
        // It cannot choose a port by itself: one that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a port");
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let mut command = Command::new("prometheus");
        command
            .arg(option("config.file", &file))
            .arg(option("storage.tsdb.path", &folder.path().join("data")))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage");
        let prometheus = Prometheus {
            address,
            _process: Process::start(&mut command),
            _folder: folder,
        };
        wait::until("Prometheus", wait::SOON * 2, || {
            prometheus.try_ask("query", &[("query", "1")])
        });
        prometheus
    }

    /// Awaits that a query has one result, of that value.
    #[track_caller]
    fn wait_for(&self, query: &str, value: f64) {
        wait::until(query, wait::SOON, || {
            let told = self.ask("query", &[("query", query)]);
            let [result] = &told["result"].as_array()?[..] else {
                return None;
            };
            let number: f64 = result["value"][1].as_str()?.parse().ok()?;
            (number == value).then_some(())
        });
    }

    #[track_caller]
    fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Value {
        self.try_ask(what, parameters).expect("it answers")
    }

    fn try_ask(&self, what: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "--get",
            &format!("http://{}/api/v1/{what}", self.address),
        ]);
        for (name, value) in parameters {
            command
                .arg("--data-urlencode")
                .arg(format!("{name}={value}"));
        }
        let output = command.output().expect("curl");
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }
}
