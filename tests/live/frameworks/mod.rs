//! The four frameworks: what we see from outside, held against what they record inside.

use crate::Test;

mod gateways;

/// The tests of these modules.
pub fn tests() -> Vec<(&'static str, Test)> {
    [gateways::tests()].concat()
}
