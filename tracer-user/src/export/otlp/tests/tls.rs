//! Encrypted endpoints, with authorities and identities of our own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::mock::{self, Received};
use super::{grpc, *};
use crate::export::Error;

/// An authority, and what it has signed.
struct Authority {
    certificate: String,
    server: (String, String),
    client: (String, String),
}

impl Authority {
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let sign = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        Authority {
            certificate: issuer.pem(),
            server: sign("localhost"),
            client: sign("agent"),
        }
    }

    /// Settings that trust the authority, and the files they name.
    fn settings(&self, port: u16, protocol: Protocol) -> (Settings, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| -> Option<PathBuf> {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let mut otlp = otlp(&format!("https://localhost:{port}"), protocol);
        otlp.certificate = write("ca.pem", &self.certificate);
        otlp.client_certificate = write("client.pem", &self.client.0);
        otlp.client_key = write("client.key", &self.client.1);
        (settings(otlp), folder)
    }
}

/// An HTTPS endpoint that takes only clients of the authority.
fn start_https(authority: &Authority, runtime: &Runtime) -> (u16, Receiver<Received>) {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.certificate)).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .build()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(authority.server.1.as_bytes()).unwrap();
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate(&authority.server.0)], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, received) = channel();
    runtime.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(mock::serve(stream, mock::always_fine(), sender.clone()));
            }
        }
    });
    (port, received)
}

#[test]
fn https_with_own_authority_and_identity() {
    let runtime = runtime();
    let authority = Authority::new();
    let (port, received) = start_https(&authority, &runtime);
    let (settings, _files) = authority.settings(port, Protocol::HttpProtobuf);
    let exporter = exporter(settings, 1, &runtime);
    assert_eq!(finish(exporter).exported, 1);
    received.recv_timeout(LONG).unwrap();
}

#[test]
fn grpc_with_own_authority_and_identity() {
    let runtime = runtime();
    let authority = Authority::new();
    let (certificate, key) = &authority.server;
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(&authority.certificate));
    let (port, received) = grpc::start(&runtime, vec![], Some(tls));
    let (settings, _files) = authority.settings(port, Protocol::Grpc);
    let exporter = exporter(settings, 1, &runtime);
    assert_eq!(finish(exporter).exported, 1);
    received.recv_timeout(LONG).unwrap();
}

#[test]
fn unknown_authority_is_not_trusted() {
    let runtime = runtime();
    let authority = Authority::new();
    let (port, received) = start_https(&authority, &runtime);
    let (mut settings, _files) = authority.settings(port, Protocol::HttpProtobuf);
    let (other, _other_files) = Authority::new().settings(port, Protocol::HttpProtobuf);
    let stranger = other.otlp.and_then(|otlp| otlp.certificate);
    if let Some(otlp) = &mut settings.otlp {
        otlp.certificate = stranger;
    }
    settings.batching.export_timeout = Duration::from_millis(300);
    let exporter = exporter(settings, 1, &runtime);
    assert_eq!(finish(exporter).dropped["endpoint"], 1);
    assert!(received.try_recv().is_err());
}

#[test]
fn files_that_are_wrong_are_said_at_the_start() {
    let runtime = runtime();
    let authority = Authority::new();
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let start = |change: &dyn Fn(&mut Otlp)| -> Error {
            let (mut settings, _files) = authority.settings(1, protocol);
            settings.otlp.as_mut().map(change);
            match Exporter::start(settings, runtime.handle()) {
                Ok(_) => panic!("started"),
                Err(error) => error,
            }
        };
        let missing = start(&|otlp| otlp.certificate = Some("/nowhere.pem".into()));
        let line = "OTLP certificate or key /nowhere.pem: No such file or directory (os error 2)";
        assert_eq!(missing.to_string(), line);
        let half = start(&|otlp| otlp.client_key = None);
        assert!(matches!(half, Error::HalfIdentity));
        let swapped = start(&|otlp| otlp.client_key = otlp.certificate.clone());
        assert!(matches!(swapped, Error::Client(_)), "{swapped}");
        assert!(!swapped.to_string().contains('\n'));
    }
}
