//! gRPC through a proxy: in a tunnel (CONNECT), as grpc-go has it. OTLP over HTTP leaves it to reqwest.
//!
//! `HTTPS_PROXY` names it, else `ALL_PROXY`, whether what goes through the tunnel is encrypted or not:
//! `HTTP_PROXY` names those that read requests and pass them on, which few can do with HTTP/2.

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;
use tonic::codegen::http::Uri;

use super::endpoint;
use crate::export::Error;

/// The tunnel that the environment wants for an endpoint; none where it is reached directly.
///
/// # Errors
/// If the proxy is not one that is asked by plain HTTP.
pub(super) fn tunnel(url: &Url, proxies: &Matcher) -> Result<Option<Tunnel<HttpConnector>>, Error> {
    let Some(proxy) = proxy(url, proxies) else {
        return Ok(None);
    };
    let scheme = proxy.uri().scheme_str().unwrap_or_default();
    if scheme != "http" {
        return Err(Error::Client(format!(
            "gRPC goes through http:// proxies only, HTTPS_PROXY or ALL_PROXY names one of {scheme}://"
        )));
    }
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
    if let Some(authorization) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(authorization.clone());
    }
    Ok(Some(tunnel))
}

fn proxy(url: &Url, proxies: &Matcher) -> Option<Intercept> {
    let host = url.host_str().filter(|_| !endpoint::is_local(url))?;
    let uri: Uri = format!("https://{host}/").parse().ok()?;
    proxies.intercept(&uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_of_https_is_for_all_that_is_not_here_nor_excepted() {
        let proxies = Matcher::builder()
            .http("http://other:1")
            .https("http://user:secret@proxy:3128")
            .no("inside.example,10.0.0.0/8");
        let proxies = proxies.build();
        for (url, through) in [
            ("http://collector.example:4317", true),
            ("https://collector.example:4317", true),
            ("http://[2001:db8::1]:4317", true),
            ("http://inside.example:4317", false),
            ("http://a.inside.example:4317", false),
            ("http://10.1.2.3:4317", false),
            ("http://localhost:4317", false),
            ("http://[::1]:4317", false),
        ] {
            let proxy = proxy(&Url::parse(url).unwrap(), &proxies);
            assert_eq!(proxy.is_some(), through, "{url}");
            if let Some(proxy) = proxy {
                assert_eq!(proxy.uri(), "http://proxy:3128/");
                assert_eq!(proxy.basic_auth().unwrap(), "Basic dXNlcjpzZWNyZXQ=");
            }
        }
    }

    #[test]
    fn other_kinds_of_proxy_are_refused_without_their_password() {
        let url = Url::parse("http://collector.example:4317").unwrap();
        let proxies = Matcher::builder().all("socks5://user:secret@proxy:1080");
        let error = tunnel(&url, &proxies.build()).unwrap_err().to_string();
        assert!(error.contains("socks5://"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
