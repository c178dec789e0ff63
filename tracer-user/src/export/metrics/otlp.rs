//! A snapshot as an `ExportMetricsServiceRequest`, by the official types: what is sent once a minute
//! may take its time.

use std::collections::HashMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::settings::Temporality;
use crate::export::batch::Request;
use crate::export::encode;
use crate::metrics::{self, Attributes, Measurement, Point, Service, Snapshot, Value};
use crate::semconv;
use crate::semconv::metrics::METRICS;

/// Makes requests of snapshots.
pub(super) struct Encoder {
    temporality: Temporality,
    /// What was told in the request before.
    earlier: HashMap<(u64, u8), metrics::Histogram>,
    /// When that was. Unix ns.
    last: u64,
    /// Data points of the request under way.
    points: u64,
}

impl Encoder {
    pub(super) fn new(temporality: Temporality) -> Self {
        Encoder {
            temporality,
            earlier: HashMap::new(),
            last: 0,
            points: 0,
        }
    }

    /// None if there is nothing to tell.
    pub(super) fn request(&mut self, snapshot: &Snapshot) -> Option<Request> {
        self.points = 0;
        let services = snapshot.services.iter();
        let resource_metrics: Vec<_> = services
            .filter_map(|service| self.service(service, snapshot.at))
            .collect();
        if self.temporality == Temporality::Delta {
            self.remember(snapshot);
        }
        self.last = snapshot.at;
        let request = ExportMetricsServiceRequest { resource_metrics };
        (self.points > 0).then(|| Request {
            bytes: request.encode_to_vec().into(),
            spans: self.points,
        })
    }

    fn remember(&mut self, snapshot: &Snapshot) {
        let points = snapshot.services.iter().flat_map(Service::points);
        let histograms = points.filter_map(|point| match point.value {
            Measurement::Histogram(histogram) => Some((point.series, histogram.clone())),
            Measurement::Number(_) => None,
        });
        self.earlier = histograms.collect();
    }

    fn service(&mut self, service: &Service, now: u64) -> Option<ResourceMetrics> {
        let mut by_metric: Vec<Vec<Point<'_>>> = METRICS.iter().map(|_| Vec::new()).collect();
        for point in service.points() {
            let place = METRICS.iter().position(|metric| metric == point.metric);
            by_metric[place?].push(point);
        }
        let metrics = METRICS.iter().zip(by_metric);
        let metrics = metrics.filter_map(|(metric, points)| self.metric(metric, &points, now));
        let metrics: Vec<Metric> = metrics.collect();
        if metrics.is_empty() {
            return None;
        }
        let mut bytes = Vec::new();
        encode::resource(&service.resource, &mut bytes);
        let resource = Resource::decode(&bytes[..]).ok();
        bytes.clear();
        // The fields before the metrics are those before the spans.
        encode::scope(&mut bytes);
        let scope = ScopeMetrics::decode(&bytes[..]).unwrap_or_default();
        Some(ResourceMetrics {
            resource,
            scope_metrics: vec![ScopeMetrics { metrics, ..scope }],
            schema_url: semconv::SCHEMA_URL.to_owned(),
        })
    }

    fn metric(
        &mut self,
        of: &semconv::metrics::Metric,
        points: &[Point<'_>],
        now: u64,
    ) -> Option<Metric> {
        let data = match of.bounds {
            Some(bounds) => {
                let points = points.iter();
                let data_points: Vec<_> = points
                    .filter_map(|point| self.histogram(point, bounds, now))
                    .collect();
                self.count(data_points.len())?;
                let aggregation_temporality = match self.temporality {
                    Temporality::Cumulative => AggregationTemporality::Cumulative,
                    Temporality::Delta => AggregationTemporality::Delta,
                };
                metric::Data::Histogram(Histogram {
                    data_points,
                    aggregation_temporality: aggregation_temporality.into(),
                })
            }
            None => {
                let points = points.iter();
                let data_points: Vec<_> = points.filter_map(|point| number(point, now)).collect();
                self.count(data_points.len())?;
                metric::Data::Sum(Sum {
                    data_points,
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                    is_monotonic: false,
                })
            }
        };
        Some(Metric {
            name: of.name.to_owned(),
            description: of.description.to_owned(),
            unit: of.unit.ucum().to_owned(),
            data: Some(data),
            ..Metric::default()
        })
    }

    /// None if there are none.
    fn count(&mut self, points: usize) -> Option<()> {
        self.points += points as u64;
        (points > 0).then_some(())
    }

    fn histogram(&self, point: &Point<'_>, bounds: &[u64], now: u64) -> Option<HistogramDataPoint> {
        let Measurement::Histogram(histogram) = point.value else {
            return None;
        };
        let earlier = self.earlier.get(&point.series);
        let since = earlier.map(|earlier| histogram.since(earlier));
        let start = match self.temporality {
            Temporality::Cumulative => point.start,
            Temporality::Delta => point.start.max(self.last),
        };
        let histogram = since.as_ref().unwrap_or(histogram);
        if histogram.count() == 0 {
            return None;
        }
        let unit = point.metric.unit;
        let examples = histogram
            .buckets(bounds.len())
            .filter_map(|(_, example)| example)
            // Earlier ones were told already.
            .filter(|example| example.at > self.last)
            .map(|example| Exemplar {
                time_unix_nano: example.at,
                span_id: example.span_id.0.to_vec(),
                trace_id: example.trace_id.0.to_vec(),
                value: Some(exemplar::Value::AsDouble(unit.of(example.value as f64))),
                ..Exemplar::default()
            });
        let buckets = histogram.buckets(bounds.len());
        let (min, max) = histogram.range().unzip();
        Some(HistogramDataPoint {
            attributes: attributes(point),
            start_time_unix_nano: start,
            time_unix_nano: now,
            count: histogram.count(),
            sum: Some(unit.of(histogram.sum() as f64)),
            bucket_counts: buckets.map(|(count, _)| count).collect(),
            explicit_bounds: bounds.iter().map(|bound| unit.of(*bound as f64)).collect(),
            exemplars: examples.collect(),
            flags: 0,
            min: min.map(|min| unit.of(min as f64)),
            max: max.map(|max| unit.of(max as f64)),
        })
    }
}

fn number(point: &Point<'_>, now: u64) -> Option<NumberDataPoint> {
    let Measurement::Number(number) = point.value else {
        return None;
    };
    Some(NumberDataPoint {
        attributes: attributes(point),
        start_time_unix_nano: point.start,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsInt(semconv::int(number))),
        ..NumberDataPoint::default()
    })
}

fn attributes(point: &Point<'_>) -> Vec<KeyValue> {
    let own = Attributes::iter(point.attributes);
    let extra = point.extra.into_iter().flatten();
    let extra = extra.map(|(name, value)| (name, Value::Text(value)));
    own.chain(extra)
        .map(|(name, value)| {
            let value = match value {
                Value::Text(text) => any_value::Value::StringValue(text.to_owned()),
                Value::Int(value) => any_value::Value::IntValue(value),
                Value::True => any_value::Value::BoolValue(true),
            };
            KeyValue {
                key: name.to_owned(),
                value: Some(AnyValue { value: Some(value) }),
                ..KeyValue::default()
            }
        })
        .collect()
}
