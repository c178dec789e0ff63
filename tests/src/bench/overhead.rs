//! What tracing takes from a service that is under full load, as the share of its rate that is left.

use anyhow::Result;

use super::go::{self, Service};
use super::pairs::Ratios;
use super::report::{Goal, Report};
use super::sink::Sink;
use super::traced::{self, Totals};
use super::wrk::Load;
use crate::agent::Family;
use crate::frameworks::Gateway;
use crate::servers;

/// Workers of nginx: one per core of the machine that the goals are for.
const NGINX_WORKERS: usize = 2;
/// The agent's CPU time, in microseconds per request.
const CPU_GOAL: f64 = 3.0;

/// How it is measured.
pub struct Plan {
    /// How many pairs.
    pub pairs: u32,
    /// The load of each run.
    pub wrk: Load,
}

/// Equal runs of nginx: what a ratio of 1 looks like on this machine.
///
/// # Errors
/// It cannot be measured.
pub fn noise(plan: &Plan, report: &mut Report) -> Result<()> {
    let server = servers::nginx(NGINX_WORKERS);
    let url = format!("http://{}/page.html", server.address);
    let run = || Ok(plan.wrk.run(&url)?.rate);
    report.progress("nginx, untraced against untraced");
    run()?;
    let ratios = Ratios::measure(plan.pairs, run, run)?;
    report.progress(format!("  {ratios}"));
    report.ratio(
        "noise: untraced against untraced",
        ratios.median(),
        Goal::Shown,
    );
    Ok(())
}

/// A static page of nginx.
///
/// # Errors
/// It cannot be measured.
pub fn nginx(plan: &Plan, report: &mut Report) -> Result<()> {
    let server = servers::nginx(NGINX_WORKERS);
    let url = format!("http://{}/page.html", server.address);
    for (family, goal) in [(Family::Sock, 0.85), (Family::Syscall, 0.72)] {
        let goal = Goal::AtLeast(goal);
        let traced = Traced {
            pid: server.pid(),
            family,
            spans: 1,
        };
        agent(plan, "nginx", &traced, &url, goal, report)?;
    }
    Ok(())
}

/// A handler of Go's net/http; then the OpenTelemetry SDK in the same service.
///
/// # Errors
/// It cannot be measured.
pub fn go(plan: &Plan, target: &str, report: &mut Report) -> Result<()> {
    let plain = Service::plain()?;
    let url = plain.url(target);
    let (name, goal) = match target {
        go::WORK => ("Go, 100 us of work", 0.95),
        _ => ("Go, empty handler", 0.90),
    };
    // The fallback has a goal under nginx only.
    for (family, goal) in [
        (Family::Sock, Goal::AtLeast(goal)),
        (Family::Syscall, Goal::Shown),
    ] {
        let traced = Traced {
            pid: plain.pid(),
            family,
            spans: 1,
        };
        agent(plan, name, &traced, &url, goal, report)?;
    }

    let sink = Sink::start();
    let sdk = Service::with_sdk(&plain, &sink)?;
    let traced = sdk.url(target);
    report.progress(format!("{name}, OpenTelemetry SDK"));
    plan.wrk.run(&traced)?;
    let mut requests = 0;
    let already = sink.counts()?.spans;
    let ratios = Ratios::measure(
        plan.pairs,
        || Ok(plan.wrk.run(&url)?.rate),
        || {
            let run = plan.wrk.run(&traced)?;
            requests += run.requests;
            Ok(run.rate)
        },
    )?;
    report.progress(format!(
        "  {ratios}; its exporter delivered {:.0} % of the spans",
        100.0 * (sink.counts()?.spans - already) as f64 / requests as f64
    ));
    report.ratio(
        format!("{name}, OpenTelemetry SDK"),
        ratios.median(),
        Goal::Shown,
    );
    Ok(())
}

/// A gateway of Go's net/http that makes a call for each request, at once: what the evidence of parents
/// costs, which here takes goroutines and probes in the program.
///
/// # Errors
/// It cannot be measured.
pub fn gateway(plan: &Plan, report: &mut Report) -> Result<()> {
    let pair = Gateway::NetHttp.start();
    let url = format!("http://{}/call/1?ms=0", pair.front.address);
    let traced = Traced {
        pid: pair.front.pid(),
        family: Family::Sock,
        spans: 2,
    };
    let goal = Goal::AtLeast(0.88);
    agent(plan, "Go gateway", &traced, &url, goal, report)
}

/// What is traced, and how.
struct Traced {
    pid: u32,
    family: Family,
    /// Spans that each request makes.
    spans: u64,
}

/// Pairs with and without the agent on a process.
fn agent(
    plan: &Plan,
    name: &str,
    traced: &Traced,
    url: &str,
    goal: Goal,
    report: &mut Report,
) -> Result<()> {
    let (process, load) = ((traced.pid, traced.family), (plan.wrk, url, traced.spans));
    let name = format!("{name}, {}", traced.family.name());
    report.progress(&name);
    let mut totals = Totals::default();
    plan.wrk.run(url)?;
    let ratios = Ratios::measure(
        plan.pairs,
        || Ok(plan.wrk.run(url)?.rate),
        || traced::run(process, load, &mut totals, report),
    )?;
    report.progress(format!("  {ratios}"));
    report.progress(format!(
        "  agent: {:.2} us of CPU per request, {}",
        totals.cpu_per_request(),
        totals.memory
    ));
    report.progress(format!(
        "  sink: {} spans of {} bytes, {:.2} us of CPU each",
        totals.sink_spans,
        totals.sink_bytes / totals.sink_spans.max(1),
        totals.sink_cpu.as_secs_f64() * 1e6 / totals.sink_spans.max(1) as f64
    ));
    report.ratio(&name, ratios.median(), goal);
    report.figure(
        format!("{name}: agent's CPU per million requests"),
        totals.cpu_per_request(),
        "s",
        Goal::AtMost(CPU_GOAL),
    );
    report.count(
        format!("{name}: transfers lost"),
        totals.lost,
        Goal::AtMost(0.0),
    );
    Ok(())
}
