//! An OTLP endpoint in this process: gRPC, http/protobuf and http/json on one port. Metrics are taken
//! over HTTP alone, which is how the Collector hands them on.
//!
//! It keeps every request as it came and decodes when asked, so that it takes little time from what
//! is measured. It can be told to fail, and it can be stopped and started again on the same port.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

use crate::span::{Span, flatten};
use crate::wait;

/// The largest request taken: more than any batch of the agent's.
const LARGEST: usize = 64 << 20;

/// How requests are answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Mood {
    /// Taken.
    Accept,
    /// This HTTP status (gRPC: UNAVAILABLE), nothing taken.
    Refuse(u16),
    /// Taken, but so many of the spans said to be rejected.
    RejectSome(i64),
    /// Taken after a while.
    Slow(Duration),
}

enum Request {
    Protobuf(Bytes),
    Json(Bytes),
    Decoded(ExportTraceServiceRequest),
}

struct Shared {
    mood: Mutex<Mood>,
    waiting: Mutex<Vec<Request>>,
    spans: Mutex<Vec<Span>>,
    metrics: Mutex<Vec<Bytes>>,
    /// Headers of the last request.
    headers: Mutex<Vec<(String, String)>>,
}

/// A running endpoint; stops when dropped.
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<Serving>,
}

/// The server while there is one.
struct Serving {
    runtime: tokio::runtime::Runtime,
    server: tokio::task::JoinHandle<()>,
    stop: Arc<tokio::sync::Notify>,
}

impl Sink {
    /// Listens on a port of its own choice.
    pub fn start() -> Sink {
        let shared = Arc::new(Shared {
            mood: Mutex::new(Mood::Accept),
            waiting: Mutex::default(),
            spans: Mutex::default(),
            metrics: Mutex::default(),
            headers: Mutex::default(),
        });
        let mut sink = Sink {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            shared,
            serving: None,
        };
        sink.listen();
        sink
    }

    /// Stops: the port is closed, and connections once what was taken on them is answered, so that nobody
    /// sends that again.
    pub fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop.notify_one();
            let server = serving.server;
            let soon = wait::patiently(wait::SOON);
            let ended = async { tokio::time::timeout(soon, server).await };
            let ended = serving.runtime.block_on(ended).expect("in time");
            ended.expect("no panic");
            serving.runtime.shutdown_timeout(soon);
        }
    }

    /// Listens (again) on its port; spans taken before are kept.
    pub fn listen(&mut self) {
        let listener = wait::until("the sink's port", wait::SOON, || {
            TcpListener::bind(self.address).ok()
        });
        self.address = listener.local_addr().expect("it listens");
        listener.set_nonblocking(true).expect("a socket");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let router = router(self.shared.clone());
        let stop = Arc::new(tokio::sync::Notify::new());
        let stopped = stop.clone();
        let server = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let stopped = async move { stopped.notified().await };
            let server = axum::serve(listener, router).with_graceful_shutdown(stopped);
            server.await.expect("it serves");
        });
        self.serving = Some(Serving {
            runtime,
            server,
            stop,
        });
    }

    /// What `--otlp-endpoint` takes: the same for the three protocols.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How requests are answered from now on.
    pub fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().expect("not poisoned") = mood;
    }

    /// Every span taken so far, in order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        let requests = std::mem::take(&mut *self.shared.waiting.lock().expect("not poisoned"));
        let mut spans = self.shared.spans.lock().expect("not poisoned");
        for request in requests {
            let request = match request {
                Request::Protobuf(bytes) => {
                    ExportTraceServiceRequest::decode(bytes).expect("a protobuf request")
                }
                Request::Json(bytes) => serde_json::from_slice(&bytes).expect("a JSON request"),
                Request::Decoded(request) => request,
            };
            spans.extend(flatten(request));
        }
        spans.clone()
    }

    /// Awaits that `wanted` holds of the spans taken so far.
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        wait::until(what, wait::SOON, || {
            let spans = self.spans();
            wanted(&spans).then_some(spans)
        })
    }

    /// Every request with metrics, in order of arrival.
    pub fn metrics(&self) -> Vec<ExportMetricsServiceRequest> {
        let bodies = self.shared.metrics.lock().expect("not poisoned").clone();
        let decoded = bodies.into_iter().map(ExportMetricsServiceRequest::decode);
        decoded
            .map(|request| request.expect("a protobuf request"))
            .collect()
    }

    /// Bodies of http/json requests that were not decoded yet.
    pub fn json_bodies(&self) -> Vec<Bytes> {
        let waiting = self.shared.waiting.lock().expect("not poisoned");
        waiting
            .iter()
            .filter_map(|request| match request {
                Request::Json(bytes) => Some(bytes.clone()),
                _ => None,
            })
            .collect()
    }

    /// Headers (gRPC: metadata) of the last request, names in lower case.
    pub fn headers(&self) -> Vec<(String, String)> {
        self.shared.headers.lock().expect("not poisoned").clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.runtime.shutdown_background();
        }
    }
}

