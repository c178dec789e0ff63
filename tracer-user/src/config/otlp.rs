//! Where spans go: the OTLP endpoint and standard output, from flags and variables.
//!
//! A signal's own variable (`OTEL_EXPORTER_OTLP_TRACES_*`) goes before `OTEL_EXPORTER_OTLP_*`; a variable that is bad counts
//! as unset, so that the other may still hold.

use std::path::PathBuf;
use std::time::Duration;

use super::Variables;
use crate::cli::{Output as OutputFlag, Shared};
use crate::export::{self, Endpoint, Otlp, Output, Protocol, Signal};

/// The endpoint, if any, and what standard output carries.
///
/// # Errors
///
/// The flag's URL is none.
pub fn destinations(
    cli: &Shared,
    variables: &mut Variables,
) -> Result<(Option<Otlp>, Output), String> {
    let chosen = exporters(variables);
    let protocol = protocol(cli, variables);
    let signal = Signal::Traces;
    let endpoint = match &cli.otlp_endpoint {
        Some(url) => {
            let endpoint = Endpoint::Flag(url.clone());
            Some(checked(endpoint, protocol).map_err(|bad| format!("--otlp-endpoint: {bad}"))?)
        }
        None if chosen.is_some_and(|chosen| !chosen.otlp) => None,
        None => of_signal(signal, protocol, variables)
            .or_else(|| of_all(protocol, variables))
            .or_else(|| chosen.map(|_| default_endpoint(protocol))),
    };
    if endpoint.is_none() && cli.otlp_protocol.is_some() {
        variables.warn(
            "--otlp-protocol has no effect without an endpoint; give --otlp-endpoint".to_owned(),
        );
    }
    let output = match (cli.output, chosen) {
        (Some(output), _) => output_of(output),
        (None, Some(Exporters { console: true, .. })) => Output::Pretty,
        (None, Some(_)) => Output::None,
        (None, None) if endpoint.is_some() => Output::None,
        (None, None) => Output::Pretty,
    };
    let otlp = endpoint.map(|endpoint| otlp(signal, endpoint, protocol, variables));
    Ok((otlp, output))
}

/// What `OTEL_TRACES_EXPORTER` names.
#[derive(Clone, Copy, Debug, Default)]
struct Exporters {
    otlp: bool,
    console: bool,
}

/// None = the user left it to us.
fn exporters(variables: &mut Variables) -> Option<Exporters> {
    if variables.switch("OTEL_SDK_DISABLED") == Some(true) {
        variables
            .warn("OTEL_SDK_DISABLED is true: spans go nowhere, but where a flag says".to_owned());
        return Some(Exporters::default());
    }
    variables.parsed("OTEL_TRACES_EXPORTER", |text| {
        let mut chosen = Exporters::default();
        for name in text.split(',').map(str::trim) {
            match name {
                "otlp" => chosen.otlp = true,
                "console" => chosen.console = true,
                "none" => {}
                _ => return Err(format!("'{name}' is none of otlp, console, none")),
            }
        }
        Ok(chosen)
    })
}

fn protocol(cli: &Shared, variables: &mut Variables) -> Protocol {
    let read = |name: &str| variables.parsed(name, str::parse);
    flag_protocol(cli)
        .or_else(|| either(Signal::Traces, "PROTOCOL", read))
        .unwrap_or_default()
}

/// `--otlp-protocol`
pub fn flag_protocol(cli: &Shared) -> Option<Protocol> {
    cli.otlp_protocol.map(|flag| match flag {
        crate::cli::OtlpProtocol::Grpc => Protocol::Grpc,
        crate::cli::OtlpProtocol::HttpProtobuf => Protocol::HttpProtobuf,
        crate::cli::OtlpProtocol::HttpJson => Protocol::HttpJson,
    })
}

/// The endpoint's variable for that signal.
pub fn of_signal(
    signal: Signal,
    protocol: Protocol,
    variables: &mut Variables,
) -> Option<Endpoint> {
    let name = variable(signal, "ENDPOINT");
    let endpoint = |url: &str| Endpoint::OfSignal(url.to_owned());
    variables.parsed(&name, |url| checked(endpoint(url), protocol))
}

/// The one for all signals.
pub fn of_all(protocol: Protocol, variables: &mut Variables) -> Option<Endpoint> {
    let endpoint = |url: &str| Endpoint::Base(url.to_owned());
    variables.parsed("OTEL_EXPORTER_OTLP_ENDPOINT", |url| {
        checked(endpoint(url), protocol)
    })
}

