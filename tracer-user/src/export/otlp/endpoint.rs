//! An endpoint's URL: what is sent where, by the rules of the OTLP exporter specification.

use reqwest::Url;

use crate::export::Error;
use crate::export::settings::{Endpoint, Otlp, Protocol, Signal};

/// Where requests go.
///
/// # Errors
/// If the endpoint's URL is none, or not one that the protocol can use.
pub(in crate::export) fn url(settings: &Otlp) -> Result<Url, Error> {
    let (Endpoint::Flag(text) | Endpoint::Base(text) | Endpoint::OfSignal(text)) =
        &settings.endpoint;
    let grpc = settings.protocol == Protocol::Grpc;
    let wrong = |reason: &str| Error::Endpoint {
        url: text.clone(),
        reason: reason.to_owned(),
    };
    let full = match (text.contains("://"), grpc, settings.insecure) {
        (true, ..) => text.clone(),
        (false, true, true) => format!("http://{text}"),
        (false, true, false) => format!("https://{text}"),
        (false, false, _) => return Err(wrong("it must begin with http:// or https://")),
    };
    let mut url = Url::parse(&full).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it must begin with http:// or https://"));
    }
    if !grpc {
        let base = url.path().trim_end_matches('/');
        let base = match &settings.endpoint {
            Endpoint::OfSignal(_) => return Ok(url),
            Endpoint::Base(_) => base,
            Endpoint::Flag(_) => {
                let traces = base.strip_suffix(Signal::Traces.path());
                let ends = traces.and_then(|rest| rest.strip_suffix('/'));
                match ends {
                    // As it was typed, slash included.
                    Some(_) if settings.signal == Signal::Traces => return Ok(url),
                    ends => ends.unwrap_or(base),
                }
            }
        };
        let path = format!("{base}/{}", settings.signal.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// The URL as it may be shown: a password is for the endpoint alone.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // What can't have a password has none.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

/// Whether the endpoint is on this host, where no proxy can help.
pub(super) fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || address
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(endpoint: Endpoint, protocol: Protocol) -> String {
        match url(&Otlp::new(endpoint, protocol)) {
            Ok(url) => url.to_string(),
            Err(error) => format!("! {error}"),
        }
    }

    #[test]
    fn base_gets_the_path_of_traces() {
        let base = |text: &str| resolved(Endpoint::Base(text.into()), Protocol::HttpProtobuf);
        assert_eq!(base("http://h:4318"), "http://h:4318/v1/traces");
        assert_eq!(base("http://h:4318/"), "http://h:4318/v1/traces");
        assert_eq!(base("https://h/otlp"), "https://h/otlp/v1/traces");
        assert_eq!(base("https://h/v1/traces"), "https://h/v1/traces/v1/traces");
    }

    #[test]
    fn traces_endpoint_is_used_as_it_is() {
        let traces = |text: &str| resolved(Endpoint::OfSignal(text.into()), Protocol::HttpJson);
        assert_eq!(traces("http://h:4318/x?y=z"), "http://h:4318/x?y=z");
        assert_eq!(traces("http://h:4318"), "http://h:4318/");
    }

    #[test]
    fn flag_may_hold_the_path_already() {
        let flag = |text: &str| resolved(Endpoint::Flag(text.into()), Protocol::HttpProtobuf);
        assert_eq!(flag("http://h:4318"), "http://h:4318/v1/traces");
        assert_eq!(flag("http://h:4318/v1/traces"), "http://h:4318/v1/traces");
        assert_eq!(flag("https://h/otlp"), "https://h/otlp/v1/traces");
        assert_eq!(
            flag("https://h/otlp/v1/traces/"),
            "https://h/otlp/v1/traces/"
        );
    }

    #[test]
    fn metrics_have_their_own_path() {
        let of = |endpoint: Endpoint| {
            let mut otlp = Otlp::new(endpoint, Protocol::HttpProtobuf);
            otlp.signal = Signal::Metrics;
            url(&otlp).unwrap().to_string()
        };
        for endpoint in ["http://h/otlp", "http://h/otlp/v1/traces/"] {
            assert_eq!(
                of(Endpoint::Flag(endpoint.into())),
                "http://h/otlp/v1/metrics"
            );
        }
        assert_eq!(
            of(Endpoint::Base("http://h:4318/".into())),
            "http://h:4318/v1/metrics"
        );
        assert_eq!(of(Endpoint::OfSignal("http://h/x".into())), "http://h/x");
    }

    #[test]
    fn grpc_may_do_without_a_scheme() {
        let grpc = |text: &str| resolved(Endpoint::Flag(text.into()), Protocol::Grpc);
        assert_eq!(grpc("http://h:4317"), "http://h:4317/");
        assert_eq!(grpc("h:4317"), "https://h:4317/");
        let mut insecure = Otlp::new(Endpoint::Base("h:4317".into()), Protocol::Grpc);
        insecure.insecure = true;
        assert_eq!(url(&insecure).unwrap().as_str(), "http://h:4317/");
    }

    #[test]
    fn bad_urls_are_one_clear_line() {
        let flag = |text: &str| resolved(Endpoint::Flag(text.into()), Protocol::HttpProtobuf);
        for bad in [
            "localhost:4318",
            "",
            "ftp://h",
            "http://",
            "http://h:99999",
            "unix:///x",
        ] {
            let said = flag(bad);
            assert!(said.starts_with("! OTLP endpoint"), "{bad}: {said}");
            assert!(!said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let url = Url::parse("https://user:secret@h:4318/v1/traces").unwrap();
        assert_eq!(shown(&url), "https://h:4318/v1/traces");
    }

    #[test]
    fn local_endpoints() {
        for (url, local) in [
            ("http://localhost:1", true),
            ("http://127.0.0.2", true),
            ("http://[::1]:4318", true),
            ("http://example.com", false),
        ] {
            assert_eq!(is_local(&Url::parse(url).unwrap()), local, "{url}");
        }
    }
}
