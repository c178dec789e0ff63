//! Which ids were taken over from messages, so that none comes to be another's as well.
//!
//! A request may be sent twice with the same ids (a retry), and a cache answers with the fields of the
//! answer that filled it. What is remembered is bounded: then it begins anew, and what it forgot may
//! be taken once more.

use hashbrown::{HashMap, HashSet};

use crate::context::{SpanId, TraceId};

/// Ids remembered, of each kind: those of a second or more on a busy host, in some 800 KB.
const MOST: usize = 16_384;

/// Ids that were taken over.
#[derive(Debug, Default)]
pub struct Taken {
    /// Traces, and when the first answer named them, boot-time ns.
    traces: HashMap<TraceId, u64, foldhash::fast::RandomState>,
    spans: HashSet<SpanId, foldhash::fast::RandomState>,
}

impl Taken {
    /// An answer names its trace now, to a request that began then: whether it can be this one's. All
    /// who pass an answer on began before whoever wrote it; who began later gets it from a cache.
    pub fn trace(&mut self, id: TraceId, began: u64, now: u64) -> bool {
        if self.traces.len() >= MOST {
            self.traces.clear();
        }
        *self.traces.entry(id).or_insert(now) >= began
    }

    /// A span is to have this id: whether none has it.
    pub fn span(&mut self, id: SpanId) -> bool {
        if self.spans.len() >= MOST {
            self.spans.clear();
        }
        self.spans.insert(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_a_cache_tells_nothing() {
        let mut taken = Taken::default();
        let id = TraceId([1; 16]);
        assert!(taken.trace(id, 10, 20), "the server that wrote it");
        assert!(taken.trace(id, 5, 30), "a proxy in front of it");
        assert!(!taken.trace(id, 25, 26), "asked again");
        assert!(taken.trace(TraceId([2; 16]), 25, 26));
    }

    #[test]
    fn an_id_is_taken_once() {
        let mut taken = Taken::default();
        assert!(taken.span(SpanId([1; 8])));
        assert!(!taken.span(SpanId([1; 8])));
        for n in 0..=MOST as u64 {
            taken.span(SpanId(n.to_be_bytes()));
        }
        assert!(taken.spans.len() <= MOST);
    }
}
