//! In what order lines are printed: children under their parent.
//!
//! A span ends when it ends, and a client's ends before that of the server that called it. So lines
//! are released together, a few times a second, and one whose parent is on its way waits for it a
//! little. Bias: rather a line out of place than one late.

use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::line::Line;
use crate::context::SpanId;

/// Longest that a line waits for its parent: a slower one is not worth keeping the terminal still.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Most lines that wait: what 2 s hold at a rate that nobody could read any more.
const MOST_WAITING: usize = 4096;

/// Printed lines that are remembered for children that come late.
const REMEMBERED: usize = 1024;

/// Where a line stands under others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// How many spans are above it.
    pub depth: usize,
    /// The time that the topmost of them took: what bars are drawn to. Unix ns.
    pub scale: (u64, u64),
}

/// Lines not yet printed.
#[derive(Default)]
pub(super) struct Order {
    waiting: Vec<(Line, Instant)>,
    printed: HashMap<SpanId, Place>,
    /// The printed, oldest first.
    oldest: std::collections::VecDeque<SpanId>,
}

impl Order {
    pub(super) fn push(&mut self, line: Line, now: Instant) {
        self.waiting.push((line, now));
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether so many wait that they have to be released now.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING
    }

    /// Prints every line that need not wait any longer. `all`: none may.
    pub(super) fn release(&mut self, now: Instant, all: bool, mut print: impl FnMut(&Line, Place)) {
        let waiting = std::mem::take(&mut self.waiting);
        let all = all || waiting.len() >= MOST_WAITING;
        let here: HashMap<SpanId, usize> = waiting
            .iter()
            .enumerate()
            .map(|(index, (line, _))| (line.span_id, index))
            .collect();
        let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut tops = Vec::new();
        let mut stays = Vec::new();
        for (index, (line, since)) in waiting.iter().enumerate() {
            let parent = line.parent.filter(|parent| *parent != line.span_id);
            match parent {
                Some(parent) if here.contains_key(&parent) => {
                    children.entry(here[&parent]).or_default().push(index);
                }
                Some(parent)
                    if !self.printed.contains_key(&parent)
                        && !all
                        && now.duration_since(*since) < LONGEST_WAIT =>
                {
                    stays.push(index);
                }
                _ => tops.push(index),
            }
        }
        let mut lines: Vec<Option<(Line, Instant)>> = waiting.into_iter().map(Some).collect();
        // Deepest last in, first out; so children follow their parent, earliest first.
        let mut stack: Vec<(usize, Option<Place>)> =
            tops.iter().rev().map(|top| (*top, None)).collect();
        while let Some((index, place)) = stack.pop() {
            let Some((line, _)) = lines[index].take() else {
                continue;
            };
            let place = place.unwrap_or_else(|| self.place_of(&line));
            print(&line, place);
            self.remember(line.span_id, place);
            let below = Place {
                depth: place.depth + 1,
                ..place
            };
            let mut under = children.remove(&index).unwrap_or_default();
            under.sort_by_key(|child| lines[*child].as_ref().map(|(line, _)| line.start_ns));
            stack.extend(under.into_iter().rev().map(|child| (child, Some(below))));
        }
        // What is left waits, or hangs below what waits (or, if ids lie, below itself).
        self.waiting = lines.into_iter().flatten().collect();
        if all {
            for (line, _) in std::mem::take(&mut self.waiting) {
                print(&line, self.place_of(&line));
            }
        }
    }

    /// Place of a line that is not printed right under its parent.
    fn place_of(&self, line: &Line) -> Place {
        match line.parent.and_then(|parent| self.printed.get(&parent)) {
            Some(place) => Place {
                depth: place.depth + 1,
                ..*place
            },
            None => Place {
                depth: 0,
                scale: (line.begin_ns(), line.end_ns),
            },
        }
    }

    fn remember(&mut self, id: SpanId, place: Place) {
        if self.printed.insert(id, place).is_none() {
            self.oldest.push_back(id);
        }
        if self.oldest.len() > REMEMBERED
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.printed.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;
    use crate::semconv::Options;
    use crate::span::ParentSource;

    /// A line of that id, whose parent on this host is that other one; 0 = none.
    fn line(id: u64, parent: u64) -> Line {
        let mut span = samples::server();
        span.span_id = SpanId(id.to_be_bytes());
        span.parent =
            (parent != 0).then(|| (SpanId(parent.to_be_bytes()), ParentSource::Execution));
        span.start_ns += id;
        Line::of(&span, &Options::default())
    }

    /// Ids and depths in the order they are printed.
    fn release(order: &mut Order, now: Instant, all: bool) -> Vec<(u64, usize)> {
        let mut printed = Vec::new();
        order.release(now, all, |line, place| {
            printed.push((u64::from_be_bytes(line.span_id.0), place.depth));
        });
        printed
    }

    #[test]
    fn families_stay_together() {
        let mut order = Order::default();
        let now = Instant::now();
        for (id, parent) in [(5, 2), (1, 0), (4, 1), (2, 0), (3, 1), (6, 5)] {
            order.push(line(id, parent), now);
        }
        let printed = release(&mut order, now, false);
        assert_eq!(printed, [(1, 0), (3, 1), (4, 1), (2, 0), (5, 1), (6, 2)]);
    }

    #[test]
    fn child_waits_for_its_parent() {
        let mut order = Order::default();
        let now = Instant::now();
        order.push(line(2, 1), now);
        order.push(line(3, 2), now);
        assert_eq!(release(&mut order, now, false), []);
        order.push(line(1, 0), now);
        assert_eq!(release(&mut order, now, false), [(1, 0), (2, 1), (3, 2)]);
    }

    #[test]
    fn child_does_not_wait_for_ever() {
        let mut order = Order::default();
        let now = Instant::now();
        order.push(line(2, 1), now);
        order.push(line(3, 2), now);
        let late = now + LONGEST_WAIT;
        assert_eq!(release(&mut order, late, false), [(2, 0), (3, 1)]);
    }

    #[test]
    fn child_that_comes_late_stands_lower_still() {
        let mut order = Order::default();
        let now = Instant::now();
        order.push(line(1, 0), now);
        release(&mut order, now, false);
        order.push(line(2, 1), now);
        assert_eq!(release(&mut order, now, false), [(2, 1)]);
    }

    #[test]
    fn circles_are_printed_in_the_end() {
        let mut order = Order::default();
        let now = Instant::now();
        for (id, parent) in [(1, 2), (2, 1), (3, 3)] {
            order.push(line(id, parent), now);
        }
        assert_eq!(release(&mut order, now, false), [(3, 0)]);
        assert_eq!(release(&mut order, now, true).len(), 2);
        assert_eq!(order.len(), 0);
    }

    #[test]
    fn what_waits_and_what_is_remembered_is_bounded() {
        let mut order = Order::default();
        let now = Instant::now();
        for id in 1..=MOST_WAITING as u64 {
            order.push(line(id, 1 << 40), now);
        }
        assert!(order.is_full());
        assert_eq!(release(&mut order, now, false).len(), MOST_WAITING);
        assert_eq!(order.printed.len(), REMEMBERED);
        assert_eq!(order.oldest.len(), REMEMBERED);
    }
}
