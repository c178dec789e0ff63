use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;

type Answer = Result<ExportTraceServiceResponse, Status>;

/// A gRPC endpoint that gives its answers in order, then success.
pub(super) struct Service {
    script: Arc<Mutex<VecDeque<Answer>>>,
    received: Sender<Request<ExportTraceServiceRequest>>,
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        mut request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        request.extensions_mut().insert(Instant::now());
        let _ = self.received.send(request);
        let answer = self.script.lock().unwrap().pop_front();
        answer
            .unwrap_or_else(|| Ok(Default::default()))
            .map(Response::new)
    }
}

pub(super) fn start(
    runtime: &Runtime,
    answers: Vec<Answer>,
    tls: Option<ServerTlsConfig>,
) -> (u16, Receiver<Request<ExportTraceServiceRequest>>) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, serve(listener, runtime, answers, tls))
}

fn serve(
    listener: TcpListener,
    runtime: &Runtime,
    answers: Vec<Answer>,
    tls: Option<ServerTlsConfig>,
) -> Receiver<Request<ExportTraceServiceRequest>> {
    let (sender, received) = channel();
    let service = TraceServiceServer::new(Service {
        script: Arc::new(Mutex::new(answers.into())),
        received: sender,
    })
    .accept_compressed(CompressionEncoding::Gzip);
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).unwrap();
    }
    let serving = server.add_service(service);
    runtime.spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    received
}

fn settings_for(port: u16) -> Settings {
    settings(otlp(&format!("http://127.0.0.1:{port}"), Protocol::Grpc))
}

#[test]
fn spans_and_headers_arrive() {
    let runtime = runtime();
    let (port, received) = start(&runtime, vec![], None);
    let mut settings = settings_for(port);
    if let Some(otlp) = &mut settings.otlp {
        otlp.headers = vec![("x-key".to_owned(), "secret".to_owned())];
    }
    let exporter = exporter(settings, 3, &runtime);
    let request = received.recv_timeout(LONG).unwrap();
    assert_eq!(request.metadata().get("x-key").unwrap(), "secret");
    assert_eq!(spans_in(request.get_ref()), 1);
    assert_eq!(finish(exporter).exported, 3);
}

#[test]
fn gzip_is_understood() {
    let runtime = runtime();
    let (port, received) = start(&runtime, vec![], None);
    let mut settings = settings_for(port);
    if let Some(otlp) = &mut settings.otlp {
        otlp.gzip = true;
    }
    let exporter = exporter(settings, 1, &runtime);
    assert_eq!(finish(exporter).exported, 1);
    assert_eq!(spans_in(received.recv_timeout(LONG).unwrap().get_ref()), 1);
}

#[test]
fn retryable_codes_are_retried() {
    let runtime = runtime();
    for code in [
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unavailable,
        Code::DataLoss,
    ] {
        let (port, received) = start(&runtime, vec![Err(Status::new(code, "later"))], None);
        let exporter = exporter(settings_for(port), 1, &runtime);
        assert_eq!(finish(exporter).exported, 1, "{code:?}");
        assert_eq!(received.try_iter().count(), 2, "{code:?}");
    }
}

#[test]
fn other_codes_reject() {
    let runtime = runtime();
    for code in [
        Code::InvalidArgument,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::Unimplemented,
        Code::Internal,
        Code::Unknown,
        Code::ResourceExhausted,
    ] {
        let (port, received) = start(&runtime, vec![Err(Status::new(code, "no"))], None);
        let exporter = exporter(settings_for(port), 1, &runtime);
        assert_eq!(finish(exporter).dropped["rejected"], 1, "{code:?}");
        assert_eq!(received.try_iter().count(), 1, "{code:?}");
    }
}

#[test]
fn exhausted_endpoint_that_says_when_is_tried_then() {
    let runtime = runtime();
    let wait = Duration::from_millis(700);
    let details = ErrorDetails::with_retry_info(Some(wait));
    let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
    let (port, received) = start(&runtime, vec![Err(status)], None);
    let exporter = exporter(settings_for(port), 1, &runtime);
    let at = || -> Instant {
        let request = received.recv_timeout(LONG).unwrap();
        *request.extensions().get().unwrap()
    };
    let first = at();
    assert!(at() - first >= wait);
    assert_eq!(finish(exporter).exported, 1);
}

#[test]
fn partial_success_is_counted() {
    let runtime = runtime();
    let partial = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: "too old".to_owned(),
        }),
    };
    let (port, _received) = start(&runtime, vec![Ok(partial)], None);
    let mut settings = settings_for(port);
    settings.batching.max_batch_size = 4;
    let exporter = exporter(settings, 4, &runtime);
    let counts = finish(exporter);
    assert_eq!((counts.exported, counts.dropped["rejected"]), (3, 1));
}

#[test]
fn endpoint_that_is_gone_is_given_up() {
    let runtime = runtime();
    let mut settings = settings_for(1);
    settings.batching.export_timeout = Duration::from_millis(300);
    let mut exporter = exporter(settings, 2, &runtime);
    await_counts(&mut exporter, |counts| counts.dropped["endpoint"] == 2);
    finish(exporter);
}

#[test]
fn full_batches_fit() {
    let runtime = runtime();
    let (port, received) = start(&runtime, vec![], None);
    let mut settings = settings_for(port);
    settings.batching.max_batch_size = 512;
    let exporter = exporter(settings, 2048, &runtime);
    assert_eq!(finish(exporter).exported, 2048);
    let sizes: Vec<_> = received.try_iter().map(|r| spans_in(r.get_ref())).collect();
    assert_eq!(sizes, [512; 4]);
}

#[test]
fn lost_connections_are_retried() {
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let exporter = exporter(settings_for(port), 1, &runtime);
    // Cut in the middle of a request: after the preface and the settings are answered.
    runtime.block_on(async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.windows(4).any(|four| four == b"cart") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
    });
    let received = serve(listener, &runtime, vec![], None);
    assert_eq!(finish(exporter).exported, 1);
    assert_eq!(received.try_iter().count(), 1);
}
