//! An HTTP endpoint that answers what it is told, and tells what it was asked.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::LONG;

/// What to do with a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A status line's end, header lines, and a body.
    Status(&'static str, &'static str, Vec<u8>),
    /// Nothing, with the connection open.
    Silence,
    /// Nothing, and the connection closed.
    Close,
}

impl Answer {
    pub(super) fn status(status: &'static str) -> Self {
        Answer::Status(status, "", Vec::new())
    }
}

/// A request as it came.
#[derive(Debug)]
pub(super) struct Received {
    pub at: Instant,
    /// Request line and fields, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

pub(super) struct Mock {
    pub url: String,
    received: Receiver<Received>,
}

type Script = Arc<Mutex<VecDeque<Answer>>>;

impl Mock {
    /// Gives these answers in order, then success.
    pub(super) fn start(runtime: &Runtime, answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        Mock::on(listener, runtime, answers)
    }

    pub(super) fn on(
        listener: TcpListener,
        runtime: &Runtime,
        answers: impl IntoIterator<Item = Answer>,
    ) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script: Script = Arc::new(Mutex::new(answers.into_iter().collect()));
        let (sender, received) = channel();
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&script), sender.clone()));
            }
        });
        Mock { url, received }
    }

    /// The next request.
    pub(super) fn next(&self) -> Received {
        self.received.recv_timeout(LONG).unwrap()
    }

    /// Whether there was none beside those taken.
    pub(super) fn is_done(&self) -> bool {
        self.received.try_recv().is_err()
    }
}

/// Serves one connection. None = it ended or was told to.
pub(super) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Script,
    sender: Sender<Received>,
) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            match bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => more(&mut stream, &mut bytes).await?,
            }
        };
        let head = String::from_utf8(bytes[..end].to_ascii_lowercase()).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        while bytes.len() < end + length {
            more(&mut stream, &mut bytes).await?;
        }
        let body = bytes[end..end + length].to_vec();
        bytes.drain(..end + length);
        let at = Instant::now();
        let _ = sender.send(Received { at, head, body });
        let answer = script.lock().unwrap().pop_front();
        match answer.unwrap_or_else(|| Answer::status("200 OK")) {
            Answer::Status(status, fields, body) => {
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n",
                    body.len()
                );
                let answer = [head.as_bytes(), &body].concat();
                stream.write_all(&answer).await.ok()?;
            }
            Answer::Silence => std::future::pending().await,
            Answer::Close => return None,
        }
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(bytes).await {
        Ok(1..) => Some(()),
        _ => None,
    }
}

/// A script for [`serve`].
pub(super) fn always_fine() -> Script {
    Arc::default()
}
