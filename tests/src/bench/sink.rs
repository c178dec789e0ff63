//! The endpoint that spans are exported to while something is measured: OTLP over HTTP/1.
//!
//! It shares two cores with what is measured, so it does the least that lets one check the export:
//! takes requests, counts them, their bytes and their spans. Left out: gRPC, JSON, compression, and
//! everything else the tests' own [`crate::sink`] can do.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::otlp;
use crate::process;
use crate::servers::{Server, ours};
use crate::wait;

/// The largest body taken: more than any batch of the agent's.
const LARGEST: usize = 64 << 20;

/// What a sink took so far: the answer to `GET /counts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Counts {
    /// Export requests.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Spans in them.
    pub spans: u64,
    /// When the first span was here, unix ns; 0 = not yet.
    pub first: u64,
}

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static SPANS: AtomicU64 = AtomicU64::new(0);
static FIRST: AtomicU64 = AtomicU64::new(0);

/// A sink in a process of its own; ends when dropped.
pub struct Sink(Server);

impl Sink {
    /// Starts it and awaits that it listens.
    #[track_caller]
    pub fn start() -> Sink {
        Sink(Server::announced(&mut ours("sink")))
    }

    /// For `--otlp-endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// What it took so far.
    ///
    /// # Errors
    /// It does not answer.
    pub fn counts(&self) -> Result<Counts> {
        ask(self.0.address).context("the sink does not answer")
    }

    /// Awaits the first span; what it took by then.
    ///
    /// # Errors
    /// It does not answer.
    pub fn wait_first(&self) -> Result<Counts> {
        wait::until("a span at the sink", wait::SOON, || match self.counts() {
            Ok(counts) if counts.spans == 0 => None,
            other => Some(other),
        })
    }

    /// CPU time that it used.
    pub fn cpu_time(&self) -> Duration {
        process::cpu_time(self.0.pid())
    }
}

fn ask(address: SocketAddr) -> Result<Counts> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /counts HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    Ok(serde_json::from_str(body)?)
}

/// Serves on a port of its own choice, which it says on standard output, until killed.
///
/// # Errors
/// It cannot listen.
pub fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = connection(stream) {
                eprintln!("sink: {error}");
            }
        });
    }
    Ok(())
}

/// A request's head: what of it matters here.
#[derive(Default)]
struct Head {
    is_export: bool,
    length: usize,
    is_chunked: bool,
    is_close: bool,
    awaits_continue: bool,
}

/// Answers one request after the other until the peer is done.
fn connection(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let mut body = Vec::new();
    while let Some(head) = read_head(&mut reader)? {
        if head.awaits_continue {
            reader
                .get_mut()
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        body.clear();
        if head.is_chunked {
            read_chunks(&mut reader, &mut body)?;
        } else {
            body.resize(head.length, 0);
            reader.read_exact(&mut body)?;
        }
        let (kind, answer) = if head.is_export {
            take(&body)?;
            ("x-protobuf", String::new())
        } else {
            ("json", serde_json::to_string(&counts())?)
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/{kind}\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
        reader.get_mut().write_all(answer.as_bytes())?;
        if head.is_close {
            break;
        }
    }
    Ok(())
}

fn take(body: &[u8]) -> io::Result<()> {
    let spans = otlp::count_spans(body)
        .ok_or_else(|| invalid("a body that is no protobuf ExportTraceServiceRequest"))?;
    REQUESTS.fetch_add(1, Relaxed);
    BYTES.fetch_add(body.len() as u64, Relaxed);
    if spans > 0 {
        // Whether another one was first does not matter.
        let _ = FIRST.compare_exchange(0, now(), Relaxed, Relaxed);
        SPANS.fetch_add(spans, Relaxed);
    }
    Ok(())
}

fn counts() -> Counts {
    Counts {
        requests: REQUESTS.load(Relaxed),
        bytes: BYTES.load(Relaxed),
        spans: SPANS.load(Relaxed),
        first: FIRST.load(Relaxed),
    }
}

/// None if the peer closed instead.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut head = Head::default();
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    head.is_export = line.starts_with("POST ");
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(invalid("closed within a head"));
        }
        if line.trim_end().is_empty() {
            return Ok(Some(head));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("a bad head"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                head.length = value.parse().map_err(|_| invalid("a bad Content-Length"))?;
                if head.length > LARGEST {
                    return Err(invalid("a body beyond all batches"));
                }
            }
            "content-encoding" => return Err(invalid("a compressed body")),
            "transfer-encoding" => head.is_chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => head.is_close = value.eq_ignore_ascii_case("close"),
            "expect" => head.awaits_continue = true,
            _ => {}
        }
    }
}

/// RFC 9112, 7.1; extensions and trailers are passed over.
fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| invalid("a bad chunk head"))?;
        let start = body.len();
        if size > LARGEST - start {
            return Err(invalid("a body beyond all batches"));
        }
        if size == 0 {
            break;
        }
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        reader.read_exact(&mut [0; 2])?;
    }
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(invalid("closed within a body"));
        }
    }
    Ok(())
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |time| time.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::{read_chunks, read_head};

    #[test]
    fn heads_tell_how_the_body_is_framed() {
        let mut bytes =
            b"POST /v1/traces HTTP/1.1\r\nhost: a\r\nCONTENT-LENGTH: 12\r\n\r\nrest".as_slice();
        let head = read_head(&mut bytes).unwrap().unwrap();
        assert!(head.is_export && !head.is_chunked && !head.is_close);
        assert_eq!((head.length, bytes), (12, b"rest".as_slice()));
        assert!(read_head(&mut b"".as_slice()).unwrap().is_none());
        assert!(read_head(&mut b"POST / HTTP/1.1\r\nhost".as_slice()).is_err());
    }

    #[test]
    fn chunks_are_joined_and_trailers_passed_over() {
        let mut body = Vec::new();
        let mut bytes = b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nt: u\r\n\r\nnext".as_slice();
        read_chunks(&mut bytes, &mut body).unwrap();
        assert_eq!(
            (body.as_slice(), bytes),
            (b"hello!".as_slice(), b"next".as_slice())
        );
        assert!(read_chunks(&mut b"5\r\nhel".as_slice(), &mut body).is_err());
        assert!(read_chunks(&mut b"ffffffffffffffff\r\n".as_slice(), &mut body).is_err());
    }
}
