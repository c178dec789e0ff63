//! Datadog: `x-datadog-trace-id` and `-parent-id`, decimal numbers of 64 bits; the high half of a
//! trace's id in `x-datadog-tags` as `_dd.p.tid`; `-sampling-priority` above 0 = sampled (dd-trace-go
//! `ddtrace/tracer/textmap.go`).
//!
//! A parent of 0 is one that reports no span, as Datadog's own probes of a website are. Bias: a bad
//! `_dd.p.tid` makes the context malformed, since half an id would be another trace's.

use super::fields::{Fields, Name};
use super::text::{decimal, hex};
use super::{Context, Format, Malformed, Reading, Said, SpanId, TraceId};

/// The four fields.
pub(super) fn read(fields: &Fields<'_>) -> Reading {
    let Some((carrier, trace)) = fields.nearest(Name::DatadogTraceId)? else {
        return match fields.nearest(Name::DatadogParentId)? {
            None => Ok(None),
            Some(_) => Err(Malformed),
        };
    };
    let value = |name| fields.beside(carrier, name);
    let parent = value(Name::DatadogParentId)?.ok_or(Malformed)?;
    let sampled = match value(Name::DatadogPriority)? {
        Some(priority) => Some(is_kept(priority).ok_or(Malformed)?),
        None => None,
    };
    let high = match value(Name::DatadogTags)? {
        Some(tags) => high_half(tags)?,
        None => 0,
    };
    let low = decimal(trace).ok_or(Malformed)?;
    let id = u128::from(high) << 64 | u128::from(low);
    let trace_id = TraceId::from_u128(id).ok_or(Malformed)?;
    let span_id = SpanId::new(decimal(parent).ok_or(Malformed)?.to_be_bytes());
    let mut context = Context::new(Format::Datadog, trace_id, span_id, sampled);
    context.keep_trace_text(trace);
    context.keep_span_text(parent);
    Ok(Some(Said::Context(carrier, context)))
}

/// A whole number: -1 and 0 drop the trace, 1 and 2 keep it.
fn is_kept(priority: &[u8]) -> Option<bool> {
    match priority.strip_prefix(b"-") {
        Some(digits) => decimal(digits).map(|_| false),
        None => decimal(priority).map(|priority| priority > 0),
    }
}

/// Of `key=value` pairs behind commas.
fn high_half(tags: &[u8]) -> Result<u64, Malformed> {
    let mut high = None;
    for tag in tags.split(|&byte| byte == b',') {
        let Some(digits) = tag.trim_ascii().strip_prefix(b"_dd.p.tid=") else {
            continue;
        };
        let half = hex(digits).map(u64::from_be_bytes).ok_or(Malformed)?;
        if high.replace(half).is_some() {
            return Err(Malformed);
        }
    }
    Ok(high.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{malformed, said};

    const TRACE: (&str, &str) = ("x-datadog-trace-id", "1234567890123456789");
    const PARENT: (&str, &str) = ("x-datadog-parent-id", "987654321");

    /// 1234567890123456789 = 0x112210f47de98115, 987654321 = 0x3ade68b1.
    #[test]
    fn as_its_libraries_write_it() {
        let ids = |high: &str| format!("datadog {high}112210f47de98115 000000003ade68b1");
        let texts = "trace=1234567890123456789 span=987654321";
        let zero = "0000000000000000";
        assert_eq!(said(&[TRACE, PARENT]), format!("{} ? {texts}", ids(zero)));
        for (priority, sampled) in [("-1", '0'), ("0", '0'), ("1", '1'), ("2", '1')] {
            let fields = [TRACE, PARENT, ("x-datadog-sampling-priority", priority)];
            assert_eq!(said(&fields), format!("{} {sampled} {texts}", ids(zero)));
        }
        let tags = (
            "x-datadog-tags",
            "_dd.p.dm=-1,_dd.p.tid=640cfd8d00000000,_dd.p.ts=02",
        );
        assert_eq!(
            said(&[tags, PARENT, TRACE]),
            format!("{} ? {texts}", ids("640cfd8d00000000"))
        );
        assert_eq!(
            said(&[TRACE, ("x-datadog-parent-id", "0")]),
            "datadog 0000000000000000112210f47de98115 - ? trace=1234567890123456789 span=0"
        );
        assert_eq!(
            said(&[
                ("x-datadog-trace-id", "18446744073709551615"),
                ("x-datadog-parent-id", "18446744073709551615")
            ]),
            "datadog 0000000000000000ffffffffffffffff ffffffffffffffff ? \
             trace=18446744073709551615 span=18446744073709551615"
        );
    }

    #[test]
    fn what_is_none() {
        for fields in [
            &[TRACE][..],
            &[PARENT],
            &[("x-datadog-trace-id", "0"), PARENT],
            &[("x-datadog-trace-id", "18446744073709551616"), PARENT],
            &[("x-datadog-trace-id", "112210f47de98115"), PARENT],
            &[TRACE, ("x-datadog-parent-id", "")],
            &[TRACE, PARENT, ("x-datadog-sampling-priority", "high")],
            &[TRACE, PARENT, ("x-datadog-sampling-priority", "-")],
            &[
                TRACE,
                PARENT,
                ("x-datadog-tags", "_dd.p.tid=640cfd8d0000000"),
            ],
            &[
                TRACE,
                PARENT,
                ("x-datadog-tags", "_dd.p.tid=640CFD8D00000000"),
            ],
            &[
                TRACE,
                PARENT,
                (
                    "x-datadog-tags",
                    "_dd.p.tid=640cfd8d00000000,_dd.p.tid=640cfd8d00000001",
                ),
            ],
        ] {
            malformed(fields);
        }
        assert_eq!(said(&[("x-datadog-sampling-priority", "1")]), "");
    }
}
