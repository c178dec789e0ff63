//! SkyWalking: `sw8`, eight parts behind hyphens (SkyWalking Cross Process Propagation Headers
//! Protocol v3): sampled, trace, segment, span, service, instance, endpoint, address; texts in base64.
//!
//! A trace's id is 32 hexadecimal digits or a UUID where the agent is Python's, Node's or Rust's: then
//! it is ours, too; else it is a text, and ours is its hash. A span is a number within a segment:
//! ours is the hash of both (`{segment}-{span}`), which is also what is shown of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fields::{Fields, Name};
use super::text::{decimal, hex};
use super::{Context, Format, Malformed, Reading, Said, TraceId, hash};

/// Longest id of a trace or segment, bytes: the longest that an agent makes (a UUID, a thread's
/// number and a time) are below 80, and a gateway may put a name before it.
const LONGEST: usize = 256;

/// The one field.
pub(super) fn read(fields: &Fields<'_>) -> Reading {
    let Some((carrier, value)) = fields.nearest(Name::Sw8)? else {
        return Ok(None);
    };
    let mut parts = value.split(|&byte| byte == b'-');
    let mut part = || parts.next().ok_or(Malformed);
    let sampled = match part()? {
        b"1" => true,
        b"0" => false,
        _ => return Err(Malformed),
    };
    let (trace, segment, span) = (text(part()?)?, text(part()?)?, part()?);
    let index = decimal(span).ok_or(Malformed)?;
    if index > i32::MAX as u64 || trace.is_empty() || segment.is_empty() {
        return Err(Malformed);
    }
    for _ in 0..4 {
        if !is_base64(part()?) {
            return Err(Malformed);
        }
    }
    if parts.next().is_some() {
        return Err(Malformed);
    }
    let span = format!("{segment}-{index}");
    let trace_id = direct(trace.as_bytes()).or_else(|| hash::trace_id(&trace));
    let trace_id = trace_id.ok_or(Malformed)?;
    let span_id = hash::span_id(&span).ok_or(Malformed)?;
    let mut context = Context::new(Format::Sw8, trace_id, Some(span_id), Some(sampled));
    context.keep_trace_text(trace.as_bytes());
    context.keep_span_text(span.as_bytes());
    Ok(Some(Said::Context(carrier, context)))
}

fn text(part: &[u8]) -> Result<String, Malformed> {
    if part.len() > LONGEST.div_ceil(3) * 4 {
        return Err(Malformed);
    }
    let bytes = STANDARD.decode(part).map_err(|_| Malformed)?;
    String::from_utf8(bytes).map_err(|_| Malformed)
}

/// Whether it could be decoded; what it says is of no interest.
fn is_base64(part: &[u8]) -> bool {
    let digits = part
        .strip_suffix(b"==")
        .or(part.strip_suffix(b"="))
        .unwrap_or(part);
    let digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    part.len().is_multiple_of(4) && digits.iter().all(digit)
}

/// 32 digits, or a UUID.
fn direct(trace: &[u8]) -> Option<TraceId> {
    let mut digits = [0; 32];
    match trace.len() {
        32 => digits.copy_from_slice(trace),
        36 => {
            let mut at = 0;
            for (place, &byte) in trace.iter().enumerate() {
                match (place, byte) {
                    (8 | 13 | 18 | 23, b'-') => {}
                    (8 | 13 | 18 | 23, _) => return None,
                    _ => {
                        digits[at] = byte;
                        at += 1;
                    }
                }
            }
        }
        _ => return None,
    }
    digits.make_ascii_lowercase();
    TraceId::new(hex(&digits)?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{malformed, said};
    use super::*;

    fn header(sampled: &str, trace: &str, segment: &str, span: &str) -> String {
        let text = |text: &str| STANDARD.encode(text);
        let (trace, segment) = (text(trace), text(segment));
        let rest = ["shop", "shop@10.0.0.1", "/buy", "10.0.0.2:80"].map(text);
        format!("{sampled}-{trace}-{segment}-{span}-{}", rest.join("-"))
    }

    /// skywalking-go's own test; the ids are those of `sha256sum`.
    #[test]
    fn ids_that_are_texts_are_hashed() {
        let value = "1-MTU1NjQ2ZjI3NDg2NDExZWRhYzAxYWNkZTQ4MDAxMTIyLjU1LjE2NjI0NTA0MTQ2MDUwMDAx-\
            MTU1NjQ2ZjI3NDg2NDExZWRhYzAxYWNkZTQ4MDAxMTIyLjU1LjE2NjI0NTA0MTQ2MDUwMDAw-3-\
            c2VydmljZQ==-aW5zdGFuY2U=-L2FwcC8=-MTI3LjAuMC4xOjg4ODg=";
        let trace = "155646f27486411edac01acde48001122.55.16624504146050001";
        let segment = "155646f27486411edac01acde48001122.55.16624504146050000";
        assert_eq!(
            said(&[("sw8", value)]),
            format!(
                "sw8 {} {} 1 trace={trace} span={segment}-3",
                hash::trace_id(trace).unwrap(),
                hash::span_id(&format!("{segment}-3")).unwrap()
            )
        );
        assert_eq!(
            hash::trace_id("a4ec6fc8.74.16").unwrap().to_string(),
            "f2291668ec1ca2eb653372a6f205b591"
        );
    }

    #[test]
    fn ids_that_are_numbers_are_taken_as_they_are() {
        let span = hash::span_id("s-0").unwrap();
        for trace in [
            "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
            "4BF92F3577B34DA6A3CE929D0E0E4736",
        ] {
            assert_eq!(
                said(&[("sw8", &header("0", trace, "s", "0"))]),
                format!("sw8 4bf92f3577b34da6a3ce929d0e0e4736 {span} 0 trace={trace} span=s-0")
            );
        }
        assert_eq!(
            said(&[(
                "sw8",
                &header("1", "4bf92f3577b34da6a3ce929d0e0e4736", "s", "0")
            )]),
            format!("sw8 4bf92f3577b34da6a3ce929d0e0e4736 {span} 1 span=s-0")
        );
        // Like one, and none.
        let odd = header("1", "4bf92f35-77b3-4da6-a3ce-929d0e0e473g", "s", "0");
        assert!(said(&[("sw8", &odd)]).contains("trace=4bf92f35-77b3-4da6-a3ce-929d0e0e473g"));
    }

    #[test]
    fn what_is_none() {
        let good = header("1", "t", "s", "0");
        assert!(!said(&[("sw8", &good)]).is_empty());
        for bad in [
            String::new(),
            header("2", "t", "s", "0"),
            header("1", "", "s", "0"),
            header("1", "t", "", "0"),
            header("1", "t", "s", "x"),
            header("1", "t", "s", ""),
            header("1", "t", "s", "2147483648"),
            header("1", &"t".repeat(LONGEST + 3), "s", "0"),
            good.replacen("dA==", "dA=", 1),
            good.replacen("dA==", "d!==", 1),
            good.replacen("dA==", "/w==", 1),
            good.replace("L2J1eQ==", "L2J1eQ="),
            good.rsplit_once('-').unwrap().0.to_owned(),
            format!("{good}-YQ=="),
        ] {
            malformed(&[("sw8", &bad)]);
        }
    }
}
