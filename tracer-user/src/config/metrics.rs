//! Who reads metrics: an OTLP endpoint, a Prometheus page; nobody, unless a flag or variable says so.
//!
//! `OTEL_METRICS_EXPORTER` unset does not mean `otlp` here, as it does in an SDK: many an endpoint
//! that takes spans takes nothing else. What is set only for metrics is meant, though: an endpoint
//! for them, a host or port of the page.

use std::time::Duration;

use super::{Variables, otlp};
use crate::cli::Shared;
use crate::export::metrics::{DEFAULT_PAGE, Metrics, Periodic, Temporality};
use crate::export::{Endpoint, Signal};
use crate::metrics::Exemplars;

/// All that the user says of it.
pub fn readers(cli: &Shared, variables: &mut Variables) -> Metrics {
    let chosen = exporters(variables);
    Metrics {
        periodic: periodic(cli, chosen, variables),
        page: cli
            .metrics_listen
            .clone()
            .or_else(|| page(chosen, variables)),
        exemplars: variables
            .parsed("OTEL_METRICS_EXEMPLAR_FILTER", exemplars)
            .unwrap_or_default(),
    }
}

/// What `OTEL_METRICS_EXPORTER` names.
#[derive(Clone, Copy, Debug, Default)]
struct Exporters {
    otlp: bool,
    prometheus: bool,
}

/// None = the user left it to us.
fn exporters(variables: &mut Variables) -> Option<Exporters> {
    if variables.switch("OTEL_SDK_DISABLED") == Some(true) {
        return Some(Exporters::default());
    }
    variables.parsed("OTEL_METRICS_EXPORTER", |text| {
        let mut chosen = Exporters::default();
        for name in text.split(',').map(str::trim) {
            match name {
                "otlp" => chosen.otlp = true,
                "prometheus" => chosen.prometheus = true,
                "none" => {}
                "console" => {
                    return Err("standard output carries spans; give --metrics-listen".to_owned());
                }
                _ => return Err(format!("'{name}' is none of otlp, prometheus, none")),
            }
        }
        Ok(chosen)
    })
}

fn periodic(
    cli: &Shared,
    chosen: Option<Exporters>,
    variables: &mut Variables,
) -> Option<Periodic> {
    if chosen.is_some_and(|chosen| !chosen.otlp) {
        return None;
    }
    let signal = Signal::Metrics;
    // The flags are those of spans: what is said of metrics alone goes before them.
    let protocol = variables
        .parsed("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", str::parse)
        .or_else(|| otlp::flag_protocol(cli))
        .or_else(|| variables.parsed("OTEL_EXPORTER_OTLP_PROTOCOL", str::parse))
        .unwrap_or_default();
    let own = otlp::of_signal(signal, protocol, variables);
    let endpoint = own.or_else(|| {
        chosen?;
        let flag = cli.otlp_endpoint.clone().map(Endpoint::Flag);
        let endpoint = flag.or_else(|| otlp::of_all(protocol, variables));
        Some(endpoint.unwrap_or_else(|| otlp::default_endpoint(protocol)))
    })?;
    let mut periodic = Periodic::new(otlp::otlp(signal, endpoint, protocol, variables));
    if let Some(ms) = variables.number("OTEL_METRIC_EXPORT_INTERVAL", 1) {
        periodic.interval = Duration::from_millis(ms as u64);
    }
    if let Some(timeout) = variables.timeout("OTEL_METRIC_EXPORT_TIMEOUT") {
        periodic.timeout = timeout;
    }
    let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    if let Some(temporality) = variables.parsed(name, temporality) {
        periodic.temporality = temporality;
    }
    let name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    variables.parsed(name, |text| match text {
        "explicit_bucket_histogram" => Ok(()),
        _ => Err(format!(
            "'{text}' is not explicit_bucket_histogram, the only one there is"
        )),
    });
    Some(periodic)
}

fn page(chosen: Option<Exporters>, variables: &mut Variables) -> Option<(String, u16)> {
    let host = variables.text("OTEL_EXPORTER_PROMETHEUS_HOST");
    let port = variables.parsed("OTEL_EXPORTER_PROMETHEUS_PORT", |text| {
        let port = text.parse::<u16>();
        port.map_err(|_| format!("'{text}' is no port"))
    });
    let wanted = match chosen {
        Some(chosen) => chosen.prometheus,
        None => host.is_some() || port.is_some(),
    };
    let (own, default) = DEFAULT_PAGE;
    wanted.then(|| {
        (
            host.unwrap_or_else(|| own.to_owned()),
            port.unwrap_or(default),
        )
    })
}

fn exemplars(text: &str) -> Result<Exemplars, String> {
    match text {
        "trace_based" => Ok(Exemplars::OfKeptSpans),
        "always_on" => Ok(Exemplars::All),
        "always_off" => Ok(Exemplars::None),
        _ => Err(format!(
            "'{text}' is none of trace_based, always_on, always_off"
        )),
    }
}

