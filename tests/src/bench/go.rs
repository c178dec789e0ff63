//! The Go service of `tests/fixtures/go-bench`: as it is, and with the OpenTelemetry SDK.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::sink::Sink;
use crate::process::Process;
use crate::servers::fixture;

/// Target that is answered at once.
pub const EMPTY: &str = "/empty";
/// Target that is computed on for about 100 microseconds.
pub const WORK: &str = "/work";

/// A running service; ends when dropped.
pub struct Service {
    process: Process,
    address: String,
    /// How much `/work` computes.
    rounds: String,
}

impl Service {
    /// Builds and starts it without instrumentation.
    ///
    /// # Errors
    /// It does not compile.
    pub fn plain() -> Result<Service> {
        Ok(Service::start(&mut Command::new(build("plain", &[])?)))
    }

    /// Builds and starts it with the SDK, which exports to `sink`; it computes as much as `plain`.
    ///
    /// # Errors
    /// It does not compile: the SDK wants a newer Go than the service itself.
    pub fn with_sdk(plain: &Service, sink: &Sink) -> Result<Service> {
        let program = build("sdk", &["-modfile=sdk.mod", "-tags=sdk"])?;
        let mut command = Command::new(program);
        command
            .args(["-rounds", &plain.rounds])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", sink.endpoint());
        Ok(Service::start(&mut command))
    }

    #[track_caller]
    fn start(command: &mut Command) -> Service {
        let process = Process::start(command);
        let line = process
            .stdout
            .wait_for("address", |line| line.starts_with("ready "));
        let mut words = line.split(' ').skip(1).map(str::to_string);
        Service {
            address: words.next().expect("an address"),
            rounds: words.next().expect("rounds"),
            process,
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// For a target.
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }
}

fn build(name: &str, flags: &[&str]) -> Result<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/fixtures/go-bench")
        .join(name);
    let output = Command::new("go")
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&program)
        .args(flags)
        .current_dir(fixture("go-bench"))
        .output()
        .context("cannot run go")?;
    ensure!(
        output.status.success(),
        "tests/fixtures/go-bench ({name}) does not compile:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(program)
}
