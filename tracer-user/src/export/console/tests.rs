//! What reaches standard output, for spans spelled out.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use super::*;
use crate::context::SpanId;
use crate::export::samples;
use crate::export::settings::Limits;
use crate::export::{encode, settings::Batching};
use crate::semconv::Options;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// Sends on what is written, and waits to be let go first if there is a gate.
struct Pipe {
    to: Sender<Vec<u8>>,
    gate: Option<Receiver<()>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        match self.to.send(bytes.to_vec()) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pipe() -> (Pipe, Receiver<Vec<u8>>) {
    let (to, from) = channel();
    (Pipe { to, gate: None }, from)
}

fn give(console: &mut Console, span: &Span) {
    let mut encoded = Vec::new();
    encode::span(
        span,
        None,
        &Options::default(),
        &Limits::default(),
        &mut encoded,
    );
    console.span(span, &encoded, &Options::default());
}

fn text(from: &Receiver<Vec<u8>>) -> String {
    String::from_utf8(from.try_iter().flatten().collect()).unwrap()
}

#[test]
fn children_are_printed_under_their_parent() {
    let (to, from) = pipe();
    let mut console = Console::pretty(to, Batching::default()).unwrap();
    give(&mut console, &samples::client());
    console.tick(Instant::now());
    assert_eq!(text(&from), "", "its parent is not there yet");
    give(&mut console, &samples::server());
    assert_eq!(console.finish(LONG), 2);
    let text = text(&from);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains(" shop[812] ") && lines[0].contains("GET /cart?id=7"),
        "{text}"
    );
    assert!(lines[1].contains("└ shop[812] "), "{text}");
    assert!(
        lines[1].contains("POST prices:9000/v1/price?item=3"),
        "{text}"
    );
    assert!(
        lines
            .iter()
            .all(|line| line.ends_with("4bf92f3577b34da6a3ce929d0e0e4736")),
        "{text}"
    );
}

#[test]
fn json_is_a_request_per_line() {
    let (to, from) = pipe();
    let mut console = Console::json(to, Batching::default()).unwrap();
    give(&mut console, &samples::client());
    give(&mut console, &samples::server());
    console.tick(Instant::now() + Duration::from_secs(1));
    give(&mut console, &samples::server());
    assert_eq!(console.finish(LONG), 3);
    let sizes: Vec<usize> = text(&from)
        .lines()
        .map(|line| {
            let request: ExportTraceServiceRequest = serde_json::from_str(line).unwrap();
            request
                .resource_spans
                .iter()
                .map(|of| of.scope_spans[0].spans.len())
                .sum()
        })
        .collect();
    assert_eq!(sizes, [2, 1]);
}

#[test]
fn reader_that_is_gone_ends_the_printing() {
    let (to, from) = pipe();
    drop(from);
    let mut console = Console::pretty(to, Batching::default()).unwrap();
    give(&mut console, &samples::server());
    console.tick(Instant::now());
    let deadline = Instant::now() + LONG;
    while !console.is_closed() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    give(&mut console, &samples::server());
    assert_eq!(console.finish(LONG), 0);
}

/// A file on a disk that is full after so many bytes, once.
struct Disk {
    room: usize,
    to: Sender<Vec<u8>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        if taken == 0 {
            self.room = usize::MAX;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= taken;
        _ = self.to.send(bytes[..taken].to_vec());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn after_a_line_that_found_no_room_the_next_are_whole() {
    for room in [0, 20] {
        let (to, from) = channel();
        let mut console = Console::json(Disk { room, to }, Batching::default()).unwrap();
        let begun = Instant::now();
        for second in 1..=3 {
            give(&mut console, &samples::server());
            console.tick(begun + Duration::from_secs(second));
        }
        assert_eq!(console.finish(LONG), 2);
        let text = text(&from);
        let lines: Vec<_> = text
            .lines()
            .map(serde_json::from_str::<ExportTraceServiceRequest>)
            .collect();
        let torn = usize::from(room > 0);
        assert_eq!(
            lines.iter().filter(|line| line.is_ok()).count(),
            2,
            "{text}"
        );
        assert_eq!(lines.len(), 2 + torn, "{text}");
    }
}

#[test]
fn reader_that_is_slow_stops_nobody() {
    let (to, from) = channel();
    let (open, gate) = channel();
    let slow = Pipe {
        to,
        gate: Some(gate),
    };
    let batching = Batching {
        max_queue_size: 5,
        ..Batching::default()
    };
    let mut console = Console::pretty(slow, batching).unwrap();
    for id in 1..=20_u64 {
        let span = Span {
            span_id: SpanId(id.to_be_bytes()),
            ..samples::server()
        };
        give(&mut console, &span);
        console.tick(Instant::now());
    }
    assert_eq!(console.overflowed(), 15);
    drop(open);
    assert_eq!(console.finish(LONG), 5);
    assert_eq!(text(&from).lines().count(), 5);
}

#[test]
fn reader_that_hangs_is_not_waited_for() {
    let (to, _from) = channel();
    let (_open, gate) = channel();
    let stuck = Pipe {
        to,
        gate: Some(gate),
    };
    let mut console = Console::json(stuck, Batching::default()).unwrap();
    give(&mut console, &samples::server());
    assert_eq!(console.finish(Duration::from_millis(20)), 0);
}
