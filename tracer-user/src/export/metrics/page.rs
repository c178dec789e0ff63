//! The page that Prometheus scrapes: `GET /metrics`, and nothing else.
//!
//! Whoever may connect may read it, so it listens on loopback unless told otherwise. One request per
//! connection, few connections at once, and no longer than a scrape takes: who is slow or many keeps
//! others waiting, never the pipeline. The text is written as it is sent, compressed if the scraper
//! takes it so.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::response::Builder;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::prometheus::{self, Format};
use crate::export::Error;
use crate::metrics::{Snapshot, Source};

/// Connections served at once: two Prometheus' and somebody who looks, and then some.
const CONNECTIONS: usize = 8;

/// How long one may take: a scrape times out after ten seconds, unless told otherwise.
const LONGEST: Duration = Duration::from_secs(60);

/// Bytes that are handed to the connection together.
const CHUNK: usize = 64 << 10;

/// Chunks that may wait for a slow reader.
const WAITING: usize = 2;

/// Who listens, until it is dropped.
pub(super) struct Page {
    task: JoinHandle<()>,
    #[cfg(test)]
    pub address: std::net::SocketAddr,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Page {
    pub(super) fn start(
        (host, port): (String, u16),
        source: Source,
        runtime: &Handle,
    ) -> Result<Page, Error> {
        let wrong = |error| Error::Listen {
            address: format!("{host}:{port}"),
            error,
        };
        let _inside = runtime.enter();
        let listener = std::net::TcpListener::bind((host.as_str(), port)).map_err(wrong)?;
        listener.set_nonblocking(true).map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        let listener = TcpListener::from_std(listener).map_err(wrong)?;
        log::info!("metrics page: http://{address}/metrics");
        Ok(Page {
            task: runtime.spawn(listen(listener, source)),
            #[cfg(test)]
            address,
        })
    }
}

async fn listen(listener: TcpListener, source: Source) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let source = source.clone();
                tokio::spawn(async move {
                    // Who takes longer is gone.
                    let _ = tokio::time::timeout(LONGEST, serve(stream, source)).await;
                    drop(place);
                });
            }
            // Mostly no descriptor is left: it passes.
            Err(error) => {
                log::debug!("metrics page: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, source: Source) {
    let service = service_fn(|request| answer(request, source.clone()));
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        log::debug!("metrics page: {error}");
    }
}

type Body = Either<Full<Bytes>, Channel<Bytes>>;

async fn answer(
    request: Request<Incoming>,
    source: Source,
) -> Result<Response<Body>, hyper::http::Error> {
    if request.uri().path() != "/metrics" {
        return short(StatusCode::NOT_FOUND, "see /metrics\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let builder = Response::builder().status(StatusCode::METHOD_NOT_ALLOWED);
        return text(builder.header(ALLOW, "GET, HEAD"), "GET it\n");
    }
    let Ok(snapshot) = source.ask().await else {
        return short(StatusCode::SERVICE_UNAVAILABLE, "tracer ends\n");
    };
    let field = |name| {
        let value = request.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    };
    let format = Format::of(field(ACCEPT));
    let gzip = field(ACCEPT_ENCODING)
        .split(',')
        .any(|of| of.trim() == "gzip");
    let mut builder = Response::builder().header(CONTENT_TYPE, format.content_type());
    if gzip {
        builder = builder.header(CONTENT_ENCODING, "gzip");
    }
    if request.method() == Method::HEAD {
        return text(builder, "");
    }
    let (sender, body) = Channel::new(WAITING);
    let chunks = Chunks {
        sender,
        runtime: Handle::current(),
        buffer: Vec::with_capacity(CHUNK),
    };
    tokio::task::spawn_blocking(move || {
        // Nobody reads it any more, or not in time.
        if let Err(error) = write(&snapshot, format, gzip, chunks) {
            log::debug!("metrics page: {error}");
        }
    });
    builder.body(Either::Right(body))
}

fn short(status: StatusCode, said: &'static str) -> Result<Response<Body>, hyper::http::Error> {
    text(Response::builder().status(status), said)
}

fn text(builder: Builder, said: &'static str) -> Result<Response<Body>, hyper::http::Error> {
    builder.body(Either::Left(Full::from(said)))
}

fn write(snapshot: &Snapshot, format: Format, gzip: bool, mut to: Chunks) -> io::Result<()> {
    if gzip {
        let mut packer = GzEncoder::new(to, Compression::fast());
        prometheus::write(snapshot, format, &mut packer)?;
        to = packer.finish()?;
    } else {
        prometheus::write(snapshot, format, &mut to)?;
    }
    to.flush()
}

/// Hands what is written to the connection, a chunk at a time.
struct Chunks {
    sender: Sender<Bytes>,
    runtime: Handle,
    buffer: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        let sent = self.runtime.block_on(self.sender.send_data(chunk.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
