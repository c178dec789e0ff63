//! Awaiting a condition, bounded.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How long a condition is awaited that should hold soon: generous, since it is only ever waited
/// out by a test that fails.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks until `condition` gives something; panics after `longest` (see [`patiently`]), naming `what`.
#[track_caller]
pub fn until<T>(what: &str, longest: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let longest = patiently(longest);
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

/// A bound on a wait as it is on this machine: `TRACER_TEST_PATIENCE` times as long where that is set, as
/// it is in guests whose processor is emulated.
pub fn patiently(longest: Duration) -> Duration {
    longest * *PATIENCE
}

/// How many of so many alike requests are made on this machine: where tests are patient, so many times
/// fewer. What is expected of each, and of all together, is the same.
pub fn fewer(requests: usize) -> usize {
    requests.div_ceil(*PATIENCE as usize)
}

static PATIENCE: LazyLock<u32> = LazyLock::new(|| match std::env::var("TRACER_TEST_PATIENCE") {
    Ok(factor) => factor
        .parse()
        .expect("TRACER_TEST_PATIENCE: a whole number"),
    Err(_) => 1,
});
