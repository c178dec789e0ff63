//! OpenTracing's basic tracer: `ot-tracer-traceid`, `-spanid`, `-sampled` (basictracer-go
//! `propagation_ot.go`; OpenTelemetry's `ottrace`).
//!
//! The basic tracer writes numbers of 64 bits; OpenTelemetry's propagators write the low 64 bits of a
//! trace's id, or all. `ot-baggage-*` is left alone.

use super::fields::{Fields, Name};
use super::{Context, Format, Malformed, Reading, Said, SpanId, TraceId};

/// The three fields.
pub(super) fn read(fields: &Fields<'_>) -> Reading {
    let Some((carrier, trace)) = fields.nearest(Name::OtTraceId)? else {
        let others = [Name::OtSpanId, Name::OtSampled];
        let any = others.map(|name| fields.nearest(name));
        return match any {
            [Ok(None), Ok(None)] => Ok(None),
            _ => Err(Malformed),
        };
    };
    let span = fields.beside(carrier, Name::OtSpanId)?.ok_or(Malformed)?;
    let sampled = match fields.beside(carrier, Name::OtSampled)? {
        None => None,
        Some(b"1") => Some(true),
        Some(b"0") => Some(false),
        Some(word) if word.eq_ignore_ascii_case(b"true") => Some(true),
        Some(word) if word.eq_ignore_ascii_case(b"false") => Some(false),
        Some(_) => return Err(Malformed),
    };
    let trace_id = TraceId::of_digits(trace).ok_or(Malformed)?;
    let span_id = SpanId::of_digits(span).ok_or(Malformed)?;
    let mut context = Context::new(Format::OpenTracing, trace_id, Some(span_id), sampled);
    context.keep_trace_text(trace);
    context.keep_span_text(span);
    Ok(Some(Said::Context(carrier, context)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{malformed, said};

    /// As basictracer-go, and OpenTelemetry's propagators for Go and Java, write it.
    #[test]
    fn all_its_writers() {
        for (trace, span, sampled, expected) in [
            (
                "aafe5f1b173fecfa",
                "9",
                "true",
                "ot 0000000000000000aafe5f1b173fecfa 0000000000000009 1 trace=aafe5f1b173fecfa span=9",
            ),
            (
                "a3ce929d0e0e4736",
                "00f067aa0ba902b7",
                "false",
                "ot 0000000000000000a3ce929d0e0e4736 00f067aa0ba902b7 0 trace=a3ce929d0e0e4736",
            ),
            (
                "4bf92f3577b34da6a3ce929d0e0e4736",
                "00f067aa0ba902b7",
                "1",
                "ot 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 1",
            ),
        ] {
            let fields = [
                ("Ot-Tracer-Traceid", trace),
                ("Ot-Tracer-Spanid", span),
                ("Ot-Tracer-Sampled", sampled),
                ("ot-baggage-user", "x"),
            ];
            assert_eq!(said(&fields), expected);
        }
        let undecided = [("ot-tracer-traceid", "1"), ("ot-tracer-spanid", "2")];
        assert!(said(&undecided).contains("0000000000000002 ?"));
    }

    #[test]
    fn what_is_none() {
        let trace = ("ot-tracer-traceid", "1f");
        let span = ("ot-tracer-spanid", "2f");
        for fields in [
            &[trace][..],
            &[span],
            &[("ot-tracer-sampled", "true")],
            &[trace, span, ("ot-tracer-sampled", "yes")],
            &[trace, span, ("ot-tracer-sampled", "")],
            &[trace, ("ot-tracer-spanid", "0")],
            &[("ot-tracer-traceid", "0"), span],
            &[("ot-tracer-traceid", "0x1"), span],
            &[trace, ("ot-tracer-spanid", "00f067aa0ba902b70")],
            &[trace, span, span],
        ] {
            malformed(fields);
        }
    }
}
