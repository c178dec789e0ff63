//! Numbers in buckets, and for each bucket the last exchange that fell into it, as an example.

use crate::context::{SpanId, TraceId};
use crate::semconv::metrics::MOST_BOUNDS;

/// An exchange that a bucket counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// What was measured.
    pub value: u64,
    /// When it was over. Unix ns.
    pub at: u64,
}

/// How often values fell between which bounds. The bounds are given with each value, as they are
/// those of its metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    counts: [u64; MOST_BOUNDS + 1],
    sum: u128,
    range: Option<(u64, u64)>,
    exemplars: Option<Box<[Option<Exemplar>; MOST_BOUNDS + 1]>>,
}

impl Histogram {
    /// Counts a value.
    #[inline]
    pub(super) fn record(&mut self, bounds: &[u64], value: u64, exemplar: Option<Exemplar>) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        let Some(count) = self.counts.get_mut(bucket) else {
            return;
        };
        *count += 1;
        self.sum += u128::from(value);
        let (least, most) = self.range.unwrap_or((value, value));
        self.range = Some((least.min(value), most.max(value)));
        if let Some(exemplar) = exemplar {
            let exemplars = self.exemplars.get_or_insert_default();
            exemplars[bucket] = Some(Exemplar { value, ..exemplar });
        }
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What they come to.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// The least and the largest.
    pub fn range(&self) -> Option<(u64, u64)> {
        self.range
    }

    /// How many fell into each bucket of a metric with so many bounds, and an example; the last one
    /// holds what is above all bounds.
    pub fn buckets(&self, bounds: usize) -> impl Iterator<Item = (u64, Option<&Exemplar>)> {
        let examples = self.exemplars.as_deref();
        let all = self.counts.iter().enumerate().take(bounds + 1);
        all.map(move |(bucket, count)| (*count, examples.and_then(|all| all[bucket].as_ref())))
    }

    /// What was counted since an earlier state of it. Of the range nothing is known then.
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(earlier.counts) {
            *count -= before;
        }
        Histogram {
            counts,
            sum: self.sum - earlier.sum,
            range: None,
            exemplars: self.exemplars.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &[u64] = &[10, 20];

    fn exemplar(at: u64) -> Exemplar {
        Exemplar {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
            value: 0,
            at,
        }
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let mut histogram = Histogram::default();
        for value in [0, 10, 11, 20, 21, u64::MAX] {
            histogram.record(BOUNDS, value, None);
        }
        let counts: Vec<_> = histogram
            .buckets(BOUNDS.len())
            .map(|(count, _)| count)
            .collect();
        assert_eq!(counts, [2, 2, 2]);
        assert_eq!(histogram.count(), 6);
        assert_eq!(histogram.sum(), 62 + u128::from(u64::MAX));
        assert_eq!(histogram.range(), Some((0, u64::MAX)));
    }

    #[test]
    fn each_bucket_has_its_last_example() {
        let mut histogram = Histogram::default();
        histogram.record(BOUNDS, 5, Some(exemplar(1)));
        histogram.record(BOUNDS, 7, Some(exemplar(2)));
        histogram.record(BOUNDS, 8, None);
        histogram.record(BOUNDS, 30, Some(exemplar(3)));
        let examples: Vec<_> = histogram
            .buckets(BOUNDS.len())
            .map(|(_, example)| example.map(|example| (example.value, example.at)))
            .collect();
        assert_eq!(examples, [Some((7, 2)), None, Some((30, 3))]);
    }

    #[test]
    fn a_difference_is_what_came_between() {
        let mut histogram = Histogram::default();
        histogram.record(BOUNDS, 5, None);
        let earlier = histogram.clone();
        histogram.record(BOUNDS, 15, None);
        histogram.record(BOUNDS, 6, None);
        let since = histogram.since(&earlier);
        let counts: Vec<_> = since
            .buckets(BOUNDS.len())
            .map(|(count, _)| count)
            .collect();
        assert_eq!((counts, since.sum()), (vec![1, 1, 0], 21));
    }
}
