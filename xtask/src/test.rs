//! Runs every test there is and says what ran.
//!
//! Unit tests are built for debugging (overflow checks, debug assertions); the live tests drive the
//! agent as users get it, built for release. A test that cannot run here is skipped with its reason
//! and shown as such; with `CI` set nothing may be skipped.

use std::fmt::{self, Display};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{ebpf, fuzz, run, setup};

/// What `cargo test` and libtest-mimic say at the end of each test binary, summed up.
#[derive(Default)]
pub struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    /// Adds a line of output, if it is one with results.
    pub fn add(&mut self, line: &str) {
        if let Some(result) = plain(line).strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
            self.skipped += number_before(result, " ignored");
        }
    }

    /// Whether there was any test.
    pub fn any(&self) -> bool {
        self.passed + self.failed + self.skipped > 0
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Everything, or the tests whose name contains `filter`.
pub fn all(filter: Option<&str>) -> Result<()> {
    setup::ensure(setup::Purpose::Test)?;
    let mut counts = Counts::default();
    let mut failed = Vec::new();

    if filter.is_none() {
        step(
            "the BPF object is what its sources build to",
            &mut failed,
            || {
                ebpf::check()?;
                counts.passed += 1;
                Ok(())
            },
        );
    }
    step("unit tests", &mut failed, || {
        // Benches once around, so that they go on working.
        let targets = ["--lib", "--bins", "--bench", "*"];
        count(&targets, None, filter, &mut counts)
    });
    if filter.is_none() {
        step("fuzzing, for a while", &mut failed, || {
            fuzz::test()?;
            counts.passed += 1;
            Ok(())
        });
    }
    step("live tests", &mut failed, || {
        let agent = run::agent()?;
        count(&["--test", "*"], Some(agent), filter, &mut counts)
    });

    println!("\n{counts}");
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    ensure!(
        counts.any(),
        "no test has `{}` in its name",
        filter.unwrap_or_default()
    );
    if std::env::var_os("CI").is_some() {
        ensure!(
            counts.skipped == 0,
            "tests were skipped, which CI must not do"
        );
    }
    Ok(())
}

/// Runs one part, shows how long it took, and goes on after a failure: one run shows them all.
fn step(what: &str, failed: &mut Vec<String>, part: impl FnOnce() -> Result<()>) {
    println!("\n==> {what}");
    let begun = Instant::now();
    match part() {
        Ok(()) => println!("==> {what}: ok, {:.0?}", begun.elapsed()),
        Err(error) => {
            println!("==> {what}: FAILED, {:.0?}: {error:#}", begun.elapsed());
            failed.push(what.to_string());
        }
    }
}

/// Runs the tests of those targets, shows what they print, and adds up their results. Always of the whole
/// workspace: of less, cargo would build what they share once more with other features.
fn count(
    targets: &[&str],
    agent: Option<PathBuf>,
    filter: Option<&str>,
    counts: &mut Counts,
) -> Result<()> {
    let mut command = run::cargo();
    command.args(["test", "--workspace"]).args(targets);
    command.envs(agent.map(|agent| ("TRACER_BIN", agent)));
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command.args(["--no-fail-fast", "--"]).args(filter);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", run::shown(&command)))?;
    let output = child.stdout.take().context("no standard output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        std::io::stdout().flush()?;
        counts.add(&line);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{}` ended with {status}", run::shown(&command));
    }
    Ok(())
}

/// A line without its terminal colours.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        text.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    text + rest
}

/// `12` in `ok. 12 passed; 0 failed`, asked for ` passed`.
fn number_before(text: &str, word: &str) -> u64 {
    text.split_once(word)
        .and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_a_coloured_result_line() {
        let line = "test result: \x1b[32mok\x1b[0m. 12 passed; 1 failed; 3 ignored; 0 measured";
        let line = plain(line);
        assert_eq!(
            line,
            "test result: ok. 12 passed; 1 failed; 3 ignored; 0 measured"
        );
        assert_eq!(number_before(&line, " passed"), 12);
        assert_eq!(number_before(&line, " failed"), 1);
        assert_eq!(number_before(&line, " ignored"), 3);
        assert_eq!(number_before(&line, " filtered"), 0);
    }
}
