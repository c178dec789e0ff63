//! OTLP/JSON, made from OTLP protobuf by the official types: no rule of the encoding stands twice.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::Serialize;

use super::settings::Signal;

/// Appends an encoded request of that signal as one line of JSON, without its end.
///
/// # Errors
/// If the bytes are no such request, which would be a fault of [`super::encode`].
pub(super) fn append(signal: Signal, request: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    match signal {
        Signal::Traces => as_json::<ExportTraceServiceRequest>(request, out),
        Signal::Metrics => as_json::<ExportMetricsServiceRequest>(request, out),
    }
}

fn as_json<T: Message + Default + Serialize>(
    request: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let request = T::decode(request).map_err(|e| e.to_string())?;
    serde_json::to_writer(out, &request).map_err(|e| e.to_string())
}
