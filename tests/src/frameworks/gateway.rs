//! Gateways: a program that is asked over HTTP and asks another one behind it, each by the means of its
//! framework.

use std::path::Path;

use super::{UNRELEASED, serve};
use crate::load::{Request, get};
use crate::servers::Server;
use crate::span::{Span, Value};

/// Which frameworks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// Hertz, then Kitex over that transport: `framed` (which carries no context), `ttheader`,
    /// `ttheaderframed`, `grpc`.
    HertzKitex(&'static str),
    /// go-zero's rest, then its zrpc.
    GoZero,
    /// Kratos' http, then its grpc.
    Kratos,
    /// net/http, then net/http.
    NetHttp,
    /// The same of a version of Go that nobody knows: what its runtime is like only its debug information
    /// tells.
    UnreleasedGo,
}

/// The two programs of a gateway.
pub struct Pair {
    /// Which they are of.
    pub gateway: Gateway,
    /// Is asked by the test, and asks `behind`.
    pub front: Server,
    /// Answers.
    pub behind: Server,
}

/// What a call made for a request is known by: see [`Gateway::number`].
const ID: [&str; 2] = ["x-id", "RPC_TRANSIT_x-id"];

/// Bytes of a framed call of Kitex besides its text: the frame's length, strict Thrift's message begin
/// with the name `Echo`, one field.
const FRAMED: i64 = 4 + 4 + 4 + 4 + 4 + 3 + 4 + 1;

/// Longer than any number and what else a call's text says, so that its length tells the number.
const TEXT: usize = 32;

impl Gateway {
    /// All of them; Kitex' with and without a place for the context.
    pub const ALL: [Gateway; 5] = [
        Gateway::HertzKitex("framed"),
        Gateway::HertzKitex("ttheader"),
        Gateway::GoZero,
        Gateway::Kratos,
        Gateway::NetHttp,
    ];

    /// For a test's name.
    pub fn name(self) -> String {
        match self {
            Gateway::HertzKitex(transport) => format!("hertz_kitex_{transport}"),
            Gateway::GoZero => "gozero".into(),
            Gateway::Kratos => "kratos".into(),
            Gateway::NetHttp => "nethttp".into(),
            Gateway::UnreleasedGo => "nethttp_of_an_unreleased_go".into(),
        }
    }

    /// Starts both programs, without tracing of their own.
    #[track_caller]
    pub fn start(self) -> Pair {
        self.start_with(&[], &[])
    }

    /// Starts both programs with their own OpenTelemetry tracing, whose spans go to the files `front`
    /// and `behind` of that folder; of go-zero and Kratos.
    #[track_caller]
    pub fn start_traced(self, folder: &Path) -> Pair {
        let [front, behind] = ["front", "behind"].map(|name| folder.join(name));
        let (front, behind) = (front.to_string_lossy(), behind.to_string_lossy());
        self.start_with(&["-trace", &front], &["-trace", &behind])
    }

    #[track_caller]
    fn start_with(self, front_more: &[&str], behind_more: &[&str]) -> Pair {
        let (behind, [program, role], more) = match self {
            Gateway::HertzKitex(transport) => (
                ["kitex", "serve"],
                ["hertz", "serve"],
                vec!["-transport", transport],
            ),
            Gateway::GoZero => (["gozero", "rpc"], ["gozero", "rest"], vec![]),
            Gateway::Kratos => (["kratos", "grpc"], ["kratos", "http"], vec![]),
            Gateway::NetHttp => (["nethttp", "serve"], ["nethttp", "serve"], vec![]),
            Gateway::UnreleasedGo => (["nethttp", "serve"], [UNRELEASED, "serve"], vec![]),
        };
        let behind = serve(behind[0], &[&behind[1..], behind_more].concat());
        let address = behind.address.to_string();
        let arguments = [&[role, "-behind", &address], &more[..], front_more].concat();
        Pair {
            gateway: self,
            front: serve(program, &arguments),
            behind,
        }
    }

    /// Whether a call can carry a trace context.
    pub fn propagates(self) -> bool {
        self != Gateway::HertzKitex("framed")
    }

    /// The request of that number, on whose behalf the front sleeps so many milliseconds and then calls.
    /// `forward`: it passes the request's traceparent on as it is. `how` it makes the call: itself
    /// (empty), or `spawn`, `nested`, `pool` (`fixtures/go-frameworks/work/work.go`).
    pub fn request(self, number: usize, ms: usize, forward: bool, how: &str) -> Request {
        let pad = TEXT + number;
        let forward = if forward { "&forward" } else { "" };
        get(format!(
            "/call/{number}?ms={ms}&pad={pad}&how={how}{forward}"
        ))
    }

    /// Options of the agent without which [`Gateway::number`] may not know a call.
    pub const CAPTURE: [&str; 4] = ["--capture-header", ID[0], "--capture-header", ID[1]];

    /// The number of the request that a span is of, on either side of either program, by what the
    /// programs themselves wrote on the wire: path, metadata or length.
    pub fn number(self, span: &Span) -> Option<usize> {
        let path = match span.text("url.path") {
            "" => span.text("url.full"),
            path => path,
        };
        let of_path = path
            .split_once("/call/")
            .or(path.split_once("/echo/"))
            .and_then(|(_, rest)| rest.split('?').next()?.parse().ok());
        // A gRPC call on a connection that was there before the agent may look like plain HTTP.
        let captured = ["rpc.request.metadata", "http.request.header"]
            .iter()
            .flat_map(|prefix| ID.map(|name| format!("{prefix}.{}", name.to_ascii_lowercase())))
            .find_map(|name| match span.attributes.get(&name) {
                Some(Value::List(values)) => match &values[..] {
                    [Value::Text(text)] => text.parse().ok(),
                    _ => None,
                },
                _ => None,
            });
        let of_length = || {
            let length = span.int("rpc.request.size")? - FRAMED;
            let framed = span.text("rpc.thrift.transport") == "framed";
            framed.then(|| usize::try_from(length).ok()?.checked_sub(TEXT))?
        };
        of_path.or(captured).or_else(of_length)
    }
}
