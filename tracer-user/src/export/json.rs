//! OTLP/JSON, made from OTLP protobuf by the official types: no rule of the encoding stands twice.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

/// Appends an encoded `ExportTraceServiceRequest` as one line of JSON, without its end.
///
/// # Errors
/// If the bytes are no such request, which would be a fault of [`super::encode`].
pub(super) fn append(request: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let request = ExportTraceServiceRequest::decode(request).map_err(|e| e.to_string())?;
    serde_json::to_writer(out, &request).map_err(|e| e.to_string())
}
