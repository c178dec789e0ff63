//! AWS X-Ray: `X-Amzn-Trace-Id: Root=1-{8 digits}-{24 digits};Parent={16 digits};Sampled={0|1|?}`
//! (X-Ray developer guide, "Tracing header"; Elastic Load Balancing, "Request tracing").
//!
//! A load balancer sends the root alone: the trace then begins with whoever receives it. What else
//! stands in it (`Self`, `Lineage`, fields of an application's own) is passed over.

use super::fields::{Fields, Name};
use super::text::hex;
use super::{Context, Format, Malformed, Reading, Said, SpanId, TraceId};

/// The one field.
pub(super) fn read(fields: &Fields<'_>) -> Reading {
    let Some((carrier, value)) = fields.nearest(Name::AmznTraceId)? else {
        return Ok(None);
    };
    let (mut root, mut parent, mut sampled) = (None, None, None);
    for part in value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii) {
        if part.is_empty() {
            continue;
        }
        let equals = part
            .iter()
            .position(|&byte| byte == b'=')
            .ok_or(Malformed)?;
        let (key, value) = (&part[..equals], &part[equals + 1..]);
        let slot = match key {
            b"Root" => &mut root,
            b"Parent" => &mut parent,
            b"Sampled" => &mut sampled,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(Malformed);
        }
    }
    let root = root.ok_or(Malformed)?;
    let sampled = match sampled {
        Some(b"1") => Some(true),
        Some(b"0") => Some(false),
        // The receiver is asked to decide.
        Some(b"?") | None => None,
        Some(_) => return Err(Malformed),
    };
    let span_id = match parent {
        Some(parent) => Some(hex(parent).and_then(SpanId::new).ok_or(Malformed)?),
        None => None,
    };
    let trace_id = trace(root).ok_or(Malformed)?;
    let mut context = Context::new(Format::Xray, trace_id, span_id, sampled);
    context.keep_trace_text(root);
    Ok(Some(Said::Context(carrier, context)))
}

fn trace(root: &[u8]) -> Option<TraceId> {
    let rest = root.strip_prefix(b"1-")?;
    let (time, id) = rest.split_at_checked(8)?;
    let [time, id] = [
        hex::<4>(time)?.to_vec(),
        hex::<12>(id.strip_prefix(b"-")?)?.to_vec(),
    ];
    TraceId::new([time, id].concat().try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{malformed, said};

    const TRACE: &str = "5759e988bd862e3fe1be46a994272793";

    fn xray(value: &str) -> String {
        said(&[("X-Amzn-Trace-Id", value)])
    }

    /// The guides' examples, and what the SDKs write.
    #[test]
    fn all_its_writers() {
        let trace = "trace=1-5759e988-bd862e3fe1be46a994272793";
        for (value, expected) in [
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
                "53995c3f42cd8ad8 1",
            ),
            (
                "Parent=53995c3f42cd8ad8; Sampled=0; Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a:1|b:2",
                "53995c3f42cd8ad8 0",
            ),
            ("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=?", "- ?"),
            (
                "Self=1-67891234-12456789abcdef012345678a;Root=1-5759e988-bd862e3fe1be46a994272793;CalledFrom=app",
                "- ?",
            ),
        ] {
            assert_eq!(xray(value), format!("xray {TRACE} {expected} {trace}"));
        }
    }

    #[test]
    fn what_is_none() {
        for value in [
            "",
            "1-5759e988-bd862e3fe1be46a994272793",
            "Parent=53995c3f42cd8ad8;Sampled=1",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988bd862e3fe1be46a994272793",
            "Root=1-5759e98-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a99427279",
            "Root=1-5759e988-bd862e3fe1be46a9942727931",
            "Root=1-00000000-000000000000000000000000",
            "Root=1-5759E988-BD862E3FE1BE46A994272793",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0000000000000000",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=yes",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Root=1-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a994272793;what",
        ] {
            malformed(&[("x-amzn-trace-id", value)]);
        }
    }
}
