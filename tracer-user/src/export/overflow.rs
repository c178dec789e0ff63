//! Spans that an outlet has no room for: counted, and told now and then.

use std::time::{Duration, Instant};

/// Least time between two lines.
const INTERVAL: Duration = Duration::from_secs(30);

/// What did not fit.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    total: u64,
    told: u64,
    last: Option<Instant>,
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
        let new = self.total - self.told;
        let waited = self
            .last
            .is_none_or(|last| now.duration_since(last) >= INTERVAL);
        (new > 0 && waited).then(|| {
            self.told = self.total;
            self.last = Some(now);
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_at_once_and_then_summed() {
        let mut overflow = Overflow::default();
        let begin = Instant::now();
        assert_eq!(overflow.due(begin), None);
        overflow.count();
        assert_eq!(overflow.due(begin), Some(1));
        overflow.count();
        overflow.count();
        assert_eq!(overflow.due(begin + INTERVAL / 2), None);
        assert_eq!(overflow.due(begin + INTERVAL), Some(2));
        assert_eq!(overflow.due(begin + INTERVAL * 2), None);
        assert_eq!(overflow.total(), 3);
    }
}
