//! Counts the spans of an OTLP request without decoding it: steps from field to field of the
//! protobuf wire format. Knows two field numbers of each of two messages and nothing else of OTLP.

/// `ExportTraceServiceRequest.resource_spans`
const RESOURCE_SPANS: u64 = 1;
/// `ResourceSpans.scope_spans`
const SCOPE_SPANS: u64 = 2;
/// `ScopeSpans.spans`
const SPANS: u64 = 2;

/// Spans in an `ExportTraceServiceRequest`; none if it is not well formed.
pub fn count_spans(request: &[u8]) -> Option<u64> {
    let mut spans = 0;
    for resource in fields(request, RESOURCE_SPANS) {
        for scope in fields(resource?, SCOPE_SPANS) {
            for span in fields(scope?, SPANS) {
                span?;
                spans += 1;
            }
        }
    }
    Some(spans)
}

/// The length-delimited fields of that number, in order; ends with `None` where the message is not
/// well formed.
fn fields(message: &[u8], wanted: u64) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            match field(&mut rest) {
                Some((number, Some(payload))) if number == wanted => return Some(Some(payload)),
                Some(_) => {}
                None => {
                    rest = &[];
                    return Some(None);
                }
            }
        }
        None
    })
}

/// Takes one field off the front: its number, and its payload if it is length-delimited.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let tag = varint(rest)?;
    let payload = match tag & 7 {
        0 => {
            varint(rest)?;
            None
        }
        1 => {
            rest.split_off(..8)?;
            None
        }
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Some(rest.split_off(..length)?)
        }
        5 => {
            rest.split_off(..4)?;
            None
        }
        _ => return None,
    };
    Some((tag >> 3, payload))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message;

    use super::count_spans;

    fn request(scopes: &[&[usize]]) -> Vec<u8> {
        let span = |number: usize| Span {
            name: "x".repeat(number * 50),
            start_time_unix_nano: number as u64,
            kind: 2,
            ..Span::default()
        };
        let scope = |&count: &usize| ScopeSpans {
            spans: (0..count).map(span).collect(),
            schema_url: "https://example.org/schema".into(),
            ..ScopeSpans::default()
        };
        let resource_spans = scopes
            .iter()
            .map(|counts| ResourceSpans {
                scope_spans: counts.iter().map(scope).collect(),
                ..ResourceSpans::default()
            })
            .collect();
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    #[test]
    fn every_span_of_every_scope_counts() {
        assert_eq!(count_spans(&request(&[])), Some(0));
        assert_eq!(count_spans(&request(&[&[]])), Some(0));
        assert_eq!(count_spans(&request(&[&[3, 0, 4], &[5]])), Some(12));
        assert_eq!(count_spans(&request(&[&[512]])), Some(512));
    }

    #[test]
    fn what_is_cut_off_is_not_counted() {
        let whole = request(&[&[2]]);
        for length in 1..whole.len() {
            assert_eq!(count_spans(&whole[..length]), None, "{length}");
        }
        assert_eq!(count_spans(&[0xff; 20]), None);
        assert_eq!(count_spans(b"{\"resourceSpans\":[]}"), None);
    }
}
