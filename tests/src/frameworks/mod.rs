//! Programs of the frameworks that the tracer is made for, in `fixtures/go-frameworks`.
//!
//! What they can be asked stands in `fixtures/go-frameworks/work/work.go`.

use std::path::PathBuf;
use std::process::Command;

use crate::servers::{self, Server, built, fixture};

mod gateway;
pub mod instants;
mod kitex;
mod record;

pub use gateway::{Gateway, Pair};
pub use kitex::Kitex;
pub use record::{Event, Record, records, sdk_spans};

/// A program of the fixtures: `hertz`, `kitex`, `gozero`, `kratos`, `nethttp`; all are compiled if need be.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    built("go-frameworks", |dir| {
        let mut command = Command::new("go");
        command
            .args(["build", "-o"])
            .arg(format!("{}/", dir.display()))
            .arg("./...")
            .env("GOFLAGS", "-buildvcs=false -mod=readonly")
            .current_dir(fixture("go-frameworks"));
        command
    })
    .join(name)
}

/// `nethttp` as if a version of Go had built it that nobody knows.
#[track_caller]
fn unreleased() -> PathBuf {
    let released = program("nethttp");
    built("go-unreleased", |dir| {
        let mut command = Command::new("sh");
        let script = r#"LC_ALL=C sed 's/go1\.[0-9][0-9]\./go1.99./g' "$1" > "$2"; chmod +x "$2""#;
        command.args(["-ec", script, "sh"]);
        command.arg(released).arg(dir.join(UNRELEASED));
        command
    })
    .join(UNRELEASED)
}

/// See [`unreleased`].
const UNRELEASED: &str = "nethttp-unreleased";

/// Starts a program of the fixtures that serves, on a port of its own.
#[track_caller]
pub fn serve(name: &str, arguments: &[&str]) -> Server {
    let mut command = Command::new(match name {
        UNRELEASED => unreleased(),
        _ => program(name),
    });
    // Times of the SDK's spans are written as local ones; batches come soon.
    command
        .env("TZ", "UTC")
        .env("OTEL_BSP_SCHEDULE_DELAY", "50");
    Server::announced(command.args(arguments))
}

/// Starts go-zero as it was before OpenTelemetry: its rest, and the zrpc behind it.
#[track_caller]
pub fn serve_legacy() -> (Server, Server) {
    let program = servers::go("go-zero-legacy");
    let behind = Server::announced(Command::new(&program).arg("rpc"));
    let address = behind.address.to_string();
    let front = Server::announced(Command::new(&program).args(["rest", "-behind", &address]));
    (front, behind)
}

/// Starts Kratos as it was before OpenTelemetry: blademaster, and another one behind it.
#[track_caller]
pub fn serve_kratos_v1() -> (Server, Server) {
    let program = servers::go("kratos-v1");
    let behind = Server::announced(&mut Command::new(&program));
    let address = behind.address.to_string();
    let front = Server::announced(Command::new(&program).arg(address));
    (front, behind)
}
