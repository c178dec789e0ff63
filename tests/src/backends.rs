//! Backends as people run them, each on ports of its own, and what their own APIs say.
//!
//! What is installed is taken as it is (Prometheus); the others come from where their projects publish
//! them, once, into the target folder: the Collector and Jaeger are compiled, Zipkin is its jar.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::Value;

use crate::process::Process;
use crate::servers::{self, Server, built, fixture};
use crate::sink::Sink;
use crate::span::{Span, flatten};
use crate::wait;

/// Jaeger 2.13, by the older of its two version numbers: the one that Go's modules know.
const JAEGER: &str = "github.com/jaegertracing/jaeger@v1.76.0";

/// Zipkin's server, as Maven Central has it.
const ZIPKIN: &str =
    "https://repo1.maven.org/maven2/io/zipkin/zipkin-server/3.6.1/zipkin-server-3.6.1-exec.jar";
/// SHA-256 of [`ZIPKIN`].
const ZIPKIN_SUM: &str = "d8326e0ed4f43855dba81228f688554706e52578a7c782d9a90b73f8680654a1";

/// A server on a virtual machine that is busy starts slowly: Zipkin takes 16 s where eight others work.
const START: Duration = Duration::from_secs(90);

/// A Collector that hands on what it takes before it says that it has it.
pub struct Collector {
    /// Where it takes OTLP/gRPC.
    pub grpc: SocketAddr,
    /// Where it takes OTLP/HTTP.
    pub http: SocketAddr,
    _process: Process,
}

impl Collector {
    /// Hands on spans and metrics to the sink.
    #[track_caller]
    pub fn start(sink: &Sink) -> Collector {
        Collector::start_with(&[("otlp_http", &sink.endpoint())])
    }

    /// Options of an agent that sends to it by that protocol.
    pub fn options(&self, protocol: &str) -> [String; 4] {
        let address = match protocol {
            "grpc" => self.grpc,
            _ => self.http,
        };
        let endpoint = format!("http://{address}");
        ["--otlp-endpoint", &endpoint, "--otlp-protocol", protocol].map(String::from)
    }

    /// Hands on spans to these exporters, metrics to the first: the name and the endpoint of each.
    #[track_caller]
    pub fn start_with(exporters: &[(&str, &str)]) -> Collector {
        let [grpc, http] = free_ports();
        let configured = exporters.iter().map(|(name, endpoint)| match *name {
            // It waits for the answer.
            "otlp_http" => format!(
                "otlp_http: {{endpoint: '{endpoint}', compression: none, sending_queue: {{enabled: false}}}}"
            ),
            _ => format!("{name}: {{endpoint: '{endpoint}'}}"),
        });
        let configured = configured.collect::<Vec<_>>().join(", ");
        let names: Vec<&str> = exporters.iter().map(|(name, _)| *name).collect();
        let (first, names) = (names[0], names.join(", "));
        let config = format!(
            "yaml:{{\
               receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}}}, \
               exporters: {{{configured}}}, \
               service: {{telemetry: {{metrics: {{level: none}}}}, \
                          pipelines: {{traces: {{receivers: [otlp], exporters: [{names}]}}, \
                                      metrics: {{receivers: [otlp], exporters: [{first}]}}}}}}\
             }}",
        );
        let mut command = Command::new(servers::go("collector"));
        let mut process = Process::start(command.args(["--config", &config]));
        wait::until("the Collector", START, || {
            assert!(process.is_running(), "it ended: {:?}", process.stderr.all());
            let up = [grpc, http].iter().all(|at| TcpStream::connect(at).is_ok());
            up.then_some(())
        });
        Collector {
            grpc,
            http,
            _process: process,
        }
    }
}

/// Jaeger's storage and API.
pub struct Jaeger(Server);

impl Jaeger {
    fn build() -> PathBuf {
        built("jaeger", |dir| {
            let script = "test -e $2 || { \
                              rm -rf part; \
                              from=$(go mod download -json $1 | sed -n 's/.*\"Dir\": \"\\(.*\\)\".*/\\1/p'); \
                              cp -r \"$from\" part; chmod -R u+w part; mv part $2; \
                          }; \
                          mkdir -p $2/cmd/memory; cp \"$3\" $2/cmd/memory/; \
                          cd $2; go build -o ../jaeger ./cmd/memory";
            let version = JAEGER.rsplit('@').next().expect("a version");
            let mut command = Command::new("sh");
            command.args(["-euc", script, "sh", JAEGER, version]);
            command
                .arg(fixture("jaeger/main.go"))
                .env("GOFLAGS", "-buildvcs=false -mod=readonly")
                .current_dir(dir);
            command
        })
    }

