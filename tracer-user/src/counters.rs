//! The agent's own counters: what it saw, lost, finished and sent (`--stats`, and the `summary:`
//! line). A leaf: the stations count for themselves, and [`crate::pipeline`] puts it together.
//!
//! Reasons are an open set of words that explain themselves. Each of the three equations of
//! [`Counters`] holds once the pipeline has drained.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A snapshot, as written to `--stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// `seen = delivered + sum(lost)`
    pub transfers: Transfers,
    /// `started = complete + sum(incomplete)`
    pub messages: Messages,
    /// `made = exported + unsampled + sum(dropped)`
    pub spans: Spans,
    /// What the messages travelled on.
    pub connections: Connections,
    /// Propagated trace contexts.
    pub contexts: Contexts,
    /// What full tables and buffers turned away, by which; transfers and spans are counted above.
    pub limits: BTreeMap<&'static str, u64>,
}

/// The kernel side's counters, summed over all cores; as the probes read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelCounters {
    /// Transfers of traced sockets not given up.
    pub transfers_seen: u64,
    /// Of these, those that found no room in the ring.
    pub transfers_ring_full: u64,
    /// Other records that found none.
    pub records_ring_full: u64,
    /// Of the transfers seen, those whose bytes were out of reach.
    pub transfers_unseen: u64,
    /// Sockets given up, as they carry nothing that is known.
    pub sockets_ignored: u64,
    /// Their transfers since.
    pub transfers_ignored: u64,
    /// How often it was lost where a framed connection's frames begin.
    pub frames_lost: u64,
}

/// Socket transfers of traced processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Transfers {
    /// Counted in the kernel.
    pub seen: u64,
    /// Counted in the agent.
    pub delivered: u64,
    /// By reason.
    pub lost: BTreeMap<&'static str, u64>,
    /// Of those seen: their bytes were out of reach (sendfile, splice, io_uring).
    pub unseen: u64,
    /// Of those delivered: out of order, and dropped (pieces, where a transfer has several).
    pub late: u64,
    /// Beside those seen: of connections that carry nothing we know.
    pub ignored: u64,
    /// How often the kernel side lost where a connection's frames begin, and copied the rest of the
    /// transfer as on one without frames.
    pub frames_lost: u64,
}

/// Requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Messages {
    /// Whose first byte was seen.
    pub started: u64,
    /// Whose last byte was seen, all between accounted for.
    pub complete: u64,
    /// By reason.
    pub incomplete: BTreeMap<&'static str, u64>,
}

/// Spans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spans {
    /// Finished exchanges.
    pub made: u64,
    /// Accepted by the endpoint; without one, printed.
    pub exported: u64,
    /// Left out by the sampler, or as too many for a second.
    pub unsampled: u64,
    /// The same, by reason.
    pub unsampled_by: BTreeMap<&'static str, u64>,
    /// By reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// Connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// That carried a transfer.
    pub seen: u64,
    /// That carry nothing we know, or no more of it.
    pub ignored: u64,
}

/// Propagated trace contexts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contexts {
    /// Taken over.
    pub read: u64,
    /// Ignored, as they break their format.
    pub malformed: u64,
    /// Requests whose formats named different spans: the preferred one was taken.
    pub disagreeing: u64,
    /// Traces that only the answer told.
    pub answered: u64,
}

