//! Bytes in, events out. Each file shows one side of the parser.

mod heads;
mod holes;
mod messages;
mod random;

use super::Http1;
use crate::protocol::tests::ledger::word;
use crate::protocol::{Event, Incomplete, Input, Protocol, Side};

/// A connection under test: what each side sends, and the events in words.
struct Wire {
    http: Http1,
    events: Vec<Event>,
}

impl Wire {
    fn new() -> Wire {
        Wire {
            http: Http1::new(false),
            events: Vec::new(),
        }
    }

    fn midway() -> Wire {
        Wire {
            http: Http1::new(true),
            events: Vec::new(),
        }
    }

    fn input(&mut self, side: Side, input: Input<'_>) -> Vec<String> {
        self.http.push(side, input, &mut self.events);
        self.events.drain(..).map(|event| word(&event)).collect()
    }

    fn transfer(&mut self, side: Side, bytes: &[u8]) -> Vec<String> {
        let mut words = self.input(side, Input::Bytes(bytes));
        words.extend(self.input(side, Input::EndOfTransfer));
        words
    }

    /// The client's next transfer.
    fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.transfer(Side::Request, bytes.as_ref())
    }

    /// The server's next transfer.
    fn answer(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.transfer(Side::Response, bytes.as_ref())
    }

    /// A transfer of which only head and tail were captured.
    fn long(&mut self, side: Side, head: &[u8], skipped: u64, tail: &[u8]) -> Vec<String> {
        let mut words = self.input(side, Input::Bytes(head));
        words.extend(self.input(side, Input::Skipped(skipped)));
        words.extend(self.transfer(side, tail));
        words
    }

    fn lose(&mut self, side: Side, n: u64) -> Vec<String> {
        self.input(side, Input::Lost(n))
    }

    fn end(&mut self, side: Side) -> Vec<String> {
        self.http
            .end(side, Incomplete::ConnectionClosed, &mut self.events);
        self.events.drain(..).map(|event| word(&event)).collect()
    }

    fn close(&mut self) -> Vec<String> {
        let mut words = self.end(Side::Request);
        words.extend(self.end(Side::Response));
        words
    }
}

impl Http1 {
    /// Bytes held in buffers.
    fn memory(&self) -> usize {
        let [requests, responses] =
            [&self.requests, &self.responses].map(|reader| reader.partial_head().len());
        requests + responses + self.early.len()
    }
}