    /// Compiles it if need be, starts it.
    #[track_caller]
    pub fn start() -> Jaeger {
        let dir = Jaeger::build();
        Jaeger(Server::announced(&mut Command::new(dir.join("jaeger"))))
    }

    /// Where it takes OTLP/HTTP.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// The spans of a trace as it stores them, without its remarks; none where it does not know it.
    pub fn trace(&self, id: &str) -> Option<Vec<Span>> {
        let url = format!("{}/api/v3/traces/{id}", self.endpoint());
        let mut answer = fetch(&url, &[("raw_traces", "true")])?;
        let request: ExportTraceServiceRequest =
            serde_json::from_value(answer.get_mut("result")?.take()).expect("OTLP/JSON");
        Some(flatten(request))
    }
}

/// Zipkin's server, with its storage in memory.
pub struct Zipkin {
    address: String,
    _process: Process,
}

impl Zipkin {
    fn build() -> PathBuf {
        built("zipkin", |dir| {
            let script = "echo \"$2  zipkin.jar\" > sum; sha256sum --status -c sum && exit; \
                          curl -fsSL --retry 5 --retry-all-errors -o zipkin.jar \"$1\"; \
                          sha256sum -c sum";
            let mut command = Command::new("sh");
            command.args(["-euc", script, "sh", ZIPKIN, ZIPKIN_SUM]);
            command.current_dir(dir);
            command
        })
    }

    /// Fetches it if need be, starts it.
    #[track_caller]
    pub fn start() -> Zipkin {
        let dir = Zipkin::build();
        let mut command = Command::new("java");
        // The quick compiler alone: it is up sooner.
        command
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"])
            .arg("-jar")
            .arg(dir.join("zipkin.jar"))
            .env("QUERY_PORT", "0");
        let mut process = Process::start(&mut command);
        let address = wait::until("Zipkin", START, || {
            assert!(process.is_running(), "it ended: {:?}", process.stdout.all());
            let lines = process.stdout.all();
            let line = lines.iter().find(|line| line.contains("Serving HTTP at"))?;
            let port = line.trim_end_matches('/').rsplit(':').next()?;
            Some(format!("127.0.0.1:{port}"))
        });
        Zipkin {
            address,
            _process: process,
        }
    }

    /// Where it takes spans.
    pub fn endpoint(&self) -> String {
        format!("http://{}/api/v2/spans", self.address)
    }

    /// The spans of a trace, as JSON objects; none where it does not know it.
    pub fn trace(&self, id: &str) -> Option<Vec<Value>> {
        let url = format!("http://{}/api/v2/trace/{id}", self.address);
        Some(fetch(&url, &[])?.as_array()?.clone())
    }
}

/// A Prometheus that scrapes one page.
pub struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes that address twice in a second.
    #[track_caller]
    pub fn start(target: &str) -> Prometheus {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "scrape_configs: [{{job_name: tracer, scrape_interval: 500ms, scrape_timeout: 500ms, \
             honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}]"
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("written");
        let [address] = free_ports();
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
        wait::until("Prometheus", START, || {
            prometheus.try_ask("query", &[("query", "1")])
        });
        prometheus
    }

    /// Awaits that a query has one result, of that value.
    #[track_caller]
    pub fn wait_for(&self, query: &str, value: f64) {
        wait::until(query, wait::SOON, || {
            (self.value(query)? == value).then_some(())
        });
    }

    /// What a query has as its only result, if it has only one.
    pub fn value(&self, query: &str) -> Option<f64> {
        let told = self.ask("query", &[("query", query)]);
        let [result] = &told["result"].as_array()?[..] else {
            return None;
        };
        result["value"][1].as_str()?.parse().ok()
    }

    /// What its API answers.
    #[track_caller]
    pub fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Value {
        self.try_ask(what, parameters).expect("it answers")
    }

    fn try_ask(&self, what: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let url = format!("http://{}/api/v1/{what}", self.address);
        let mut answer = fetch(&url, parameters)?;
        (answer["status"] == "success").then(|| answer["data"].take())
    }
}

/// Compiles Jaeger and fetches Zipkin.
pub fn build_all() {
    Jaeger::build();
    Zipkin::build();
}

/// For who cannot choose ports by itself: such that were free a moment ago.
fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let free = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    free.map(|listener| listener.local_addr().expect("it listens"))
}

/// The JSON behind a URL; none if it is not there.
fn fetch(url: &str, parameters: &[(&str, &str)]) -> Option<Value> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--get", url]);
    for (name, value) in parameters {
        command
            .arg("--data-urlencode")
            .arg(format!("{name}={value}"));
    }
    let output = command.output().expect("curl");
    serde_json::from_slice(&output.stdout).ok()
}
