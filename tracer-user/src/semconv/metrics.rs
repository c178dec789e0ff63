//! What is measured of exchanges: the metrics' names, units and buckets, and which attributes of an
//! exchange they have. How the values are kept is [`crate::metrics`]'s.
//!
//! Values are whole numbers of the smallest unit seen (nanoseconds, bytes), so that sums are exact;
//! [`Metric::unit`] is what they are told in.
//!
//! Bias: what must not become many is left out, also where the conventions allow it: a server's
//! address is what any client says it is.

use super::url::Target;
use super::{
    AttributeSink, Options, PathName, System, client, grpc, http, network, server, thrift,
};
use crate::event::Addresses;
use crate::protocol::{Head, Incomplete};
use crate::span::{Kind, Span};

/// A metric.
#[derive(Debug, PartialEq)]
pub struct Metric {
    /// As the conventions name it; those that begin with `tracer.` are our own.
    pub name: &'static str,
    /// What it tells, for people.
    pub description: &'static str,
    /// What it counts in.
    pub unit: Unit,
    /// Upper bounds of its buckets, inclusive, in the values' own unit; none: it is no histogram but
    /// a number that goes up and down.
    pub bounds: Option<&'static [u64]>,
}

/// A metric's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Values are nanoseconds.
    Seconds,
    /// Values are bytes.
    Bytes,
    /// Values are requests.
    Requests,
}

impl Unit {
    /// As UCUM writes it.
    pub fn ucum(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Bytes => "By",
            Unit::Requests => "{request}",
        }
    }

    /// A value in it.
    pub fn of(self, value: f64) -> f64 {
        match self {
            Unit::Seconds => value / 1e9,
            Unit::Bytes | Unit::Requests => value,
        }
    }
}

/// Most bounds that a metric has.
pub const MOST_BOUNDS: usize = 15;

const MS: u64 = 1_000_000;

/// The conventions' own, for requests and calls.
const DURATIONS: &[u64] = &[
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    75 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    750 * MS,
    1000 * MS,
    2500 * MS,
    5000 * MS,
    7500 * MS,
    10_000 * MS,
];

/// A stage is a part of a request, and some take microseconds where all is well.
const STAGES: &[u64] = &[
    MS / 100,
    MS / 10,
    MS / 2,
    MS,
    5 * MS / 2,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    1000 * MS,
    5000 * MS,
    10_000 * MS,
];

/// The conventions name none: none at all, then from a token to a video.
const SIZES: &[u64] = &[
    0,
    64,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
    64 << 20,
];

const _: () = assert!(
    DURATIONS.len() <= MOST_BOUNDS && STAGES.len() <= MOST_BOUNDS && SIZES.len() <= MOST_BOUNDS
);

const fn metric(
    name: &'static str,
    description: &'static str,
    unit: Unit,
    bounds: Option<&'static [u64]>,
) -> Metric {
    Metric {
        name,
        description,
        unit,
        bounds,
    }
}

/// Every metric, in the order in which they are told.
pub static METRICS: [Metric; 11] = [
    metric(
        "http.server.request.duration",
        "Duration of HTTP server requests.",
        Unit::Seconds,
        Some(DURATIONS),
    ),
    metric(
        "http.client.request.duration",
        "Duration of HTTP client requests.",
        Unit::Seconds,
        Some(DURATIONS),
    ),
    metric(
        "rpc.server.call.duration",
        "Duration of an incoming remote procedure call.",
        Unit::Seconds,
        Some(DURATIONS),
    ),
    metric(
        "rpc.client.call.duration",
        "Duration of an outgoing remote procedure call.",
        Unit::Seconds,
        Some(DURATIONS),
    ),
    metric(
        "http.server.request.body.size",
        "Size of HTTP server request bodies.",
        Unit::Bytes,
        Some(SIZES),
    ),
    metric(
        "http.client.request.body.size",
        "Size of HTTP client request bodies.",
        Unit::Bytes,
        Some(SIZES),
    ),
    metric(
        "http.server.response.body.size",
        "Size of HTTP server response bodies.",
        Unit::Bytes,
        Some(SIZES),
    ),
    metric(
        "http.client.response.body.size",
        "Size of HTTP client response bodies.",
        Unit::Bytes,
        Some(SIZES),
    ),
    metric(
        "tracer.stage.duration",
        "Duration of a stage of a request or call: its reading, handling, writing, and the waiting between.",
        Unit::Seconds,
        Some(STAGES),
    ),
    metric(
        "http.server.active_requests",
        "Number of active HTTP server requests.",
        Unit::Requests,
        None,
    ),
    metric(
        "http.client.active_requests",
        "Number of active HTTP client requests.",
        Unit::Requests,
        None,
    ),
];

