//! What an agent and its targets go through in a long life: attached and detached, killed, storms of
//! processes, names that do not resolve, files that take nothing. The service never notices, and nothing
//! stays behind.
//!
//! Elsewhere: an agent that is stopped or starved ([`crate::accounting`]), endpoints that are away
//! ([`crate::export`]), a target that is killed ([`crate::attach`]).

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use tests::agent::{Agent, Family};
use tests::check;
use tests::load::{self, get};
use tests::servers::{self, Kind, Server};
use tests::sink::Sink;
use tests::wait;

use crate::Test;
use crate::attach::{assert_nothing_left, bpf_objects};
use crate::common::{OK, plain_peer, through};

/// The tests of this module: the family of hooks makes no difference.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("faults_attached_and_detached", cycles as Test),
        ("faults_ends_behind_its_target", ends_behind_its_target),
        ("faults_storm_of_processes", storm),
        ("faults_name_does_not_resolve", name_does_not_resolve),
        ("faults_files_take_nothing", files_take_nothing),
    ]
}

/// How often [`cycles`] attaches: each takes as long as a start of the agent. More by the variable
/// `TRACER_CYCLES`, as by hand, where 500 are made.
fn count() -> usize {
    let told = std::env::var("TRACER_CYCLES").ok();
    told.map_or(3, |count| count.parse().expect("a number"))
}

/// Agents come to busy services, and go in good order or killed: no request fails, and in the kernel
/// nothing stays.
fn cycles(family: Family) {
    let servers = [Kind::Go, Kind::Nginx].map(|kind| (kind, Server::start(kind)));
    let pids = servers
        .each_ref()
        .map(|(_, server)| server.pid().to_string());
    let pids = pids.join(",");
    let before = bpf_objects();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&over);
        for (kind, server) in &servers {
            let over = &over;
            // Panics if any request fails.
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    load::run(server.address, 2, 100, |n| kind.request(n));
                }
            });
        }
        for cycle in 0..count() {
            let mut agent = Agent::start(["-p", &pids, "-o", "none", "--probes", family.name()]);
            if cycle % 2 == 0 {
                agent.stop();
            } else {
                agent.process.child().kill().expect("it runs");
                assert_eq!(agent.wait().code, 128 + libc::SIGKILL);
            }
        }
    });
    assert_nothing_left(&before);
}

/// Of two processes of one Go program one ends, and then the agent, at once: what takes the probes off is not
/// interrupted, of which the kernel would say that it leaks. Over the family whose own hooks are off sooner.
fn ends_behind_its_target(_: Family) {
    let family = Family::here()[0];
    let mut kernel_says = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .expect("root reads it");
    kernel_says.seek(SeekFrom::End(0)).expect("its end");
    for _ in 0..3 {
        let [first, second] = [(); 2].map(|()| Server::start(Kind::Go));
        let pids = format!("{},{}", first.pid(), second.pid());
        let agent = Agent::start(["-p", &pids, "-o", "none", "--probes", family.name()]);
        drop(first);
        wait::until("a thread that takes probes off", wait::SOON, || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", agent.process.pid())).ok()?;
            let mut names = threads
                .flatten()
                .filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
            names.find(|name| name == "tracer-detach\n")
        });
        agent.stop();
    }
    let mut record = [0; 8192];
    while let Ok(length) = kernel_says.read(&mut record) {
        let said = String::from_utf8_lossy(&record[..length]);
        assert!(!said.contains("leaking uprobe"), "{said}");
    }
}

/// Says that it is over when it goes, also when a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Executes itself `$1` times, then forks a thousand processes, and is a peer at last: `$2`, whose answer
/// is `$3`.
const STORM: &str = r#"
[ "$1" = 0 ] || exec sh -c "$0" "$0" $(($1 - 1)) "$2" "$3"
i=0
while [ $i -lt 1000 ]; do (:); i=$((i + 1)); done
exec "$2" listen 127.0.0.1:0 head "$3" again
"#;

