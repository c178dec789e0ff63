//! B3, as Zipkin's libraries and many proxies send it (openzipkin/b3-propagation): one field `b3`, or
//! `x-b3-*`, one per value.
//!
//! A client and its server may share a span in B3; here the id that came is always the parent's, as
//! every OpenTelemetry library has it. Without ids, a decision about sampling may come alone. Bias:
//! ids have all their digits, in lower case, as the specification says.

use super::fields::{Carrier, Fields, Name};
use super::text::hex;
use super::{Context, Format, Malformed, Reading, Said, SpanId, TraceId};

/// `{trace id}-{span id}[-{sampling}[-{parent span id}]]`, or `{sampling}` alone.
pub(super) fn read_single(fields: &Fields<'_>) -> Reading {
    let Some((carrier, value)) = fields.nearest(Name::B3)? else {
        return Ok(None);
    };
    let mut parts = value.split(|&byte| byte == b'-');
    let first = parts.next().unwrap_or_default();
    if first.len() == value.len() && first.len() == 1 {
        return Ok(Some(Said::Sampled(state(first)?)));
    }
    let span = parts.next().ok_or(Malformed)?;
    let sampled = parts.next().map(state).transpose()?;
    if let Some(parent) = parts.next() {
        hex::<8>(parent).ok_or(Malformed)?;
    }
    if parts.next().is_some() {
        return Err(Malformed);
    }
    context(Format::B3, carrier, first, span, sampled)
}

/// `x-b3-traceid`, `-spanid`, `-parentspanid`, `-sampled`, `-flags`.
pub(super) fn read_multi(fields: &Fields<'_>) -> Reading {
    // What came nearest of any of them says how they came.
    let names = [
        Name::B3TraceId,
        Name::B3SpanId,
        Name::B3Sampled,
        Name::B3Flags,
    ];
    let mut nearest = None;
    for name in names {
        let carrier = fields.nearest(name)?.map(|(carrier, _)| carrier);
        nearest = [nearest, carrier].into_iter().flatten().min();
    }
    let Some(carrier) = nearest else {
        return Ok(None);
    };
    let value = |name| fields.beside(carrier, name);
    let sampled = match (value(Name::B3Flags)?, value(Name::B3Sampled)?) {
        // Debug; whatever else the flags are means nothing.
        (Some(b"1"), _) => Some(true),
        (_, Some(sampled)) => Some(word(sampled)?),
        (_, None) => None,
    };
    if let Some(parent) = value(Name::B3ParentSpanId)? {
        hex::<8>(parent).ok_or(Malformed)?;
    }
    match (value(Name::B3TraceId)?, value(Name::B3SpanId)?) {
        (Some(trace), Some(span)) => context(Format::B3Multi, carrier, trace, span, sampled),
        (None, None) => Ok(sampled.map(Said::Sampled)),
        _ => Err(Malformed),
    }
}

fn context(
    format: Format,
    carrier: Carrier,
    trace: &[u8],
    span: &[u8],
    sampled: Option<bool>,
) -> Reading {
    let trace_id = TraceId::of_16_or_32_digits(trace).ok_or(Malformed)?;
    let span_id = hex(span).and_then(SpanId::new).ok_or(Malformed)?;
    let mut context = Context::new(format, trace_id, Some(span_id), sampled);
    context.keep_trace_text(trace);
    Ok(Some(Said::Context(carrier, context)))
}

/// One character; `d` asks for the trace to be kept in any case.
fn state(value: &[u8]) -> Result<bool, Malformed> {
    match value {
        b"1" | b"d" => Ok(true),
        b"0" => Ok(false),
        _ => Err(Malformed),
    }
}