impl Shared {
    /// Takes a request as the mood has it: the number of spans rejected, or the status to answer.
    async fn take(&self, headers: &HeaderMap, request: Request) -> Result<i64, u16> {
        *self.headers.lock().expect("not poisoned") = headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_string(), value)
            })
            .collect();
        let mood = self.mood.lock().expect("not poisoned").clone();
        let rejected = match mood {
            Mood::Accept => 0,
            Mood::Refuse(status) => return Err(status),
            Mood::RejectSome(count) => count,
            Mood::Slow(time) => {
                tokio::time::sleep(time).await;
                0
            }
        };
        self.waiting.lock().expect("not poisoned").push(request);
        Ok(rejected)
    }
}

fn router(shared: Arc<Shared>) -> Router {
    let grpc = TraceServiceServer::new(Grpc(shared.clone()))
        .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
        .max_decoding_message_size(LARGEST);
    tonic::service::Routes::new(grpc).into_axum_router().merge(
        Router::new()
            .route("/v1/traces", post(http))
            .route("/v1/metrics", post(metrics))
            .layer(axum::extract::DefaultBodyLimit::max(LARGEST))
            .with_state(shared),
    )
}

async fn http(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let is = |name: header::HeaderName, value: &str| {
        headers
            .get(name)
            .is_some_and(|found| found.as_bytes() == value.as_bytes())
    };
    let body = if is(header::CONTENT_ENCODING, "gzip") {
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut plain)
            .expect("a gzip body");
        plain.into()
    } else {
        body
    };
    let json = is(header::CONTENT_TYPE, "application/json");
    assert!(
        json || is(header::CONTENT_TYPE, "application/x-protobuf"),
        "content type of {headers:?}"
    );
    let request = if json {
        Request::Json(body)
    } else {
        Request::Protobuf(body)
    };
    let (status, answer) = match shared.take(&headers, request).await {
        Ok(rejected) => (StatusCode::OK, answer(rejected)),
        Err(status) => (
            StatusCode::from_u16(status).expect("a status"),
            ExportTraceServiceResponse::default(),
        ),
    };
    let (kind, bytes) = if json {
        (
            "application/json",
            serde_json::to_vec(&answer).expect("JSON"),
        )
    } else {
        ("application/x-protobuf", answer.encode_to_vec())
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from(bytes))
        .expect("a response")
}

/// Uncompressed protobuf.
async fn metrics(State(shared): State<Arc<Shared>>, body: Bytes) -> Response<Body> {
    shared.metrics.lock().expect("not poisoned").push(body);
    let answer = ExportMetricsServiceResponse::default().encode_to_vec();
    Response::builder()
        .header(header::CONTENT_TYPE, "application/x-protobuf")
        .body(Body::from(answer))
        .expect("a response")
}

fn answer(rejected: i64) -> ExportTraceServiceResponse {
    ExportTraceServiceResponse {
        partial_success: (rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "told to".into(),
        }),
    }
}

struct Grpc(Arc<Shared>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let (metadata, _, message) = request.into_parts();
        let headers = metadata.into_headers();
        match self.0.take(&headers, Request::Decoded(message)).await {
            Ok(rejected) => Ok(tonic::Response::new(answer(rejected))),
            Err(_) => Err(tonic::Status::unavailable("told to")),
        }
    }
}
