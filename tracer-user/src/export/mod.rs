//! Encodes and delivers spans; the only place that knows `opentelemetry`.
