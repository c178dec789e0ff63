//! What the export is told: where spans go, how they are worded, how much may wait.
//!
//! Plain data with the standard's defaults; the flags and variables named here are read by
//! [`crate::config`]. What can be wrong with a value that is only known when it is used (a URL, a
//! certificate file) is [`super::Error`]'s, at the start of the export.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::keep::Rule;
use super::sampler::Sampler;
use crate::semconv;

/// Everything the export is told.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where spans go over OTLP; none = nowhere.
    pub otlp: Option<Otlp>,
    /// What standard output carries: `-o`, `--output`.
    pub output: Output,
    /// Which spans are left out: `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler: Sampler,
    /// Which are kept all the same: `--keep`.
    pub keep: Vec<Rule>,
    /// How many are kept in a second at most: `--max-spans-per-second`.
    pub most_per_second: Option<u64>,
    /// What spans say.
    pub wording: semconv::Options,
    /// What a span may hold at most.
    pub limits: Limits,
    /// When batches close and how much may wait.
    pub batching: Batching,
}

/// What is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    #[default]
    Traces,
    /// Points of metrics.
    Metrics,
}

impl Signal {
    /// Where it goes over HTTP, below the base endpoint.
    pub(super) fn path(self) -> &'static str {
        match self {
            Signal::Traces => "v1/traces",
            Signal::Metrics => "v1/metrics",
        }
    }

    /// What a request holds some of, for messages.
    pub(super) fn item(self) -> &'static str {
        match self {
            Signal::Traces => "span",
            Signal::Metrics => "data point",
        }
    }
}

/// An OTLP endpoint and how to speak to it. Each variable also has a form for the signal, which begins
/// with `OTEL_EXPORTER_OTLP_TRACES_` or `_METRICS_` and goes before it.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// What it is for.
    pub signal: Signal,
    /// Its address.
    pub endpoint: Endpoint,
    /// `--otlp-protocol`, `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub protocol: Protocol,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, through [`parse_headers`]: with every request.
    pub headers: Vec<(String, String)>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT` (ms): how long one request may take.
    pub timeout: Duration,
    /// `OTEL_EXPORTER_OTLP_COMPRESSION`: `gzip` or `none`.
    pub gzip: bool,
    /// `OTEL_EXPORTER_OTLP_CERTIFICATE`: PEM file of the authorities to trust instead of the
    /// system's.
    pub certificate: Option<PathBuf>,
    /// `OTEL_EXPORTER_OTLP_CLIENT_KEY`: PEM file, with `client_certificate`.
    pub client_key: Option<PathBuf>,
    /// `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`: PEM file, chain included.
    pub client_certificate: Option<PathBuf>,
    /// `OTEL_EXPORTER_OTLP_INSECURE`: gRPC to an endpoint without a scheme goes unencrypted.
    pub insecure: bool,
}

impl Otlp {
    /// The standard's defaults for everything else.
    pub fn new(endpoint: Endpoint, protocol: Protocol) -> Self {
        Otlp {
            signal: Signal::Traces,
            endpoint,
            protocol,
            headers: Vec::new(),
            timeout: opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT,
            gzip: false,
            certificate: None,
            client_key: None,
            client_certificate: None,
            insecure: false,
        }
    }
}

/// An endpoint's URL, and by where it stands what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `--otlp-endpoint`: as `Base`, but `/v1/traces` at its end may be there already. So both what
    /// an endpoint's manual calls its address and what it calls its path for traces can be pasted.
    Flag(String),
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: over HTTP, the path of the signal is appended.
    Base(String),
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or that of metrics: over HTTP, used as it is.
    OfSignal(String),
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`
    Grpc,
    /// `http/protobuf`
    #[default]
    HttpProtobuf,
    /// `http/json`
    HttpJson,
}

impl std::str::FromStr for Protocol {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            opentelemetry_otlp::OTEL_EXPORTER_OTLP_PROTOCOL_GRPC => Ok(Protocol::Grpc),
            opentelemetry_otlp::OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF => {
                Ok(Protocol::HttpProtobuf)
            }
            opentelemetry_otlp::OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_JSON => Ok(Protocol::HttpJson),
            _ => Err(format!(
                "`{name}` is no OTLP protocol: grpc, http/protobuf or http/json"
            )),
        }
    }
}

