//! Namespaces, as containers have them: of the agent, of what it traces, and of both. Made by
//! `unshare`(1), since what a container runtime adds (an image, a network) is nothing to the agent.
//!
//! Leaves out: capabilities, which are [`crate::privileges`]'.

use std::process::Command;

use tests::agent::{Agent, Family};
use tests::load::{self, get};
use tests::servers::{self, Server};
use tests::sink::Sink;
use tests::{check, process, wait};

use crate::Test;
use crate::common::{OK, Traced, through};

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![("containers_of_both", of_both as Test)]
}

/// Those for which the family of hooks makes no difference.
pub fn of_either() -> Vec<(&'static str, Test)> {
    vec![
        ("containers_of_its_target", of_its_target as Test),
        ("containers_with_a_proc_of_others", proc_of_others),
    ]
}

/// A peer that answers every request, as the first process of namespaces of its own.
fn contained(namespaces: &[&str], address: &str) -> Server {
    let mut peer = servers::ours("peer");
    peer.args(["listen", address, "head", OK, "again"]);
    let mut unshare = vec!["unshare", "--fork", "--kill-child"];
    unshare.extend(namespaces);
    through(&mut peer, &unshare);
    Server::announced(&mut peer)
}

/// The one process that another forked.
#[track_caller]
fn child(pid: u32) -> u32 {
    wait::until("a child", wait::SOON, || {
        process::children(pid).first().copied()
    })
}

/// Agent and target in one container: ids are its own, as they are shown there.
fn of_both(family: Family) {
    let server = contained(&["--pid", "--mount-proc"], "127.0.0.1:0");
    let sink = Sink::start();
    let endpoint = sink.endpoint();
    let arguments = ["-p", "1", "--otlp-endpoint", &endpoint];
    let inside = child(server.pid()).to_string();
    let agent = Agent::spawn_with(
        [&arguments[..], &["--probes", family.name()]].concat(),
        |command| {
            through(
                command,
                &["nsenter", "--pid", "--mount", "--target", &inside],
            )
        },
    );
    agent.wait_ready();
    let exchanges = load::run(server.address, 2, 100, |n| get(format!("/{n}")));
    // `nsenter` only waits for it, and has its exit code.
    process::send(child(agent.process.pid()) as i32, libc::SIGTERM);
    let ended = agent.wait();
    assert_eq!(ended.code, 0, "{:#?}", ended.stderr);
    ended.stats.expect("--stats").assert_nothing_lost();
    let spans = sink.spans();
    check::exact(&spans, &exchanges);
    assert!(spans.iter().all(|span| span.pid() == Some(1)), "{spans:#?}");
}

/// The target alone in a container, with a network of its own: ids are the host's.
fn of_its_target(family: Family) {
    let namespaces = [
        "--pid",
        "--mount-proc",
        "--net",
        "--ipc",
        "--uts",
        "--cgroup",
    ];
    let server = contained(&namespaces, "[::]:0");
    let inside = child(server.pid());
    let traced = Traced::attach(family, &[inside]);
    // Nobody else reaches it, and its own network's loopback is down at first.
    let ask = format!(
        "ip link set lo up && curl --silent --fail http://127.0.0.1:{}/inside",
        server.address.port()
    );
    let mut asks = Command::new("nsenter");
    asks.args(["--net", "--target", &inside.to_string(), "sh", "-c", &ask]);
    let asked = asks.output().expect("nsenter");
    assert!(asked.status.success(), "{asked:?}");
    let (spans, _) = traced.finish();
    let [span] = &spans[..] else {
        panic!("one span: {spans:#?}");
    };
    assert_eq!(span.target(), "/inside");
    assert_eq!(span.pid(), Some(inside.into()));
}

/// In a container whose `/proc` is the host's, ids would be taken for others'.
fn proc_of_others(family: Family) {
    let arguments = ["-p", "1", "--probes", family.name()];
    let agent = Agent::spawn_with(arguments, |command| {
        through(command, &["unshare", "--pid", "--fork", "--kill-child"]);
    });
    let ended = agent.wait();
    assert_eq!(ended.code, 1, "{:#?}", ended.stderr);
    let [line] = &ended.stderr[..] else {
        panic!("one line: {:#?}", ended.stderr);
    };
    assert!(
        line.contains("/proc shows the process ids of another pid namespace"),
        "{line}"
    );
}
