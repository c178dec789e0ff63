//! Contexts that a process passes on as it got them: a request that carries what another request brought
//! was made for that one.
//!
//! Bias: where two requests in flight brought the same context, it does not tell which.

use hashbrown::HashMap;

use super::trace::NodeKey;
use crate::context::{SpanId, TraceId};

/// A context that a process received: its trace, and the span that sent it.
type Received = (u32, TraceId, SpanId);

/// The exchanges in flight, by the context that their request brought.
#[derive(Debug, Default)]
pub struct Forwarded {
    by_context: HashMap<Received, Bringers, foldhash::fast::RandomState>,
}

/// Who brought a context.
#[derive(Debug)]
struct Bringers {
    first: (SpanId, NodeKey),
    /// How many are in flight.
    count: u32,
    /// The first was not the only one.
    several: bool,
}

impl Forwarded {
    /// Process `pid` was asked with that context, in this exchange.
    pub fn received(&mut self, pid: u32, context: (TraceId, SpanId), span: SpanId, node: NodeKey) {
        let entry = self.by_context.entry((pid, context.0, context.1));
        let bringers = entry.or_insert(Bringers {
            first: (span, node),
            count: 0,
            several: false,
        });
        bringers.several |= bringers.count > 0;
        bringers.count += 1;
    }

    /// That exchange is over.
    pub fn ended(&mut self, pid: u32, context: (TraceId, SpanId)) {
        let key = (pid, context.0, context.1);
        if let Some(bringers) = self.by_context.get_mut(&key) {
            bringers.count -= 1;
            if bringers.count == 0 {
                self.by_context.remove(&key);
            }
        }
    }

    /// The exchange that brought the context with which `pid` asks. `cause`: for which one it asks, as
    /// far as is known otherwise.
    pub fn of(
        &self,
        pid: u32,
        context: (TraceId, SpanId),
        cause: Option<SpanId>,
    ) -> Option<(SpanId, NodeKey)> {
        let bringers = self.by_context.get(&(pid, context.0, context.1))?;
        (!bringers.several || cause == Some(bringers.first.0)).then_some(bringers.first)
    }

    /// Nothing is in flight.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.by_context.is_empty()
    }
}
