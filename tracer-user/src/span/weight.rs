//! How much memory is kept of all connections together, and who goes when that is too much.
//!
//! Each buffer has a bound of its own, made for one message or connection; of tens of thousands that all
//! are as large as they may be, the sum must have one, too. Bias: it is looked at every second, since that
//! is a walk over all, so for a second there may be more.

use super::exchange::Exchange;
use super::tracker::{Host, Tracker};
use crate::protocol::{Head, Incomplete};

/// What may be kept: twice what 65,536 requests with heads as browsers send them take, and what an agent
/// beside a large service may well have.
pub(super) const MOST: usize = 256 << 20;

/// Between two looks, boot-time ns.
const INTERVAL: u64 = 1_000_000_000;

impl Tracker {
    /// Time passed: looks, if it is time to.
    pub(super) fn weigh(&mut self, host: &mut impl Host) {
        if self.now >= self.weighed.saturating_add(INTERVAL) {
            self.weighed = self.now;
            self.lighten(MOST, host);
        }
    }

    /// Gives up the most silent connections until no more than `most` bytes are kept.
    pub(super) fn lighten(&mut self, most: usize, host: &mut impl Host) {
        while self.memory() > most {
            let idlest = self.table.idlest();
            if idlest.is_empty() {
                return;
            }
            for slot in idlest {
                self.counts.limits.memory += 1;
                self.close(slot, Incomplete::Evicted, self.now, host);
            }
        }
    }

    /// Bytes behind connections and exchanges.
    fn memory(&self) -> usize {
        let connections = self.table.connections();
        let of_connections = connections.map(|connection| connection.feed.memory());
        let of_exchanges = self.exchanges.iter().map(|(_, exchange)| heads(exchange));
        of_connections.chain(of_exchanges).sum()
    }
}

fn heads(exchange: &Exchange) -> usize {
    let heads = [&exchange.request.head, &exchange.response.head];
    heads.into_iter().flatten().map(Head::memory).sum()
}
