//! What the export of metrics is told.

use std::time::Duration;

use crate::export::settings::Otlp;
use crate::metrics::Exemplars;

/// Where a Prometheus exporter listens that was not told where, by OpenTelemetry's specification, but
/// for the name it gives to this host: `localhost` is one of two addresses.
pub const DEFAULT_PAGE: (&str, u16) = ("127.0.0.1", 9464);

/// Who reads metrics; nobody, unless asked for.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// `OTEL_METRICS_EXPORTER=otlp`
    pub periodic: Option<Periodic>,
    /// `--metrics-listen`, `OTEL_EXPORTER_PROMETHEUS_HOST` and `_PORT`: host and port.
    pub page: Option<(String, u16)>,
    /// `OTEL_METRICS_EXEMPLAR_FILTER`
    pub exemplars: Exemplars,
}

/// An endpoint that gets metrics by OTLP.
#[derive(Clone, Debug)]
pub struct Periodic {
    /// Where, and how it is spoken to.
    pub otlp: Otlp,
    /// `OTEL_METRIC_EXPORT_INTERVAL` (ms): between two requests.
    pub interval: Duration,
    /// `OTEL_METRIC_EXPORT_TIMEOUT` (ms): how long one is tried, retries included.
    pub timeout: Duration,
    /// `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`
    pub temporality: Temporality,
}

impl Periodic {
    /// The standard's defaults for everything else.
    pub fn new(otlp: Otlp) -> Self {
        Periodic {
            otlp,
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
            temporality: Temporality::default(),
        }
    }
}

/// Since when histograms count. What goes up and down is told as it is, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// Since they began.
    #[default]
    Cumulative,
    /// Since the request before.
    Delta,
}
