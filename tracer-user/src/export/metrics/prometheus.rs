//! A snapshot as the text that Prometheus reads: OpenMetrics 1.0, which has examples, or the older
//! text format 0.0.4.
//!
//! Names are made as OpenTelemetry's compatibility specification says: dots become underscores, the
//! unit is appended. `job` and `instance` are `service.name` and `service.instance.id` of the traced
//! process, whose other resource attributes are on its `target_info`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use crate::counters::Counters;
use crate::metrics::{Exemplar, Measurement, Point, Service, Snapshot, Value};
use crate::resource::{self, Resource};
use crate::semconv::metrics::{METRICS, Metric, Unit};

/// What the scraper reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.
    Open,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Format {
    /// Of an `Accept` field: OpenMetrics where it is wanted as much as plain text.
    pub(super) fn of(accept: &str) -> Format {
        let weight = |kind: &str| {
            let mut most = 0.0_f64;
            for range in accept.split(',') {
                let mut parts = range.split(';').map(str::trim);
                if !parts.next().is_some_and(|of| of.eq_ignore_ascii_case(kind)) {
                    continue;
                }
                let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
                most = most.max(weight.unwrap_or(1.0));
            }
            most
        };
        let open = weight("application/openmetrics-text");
        match open > 0.0 && open >= weight("text/plain") {
            true => Format::Open,
            false => Format::Text,
        }
    }

    /// As `Content-Type` tells it.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes the page.
///
/// # Errors
/// Those of the writer.
pub(super) fn write(snapshot: &Snapshot, format: Format, to: &mut impl Write) -> io::Result<()> {
    let names: Vec<String> = snapshot.services.iter().map(labels_of).collect();
    let mut page = Page { format, to };
    page.head("target", "info", "What is known of a traced process.", None)?;
    for (service, own) in snapshot.services.iter().zip(&names) {
        page.sample("target_info", &[own, &facts_of(&service.resource)], 1)?;
    }
    for metric in &METRICS {
        let points = snapshot.services.iter().zip(&names);
        let points = points.flat_map(|(service, own)| service.points().map(move |p| (own, p)));
        page.metric(metric, points.filter(|(_, point)| point.metric == metric))?;
    }
    page.counters(&snapshot.counters)?;
    match format {
        Format::Open => page.to.write_all(b"# EOF\n"),
        Format::Text => Ok(()),
    }
}

struct Page<'a, W> {
    format: Format,
    to: &'a mut W,
}

