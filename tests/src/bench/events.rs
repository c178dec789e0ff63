//! How far our instants are from the frameworks' own: requests one at a time, at a rate that leaves the
//! machine idle in between, each event of each of them beside what the framework's tracer recorded.
//!
//! The difference is what lies between the kernel's stamp and the framework's: the system call's rest,
//! the wakeup of a goroutine, parsing. On a busy machine also whoever else has the processor: it wants
//! one that does nothing else. (Real-time priority is no way out: Go's scheduler spins, and starves all.)

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::report::{Goal, Report};
use crate::agent::{Agent, Family};
use crate::frameworks::instants::{self, Pair, known};
use crate::frameworks::{Gateway, Kitex, Record, records, sdk_spans, serve};
use crate::load::{self, Request, get};
use crate::sink::Sink;
use crate::span::{CLIENT, SERVER, Span};

/// Requests of a case.
const REQUESTS: usize = 1000;
/// The first ones, in which connections are made and code is run for the first time, do not count.
const WARM: usize = 50;
/// From one request to the next: 200 a second.
const PAUSE: Duration = Duration::from_millis(5);
/// What the 99th percentile may be, in microseconds.
const GOAL: f64 = 50.0;

/// The exchanges of one side: as we saw them and as the framework did.
struct Side {
    name: String,
    pairs: &'static [Pair],
    seen: Vec<(Span, Record)>,
}

/// Measures all of them.
///
/// # Errors
/// Something was not seen that must be.
pub fn run(report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let case = |name: &str| -> Result<std::path::PathBuf> {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder)?;
        Ok(folder)
    };
    println!("| | event | median | p99 |\n| --- | --- | ---: | ---: |");
    hertz(&case("netpoll")?, &[], report)?;
    hertz(&case("standard")?, &["-standard"], report)?;
    kitex(&case("framed")?, "framed", report)?;
    kitex(&case("ttheader")?, "ttheader", report)?;
    kitex(&case("grpc")?, "grpc", report)?;
    sdk(&case("gozero")?, Gateway::GoZero, ["rest", "zrpc"], report)?;
    sdk(&case("kratos")?, Gateway::Kratos, ["http", "grpc"], report)
}

/// An agent on these processes, and where its spans go.
fn attach(pids: &[u32]) -> (Agent, Sink) {
    let sink = Sink::start();
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let (pids, endpoint) = (pids.join(","), sink.endpoint());
    let family = Family::Sock.name();
    let arguments = ["-p", &pids, "--otlp-endpoint", &endpoint];
    (
        Agent::start([&arguments[..], &["--probes", family]].concat()),
        sink,
    )
}

/// Ends the agent, which lost nothing; its spans.
fn finish((agent, sink): (Agent, Sink)) -> Vec<Span> {
    agent.stop_for_stats().assert_nothing_lost();
    sink.spans()
}

/// Waits until it is time for the request of that number.
fn pace(begun: Instant, number: usize) {
    let due = PAUSE * number as u32;
    std::thread::sleep(due.saturating_sub(begun.elapsed()));
}

fn drive(address: std::net::SocketAddr, request: impl Fn(usize) -> Request + Sync) {
    let begun = Instant::now();
    load::run(address, 1, REQUESTS, |number| {
        pace(begun, number);
        request(number)
    });
}

fn hertz(folder: &Path, more: &[&str], report: &mut Report) -> Result<()> {
    let file = folder.join("records");
    let recording = file.to_string_lossy();
    let server = serve("hertz", &[&["serve", "-record", &recording], more].concat());
    let agent = attach(&[server.pid()]);
    drive(server.address, |number| {
        get(format!("/echo/{number}?size=100"))
    });
    let records = records(&file, REQUESTS);
    let mut spans: HashMap<String, Span> = finish(agent)
        .into_iter()
        .map(|span| (span.text("url.path").to_string(), span))
        .collect();
    let transport = if more.is_empty() {
        "netpoll"
    } else {
        "standard"
    };
    let seen = records
        .into_iter()
        .filter_map(|record| Some((spans.remove(&record.service)?, record)))
        .collect();
    let side = Side {
        name: format!("Hertz, {transport}"),
        pairs: &instants::HERTZ,
        seen,
    };
    side.tell(report)
}

