//! The command line, as clap types: what can be typed, and nothing about what it means.
//!
//! Environment variables are [`crate::config`]'s: a bad one is a warning, not wrong usage, which
//! clap cannot tell apart.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::export::metrics::DEFAULT_PAGE;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::export::Rule;
use crate::probe::RING_SIZES;

const WHICH: &str = "Which processes";
const WHERE: &str = "Where spans go";
const WHAT: &str = "What spans hold";
const RUN: &str = "The run";

/// Traces the requests that processes serve and make, without touching them.
#[derive(Debug, Parser)]
#[command(
    name = "tracer",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    max_term_width = 110,
    override_usage = "tracer -p PID[,PID...] [OPTIONS]                      running processes\n       \
                      tracer [--exe GLOB] [--port PORT] [--all] [OPTIONS]   what matches, now and later\n       \
                      tracer [OPTIONS] -- CMD [ARG...]                      a command, from its first byte\n       \
                      tracer replay FILE [OPTIONS]                          a recording or capture\n       \
                      tracer doctor [--json]                                what this host offers",
    after_help = "\
Standard output carries spans and nothing else. Ctrl-C or SIGTERM ends a run:
what is complete is sent, the probes are taken off. Under `-- CMD` the run ends
with CMD, and so does its exit code; Ctrl-C is CMD's.

Examples:
  nginx and its workers, on this terminal:
    tracer -p $(pgrep -o nginx)
  whoever listens on 8080, now and later, to a collector:
    tracer --port 8080 --otlp-endpoint http://localhost:4318
  a command, as OTLP/JSON lines:
    tracer -o json --duration 10s -- python3 -m http.server > spans

Exit code: 0 fine, 1 a failure, 2 wrong usage; under `-- CMD` its own (128 + N if
signal N ended it, 127 not found, 126 not executable). The OTEL_* variables for
exporter, batching, limits and resource apply; a flag beats a variable."
)]
pub struct Cli {
    /// Trace these processes, and their children
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', help_heading = WHICH)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_PID))]
    pub pids: Vec<u32>,

    /// Trace processes whose executable's path matches, now and later (repeatable); without a slash
    /// the file's name is matched
    #[arg(long = "exe", value_name = "GLOB", help_heading = WHICH)]
    pub exes: Vec<String>,

    /// Trace processes that listen on this TCP port, now and later (repeatable)
    #[arg(long = "port", value_name = "PORT", value_delimiter = ',', help_heading = WHICH)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub ports: Vec<u16>,

    /// Trace every process of this host
    #[arg(long, help_heading = WHICH)]
    #[arg(conflicts_with_all = ["pids", "exes", "ports", "no_follow"])]
    pub all: bool,

    /// Do not trace the children of traced processes
    #[arg(long, help_heading = WHICH)]
    pub no_follow: bool,

    /// Start this command and trace it
    #[arg(last = true, value_name = "CMD", num_args = 1.., help_heading = WHICH)]
    #[arg(conflicts_with_all = ["pids", "exes", "ports", "all"])]
    pub command: Vec<OsString>,

    /// What becomes of spans.
    #[command(flatten)]
    pub shared: Shared,

    /// Which kernel hooks to use [env: TRACER_PROBES; default: auto, the first that works]
    #[arg(long, value_name = "FAMILY", help_heading = RUN)]
    pub probes: Option<Probes>,

    /// How much the kernel side may hold for the agent while that gets no CPU: 64K to 1G, rounded up to a
    /// power of two [env: TRACER_RING_SIZE; default: 8M]
    #[arg(long, value_name = "SIZE", value_parser = ring_size, help_heading = RUN)]
    pub ring_size: Option<u32>,

    /// End after this time: 500ms, 10s, 5m [default: with Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = RUN)]
    pub duration: Option<Duration>,

    /// Write what the probes see there, for `tracer replay`; credentials in heads and queries are
    /// overwritten, bodies are in it as far as they were captured
    #[arg(long, value_name = "FILE", help_heading = RUN)]
    pub record: Option<PathBuf>,

    /// Keep credentials in the recording
    #[arg(long, requires = "record", help_heading = RUN)]
    pub record_secrets: bool,

