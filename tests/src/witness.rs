//! A server in this process that counts every byte of the requests made to it: what client spans are
//! compared with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::load::now;

/// A request that came in, and the response to it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Target as sent.
    pub target: String,
    /// Bytes of the request on the wire.
    pub request_wire: u64,
    /// Status answered: what follows `/status/` in the target, else 200.
    pub status: u16,
    /// Bytes of the response on the wire.
    pub response_wire: u64,
    /// Bytes of its body.
    pub response_body: u64,
    /// Which connection, counted from 0 in the order of their requests.
    pub connection: usize,
    /// Unix ns when the request had been read.
    pub at: u64,
}

/// The running server; its threads end with the process.
pub struct Witness {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Witness {
    /// Listens and answers from now on.
    pub fn start() -> Witness {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it listens");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let ours = seen.clone();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { return };
                let seen = ours.clone();
                std::thread::spawn(move || answer(stream, number, &seen));
            }
        });
        Witness { address, seen }
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// Answers a connection's requests, until it ends or fails: clients may do as they like.
fn answer(stream: TcpStream, connection: usize, seen: &Mutex<Vec<Seen>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(&stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head).ok()? == 0 {
                return None;
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut line = text.lines().next()?.split(' ');
        let (method, target) = (line.next()?.to_string(), line.next()?.to_string());
        let length: u64 = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(Some(0), |(_, value)| value.trim().parse().ok())?;
        let copied = std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink());
        if copied.ok()? < length {
            return None;
        }
        let status = target
            .split('/')
            .skip_while(|part| *part != "status")
            .nth(1)
            .map_or(Some(200), |status| status.parse().ok())?;
        let body = "w".repeat(target.len());
        let answer = format!(
            "HTTP/1.1 {status} Seen\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // Noted before it is answered: who has the answer finds the note.
        seen.lock().expect("not poisoned").push(Seen {
            method,
            target,
            request_wire: head.len() as u64 + length,
            status,
            response_wire: answer.len() as u64,
            response_body: body.len() as u64,
            connection,
            at: now(),
        });
        (&stream).write_all(answer.as_bytes()).ok()?;
    }
}
