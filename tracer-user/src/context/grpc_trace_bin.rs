//! OpenCensus: `grpc-trace-bin`, base64 of fields that are a number and bytes each (opencensus-specs
//! `encodings/BinaryEncoding.md`, version 0): 0 trace id, 1 span id, 2 options.
//!
//! gRPC lets a sender leave out base64's padding. A field of an unknown number ends the reading, as
//! the specification has it; bias: behind the three, since before them it is damage.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::fields::{Fields, Name};
use super::{Context, Format, Malformed, Reading, Said, SpanId, TraceId};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Longest one that is read, bytes: those of today have 29; the rest is for fields to come.
const LONGEST: usize = 128;

/// The one field.
pub(super) fn read(fields: &Fields<'_>) -> Reading {
    let Some((carrier, value)) = fields.nearest(Name::GrpcTraceBin)? else {
        return Ok(None);
    };
    let mut bytes = [0; LONGEST];
    let length = BASE64.decode_slice(value, &mut bytes);
    let bytes = &bytes[..length.map_err(|_| Malformed)?];
    let Some((0, mut rest)) = bytes.split_first().map(|(version, rest)| (*version, rest)) else {
        return Err(Malformed);
    };
    let (mut trace, mut span, mut options) = (None, None, None);
    while let Some((number, behind)) = rest.split_first() {
        rest = match number {
            0 => field(behind, &mut trace)?,
            1 => field(behind, &mut span)?,
            2 => field::<1>(behind, &mut options)?,
            _ if options.is_some() => break,
            _ => return Err(Malformed),
        };
    }
    let trace_id = trace.and_then(TraceId::new).ok_or(Malformed)?;
    let span_id = span.and_then(SpanId::new).ok_or(Malformed)?;
    let sampled = options.is_some_and(|[options]| options & 1 == 1);
    let context = Context::new(Format::GrpcTraceBin, trace_id, Some(span_id), Some(sampled));
    Ok(Some(Said::Context(carrier, context)))
}

/// Takes a field's bytes, once; what is behind them.
fn field<'a, const N: usize>(
    bytes: &'a [u8],
    slot: &mut Option<[u8; N]>,
) -> Result<&'a [u8], Malformed> {
    let (value, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
    match slot.replace(*value) {
        None => Ok(rest),
        Some(_) => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{malformed, said};
    use super::*;

    /// The specification's example.
    const EXAMPLE: [u8; 29] = [
        0, 0, 75, 249, 47, 53, 119, 179, 77, 166, 163, 206, 146, 157, 0, 14, 71, 54, 1, 52, 240,
        103, 170, 11, 169, 2, 183, 2, 1,
    ];

    fn binary(bytes: &[u8]) -> String {
        BASE64.encode(bytes)
    }

    #[test]
    fn the_example_of_the_specification() {
        let value = binary(&EXAMPLE);
        let expected = "grpc-trace-bin 4bf92f3577b34da6a3ce929d000e4736 34f067aa0ba902b7 1";
        assert_eq!(said(&[("grpc-trace-bin", &value)]), expected);
        assert_eq!(
            said(&[("grpc-trace-bin", value.trim_end_matches('='))]),
            expected
        );
        let unsampled = [&EXAMPLE[..28], &[0]].concat();
        for bytes in [&unsampled[..], &EXAMPLE[..27]] {
            assert!(said(&[("grpc-trace-bin", &binary(bytes))]).ends_with(" 0"));
        }
        let turned = [&[0][..], &EXAMPLE[27..], &EXAMPLE[18..27], &EXAMPLE[1..18]].concat();
        assert_eq!(said(&[("grpc-trace-bin", &binary(&turned))]), expected);
        let more = [&EXAMPLE[..], &[3, 1, 2, 3]].concat();
        assert_eq!(said(&[("grpc-trace-bin", &binary(&more))]), expected);
    }

    #[test]
    fn what_is_none() {
        for end in (0..27).chain([28]) {
            malformed(&[("grpc-trace-bin", &binary(&EXAMPLE[..end]))]);
        }
        let mut other = EXAMPLE;
        other[0] = 1;
        malformed(&[("grpc-trace-bin", &binary(&other))]);
        let twice = [&EXAMPLE[..], &EXAMPLE[18..27]].concat();
        malformed(&[("grpc-trace-bin", &binary(&twice))]);
        let zero = [&[0; 18][..], &EXAMPLE[18..]].concat();
        malformed(&[("grpc-trace-bin", &binary(&zero))]);
        malformed(&[("grpc-trace-bin", "not base64!")]);
        malformed(&[("grpc-trace-bin", &"A".repeat(400))]);
    }
}
