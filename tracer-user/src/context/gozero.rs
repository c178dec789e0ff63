//! go-zero up to 1.2.1: `X-Trace-ID`, 16 digits, and `X-Span-ID`, a path such as `0.1.2`
//! (zeromicro/go-zero v1.2.1 `core/trace/span.go`). Later versions send W3C's.
//!
//! The path names the call: the second one that was made while serving the first one of `0`. Client
//! and server are one span there, and the server takes the path over as its own. So a server's span
//! gets the path's id, and what it calls has that for its parent, whoever sees it: ids are the hash of
//! `{trace}-{path}`. Servers answer with `X-Trace-ID`; those of 1.2.2 to 1.3.1 with 32 digits.
//!
//! Others use these two names as well. What looks like go-zero's in neither is nobody's fault.

use super::fields::{Fields, Name};
use super::text::hex;
use super::{Answer, Context, Format, Malformed, Reading, Said, SpanId, TraceId, hash};

/// Longest path that is read, bytes: calls a hundred deep.
const LONGEST_PATH: usize = 256;

/// Most digits of a part: a request does not make a billion calls.
const MOST_DIGITS: usize = 9;

/// The path of a server that was called without one.
const ROOT: &str = "0";

/// Both fields.
pub(super) fn read(fields: &Fields<'_>) -> Reading {
    let Some((carrier, trace)) = fields.nearest(Name::GoZeroTraceId)? else {
        return Ok(None);
    };
    // Alone it is the field of many others, and never go-zero's.
    let Some(path) = fields.beside(carrier, Name::GoZeroSpanId)? else {
        return Ok(None);
    };
    let (trace_id, path) = match (TraceId::of_16_or_32_digits(trace), checked(path)) {
        (Some(trace_id), Some(path)) => (trace_id, path),
        (None, Some(_)) => return Err(Malformed),
        (Some(_), None) if trace.len() == 16 => return Err(Malformed),
        _ => return Ok(None),
    };
    let parent = match path.rsplit_once('.') {
        Some((parent, _)) => Some(span(trace, parent).ok_or(Malformed)?),
        None => None,
    };
    let mut context = Context::new(Format::GoZero, trace_id, parent, None);
    context.receiver = Some(span(trace, path).ok_or(Malformed)?);
    context.keep_trace_text(trace);
    context.keep_span_text(path.as_bytes());
    Ok(Some(Said::Context(carrier, context)))
}

/// `X-Trace-ID` of an answer.
pub(super) fn answer(trace: &[u8]) -> Option<Answer> {
    let trace_id = TraceId::of_16_or_32_digits(trace)?;
    let mut answer = Answer::new(Format::GoZero, trace_id, None);
    if hex::<8>(trace).is_some() {
        answer.receiver = span(trace, ROOT);
    }
    Some(answer)
}

/// Numbers between dots.
fn checked(path: &[u8]) -> Option<&str> {
    let is_number = |part: &[u8]| match part {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < MOST_DIGITS && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let fits = path.len() <= LONGEST_PATH && path.split(|&byte| byte == b'.').all(is_number);
    fits.then(|| std::str::from_utf8(path).ok()).flatten()
}

fn span(trace: &[u8], path: &str) -> Option<SpanId> {
    let trace = std::str::from_utf8(trace).ok()?;
    hash::span_id(&format!("{trace}-{path}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answered, malformed, read, said};
    use super::*;

    const TRACE: (&str, &str) = ("X-Trace-ID", "9b5f0f7d2c0e4a11");

    fn with_path(path: &str) -> String {
        said(&[TRACE, ("X-Span-ID", path)])
    }

    fn id(path: &str) -> SpanId {
        span(TRACE.1.as_bytes(), path).unwrap()
    }

    #[test]
    fn the_parent_is_the_path_without_its_last_part() {
        let begin = "go-zero 00000000000000009b5f0f7d2c0e4a11";
        for (path, parent) in [("0.1", "0"), ("0.1.2", "0.1"), ("0.12.345", "0.12")] {
            let parent = id(parent);
            assert_eq!(
                with_path(path),
                format!("{begin} {parent} ? trace=9b5f0f7d2c0e4a11 span={path}")
            );
        }
        assert_eq!(
            with_path("0"),
            format!("{begin} - ? trace=9b5f0f7d2c0e4a11 span=0")
        );
        assert_ne!(id("0.1"), id("0.2"));
        assert_ne!(Some(id("0.1")), span(b"9b5f0f7d2c0e4a12", "0.1"));
        // printf %s 9b5f0f7d2c0e4a11-0.1 | sha256sum | cut -c 1-16
        assert_eq!(id("0.1").to_string(), "55baff6d0844cc4f");
    }

    #[test]
    fn the_server_takes_the_path_for_its_own() {
        let context = read(&[TRACE, ("X-Span-ID", "0.1.2")]).context.unwrap();
        assert_eq!(context.receiver, Some(id("0.1.2")));
        assert_eq!(context.span_id, Some(id("0.1")));
    }

    #[test]
    fn what_is_none() {
        let deep = "0.1".repeat(LONGEST_PATH);
        for path in [
            "",
            ".",
            "0.",
            ".1",
            "0..1",
            "0.01",
            "0.x",
            "0.-1",
            "0.1234567890",
            &deep,
        ] {
            malformed(&[TRACE, ("X-Span-ID", path)]);
        }
        for trace in [
            "",
            "9b5f0f7d2c0e4a1",
            "9B5F0F7D2C0E4A11",
            "0000000000000000",
            "my-trace",
        ] {
            malformed(&[("X-Trace-ID", trace), ("X-Span-ID", "0.1")]);
        }
    }

    #[test]
    fn what_is_not_its_own() {
        for fields in [
            &[TRACE][..],
            &[("X-Span-ID", "0.1")],
            &[("X-Trace-Id", "my-trace"), ("X-Span-Id", "my-span")],
            &[
                ("X-Trace-Id", "4bf92f3577b34da6a3ce929d0e0e4736"),
                ("X-Span-Id", "00f067aa0ba902b7"),
            ],
        ] {
            assert_eq!(read(fields), Default::default());
        }
    }

    #[test]
    fn an_answer_names_the_trace() {
        assert_eq!(
            answered(&[("X-Trace-Id", "4bf92f3577b34da6a3ce929d0e0e4736")]),
            "go-zero 4bf92f3577b34da6a3ce929d0e0e4736 -"
        );
        assert_eq!(
            answered(&[("X-Trace-ID", "9b5f0f7d2c0e4a11")]),
            format!(
                "go-zero 00000000000000009b5f0f7d2c0e4a11 - receiver={}",
                id("0")
            )
        );
        for other in ["", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "00", "x"] {
            assert_eq!(answered(&[("X-Trace-Id", other)]), "");
        }
    }
}
