//! Losses, provoked one by one: each is counted under its reason, told on standard error with what to do,
//! written on the spans it harmed, and over when its cause is.

use std::io::Read;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::agent::{Agent, Ended, Family, Stats};
use tests::load::{self, Connection, Exchange, get};
use tests::servers::Server;
use tests::sink::{Mood, Sink};
use tests::span::Span;
use tests::{check, servers, soak, wait};

use crate::Test;
use crate::common::{OK, Traced, listening_peer, plain_peer, traceparent};

/// The tests of this module that look at the kernel side.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("accounting_stopped_reader", stopped_reader as Test),
        ("accounting_stopped_under_load", stopped_under_load),
    ]
}

/// Those of what is behind it.
pub fn of_either() -> Vec<(&'static str, Test)> {
    vec![
        ("accounting_busy_cores", busy_cores as Test),
        ("accounting_stalled_endpoint", stalled_endpoint),
        ("accounting_full_tables", full_tables),
    ]
}

/// The smallest ring there may be: it holds some 190 transfers of small messages.
const TINY: &str = "64K";
/// More requests than it holds by far.
const FLOOD: usize = 500;
/// Fewer than it holds, even if the agent gets no CPU meanwhile.
const FEW: usize = 20;

/// Attaches an agent with a tiny ring, whose spans come at once.
#[track_caller]
fn tiny(family: Family, pids: &[u32]) -> Traced {
    let sink = Sink::start();
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let (pids, endpoint) = (pids.join(","), sink.endpoint());
    let mut arguments = vec!["-p", &pids, "--otlp-endpoint", &endpoint];
    arguments.extend(["--probes", family.name(), "--ring-size", TINY]);
    let agent = Agent::spawn_with(arguments, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    });
    agent.wait_ready();
    Traced { agent, sink }
}

/// Makes requests, one at a time, until the span of one has come: all before it was read.
#[track_caller]
fn catch_up(traced: &Traced, address: SocketAddr) {
    wait::until("a span after the loss", wait::SOON, || {
        load::run(address, 1, 1, |_| get("/caught-up".into()));
        std::thread::sleep(Duration::from_millis(50));
        let spans = traced.sink.spans();
        spans
            .iter()
            .any(|span| is_at(span, "/caught-up"))
            .then_some(())
    });
}

/// Ends it; its spans of these exchanges must be exact.
#[track_caller]
fn end(traced: Traced, exchanges: &[Exchange]) -> (Vec<Span>, Ended, Stats) {
    let ended = traced.agent.stop();
    let stats = ended.stats.clone().expect("--stats");
    let spans = traced.sink.spans();
    // An endpoint that answers too late has taken them all the same.
    assert!(stats.spans.exported <= spans.len() as u64, "{stats:?}");
    let ours = |span: &&Span| exchanges.iter().any(|one| one.trace_id == span.trace_id);
    let of_these: Vec<Span> = spans.iter().filter(ours).cloned().collect();
    check::exact(&of_these, exchanges);
    (spans, ended, stats)
}

fn is_at(span: &Span, path: &str) -> bool {
    span.text("url.path") == path
}

/// What standard error says was lost for that reason; it must say so, and what to do about it.
#[track_caller]
fn told(ended: &Ended, word: &str, advice: &str) -> u64 {
    let named = format!("({word}):");
    let of_it = |line: &&String| line.starts_with("tracer: warning: ") && line.contains(&named);
    let lines: Vec<&String> = ended.stderr.iter().filter(of_it).collect();
    assert!(!lines.is_empty(), "no word of {word}: {:#?}", ended.stderr);
    let count = |line: &&String| -> u64 {
        assert!(line.contains(advice), "{line}");
        let number = line
            .split(' ')
            .nth(2)
            .and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("how many? {line}"))
    };
    lines.iter().map(count).sum()
}

