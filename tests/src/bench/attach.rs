//! How long it takes from the agent's start until a request of a running service is a span at the
//! endpoint.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::pairs::median;
use super::report::{Goal, Report};
use super::sink::Sink;
use super::traced::arguments;
use crate::agent::Agent;
use crate::agent::Family;
use crate::load::{self, Connection, encode, get, ids};
use crate::servers;

const RUNS: usize = 5;
/// Light load: the agent must not wait for a core.
const PAUSE: Duration = Duration::from_millis(1);
/// What it may take, in ms.
const GOAL: f64 = 200.0;

/// A client of nginx that makes a request every [`PAUSE`]; stops when dropped.
struct Client {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    fn start(address: SocketAddr) -> Client {
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        let thread = std::thread::spawn(move || {
            let mut connection = Connection::open(address).expect("nginx listens");
            for number in 0.. {
                if is_done.load(Relaxed) {
                    break;
                }
                let (trace_id, parent) = ids(0, number);
                let (bytes, _) = encode(&get("/page.html".into()), &trace_id, &parent);
                connection.write(&bytes).expect("nginx takes it");
                connection.read("GET").expect("nginx answers");
                std::thread::sleep(PAUSE);
            }
        });
        Client {
            done,
            thread: Some(thread),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.done.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic was shown when it happened.
            let _ = thread.join();
        }
    }
}

/// Measures, each time with a new agent on the same nginx.
///
/// # Errors
/// The sink does not answer.
pub fn run(report: &mut Report) -> Result<()> {
    let server = servers::nginx(2);
    let _client = Client::start(server.address);
    let (mut ready, mut first) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (to_ready, to_first) = once(server.pid())?;
        ready.push(to_ready);
        first.push(to_first);
    }
    for times in [&mut ready, &mut first] {
        times.sort_by(f64::total_cmp);
    }
    report.progress(format!(
        "attach: ready after {ready:.0?} ms, first span after {first:.0?} ms"
    ));
    report.figure("start to `ready:`", median(&ready), "ms", Goal::Shown);
    report.figure(
        "start to the first span at the sink",
        median(&first),
        "ms",
        Goal::AtMost(GOAL),
    );
    Ok(())
}

/// Milliseconds from the agent's start to its `ready:` line, and to the first span at the sink.
fn once(pid: u32) -> Result<(f64, f64)> {
    let sink = Sink::start();
    let begun = Instant::now();
    let began = load::now();
    let agent = Agent::spawn_with(arguments(pid, Family::Sock, &sink), |command| {
        // By default a batch waits 5 s for more spans: that is not what is measured.
        command.env("OTEL_BSP_SCHEDULE_DELAY", "1");
    });
    agent.wait_ready();
    let ready = begun.elapsed();
    let first = sink.wait_first()?.first - began;
    agent.stop_for_stats();
    Ok((ready.as_secs_f64() * 1e3, first as f64 / 1e6))
}
