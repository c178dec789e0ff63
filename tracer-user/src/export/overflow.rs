//! Spans that an outlet has no room for: counted, and told now and then.

use std::time::Instant;

use crate::warnings::Told;

/// What did not fit.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    total: u64,
    told: Told,
}

impl Overflow {
    /// One more.
    pub(super) fn count(&mut self) {
        self.total += 1;
    }

    /// All so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How many to write a line about, if it is time for one.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        self.told.due(self.total, now)
    }
}
