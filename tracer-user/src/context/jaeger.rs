//! Jaeger's own: `uber-trace-id: {trace id}:{span id}:{parent span id}:{flags}` (jaegertracing.io,
//! "Client Libraries", "Propagation Format"; jaeger-client-go `propagation.go`).
//!
//! The colons may be percent-encoded, as its clients do in HTTP headers. `jaeger-debug-id` alone asks
//! for a new trace to be kept. `uberctx-*` and `jaeger-baggage` are baggage, which names no span, and
//! are left alone.

use super::fields::{Fields, Name};
use super::text::{hex, hex_number};
use super::{Context, Format, Malformed, Reading, Said, SpanId, TraceId};

/// Bit of the flags.
pub(super) const SAMPLED: u8 = 1;

/// Both fields.
pub(super) fn read(fields: &Fields<'_>) -> Reading {
    let Some((carrier, value)) = fields.nearest(Name::UberTraceId)? else {
        let debug = fields.nearest(Name::JaegerDebugId)?;
        return Ok(debug.map(|_| Said::Sampled(true)));
    };
    let mut rest = Some(value);
    let mut part = || {
        let (part, behind) = split(rest?);
        rest = behind;
        Some(part)
    };
    let (Some(trace), Some(span), Some(parent), Some(flags)) = (part(), part(), part(), part())
    else {
        return Err(Malformed);
    };
    let fits = rest.is_none() && hex_number(parent, 16).is_some();
    let ids = TraceId::of_digits(trace).zip(SpanId::of_digits(span));
    let (Some((trace_id, span_id)), Some(flags), true) = (ids, flags_of(flags), fits) else {
        return Err(Malformed);
    };
    let sampled = Some(flags & SAMPLED != 0);
    let mut context = Context::new(Format::Jaeger, trace_id, Some(span_id), sampled);
    context.keep_trace_text(trace);
    context.keep_span_text(span);
    Ok(Some(Said::Context(carrier, context)))
}

/// One byte, one or two digits.
pub(super) fn flags_of(digits: &[u8]) -> Option<u8> {
    match digits {
        [digit] => hex(&[b'0', *digit]).map(|[flags]| flags),
        _ => hex(digits).map(|[flags]| flags),
    }
}

/// The first part, and what is behind its colon.
fn split(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    for (at, byte) in value.iter().enumerate() {
        let colon = match (byte, &value[at..]) {
            (b':', _) => 1,
            (b'%', [_, b'3', b'A' | b'a', ..]) => 3,
            _ => continue,
        };
        return (&value[..at], Some(&value[at + colon..]));
    }
    (value, None)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{malformed, read, said};

    fn jaeger(value: &str) -> String {
        said(&[("Uber-Trace-Id", value)])
    }

    /// As jaeger-client-go, its older versions, Java's and OpenTelemetry's propagator write it.
    #[test]
    fn all_its_writers() {
        for value in [
            "4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:1",
            "4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0000000000000000:3",
            "4bf92f3577b34da6a3ce929d0e0e4736%3A00f067aa0ba902b7%3A0%3A1",
            "4bf92f3577b34da6a3ce929d0e0e4736%3af067aa0ba902b7%3a0%3a01",
        ] {
            let span = if value.contains("00f067") {
                ""
            } else {
                " span=f067aa0ba902b7"
            };
            assert_eq!(
                jaeger(value),
                format!("jaeger 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 1{span}")
            );
        }
        assert_eq!(
            jaeger("abc:d:e:0"),
            "jaeger 00000000000000000000000000000abc 000000000000000d 0 trace=abc span=d"
        );
        assert_eq!(
            jaeger("7d3efb1b173fecfa:7d3efb1b173fecfa:0:d"),
            "jaeger 00000000000000007d3efb1b173fecfa 7d3efb1b173fecfa 1 trace=7d3efb1b173fecfa"
        );
    }

    #[test]
    fn what_is_none() {
        for value in [
            "",
            "1:2:3",
            "1:2:3:",
            "1:2::1",
            ":2:3:1",
            "1::3:1",
            "0:2:3:1",
            "1:0:3:1",
            "1:2:3:1:5",
            "1:2:3:100",
            "1:2:3:g",
            "1:2:3:+1",
            "1:2:x:1",
            "1:20000000000000002:3:1",
            "4bf92f3577b34da6a3ce929d0e0e47361:2:3:1",
            "4BF92F3577B34DA6A3CE929D0E0E4736:2:3:1",
            "1%3B2%3B3%3B1",
            "1%2:2:3:1",
        ] {
            malformed(&[("uber-trace-id", value)]);
        }
    }

    #[test]
    fn a_debug_id_asks_for_a_new_trace_to_be_kept() {
        let found = read(&[("jaeger-debug-id", "my-case"), ("uberctx-user", "x")]);
        assert_eq!((found.context, found.sampled), (None, Some(true)));
    }
}