impl Counters {
    /// What the person at the terminal is told at the end: what came out, and, only where there is
    /// any, what did not.
    pub fn summary(&self) -> String {
        let mut text = format!("summary: {} exported", counted(self.spans.exported, "span"));
        let mut left = Vec::new();
        if let Some(unsampled) = reasons("unsampled", &self.spans.unsampled_by) {
            left.push(unsampled);
        }
        if let Some(dropped) = reasons("dropped", &self.spans.dropped) {
            left.push(dropped);
        }
        if left.is_empty() {
            _ = write!(text, " of {} made", self.spans.made);
        } else {
            _ = write!(text, " of {} made ({})", self.spans.made, left.join(", "));
        }
        _ = write!(
            text,
            "; {} of {} complete",
            self.messages.complete,
            counted(self.messages.started, "message"),
        );
        if let Some(incomplete) = reasons("incomplete", &self.messages.incomplete) {
            _ = write!(text, " ({incomplete})");
        }
        _ = write!(text, "; {} seen", counted(self.transfers.seen, "transfer"));
        match reasons("lost", &self.transfers.lost) {
            Some(lost) => _ = write!(text, ", {lost}"),
            None => text.push_str(", none lost"),
        }
        if self.contexts.malformed > 0 {
            let contexts = counted(self.contexts.malformed, "malformed trace context");
            _ = write!(text, "; {contexts} ignored");
        }
        if self.contexts.disagreeing > 0 {
            let requests = counted(self.contexts.disagreeing, "request");
            _ = write!(text, "; {requests} with disagreeing trace contexts");
        }
        if let Some(limits) = reasons("turned away by limits", &self.limits) {
            _ = write!(text, "; {limits}");
        }
        text
    }
}

/// "1 span", "2 spans".
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// "3 lost: 2 ring_full, 1 other"; None if all are 0.
fn reasons(what: &str, by_reason: &BTreeMap<&'static str, u64>) -> Option<String> {
    let some: Vec<_> = by_reason.iter().filter(|(_, count)| **count > 0).collect();
    let total: u64 = some.iter().map(|(_, count)| **count).sum();
    if total == 0 {
        return None;
    }
    let named: Vec<_> = some
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    Some(format!("{total} {what}: {}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_run_is_told_in_one_line() {
        let counters = Counters {
            transfers: Transfers {
                seen: 60_000,
                delivered: 60_000,
                lost: BTreeMap::from([("ring_full", 0)]),
                ..Transfers::default()
            },
            messages: Messages {
                started: 40_000,
                complete: 40_000,
                incomplete: BTreeMap::from([("lost_events", 0)]),
            },
            spans: Spans {
                made: 20_000,
                exported: 20_000,
                ..Spans::default()
            },
            ..Counters::default()
        };
        assert_eq!(
            counters.summary(),
            "summary: 20000 spans exported of 20000 made; 40000 of 40000 messages complete; \
             60000 transfers seen, none lost"
        );
    }

    #[test]
    fn what_went_wrong_is_named_by_its_reason() {
        let counters = Counters {
            transfers: Transfers {
                seen: 10,
                delivered: 7,
                lost: BTreeMap::from([("ring_full", 3)]),
                ..Transfers::default()
            },
            messages: Messages {
                started: 5,
                complete: 2,
                incomplete: BTreeMap::from([("lost_events", 2), ("connection_closed", 1)]),
            },
            spans: Spans {
                made: 4,
                exported: 1,
                unsampled: 1,
                unsampled_by: BTreeMap::from([("sampler", 1), ("max_spans_per_second", 0)]),
                dropped: BTreeMap::from([("queue_full", 2), ("endpoint", 0)]),
            },
            contexts: Contexts {
                read: 0,
                malformed: 1,
                disagreeing: 2,
                answered: 0,
            },
            limits: BTreeMap::from([("exchanges", 4)]),
            ..Counters::default()
        };
        assert_eq!(
            counters.summary(),
            "summary: 1 span exported of 4 made (1 unsampled: 1 sampler, 2 dropped: 2 queue_full); \
             2 of 5 messages complete (3 incomplete: 1 connection_closed, 2 lost_events); \
             10 transfers seen, 3 lost: 3 ring_full; 1 malformed trace context ignored; \
             2 requests with disagreeing trace contexts; 4 turned away by limits: 4 exchanges"
        );
    }

    #[test]
    fn the_json_is_the_one_of_the_contract() {
        let json = serde_json::to_value(Counters::default()).unwrap();
        assert_eq!(json["transfers"]["seen"], 0);
        assert_eq!(json["transfers"]["lost"], serde_json::json!({}));
        assert_eq!(json["messages"]["incomplete"], serde_json::json!({}));
        assert_eq!(json["spans"]["dropped"], serde_json::json!({}));
    }
}
