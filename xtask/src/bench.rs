//! Measures what tracing costs; the measuring itself is the `bench` program of the `tests` package.

use anyhow::Result;
use clap::Args;

use crate::{run, setup};

/// What to measure.
#[derive(Args)]
pub struct Options {
    /// Only these: `nginx`, `go`, `go-work`, `gateway`, `grpc`, `connections`, `attach`, `events`, `parents`,
    /// `criterion`; none = all. And `noise`: nginx against nothing but itself, which shows how quiet the machine is;
    /// `soak`: memory under many connections and 20 minutes of churn, for an hour.
    only: Vec<String>,
    /// Paired runs of which the median is shown.
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// How long each run puts load on the service.
    #[arg(long, default_value = "4s", value_parser = run::duration)]
    duration: std::time::Duration,
}

/// Sets up, builds for release, measures.
pub fn run(options: &Options) -> Result<()> {
    setup::ensure(setup::Purpose::Bench)?;
    let (criterion, ours): (Vec<&String>, Vec<&String>) =
        options.only.iter().partition(|name| *name == "criterion");
    if options.only.is_empty() || !ours.is_empty() {
        let agent = run::agent()?;
        run::run(run::cargo().args(["build", "--release", "--package", "tests", "--bins"]))?;
        let mut command = std::process::Command::new(run::target().join("release/bench"));
        command
            .current_dir(run::root())
            .env("TRACER_BIN", agent)
            .args(["--pairs", &options.pairs.to_string()])
            .args(["--milliseconds", &options.duration.as_millis().to_string()])
            .args(ours);
        run::run(&mut command)?;
    }
    if options.only.is_empty() || !criterion.is_empty() {
        run::run(run::cargo().args(["bench", "--package", "benches"]))?;
    }
    Ok(())
}
