//! A connection under test: what each side sends, and the events in words.

use crate::protocol::{Event, Incomplete, Input, Protocol, Side};

/// Both sides of a connection. A protocol's tests say how one begins.
pub struct Wire<P> {
    pub protocol: P,
    word: fn(&Event) -> String,
    events: Vec<Event>,
}

impl<P: Protocol> Wire<P> {
    /// `word` puts an event in short.
    pub fn over(protocol: P, word: fn(&Event) -> String) -> Wire<P> {
        Wire {
            protocol,
            word,
            events: Vec::new(),
        }
    }

    pub fn input(&mut self, side: Side, input: Input<'_>) -> Vec<String> {
        self.protocol.push(side, input, &mut self.events);
        self.words()
    }

    pub fn transfer(&mut self, side: Side, bytes: &[u8]) -> Vec<String> {
        let mut words = self.input(side, Input::Bytes(bytes));
        words.extend(self.input(side, Input::EndOfTransfer));
        words
    }

    /// The client's next transfer.
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.transfer(Side::Request, bytes.as_ref())
    }

    /// The server's next transfer.
    pub fn answer(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.transfer(Side::Response, bytes.as_ref())
    }

    /// A transfer of which only head and tail were captured.
    pub fn long(&mut self, side: Side, head: &[u8], skipped: u64, tail: &[u8]) -> Vec<String> {
        let mut words = self.input(side, Input::Bytes(head));
        words.extend(self.input(side, Input::Skipped(skipped)));
        words.extend(self.transfer(side, tail));
        words
    }

    pub fn lose(&mut self, side: Side, n: u64) -> Vec<String> {
        self.input(side, Input::Lost(n))
    }

    pub fn end(&mut self, side: Side) -> Vec<String> {
        self.protocol
            .end(side, Incomplete::ConnectionClosed, &mut self.events);
        self.words()
    }

    /// Both sides end.
    pub fn close(&mut self) -> Vec<String> {
        let mut words = self.end(Side::Request);
        words.extend(self.end(Side::Response));
        words
    }

    fn words(&mut self) -> Vec<String> {
        self.events.drain(..).map(|e| (self.word)(&e)).collect()
    }
}
