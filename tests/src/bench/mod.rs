//! What tracing costs: the service, and the agent itself.
//!
//! ```text
//!  wrk ── flat out ──▶ nginx, Go ◀── probes ── agent ── every span, all stages ──▶ sink
//!            all of them on the same cores, which the service and wrk alone fill already
//! ```
//!
//! Machines are noisy, so no absolute rate is a result: runs with and without tracing alternate, and
//! the result is the median of their pairs' ratios. Everything is a process of its own and is used
//! as its users do; nothing here knows the agent's insides. Left out: the speed of the pure core,
//! which the package `benches` measures.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

mod attach;
mod connections;
mod events;
mod go;
pub(crate) mod memory;
mod otlp;
mod overhead;
mod pairs;
mod parents;
mod report;
mod rpc;
pub mod sink;
mod soak;
mod traced;
mod wrk;

use report::Report;

/// The command line.
#[derive(Parser)]
#[command(
    name = "bench",
    about = "Measures what tracing costs. TRACER_BIN: the agent"
)]
pub struct Options {
    /// Only these; none = all but `noise` and `soak`
    only: Vec<Part>,
    /// Paired runs of which the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// How long each run puts load on the service; rounded up to whole seconds
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(1..))]
    milliseconds: u64,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Part {
    /// nginx against nothing but itself: how far apart equal runs are here
    Noise,
    /// A static page of nginx
    Nginx,
    /// Go's net/http with an empty handler
    Go,
    /// Go's net/http with a handler that computes for 100 microseconds
    GoWork,
    /// A gateway of Go's net/http, which makes a call for each request
    Gateway,
    /// A grpc-go server, 100 streams at once on one connection
    Grpc,
    /// Memory of the agent after 10,000 connections
    Connections,
    /// Time from the agent's start to the first span
    Attach,
    /// How far our events are from the frameworks' own
    Events,
    /// Of how many calls of gateways the parent is right, wrong, not claimed
    Parents,
    /// Memory under tens of thousands of connections, heads and streams, and after 20 minutes of churn
    Soak,
}

/// Measures, and prints every figure beside its goal. Whether all is right: goals reached, and
/// nothing lost, wrong or uncounted on the way.
///
/// # Errors
/// Something could not be measured at all.
pub fn run(options: &Options) -> Result<bool> {
    let only: BTreeSet<Part> = options.only.iter().copied().collect();
    let parts: Vec<Part> = Part::value_variants()
        .iter()
        .copied()
        .filter(|part| match only.is_empty() {
            true => !matches!(part, Part::Noise | Part::Soak),
            false => only.contains(part),
        })
        .collect();
    ensure!(
        parts == [Part::Noise] || crate::agent::program().is_some(),
        "TRACER_BIN must name the agent: run `cargo xtask bench`"
    );
    end_with_interrupt();
    crate::soak::raise_file_limit();
    let mut report = Report::default();
    let length = Duration::from_millis(options.milliseconds);
    let plan = overhead::Plan {
        pairs: options.pairs,
        wrk: wrk::Load::of(length),
    };
    for part in parts {
        match part {
            Part::Noise => overhead::noise(&plan, &mut report)?,
            Part::Nginx => overhead::nginx(&plan, &mut report)?,
            Part::Go => overhead::go(&plan, go::EMPTY, &mut report)?,
            Part::GoWork => overhead::go(&plan, go::WORK, &mut report)?,
            Part::Gateway => overhead::gateway(&plan, &mut report)?,
            Part::Grpc => rpc::run(options.pairs, &mut report)?,
            Part::Connections => connections::run(&mut report)?,
            Part::Attach => attach::run(&mut report)?,
            Part::Events => events::run(&mut report)?,
            Part::Parents => parents::run(&mut report),
            Part::Soak => soak::run(&mut report)?,
        }
    }
    Ok(report.print())
}

/// Children are process groups of their own, which Ctrl-C does not reach: ends them with us.
fn end_with_interrupt() {
    std::thread::spawn(|| {
        let interrupted = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .and_then(|runtime| runtime.block_on(tokio::signal::ctrl_c()));
        if interrupted.is_ok() {
            for pid in crate::process::children(std::process::id()) {
                crate::process::send(-(pid as i32), libc::SIGKILL);
            }
            std::process::exit(130);
        }
    });
}
