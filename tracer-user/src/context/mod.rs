//! Propagated trace context: which trace a message belongs to, as its sender says.
//!
//! One file per format; each reads the fields it knows and says nothing else. A malformed context is
//! ignored whole and counted, never half used. Baggage names no span and is left alone.
//!
//! An answer may name the span of the server that wrote it ([`answer`]): no parent, but the trace.

mod b3;
mod datadog;
mod fields;
mod format;
mod gozero;
mod grpc_trace_bin;
mod hash;
mod jaeger;
mod kitex_jaeger;
mod kratos;
mod opentracing;
mod sw8;
#[cfg(test)]
mod tests;
mod text;
mod w3c;
mod xray;

use std::fmt;

use self::fields::{Carrier, Fields, Name};
pub use self::format::{Format, Formats};
use crate::protocol::Head;

/// What a request's head says of its trace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extraction {
    /// The context, where a valid one was there.
    pub context: Option<Context>,
    /// A decision about sampling that came without one, for the trace that begins here.
    pub sampled: Option<bool>,
    /// Formats whose fields were there but made no sense: ignored, for the caller to count.
    pub malformed: u32,
    /// Another format names another trace or span: the preferred one was taken.
    pub disagreeing: bool,
}

/// Reads the propagated context from a request's head, in one pass over its fields. What came nearer
/// is preferred, then the format that is named first.
///
/// To add a format: its file beside this one, its names in [`fields`], its variant of [`Format`], and
/// its lines in [`names`] and [`read`].
pub fn extract(head: &Head, formats: &Formats) -> Extraction {
    let mut found = Extraction::default();
    let fields = Fields::of(head);
    if fields.is_empty() {
        return found;
    }
    let mut nearest = Carrier::default();
    for format in formats.iter().filter(|format| fields.have(names(*format))) {
        match read(format, &fields) {
            Ok(None) => {}
            Ok(Some(Said::Sampled(sampled))) => _ = found.sampled.get_or_insert(sampled),
            Ok(Some(Said::Context(carrier, context))) => match &found.context {
                Some(_) if nearest < carrier => {}
                Some(first) if nearest == carrier => found.disagreeing |= !first.agrees(&context),
                _ => {
                    nearest = carrier;
                    found.context = Some(context);
                    found.disagreeing = false;
                }
            },
            Err(Malformed) => found.malformed += 1,
        }
    }
    if found.context.is_some() {
        found.sampled = None;
    }
    found
}

/// The names without which a format's fields say nothing: most messages have those of one format.
#[inline]
fn names(format: Format) -> u32 {
    use Name as N;
    match format {
        Format::W3c => N::Traceparent.bit(),
        Format::B3 => N::B3.bit(),
        Format::B3Multi => {
            N::B3TraceId.bit() | N::B3SpanId.bit() | N::B3Sampled.bit() | N::B3Flags.bit()
        }
        Format::Jaeger => N::UberTraceId.bit() | N::JaegerDebugId.bit(),
        Format::OpenTracing => N::OtTraceId.bit() | N::OtSpanId.bit() | N::OtSampled.bit(),
        Format::GoZero => N::GoZeroTraceId.bit(),
        Format::Kratos => N::KratosTraceId.bit(),
        Format::Xray => N::AmznTraceId.bit(),
        Format::Datadog => N::DatadogTraceId.bit() | N::DatadogParentId.bit(),
        Format::Sw8 => N::Sw8.bit(),
        Format::GrpcTraceBin => N::GrpcTraceBin.bit(),
        Format::KitexJaeger => N::JaegerSpanContext.bit(),
    }
}

#[inline]
fn read(format: Format, fields: &Fields<'_>) -> Reading {
    match format {
        Format::W3c => w3c::read(fields),
        Format::B3 => b3::read_single(fields),
        Format::B3Multi => b3::read_multi(fields),
        Format::Jaeger => jaeger::read(fields),
        Format::OpenTracing => opentracing::read(fields),
        Format::GoZero => gozero::read(fields),
        Format::Kratos => kratos::read(fields),
        Format::Xray => xray::read(fields),
        Format::Datadog => datadog::read(fields),
        Format::Sw8 => sw8::read(fields),
        Format::GrpcTraceBin => grpc_trace_bin::read(fields),
        Format::KitexJaeger => kitex_jaeger::read(fields),
    }
}

