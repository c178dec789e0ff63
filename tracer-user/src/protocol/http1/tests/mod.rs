//! Bytes in, events out. Each file shows one side of the parser.

mod heads;
mod holes;
mod messages;
mod random;

use super::Http1;
use crate::protocol::tests::ledger::word;
use crate::protocol::{Event, Incomplete, Input, Protocol, Side};

type Wire = crate::protocol::tests::wire::Wire<Http1>;

impl Wire {
    fn new() -> Wire {
        Wire::over(Http1::new(false), word)
    }

    fn midway() -> Wire {
        Wire::over(Http1::new(true), word)
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