fn checked(endpoint: Endpoint, protocol: Protocol) -> Result<Endpoint, String> {
    match export::check_endpoint(&Otlp::new(endpoint.clone(), protocol)) {
        Ok(()) => Ok(endpoint),
        Err(export::Error::Endpoint { url, reason }) => Err(format!("'{url}': {reason}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Where a collector of this host listens, for who asked for `otlp` without saying where.
pub fn default_endpoint(protocol: Protocol) -> Endpoint {
    let port = if protocol == Protocol::Grpc {
        4317
    } else {
        4318
    };
    Endpoint::Base(format!("http://localhost:{port}"))
}

/// All there is to know of an endpoint.
pub fn otlp(
    signal: Signal,
    endpoint: Endpoint,
    protocol: Protocol,
    variables: &mut Variables,
) -> Otlp {
    let mut otlp = Otlp::new(endpoint, protocol);
    otlp.signal = signal;
    if let Some(text) = either(signal, "HEADERS", |name| variables.text(name)) {
        let (headers, bad) = export::parse_headers(&text);
        otlp.headers = headers;
        if !bad.is_empty() {
            // What stands there may be a password without its name.
            variables.warn(format!(
                "OTEL_EXPORTER_OTLP_HEADERS: {} of its entries are not name=value; ignored",
                bad.len()
            ));
        }
    }
    if let Some(timeout) = either(signal, "TIMEOUT", |name| variables.timeout(name)) {
        otlp.timeout = timeout.max(Duration::from_millis(1));
    }
    let gzip = |text: &str| match text {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err(format!("'{text}' is neither gzip nor none")),
    };
    otlp.gzip = either(signal, "COMPRESSION", |name| variables.parsed(name, gzip)).unwrap_or(false);
    let file = |what| either(signal, what, |name| variables.text(name)).map(PathBuf::from);
    otlp.certificate = file("CERTIFICATE");
    otlp.client_key = file("CLIENT_KEY");
    otlp.client_certificate = file("CLIENT_CERTIFICATE");
    otlp.insecure = either(signal, "INSECURE", |name| variables.switch(name)).unwrap_or(false);
    otlp
}

/// A setting's variable for the signal, else the one for all signals.
pub fn either<T>(signal: Signal, what: &str, mut read: impl FnMut(&str) -> Option<T>) -> Option<T> {
    read(&variable(signal, what)).or_else(|| read(&format!("OTEL_EXPORTER_OTLP_{what}")))
}

fn variable(signal: Signal, what: &str) -> String {
    match signal {
        Signal::Traces => format!("OTEL_EXPORTER_OTLP_TRACES_{what}"),
        Signal::Metrics => format!("OTEL_EXPORTER_OTLP_METRICS_{what}"),
    }
}

fn output_of(flag: OutputFlag) -> Output {
    match flag {
        OutputFlag::Pretty => Output::Pretty,
        OutputFlag::Json => Output::Json,
        OutputFlag::None => Output::None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn of<const N: usize>(
        flags: &str,
        pairs: [(&str, &str); N],
    ) -> (Option<Otlp>, Output, Vec<String>) {
        let words = format!("tracer --all {flags}");
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap();
        let mut variables = Variables::from(pairs);
        let (otlp, output) = destinations(&cli.shared, &mut variables).unwrap();
        (otlp, output, variables.warnings())
    }

    const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const EXPORTER: &str = "OTEL_TRACES_EXPORTER";

    #[test]
    fn without_an_endpoint_spans_are_shown() {
        let (otlp, output, warnings) = of("", []);
        assert!(otlp.is_none() && warnings.is_empty());
        assert_eq!(output, Output::Pretty);
        assert_eq!(of("-o json", []).1, Output::Json);
    }

    #[test]
    fn with_an_endpoint_they_are_not() {
        let (otlp, output, _) = of("--otlp-endpoint http://h:4318", []);
        let otlp = otlp.unwrap();
        assert_eq!(otlp.endpoint, Endpoint::Flag("http://h:4318".into()));
        assert_eq!(otlp.protocol, Protocol::HttpProtobuf);
        assert_eq!(output, Output::None);
        assert_eq!(
            of("--otlp-endpoint http://h:4318 -o pretty", []).1,
            Output::Pretty
        );
        assert_eq!(of("", [(BASE, "http://h:4318")]).1, Output::None);
    }

    #[test]
    fn a_flag_beats_the_variable_for_traces_and_that_the_one_for_all() {
        let endpoint = |flags: &str, pairs| of::<2>(flags, pairs).0.unwrap().endpoint;
        let both = [(BASE, "http://base"), (TRACES, "http://traces/x")];
        assert_eq!(
            endpoint("--otlp-endpoint http://flag", both),
            Endpoint::Flag("http://flag".into())
        );
        assert_eq!(
            endpoint("", both),
            Endpoint::OfSignal("http://traces/x".into())
        );
        assert_eq!(
            endpoint("", [(BASE, "http://base"), (TRACES, "")]),
            Endpoint::Base("http://base".into())
        );
    }

    #[test]
    fn the_exporter_variable_chooses() {
        let (otlp, output, _) = of("", [(EXPORTER, "otlp")]);
        assert_eq!(
            otlp.unwrap().endpoint,
            Endpoint::Base("http://localhost:4318".into())
        );
        assert_eq!(output, Output::None);
        let (otlp, ..) = of("--otlp-protocol grpc", [(EXPORTER, "otlp")]);
        assert_eq!(
            otlp.unwrap().endpoint,
            Endpoint::Base("http://localhost:4317".into())
        );

        let (otlp, output, _) = of("", [(EXPORTER, "console"), (BASE, "http://h")]);
        assert!(otlp.is_none());
        assert_eq!(output, Output::Pretty);

        let (otlp, output, _) = of("", [(EXPORTER, "otlp,console"), (BASE, "http://h")]);
        assert!(otlp.is_some());
        assert_eq!(output, Output::Pretty);

        for pairs in [
            [(EXPORTER, "none"), (BASE, "http://h")],
            [("OTEL_SDK_DISABLED", "True"), (BASE, "http://h")],
        ] {
            let (otlp, output, _) = of("", pairs);
            assert!(otlp.is_none());
            assert_eq!(output, Output::None);
            let (otlp, output, _) = of("--otlp-endpoint http://flag -o json", pairs);
            assert!(otlp.is_some(), "a flag beats it");
            assert_eq!(output, Output::Json);
        }

        let (otlp, output, warnings) = of("", [(EXPORTER, "zipkin")]);
        assert!(otlp.is_none());
        assert_eq!(output, Output::Pretty, "a bad value counts as unset");
        assert_eq!(
            warnings,
            ["OTEL_TRACES_EXPORTER: 'zipkin' is none of otlp, console, none; ignored"]
        );
    }

    #[test]
    fn everything_about_the_endpoint() {
        let (otlp, _, warnings) = of(
            "--otlp-endpoint http://h",
            [
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                (
                    "OTEL_EXPORTER_OTLP_HEADERS",
                    "authorization=Basic%20x,secretwithoutname",
                ),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "9000"),
                ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem"),
                ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "/own.pem"),
                ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
            ],
        );
        let otlp = otlp.unwrap();
        assert_eq!(otlp.protocol, Protocol::Grpc);
        assert_eq!(
            otlp.headers,
            [("authorization".to_owned(), "Basic x".to_owned())]
        );
        assert_eq!(otlp.timeout, Duration::from_millis(250));
        assert!(otlp.gzip && otlp.insecure);
        assert_eq!(otlp.certificate, Some(PathBuf::from("/ca.pem")));
        assert_eq!(otlp.client_key, Some(PathBuf::from("/key.pem")));
        assert_eq!(otlp.client_certificate, Some(PathBuf::from("/own.pem")));
        assert_eq!(warnings.len(), 1);
        assert!(!warnings[0].contains("secret"), "{}", warnings[0]);
    }

    #[test]
    fn bad_values_fall_back() {
        let (otlp, _, warnings) = of(
            "--otlp-endpoint http://h",
            [
                ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "thrift"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ],
        );
        let otlp = otlp.unwrap();
        assert_eq!(otlp.protocol, Protocol::HttpJson);
        assert!(!otlp.gzip);
        assert_eq!(otlp.timeout, Duration::from_secs(10));
        assert_eq!(warnings.len(), 3, "{warnings:?}");
    }

    #[test]
    fn a_bad_url_is_wrong_usage_from_a_flag_and_ignored_from_a_variable() {
        let cli = Cli::try_parse_from(["tracer", "--all", "--otlp-endpoint", "localhost:4318"]);
        let bad = destinations(&cli.unwrap().shared, &mut Variables::default());
        let said = bad.err().unwrap();
        assert!(said.starts_with("--otlp-endpoint: "), "{said}");

        let (otlp, output, warnings) = of("", [(TRACES, "htp://x"), (BASE, "http://base")]);
        assert_eq!(otlp.unwrap().endpoint, Endpoint::Base("http://base".into()));
        assert_eq!((output, warnings.len()), (Output::None, 1));
        let (otlp, output, warnings) = of("", [(BASE, "nonsense")]);
        assert!(otlp.is_none());
        assert_eq!((output, warnings.len()), (Output::Pretty, 1));
    }

    #[test]
    fn a_protocol_for_no_endpoint_says_so() {
        assert_eq!(of("--otlp-protocol grpc", []).2.len(), 1);
        assert!(
            of("", [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")])
                .2
                .is_empty()
        );
    }
}