/// The reader stands still while a ring that is too small fills: all that found no room is counted, the
/// exchange that was under way says what became of it.
fn stopped_reader(family: Family) {
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let interim = format!("write:{}", CONTINUE.replace("\r\n", "\\r\\n"));
    let server = listening_peer("127.0.0.1:0", &["head", &interim, "read:10", OK, "again"]);
    let flooded = plain_peer();
    let traced = tiny(family, &[server.pid(), flooded.pid()]);

    traced.agent.process.pause();
    let mut harmed = Connection::open(server.address).expect("a connection");
    let (line, trace_id, _) = traceparent(1);
    let head = format!("POST /harmed HTTP/1.1\r\nHost: a\r\n{line}Content-Length: 10\r\n\r\n");
    harmed.write(head.as_bytes()).expect("written");
    let mut interim = [0; CONTINUE.len()];
    harmed
        .stream()
        .read_exact(&mut interim)
        .expect("the server has the head");
    load::run(flooded.address, 4, FLOOD, |n| get(format!("/flood/{n}")));
    harmed.write(b"0123456789").expect("written");
    harmed.read("POST").expect("an answer");
    traced.agent.process.signal(libc::SIGCONT);

    catch_up(&traced, flooded.address);
    // Where the next answer lies tells that one was lost before it.
    harmed.write(head.as_bytes()).expect("written");
    harmed
        .stream()
        .read_exact(&mut interim)
        .expect("the server has the head");
    harmed.write(b"0123456789").expect("written");
    harmed.read("POST").expect("an answer");
    let exchanges = load::run(flooded.address, 2, FEW, |n| get(format!("/after/{n}")));

    let (spans, ended, stats) = end(traced, &exchanges);
    let of_it: Vec<&Span> = spans
        .iter()
        .filter(|span| span.trace_id == trace_id)
        .collect();
    assert_eq!(
        of_it[0].text("tracer.incomplete"),
        "lost_events",
        "{of_it:#?}"
    );
    assert_eq!(
        of_it[0].int("http.response.status_code"),
        None,
        "{of_it:#?}"
    );
    let lost = stats.transfers.lost["ring_full"];
    assert!(lost > FLOOD as u64, "{stats:?}");
    assert!(stats.messages.incomplete["lost_events"] > 0, "{stats:?}");
    let records = stats.limits["records_ring_full"];
    let said = told(&ended, "ring_full", "--ring-size");
    // What is lost after the first word is told half a minute later.
    assert!(
        (FLOOD as u64..=lost + records).contains(&said),
        "{ended:#?}"
    );
}

/// The agent ends while requests are under way: of each it knows what it saw, and that it stopped.
fn stopped_under_load(family: Family) {
    let server = plain_peer();
    let traced = Traced::attach(family, &[server.pid()]);
    let stats = std::thread::scope(|scope| {
        let load = || load::run(server.address, 8, 20 * FLOOD, |n| get(format!("/{n}")));
        let load = scope.spawn(load);
        traced
            .sink
            .wait_for("the first span", |spans| !spans.is_empty());
        let (_, stats) = traced.finish();
        load.join().expect("no panic");
        stats
    });
    let cut = stats.messages.incomplete.iter();
    let other = cut.filter(|(reason, count)| **count > 0 && *reason != "agent_stopped");
    assert_eq!(other.count(), 0, "{stats:?}");
}

/// The agent gets the CPU time that nobody else wants, and there is none: whatever that costs is counted
/// and told, and nothing of it lasts.
fn busy_cores(family: Family) {
    let server = plain_peer();
    let traced = tiny(family, &[server.pid()]);
    traced.agent.process.schedule(libc::SCHED_IDLE);
    let busy = AtomicBool::new(true);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop()
                }
            });
        }
        load::run(server.address, 4, 2 * FLOOD, |n| get(format!("/busy/{n}")));
        busy.store(false, Ordering::Relaxed);
    });
    // Else it would wait for whoever else is at work here.
    traced.agent.process.schedule(libc::SCHED_OTHER);
    catch_up(&traced, server.address);
    let exchanges = load::run(server.address, 2, FEW, |n| get(format!("/after/{n}")));
    let (_, ended, stats) = end(traced, &exchanges);
    let lost = stats.transfers.lost["ring_full"] + stats.limits["records_ring_full"];
    if lost > 0 {
        told(&ended, "ring_full", "--ring-size");
    }
}

