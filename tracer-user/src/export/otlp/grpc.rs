//! OTLP over gRPC. Requests are encoded already, so the codec hands bytes through.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use hyper_util::client::proxy::matcher::Matcher;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use reqwest::Url;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::attempt::{Attempt, accepted, root};
use super::tls::Pem;
use super::{endpoint, proxy};
use crate::export::Error;
use crate::export::settings::{Otlp, Signal};

/// The method that takes requests.
fn method(signal: Signal) -> PathAndQuery {
    PathAndQuery::from_static(match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    })
}

pub(super) struct Grpc {
    client: tonic::client::Grpc<Channel>,
    address: String,
    metadata: MetadataMap,
    timeout: Duration,
    signal: Signal,
}

impl Grpc {
    /// To be called inside the runtime.
    pub(super) fn new(url: &Url, settings: &Otlp, pem: Pem) -> Result<Self, Error> {
        let wrong = |error: tonic::transport::Error| Error::Client(root(&error));
        // Credentials in it would become part of every request's `:authority`.
        let address = endpoint::shown(url);
        let mut endpoint = Channel::from_shared(address.clone())
            .map_err(|error| Error::Endpoint {
                url: address.clone(),
                reason: error.to_string(),
            })?
            .user_agent(concat!("tracer/", env!("CARGO_PKG_VERSION")))
            .map_err(wrong)?
            .connect_timeout(settings.timeout);
        if url.scheme() == "https" {
            let mut tls = ClientTlsConfig::new();
            tls = match pem.authorities {
                Some(authorities) => tls.ca_certificate(Certificate::from_pem(authorities)),
                None => tls.with_native_roots(),
            };
            if let Some(identity) = pem.identity {
                tls = tls.identity(Identity::from_pem(identity.certificate, identity.key));
            }
            endpoint = endpoint.tls_config(tls).map_err(wrong)?;
        }
        let channel = match proxy::tunnel(url, &Matcher::from_env())? {
            Some(tunnel) => endpoint.connect_with_connector_lazy(tunnel),
            None => endpoint.connect_lazy(),
        };
        let mut client = tonic::client::Grpc::new(channel);
        if settings.gzip {
            // Go's server, and so the Collector, answers compressed whom it takes compressed from.
            client = client
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
        }
        let mut metadata = MetadataMap::new();
        for (name, value) in &settings.headers {
            let name = MetadataKey::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, MetadataValue::try_from(value.as_str())) {
                metadata.append(name, value);
            }
        }
        Ok(Grpc {
            client,
            address,
            metadata,
            timeout: settings.timeout,
            signal: settings.signal,
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) async fn attempt(&self, body: Bytes) -> Attempt {
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        request.set_timeout(self.timeout);
        // Shares the connection.
        let mut client = self.client.clone();
        let call = async {
            client
                .ready()
                .await
                .map_err(|error| Status::unavailable(root(&error)))?;
            client.unary(request, method(self.signal), Raw).await
        };
        let answer = match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        };
        match answer {
            Ok(response) => {
                // The same fields for every signal.
                let answer = ExportTraceServiceResponse::decode(response.into_inner());
                accepted(answer.unwrap_or_default().partial_success)
            }
            Err(status) => judge(&status),
        }
    }
}

/// What a failure asks for, by the OTLP specification.
fn judge(status: &Status) -> Attempt {
    // A status with a cause is none of the endpoint's: the connection failed.
    if let Some(cause) = std::error::Error::source(status) {
        return Attempt::Retry {
            after: None,
            why: root(cause),
        };
    }
    let after = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    let why = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Attempt::Retry { after, why },
        // Only one that says when it will have room again expects to.
        Code::ResourceExhausted if after.is_some() => Attempt::Retry { after, why },
        _ => Attempt::Rejected(why),
    }
}

/// Messages as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}