/// What standard output carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// A line and a stage bar per span, for people.
    Pretty,
    /// An OTLP/JSON `ExportTraceServiceRequest` per line.
    Json,
    /// Nothing.
    #[default]
    None,
}

/// What a span may hold at most; what is beyond is left out and counted on the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`
    pub attributes: usize,
    /// `OTEL_SPAN_EVENT_COUNT_LIMIT`
    pub events: usize,
    /// `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`, in characters; none = as long as they are.
    pub value_length: Option<usize>,
}

impl Default for Limits {
    /// The standard's.
    fn default() -> Self {
        Limits {
            attributes: 128,
            events: 128,
            value_length: None,
        }
    }
}

/// When batches close and how much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// `OTEL_BSP_SCHEDULE_DELAY` (ms): between two exports, unless a batch is full before.
    pub schedule_delay: Duration,
    /// `OTEL_BSP_EXPORT_TIMEOUT` (ms): how long a batch is tried, retries included.
    pub export_timeout: Duration,
    /// `OTEL_BSP_MAX_QUEUE_SIZE`, in spans: made but not yet delivered.
    pub max_queue_size: usize,
    /// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, in spans.
    pub max_batch_size: usize,
}

impl Default for Batching {
    /// The standard's, but for the sizes. Its queue of 2,048 spans is meant for one program's own; at
    /// the 60,000 spans a second that a whole host's may come to, that is 34 ms. 65,536 outlast a
    /// second at that rate and half a minute at 2,000 a second, in 64 MiB at most. At that rate its
    /// batches of 512 would be over 100 requests a second, each of which wakes us and the endpoint on
    /// the cores of the service; 2,048 are a quarter of that, and 2 MiB at most.
    fn default() -> Self {
        Batching {
            schedule_delay: Duration::from_millis(5000),
            export_timeout: Duration::from_millis(30_000),
            max_queue_size: 65_536,
            max_batch_size: 2048,
        }
    }
}

impl Batching {
    /// Bytes that may wait for one outlet: 1 KiB per span, which is what one takes with all its
    /// stages. Fewer spans wait when they are larger; never less than a few batches.
    pub(super) fn max_queue_bytes(&self) -> usize {
        self.max_queue_size.saturating_mul(1024).max(8 << 20)
    }
}

/// `key=value` pairs as `OTEL_EXPORTER_OTLP_HEADERS` has them: separated by commas, values
/// percent-encoded. Pairs that are none are given back as they stand, for a warning.
pub fn parse_headers(text: &str) -> (Vec<(String, String)>, Vec<String>) {
    let mut headers = Vec::new();
    let mut bad = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let header = pair.split_once('=').and_then(|(key, value)| {
            let key = key.trim().to_ascii_lowercase();
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let name = reqwest::header::HeaderName::from_bytes(key.as_bytes()).is_ok();
            let fits = reqwest::header::HeaderValue::from_str(&value).is_ok();
            (name && fits).then(|| (key, value.into_owned()))
        });
        match header {
            Some(header) => headers.push(header),
            None => bad.push(pair.to_owned()),
        }
    }
    (headers, bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pairs_with_encoded_values() {
        let (headers, bad) = parse_headers(
            "Authorization=Basic%20YTpi, x-team = blue ,,novalue,bad name=1,x=a%0d%0ab,y=50%",
        );
        let expected = [
            ("authorization", "Basic YTpi"),
            ("x-team", "blue"),
            ("y", "50%"),
        ];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(headers, expected);
        assert_eq!(bad, ["novalue", "bad name=1", "x=a%0d%0ab"]);
    }

    #[test]
    fn protocols_have_the_standard_names() {
        assert_eq!("grpc".parse(), Ok(Protocol::Grpc));
        assert_eq!("http/protobuf".parse(), Ok(Protocol::HttpProtobuf));
        assert_eq!("http/json".parse(), Ok(Protocol::HttpJson));
        assert!("HTTP".parse::<Protocol>().is_err());
    }
}