    /// Something else than tracing.
    #[command(subcommand)]
    pub task: Option<Task>,

    /// Print this
    #[arg(short, long, action = ArgAction::HelpShort, global = true, help_heading = RUN)]
    help: Option<bool>,
}

/// What becomes of spans, wherever they come from.
#[derive(Args, Debug)]
pub struct Shared {
    /// Send spans there; `v1/traces` is appended for HTTP [env: OTEL_EXPORTER_OTLP_ENDPOINT and
    /// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; default: nowhere]
    #[arg(long, value_name = "URL", help_heading = WHERE)]
    pub otlp_endpoint: Option<String>,

    /// How to speak to it [env: OTEL_EXPORTER_OTLP_PROTOCOL; default: http/protobuf]
    #[arg(long, value_name = "PROTOCOL", help_heading = WHERE)]
    pub otlp_protocol: Option<OtlpProtocol>,

    /// Serve metrics there as a page for Prometheus; without a host on loopback only [env:
    /// OTEL_EXPORTER_PROMETHEUS_HOST and OTEL_EXPORTER_PROMETHEUS_PORT; default: not at all]
    #[arg(long, value_name = "[HOST:]PORT", value_parser = listen_address, help_heading = WHERE)]
    pub metrics_listen: Option<(String, u16)>,

    /// Standard output [default: pretty without an endpoint, none with one]
    #[arg(short, long, value_name = "FORMAT", help_heading = WHERE)]
    pub output: Option<Output>,

    /// Stage events on spans [env: TRACER_LEVEL; default: detailed]
    #[arg(long, value_name = "LEVEL", help_heading = WHAT)]
    pub level: Option<Level>,

    /// Call every traced process this [env: OTEL_SERVICE_NAME; default: what it calls itself]
    #[arg(long, value_name = "NAME", help_heading = WHAT)]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub service_name: Option<String>,

    /// Put this header, or RPC metadata, of requests and responses on spans (repeatable) [env: TRACER_CAPTURE_HEADERS]
    #[arg(long = "capture-header", value_name = "NAME", value_delimiter = ',', help_heading = WHAT)]
    #[arg(value_parser = header_name)]
    pub capture_headers: Vec<String>,

    /// Call paths that match this their `http.route` (repeatable): /users/{id}, /files/*
    #[arg(long = "route", value_name = "PATTERN", help_heading = WHAT)]
    pub routes: Vec<String>,

    /// What names HTTP spans [default: path]
    #[arg(long, value_name = "WHAT", help_heading = WHAT)]
    pub names: Option<Names>,

    /// Keep spans that are so, whatever OTEL_TRACES_SAMPLER says, and without that variable only
    /// these: errors, slower=TIME (repeatable)
    #[arg(long, value_name = "RULE", value_parser = rule, help_heading = WHAT)]
    pub keep: Vec<Rule>,

    /// Leave out and count what is more
    #[arg(long, value_name = "N", help_heading = WHAT)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub max_spans_per_second: Option<u64>,

    /// Write the agent's counters there as JSON at the end; `-` is standard error
    #[arg(long, value_name = "FILE", help_heading = RUN)]
    pub stats: Option<PathBuf>,

    /// More messages (twice: of libraries too) [env: OTEL_LOG_LEVEL; default: info]
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet", help_heading = RUN)]
    pub verbose: u8,

    /// Fewer messages: warnings; twice: errors; three times: none
    #[arg(short, long, action = ArgAction::Count, help_heading = RUN)]
    pub quiet: u8,
}

/// A subcommand.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Say what this host and kernel offer, what is missing, and what to do about it
    Doctor {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Make spans of a recording (--record), or of a pcap or pcapng capture; needs no rights
    #[command(max_term_width = 110)]
    Replay {
        /// The recording or capture, gzipped or not; `-` is standard input
        file: PathBuf,
        /// What becomes of spans.
        #[command(flatten)]
        shared: Box<Shared>,
    },
}

/// `--otlp-protocol`: the names are those of `OTEL_EXPORTER_OTLP_PROTOCOL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtlpProtocol {
    /// OTLP/gRPC
    Grpc,
    /// OTLP/HTTP, binary
    #[value(name = "http/protobuf")]
    HttpProtobuf,
    /// OTLP/HTTP, JSON
    #[value(name = "http/json")]
    HttpJson,
}

