//! All that is measured of exchanges that have the same attributes, and how it is read.

use super::attributes::Attributes;
use super::histogram::{Exemplar, Histogram};
use crate::resource::SharedResource;
use crate::semconv::metrics::{Measured, Metric, stage_attributes};
use crate::semconv::{STAGES, stages_by_place};
use crate::span::Span;

/// What finished exchanges of a kind came to.
#[derive(Clone, Debug)]
pub struct Series {
    /// What they have in common.
    pub(super) attributes: Attributes,
    /// No other series has it, also of those let go.
    pub(super) id: u64,
    /// When it began to count. Unix ns.
    pub(super) start: u64,
    /// When it counted last. Unix ns.
    pub(super) last: u64,
    of: Measured,
    duration: Histogram,
    /// Of request and response.
    bodies: [Histogram; 2],
    /// By the place that a stage has among its span's, with its name.
    stages: [(&'static str, Histogram); STAGES],
}

impl Series {
    pub(super) fn new(of: Measured, attributes: Attributes, id: u64, now: u64) -> Self {
        Series {
            attributes,
            id,
            start: now,
            last: now,
            of,
            duration: Histogram::default(),
            bodies: Default::default(),
            stages: Default::default(),
        }
    }

    /// Counts an exchange.
    pub(super) fn record(&mut self, span: &Span, exemplar: Option<Exemplar>) {
        self.last = span.end_ns;
        let add = |histogram: &mut Histogram, metric: &Metric, value, exemplar| {
            histogram.record(metric.bounds.unwrap_or_default(), value, exemplar);
        };
        let duration = span.end_ns.saturating_sub(span.start_ns);
        add(&mut self.duration, self.of.duration(), duration, exemplar);
        if let Some(metrics) = self.of.body_sizes() {
            let sizes = [span.request_sizes, span.response_sizes];
            for ((histogram, metric), sizes) in self.bodies.iter_mut().zip(metrics).zip(sizes) {
                if let Some(size) = sizes.and_then(|sizes| sizes.body) {
                    // Time is what examples are looked at for.
                    add(histogram, metric, size, None);
                }
            }
        }
        let metric = self.of.stages();
        for ((name, histogram), stage) in self.stages.iter_mut().zip(stages_by_place(span)) {
            if let Some(stage) = stage {
                *name = stage.name;
                add(histogram, metric, stage.ns, exemplar);
            }
        }
    }

    fn points(&self) -> impl Iterator<Item = Point<'_>> {
        let point = |place, metric, extra, histogram| Point {
            metric,
            series: (self.id, place),
            start: self.start,
            attributes: &self.attributes,
            extra,
            value: Measurement::Histogram(histogram),
        };
        let duration = point(0, self.of.duration(), None, &self.duration);
        let bodies = self.of.body_sizes().into_iter().flatten().zip(&self.bodies);
        let bodies = (1..).zip(bodies);
        let bodies =
            bodies.map(move |(place, (metric, bodies))| point(place, metric, None, bodies));
        let stages = (3..).zip(&self.stages).map(move |(place, (name, stage))| {
            let extra = stage_attributes(self.of, name);
            point(place, self.of.stages(), Some(extra), stage)
        });
        let all = std::iter::once(duration).chain(bodies).chain(stages);
        all.filter(|point| match point.value {
            Measurement::Histogram(histogram) => histogram.count() > 0,
            Measurement::Number(_) => true,
        })
    }
}

/// How many requests of a kind are open.
#[derive(Clone, Debug)]
pub struct Active {
    pub(super) attributes: Attributes,
    pub(super) id: u64,
    pub(super) start: u64,
    pub(super) last: u64,
    pub(super) of: &'static Metric,
    pub(super) count: u64,
}

/// A traced process and what is measured of it.
#[derive(Clone, Debug)]
pub struct Service {
    /// What it is called.
    pub resource: SharedResource,
    pub(super) series: Vec<Series>,
    pub(super) active: Vec<Active>,
}

/// A number, or several, as a metric tells it.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// What it is.
    pub metric: &'static Metric,
    /// Which of all it is: the same in every snapshot, and no other's.
    pub series: (u64, u8),
    /// Since when it counts. Unix ns.
    pub start: u64,
    /// What it is of.
    pub attributes: &'a Attributes,
    /// Further attributes.
    pub extra: Option<[(&'static str, &'static str); 2]>,
    /// What there is.
    pub value: Measurement<'a>,
}

/// What a point holds.
#[derive(Clone, Copy, Debug)]
pub enum Measurement<'a> {
    /// Values in buckets, never none.
    Histogram(&'a Histogram),
    /// How many there are now.
    Number(u64),
}

impl Service {
    /// Every point of it, in no order.
    pub fn points(&self) -> impl Iterator<Item = Point<'_>> {
        let active = self.active.iter().map(|active| Point {
            metric: active.of,
            series: (active.id, 0),
            start: active.start,
            attributes: &active.attributes,
            extra: None,
            value: Measurement::Number(active.count),
        });
        self.series.iter().flat_map(Series::points).chain(active)
    }
}
