//! What one attempt to hand a request to the endpoint came to, whatever the protocol.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

/// What an attempt came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Taken, all but so many spans.
    Accepted {
        /// Spans that it did not take (partial success): not to be sent again.
        rejected: u64,
        /// What it says to that.
        message: String,
    },
    /// Not taken; not to be sent again.
    Rejected(String),
    /// Not taken now.
    Retry {
        /// When the endpoint wants it again.
        after: Option<Duration>,
        /// What went wrong.
        why: String,
    },
}

/// A success, perhaps a partial one.
pub(super) fn accepted(partial: Option<ExportTracePartialSuccess>) -> Attempt {
    let partial = partial.unwrap_or_default();
    Attempt::Accepted {
        rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
        message: partial.error_message,
    }
}

/// What is at the bottom of an error: what lies above only says that sending failed.
pub(super) fn root(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}
