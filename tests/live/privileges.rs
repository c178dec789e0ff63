//! The agent keeps no more rights than it needs, and needs no more than it says.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tests::agent::{self, Agent, Family};
use tests::load::{self, get};

use crate::Test;
use crate::common::{plain_peer, through};

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("privileges_are_given_up", given_up),
        ("privileges_named_are_enough", enough),
        ("privileges_of_a_command", of_a_command),
    ]
}

/// Those for which the family of hooks makes no difference.
pub fn of_either() -> Vec<(&'static str, Test)> {
    vec![("privileges_lacked_are_named", lacked as Test)]
}

/// CAP_DAC_READ_SEARCH (2), CAP_SYS_PTRACE (19), CAP_PERFMON (38), CAP_BPF (39).
const NEEDED: &str = "000000c000080004";
/// And CAP_SYS_ADMIN (21), for probes in Go programs.
const KEPT: &str = "000000c000280004";

fn given_up(family: Family) {
    traces(family, KEPT, |_| ());
}

fn enough(family: Family) {
    traces(family, NEEDED, |command| {
        let only = "--bounding-set=-all,+dac_read_search,+sys_ptrace,+perfmon,+bpf";
        through(command, &["setpriv", "--inh-caps=-all", only]);
    });
}

/// An agent, started so, sees requests, and each of its threads may do just that.
#[track_caller]
fn traces(family: Family, capabilities: &str, started: impl FnOnce(&mut Command)) {
    const REQUESTS: usize = 20;
    let peer = plain_peer();
    let pid = peer.pid().to_string();
    let arguments = ["-p", &pid, "-o", "json", "--probes", family.name()];
    let agent = Agent::spawn_with(arguments, started);
    agent.wait_ready();
    load::run(peer.address, 1, REQUESTS, |n| get(format!("/{n}")));
    let threads = format!("/proc/{}/task", agent.process.pid());
    let threads = fs::read_dir(threads).expect("it runs");
    let may: BTreeSet<_> = threads
        .map(|thread| fs::read_to_string(thread.expect("listed").path().join("status")))
        .map(|status| may(&status.expect("its threads live as long as it")))
        .collect();
    let should = ["CapPrm", "CapEff"].map(|set| format!("{set}:\t{capabilities}"));
    let should = [&should[..], &["NoNewPrivs:\t1".to_owned()]].concat();
    assert_eq!(may, BTreeSet::from([should]));
    assert_eq!(agent.stop_for_stats().spans.exported, REQUESTS as u64);
}

/// Whatever keeps it from loading programs is told in one line.
fn lacked(family: Family) {
    let peer = plain_peer();
    let pid = peer.pid().to_string();
    for (by, said) in [
        (
            ["setpriv", "--bounding-set=-bpf,-sys_admin"],
            "CAP_BPF missing: run as root",
        ),
        (
            ["unshare", "--map-root-user"],
            "tracer is in a user namespace",
        ),
    ] {
        let arguments = ["-p", &pid, "--probes", family.name()];
        let ended = Agent::spawn_with(arguments, |command| through(command, &by)).wait();
        assert_eq!(ended.code, 1, "{ended:#?}");
        let [line] = &ended.stderr[..] else {
            panic!("one line: {ended:#?}");
        };
        assert!(line.contains(said), "{line}");
    }
}

/// What the `status` of a process or thread says of its rights.
fn may(status: &str) -> Vec<String> {
    let told = |line: &&str| {
        let name = line.split(':').next();
        matches!(name, Some("CapPrm" | "CapEff" | "NoNewPrivs"))
    };
    status.lines().filter(told).map(str::to_owned).collect()
}

/// What it starts may do all that the user may.
fn of_a_command(family: Family) {
    let probes = family.name();
    let command = ["--probes", probes, "--", "cat", "/proc/self/status"];
    let (code, stdout, stderr) = agent::run(&command);
    assert_eq!(code, 0, "{stderr:#?}");
    let ours = fs::read_to_string("/proc/self/status").expect("mounted");
    assert_eq!(may(&stdout.join("\n")), may(&ours));
}
