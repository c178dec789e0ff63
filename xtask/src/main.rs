//! `cargo xtask`: the development tasks of the tree, one module each.
//!
//! Every task does its own set-up, so that a fresh Debian machine needs nothing but cargo. What is
//! left out: measuring and tracing themselves, which are the `tests` package's and the agent's.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

mod bench;
mod demo;
mod ebpf;
mod fuzz;
mod run;
mod setup;
mod test;
mod vm;

/// Development tasks of `tracer`.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Install what the other tasks need: as root on Debian; elsewhere say what is missing.
    Setup,
    /// Build the BPF object from its sources into the tree.
    BuildEbpf {
        /// Only compare: fail if the committed object is not what its sources build to.
        #[arg(long)]
        check: bool,
    },
    /// Fuzz the parsers: each, or one, for that many executions.
    Fuzz {
        /// One of http1, http2, hpack, thrift, ttheader, detect, event, context, recording, capture, pieces.
        target: Option<String>,
        /// Executions of each.
        #[arg(long, default_value_t = 1_000_000)]
        runs: u64,
    },
    /// Run every test: unit, the BPF object's freshness, live against real servers (as root).
    Test {
        /// Only tests whose name contains this.
        filter: Option<String>,
    },
    /// Run the live tests on another kernel, in a virtual machine (emulated where there is no KVM).
    Vm {
        /// A version of which Debian has a package (`6.1`, `6.12`), or the path of a `vmlinuz`.
        kernel: String,
        /// Only tests whose name contains this.
        #[arg(last = true)]
        filter: Option<String>,
    },
    /// Trace a small real service on this machine and show its stage waterfall.
    Demo {
        /// Stop by itself after this long (`500ms`, `10s`, `5m`); without it, at Ctrl-C.
        #[arg(long, value_parser = run::duration)]
        duration: Option<Duration>,
    },
    /// Measure: what tracing costs the service, and what the agent itself takes.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Setup => setup::ensure(setup::Purpose::Everything),
        Task::BuildEbpf { check } => setup::ensure(setup::Purpose::Ebpf)
            .and_then(|()| if check { ebpf::check() } else { ebpf::build() }),
        Task::Fuzz { target, runs } => {
            setup::ensure(setup::Purpose::Test).and_then(|()| fuzz::run(target.as_deref(), runs))
        }
        Task::Test { filter } => test::all(filter.as_deref()),
        Task::Vm { kernel, filter } => vm::run(&kernel, filter.as_deref()),
        Task::Demo { duration } => demo::run(duration),
        Task::Bench(options) => bench::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
