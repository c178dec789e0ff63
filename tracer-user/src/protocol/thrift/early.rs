//! Replies whose calls' records come after theirs in the ring.
//!
//! They are kept as what was read of them, so that those behind them are not held up.

use std::collections::VecDeque;

use crate::protocol::rpc::Head;
use crate::protocol::{Incomplete, Sizes};

/// Most of them: one write of a multiplexing server brings so many, and by the next its calls'
/// record is there.
const EARLY_LIMIT: usize = 64;

/// A reply that waits for its call.
#[derive(Debug)]
pub(super) struct Reply {
    seq_id: i32,
    pub head: Option<Box<Head>>,
    /// How it ended; None: it has not yet.
    pub end: Option<Result<Sizes, Incomplete>>,
}

impl Reply {
    /// One of which nothing else is known yet.
    pub(super) fn new(seq_id: i32) -> Reply {
        Reply {
            seq_id,
            head: None,
            end: None,
        }
    }
}

/// The replies of one connection that wait, in their order.
#[derive(Debug, Default)]
pub(super) struct Early(VecDeque<Reply>);

impl Early {
    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let heads = self.0.iter().filter_map(|reply| reply.head.as_ref());
        self.0.capacity() * size_of::<Reply>() + heads.map(|head| head.memory()).sum::<usize>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps one; true if the oldest had to go for it.
    pub(super) fn push(&mut self, reply: Reply) -> bool {
        let full = self.0.len() >= EARLY_LIMIT;
        if full {
            self.0.pop_front();
        }
        self.0.push_back(reply);
        full
    }

    /// The head of the last one.
    pub(super) fn head(&mut self, head: Box<Head>) {
        if let Some(reply) = self.0.back_mut() {
            reply.head = Some(head);
        }
    }

    /// The last one has ended.
    pub(super) fn ended(&mut self, end: Result<Sizes, Incomplete>) {
        if let Some(reply) = self.0.back_mut() {
            reply.end = Some(end);
        }
    }

    /// Takes out the first of that sequence id, and whether it was the last of all.
    pub(super) fn take(&mut self, seq_id: i32) -> Option<(Reply, bool)> {
        let at = self.0.iter().position(|reply| reply.seq_id == seq_id)?;
        let last = at + 1 == self.0.len();
        self.0.remove(at).map(|reply| (reply, last))
    }

    /// Takes out all.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Reply> {
        std::mem::take(&mut self.0).into_iter()
    }
}
