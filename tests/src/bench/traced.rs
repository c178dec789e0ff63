//! One run under the agent: starts it on a process, puts load on, ends it, and checks that every
//! request became a span at the sink.

use std::time::Duration;

use anyhow::{Context, Result};

use super::memory::Memory;
use super::report::Report;
use super::sink::Sink;
use super::wrk;
use crate::agent::{Agent, Family, Stats};
use crate::process::cpu_time;

/// What all traced runs of one kind came to.
#[derive(Debug, Default)]
pub struct Totals {
    /// Requests that wrk counted.
    pub requests: u64,
    /// CPU time of the agent after it was ready, its end included.
    pub cpu: Duration,
    /// Transfers that the agent says were lost.
    pub lost: u64,
    /// The most memory it had.
    pub memory: Memory,
    /// CPU time of the sink.
    pub sink_cpu: Duration,
    /// Bytes that the sink took.
    pub sink_bytes: u64,
    /// Spans that the sink took.
    pub sink_spans: u64,
}

impl Totals {
    /// CPU time of the agent per request in microseconds: seconds per million.
    pub fn cpu_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// The agent as the benchmarks use it: exporting all there is to `sink`.
#[track_caller]
pub fn agent(pid: u32, family: Family, sink: &Sink) -> Agent {
    Agent::spawn(arguments(pid, family, sink))
}

/// What `agent` is started with, without `--stats`.
pub fn arguments(pid: u32, family: Family, sink: &Sink) -> Vec<String> {
    let pid = pid.to_string();
    let endpoint = sink.endpoint();
    [
        "-p",
        &pid,
        "--otlp-endpoint",
        &endpoint,
        "--probes",
        family.name(),
    ]
    .map(String::from)
    .to_vec()
}

/// Runs `load` on `url` while the agent traces `pid`, of which each request makes so many `spans`; adds
/// to `totals`, gives the rate.
///
/// # Errors
/// The load or the agent failed as a whole. Anything less is put into `report`.
pub fn run(
    (pid, family): (u32, Family),
    (load, url, spans): (wrk::Load, &str, u64),
    totals: &mut Totals,
    report: &mut Report,
) -> Result<f64> {
    let sink = Sink::start();
    let agent = agent(pid, family, &sink);
    agent.wait_ready();
    let started = cpu_time(agent.process.pid());
    let run = load.run(url)?;
    let memory = Memory::of(agent.process.pid())?;
    let before = cpu_of_ended_children();
    agent.process.signal(libc::SIGTERM);
    let ended = agent.wait();
    let cpu = (cpu_of_ended_children() - before).saturating_sub(started);
    let stats = ended
        .stats
        .filter(|_| ended.code == 0)
        .with_context(|| format!("the agent ended with {}: {:#?}", ended.code, ended.stderr))?;
    let counts = sink.counts()?;
    for what in check(&stats, run.requests, spans, counts.spans) {
        report.wrong(format!("{} under {url}: {what}", family.name()));
    }

    totals.requests += run.requests;
    totals.cpu += cpu;
    totals.lost += stats.transfers.lost.values().sum::<u64>();
    totals.sink_cpu += sink.cpu_time();
    totals.sink_bytes += counts.bytes;
    totals.sink_spans += counts.spans;
    if memory.peak > totals.memory.peak {
        totals.memory = memory;
    }
    Ok(run.rate)
}

/// What is not as it must be: the equations, and so many `spans` for every request.
fn check(stats: &Stats, requests: u64, spans: u64, arrived: u64) -> Vec<String> {
    let mut wrong = stats.imbalances();
    let dropped: u64 = stats.spans.dropped.values().sum();
    if dropped > 0 {
        wrong.push(format!("spans dropped: {:?}", stats.spans.dropped));
    }
    // wrk leaves without counting the requests that are in flight when its time is up.
    let made = stats.spans.made;
    if !(spans * requests..=spans * (requests + wrk::CONNECTIONS)).contains(&made) {
        wrong.push(format!(
            "{made} spans of {requests} requests; messages incomplete: {:?}, transfers lost: {:?}",
            stats.messages.incomplete, stats.transfers.lost
        ));
    }
    if arrived != stats.spans.exported {
        wrong.push(format!(
            "{arrived} spans at the sink, {} said to be exported",
            stats.spans.exported
        ));
    }
    wrong
}

/// CPU time of all children that were awaited: unlike `/proc`, it tells of a process' last moments.
fn cpu_of_ended_children() -> Duration {
    // SAFETY: all-zero is a value of this structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the structure outlives the call, which has no other precondition.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let time = |value: libc::timeval| {
        Duration::from_secs(value.tv_sec as u64) + Duration::from_micros(value.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}
