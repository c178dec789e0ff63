//! Which spans are left out: what the sampler drops, but for what the user's rules keep; then what is
//! too much for a second.
//!
//! A sampler decides by the trace alone, before anything has happened. A span is told at its end, so
//! rules can ask how it went. The spans above one that a rule kept end after it and are kept as well, so
//! that it is shown who asked; what it asked itself is gone by then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashbrown::HashSet;

use super::overflow::Overflow;
use super::sampler::Sampler;
use crate::context::SpanId;
use crate::semconv;
use crate::span::Span;

/// Parents that are waited for: most are in other processes and never end here. Those of a second or
/// more on a host where everything fails, in half a MB; beyond, all are forgotten.
const MOST_PARENTS: usize = 32_768;

/// What a span must be for a rule to keep it: `--keep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An error, by its status.
    Errors,
    /// It took longer.
    SlowerThan(Duration),
}

impl Rule {
    fn keeps(self, span: &Span) -> bool {
        match self {
            Rule::Errors => semconv::error(span).is_some(),
            Rule::SlowerThan(time) => {
                u128::from(span.end_ns.saturating_sub(span.start_ns)) > time.as_nanos()
            }
        }
    }
}

/// Decides of each span, and counts.
#[derive(Debug)]
pub(super) struct Keeper {
    sampler: Sampler,
    rules: Vec<Rule>,
    /// Of spans that a rule kept.
    parents: HashSet<SpanId, foldhash::fast::RandomState>,
    most_per_second: Option<u64>,
    /// When the second began that is counted.
    second: Option<Instant>,
    this_second: u64,
    unsampled: u64,
    too_many: Overflow,
}

impl Keeper {
    /// At most that many spans in a second, if that is limited.
    pub(super) fn new(sampler: Sampler, rules: Vec<Rule>, most_per_second: Option<u64>) -> Keeper {
        Keeper {
            sampler,
            rules,
            parents: HashSet::default(),
            most_per_second,
            second: None,
            this_second: 0,
            unsampled: 0,
            too_many: Overflow::default(),
        }
    }

    /// Whether the span is kept; if not, it is counted.
    pub(super) fn keeps(&mut self, span: &Span) -> bool {
        if !self.sampler.keeps(span) && !self.kept_by_rule(span) {
            self.unsampled += 1;
            return false;
        }
        match self.most_per_second {
            Some(most) if self.this_second >= most => {
                self.too_many.count();
                false
            }
            _ => {
                self.this_second += 1;
                true
            }
        }
    }

    fn kept_by_rule(&mut self, span: &Span) -> bool {
        if self.rules.is_empty() {
            return false;
        }
        let above = self.parents.remove(&span.span_id);
        if !above && !self.rules.iter().any(|rule| rule.keeps(span)) {
            return false;
        }
        if let Some((parent, _)) = span.parent {
            if self.parents.len() >= MOST_PARENTS {
                self.parents.clear();
            }
            self.parents.insert(parent);
        }
        true
    }

    /// Time passed: to be called often, as a second lasts until a call finds it over.
    pub(super) fn tick(&mut self, now: Instant) {
        let Some(most) = self.most_per_second else {
            return;
        };
        let began = *self.second.get_or_insert(now);
        if now.duration_since(began) >= Duration::from_secs(1) {
            self.second = Some(now);
            self.this_second = 0;
        }
        if let Some(spans) = self.too_many.due(now) {
            log::warn!(
                "{spans} spans left out: more than {most} in a second (--max-spans-per-second)"
            );
        }
    }

    /// Spans left out so far, by reason.
    pub(super) fn left_out(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::from([
            ("sampler", self.unsampled),
            ("max_spans_per_second", self.too_many.total()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;
    use crate::span::ParentSource;

    const SLOW: Rule = Rule::SlowerThan(Duration::from_millis(250));

    fn keeper(sampler: &str, rules: &[Rule]) -> Keeper {
        Keeper::new(
            Sampler::from_names(sampler, "").unwrap(),
            rules.to_vec(),
            None,
        )
    }

    /// A span that took so long.
    fn took(ms: u64) -> Span {
        let mut span = samples::server();
        span.end_ns = span.start_ns + ms * 1_000_000;
        span
    }

    #[test]
    fn rules_keep_what_the_sampler_drops() {
        let mut keeper = keeper("always_off", &[Rule::Errors, SLOW]);
        assert!(!keeper.keeps(&took(250)));
        assert!(keeper.keeps(&took(251)));
        // 404, which is a client's error.
        let failed = samples::client();
        assert!(keeper.keeps(&failed));
        assert_eq!(keeper.left_out()["sampler"], 1);
    }

    #[test]
    fn rules_drop_nothing() {
        let mut keeper = keeper("always_on", &[SLOW]);
        assert!(keeper.keeps(&took(1)));
        assert_eq!(keeper.left_out()["sampler"], 0);
    }

    #[test]
    fn what_is_above_a_kept_span_is_kept() {
        let mut keeper = keeper("always_off", &[SLOW]);
        let mut chain = [1, 2, 3, 4].map(|n| {
            let mut span = took(1);
            span.span_id = SpanId([n; 8]);
            span.parent = Some((SpanId([n + 1; 8]), ParentSource::Connection));
            span
        });
        chain[1] = Span {
            span_id: chain[1].span_id,
            parent: chain[1].parent,
            ..took(300)
        };
        let mut sibling = took(1);
        sibling.parent = chain[1].parent;
        let kept = chain.each_ref().map(|span| keeper.keeps(span));
        assert_eq!(kept, [false, true, true, true]);
        assert!(!keeper.keeps(&sibling));
    }

    #[test]
    fn parents_that_never_end_are_bounded() {
        let mut keeper = keeper("always_off", &[SLOW]);
        for n in 0..=MOST_PARENTS as u64 {
            let mut span = took(300);
            span.parent = Some((SpanId((n + 1).to_be_bytes()), ParentSource::Propagated));
            assert!(keeper.keeps(&span));
        }
        assert!(keeper.parents.len() <= MOST_PARENTS);
    }

    #[test]
    fn a_second_has_so_many() {
        let mut keeper = Keeper::new(Sampler::default(), vec![], Some(2));
        let begin = Instant::now();
        let mut kept = |after_ms: u64, spans: usize| {
            keeper.tick(begin + Duration::from_millis(after_ms));
            (0..spans).filter(|_| keeper.keeps(&took(1))).count()
        };
        assert_eq!(
            [kept(0, 1), kept(10, 3), kept(999, 1), kept(1000, 5)],
            [1, 1, 0, 2]
        );
        assert_eq!(kept(5000, 1), 1);
        assert_eq!(keeper.left_out()["max_spans_per_second"], 6);
    }
}
