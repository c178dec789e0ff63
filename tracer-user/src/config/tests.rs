//! Flags, variables and defaults: what each comes to, and which goes before.

use clap::Parser;

use super::*;
use crate::export::Rule;

fn config<const N: usize>(line: &str, pairs: [(&str, &str); N]) -> Result<Config, String> {
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
    Config::new(cli, Variables::from(pairs))
}

/// The table of the README against all variables that are ever asked for.
#[test]
fn the_readme_tells_every_variable() {
    const README: &str = include_str!("../../../README.md");
    let variables = Variables::from([
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_METRICS_EXPORTER", "otlp,prometheus"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
    ]);
    let asked = std::rc::Rc::clone(&variables.asked);
    let cli = Cli::try_parse_from(["tracer", "--all"]).unwrap();
    Config::new(cli, variables).unwrap();
    let asked = asked.borrow();
    // What a signal has for itself is told once, with what holds for all.
    let of_all = |name: &&String| {
        let own = ["TRACES_", "METRICS_"]
            .iter()
            .find(|signal| name.contains(*signal));
        !own.is_some_and(|own| asked.contains(&name.replacen(own, "", 1)))
    };
    let asked: Vec<&str> = asked.iter().filter(of_all).map(String::as_str).collect();
    let (_, section) = README.split_once("\n## Environment\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|row| row.strip_prefix("| `"));
    let columns = rows.filter_map(|row| row.split(" | ").next());
    let mut told: Vec<&str> = columns
        .flat_map(|column| column.split('`').step_by(2))
        .collect();
    told.retain(|name| !name.ends_with("_PROXY"));
    told.sort_unstable();
    assert_eq!(told, asked);
}

fn all<const N: usize>(flags: &str, pairs: [(&str, &str); N]) -> Config {
    config(&format!("tracer --all {flags}"), pairs).unwrap()
}

fn traced(config: Config) -> Trace {
    match config.task {
        Task::Trace(trace) => trace,
        Task::Replay(file) => panic!("a replay of {}", file.display()),
    }
}

#[test]
fn recordings_are_redacted_unless_told_otherwise() {
    let record = |flags: &str| traced(all(flags, [])).record;
    let file = |secrets| Some((PathBuf::from("f"), secrets));
    assert_eq!(record(""), None);
    assert_eq!(record("--record f"), file(Secrets::Redacted));
    assert_eq!(record("--record f --record-secrets"), file(Secrets::Kept));
}

#[test]
fn a_replay_has_the_options_of_spans() {
    let config = config("tracer replay f -o json --names method", []).unwrap();
    assert_eq!(config.export.output, export::Output::Json);
    assert_eq!(config.export.wording.names, semconv::Names::Method);
    assert!(matches!(config.task, Task::Replay(file) if file.as_os_str() == "f"));
}

#[test]
fn nothing_selected_is_wrong_usage() {
    let said = config("tracer -o json", []).unwrap_err();
    assert!(said.starts_with("nothing to trace: give -p PID"), "{said}");
}

#[test]
fn selections() {
    let traced = |line: &str| traced(config(line, []).unwrap());
    let by_id = traced("tracer -p 7 --no-follow");
    let pids = Selection::Matching {
        pids: vec![7],
        exes: vec![],
        ports: vec![],
    };
    assert_eq!(by_id.selection, pids);
    assert!(!by_id.follow && !by_id.probe.follow);
    assert!(!by_id.probe.all && !by_id.probe.watch_all);
    assert!(traced("tracer --port 80").probe.watch_all);
    assert!(traced("tracer --exe x -p 7").probe.watch_all);
    assert!(traced("tracer --all").probe.all);
    let command = traced("tracer -- a b");
    assert_eq!(
        command.selection,
        Selection::Command(vec!["a".into(), "b".into()])
    );
    assert!(command.follow && !command.probe.watch_all);
}

#[test]
fn the_ring_by_flag_then_variable() {
    let size = |flags: &str, value: &str| {
        let config = all(flags, [("TRACER_RING_SIZE", value)]);
        let warned = !config.warnings.is_empty();
        (traced(config).probe.ring_bytes, warned)
    };
    assert_eq!(size("", ""), (probe::RING_BYTES, false));
    assert_eq!(size("", "32M"), (32 << 20, false));
    assert_eq!(size("--ring-size 16M", "32M"), (16 << 20, false));
    assert_eq!(size("", "1K"), (probe::RING_BYTES, true));
}

#[test]
fn probes_by_flag_then_variable() {
    let family = |flags: &str, value: &str| {
        let config = all(flags, [("TRACER_PROBES", value)]);
        traced(config).probe.family
    };
    assert_eq!(family("", ""), None);
    assert_eq!(family("", "sock"), Some(probe::Family::Sock));
    assert_eq!(
        family("--probes syscall", "sock"),
        Some(probe::Family::Syscall)
    );
    assert_eq!(family("--probes auto", "sock"), None);
    let bad = all("", [("TRACER_PROBES", "kprobe")]);
    assert_eq!(
        bad.warnings,
        ["TRACER_PROBES: 'kprobe' is none of auto, sock, syscall; ignored"]
    );
    assert_eq!(traced(bad).probe.family, None);
}

#[test]
fn wording_by_flag_then_variable() {
    let wording = all("", []).export.wording;
    assert_eq!(wording.level, semconv::Level::Detailed);
    assert!(wording.captured.is_empty() && wording.known_methods.is_none());
    let pairs = [
        ("TRACER_LEVEL", "base"),
        ("TRACER_CAPTURE_HEADERS", "X-A, x-b,"),
        ("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET,PURGE"),
    ];
    let wording = all("", pairs).export.wording;
    assert_eq!(wording.level, semconv::Level::Base);
    assert_eq!(
        wording.captured,
        [CapturedHeader::new("x-a"), CapturedHeader::new("x-b")]
    );
    assert_eq!(wording.known_methods.unwrap(), ["GET", "PURGE"]);
    let wording = all("--level disabled --capture-header X-C", pairs)
        .export
        .wording;
    assert_eq!(wording.level, semconv::Level::Disabled);
    assert_eq!(wording.captured, [CapturedHeader::new("x-c")]);
    assert_eq!(
        all("", [("TRACER_CAPTURE_HEADERS", "a b")]).warnings.len(),
        1
    );
}

#[test]
fn names_and_routes() {
    let wording = all("", []).export.wording;
    assert_eq!(wording.names, semconv::Names::Path);
    let wording = all("--names method --route /a/{b}", []).export.wording;
    assert_eq!(wording.names, semconv::Names::Method);
    let said = config("tracer --all --route a", []).unwrap_err();
    assert!(said.starts_with("--route: 'a' does not begin"), "{said}");
}

#[test]
fn limits_and_batching() {
    let config = all(
        "",
        [
            ("OTEL_BSP_SCHEDULE_DELAY", "200"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "x"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512"),
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", "0"),
            ("OTEL_ATTRIBUTE_COUNT_LIMIT", "7"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "64"),
        ],
    );
    let batching = config.export.batching;
    assert_eq!(batching.schedule_delay, Duration::from_millis(200));
    assert_eq!(batching.export_timeout, Batching::default().export_timeout);
    assert_eq!(
        (batching.max_queue_size, batching.max_batch_size),
        (100, 100)
    );
    assert_eq!(
        config.export.limits,
        Limits {
            attributes: 7,
            events: 0,
            value_length: Some(64)
        }
    );
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn propagators() {
    let formats = |names: &str| {
        let config = all("", [("OTEL_PROPAGATORS", names)]);
        (config.formats, config.warnings.len())
    };
    let named = |names| Formats::named(names).0;
    assert_eq!(formats(""), (Formats::default(), 0));
    assert_eq!(formats("tracecontext,baggage"), (named("w3c"), 0));
    assert_eq!(formats("b3,opencensus"), (named("b3"), 1));
    assert_eq!(formats("opencensus"), (Formats::default(), 1));
    assert_eq!(formats("none"), (named("none"), 0));
}

#[test]
fn samplers() {
    let sampler = |name: &str, argument: &str| {
        let config = all(
            "",
            [
                ("OTEL_TRACES_SAMPLER", name),
                ("OTEL_TRACES_SAMPLER_ARG", argument),
            ],
        );
        (config.export.sampler, config.warnings.len())
    };
    let named = |name, argument| Sampler::from_names(name, argument).unwrap();
    assert_eq!(sampler("", "x"), (Sampler::default(), 0));
    assert_eq!(sampler("always_off", ""), (named("always_off", ""), 0));
    assert_eq!(
        sampler("traceidratio", "0.25"),
        (named("traceidratio", "0.25"), 0)
    );
    assert_eq!(sampler("traceidratio", "2"), (named("traceidratio", ""), 1));
    assert_eq!(sampler("Always_Off", ""), (Sampler::OFF, 0));
    for bad in [
        "sometimes",
        "jaeger_remote",
        "parentbased_jaeger_remote",
        "xray",
    ] {
        assert_eq!(sampler(bad, ""), (Sampler::default(), 1));
    }
}

#[test]
fn rules_keep_beside_a_sampler_and_alone() {
    let rules = "--keep errors --keep slower=250ms --max-spans-per-second 100";
    let alone = all(rules, []).export;
    let slow = Rule::SlowerThan(Duration::from_millis(250));
    assert_eq!(alone.keep, [Rule::Errors, slow]);
    assert_eq!(
        (alone.sampler, alone.most_per_second),
        (Sampler::OFF, Some(100))
    );
    let beside = all(rules, [("OTEL_TRACES_SAMPLER", "parentbased_always_on")]).export;
    assert_eq!(beside.sampler, Sampler::default());
}

#[test]
fn the_agents_own_environment_names_all() {
    let pairs = [
        ("OTEL_SERVICE_NAME", "v"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b"),
    ];
    let resource = all("", pairs).resource;
    assert_eq!(resource.service_name.as_deref(), Some("v"));
    assert_eq!(resource.attributes, [("team".to_owned(), "a b".to_owned())]);
    assert_eq!(
        all("--service-name f", pairs)
            .resource
            .service_name
            .as_deref(),
        Some("f")
    );
    assert_eq!(
        all("", [("OTEL_RESOURCE_ATTRIBUTES", "x")]).warnings.len(),
        1
    );
}

#[test]
fn messages_by_flag_then_variable() {
    let level = |flags: &str, value: &str| all(flags, [("OTEL_LOG_LEVEL", value)]).messages;
    assert_eq!(level("", ""), LevelFilter::Info);
    assert_eq!(level("-v", "error"), LevelFilter::Debug);
    assert_eq!(level("-q", ""), LevelFilter::Warn);
    assert_eq!(level("-qqq", ""), LevelFilter::Off);
    assert_eq!(level("", "ERROR"), LevelFilter::Error);
    assert_eq!(level("", "loud"), LevelFilter::Info);
}

#[test]
fn stats_and_duration() {
    assert_eq!(all("--stats -", []).stats, Some(Stats::StandardError));
    assert_eq!(
        all("--stats f.json", []).stats,
        Some(Stats::File("f.json".into()))
    );
    assert_eq!(
        traced(all("--duration 2s", [])).duration,
        Some(Duration::from_secs(2))
    );
}
