//! Fuzzing: builds the targets of `tests/fuzz` with coverage for libFuzzer, on a stable toolchain, and
//! runs them for a while.
//!
//! The flags are those of cargo-fuzz but its sanitizers: there is no unsafe code in what is fuzzed.
//! What was found interesting stays in `target/fuzz/corpus`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run;

#[path = "../../tests/fuzz/seeds.rs"]
mod seeds;

/// The targets: one per parser, and one of what holds for all.
const TARGETS: [&str; 11] = [
    "http1",
    "http2",
    "hpack",
    "thrift",
    "ttheader",
    "detect",
    "event",
    "context",
    "recording",
    "capture",
    "pieces",
];

const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// How long a test run goes on with each target, seconds. What it has not found by then a longer run
/// may: `cargo xtask fuzz`.
const TEST_SECONDS: u64 = 4;

/// Longest input, bytes: some messages of each side, and a head that spans inputs.
const LONGEST: &str = "-max_len=4096";

/// Runs each target, or the named one, for so many executions.
pub fn run(target: Option<&str>, runs: u64) -> Result<()> {
    let names = TARGETS.into_iter();
    let names: Vec<_> = names
        .filter(|name| target.is_none_or(|t| t == *name))
        .collect();
    ensure!(
        !names.is_empty(),
        "no fuzz target `{}`: there are {}",
        target.unwrap_or_default(),
        TARGETS.join(", ")
    );
    each(&names, &[format!("-runs={runs}")])
}

/// Runs all for a short while.
pub fn test() -> Result<()> {
    each(&TARGETS, &[format!("-max_total_time={TEST_SECONDS}")])
}

fn each(names: &[&str], arguments: &[String]) -> Result<()> {
    let programs = build()?;
    let corpus = run::target().join("fuzz/corpus");
    let recordings = run::root().join("tests/fixtures/recordings");
    seeds::write_all(&corpus, &recordings).context("cannot write the fuzzers' seeds")?;
    for name in names {
        let output = Command::new(programs.join(name))
            .args(arguments)
            .args([
                LONGEST,
                "-timeout=10",
                "-rss_limit_mb=1024",
                "-print_final_stats=1",
            ])
            .arg(format!(
                "-artifact_prefix={}/",
                run::target().join("fuzz").display()
            ))
            .arg(corpus.join(name))
            .output()
            .with_context(|| format!("cannot run the fuzz target {name}"))?;
        let report = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "fuzz target {name}: {}\n{report}",
            output.status
        );
        println!("{name}: {} executions, no finding", executions(&report));
    }
    Ok(())
}

/// What libFuzzer counted.
fn executions(report: &str) -> &str {
    let line = report.lines().find_map(|line| {
        line.strip_prefix("stat::number_of_executed_units:")
            .map(str::trim)
    });
    line.unwrap_or("?")
}

/// Builds all targets; where they are.
fn build() -> Result<PathBuf> {
    let host = host()?;
    let folder = run::target().join("fuzz");
    // With a target named, the flags are not those of build scripts.
    run::run(
        run::cargo()
            .args(["build", "--release", "--target", &host, "--target-dir"])
            .arg(&folder)
            .arg("--manifest-path")
            .arg(run::root().join("tests/fuzz/Cargo.toml"))
            .env("RUSTFLAGS", FLAGS),
    )?;
    Ok(folder.join(host).join("release"))
}

/// The machine's own target triple.
fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot run `rustc -vV`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}
