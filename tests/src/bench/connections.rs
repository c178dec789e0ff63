//! Memory of the agent after many connections: first as many that come and go, then as many that
//! stay open.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::memory::{Memory, megabytes};
use super::report::{Goal, Report};
use super::sink::Sink;
use super::traced;
use crate::agent::Family;
use crate::load::Connection;
use crate::servers;

/// As many as the goal names.
const CONNECTIONS: usize = 10_000;
/// What the agent may take, in MB.
const GOAL: f64 = 40.0;

/// Measures.
///
/// # Errors
/// The agent or nginx failed.
pub fn run(report: &mut Report) -> Result<()> {
    let server = servers::nginx(2);
    let sink = Sink::start();
    let agent = traced::agent(server.pid(), Family::Sock, &sink);
    agent.wait_ready();
    let memory = || Memory::of(agent.process.pid());
    report.progress("agent's memory");
    report.progress(format!("  when ready: {}", memory()?));

    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(server.address)?;
        request(&mut connection, "close")?;
    }
    let after = memory()?;
    report.progress(format!("  after {CONNECTIONS} connections: {after}"));
    report.figure(
        format!("agent's memory after {CONNECTIONS} connections"),
        megabytes(after.resident),
        "MB",
        Goal::AtMost(GOAL),
    );

    let open = open(server.address).context("cannot hold that many connections open")?;
    let while_open = memory()?;
    report.progress(format!("  with {} open ones: {while_open}", open.len()));
    report.figure(
        format!("agent's memory with {} open connections", open.len()),
        megabytes(while_open.resident),
        "MB",
        Goal::AtMost(GOAL),
    );
    drop(open);

    let stats = agent.stop_for_stats();
    let expected = 2 * CONNECTIONS as u64;
    if stats.spans.exported != expected {
        report.wrong(format!(
            "{} spans of {expected} connections with one request each: {stats:?}",
            stats.spans.exported
        ));
    }
    Ok(())
}

/// Connections that all made their request and stay.
fn open(address: SocketAddr) -> io::Result<Vec<Connection>> {
    (0..CONNECTIONS)
        .map(|_| {
            let mut connection = Connection::open(address)?;
            request(&mut connection, "keep-alive")?;
            Ok(connection)
        })
        .collect()
}

fn request(connection: &mut Connection, keep: &str) -> io::Result<()> {
    let request = format!("GET /page.html HTTP/1.1\r\nHost: test\r\nConnection: {keep}\r\n\r\n");
    connection.write(request.as_bytes())?;
    connection.read("GET")?;
    Ok(())
}
