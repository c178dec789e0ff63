//! The agent under test: the built program, started, awaited, stopped, and what it said of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::process::Process;
use crate::recording::Recording;
use crate::wait;

/// What `--probes` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// BTF tracepoints of socket transfers.
    Sock,
    /// Tracepoints of system calls.
    Syscall,
}

impl Family {
    /// Both, in the order that tests run over them.
    pub const ALL: [Family; 2] = [Family::Sock, Family::Syscall];

    /// Why this kernel has none of it, if so, which its version says.
    ///
    /// The tracepoints of the socket family came with Linux 6.3. The agent is not asked: that it finds
    /// what there is, is tested.
    pub fn missing(self) -> Option<String> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("procfs");
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next().and_then(|number| number.parse().ok());
        let (major, minor): (u32, u32) = (next().unwrap_or(0), next().unwrap_or(0));
        (self == Family::Sock && (major, minor) < (6, 3))
            .then(|| format!("Linux {major}.{minor} has no `sock` probes"))
    }

    /// Those that there are on this kernel.
    pub fn here() -> Vec<Family> {
        let is_here = |family: &Family| family.missing().is_none();
        Family::ALL.into_iter().filter(is_here).collect()
    }

    /// For `--probes`.
    pub fn name(self) -> &'static str {
        match self {
            Family::Sock => "sock",
            Family::Syscall => "syscall",
        }
    }
}

/// The built agent: `TRACER_BIN`, as `cargo xtask test` sets it; none without it.
pub fn program() -> Option<PathBuf> {
    std::env::var_os("TRACER_BIN").map(PathBuf::from)
}

/// A running agent; killed when dropped.
pub struct Agent {
    /// The process.
    pub process: Process,
    stats: tempfile::TempPath,
    recording: Option<Recording>,
}

/// How an agent ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, 128 + signal where one ended it.
    pub code: i32,
    /// Its `--stats`; none if it wrote none.
    pub stats: Option<Stats>,
    /// Lines of standard output.
    pub stdout: Vec<String>,
    /// Lines of standard error.
    pub stderr: Vec<String>,
}

/// The counters of `--stats`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are the interface's")]
pub struct Stats {
    pub transfers: Transfers,
    pub messages: Messages,
    pub spans: Spans,
    pub limits: BTreeMap<String, u64>,
    #[serde(default)]
    pub contexts: Contexts,
}

/// Counters of the kernel side.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are the interface's")]
pub struct Transfers {
    pub seen: u64,
    pub delivered: u64,
    pub lost: BTreeMap<String, u64>,
}

/// Counters of requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are the interface's")]
pub struct Messages {
    pub started: u64,
    pub complete: u64,
    pub incomplete: BTreeMap<String, u64>,
}

/// Counters of what was made of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are the interface's")]
pub struct Spans {
    pub made: u64,
    pub exported: u64,
    pub unsampled: u64,
    #[serde(default)]
    pub unsampled_by: BTreeMap<String, u64>,
    pub dropped: BTreeMap<String, u64>,
}

/// Counters of propagated trace contexts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are the counters'")]
pub struct Contexts {
    pub read: u64,
    pub malformed: u64,
    pub disagreeing: u64,
    pub answered: u64,
}

impl Stats {
    /// Those of the three equations that hold at exit, always, but do not hold here.
    pub fn imbalances(&self) -> Vec<String> {
        let sum = |map: &BTreeMap<String, u64>| map.values().sum::<u64>();
        let (transfers, messages, spans) = (&self.transfers, &self.messages, &self.spans);
        let hold = [
            transfers.seen == transfers.delivered + sum(&transfers.lost),
            messages.started == messages.complete + sum(&messages.incomplete),
            spans.made == spans.exported + spans.unsampled + sum(&spans.dropped),
        ];
        let shown = [
            format!("{transfers:?}"),
            format!("{messages:?}"),
            format!("{spans:?}"),
        ];
        std::iter::zip(hold, shown)
            .filter(|(holds, _)| !holds)
            .map(|(_, shown)| format!("does not add up: {shown}"))
            .collect()
    }

    /// The three equations.
    #[track_caller]
    pub fn assert_add_up(&self) {
        let imbalances = self.imbalances();
        assert!(imbalances.is_empty(), "{imbalances:#?}");
    }

