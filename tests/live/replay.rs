//! What is recorded while it is traced makes the same spans again, byte for byte, and holds no secret.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tests::agent::{self, Agent, Family};
use tests::load::{self, Request, get};
use tests::rpc::{Call, Form, Stack};
use tests::servers::{Kind, Server};

use crate::Test;
use crate::common::plain_peer;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("replay_is_what_was_live", same as Test),
        ("a_full_disk_cuts_a_recording", full_disk),
    ]
}

/// In what is sent, and in no file that comes of it.
const SECRET: &str = "s3cr3tPLANTED";

/// Calls of each kind.
const CALLS: usize = 40;

/// HTTP/1.1, gRPC, Thrift and TTHeader at once, with secrets wherever they have a place.
fn same(family: Family) {
    let http = Server::start(Kind::Node);
    let stacks = [
        Stack::GrpcGo,
        Stack::Thrift("framed"),
        Stack::Kitex("ttheader", Form::Thrift),
    ];
    let servers = stacks.map(Stack::serve);
    let mut pids = vec![http.pid()];
    let mut clients = Vec::new();
    for (stack, server) in stacks.iter().zip(&servers) {
        let client = stack.client(server, 2);
        pids.extend([server.pid(), client.pid()]);
        clients.push(client);
    }
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("recording");
    let path = file.to_str().expect("a path");
    let agent = recording(family, &pids.join(","), path);
    let requests = load::run(http.address, 4, CALLS, |number| Request {
        fields: format!("Authorization: Bearer {SECRET}\r\nCookie: a={SECRET}\r\n"),
        ..get(format!("/{number}?token={SECRET}&n={number}"))
    });
    assert_eq!(requests.len(), CALLS);
    for (stack, client) in stacks.iter().zip(&mut clients) {
        let method = match stack {
            Stack::GrpcGo => "/test.Echo/Unary",
            _ => "echo",
        };
        let calls = (0..CALLS).map(|number| Call {
            send: vec![number],
            answer: vec![number],
            ..Call::new(number, method)
        });
        client.tell(&calls.collect::<Vec<_>>());
    }
    for client in clients {
        assert_eq!(client.finish().len(), CALLS);
    }
    let live = agent.stop();
    let stats = live.stats.expect("it was told to write --stats");
    stats.assert_nothing_lost();
    assert_eq!(stats.limits["recorded_events"], 0, "{stats:?}");
    assert_eq!(stats.spans.exported, CALLS as u64 * 7, "{stats:?}");

    let (code, stdout, stderr) = agent::run(&["replay", path, "-o", "json"]);
    assert_eq!(code, 0, "{stderr:#?}");
    assert_eq!(stderr.len(), 1, "the summary alone: {stderr:#?}");
    assert!(stdout == live.stdout, "the replay differs from the run");

    let data = std::fs::metadata(&file).expect("it was written");
    assert_eq!(data.permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&file).expect("ours");
    let header = bytes.iter().position(|byte| *byte == b'\n').expect("one") + 1;
    let mut plain = Vec::new();
    flate2::bufread::DeflateDecoder::new(&bytes[header..])
        .read_to_end(&mut plain)
        .expect("one stream to its end");
    let holds = |text: &str| {
        let mut windows = plain.windows(text.len());
        windows.any(|part| part == text.as_bytes())
    };
    assert!(holds("Authorization: "), "the heads are in it");
    assert!(!holds(SECRET), "a secret is in it");
    assert!(!live.stdout.iter().any(|line| line.contains(SECRET)));
}

/// An agent that shows and records what these processes do.
fn recording(family: Family, pids: &str, file: &str) -> Agent {
    let probes = ["-p", pids, "--probes", family.name()];
    Agent::start([&probes[..], &["-o", "json", "--record", file]].concat())
}

/// A file system of 64 KiB; unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Small {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=64k", "none"]);
        let status = command.arg(folder.path()).status().expect("mount");
        assert!(status.success(), "mount: {status}");
        Small(folder)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // What is left of it if this fails goes with the machine.
        _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Tracing goes on, with one line of what happened, and what is in the file is replayed.
fn full_disk(family: Family) {
    const REQUESTS: usize = 60;
    let server = plain_peer();
    let disk = Small::mount();
    let file = disk.0.path().join("recording");
    let path = file.to_str().expect("a path");
    let pid = server.pid().to_string();
    let agent = recording(family, &pid, path);
    load::run(server.address, 1, REQUESTS, |number| Request {
        // 4 KiB that nothing compresses by more than half.
        fields: format!("X-Any: {}\r\n", digits(number as u64, 4096)),
        ..get(format!("/{number}"))
    });
    let live = agent.stop();
    let stats = live.stats.expect("it was told to write --stats");
    assert_eq!(stats.spans.exported, REQUESTS as u64, "{stats:?}");
    assert!(stats.limits["recorded_events"] > 0, "{stats:?}");
    let said = |line: &&String| line.contains("No space left");
    assert_eq!(
        live.stderr.iter().filter(said).count(),
        1,
        "{:#?}",
        live.stderr
    );

    let (code, stdout, stderr) = agent::run(&["replay", path, "-o", "json"]);
    assert_eq!((code, stderr.len()), (0, 2), "{stderr:#?}");
    assert!(
        stderr[0].ends_with("is cut: replayed up to there"),
        "{stderr:#?}"
    );
    // What the last line holds ends where the file does.
    let (_, whole) = stdout.split_last().expect("spans");
    assert!(
        live.stdout.starts_with(whole),
        "the replay differs from the run"
    );
}

/// Hexadecimal digits that look like any (Knuth's MMIX).
fn digits(seed: u64, count: usize) -> String {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        format!("{:08x}", state >> 32)
    };
    (0..count / 8).map(|_| next()).collect()
}
