//! Whether a Go process makes requests at all. That its goroutines are told costs each of its transfers,
//! and its probes each stream it serves; for nothing, if it only answers.
//!
//! Bias: late rather than wrong. A process that begins to ask after a long time has no parents for what
//! it has under way then, and keeps its goroutines told from there on.

use super::Kind;

/// Requests that a process answers without one of its own before its goroutines are left alone. Whoever
/// calls others to answer does so within the first few; this many take a busy service a second, and an
/// idle one hours.
const ANSWERS: u32 = 4096;

/// What a process was seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// It answered so many, and asked nobody.
    NotYet(u32),
    /// It answered [`ANSWERS`]: its goroutines are not told.
    Never,
    /// It asks others.
    Yes,
}

impl Asks {
    /// An exchange of the process begins. Some: from now on its goroutines are to be told, or not.
    pub fn began(&mut self, kind: Kind) -> Option<bool> {
        match (kind, *self) {
            (Kind::Client, before) => {
                *self = Asks::Yes;
                (before == Asks::Never).then_some(true)
            }
            (Kind::Server, Asks::NotYet(answered)) if answered + 1 < ANSWERS => {
                *self = Asks::NotYet(answered + 1);
                None
            }
            (Kind::Server, Asks::NotYet(_)) => {
                *self = Asks::Never;
                Some(false)
            }
            (Kind::Server, Asks::Never | Asks::Yes) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(asks: &mut Asks, times: u32) -> Vec<bool> {
        (0..times)
            .filter_map(|_| asks.began(Kind::Server))
            .collect()
    }

    #[test]
    fn who_only_answers_is_left_alone_until_it_asks() {
        let mut asks = Asks::NotYet(0);
        assert!(answered(&mut asks, ANSWERS - 1).is_empty());
        assert_eq!(answered(&mut asks, ANSWERS), [false], "once");
        assert_eq!(asks.began(Kind::Client), Some(true));
        assert_eq!(asks.began(Kind::Client), None);
        assert!(answered(&mut asks, 2 * ANSWERS).is_empty(), "never again");
    }

    #[test]
    fn who_asks_in_time_is_never_left_alone() {
        let mut asks = Asks::NotYet(0);
        answered(&mut asks, ANSWERS - 1);
        assert_eq!(asks.began(Kind::Client), None);
        assert!(answered(&mut asks, 2 * ANSWERS).is_empty());
    }
}