fn temporality(text: &str) -> Result<Temporality, String> {
    match text.to_ascii_lowercase().as_str() {
        "cumulative" => Ok(Temporality::Cumulative),
        // They differ in what is not measured here.
        "delta" | "lowmemory" => Ok(Temporality::Delta),
        _ => Err(format!("'{text}' is none of cumulative, delta, lowmemory")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;
    use crate::export::Protocol;

    fn of<const N: usize>(flags: &str, pairs: [(&str, &str); N]) -> (Metrics, Vec<String>) {
        let words = format!("tracer --all {flags}");
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap();
        let mut variables = Variables::from(pairs);
        let metrics = readers(&cli.shared, &mut variables);
        (metrics, variables.warnings())
    }

    fn endpoint<const N: usize>(flags: &str, pairs: [(&str, &str); N]) -> Option<Endpoint> {
        of(flags, pairs)
            .0
            .periodic
            .map(|periodic| periodic.otlp.endpoint)
    }

    const EXPORTER: &str = "OTEL_METRICS_EXPORTER";
    const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const OWN: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

    #[test]
    fn nobody_reads_them_unless_asked_for() {
        let (metrics, warnings) = of("--otlp-endpoint http://h", [(BASE, "http://h")]);
        assert!(metrics.periodic.is_none() && metrics.page.is_none());
        assert!(warnings.is_empty());
        let (metrics, _) = of("", [(EXPORTER, "none"), (OWN, "http://h")]);
        assert!(metrics.periodic.is_none());
        let (metrics, _) = of("", [("OTEL_SDK_DISABLED", "true"), (EXPORTER, "otlp")]);
        assert!(metrics.periodic.is_none());
    }

    #[test]
    fn what_is_said_of_metrics_alone_goes_first() {
        let base = Some(Endpoint::Base("http://base".into()));
        let own = Some(Endpoint::OfSignal("http://own".into()));
        let flag = Some(Endpoint::Flag("http://flag".into()));
        let otlp = (EXPORTER, "otlp");
        assert_eq!(endpoint("", [otlp, (BASE, "http://base")]), base);
        assert_eq!(
            endpoint("", [otlp, (BASE, "http://b"), (OWN, "http://own")]),
            own
        );
        assert_eq!(endpoint("", [(OWN, "http://own")]), own);
        let both = "--otlp-endpoint http://flag";
        assert_eq!(endpoint(both, [otlp, (BASE, "http://base")]), flag);
        assert_eq!(endpoint(both, [otlp, (OWN, "http://own")]), own);
        let local = Some(Endpoint::Base("http://localhost:4317".into()));
        assert_eq!(endpoint("--otlp-protocol grpc", [otlp]), local);
    }

    #[test]
    fn everything_about_the_endpoint() {
        let (metrics, warnings) = of(
            "--otlp-protocol grpc",
            [
                (OWN, "http://own/x"),
                ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "a=all"),
                ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a=own"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "70"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
                ("OTEL_METRIC_EXPORT_TIMEOUT", "200"),
                ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "DELTA"),
                ("OTEL_METRICS_EXEMPLAR_FILTER", "always_on"),
            ],
        );
        let periodic = metrics.periodic.unwrap();
        let ms = Duration::from_millis;
        assert_eq!(periodic.otlp.signal, Signal::Metrics);
        assert_eq!(periodic.otlp.protocol, Protocol::HttpJson);
        assert_eq!(periodic.otlp.headers, [("a".to_owned(), "own".to_owned())]);
        assert_eq!(periodic.otlp.timeout, ms(70));
        assert_eq!((periodic.interval, periodic.timeout), (ms(100), ms(200)));
        assert_eq!(periodic.temporality, Temporality::Delta);
        assert_eq!(metrics.exemplars, Exemplars::All);
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn bad_values_warn_once_and_leave_the_default() {
        let (metrics, warnings) = of(
            "",
            [
                (EXPORTER, "otlp"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "thrift"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
                ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both"),
                (
                    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
                    "x",
                ),
                ("OTEL_METRICS_EXEMPLAR_FILTER", "some"),
            ],
        );
        let periodic = metrics.periodic.unwrap();
        assert_eq!(periodic.interval, Duration::from_secs(60));
        assert_eq!(periodic.timeout, Duration::from_secs(30));
        assert_eq!(periodic.temporality, Temporality::Cumulative);
        assert_eq!(warnings.len(), 5, "{warnings:?}");
        let (_, warnings) = of("", [(EXPORTER, "console")]);
        assert_eq!(
            warnings,
            [
                "OTEL_METRICS_EXPORTER: standard output carries spans; give --metrics-listen; ignored"
            ]
        );
    }

    #[test]
    fn a_page_by_flag_then_variables() {
        const HOST: &str = "OTEL_EXPORTER_PROMETHEUS_HOST";
        const PORT: &str = "OTEL_EXPORTER_PROMETHEUS_PORT";
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(
            of("--metrics-listen 1", [(PORT, "2")]).0.page,
            at("127.0.0.1", 1)
        );
        assert_eq!(of("", [(PORT, "2")]).0.page, at("127.0.0.1", 2));
        assert_eq!(of("", [(HOST, "::")]).0.page, at("::", 9464));
        assert_eq!(
            of("", [(EXPORTER, "prometheus")]).0.page,
            at("127.0.0.1", 9464)
        );
        assert_eq!(of("", [(EXPORTER, "none"), (PORT, "2")]).0.page, None);
        assert_eq!(
            of("--metrics-listen 1", [(EXPORTER, "none")]).0.page,
            at("127.0.0.1", 1)
        );
        let (metrics, warnings) = of("", [(EXPORTER, "prometheus"), (PORT, "x")]);
        assert_eq!(metrics.page, at("127.0.0.1", 9464));
        assert_eq!(
            warnings,
            ["OTEL_EXPORTER_PROMETHEUS_PORT: 'x' is no port; ignored"]
        );
    }
}