fn kitex(folder: &Path, transport: &str, report: &mut Report) -> Result<()> {
    let [at_server, at_client] = ["server", "client"].map(|side| folder.join(side));
    let grpc = transport == "grpc";
    let server = Kitex::serve(&at_server);
    let mut client = Kitex::client(&server, transport, grpc, &at_client);
    let agent = attach(&[server.pid(), client.pid()]);
    let begun = Instant::now();
    let method = if grpc { "EchoPb" } else { "Echo" };
    for number in 0..REQUESTS {
        pace(begun, number);
        client.tell(method, &format!("{number} 0 100 "));
    }
    client.wait();
    let (served, made) = (records(&at_server, REQUESTS), records(&at_client, REQUESTS));
    let mut spans = finish(agent);
    // One at a time: their order tells which is which.
    spans.sort_by_key(|span| span.start);
    let (pairs_server, pairs_client): (&[Pair], &[Pair]) = match grpc {
        true => (&instants::KITEX_GRPC_SERVER, &instants::KITEX_GRPC_CLIENT),
        false => (&instants::KITEX_SERVER, &instants::KITEX_CLIENT),
    };
    for (kind, name, pairs, records) in [
        (SERVER, "server", pairs_server, served),
        (CLIENT, "client", pairs_client, made),
    ] {
        let of_it = spans.iter().filter(|span| span.kind == kind).cloned();
        let side = Side {
            name: format!("Kitex {name}, {transport}"),
            pairs,
            seen: of_it.zip(records).collect(),
        };
        side.tell(report)?;
    }
    Ok(())
}

fn sdk(
    folder: &Path,
    gateway: Gateway,
    [front, behind]: [&str; 2],
    report: &mut Report,
) -> Result<()> {
    let pair = gateway.start_traced(folder);
    let agent = attach(&[pair.front.pid(), pair.behind.pid()]);
    drive(pair.front.address, |number| get(format!("/call/{number}")));
    let at_front = sdk_spans(&folder.join("front"), 2 * REQUESTS);
    let at_behind = sdk_spans(&folder.join("behind"), REQUESTS);
    let spans = finish(agent);
    let framework = match gateway {
        Gateway::GoZero => "go-zero",
        _ => "Kratos",
    };
    for (name, records, side, pid, kind, pairs) in [
        (
            front,
            &at_front,
            "server",
            pair.front.pid(),
            SERVER,
            &instants::SDK_SERVER,
        ),
        (
            behind,
            &at_front,
            "client",
            pair.front.pid(),
            CLIENT,
            &instants::SDK_CLIENT,
        ),
        (
            behind,
            &at_behind,
            "server",
            pair.behind.pid(),
            SERVER,
            &instants::SDK_SERVER,
        ),
    ] {
        let mut of_it: HashMap<&str, &Span> = spans
            .iter()
            .filter(|span| span.kind == kind && span.pid() == Some(pid.into()))
            .map(|span| (&span.trace_id[..], span))
            .collect();
        let seen = records
            .iter()
            .filter(|record| record.side == side)
            .filter_map(|record| {
                Some((of_it.remove(&record.trace_id[..])?.clone(), record.clone()))
            })
            .collect();
        let side = Side {
            name: format!("{framework} {name} {side}"),
            pairs,
            seen,
        };
        side.tell(report)?;
    }
    Ok(())
}

impl Side {
    /// Prints a line for each event, and reports the worst of them.
    fn tell(mut self, report: &mut Report) -> Result<()> {
        ensure!(
            self.seen.len() == REQUESTS,
            "{}: {} of {REQUESTS} exchanges were seen by both",
            self.name,
            self.seen.len()
        );
        self.seen.sort_by_key(|(span, _)| span.start);
        let mut differences: HashMap<&str, Vec<u64>> = HashMap::new();
        for (span, record) in &self.seen[WARM..] {
            for (pair, ours, theirs) in known(self.pairs, span, record) {
                let of_it = differences.entry(pair.theirs).or_default();
                of_it.push(ours.abs_diff(theirs));
            }
        }
        let mut worst: f64 = 0.0;
        for pair in self.pairs {
            let Some(of_it) = differences.get_mut(pair.theirs) else {
                continue;
            };
            of_it.sort_unstable();
            let at = |share: f64| of_it[(of_it.len() as f64 * share) as usize] as f64 / 1e3;
            let (median, p99) = (at(0.5), at(0.99));
            worst = worst.max(p99);
            let event = match pair.ours == pair.theirs {
                true => format!("`{}`", pair.ours),
                false => format!("`{}` (theirs: `{}`)", pair.ours, pair.theirs),
            };
            println!("| {} | {event} | {median:.0} µs | {p99:.0} µs |", self.name);
        }
        let what = format!("{}: farthest event, p99", self.name);
        report.figure(what, worst, "us", Goal::AtMost(GOAL));
        Ok(())
    }
}