    /// The equations, and that the kernel's transfers all arrived.
    #[track_caller]
    pub fn assert_nothing_lost(&self) {
        self.assert_add_up();
        assert!(self.transfers.seen > 0, "no transfer was seen: {self:?}");
        assert_eq!(self.transfers.seen, self.transfers.delivered, "{self:?}");
    }
}

impl Agent {
    /// Starts it without awaiting anything; `--stats` is added.
    #[track_caller]
    pub fn spawn<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Agent {
        Agent::spawn_with(arguments, |_| ())
    }

    /// Starts it, its command changed by `change` before (environment, standard input).
    #[track_caller]
    pub fn spawn_with<A: AsRef<std::ffi::OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        change: impl FnOnce(&mut Command),
    ) -> Agent {
        let stats = tempfile::NamedTempFile::new()
            .expect("a file")
            .into_temp_path();
        let arguments: Vec<A> = arguments.into_iter().collect();
        let mut command = command();
        command.arg("--stats").arg(&stats);
        let recording = Recording::wanted(&arguments);
        if let Some(recording) = &recording {
            command.arg("--record").arg(recording.path());
        }
        command.args(arguments);
        change(&mut command);
        Agent {
            process: Process::start(&mut command),
            stats,
            recording,
        }
    }

    /// Starts it and awaits its `ready:` line.
    #[track_caller]
    pub fn start<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Agent {
        let agent = Agent::spawn(arguments);
        agent.wait_ready();
        agent
    }

    /// Awaits the `ready:` line and gives it.
    #[track_caller]
    pub fn wait_ready(&self) -> String {
        let is_ready = |line: &str| line.starts_with("ready:");
        self.process.stderr.wait_for("ready: line", is_ready)
    }

    /// Ends it with SIGTERM; it must exit 0, with a summary and with counters that add up.
    #[track_caller]
    pub fn stop(mut self) -> Ended {
        self.process.signal(libc::SIGTERM);
        let recording = self.recording.take();
        let ended = self.wait();
        assert_eq!(ended.code, 0, "{:#?}", ended.stderr);
        assert!(
            ended
                .stderr
                .last()
                .is_some_and(|line| line.starts_with("summary:")),
            "the last line is no summary: {:#?}",
            ended.stderr
        );
        let stats = ended.stats.as_ref().expect("it was told to write --stats");
        stats.assert_add_up();
        if let Some(recording) = recording {
            recording.assert_same(stats);
        }
        ended
    }

    /// Ends it with SIGTERM like [`Agent::stop`]; gives its counters.
    #[track_caller]
    pub fn stop_for_stats(self) -> Stats {
        self.stop().stats.expect("checked by stop")
    }

    /// Awaits its end, for which somebody else is the cause.
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        let code = self.process.wait_code(LONGEST_END);
        let stats = std::fs::read_to_string(&self.stats).unwrap_or_default();
        Ended {
            code,
            stats: (!stats.is_empty())
                .then(|| serde_json::from_str(&stats).expect("--stats is JSON of that shape")),
            stdout: self.process.stdout.all(),
            stderr: self.process.stderr.all(),
        }
    }
}

/// The exporter's timeout bounds an agent's end: 30 s by default, and some for the rest.
const LONGEST_END: Duration = Duration::from_secs(45);

/// The agent's command, free of the variables that would configure it.
pub fn command() -> Command {
    let mut command = Command::new(program().expect("TRACER_BIN: run `cargo xtask test`"));
    for (name, _) in std::env::vars() {
        if name.starts_with("OTEL_") || name.starts_with("TRACER_") {
            command.env_remove(name);
        }
    }
    // Its endpoint is a thread of these tests, which may be late where they are patient; and what was not
    // answered in time is sent again.
    for (name, default) in [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", Duration::from_secs(10)),
        ("OTEL_BSP_EXPORT_TIMEOUT", Duration::from_secs(30)),
    ] {
        let longest = wait::patiently(default);
        if longest > default {
            command.env(name, longest.as_millis().to_string());
        }
    }
    command
}

/// Runs the agent to its own end: exit code and outputs, for what ends by itself.
#[track_caller]
pub fn run(arguments: &[&str]) -> (i32, Vec<String>, Vec<String>) {
    let mut process = Process::start(command().args(arguments));
    let code = process.wait_code(wait::SOON);
    (code, process.stdout.all(), process.stderr.all())
}
