//! What the user is told of trouble with the endpoint: when it begins, now and then while it lasts,
//! and when it is over.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::counters::counted;
use crate::export::settings::Signal;
use crate::warnings::INTERVAL;

/// Watches one endpoint.
pub(super) struct Trouble {
    address: String,
    signal: Signal,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When a line on it being out of reach was last written, while it is.
    unreachable: Option<Instant>,
    /// When a line on rejected spans was last written.
    rejected: Option<Instant>,
    /// How many spans were rejected since.
    since: u64,
}

impl Trouble {
    pub(super) fn new(address: String, signal: Signal) -> Self {
        Trouble {
            address,
            signal,
            state: Mutex::default(),
        }
    }

    /// A request could not be delivered now.
    pub(super) fn unreachable(&self, why: &str) {
        if self.state().unreachable_line(Instant::now()) {
            log::warn!(
                "OTLP endpoint {}: {why}; retrying, {}s wait",
                self.address,
                self.signal.item()
            );
        }
    }

    /// A request was delivered.
    pub(super) fn over(&self) {
        if self.state().unreachable.take().is_some() {
            log::warn!(
                "OTLP endpoint {} takes {}s again",
                self.address,
                self.signal.item()
            );
        }
    }

    /// Spans were refused.
    pub(super) fn rejected(&self, spans: u64, why: &str) {
        let line = self.state().rejected_line(spans, Instant::now());
        if let Some(count) = line {
            log::warn!(
                "OTLP endpoint {} rejected {}: {why}",
                self.address,
                counted(count, self.signal.item())
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether to write a line.
    fn unreachable_line(&mut self, now: Instant) -> bool {
        due(&mut self.unreachable, now)
    }

    /// How many spans to write a line about.
    fn rejected_line(&mut self, spans: u64, now: Instant) -> Option<u64> {
        self.since += spans;
        due(&mut self.rejected, now).then(|| std::mem::take(&mut self.since))
    }
}

/// Whether it is time for a line, which then is taken as written.
fn due(last: &mut Option<Instant>, now: Instant) -> bool {
    let due = last.is_none_or(|last| now.duration_since(last) >= INTERVAL);
    if due {
        *last = Some(now);
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_interval() {
        let mut state = State::default();
        let begin = Instant::now();
        assert!(state.unreachable_line(begin));
        assert!(!state.unreachable_line(begin + INTERVAL / 2));
        assert!(state.unreachable_line(begin + INTERVAL));
    }

    #[test]
    fn rejected_spans_are_summed_until_the_next_line() {
        let mut state = State::default();
        let begin = Instant::now();
        assert_eq!(state.rejected_line(5, begin), Some(5));
        assert_eq!(state.rejected_line(7, begin), None);
        assert_eq!(state.rejected_line(1, begin + INTERVAL), Some(8));
    }
}
