//! The four frameworks: what we see from outside, held against what they record inside.

use std::fmt::Debug;

use crate::Test;

mod gateways;
mod hertz;
mod kitex;
mod kratos_v1;
mod legacy;
mod sdk;

/// The tests of these modules.
pub fn tests() -> Vec<(&'static str, Test)> {
    [
        gateways::tests(),
        hertz::tests(),
        kitex::tests(),
        kratos_v1::tests(),
        legacy::tests(),
        sdk::tests(),
    ]
    .concat()
}

/// Most differences shown.
const SHOWN: usize = 2;

/// What is not as it must be.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare<T: Debug + PartialEq>(&mut self, what: &str, ours: &T, theirs: &T) {
        if ours != theirs {
            self.0
                .push(format!("{what}: ours {ours:?}, theirs {theirs:?}"));
        }
    }

    /// Takes over those of one exchange.
    fn of(&mut self, one: Differences, exchange: impl FnOnce() -> String) {
        if !one.0.is_empty() {
            self.0.push(format!("{:#?} of {}", one.0, exchange()));
        }
    }

    #[track_caller]
    fn assert_none(&self) {
        let shown = &self.0[..self.0.len().min(SHOWN)];
        assert!(
            self.0.is_empty(),
            "{} wrong, such as:\n{}",
            self.0.len(),
            shown.join("\n")
        );
    }
}
