//! Hands a request to the endpoint, whatever the protocol.

use bytes::Bytes;

use super::attempt::Attempt;
use super::endpoint;
use super::grpc::Grpc;
use super::http::Http;
use super::tls::Pem;
use crate::export::Error;
use crate::export::batch::Request;
use crate::export::settings::{Otlp, Protocol};

/// A connection to the endpoint; made when first needed and again when lost.
pub(super) enum Client {
    Http(Http),
    Grpc(Box<Grpc>),
}

impl Client {
    /// To be called inside the runtime.
    pub(super) fn new(settings: &Otlp) -> Result<Self, Error> {
        let url = endpoint::url(settings)?;
        // What is not needed need not be there.
        let pem = match url.scheme() {
            "https" => Pem::read(settings)?,
            _ => Pem::default(),
        };
        // Both clients take the process' default; it may have been set already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(match settings.protocol {
            Protocol::Grpc => Client::Grpc(Box::new(Grpc::new(&url, settings, pem)?)),
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                Client::Http(Http::new(url, settings, pem)?)
            }
        })
    }

    /// Where requests go, for messages.
    pub(super) fn address(&self) -> &str {
        match self {
            Client::Http(http) => http.address(),
            Client::Grpc(grpc) => grpc.address(),
        }
    }

    /// The request as this client sends it.
    ///
    /// # Errors
    /// If it can't be written so, with the reason.
    pub(super) async fn prepare(&self, request: &Request) -> Result<Bytes, String> {
        match self {
            Client::Http(http) => http.prepare(request.bytes.clone()).await,
            Client::Grpc(_) => Ok(request.bytes.clone()),
        }
    }

    /// Sends it once, and waits for the answer no longer than the settings say.
    pub(super) async fn attempt(&self, body: Bytes) -> Attempt {
        match self {
            Client::Http(http) => http.attempt(body).await,
            Client::Grpc(grpc) => grpc.attempt(body).await,
        }
    }
}
