//! Flags and environment into one [`Config`]: every decision of the user's, made once.
//!
//! A flag beats the variable. A bad flag is wrong usage and ends the run before it begins; a bad
//! variable is a warning and counts as unset. Nothing is read from the system here: tests give both.

mod metrics;
mod otlp;
mod variables;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use log::LevelFilter;

pub use variables::Variables;

use crate::cli::{self, Cli, Shared};
use crate::context::{Format, Formats};
use crate::export::{self, Batching, Limits, Sampler};
use crate::probe;
use crate::record::Secrets;
use crate::resource;
use crate::semconv::{self, CapturedHeader, Routes};
use crate::target::Selection;

/// A run as the user wants it.
#[derive(Debug)]
pub struct Config {
    /// Where spans come from.
    pub task: Task,
    /// Where spans go and what they say.
    pub export: export::Settings,
    /// Who reads metrics.
    pub metrics: export::metrics::Metrics,
    /// Which propagated contexts are read.
    pub formats: Formats,
    /// What paths are called.
    pub routes: Routes,
    /// What all processes are called.
    pub resource: resource::Options,
    /// Where the counters go at the end.
    pub stats: Option<Stats>,
    /// How much is said on standard error.
    pub messages: LevelFilter,
    /// What was wrong with the environment, a line each.
    pub warnings: Vec<String>,
}

/// Where spans come from.
#[derive(Debug)]
pub enum Task {
    /// Processes of this host.
    Trace(Trace),
    /// A recording or a capture.
    Replay(PathBuf),
}

/// What is traced.
#[derive(Debug)]
pub struct Trace {
    /// Which processes.
    pub selection: Selection,
    /// Their children too, those there are and those to come.
    pub follow: bool,
    /// What the kernel side is told.
    pub probe: probe::Options,
    /// Where what the probes see is written.
    pub record: Option<(PathBuf, Secrets)>,
    /// The run ends after this; none = when the user says so.
    pub duration: Option<Duration>,
}

/// `--stats`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stats {
    /// `-`
    StandardError,
    /// Anything else.
    File(PathBuf),
}

impl Config {
    /// From what was typed and the environment.
    ///
    /// # Errors
    ///
    /// Wrong usage that the types of the command line do not rule out, as one line.
    pub fn new(cli: Cli, mut variables: Variables) -> Result<Config, String> {
        let shared = match &cli.task {
            Some(cli::Task::Replay { shared, .. }) => shared,
            _ => &cli.shared,
        };
        let (otlp, output) = otlp::destinations(shared, &mut variables)?;
        let export = export::Settings {
            otlp,
            output,
            sampler: sampler(&mut variables, !shared.keep.is_empty()),
            keep: shared.keep.clone(),
            most_per_second: shared.max_spans_per_second,
            wording: wording(shared, &mut variables),
            limits: limits(&mut variables),
            batching: batching(&mut variables),
        };
        let metrics = metrics::readers(shared, &mut variables);
        let routes = Routes::new(shared.routes.iter().map(String::as_str))
            .map_err(|wrong| format!("--route: {wrong}"))?;
        let resource = resource::Options {
            service_name: shared
                .service_name
                .clone()
                .or_else(|| variables.text("OTEL_SERVICE_NAME")),
            attributes: variables
                .parsed("OTEL_RESOURCE_ATTRIBUTES", resource::parse_attributes)
                .unwrap_or_default(),
        };
        let formats = formats(&mut variables);
        let messages = messages(shared, &mut variables);
        let stats = shared.stats.as_ref().map(|path| match path.to_str() {
            Some("-") => Stats::StandardError,
            _ => Stats::File(path.clone()),
        });
        let task = match cli.task {
            Some(cli::Task::Replay { file, .. }) => Task::Replay(file),
            _ => Task::Trace(trace(cli, &mut variables)?),
        };
        Ok(Config {
            task,
            export,
            metrics,
            formats,
            routes,
            resource,
            stats,
            messages,
            warnings: variables.warnings(),
        })
    }
}

/// Which processes, and how.
fn trace(cli: Cli, variables: &mut Variables) -> Result<Trace, String> {
    let family = cli.probes.or_else(|| word(variables, "TRACER_PROBES"));
    let follow = !cli.no_follow;
    let selection = if !cli.command.is_empty() {
        Selection::Command(cli.command)
    } else if cli.all {
        Selection::All
    } else if cli.pids.is_empty() && cli.exes.is_empty() && cli.ports.is_empty() {
        return Err("nothing to trace: give -p PID, --exe GLOB, --port PORT, --all, or -- CMD (see tracer --help)".to_owned());
    } else {
        Selection::Matching {
            pids: cli.pids,
            exes: cli.exes,
            ports: cli.ports,
        }
    };
    let probe = probe::Options {
        family: family.and_then(|family| match family {
            cli::Probes::Auto => None,
            cli::Probes::Sock => Some(probe::Family::Sock),
            cli::Probes::Syscall => Some(probe::Family::Syscall),
        }),
        follow,
        all: selection == Selection::All,
        watch_all: selection.open_ended(),
        ring_bytes: cli
            .ring_size
            .or_else(|| variables.parsed("TRACER_RING_SIZE", cli::ring_size))
            .unwrap_or(probe::RING_BYTES),
    };
    let secrets = match cli.record_secrets {
        true => Secrets::Kept,
        false => Secrets::Redacted,
    };
    Ok(Trace {
        selection,
        follow,
        probe,
        record: cli.record.map(|path| (path, secrets)),
        duration: cli.duration,
    })
}

