//! Kratos v1: `kratos-trace-id: {trace id}:{span id}:{parent span id}:{flags}`, numbers of 64 bits
//! without leading zeros, more parts may follow (go-kratos v1.0.1 `pkg/net/trace/context.go`). Its
//! servers answer with the same field, of their own span.

use super::fields::{Fields, Name};
use super::jaeger::{SAMPLED, flags_of};
use super::text::hex_number;
use super::{Answer, Context, Format, Malformed, Reading, Said, SpanId, TraceId};

/// Of a request: the caller's span.
pub(super) fn read(fields: &Fields<'_>) -> Reading {
    let Some((carrier, value)) = fields.nearest(Name::KratosTraceId)? else {
        return Ok(None);
    };
    let [trace, span, flags] = parts(value).ok_or(Malformed)?;
    let (trace_id, span_id) = ids(trace, span).ok_or(Malformed)?;
    let sampled = Some(flags_of(flags).ok_or(Malformed)? & SAMPLED != 0);
    let mut context = Context::new(Format::Kratos, trace_id, Some(span_id), sampled);
    context.keep_trace_text(trace);
    context.keep_span_text(span);
    Ok(Some(Said::Context(carrier, context)))
}

/// Of an answer: the server's own span.
pub(super) fn answer(value: &[u8]) -> Option<Answer> {
    let [trace, span, flags] = parts(value)?;
    flags_of(flags)?;
    let (trace_id, span_id) = ids(trace, span)?;
    Some(Answer::new(Format::Kratos, trace_id, Some(span_id)))
}

/// Trace, span, flags.
fn parts(value: &[u8]) -> Option<[&[u8]; 3]> {
    let mut parts = value.split(|&byte| byte == b':');
    let (trace, span, parent) = (parts.next()?, parts.next()?, parts.next()?);
    hex_number(parent, 16)?;
    Some([trace, span, parts.next()?])
}

fn ids(trace: &[u8], span: &[u8]) -> Option<(TraceId, SpanId)> {
    let trace = TraceId::from_u128(hex_number(trace, 16)?)?;
    Some((trace, SpanId::of_digits(span)?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answered, malformed, said};

    #[test]
    fn as_its_tests_write_it() {
        for (value, expected) in [
            (
                "67c0bfe2cbb3dd4:1f2d3e:67c0bfe2cbb3dd4:1",
                "kratos 0000000000000000067c0bfe2cbb3dd4 00000000001f2d3e 1 trace=67c0bfe2cbb3dd4 span=1f2d3e",
            ),
            (
                "a:b:0:0",
                "kratos 0000000000000000000000000000000a 000000000000000b 0 trace=a span=b",
            ),
            (
                "a:b:0:3:s-3f800000",
                "kratos 0000000000000000000000000000000a 000000000000000b 1 trace=a span=b",
            ),
        ] {
            assert_eq!(said(&[("Kratos-Trace-Id", value)]), expected);
        }
        for value in [
            "", "a:b:c", "a:b::1", "0:b:0:1", "a:0:0:1", "a:b:0:", "a:b:0:x", "A:b:0:1",
        ] {
            malformed(&[("kratos-trace-id", value)]);
        }
        malformed(&[("kratos-trace-id", "100000000000000001:b:0:1")]);
    }

    #[test]
    fn an_answer_names_the_servers_span() {
        assert_eq!(
            answered(&[("kratos-trace-id", "67c0bfe2cbb3dd4:1f2d3e:0:1")]),
            "kratos 0000000000000000067c0bfe2cbb3dd4 00000000001f2d3e"
        );
        assert_eq!(answered(&[("kratos-trace-id", "67c0bfe2cbb3dd4")]), "");
    }
}
