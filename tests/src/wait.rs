//! Awaiting a condition, bounded.

use std::time::{Duration, Instant};

/// How long a condition is awaited that should hold soon: generous, since it is only ever waited
/// out by a test that fails.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks until `condition` gives something; panics after `longest`, naming `what`.
#[track_caller]
pub fn until<T>(what: &str, longest: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            begun.elapsed() < longest,
            "waited {longest:?} in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}
