//! What the person at the terminal is told while something is lost: a line per reason, when it begins and
//! then no more often than every [`INTERVAL`], with what to do about it.
//!
//! A leaf: it is given [`Counters`]. Left out is what the endpoint and standard output tell of themselves
//! (`export`), and connections closed after an hour of silence, of which nothing is missing as a rule.

use std::time::{Duration, Instant};

use crate::counters::Counters;

/// Least time between two lines on the same reason: often enough to be seen, too seldom to bury the rest.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// How far a growing count was told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    count: u64,
    last: Option<Instant>,
}

impl Told {
    /// How much of `total` is new, if it is time to tell; then it is taken as told.
    pub fn due(&mut self, total: u64, now: Instant) -> Option<u64> {
        let new = total.saturating_sub(self.count);
        let waited = self
            .last
            .is_none_or(|last| now.duration_since(last) >= INTERVAL);
        (new > 0 && waited).then(|| {
            *self = Told {
                count: total,
                last: Some(now),
            };
            new
        })
    }
}

/// A reason for which something is lost.
struct Reason {
    /// As in `--stats`.
    word: &'static str,
    /// What happened to how many.
    what: &'static str,
    /// Why, and what to do.
    advice: &'static str,
}

/// All that warnings speak of; the numbers are those of the constants beside which they are counted.
const REASONS: [Reason; 11] = [
    Reason {
        word: "ring_full",
        what: "records from the kernel lost",
        advice: "the agent got too little CPU to keep up; give it more, or a larger ring (--ring-size)",
    },
    Reason {
        word: "connections",
        what: "connections given up",
        advice: "more are open than are followed at once, so the most silent ones had to go; trace fewer processes",
    },
    Reason {
        word: "memory",
        what: "connections given up",
        advice: "what is kept of all takes more memory than it may, so the most silent ones had to go; trace fewer processes",
    },
    Reason {
        word: "exchanges",
        what: "requests not followed to their end",
        advice: "too many wait for their answer, at all or on one connection; trace fewer processes",
    },
    Reason {
        word: "held_spans",
        what: "spans did not wait for their caller's",
        advice: "too many at once, so they may lack it as their parent; trace callers and services apart",
    },
    Reason {
        word: "processes",
        what: "processes forgotten",
        advice: "more were seen than are known at once; who caused what may not be told for a while",
    },
    Reason {
        word: "goroutines",
        what: "goroutines forgotten",
        advice: "more work than are known at once; calls that they make may lack their parent",
    },
    Reason {
        word: "metric_series",
        what: "exchanges counted under otel.metric.overflow",
        advice: "a service has more series than are kept; --route gives many paths one name",
    },
    Reason {
        word: "metric_services",
        what: "exchanges not counted in metrics",
        advice: "more processes are traced than metrics are kept of; trace fewer",
    },
    Reason {
        word: "recorded_events",
        what: "events are not in the recording",
        advice: "the file takes no more, or the disk or CPU is too slow for it; record fewer processes",
    },
    Reason {
        word: "endpoint",
        what: "spans dropped",
        advice: "the endpoint did not take them in time (OTEL_BSP_EXPORT_TIMEOUT)",
    },
];

impl Reason {
    /// How much was lost for it so far.
    fn count(&self, counters: &Counters) -> u64 {
        let limit = |word| counters.limits.get(word).copied().unwrap_or(0);
        match self.word {
            "ring_full" => {
                let lost = counters.transfers.lost.get("ring_full");
                lost.copied().unwrap_or(0) + limit("records_ring_full")
            }
            "endpoint" => counters.spans.dropped.get("endpoint").copied().unwrap_or(0),
            word => limit(word),
        }
    }
}

/// What was told of each reason.
#[derive(Debug, Default)]
pub struct Warnings {
    told: [Told; REASONS.len()],
}

impl Warnings {
    /// The lines that are due.
    pub fn due(&mut self, counters: &Counters, now: Instant) -> Vec<String> {
        let reasons = REASONS.iter().zip(&mut self.told);
        let lines = reasons.filter_map(|(reason, told)| {
            let new = told.due(reason.count(counters), now)?;
            let Reason { word, what, advice } = reason;
            Some(format!("{new} {what} ({word}): {advice}"))
        });
        lines.collect()
    }

    /// Says them.
    pub fn say(&mut self, counters: &Counters, now: Instant) {
        for line in self.due(counters, now) {
            log::warn!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_at_once_and_then_summed() {
        let mut told = Told::default();
        let begin = Instant::now();
        assert_eq!(told.due(0, begin), None);
        assert_eq!(told.due(1, begin), Some(1));
        assert_eq!(told.due(3, begin + INTERVAL / 2), None);
        assert_eq!(told.due(3, begin + INTERVAL), Some(2));
        assert_eq!(told.due(3, begin + INTERVAL * 2), None);
    }

    #[test]
    fn each_reason_has_a_line_of_its_own() {
        let mut warnings = Warnings::default();
        let mut counters = Counters::default();
        let begin = Instant::now();
        assert!(warnings.due(&counters, begin).is_empty());
        counters.transfers.lost.insert("ring_full", 2);
        counters.limits.insert("records_ring_full", 1);
        assert_eq!(
            warnings.due(&counters, begin),
            [
                "3 records from the kernel lost (ring_full): the agent got too little CPU to keep up; \
                 give it more, or a larger ring (--ring-size)"
            ]
        );
        counters.transfers.lost.insert("ring_full", 9);
        counters.limits.insert("exchanges", 4);
        assert_eq!(
            warnings.due(&counters, begin + INTERVAL / 2),
            [
                "4 requests not followed to their end (exchanges): too many wait for their answer, at all or on one \
                 connection; trace fewer processes"
            ]
        );
        let later = warnings.due(&counters, begin + INTERVAL);
        assert!(later[0].starts_with("7 records"), "{later:?}");
        assert_eq!(later.len(), 1);
    }
}
