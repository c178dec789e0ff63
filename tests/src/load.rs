//! Load: parallel keep-alive connections whose every request is one of its kind.
//!
//! Each request has its own path, trace id and span id, made of its number, so that a span tells
//! which request it is of and whether every byte of it is right.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::message::{self, Response};
use crate::wait;

/// A request to make.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: &'static str,
    /// Target in origin form; unlike every other one.
    pub target: String,
    /// Further header lines, each with its CRLF.
    pub fields: String,
    /// Body.
    pub body: Body,
}

/// A request's body.
#[derive(Clone, Debug)]
pub enum Body {
    /// None, and no Content-Length.
    None,
    /// So many bytes, their number in Content-Length.
    Length(usize),
    /// Chunks of these sizes.
    Chunked(Vec<usize>),
}

/// A request made and answered: what its span must say.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Method.
    pub method: &'static str,
    /// Target.
    pub target: String,
    /// In its `traceparent`.
    pub trace_id: String,
    /// In its `traceparent`.
    pub parent: String,
    /// Bytes sent.
    pub request_wire: u64,
    /// Bytes of the request's body.
    pub request_body: u64,
    /// What came back.
    pub response: Response,
    /// Unix ns just before the first byte was written.
    pub began: u64,
    /// Unix ns just after the last byte was read.
    pub ended: u64,
}

/// A GET of that target.
pub fn get(target: String) -> Request {
    Request {
        method: "GET",
        target,
        fields: String::new(),
        body: Body::None,
    }
}

/// Trace and span id of request number `number` in load number `load`: different in every request
/// of a test run, never zero.
pub fn ids(load: u64, number: usize) -> (String, String) {
    let load = load + 1;
    (
        format!("{load:016x}{:016x}", number + 1),
        format!("{load:08x}{:08x}", number + 1),
    )
}

/// Makes `count` requests over `connections` connections, `request` telling each by its number.
/// A connection that the server closes is opened anew; one at a time, up to its first answer, for
/// Python's server queues no more than five. Panics on anything unexpected.
#[track_caller]
pub fn run(
    address: SocketAddr,
    connections: usize,
    count: usize,
    request: impl Fn(usize) -> Request + Sync,
) -> Vec<Exchange> {
    static LOADS: AtomicUsize = AtomicUsize::new(0);
    let load = LOADS.fetch_add(1, Ordering::Relaxed) as u64;
    let next = AtomicUsize::new(0);
    let door = Mutex::new(());
    let exchanges = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut ours = Vec::new();
                let mut connection = None;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let exchange = exchange(
                        &mut connection,
                        (address, &door),
                        &request(number),
                        ids(load, number),
                    );
                    ours.push(exchange.unwrap_or_else(|error| panic!("request {number}: {error}")));
                }
                exchanges.lock().expect("not poisoned").extend(ours);
            });
        }
    });
    exchanges.into_inner().expect("not poisoned")
}

/// Makes one request over `connection`, opening it if need be and keeping it if it may be used again.
fn exchange(
    connection: &mut Option<Connection>,
    (address, door): (SocketAddr, &Mutex<()>),
    request: &Request,
    (trace_id, parent): (String, String),
) -> io::Result<Exchange> {
    let mut entering = None;
    let mut open = match connection.take() {
        Some(open) => open,
        None => {
            entering = door.lock().ok();
            Connection::open(address)?
        }
    };
    let (bytes, request_body) = encode(request, &trace_id, &parent);
    let began = now();
    open.write(&bytes)?;
    let response = open.read(request.method)?;
    let ended = now();
    drop(entering);
    if response.keep_alive {
        *connection = Some(open);
    }
    Ok(Exchange {
        method: request.method,
        target: request.target.clone(),
        trace_id,
        parent,
        request_wire: bytes.len() as u64,
        request_body,
        response,
        began,
        ended,
    })
}

/// A request's bytes, and how many of them are body.
pub fn encode(request: &Request, trace_id: &str, parent: &str) -> (Vec<u8>, u64) {
    let mut bytes = format!(
        "{} {} HTTP/1.1\r\nHost: test\r\ntraceparent: 00-{trace_id}-{parent}-01\r\n{}",
        request.method, request.target, request.fields
    )
    .into_bytes();
    let body = match &request.body {
        Body::None => {
            bytes.extend_from_slice(b"\r\n");
            0
        }
        Body::Length(length) => {
            bytes.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
            bytes.resize(bytes.len() + length, b'b');
            *length
        }
        Body::Chunked(sizes) => {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for size in sizes {
                bytes.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                bytes.resize(bytes.len() + size, b'c');
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            sizes.iter().sum()
        }
    };
    (bytes, body as u64)
}

/// A connection to a server, for requests of any shape.
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects, trying again while the server's queue is full.
    ///
    /// # Errors
    /// Those of the last try.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let (begun, soon) = (Instant::now(), wait::patiently(wait::SOON));
        let stream = loop {
            match TcpStream::connect_timeout(&address, soon) {
                Err(_) if begun.elapsed() < soon / 4 => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                result => break result?,
            }
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(soon))?;
        Ok(Connection {
            reader: BufReader::new(stream),
        })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The socket's.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream().write_all(bytes)
    }

    /// Reads the response to a request of that method.
    ///
    /// # Errors
    /// See [`message::read_response`].
    pub fn read(&mut self, method: &str) -> io::Result<Response> {
        acknowledge_at_once(self.reader.get_ref());
        message::read_response(&mut self.reader, method)
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }
}

/// A server that writes head and body apart, with Nagle's algorithm on, waits for the delayed
/// acknowledgement of its first write: 40 ms a request. The option lasts for a while only.
fn acknowledge_at_once(stream: &TcpStream) {
    let on: libc::c_int = 1;
    // SAFETY: the value is an int that outlives the call, and its size is given.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_QUICKACK,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        );
    }
}

/// Unix time in nanoseconds.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos() as u64
}