/// As before the specification, too.
fn word(value: &[u8]) -> Result<bool, Malformed> {
    match value {
        b"1" => Ok(true),
        b"0" => Ok(false),
        _ if value.eq_ignore_ascii_case(b"true") => Ok(true),
        _ if value.eq_ignore_ascii_case(b"false") => Ok(false),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{malformed, read, said};

    /// The examples of the specification, and zipkin-go's, Brave's.
    #[test]
    fn one_field() {
        for (value, expected) in [
            (
                "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90",
                "b3 80f198ee56343ba864fe8b2a57d3eff7 e457b5a2e4d86bd1 1",
            ),
            (
                "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-d",
                "b3 80f198ee56343ba864fe8b2a57d3eff7 e457b5a2e4d86bd1 1",
            ),
            (
                "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0",
                "b3 80f198ee56343ba864fe8b2a57d3eff7 e457b5a2e4d86bd1 0",
            ),
            (
                "0000000000000001-0000000000000003",
                "b3 00000000000000000000000000000001 0000000000000003 ? trace=0000000000000001",
            ),
        ] {
            assert_eq!(said(&[("b3", value)]), expected);
        }
    }

    #[test]
    fn one_field_that_is_none() {
        for value in [
            "",
            "80f198ee56343ba864fe8b2a57d3eff7",
            "80f198ee56343ba864fe8b2a57d3eff7-",
            "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd",
            "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-",
            "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-2",
            "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-05e3ac9a4f6e3b90",
            "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-",
            "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90-1",
            "80f198ee56343ba864fe8b2a57d3eff7-0000000000000000-1",
            "00000000000000000000000000000000-e457b5a2e4d86bd1-1",
            "80F198EE56343BA864FE8B2A57D3EFF7-e457b5a2e4d86bd1-1",
            "80f198ee56343ba864fe8b2a57d3ef-e457b5a2e4d86bd1-1",
            "x",
            "10",
            "d-",
        ] {
            malformed(&[("b3", value)]);
        }
    }

    #[test]
    fn a_decision_alone() {
        for (fields, sampled) in [
            (&[("b3", "0")][..], false),
            (&[("b3", "1")], true),
            (&[("b3", "d")], true),
            (&[("X-B3-Sampled", "0")], false),
            (&[("X-B3-Flags", "1")], true),
        ] {
            let found = read(fields);
            assert_eq!((found.context, found.sampled), (None, Some(sampled)));
        }
        // None beside ids: there is a context.
        let found = read(&[
            ("b3", "0"),
            (
                "traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ),
        ]);
        assert_eq!(
            (found.context.unwrap().sampled, found.sampled),
            (Some(true), None)
        );
    }

    #[test]
    fn one_field_each() {
        let trace = ("X-B3-TraceId", "463ac35c9f6413ad48485a3953bb6124");
        let span = ("X-B3-SpanId", "a2fb4a1d1a96d312");
        let parent = ("X-B3-ParentSpanId", "0020000000000001");
        let ids = "b3multi 463ac35c9f6413ad48485a3953bb6124 a2fb4a1d1a96d312";
        assert_eq!(said(&[trace, span]), format!("{ids} ?"));
        for (name, value, sampled) in [
            ("X-B3-Sampled", "1", '1'),
            ("X-B3-Sampled", "0", '0'),
            ("X-B3-Sampled", "true", '1'),
            ("X-B3-Sampled", "False", '0'),
            ("X-B3-Flags", "1", '1'),
            ("X-B3-Flags", "0", '?'),
        ] {
            let fields = [parent, span, trace, (name, value)];
            assert_eq!(said(&fields), format!("{ids} {sampled}"));
        }
        let short = ("x-b3-traceid", "48485a3953bb6124");
        assert_eq!(
            said(&[short, span]),
            "b3multi 000000000000000048485a3953bb6124 a2fb4a1d1a96d312 ? trace=48485a3953bb6124"
        );
        for fields in [
            &[trace][..],
            &[span],
            &[trace, span, ("X-B3-Sampled", "")],
            &[trace, span, ("X-B3-Sampled", "yes")],
            &[trace, span, ("X-B3-ParentSpanId", "-")],
            &[trace, trace, span],
            &[trace, ("X-B3-SpanId", "a2fb4a1d1a96d31")],
            &[("X-B3-TraceId", "463ac35c9f6413ad48485a3953bb612"), span],
        ] {
            malformed(fields);
        }
    }
}
