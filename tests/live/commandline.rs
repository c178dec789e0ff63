//! What is said at the terminal, and the exit codes: every refusal is one clear line.

use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use tests::agent::{self, Agent};
use tests::load::{self, get};
use tests::process::Process;
use tests::sink::{Mood, Sink};
use tests::wait;

use crate::Test;
use crate::common::plain_peer;
use tests::agent::Family;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("cli_failures_are_one_line", failures),
        ("cli_wrong_usage", wrong_usage),
        ("cli_without_root", without_root),
        ("cli_duration_and_signals", ends),
        ("cli_stats_on_standard_error", stats_on_stderr),
        ("cli_doctor", doctor),
    ]
}

/// A refusal: that exit code, one line that holds these words, nothing on standard output.
#[track_caller]
fn fails(should: i32, arguments: &[&str], words: &[&str]) {
    let (code, stdout, stderr) = agent::run(arguments);
    let shown = format!("{arguments:?}: exit code {code}, {stderr:#?}");
    assert_eq!(code, should, "{shown}");
    assert_eq!(stderr.len(), 1, "{shown}");
    assert!(stdout.is_empty(), "{shown}");
    for word in words {
        assert!(stderr[0].contains(word), "no `{word}` in {shown}");
    }
}

fn failures(family: Family) {
    let peer = plain_peer();
    let pid = peer.pid().to_string();
    let probes = family.name();
    fails(
        1,
        &["--probes", probes, "-p", "999999999"],
        &["999999999", "no such process"],
    );
    // kthreadd, the parent of all kernel threads.
    fails(1, &["--probes", probes, "-p", "2"], &["2", "kernel thread"]);
    let stats = "/no/such/folder/stats.json";
    fails(
        1,
        &["--probes", probes, "-p", &pid, "--stats", stats],
        &[stats],
    );
    for url in ["nonsense", "ftp://127.0.0.1", "http://"] {
        // What is typed is wrong, before anything is tried.
        fails(
            2,
            &["--probes", probes, "-p", &pid, "--otlp-endpoint", url],
            &[url],
        );
    }
    fails(
        1,
        &["--probes", probes, "-p", &format!("{pid},999999998")],
        &["999999998"],
    );
}

/// Wrong usage: exit code 2.
fn wrong_usage(_family: Family) {
    for arguments in [
        &["--no-such-option"][..],
        &[],
        &["-p", "abc"],
        &["-p", "0"],
        &["-p", "1", "--duration", "soon"],
        &["-p", "1", "--probes", "magic"],
        &["-p", "1", "--", "true"],
    ] {
        let (code, stdout, stderr) = agent::run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr:#?}");
        assert!(
            stdout.is_empty() && !stderr.is_empty(),
            "{arguments:?}: {stderr:#?}"
        );
    }
    assert_eq!(agent::run(&["--help"]).0, 0);
    assert_eq!(agent::run(&["--version"]).0, 0);
}

/// A user without rights is told what is missing.
fn without_root(family: Family) {
    const NOBODY: u32 = 65534;
    let peer = plain_peer();
    // The build's folder may be closed to others: run a copy.
    let dir = tempfile::tempdir().expect("a folder");
    let program = dir.path().join("tracer");
    std::fs::copy(agent::program().expect("built"), &program).expect("copied");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).expect("ours");
    let mut command = std::process::Command::new(&program);
    command.args(["-p", &peer.pid().to_string(), "--probes", family.name()]);
    command.uid(NOBODY).gid(NOBODY);
    let mut process = Process::start(&mut command);
    let code = process.wait_code(wait::SOON);
    let stderr = process.stderr.all();
    assert_eq!((code, stderr.len()), (1, 1), "{stderr:#?}");
    assert!(
        stderr[0].contains("root") || stderr[0].contains("CAP_"),
        "{stderr:#?}"
    );
}

/// `--duration`, Ctrl-C and the second Ctrl-C.
fn ends(family: Family) {
    let peer = plain_peer();
    let pid = peer.pid().to_string();
    let begun = Instant::now();
    let arguments = [
        "-p",
        &pid,
        "-o",
        "none",
        "--probes",
        family.name(),
        "--duration",
        "300ms",
    ];
    let ended = Agent::spawn(arguments).wait();
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(
        ended
            .stderr
            .last()
            .is_some_and(|line| line.starts_with("summary:")),
        "{ended:#?}"
    );

    let agent = Agent::start(&arguments[..6]);
    agent.process.signal(libc::SIGINT);
    let ended = agent.wait();
    assert_eq!(ended.code, 0, "{ended:#?}");

    // An endpoint that holds the end up: the second Ctrl-C does not await it.
    let sink = Sink::start();
    sink.set_mood(Mood::Slow(wait::patiently(wait::SOON * 3)));
    let mut arguments = arguments[..6].to_vec();
    let endpoint = sink.endpoint();
    arguments.extend(["--otlp-endpoint", &endpoint]);
    let mut agent = Agent::start(arguments);
    load::run(peer.address, 1, 10, |n| get(format!("/{n}")));
    agent.process.signal(libc::SIGINT);
    // Again until it is gone, as a person does: two signals at once may count as one.
    wait::until("its end", wait::SOON, || {
        agent.process.signal(libc::SIGINT);
        (!agent.process.is_running()).then_some(())
    });
}

/// `--stats -` writes them to standard error, as JSON.
fn stats_on_stderr(family: Family) {
    let peer = plain_peer();
    let arguments = [
        "-p",
        &peer.pid().to_string(),
        "--probes",
        family.name(),
        "--duration",
        "100ms",
    ];
    let (code, stdout, stderr) = agent::run(&[&arguments[..], &["--stats", "-"]].concat());
    assert_eq!(code, 0, "{stderr:#?}");
    assert!(stdout.is_empty(), "{stdout:#?}");
    assert!(
        stderr
            .last()
            .is_some_and(|line| line.starts_with("summary:")),
        "{stderr:#?}"
    );
    let text = stderr.join("\n");
    let start = text
        .find('{')
        .unwrap_or_else(|| panic!("no JSON in {text}"));
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter();
    let stats: agent::Stats = values.next().expect("a value").expect("the counters");
    stats.assert_add_up();
}

/// The doctor answers with 0 where tracing works, and as JSON too.
fn doctor(_family: Family) {
    let (code, stdout, stderr) = agent::run(&["doctor"]);
    assert_eq!(code, 0, "{stdout:#?} {stderr:#?}");
    assert!(
        stdout.iter().any(|line| line.contains("sock")),
        "{stdout:#?}"
    );
    let (code, stdout, _) = agent::run(&["doctor", "--json"]);
    assert_eq!(code, 0);
    serde_json::from_str::<serde_json::Value>(&stdout.join("\n")).expect("JSON");
}
