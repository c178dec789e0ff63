//! What most live tests begin with: an agent on some processes, sending to a sink of this process.

use std::fmt::Display;
use std::process::Command;

use tests::agent::{Agent, Ended, Stats};
use tests::servers::{self, Server};
use tests::sink::Sink;
use tests::span::Span;

use tests::agent::Family;

/// An agent and the sink it sends to.
pub struct Traced {
    /// The agent.
    pub agent: Agent,
    /// Its endpoint.
    pub sink: Sink,
}

impl Traced {
    /// Attaches to these processes, ready when it returns.
    #[track_caller]
    pub fn attach(family: Family, pids: &[u32]) -> Traced {
        Traced::attach_with(family, pids, &[])
    }

    /// Likewise, with further arguments.
    #[track_caller]
    pub fn attach_with(family: Family, pids: &[u32], more: &[&str]) -> Traced {
        Traced::started(family, pids, more, |_| ())
    }

    /// Likewise, reading propagated contexts of that format alone.
    #[track_caller]
    pub fn attach_reading(family: Family, pids: &[u32], format: &str) -> Traced {
        Traced::started(family, pids, &[], |command| {
            command.env("OTEL_PROPAGATORS", format);
        })
    }

    #[track_caller]
    fn started(
        family: Family,
        pids: &[u32],
        more: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Traced {
        let sink = Sink::start();
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let pids = pids.join(",");
        let endpoint = sink.endpoint();
        let mut arguments = vec!["-p", &pids, "--otlp-endpoint", &endpoint];
        arguments.extend(["--probes", family.name()]);
        arguments.extend(more);
        let agent = Agent::spawn_with(arguments, change);
        agent.wait_ready();
        // These tests hold that nothing is lost, with load generator and server as fast as they can on
        // all processors: so far behind that its ring is full the agent is by the scheduler's choice.
        agent.process.go_first();
        Traced { agent, sink }
    }

    /// Ends the agent in good order: all spans, and the counters, which add up and show no loss.
    #[track_caller]
    pub fn finish(self) -> (Vec<Span>, Stats) {
        let Ended { stats, stderr, .. } = self.agent.stop();
        let stats = stats.expect("checked by stop");
        stats.assert_nothing_lost();
        let spans = self.sink.spans();
        let taken = spans.len() as u64;
        assert_eq!(stats.spans.exported, taken, "{stats:?} {stderr:#?}");
        (spans, stats)
    }
}

/// Has a command executed by another one, which takes it as its last arguments: `setpriv`, `unshare`.
pub fn through(command: &mut Command, by: &[&str]) {
    let mut whole = Command::new(by[0]);
    whole.args(&by[1..]);
    whole.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    *command = whole;
}

/// A scripted peer that listens; see `tests/src/bin/peer.rs` for the steps.
#[track_caller]
pub fn listening_peer<S: AsRef<str>>(address: &str, steps: &[S]) -> Server {
    let mut command = servers::ours("peer");
    command.arg("listen").arg(address);
    command.args(steps.iter().map(AsRef::as_ref));
    Server::announced(&mut command)
}

/// A peer that answers every request without body on a connection with a small 200.
#[track_caller]
pub fn plain_peer() -> Server {
    listening_peer("127.0.0.1:0", &["head", OK, "again"])
}

/// The step that writes [`OK_SIZE`] bytes of response, [`OK_BODY`] of them body.
pub const OK: &str = "write:HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok";
/// Bytes of [`OK`] on the wire.
pub const OK_SIZE: u64 = 40;

/// A `traceparent` line, and the ids in it, made of a number.
pub fn traceparent(number: impl Display) -> (String, String, String) {
    let trace_id = format!("a{number:0>31}");
    let parent = format!("b{number:0>15}");
    let line = format!("traceparent: 00-{trace_id}-{parent}-01\r\n");
    (line, trace_id, parent)
}
