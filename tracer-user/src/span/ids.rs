//! Random trace and span ids (W3C Trace Context, section 3.2: random, never all zero).
//!
//! A small generator, seeded once with 256 bits of the operating system's: an id costs nanoseconds
//! and is not a secret. It is named, not left to the library to choose: of a recording's seed the same
//! ids must follow years later.

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;

use crate::context::{SpanId, TraceId};

/// Makes ids.
#[derive(Debug)]
pub struct Ids(Xoshiro256PlusPlus);

/// Of which all ids of a run follow.
pub type Seed = [u8; 32];

/// From the operating system.
pub fn any_seed() -> Seed {
    rand::make_rng::<Xoshiro256PlusPlus>().random()
}

impl Ids {
    /// Seeded by the operating system.
    pub fn new() -> Ids {
        Ids::seeded(any_seed())
    }

    /// The same as others of that seed.
    pub fn seeded(seed: Seed) -> Ids {
        Ids(Xoshiro256PlusPlus::from_seed(seed))
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

    /// Recordings hold seeds, so what follows of one must never change.
    #[test]
    fn a_seed_tells_the_ids() {
        let mut ids = Ids::seeded([7; 32]);
        let trace = 0x8a8a8a8a_8a8a8a8a_0e0e0e0e_0e0e0e0eu128;
        let span = 0x70707070_70707070u64;
        assert_eq!(ids.trace().0, trace.to_be_bytes());
        assert_eq!(ids.span().0, span.to_be_bytes());
    }

    #[test]
    fn ids_differ_from_each_other_and_from_another_agents() {
        let (mut one, mut two) = (Ids::new(), Ids::new());
        let spans: HashSet<_> = (0..1000).flat_map(|_| [one.span(), two.span()]).collect();
        assert_eq!(spans.len(), 2000);
        let traces: HashSet<_> = (0..1000).flat_map(|_| [one.trace(), two.trace()]).collect();
        assert_eq!(traces.len(), 2000);
    }
}
