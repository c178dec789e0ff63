//! Soaks: the agent under what fills its tables and buffers, and how much memory that takes.
//!
//! ```text
//!  load ── thousands of connections, heads, streams ──▶ server (a process) ◀── agent ──▶ sink (a process)
//! ```
//!
//! Each stage of a [`Plan`] fills one table and lets go of it. What holds whatever the machine has to do
//! beside is in [`Outcome::wrong`]: the equations, every span where no transfer was lost, and that memory
//! stays below its ceiling and does not grow.

mod frames;
mod load;
mod server;

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;

use crate::agent::{Agent, Family, Stats};
use crate::bench::memory::{Memory, megabytes};
use crate::bench::sink::Sink;
use crate::process::{Process, cpu_time};
use crate::servers::{Server, ours};
use crate::wait;

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections open at once.
    pub open: usize,
    /// Connections with one request, one after the other.
    pub short: usize,
    /// Heads that come byte by byte, all at once.
    pub slow_heads: usize,
    /// HTTP/2 streams open at once: on one connection, and once more on a hundred.
    pub streams: usize,
    /// Requests that are never answered, open during all stages that follow.
    pub unanswered: usize,
    /// How long connections come and go in the end.
    pub churn: Duration,
}

impl Plan {
    /// What the README's figures are of.
    pub const WHOLE: Plan = Plan {
        open: 20_000,
        short: 200_000,
        slow_heads: 5_000,
        streams: 10_000,
        unanswered: 5_000,
        churn: Duration::from_secs(20 * 60),
    };

    /// Some seconds' worth, for every run of the tests.
    pub const BRIEF: Plan = Plan {
        open: 2_000,
        short: 4_000,
        slow_heads: 500,
        streams: 10_000,
        unanswered: 500,
        churn: Duration::from_secs(1),
    };

    /// Spans of all stages but the churn.
    fn spans(&self) -> usize {
        self.open + self.short + self.slow_heads / 2 + 2 * self.streams + self.unanswered
    }
}

/// Connections a second while they come and go: what leaves most of a machine to others for 20 minutes.
const RATE: u32 = 100;

/// What the agent may take at most whatever it is sent here, MB: the ceiling that the README computes is
/// for hostile traffic; this is for much of plain traffic.
const CEILING: f64 = 200.0;

/// How much more it may have at the end of the churn than after its first fourth, MB: what the allocator
/// and the names of 120,000 paths come to.
const GROWTH: f64 = 8.0;

/// How long ten thousand connections may take on a machine that is busy with others.
const LONGEST: Duration = Duration::from_secs(300);

/// An agent that uses no more than [`IDLE`] in that time has nothing to do.
const QUIET: Duration = Duration::from_millis(100);
/// A tick of the kernel's accounting.
const IDLE: Duration = Duration::from_millis(10);

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// A line for each stage.
    pub stages: String,
    /// What is not as it must be.
    pub wrong: Vec<String>,
    /// The agent's counters.
    pub stats: Stats,
}

/// Runs all stages.
///
/// # Errors
/// The load, the server or the agent failed as a whole.
pub fn run(plan: &Plan, family: Family) -> Result<Outcome> {
    raise_file_limit();
    // Two, since many hosts allow a process 20,000 descriptors.
    let servers = [(); 2].map(|()| Server::announced(ours("soak-server").arg("serve")));
    let sink = Sink::start();
    let endpoint = sink.endpoint();
    let pids = servers.each_ref().map(|server| server.pid().to_string());
    let pids = pids.join(",");
    let arguments = ["-p", &pids, "--otlp-endpoint", &endpoint];
    let agent = Agent::spawn(arguments.into_iter().chain(["--probes", family.name()]));
    agent.wait_ready();
    let mut watch = Watch {
        pid: agent.process.pid(),
        stages: String::new(),
        wrong: Vec::new(),
    };
    let churned = runtime()?
        .block_on(stages(plan, &servers, &mut watch))
        .context("the load failed")?;

    let ended = agent.stop();
    let stats = ended.stats.context("no --stats")?;
    let Watch {
        stages, mut wrong, ..
    } = watch;
    wrong.extend(stats.imbalances());
    let evicted = stats.messages.incomplete["evicted"];
    if evicted > 0 {
        wrong.push(format!(
            "{evicted} messages put out of tables that had room"
        ));
    }
    let lost: u64 = stats.transfers.lost.values().sum();
    let dropped: u64 = stats.spans.dropped.values().sum();
    let expected = (plan.spans() + churned) as u64;
    if lost == 0 && stats.spans.made != expected {
        wrong.push(format!("{} spans made of {expected}", stats.spans.made));
    }
    let arrived = wait::until("the last spans", wait::SOON, || {
        let arrived = sink.counts().ok()?.spans;
        (arrived >= stats.spans.exported).then_some(arrived)
    });
    if arrived + dropped != stats.spans.made {
        wrong.push(format!("{arrived} spans at the sink: {:?}", stats.spans));
    }
    Ok(Outcome {
        stages,
        wrong,
        stats,
    })
}

