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
        // What is left waits, or hangs below what waits.
        self.waiting = lines.into_iter().flatten().collect();
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
