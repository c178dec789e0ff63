//! A gRPC service under load: many streams on one connection, every call one of its kind.

use anyhow::{Result, ensure};

use super::pairs::Ratios;
use super::report::{Goal, Report};
use super::sink::Sink;
use super::traced;
use crate::agent::Family;
use crate::rpc::{self, Stack};
use crate::servers::Server;

/// Streams at once.
const STREAMS: usize = 100;
/// Calls of a run.
const CALLS: usize = 100_000;

/// Pairs with and without the agent on a grpc-go server.
///
/// # Errors
/// A call failed, or the agent.
pub fn run(pairs: u32, report: &mut Report) -> Result<()> {
    let server = Stack::GrpcGo.serve();
    calls(&server)?;
    for (family, goal) in [
        (Family::Sock, Goal::AtLeast(0.85)),
        (Family::Syscall, Goal::Shown),
    ] {
        let name = format!("gRPC, {STREAMS} streams, {}", family.name());
        report.progress(&name);
        let (mut lost, mut spans, mut runs) = (0, 0, 0);
        let ratios = Ratios::measure(
            pairs,
            || calls(&server),
            || {
                let sink = Sink::start();
                let agent = traced::agent(server.pid(), family, &sink);
                agent.wait_ready();
                let rate = calls(&server)?;
                let stats = agent.stop_for_stats();
                lost += stats.transfers.lost.values().sum::<u64>();
                spans += stats.spans.exported;
                runs += 1;
                if sink.counts()?.spans != stats.spans.exported {
                    report.wrong(format!("{name}: the sink did not get {:?}", stats.spans));
                }
                Ok(rate)
            },
        )?;
        report.progress(format!("  {ratios}"));
        report.ratio(&name, ratios.median(), goal);
        let missing = (runs * CALLS as u64).abs_diff(spans);
        report.count(
            format!("{name}: calls without a span"),
            missing,
            Goal::AtMost(0.0),
        );
        report.count(format!("{name}: transfers lost"), lost, Goal::AtMost(0.0));
    }
    Ok(())
}

/// Calls a second.
fn calls(server: &Server) -> Result<f64> {
    let load = rpc::load(server, STREAMS, CALLS);
    ensure!(
        load.well == CALLS,
        "{} of {CALLS} calls failed",
        CALLS - load.well
    );
    Ok(CALLS as f64 / load.took.as_secs_f64())
}