/// What an exchange is measured as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// A request that the process serves.
    HttpServer,
    /// A request that it makes.
    HttpClient,
    /// A call that it serves.
    RpcServer,
    /// A call that it makes.
    RpcClient,
}

impl Measured {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// How long all of it took.
    pub fn duration(self) -> &'static Metric {
        match self {
            Measured::HttpServer => &METRICS[0],
            Measured::HttpClient => &METRICS[1],
            Measured::RpcServer => &METRICS[2],
            Measured::RpcClient => &METRICS[3],
        }
    }

    /// Sizes of the bodies of request and response; the conventions know none for RPC.
    pub fn body_sizes(self) -> Option<[&'static Metric; 2]> {
        match self {
            Measured::HttpServer => Some([&METRICS[4], &METRICS[6]]),
            Measured::HttpClient => Some([&METRICS[5], &METRICS[7]]),
            Measured::RpcServer | Measured::RpcClient => None,
        }
    }

    /// How long its stages took.
    pub fn stages(self) -> &'static Metric {
        &METRICS[8]
    }

    /// How many are open; likewise.
    pub fn active(self) -> Option<&'static Metric> {
        match self {
            Measured::HttpServer => Some(&METRICS[9]),
            Measured::HttpClient => Some(&METRICS[10]),
            Measured::RpcServer | Measured::RpcClient => None,
        }
    }

    /// Which end of the exchange the process was.
    pub fn kind(self) -> &'static str {
        match self {
            Measured::HttpServer | Measured::RpcServer => "server",
            Measured::HttpClient | Measured::RpcClient => "client",
        }
    }
}

/// The attributes of a stage's duration, beside those of its exchange: which stage it is, and of
/// which end of the exchange.
pub fn stage_attributes(of: Measured, stage: &'static str) -> [(&'static str, &'static str); 2] {
    [("tracer.stage", stage), ("tracer.span.kind", of.kind())]
}

/// Marks the series that holds all for which there was no room.
pub const OVERFLOW: &str = "otel.metric.overflow";

/// Whether the end of the exchange was seen, be it a bad one: only then it is known how long it took.
pub fn is_measured(span: &Span) -> bool {
    match span.incomplete {
        None | Some(Incomplete::ConnectionClosed | Incomplete::StreamReset) => true,
        // The question was not followed to its end, but the answer was.
        Some(_) => span.response_sizes.is_some(),
    }
}

/// Tells the sink the attributes that the exchange is counted under, what its path is called among
/// them. Returns what it is measured as.
pub fn exchange(
    span: &Span,
    path: Option<PathName<'_>>,
    options: &Options,
    sink: &mut impl AttributeSink,
) -> Measured {
    let measured = attributes(span, options, sink);
    if let Some(path) = path {
        sink.text(path.attribute(span.kind), &[path.as_str()]);
    }
    measured
}

fn attributes(span: &Span, options: &Options, sink: &mut impl AttributeSink) -> Measured {
    match (System::of(span), span.kind) {
        (System::Http, Kind::Server) => {
            if let Some(head) = span.http_request() {
                http::known_or_other(head, options, sink);
                let target = Target::parse(head.method(), head.target());
                server::Fields::of(head).scheme(&target, sink);
            }
            http::outcome(span, sink);
            Measured::HttpServer
        }
        (System::Http, Kind::Client) => {
            if let Some(head) = span.http_request() {
                http::known_or_other(head, options, sink);
            }
            client::server(span.http_request(), span.addresses, sink);
            http::outcome(span, sink);
            Measured::HttpClient
        }
        (System::Grpc, Kind::Server) => {
            grpc::call(span, sink);
            Measured::RpcServer
        }
        (System::Grpc, Kind::Client) => {
            grpc::call(span, sink);
            grpc::called(span, sink);
            Measured::RpcClient
        }
        (System::Thrift, Kind::Server) => {
            thrift::call(span, sink);
            Measured::RpcServer
        }
        (System::Thrift, Kind::Client) => {
            thrift::call(span, sink);
            network::called(span.addresses, None, sink);
            Measured::RpcClient
        }
    }
}

/// The same of a request that is open, whose head is this; none: the conventions count no such
/// requests.
pub fn active(
    kind: Kind,
    request: &Head,
    addresses: Option<Addresses>,
    options: &Options,
    sink: &mut impl AttributeSink,
) -> Option<Measured> {
    let head = request.http()?;
    if grpc::is_call(Some(head), None, None) {
        return None;
    }
    http::known_or_other(head, options, sink);
    Some(match kind {
        Kind::Server => {
            let target = Target::parse(head.method(), head.target());
            server::Fields::of(head).scheme(&target, sink);
            Measured::HttpServer
        }
        Kind::Client => {
            client::server(Some(head), addresses, sink);
            Measured::HttpClient
        }
    })
}
