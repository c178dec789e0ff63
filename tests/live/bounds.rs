//! Bounds: memory under more than is usual, and what full tables say.

use tests::agent::Family;
use tests::soak::{self, Plan};

use crate::Test;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![("bounds_brief_soak", brief_soak as Test)]
}

/// Thousands of connections, half heads, streams and requests without answers: every one is accounted for, in
/// so much memory and no more. `cargo xtask bench soak` is longer.
fn brief_soak(family: Family) {
    let outcome = soak::run(&Plan::BRIEF, family).expect("a soak");
    assert!(outcome.wrong.is_empty(), "{outcome:#?}");
}