/// A process that executes one program after the other and forks a thousand others is the same process,
/// and traced as exactly as any.
fn storm(family: Family) {
    let sink = Sink::start();
    let peer = servers::ours("peer");
    let program = peer.get_program().to_str().expect("a path");
    let endpoint = sink.endpoint();
    let mut arguments = vec!["--otlp-endpoint", &endpoint, "--probes", family.name()];
    arguments.extend(["--", "sh", "-c", STORM, STORM, "50", program, OK]);
    let agent = Agent::spawn(arguments);
    let is_port = |line: &str| line.parse::<u16>().is_ok();
    let port = agent.process.stdout.wait_for("port", is_port);
    let address = ([127, 0, 0, 1], port.parse().expect("checked")).into();
    let exchanges = load::run(address, 5, 100, |n| get(format!("/{n}")));
    agent.stop_for_stats().assert_nothing_lost();
    check::exact(&sink.spans(), &exchanges);
}

/// Nobody knows the endpoint's name, then somebody does: what was seen meanwhile arrives.
fn name_does_not_resolve(family: Family) {
    let sink = Sink::start();
    let server = plain_peer();
    let mut hosts = tempfile::NamedTempFile::new().expect("a file");
    let mut servers = tempfile::NamedTempFile::new().expect("a file");
    // Where no name server is: an answer at once.
    writeln!(servers, "nameserver 127.0.0.1").expect("room");
    let [hosts_file, servers_file] = [&hosts, &servers].map(|file| file.path().display());
    let resolving = format!(
        "mount --bind {hosts_file} /etc/hosts && mount --bind {servers_file} /etc/resolv.conf && exec \"$@\""
    );
    let endpoint = sink.endpoint().replace("127.0.0.1", "collector.invalid");
    let pid = server.pid().to_string();
    let arguments = ["-p", &pid, "--otlp-endpoint", &endpoint, "--probes"];
    let agent = Agent::spawn_with([&arguments[..], &[family.name()]].concat(), |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "10");
        through(
            command,
            &["unshare", "--mount", "sh", "-c", &resolving, "sh"],
        );
    });
    agent.wait_ready();
    let exchanges = load::run(server.address, 2, 20, |n| get(format!("/{n}")));
    let unknown = |line: &str| line.contains("failed to lookup address");
    agent.process.stderr.wait_for("what it waits for", unknown);
    writeln!(hosts, "127.0.0.1 collector.invalid").expect("room");
    sink.wait_for("all spans", |spans| spans.len() == exchanges.len());
    assert_eq!(agent.stop_for_stats().spans.exported, 20);
    check::exact(&sink.spans(), &exchanges);
}

/// Standard output is a disk without room, and the recording is removed: each is told once and counted, and
/// the run goes on.
fn files_take_nothing(family: Family) {
    const REQUESTS: usize = 20;
    let server = plain_peer();
    let folder = tempfile::tempdir().expect("a folder");
    let recording = folder.path().join("recording");
    let file = recording.to_str().expect("a path");
    let pid = server.pid().to_string();
    let arguments = ["-p", &pid, "-o", "json", "--record", file, "--probes"];
    let agent = Agent::spawn_with([&arguments[..], &[family.name()]].concat(), |command| {
        through(command, &["sh", "-c", "exec \"$@\" > /dev/full", "sh"]);
    });
    agent.wait_ready();
    std::fs::remove_file(&recording).expect("it is there");
    load::run(server.address, 1, REQUESTS, |n| get(format!("/{n}")));
    let ended = agent.stop();
    let stats = ended.stats.as_ref().expect("checked by stop");
    stats.assert_nothing_lost();
    assert_eq!(stats.spans.dropped["output"], REQUESTS as u64, "{stats:?}");
    assert!(stats.limits["recorded_events"] >= 2 * REQUESTS as u64);
    for said in ["standard output: No space left", "the file was removed"] {
        let lines = ended.stderr.iter().filter(|line| line.contains(said));
        assert_eq!(lines.count(), 1, "{said}: {ended:#?}");
    }
}