impl<W: Write> Page<'_, W> {
    /// What comes before the samples of a metric. `kind` is OpenMetrics' word.
    fn head(&mut self, name: &str, kind: &str, help: &str, unit: Option<&str>) -> io::Result<()> {
        let (name, kind) = match (self.format, kind) {
            (Format::Text, "info") => (format!("{name}_info"), "gauge"),
            (Format::Text, "counter") => (format!("{name}_total"), "counter"),
            _ => (name.to_owned(), kind),
        };
        writeln!(self.to, "# TYPE {name} {kind}")?;
        if let (Format::Open, Some(unit)) = (self.format, unit) {
            writeln!(self.to, "# UNIT {name} {unit}")?;
        }
        writeln!(self.to, "# HELP {name} {}", escaped(help))
    }

    /// A line. Labels are written already, as [`label`] does.
    fn sample(
        &mut self,
        name: &str,
        labels: &[&str],
        value: impl std::fmt::Display,
    ) -> io::Result<()> {
        self.value(name, labels, value)?;
        writeln!(self.to)
    }

    fn value(
        &mut self,
        name: &str,
        labels: &[&str],
        value: impl std::fmt::Display,
    ) -> io::Result<()> {
        write!(self.to, "{name}")?;
        let mut before = "{";
        for label in labels.iter().filter(|label| !label.is_empty()) {
            write!(self.to, "{before}{label}")?;
            before = ",";
        }
        let after = if before == "{" { "" } else { "}" };
        write!(self.to, "{after} {value}")
    }

    fn metric<'s>(
        &mut self,
        metric: &Metric,
        points: impl Iterator<Item = (&'s String, Point<'s>)>,
    ) -> io::Result<()> {
        let unit = match metric.unit {
            Unit::Seconds => Some("seconds"),
            Unit::Bytes => Some("bytes"),
            Unit::Requests => None,
        };
        let mut name = name_of(metric.name);
        if let Some(unit) = unit {
            _ = write!(name, "_{unit}");
        }
        let mut points = points.peekable();
        if points.peek().is_none() {
            return Ok(());
        }
        let kind = match metric.bounds {
            Some(_) => "histogram",
            None => "gauge",
        };
        self.head(&name, kind, metric.description, unit)?;
        for (service, point) in points {
            let labels = labels(&point);
            match point.value {
                Measurement::Number(number) => self.sample(&name, &[service, &labels], number)?,
                Measurement::Histogram(_) => self.histogram(&name, service, &labels, &point)?,
            }
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        name: &str,
        service: &str,
        labels: &str,
        point: &Point<'_>,
    ) -> io::Result<()> {
        let Measurement::Histogram(histogram) = point.value else {
            return Ok(());
        };
        let unit = point.metric.unit;
        let bounds = point.metric.bounds.unwrap_or_default();
        let bucket = format!("{name}_bucket");
        let above = bounds.iter().map(|bound| Some(unit.of(*bound as f64)));
        let above = above.chain([None]);
        let mut all = 0;
        for ((count, example), bound) in histogram.buckets(bounds.len()).zip(above) {
            all += count;
            let bound = match (bound, self.format) {
                (None, _) => "le=\"+Inf\"".to_owned(),
                (Some(bound), Format::Open) => format!("le=\"{bound:?}\""),
                (Some(bound), Format::Text) => format!("le=\"{bound}\""),
            };
            self.value(&bucket, &[service, labels, &bound], all)?;
            if let (Format::Open, Some(example)) = (self.format, example) {
                self.example(example, unit)?;
            }
            writeln!(self.to)?;
        }
        let sum = unit.of(histogram.sum() as f64);
        self.sample(&format!("{name}_sum"), &[service, labels], sum)?;
        self.sample(&format!("{name}_count"), &[service, labels], all)
    }

    fn example(&mut self, example: &Exemplar, unit: Unit) -> io::Result<()> {
        let trace = u128::from_be_bytes(example.trace_id.0);
        let span = u64::from_be_bytes(example.span_id.0);
        let value = unit.of(example.value as f64);
        let (seconds, ms) = (example.at / 1_000_000_000, example.at / 1_000_000 % 1000);
        write!(
            self.to,
            " # {{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}} {value} {seconds}.{ms:03}"
        )
    }

    /// The agent's own, named as in `--stats`: `spans.dropped.endpoint` is
    /// `tracer_spans_dropped_total{reason="endpoint"}`.
    fn counters(&mut self, counters: &Counters) -> io::Result<()> {
        let groups = serde_json::to_value(counters)?;
        for (group, fields) in groups.as_object().into_iter().flatten() {
            for (field, value) in fields.as_object().into_iter().flatten() {
                let name = format!("tracer_{group}_{field}");
                let help = format!("{group}.{field} of tracer itself, as in --stats.");
                self.head(&name, "counter", &help, None)?;
                let name = format!("{name}_total");
                match value.as_object() {
                    None => self.sample(&name, &[], value)?,
                    Some(reasons) => {
                        for (reason, count) in reasons {
                            self.sample(&name, &[&label("reason", reason)], count)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// `job` and `instance`, and whose metrics they are.
fn labels_of(service: &Service) -> String {
    let of = |name: &str| text_of(&service.resource, name);
    let mut job = of("service.name").unwrap_or_default();
    if let Some(namespace) = of("service.namespace") {
        job = format!("{namespace}/{job}");
    }
    let mut all = label("job", &job);
    if let Some(instance) = of("service.instance.id") {
        _ = write!(all, ",{}", label("instance", &instance));
    }
    all
}

fn text_of(resource: &Resource, name: &str) -> Option<String> {
    let found = resource.attributes.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| text(value))
}

fn text(value: &resource::Value) -> String {
    match value {
        resource::Value::Text(text) => text.clone(),
        resource::Value::Int(value) => value.to_string(),
        resource::Value::List(list) => serde_json::json!(list).to_string(),
    }
}

/// What else is known of a process.
fn facts_of(resource: &Resource) -> String {
    // In one order; of two attributes whose names become the same, the values stand together.
    let mut facts = BTreeMap::<String, String>::new();
    for (name, value) in &resource.attributes {
        let identity = ["service.name", "service.namespace", "service.instance.id"];
        if identity.contains(&name.as_str()) {
            continue;
        }
        let value = text(value);
        facts
            .entry(name_of(name))
            .and_modify(|other| _ = write!(other, ";{value}"))
            .or_insert(value);
    }
    let facts: Vec<String> = facts.iter().map(|(name, text)| label(name, text)).collect();
    facts.join(",")
}

fn labels(point: &Point<'_>) -> String {
    let mut all = label("otel_scope_name", "tracer");
    let version = label("otel_scope_version", env!("CARGO_PKG_VERSION"));
    _ = write!(all, ",{version}");
    let mut add = |name: &str, value: &str| _ = write!(all, ",{}", label(&name_of(name), value));
    for (name, value) in point.attributes.iter() {
        match value {
            Value::Text(text) => add(name, text),
            Value::Int(value) => add(name, &value.to_string()),
            Value::True => add(name, "true"),
        }
    }
    for (name, value) in point.extra.into_iter().flatten() {
        add(name, value);
    }
    all
}

/// A name of OpenTelemetry's as one of Prometheus'.
fn name_of(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut text: String = name.chars().map(fits).collect();
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        text.insert(0, '_');
    }
    text
}

fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", escaped(value))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c => escaped.push(c),
        }
    }
    escaped
}