/// A variable whose values are those of a flag.
fn word<T: ValueEnum>(variables: &mut Variables, name: &str) -> Option<T> {
    variables.parsed(name, |text| {
        T::from_str(text, true).map_err(|_| {
            let values = T::value_variants()
                .iter()
                .filter_map(|value| value.to_possible_value());
            let names: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
            format!("'{text}' is none of {}", names.join(", "))
        })
    })
}

fn wording(cli: &Shared, variables: &mut Variables) -> semconv::Options {
    let level = cli.level.or_else(|| word(variables, "TRACER_LEVEL"));
    let list = |text: &str| -> Vec<String> {
        text.split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    };
    let mut captured = cli.capture_headers.clone();
    if captured.is_empty() {
        let names = variables.parsed("TRACER_CAPTURE_HEADERS", |text| {
            list(text)
                .iter()
                .map(|name| cli::header_name(name).map_err(|bad| format!("'{name}' is {bad}")))
                .collect()
        });
        captured = names.unwrap_or_default();
    }
    captured.sort();
    captured.dedup();
    semconv::Options {
        level: level.map_or_else(semconv::Level::default, |level| match level {
            cli::Level::Detailed => semconv::Level::Detailed,
            cli::Level::Base => semconv::Level::Base,
            cli::Level::Disabled => semconv::Level::Disabled,
        }),
        captured: captured
            .iter()
            .map(|name| CapturedHeader::new(name))
            .collect(),
        known_methods: variables
            .text("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS")
            .map(|text| list(&text)),
        names: match cli.names {
            None | Some(cli::Names::Path) => semconv::Names::Path,
            Some(cli::Names::Method) => semconv::Names::Method,
        },
    }
}

/// Names that are unknown are told; if no other is left, the variable counts as unset.
fn formats(variables: &mut Variables) -> Formats {
    let Some(names) = variables.text("OTEL_PROPAGATORS") else {
        return Formats::default();
    };
    let (formats, unknown) = Formats::named(&names);
    for name in &unknown {
        let known: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
        variables.warn(format!(
            "OTEL_PROPAGATORS: '{name}' is none of tracecontext, baggage, ottrace, none, {}; ignored",
            known.join(", ")
        ));
    }
    match unknown.is_empty() || !formats.is_empty() {
        true => formats,
        false => Formats::default(),
    }
}

/// With rules for what to keep, and no word of a sampler, only that is kept.
fn sampler(variables: &mut Variables, rules: bool) -> Sampler {
    let argument = variables
        .text("OTEL_TRACES_SAMPLER_ARG")
        .unwrap_or_default();
    let sampler = variables.parsed("OTEL_TRACES_SAMPLER", |name| {
        // A bad argument leaves the sampler its default (OpenTelemetry, SDK configuration).
        Sampler::from_names(name, "").map(|plain| (name.to_owned(), plain))
    });
    let Some((name, plain)) = sampler else {
        return if rules {
            Sampler::OFF
        } else {
            Sampler::default()
        };
    };
    match Sampler::from_names(&name, &argument) {
        Ok(sampler) => sampler,
        Err(reason) => {
            variables.warn(format!("OTEL_TRACES_SAMPLER_ARG: {reason}; ignored"));
            plain
        }
    }
}

fn limits(variables: &mut Variables) -> Limits {
    let default = Limits::default();
    let mut first = |names: [&str; 2]| names.iter().find_map(|name| variables.number(name, 0));
    Limits {
        attributes: first([
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
            "OTEL_ATTRIBUTE_COUNT_LIMIT",
        ])
        .unwrap_or(default.attributes),
        value_length: first([
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        ])
        .or(default.value_length),
        events: variables
            .number("OTEL_SPAN_EVENT_COUNT_LIMIT", 0)
            .unwrap_or(default.events),
    }
}

fn batching(variables: &mut Variables) -> Batching {
    let default = Batching::default();
    let schedule_delay = variables.milliseconds("OTEL_BSP_SCHEDULE_DELAY");
    let export_timeout = variables.timeout("OTEL_BSP_EXPORT_TIMEOUT");
    let max_queue_size = variables
        .number("OTEL_BSP_MAX_QUEUE_SIZE", 1)
        .unwrap_or(default.max_queue_size);
    let batch = variables.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1);
    if let Some(batch) = batch.filter(|batch| *batch > max_queue_size) {
        variables.warn(format!(
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: {batch} is more than the queue holds; {max_queue_size} is used"
        ));
    }
    Batching {
        schedule_delay: schedule_delay.unwrap_or(default.schedule_delay),
        export_timeout: export_timeout.unwrap_or(default.export_timeout),
        max_queue_size,
        max_batch_size: batch.unwrap_or(default.max_batch_size).min(max_queue_size),
    }
}

fn messages(cli: &Shared, variables: &mut Variables) -> LevelFilter {
    match (cli.verbose, cli.quiet) {
        (0, 0) => {}
        (0, 1) => return LevelFilter::Warn,
        (0, 2) => return LevelFilter::Error,
        (0, _) => return LevelFilter::Off,
        (1, _) => return LevelFilter::Debug,
        _ => return LevelFilter::Trace,
    }
    let level = variables.parsed("OTEL_LOG_LEVEL", |text| {
        match text.to_ascii_lowercase().as_str() {
            "none" | "off" => Ok(LevelFilter::Off),
            "fatal" | "error" => Ok(LevelFilter::Error),
            "warn" | "warning" => Ok(LevelFilter::Warn),
            "info" => Ok(LevelFilter::Info),
            "debug" | "verbose" => Ok(LevelFilter::Debug),
            "trace" | "all" => Ok(LevelFilter::Trace),
            _ => Err(format!(
                "'{text}' is none of none, error, warn, info, debug, trace"
            )),
        }
    });
    level.unwrap_or(LevelFilter::Info)
}

#[cfg(test)]
mod tests;
