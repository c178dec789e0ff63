//! Kitex with OpenTracing (kitex-contrib/tracer-opentracing `middleware.go`): the metainfo
//! `JAEGERSPANCONTEXT`, base64 of Jaeger's binary form (jaeger-client-go `propagation.go`): high and
//! low half of the trace's id, span, parent, flags, then so many pairs of baggage, big-endian.
//!
//! Baggage is walked over, so that a text that breaks off is told from a whole one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fields::{Fields, Name};
use super::jaeger::SAMPLED;
use super::{Context, Format, Malformed, Reading, Said, SpanId, TraceId};

/// Most pairs of baggage, as Jaeger's clients have it.
const MOST_BAGGAGE: u32 = 180;

/// The one field.
pub(super) fn read(fields: &Fields<'_>) -> Reading {
    let Some((carrier, value)) = fields.nearest(Name::JaegerSpanContext)? else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(value).map_err(|_| Malformed)?;
    let (trace, span, flags) = ids(&bytes).ok_or(Malformed)?;
    let sampled = Some(flags & SAMPLED != 0);
    let context = Context::new(Format::KitexJaeger, trace, Some(span), sampled);
    Ok(Some(Said::Context(carrier, context)))
}

fn ids(bytes: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (trace, rest) = bytes.split_first_chunk()?;
    let (span, rest) = rest.split_first_chunk()?;
    let (_parent, rest) = rest.split_first_chunk::<8>()?;
    let (flags, rest) = rest.split_first()?;
    let (pairs, mut rest) = rest.split_first_chunk()?;
    let pairs = u32::from_be_bytes(*pairs);
    if pairs > MOST_BAGGAGE {
        return None;
    }
    // A key and a value each.
    for _ in 0..2 * pairs {
        let (length, behind) = rest.split_first_chunk()?;
        rest = behind.get(u32::from_be_bytes(*length) as usize..)?;
    }
    let whole = rest.is_empty();
    whole.then_some((TraceId::new(*trace)?, SpanId::new(*span)?, *flags))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{malformed, said};
    use super::*;

    fn binary(baggage: &[(&str, &str)], flags: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(0x4bf9_2f35_77b3_4da6_u64.to_be_bytes());
        bytes.extend(0xa3ce_929d_0e0e_4736_u64.to_be_bytes());
        bytes.extend(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
        bytes.extend(7_u64.to_be_bytes());
        bytes.push(flags);
        bytes.extend((baggage.len() as u32).to_be_bytes());
        for (key, value) in baggage {
            for text in [key, value] {
                bytes.extend((text.len() as u32).to_be_bytes());
                bytes.extend(text.bytes());
            }
        }
        bytes
    }

    const EXPECTED: &str = "kitex-jaeger 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7";

    #[test]
    fn as_metainfo_over_http_2() {
        for (baggage, flags, sampled) in [
            (&[][..], 1, 1),
            (&[], 0, 0),
            (&[("user", "x"), ("", "")], 3, 1),
        ] {
            let value = STANDARD.encode(binary(baggage, flags));
            let fields = [("rpc-transit-jaegerspancontext", value.as_str())];
            assert_eq!(said(&fields), format!("{EXPECTED} {sampled}"));
        }
    }

    #[test]
    fn what_is_none() {
        let whole = binary(&[("user", "x")], 1);
        for end in 0..whole.len() {
            let value = STANDARD.encode(&whole[..end]);
            malformed(&[("rpc-transit-jaegerspancontext", &value)]);
        }
        let more = [&whole[..], b"1"].concat();
        malformed(&[("rpc-transit-jaegerspancontext", &STANDARD.encode(more))]);
        let mut many = binary(&[], 1);
        many.splice(33.., u32::MAX.to_be_bytes());
        malformed(&[("rpc-transit-jaegerspancontext", &STANDARD.encode(many))]);
        let zero = [&[0; 16][..], &binary(&[], 1)[16..]].concat();
        malformed(&[("rpc-transit-jaegerspancontext", &STANDARD.encode(zero))]);
    }
}
