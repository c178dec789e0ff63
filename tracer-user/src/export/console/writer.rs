//! Standard output, on a thread of its own: a terminal that is held or a reader that is slow must
//! not stop the pipeline.
//!
//! What waits is bounded. When the reader is gone the rest is counted, not an error: `| head` is a
//! normal way to use a program. What a file does not take (its disk is full, or broken) is told and counted,
//! and the next is tried: space comes back.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::export::batch::Request;
use crate::export::settings::Batching;
use crate::export::settings::Signal;
use crate::export::{Error, dropped, json};

/// Something to be written.
pub(super) enum Piece {
    /// Lines as they are, about so many spans.
    Lines { text: Vec<u8>, spans: u64 },
    /// A request, to become a line of JSON.
    Json(Request),
}

impl Piece {
    fn size(&self) -> (u64, usize) {
        match self {
            Piece::Lines { text, spans } => (*spans, text.len()),
            Piece::Json(request) => (request.spans, request.bytes.len()),
        }
    }
}

/// The pipeline's end.
pub(super) struct Writer {
    pieces: Sender<Piece>,
    shared: Arc<Shared>,
    batching: Batching,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
}

#[derive(Default)]
struct Shared {
    written: AtomicU64,
    waiting_spans: AtomicUsize,
    waiting_bytes: AtomicUsize,
    closed: AtomicBool,
}

impl Writer {
    pub(super) fn start(
        output: impl Write + Send + 'static,
        batching: Batching,
    ) -> Result<Self, Error> {
        let (pieces, queue) = channel();
        let (alive, ended) = channel();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || {
                write_all(&queue, output, &theirs);
                drop(alive);
            })
            .map_err(Error::Thread)?;
        Ok(Writer {
            pieces,
            shared,
            batching,
            ended,
        })
    }

    /// Whether so much more may wait.
    pub(super) fn has_room(&self, spans: usize, bytes: usize) -> bool {
        let waiting = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        waiting(&self.shared.waiting_spans) + spans <= self.batching.max_queue_size
            && waiting(&self.shared.waiting_bytes) + bytes <= self.batching.max_queue_bytes()
    }

    pub(super) fn push(&self, piece: Piece) {
        let (spans, bytes) = piece.size();
        self.shared
            .waiting_spans
            .fetch_add(spans as usize, Ordering::Relaxed);
        self.shared
            .waiting_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        // The thread ends only after this sender is gone.
        let _ = self.pieces.send(piece);
    }

    /// Spans written so far.
    pub(super) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// Writes what waits, but no longer than that. Returns how many spans were written in all.
    pub(super) fn finish(self, timeout: Duration) -> u64 {
        drop(self.pieces);
        // Its end or the time's: a thread that hangs in a write ends with the process.
        let _ = self.ended.recv_timeout(timeout);
        self.shared.written.load(Ordering::Relaxed)
    }
}

fn write_all(queue: &Receiver<Piece>, output: impl Write, shared: &Shared) {
    let mut lines = Lines {
        output,
        torn: false,
    };
    let mut json = Vec::new();
    let mut failing = false;
    for piece in queue {
        let (spans, bytes) = piece.size();
        if !shared.closed.load(Ordering::Relaxed) {
            match write(&mut lines, &piece, &mut json) {
                Ok(()) => {
                    shared.written.fetch_add(spans, Ordering::Relaxed);
                    failing = false;
                }
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    shared.closed.store(true, Ordering::Relaxed);
                }
                Err(error) => {
                    if !failing {
                        log::error!(
                            "standard output: {error}: spans are dropped ({}) until it takes them again",
                            dropped::OUTPUT
                        );
                    }
                    failing = true;
                }
            }
        }
        shared
            .waiting_spans
            .fetch_sub(spans as usize, Ordering::Relaxed);
        shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn write(lines: &mut Lines<impl Write>, piece: &Piece, line: &mut Vec<u8>) -> io::Result<()> {
    match piece {
        Piece::Lines { text, .. } => lines.write(text),
        Piece::Json(request) => {
            line.clear();
            json::append(Signal::Traces, &request.bytes, line).map_err(io::Error::other)?;
            line.push(b'\n');
            lines.write(line)
        }
    }
}

/// An output that takes lines whole or fails, and in which no line follows part of another.
struct Lines<W> {
    output: W,
    /// It ends with part of a line.
    torn: bool,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.output.write_all(b"\n")?;
            self.torn = false;
        }
        while !lines.is_empty() {
            match self.output.write(lines) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => {
                    lines = &lines[length..];
                    self.torn = !lines.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.flush()
    }
}