/// `--output`: what standard output carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line and a stage bar per span, for people
    Pretty,
    /// An OTLP/JSON request per line
    Json,
    /// Nothing
    None,
}

/// `--level`: which stage events spans carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// All
    Detailed,
    /// Start and finish
    Base,
    /// None
    Disabled,
}

/// `--names`: what names HTTP spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Names {
    /// Method and route, or the path with its ids taken out
    Path,
    /// Method alone
    Method,
}

/// `--probes`: which family of kernel hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Probes {
    /// The first that works
    Auto,
    /// One hook per socket transfer (Linux >= 6.3)
    Sock,
    /// Entry and exit of system calls (any kernel)
    Syscall,
}

/// Largest process id that Linux gives is 2^22 (`PID_MAX_LIMIT`), but a larger number that fits a
/// `pid_t` is a process that does not exist, not wrong usage.
const MAX_PID: i64 = i32::MAX as i64;

/// A size of the ring in bytes: `64K`, `8M`, `1G`, or without a unit.
///
/// # Errors
///
/// What would be right.
pub fn ring_size(text: &str) -> Result<u32, String> {
    let units = [('K', 10), ('M', 20), ('G', 30)];
    let unit = units.into_iter().find_map(|(unit, bits)| {
        let number = text.strip_suffix([unit, unit.to_ascii_lowercase()])?;
        Some((number, bits))
    });
    let (number, bits) = unit.unwrap_or((text, 0));
    let bytes = number
        .parse()
        .ok()
        .and_then(|n: u64| n.checked_mul(1 << bits));
    bytes
        .and_then(u64::checked_next_power_of_two)
        .and_then(|bytes| u32::try_from(bytes).ok())
        .filter(|bytes| RING_SIZES.contains(bytes))
        .ok_or_else(|| "write it like 64K, 8M or 1G, which is the most".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write it like 500ms, 10s or 5m".to_owned())
}

fn rule(text: &str) -> Result<Rule, String> {
    match text.split_once('=') {
        None if text == "errors" => Ok(Rule::Errors),
        Some(("slower", time)) => duration(time).map(Rule::SlowerThan),
        _ => Err("write it like errors or slower=250ms".to_owned()),
    }
}

/// A header's name, in lower case as attributes have it (RFC 9110, 5.6.2: a token).
pub fn header_name(text: &str) -> Result<String, String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name = text.trim();
    if name.is_empty() || !name.bytes().all(token) {
        return Err("not the name of a header".to_owned());
    }
    Ok(name.to_ascii_lowercase())
}