/// Reads from a response's head the span that its server made of the exchange: go-zero's
/// (`X-Trace-Id`, from 1.3.2 on `Traceparent`) and Kratos v1's (`kratos-trace-id`). Fields of these
/// names that are something else are none.
pub fn answer(head: &Head, formats: &Formats) -> Option<Answer> {
    let fields = Fields::of(head);
    if fields.is_empty() {
        return None;
    }
    let value = |name| fields.beside(Carrier::Direct, name).ok().flatten();
    formats.iter().find_map(|format| match format {
        Format::W3c => w3c::answer(value(Name::Traceparent)?),
        Format::GoZero => gozero::answer(value(Name::GoZeroTraceId)?),
        Format::Kratos => kratos::answer(value(Name::KratosTraceId)?),
        _ => None,
    })
}

/// What a format's fields say, if they are there.
type Reading = Result<Option<Said>, Malformed>;

/// What a format's fields say.
enum Said {
    /// A context, and how it came.
    Context(Carrier, Context),
    /// Whether to record the trace that begins here, and no more.
    Sampled(bool),
}

/// A format's fields are there and make no sense: none of them is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// What a request says of its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace_id: TraceId,
    /// The sender's span: our parent. None: the trace begins with the receiver.
    pub span_id: Option<SpanId>,
    /// The id that the receiver takes for its own span, where the format gives it one.
    pub receiver: Option<SpanId>,
    /// Whether the sender records; None: the receiver is to decide.
    pub sampled: Option<bool>,
    /// W3C `tracestate`, as sent; empty = none.
    pub trace_state: String,
    /// What it was read from.
    pub format: Format,
    /// The ids as sent, where they are not the digits of ours.
    pub sent: Option<Box<SentIds>>,
}

impl Context {
    fn new(
        format: Format,
        trace_id: TraceId,
        span_id: Option<SpanId>,
        sampled: Option<bool>,
    ) -> Context {
        Context {
            trace_id,
            span_id,
            receiver: None,
            sampled,
            trace_state: String::new(),
            format,
            sent: None,
        }
    }

    /// The trace's id was written so.
    fn keep_trace_text(&mut self, text: &[u8]) {
        if text::hex(text) != Some(self.trace_id.0) {
            self.sent.get_or_insert_default().trace_id = as_text(text);
        }
    }

    /// The span's id was written so.
    fn keep_span_text(&mut self, text: &[u8]) {
        if self.span_id.is_none() || text::hex(text) != self.span_id.map(|id| id.0) {
            self.sent.get_or_insert_default().span_id = as_text(text);
        }
    }

    /// Whether both may be the same context. Some formats carry half of a trace's id, or no span.
    fn agrees(&self, other: &Context) -> bool {
        let [one, two] = [self, other].map(|context| u128::from_be_bytes(context.trace_id.0));
        let is_half = |id: u128| id >> 64 == 0;
        let same_trace = one == two || (is_half(one) || is_half(two)) && one as u64 == two as u64;
        let spans = self.span_id.zip(other.span_id);
        same_trace && spans.is_none_or(|(one, two)| one == two)
    }
}

fn as_text(text: &[u8]) -> Option<String> {
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Ids as a sender wrote them; each None where it is the hexadecimal form of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentIds {
    /// The trace's.
    pub trace_id: Option<String>,
    /// The span's.
    pub span_id: Option<String>,
}

/// What a response says of the span that its server made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id, in the trace of whatever tracing the server has inside: not ours.
    pub span_id: Option<SpanId>,
    /// The id that it has in our numbering of its calls, as [`Context::receiver`].
    pub receiver: Option<SpanId>,
    /// What it was read from.
    pub format: Format,
}

impl Answer {
    fn new(format: Format, trace_id: TraceId, span_id: Option<SpanId>) -> Answer {
        Answer {
            trace_id,
            span_id,
            receiver: None,
            format,
        }
    }
}

/// 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

impl TraceId {
    fn new(bytes: [u8; 16]) -> Option<TraceId> {
        (bytes != [0; 16]).then_some(TraceId(bytes))
    }

    fn from_u128(id: u128) -> Option<TraceId> {
        TraceId::new(id.to_be_bytes())
    }

    /// Of up to 32 digits.
    fn of_digits(digits: &[u8]) -> Option<TraceId> {
        TraceId::from_u128(text::hex_number(digits, 32)?)
    }

    /// Of all digits, or those of the low half.
    fn of_16_or_32_digits(digits: &[u8]) -> Option<TraceId> {
        if digits.len() == 16 {
            return TraceId::from_u128(u64::from_be_bytes(text::hex(digits)?).into());
        }
        TraceId::new(text::hex(digits)?)
    }
}

/// 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

impl SpanId {
    fn new(bytes: [u8; 8]) -> Option<SpanId> {
        (bytes != [0; 8]).then_some(SpanId(bytes))
    }

    /// Of up to 16 digits.
    fn of_digits(digits: &[u8]) -> Option<SpanId> {
        let id = u64::try_from(text::hex_number(digits, 16)?).ok()?;
        SpanId::new(id.to_be_bytes())
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