/// The endpoint takes connections and never answers: what finds no room in the queue, and what is given up,
/// is told apart; when it answers again, spans come again.
fn stalled_endpoint(family: Family) {
    const QUEUE: usize = 100;
    let server = plain_peer();
    let sink = Sink::start();
    let (pid, endpoint) = (server.pid().to_string(), sink.endpoint());
    let arguments = ["-p", &pid, "--otlp-endpoint", &endpoint];
    let agent = Agent::spawn_with(
        arguments.into_iter().chain(["--probes", family.name()]),
        |command: &mut Command| {
            command.env("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE.to_string());
            // Long enough for an endpoint that does answer.
            let longest = wait::patiently(Duration::from_secs(3));
            command.env("OTEL_BSP_EXPORT_TIMEOUT", longest.as_millis().to_string());
            command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
        },
    );
    agent.wait_ready();
    sink.set_mood(Mood::Slow(Duration::from_secs(3600)));
    load::run(server.address, 2, 10 * QUEUE, |n| {
        get(format!("/stalled/{n}"))
    });
    for word in ["(queue_full)", "(endpoint)"] {
        let of_it = |line: &str| line.contains(word);
        agent.process.stderr.wait_for(word, of_it);
    }
    sink.set_mood(Mood::Accept);
    let traced = Traced { agent, sink };
    catch_up(&traced, server.address);
    let exchanges = load::run(server.address, 2, FEW, |n| get(format!("/after/{n}")));
    let (_, ended, stats) = end(traced, &exchanges);
    assert!(told(&ended, "queue_full", "OTEL_BSP_MAX_QUEUE_SIZE") > 0);
    assert!(told(&ended, "endpoint", "OTEL_BSP_EXPORT_TIMEOUT") > 0);
    for word in ["queue_full", "endpoint"] {
        assert!(stats.spans.dropped[word] > 0, "{stats:?}");
    }
}

/// More requests wait for their answer than are followed, at all and on one connection: those that found no
/// room are counted and told, and once there is room, requests are followed again.
fn full_tables(family: Family) {
    /// As in the agent: exchanges at all, and streams of one connection.
    const MOST: (usize, usize) = (65_536, 16_384);
    let held = Server::announced(servers::ours("soak-server").arg("serve"));
    let server = plain_peer();
    let sink = Sink::start();
    let pids = format!("{},{}", held.pid(), server.pid());
    let endpoint = sink.endpoint();
    // All records find room, whenever they are read. Only what comes with a context becomes a span.
    let arguments = [
        "-p",
        &pids,
        "--otlp-endpoint",
        &endpoint,
        "--ring-size",
        "64M",
    ];
    let agent = Agent::spawn_with(
        arguments.into_iter().chain(["--probes", family.name()]),
        |command: &mut Command| {
            command.env("OTEL_TRACES_SAMPLER", "parentbased_always_off");
            command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
        },
    );
    agent.wait_ready();
    soak::streams(held.address, (5, 16_000), || {
        let of_it = |line: &str| line.contains("(exchanges)");
        agent.process.stderr.wait_for("word of full tables", of_it);
    })
    .expect("streams");
    soak::streams(held.address, (1, MOST.1 + 1), || ()).expect("streams");
    let traced = Traced { agent, sink };
    catch_up(&traced, server.address);
    let exchanges = load::run(server.address, 2, FEW, |n| get(format!("/after/{n}")));
    let (_, ended, stats) = end(traced, &exchanges);
    assert_eq!(stats.transfers.lost["ring_full"], 0, "{stats:?}");
    // Of one connection, the oldest sixteenth.
    let turned_away = (5 * 16_000 - MOST.0 + MOST.1 / 16) as u64;
    assert!(stats.limits["exchanges"] >= turned_away, "{stats:?}");
    assert!(told(&ended, "exchanges", "trace fewer processes") > 0);
}
