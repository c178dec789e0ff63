//! Random trace and span ids (W3C Trace Context, section 3.2: random, never all zero).
//!
//! A small generator, seeded once with 256 bits of the operating system's: an id costs nanoseconds
//! and is not a secret.

use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::context::{SpanId, TraceId};

/// Makes ids.
#[derive(Debug)]
pub struct Ids(SmallRng);

impl Ids {
    /// Seeded by the operating system.
    pub fn new() -> Ids {
        Ids(rand::make_rng())
    }

    /// Another span.
    pub fn span(&mut self) -> SpanId {
        loop {
            let id: u64 = self.0.random();
            if id != 0 {
                return SpanId(id.to_be_bytes());
            }
        }
    }

    /// Another trace.
    pub fn trace(&mut self) -> TraceId {
        loop {
            let id: u128 = self.0.random();
            if id != 0 {
                return TraceId(id.to_be_bytes());
            }
        }
    }
}

impl Default for Ids {
    fn default() -> Self {
        Ids::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_from_each_other_and_from_another_agents() {
        let (mut one, mut two) = (Ids::new(), Ids::new());
        let spans: HashSet<_> = (0..1000).flat_map(|_| [one.span(), two.span()]).collect();
        assert_eq!(spans.len(), 2000);
        let traces: HashSet<_> = (0..1000).flat_map(|_| [one.trace(), two.trace()]).collect();
        assert_eq!(traces.len(), 2000);
    }
}