/// Opens so many streams on each of so many connections; once all are, `all_open` is called, and then all are
/// answered.
///
/// # Errors
/// The connections'.
pub fn streams(to: SocketAddr, many: (usize, usize), all_open: impl FnOnce()) -> Result<()> {
    Ok(runtime()?.block_on(load::streams(to, many, all_open))?)
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// What a holder of connections says when all are open.
const OPEN: &str = "open";

/// What the program `soak-server` does: `serve`, or `hold ADDRESS COUNT` connections until it is killed.
///
/// # Errors
/// The sockets'.
pub fn program(arguments: &[String]) -> Result<()> {
    raise_file_limit();
    match arguments {
        [what] if what == "serve" => Ok(runtime()?.block_on(server::serve())?),
        [what, to, count] if what == "hold" => runtime()?.block_on(async {
            let _open = load::open(to.parse()?, count.parse()?).await?;
            println!("{OPEN}");
            std::future::pending().await
        }),
        _ => bail!("soak-server serve | hold ADDRESS COUNT"),
    }
}

async fn stages(plan: &Plan, servers: &[Server; 2], watch: &mut Watch) -> io::Result<usize> {
    let [server, _] = servers;
    let to = server.address;
    let idle = descriptors(server.pid());
    watch.stage("ready");
    load::short(to, plan.short).await?;
    watch.stage(&format!("{} short connections", plan.short));
    let open = servers.each_ref().map(|server| {
        let (to, count) = (server.address.to_string(), plan.open / servers.len());
        let holder = Process::start(ours("soak-server").args(["hold", &to, &count.to_string()]));
        wait::until("open connections", LONGEST, || {
            holder
                .stdout
                .all()
                .iter()
                .any(|line| line == OPEN)
                .then_some(())
        });
        holder
    });
    watch.stage(&format!("{} open connections", plan.open));
    drop(open);
    let heads = format!("{} half heads, byte by byte", plan.slow_heads);
    load::slow_heads(to, plan.slow_heads, || watch.stage(&heads)).await?;
    for connections in [1, 100] {
        let of_each = plan.streams / connections;
        let name = format!("{} open streams on {connections} connections", plan.streams);
        load::streams(to, (connections, of_each), || watch.stage(&name)).await?;
    }
    let unanswered = load::unanswered(to, plan.unanswered).await?;
    watch.stage(&format!("{} requests without answers", plan.unanswered));
    let mut first = None;
    let churned = load::churn(to, (plan.churn, RATE), |passed| {
        watch.stage(&format!("{} minutes of churn", passed.as_secs() / 60));
        if passed >= plan.churn / 4 {
            first.get_or_insert(watch.resident());
        }
    });
    let churned = churned.await?;
    watch.stage("the end");
    let end = watch.resident();
    if let Some(first) = first.filter(|first| end > first + GROWTH) {
        watch
            .wrong
            .push(format!("grew from {first:.1} to {end:.1} MB in the churn"));
    }
    drop(unanswered);
    wait::until("the server to let go", wait::SOON, || {
        (descriptors(server.pid()) <= idle).then_some(())
    });
    // It has one thread: when it answers this, all that it closed is closed.
    load::short(to, 1).await?;
    Ok(churned + 1)
}

/// How many descriptors a process has open.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The agent's memory, stage by stage.
struct Watch {
    pid: u32,
    stages: String,
    wrong: Vec<String>,
}

impl Watch {
    fn resident(&self) -> f64 {
        Memory::of(self.pid).map_or(0.0, |memory| megabytes(memory.resident))
    }

    /// Notes how much it is once the agent has done what there was to do.
    fn stage(&mut self, name: &str) {
        let mut used = cpu_time(self.pid);
        let begun = Instant::now();
        while begun.elapsed() < wait::SOON {
            std::thread::sleep(QUIET);
            let before = std::mem::replace(&mut used, cpu_time(self.pid));
            if used - before <= IDLE {
                break;
            }
        }
        let memory = Memory::of(self.pid).unwrap_or_default();
        let (resident, peak) = (megabytes(memory.resident), megabytes(memory.peak));
        let line = format!("{name}: {resident:.1} MB, peak {peak:.1} MB");
        println!("  {line}");
        _ = writeln!(self.stages, "{line}");
        if peak > CEILING {
            self.wrong.push(format!("over {CEILING} MB: {line}"));
        }
    }
}

/// Many connections need as many descriptors, here and in the servers. What cannot be raised shows when they
/// are opened.
pub(crate) fn raise_file_limit() {
    const WANTED: libc::rlim_t = 65_536;
    let mut limit = libc::rlimit {
        rlim_cur: WANTED,
        rlim_max: WANTED,
    };
    // SAFETY: the calls take a pointer to a structure that outlives them.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0
            && libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0
        {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
