//! OTLP over HTTP: protobuf or JSON, perhaps compressed.

use std::io::Write;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Certificate, Identity, Response, StatusCode, Url, redirect};

use super::attempt::{Attempt, accepted, root};
use super::endpoint;
use super::tls::Pem;
use crate::export::settings::{Otlp, Protocol, Signal};
use crate::export::{Error, json};

/// Most of an answer that is read: an endpoint says little, and what else speaks HTTP there must
/// not fill the memory.
const LONGEST_ANSWER: usize = 64 << 10;

/// Most of an answer's text that is shown.
const LONGEST_SHOWN: usize = 200;

pub(super) struct Http {
    client: reqwest::Client,
    url: Url,
    address: String,
    json: bool,
    gzip: bool,
    signal: Signal,
}

impl Http {
    pub(super) fn new(url: Url, settings: &Otlp, pem: Pem) -> Result<Self, Error> {
        let json = settings.protocol == Protocol::HttpJson;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.append(name, value);
            }
        }
        let kind = match json {
            true => "application/json",
            false => "application/x-protobuf",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if settings.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tracer/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(settings.timeout)
            // A redirected POST may become a GET, whose success would mean nothing.
            .redirect(redirect::Policy::none());
        if endpoint::is_local(&url) {
            builder = builder.no_proxy();
        }
        if url.scheme() == "http" {
            // Nothing to verify: a host without certificates will do.
            builder = builder.tls_certs_only([]);
        } else if let Some(authorities) = &pem.authorities {
            let authorities = Certificate::from_pem_bundle(authorities).map_err(tls)?;
            builder = builder.tls_certs_only(authorities);
        }
        if let Some(identity) = pem.identity {
            let both = [identity.certificate, identity.key].join(&b'\n');
            builder = builder.identity(Identity::from_pem(&both).map_err(tls)?);
        }
        Ok(Http {
            client: builder.build().map_err(tls)?,
            address: endpoint::shown(&url),
            url,
            json,
            gzip: settings.gzip,
            signal: settings.signal,
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// JSON and compression take milliseconds a request: too long for a thread that others share.
    pub(super) async fn prepare(&self, request: Bytes) -> Result<Bytes, String> {
        let (json, gzip, signal) = (self.json, self.gzip, self.signal);
        if !json && !gzip {
            return Ok(request);
        }
        let work = move || {
            let mut body = request;
            if json {
                let mut text = Vec::with_capacity(body.len() * 3);
                json::append(signal, &body, &mut text)?;
                body = text.into();
            }
            if gzip {
                body = compressed(&body).map_err(|e| e.to_string())?.into();
            }
            Ok(body)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(body) => body,
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn attempt(&self, body: Bytes) -> Attempt {
        let response = self.client.post(self.url.clone()).body(body).send().await;
        match response {
            Ok(response) => self.judge(response).await,
            // The URL is named by whoever tells.
            Err(error) => Attempt::Retry {
                after: None,
                why: root(&error.without_url()),
            },
        }
    }

    async fn judge(&self, response: Response) -> Attempt {
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(retry_after);
        let body = body(response).await;
        if status.is_success() {
            return match body {
                Ok(body) => accepted(self.answer(&body)),
                // It was taken, or the status would not say so.
                Err(_) => accepted(None),
            };
        }
        let said = text(&body.unwrap_or_default());
        let why = match said.is_empty() {
            true => status.to_string(),
            false => format!("{status}: {said}"),
        };
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Attempt::Retry { after, why },
            _ => Attempt::Rejected(why),
        }
    }

    /// What a success says of what was not taken. An empty or strange body is a success still.
    fn answer(&self, body: &[u8]) -> Option<ExportTracePartialSuccess> {
        match self.json {
            true => json_answer(self.signal, &serde_json::from_slice(body).ok()?),
            // The same fields for every signal.
            false => {
                ExportTraceServiceResponse::decode(body)
                    .ok()?
                    .partial_success
            }
        }
    }
}

/// The official types read `rejectedSpans` as a number only; OTLP/JSON writes 64-bit numbers as
/// texts.
fn json_answer(signal: Signal, answer: &serde_json::Value) -> Option<ExportTracePartialSuccess> {
    let partial = answer.get("partialSuccess")?;
    let rejected = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
    };
    let rejected = match partial.get(rejected) {
        Some(serde_json::Value::String(digits)) => digits.parse().ok(),
        Some(number) => number.as_i64(),
        None => None,
    };
    let message = partial.get("errorMessage").and_then(|text| text.as_str());
    Some(ExportTracePartialSuccess {
        rejected_spans: rejected.unwrap_or_default(),
        error_message: message.unwrap_or_default().to_owned(),
    })
}

fn tls(error: reqwest::Error) -> Error {
    Error::Client(root(&error))
}

fn compressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let room = Vec::with_capacity(body.len() / 8);
    let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let value = value.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            // A date gone by means now.
            Some(date.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

async fn body(mut response: Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = LONGEST_ANSWER - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == LONGEST_ANSWER {
            break;
        }
    }
    Ok(body)
}

/// What an endpoint says of an error, in one short line: a `google.rpc.Status`' message, or text.
fn text(body: &[u8]) -> String {
    let status = tonic_types::Status::decode(body).ok();
    let message = match &status {
        Some(status) if !status.message.is_empty() => status.message.as_str().into(),
        _ => String::from_utf8_lossy(body),
    };
    let words = message.split(|c: char| c.is_whitespace() || c.is_control());
    let mut line = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if line.len() + word.len() > LONGEST_SHOWN {
            line.push_str(" ...");
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}