/// Host and port. No host is loopback, no port the one that Prometheus exporters of OpenTelemetry have.
fn listen_address(text: &str) -> Result<(String, u16), String> {
    let (own, default) = DEFAULT_PAGE;
    let port = |digits: &str| digits.parse().map_err(|_| "no port ends it".to_owned());
    let (host, port) = match text.rsplit_once(':') {
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => (own, port(text)?),
        None => (text, default),
        // An IPv6 address as it is.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, default),
        Some((host, digits)) => (host, port(digits)?),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { own } else { host };
    Ok((host.to_owned(), port))
}

/// A clap error that is the user's mistake, as one line without its prefix.
pub fn usage_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| {
            !["Usage:", "tip:", "For more"]
                .iter()
                .any(|end| line.starts_with(end))
        })
        .filter(|line| !line.is_empty())
        .collect();
    let said = said.join(" ");
    let hint = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if !word.starts_with('-') => {
            format!("to start a command: tracer -- {word}")
        }
        _ => "see tracer --help".to_owned(),
    };
    format!("{} ({hint})", said.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn pids_repeat_and_take_commas() {
        let cli = parse("tracer -p 1,2 --pid 3").unwrap();
        assert_eq!(cli.pids, [1, 2, 3]);
    }

    #[test]
    fn command_keeps_its_own_options() {
        let cli = parse("tracer -o json -- curl -o file -p doctor").unwrap();
        assert_eq!(cli.shared.output, Some(Output::Json));
        assert_eq!(cli.command, ["curl", "-o", "file", "-p", "doctor"]);
        assert!(cli.task.is_none());
    }

    #[test]
    fn doctor_is_a_task_but_not_behind_the_dashes() {
        assert!(matches!(
            parse("tracer doctor --json").unwrap().task,
            Some(Task::Doctor { json: true })
        ));
        assert!(parse("tracer -- doctor").unwrap().task.is_none());
        assert!(parse("tracer -p 1 doctor").is_err());
    }

    #[test]
    fn a_replay_takes_the_options_of_spans() {
        let cli = parse("tracer replay a.pcap -o json --service-name shop").unwrap();
        let Some(Task::Replay { file, shared }) = cli.task else {
            panic!("{cli:?}");
        };
        assert_eq!(file, PathBuf::from("a.pcap"));
        assert_eq!(shared.output, Some(Output::Json));
        assert_eq!(shared.service_name.as_deref(), Some("shop"));
    }

    #[test]
    fn each_task_tells_its_options() {
        for (line, own) in [
            ("tracer --help", "--all"),
            ("tracer doctor --help", "--json"),
            ("tracer replay --help", "<FILE>"),
            ("tracer replay -h", "--stats"),
        ] {
            let asked = parse(line).expect_err(line);
            assert_eq!(asked.exit_code(), 0, "{line}: {asked}");
            assert!(asked.to_string().contains(own), "{line}: {asked}");
        }
    }

    #[test]
    fn wrong_usage_is_one_line() {
        for line in [
            "tracer -p 0",
            "tracer -p x",
            "tracer --all -p 1",
            "tracer --all --no-follow",
            "tracer -p 1 -- sleep 1",
            "tracer --port 70000",
            "tracer -p 1 --duration 10",
            "tracer -p 1 --ring-size 4K",
            "tracer -p 1 --ring-size 2G",
            "tracer -p 1 --ring-size much",
            "tracer -p 1 --level most",
            "tracer -p 1 --capture-header x:y",
            "tracer -p 1 -v -q",
            "tracer -p 1 --keep all",
            "tracer -p 1 --keep slower",
            "tracer -p 1 --keep slower=250",
            "tracer -p 1 --max-spans-per-second 0",
            "tracer -p 1 --record-secrets",
            "tracer replay",
            "tracer replay a --record b",
            "tracer replay a -p 1",
            "tracer --nonsense",
            "tracer nginx",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
            let said = usage_line(&error);
            assert!(!said.contains('\n') && !said.starts_with("error"), "{said}");
        }
    }

    #[test]
    fn times_are_written_with_their_unit() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("5m", 300_000)] {
            let cli = parse(&format!("tracer --all --duration {text}")).unwrap();
            assert_eq!(cli.duration, Some(Duration::from_millis(ms)));
        }
    }

    #[test]
    fn a_ring_is_a_power_of_two() {
        for (text, bytes) in [
            ("64K", 64 << 10),
            ("65536", 64 << 10),
            ("5m", 8 << 20),
            ("1G", 1 << 30),
        ] {
            assert_eq!(ring_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "32768", "1025M", "99999999999999999999G"] {
            assert!(ring_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_page_listens_on_loopback_unless_told_otherwise() {
        for (text, host, port) in [
            ("9464", "127.0.0.1", 9464),
            (":0", "127.0.0.1", 0),
            ("0.0.0.0:80", "0.0.0.0", 80),
            ("[::1]:80", "::1", 80),
            ("::", "::", 9464),
            ("metrics.example", "metrics.example", 9464),
        ] {
            let cli = parse(&format!("tracer --all --metrics-listen {text}")).unwrap();
            assert_eq!(
                cli.shared.metrics_listen,
                Some((host.to_owned(), port)),
                "{text}"
            );
        }
        assert!(parse("tracer --all --metrics-listen 70000").is_err());
        assert!(parse("tracer --all --metrics-listen h:x").is_err());
    }

    #[test]
    fn header_names_are_lower_case() {
        let cli = parse("tracer --all --capture-header X-Request-Id,Accept").unwrap();
        assert_eq!(cli.shared.capture_headers, ["x-request-id", "accept"]);
    }

    #[test]
    fn definition_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
