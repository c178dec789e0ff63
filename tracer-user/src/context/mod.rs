//! Propagated trace context: which trace a message belongs to, as its sender says.
//!
//! One file per format; each reads the fields it knows and says nothing else. A malformed context is
//! ignored whole and counted, never half used.

use std::fmt;

/// 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// What a message says of its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace_id: TraceId,
    /// The sender's span: our parent.
    pub span_id: SpanId,
    /// Whether the sender records.
    pub sampled: bool,
    /// W3C `tracestate`, as sent; empty = none.
    pub trace_state: String,
    /// What it was read from.
    pub format: Format,
}

/// Propagation formats; the names are `tracer.context.format`'s values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// W3C Trace Context.
    W3c,
}

impl Format {
    /// The word users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::W3c => "w3c",
        }
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}
