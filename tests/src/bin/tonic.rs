//! gRPC by tonic, without generated code: messages are bytes. What calls hold: `fixtures/go-rpc/main.go`.
//!
//! ```text
//! tonic serve [PORT]              prints the port it listens on
//! tonic call ADDRESS PARALLEL     carries out the calls told on standard input
//! ```

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http;
use bytes::Bytes;
use tests::load::now;
use tests::rpc::{Call, Done, Plain};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status, Streaming};

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve"] => serve("0").await,
        ["serve", port] => serve(port).await,
        ["call", address, parallel] => call(address, parallel.parse().expect("a number")).await,
        _ => panic!("see the first lines of its source"),
    }
}

type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;
type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What a call's metadata asks of the server.
struct Asked {
    answer: Vec<usize>,
    code: i32,
    wait: bool,
}

impl Asked {
    fn of(metadata: &MetadataMap) -> Asked {
        let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
        let sizes = text("x-answer").unwrap_or_default().split(',');
        Asked {
            answer: sizes.filter_map(|size| size.parse().ok()).collect(),
            code: text("x-code").map_or(0, |code| code.parse().expect("a number")),
            wait: text("x-wait").is_some(),
        }
    }

    fn status(&self) -> Result<(), Status> {
        match self.code {
            0 => Ok(()),
            code => Err(Status::new(Code::from_i32(code), "as asked, 100 %")),
        }
    }

    async fn one(self) -> Result<Response<Bytes>, Status> {
        if self.wait {
            std::future::pending().await
        }
        self.status()?;
        Ok(Response::new(vec![0; self.answer.iter().sum()].into()))
    }

    fn several(self) -> Answers {
        if self.wait {
            return Box::pin(tokio_stream::pending());
        }
        let end = self.status().err().map(Err);
        let answers = self.answer.into_iter();
        let answers = answers.map(|size| Ok(Bytes::from(vec![0; size])));
        Box::pin(tokio_stream::iter(answers.chain(end).collect::<Vec<_>>()))
    }
}

#[derive(Clone, Copy)]
struct Echo;

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl tonic::codegen::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Future<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Plain);
            Ok(match request.uri().path() {
                "/test.Echo/Unary" => grpc.unary(Echo, request).await,
                "/test.Echo/Upload" => grpc.client_streaming(Echo, request).await,
                "/test.Echo/Download" => grpc.server_streaming(Echo, request).await,
                "/test.Echo/Chat" => grpc.streaming(Echo, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

impl tonic::server::UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Future<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(Asked::of(request.metadata()).one())
    }
}

impl tonic::server::ClientStreamingService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Future<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async {
            let asked = Asked::of(request.metadata());
            let mut messages = request.into_inner();
            while messages.message().await?.is_some() {}
            asked.one().await
        })
    }
}

impl tonic::server::ServerStreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = Future<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(Asked::of(request.metadata()).several())) })
    }
}

impl tonic::server::StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = Future<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async {
            let after = Asked::of(request.metadata()).several();
            Ok(Response::new(
                Box::pin(request.into_inner().chain(after)) as Answers
            ))
        })
    }
}

async fn serve(port: &str) {
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .expect("a port");
    println!("{}", listener.local_addr().expect("it listens").port());
    tonic::transport::Server::builder()
        .add_service(Echo)
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener))
        .await
        .expect("it serves");
}

async fn call(address: &str, parallel: usize) {
    let channel = tonic::transport::Endpoint::new(format!("http://{address}"))
        .expect("an address")
        .connect_lazy();
    let (told, calls) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let call: Call = serde_json::from_str(&line.expect("text")).expect("a call");
            told.send(call).expect("workers");
        }
    });
    let calls = Arc::new(Mutex::new(calls));
    let mut workers = Vec::new();
    for _ in 0..parallel {
        let (channel, calls) = (channel.clone(), calls.clone());
        workers.push(tokio::spawn(async move {
            loop {
                let call = calls.lock().await.recv().await;
                let Some(call) = call else {
                    return;
                };
                let mut done = Done {
                    id: call.id,
                    code: 0,
                    got: Vec::new(),
                    began: now(),
                    ended: 0,
                };
                if let Err(status) = make(channel.clone(), &call, &mut done.got).await {
                    done.code = status.code() as i32;
                }
                done.ended = now();
                println!("{}", serde_json::to_string(&done).expect("JSON"));
            }
        }));
    }
    for worker in workers {
        worker.await.expect("no panic");
    }
}

async fn make(
    channel: tonic::transport::Channel,
    call: &Call,
    got: &mut Vec<usize>,
) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("a connection");
    let path = http::uri::PathAndQuery::try_from(&call.method).expect("a path");
    let messages: Vec<Bytes> = call.send.iter().map(|size| vec![0; *size].into()).collect();
    let one = messages.first().cloned().unwrap_or_default();
    let messages = tokio_stream::iter(messages);
    let mut answers = match call.method.rsplit('/').next() {
        Some("Upload") => {
            let request = request(call, messages);
            got.push(
                client
                    .client_streaming(request, path, Plain)
                    .await?
                    .into_inner()
                    .len(),
            );
            return Ok(());
        }
        Some("Download") => {
            let request = request(call, one);
            client.server_streaming(request, path, Plain).await?
        }
        Some("Chat") => {
            let request = request(call, messages);
            client.streaming(request, path, Plain).await?
        }
        _ => {
            let request = request(call, one);
            got.push(client.unary(request, path, Plain).await?.into_inner().len());
            return Ok(());
        }
    }
    .into_inner();
    if call.cancel {
        return Err(Status::cancelled("by dropping the answers"));
    }
    while let Some(answer) = answers.message().await? {
        got.push(answer.len());
    }
    Ok(())
}

fn request<T>(call: &Call, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let mut set = |name: &'static str, value: String| {
        let value = MetadataValue::try_from(value).expect("text");
        request.metadata_mut().insert(name, value);
    };
    if !call.traceparent.is_empty() {
        set("traceparent", call.traceparent.clone());
    }
    if !call.answer.is_empty() {
        let sizes: Vec<String> = call.answer.iter().map(usize::to_string).collect();
        set("x-answer", sizes.join(","));
    }
    if call.code != 0 {
        set("x-code", call.code.to_string());
    }
    if call.wait {
        set("x-wait", "1".into());
    }
    if call.timeout_ms > 0 {
        request.set_timeout(Duration::from_millis(call.timeout_ms));
    }
    request
}
