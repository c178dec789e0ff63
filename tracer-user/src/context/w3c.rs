//! W3C Trace Context (Recommendation, level 1; level 2's flags): `traceparent` and `tracestate`.
//!
//! Leaves out `baggage`, which names no span. Bias: as strict as the specification about
//! `traceparent`, since a wrong parent is worse than none; a bad `tracestate` is dropped alone, as
//! section 3.3.1.5 of it says.

use super::fields::{Fields, Name};
use super::text::hex;
use super::{Answer, Context, Format, Malformed, Reading, Said, SpanId, TraceId};

/// Length of a version 00 `traceparent`: `00-` 32 `-` 16 `-` 2.
const LENGTH: usize = 55;

/// Most list members of a `tracestate` (section 3.3.1.1). A sender of more is in error and its list
/// is discarded whole.
const MOST_MEMBERS: usize = 32;

/// Most bytes of a `tracestate` that are passed on. The specification asks for at least 512; ten
/// times that covers what is in use, and a head's size bounds it anyway.
const MOST_STATE: usize = 5120;

/// Section 3.2 and 3.3.
pub(super) fn read(fields: &Fields<'_>) -> Reading {
    let Some((carrier, value)) = fields.nearest(Name::Traceparent)? else {
        return Ok(None);
    };
    let (trace_id, span_id, flags) = traceparent(value).ok_or(Malformed)?;
    let states = fields.all(carrier, Name::Tracestate);
    let context = Context {
        trace_state: tracestate(states).unwrap_or_default(),
        ..Context::new(Format::W3c, trace_id, Some(span_id), Some(flags & 1 == 1))
    };
    Ok(Some(Said::Context(carrier, context)))
}

/// A `traceparent` in an answer: the server's own span, as go-zero's servers give it from 1.3.2 on.
pub(super) fn answer(value: &[u8]) -> Option<Answer> {
    let (trace_id, span_id, _) = traceparent(value)?;
    Some(Answer::new(Format::W3c, trace_id, Some(span_id)))
}

/// Section 3.2. A higher version is read as far as this one goes (section 3.2.4 "versioning").
fn traceparent(value: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (known, more) = value.split_at_checked(LENGTH)?;
    let [version] = hex::<1>(&known[..2])?;
    let fits = match version {
        0x00 => more.is_empty(),
        0xff => false,
        _ => more.is_empty() || more[0] == b'-',
    };
    if !fits || known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
        return None;
    }
    let trace_id = TraceId::new(hex(&known[3..35])?)?;
    let span_id = SpanId::new(hex(&known[36..52])?)?;
    let [flags] = hex(&known[53..])?;
    Some((trace_id, span_id, flags))
}

/// Section 3.3: the list, members trimmed and empty ones left out. None: it is not to be used.
fn tracestate<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut list = String::new();
    let mut keys: Vec<&str> = Vec::new();
    for value in values {
        for member in std::str::from_utf8(value).ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            if keys.len() == MOST_MEMBERS || !is_key(key) || !is_value(value) || keys.contains(&key)
            {
                return None;
            }
            keys.push(key);
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(member);
        }
    }
    (list.len() <= MOST_STATE).then_some(list)
}

/// `simple-key` or `tenant@system` (section 3.3.1.3.1); level 2 lets both begin with a digit.
fn is_key(key: &str) -> bool {
    let part = |part: &str, most: usize| {
        (1..=most).contains(&part.len())
            && part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    match key.split_once('@') {
        None => part(key, 256),
        Some((tenant, system)) => part(tenant, 241) && part(system, 14),
    }
}

/// 1 to 256 printable characters without `,` and `=` (section 3.3.1.3.2).
fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value
            .bytes()
            .all(|b| matches!(b, 0x20..=0x2b | 0x2d..=0x3c | 0x3e..=0x7e))
}

#[cfg(test)]
mod tests {
    use super::super::Extraction;
    use super::super::tests::{answered, read_bytes as read, read_keys};
    use super::*;

    const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn sender(found: &Extraction) -> String {
        let context = found.context.as_ref().expect("a context");
        let span = context.span_id.expect("a span");
        format!("{span} {}", context.trace_state)
    }

    fn parent(value: &[u8]) -> Option<Context> {
        let found = read(&[("traceparent", value)]);
        assert_eq!(found.malformed, u32::from(found.context.is_none()));
        found.context
    }

    fn state(values: &[&str]) -> String {
        let mut fields: Vec<(&str, &[u8])> = vec![("traceparent", PARENT)];
        fields.extend(values.iter().map(|v| ("tracestate", v.as_bytes())));
        read(&fields)
            .context
            .expect("traceparent stands")
            .trace_state
    }

    #[test]
    fn reads_the_example_of_the_specification() {
        let context = parent(PARENT).expect("valid");
        assert_eq!(
            context.trace_id.to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(context.span_id.unwrap().to_string(), "00f067aa0ba902b7");
        assert_eq!((context.sampled, context.sent), (Some(true), None));
        assert_eq!(context.format, Format::W3c);
    }

    #[test]
    fn without_the_field_there_is_no_context_and_no_fault() {
        assert_eq!(read(&[("host", b"a")]), Extraction::default());
        assert_eq!(read(&[("tracestate", b"a=1")]), Extraction::default());
    }

    #[test]
    fn only_bit_0_of_the_flags_means_sampled() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let value = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            assert_eq!(
                parent(value.as_bytes()).expect("valid").sampled,
                Some(sampled)
            );
        }
    }

    #[test]
    fn name_and_surrounding_space_do_not_matter() {
        let found = read(&[(
            "TraceParent",
            b" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\t",
        )]);
        assert!(found.context.is_some());
    }

    #[test]
    fn malformed_is_ignored_whole() {
        for value in [
            &b""[..],
            b"00",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
            b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
        ] {
            assert_eq!(parent(value), None, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_higher_version_is_read_as_far_as_known() {
        for value in [
            &b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"[..],
            b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings",
        ] {
            assert!(parent(value).is_some(), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn two_traceparents_are_malformed() {
        let found = read(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert_eq!((found.context, found.malformed), (None, 1));
    }

    #[test]
    fn tracestate_fields_are_one_list() {
        assert_eq!(state(&["foo=1,bar=2"]), "foo=1,bar=2");
        assert_eq!(
            state(&["foo=1 ,\tbar=2", "", " , ", "t@s=x y"]),
            "foo=1,bar=2,t@s=x y"
        );
        assert_eq!(state(&[]), "");
    }

    #[test]
    fn a_bad_tracestate_is_dropped_alone() {
        let many: Vec<String> = (0..33).map(|i| format!("k{i}=v")).collect();
        for bad in [
            "foo",
            "=1",
            "foo=",
            "Foo=1",
            "foo=1,foo=2",
            "foo=a=b",
            "foo@=1",
            "@foo=1",
            "f o=1",
            "foo=\u{fc}",
            many.join(",").as_str(),
        ] {
            assert_eq!(state(&[bad]), "", "{bad}");
        }
        assert_eq!(state(&[&many[..32].join(",")]), many[..32].join(","));
    }

    /// As [`PARENT`], from another span.
    const OTHER: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01";

    #[test]
    fn kitex_metainfo_carries_it_over_ttheader() {
        for key in [
            "RPC_TRANSIT_traceparent",
            "RPC_TRANSIT_TRACEPARENT",
            "RPC_PERSIST_traceparent",
            "traceparent",
        ] {
            let found = read_keys(&[("isn", b"Echo"), (key, PARENT)]);
            assert_eq!(sender(&found), "00f067aa0ba902b7 ", "{key}");
        }
        let found = read_keys(&[
            ("RPC_TRANSIT_tracestate", b"a=1"),
            ("RPC_PERSIST_tracestate", b"b=2"),
            ("RPC_TRANSIT_traceparent", PARENT),
        ]);
        assert_eq!(sender(&found), "00f067aa0ba902b7 a=1");
        let backward = read_keys(&[("RPC_BACKWARD_traceparent", PARENT), ("RPC_TRANSIT_", b"")]);
        assert_eq!(backward, Extraction::default());
    }

    #[test]
    fn kitex_metainfo_carries_it_over_grpc() {
        let found = read(&[
            ("rpc-transit-traceparent", PARENT),
            ("rpc-transit-tracestate", b"a=1"),
        ]);
        assert_eq!(sender(&found), "00f067aa0ba902b7 a=1");
        assert_eq!(
            sender(&read(&[("rpc-persist-traceparent", PARENT)])),
            "00f067aa0ba902b7 "
        );
    }

    #[test]
    fn what_came_nearer_wins() {
        let direct: (&str, &[u8]) = ("traceparent", PARENT);
        let transit: (&str, &[u8]) = ("rpc-transit-traceparent", OTHER);
        let persist: (&str, &[u8]) = ("rpc-persist-traceparent", b"00-nonsense-01");
        for fields in [
            [direct, transit, persist],
            [persist, transit, direct],
            [transit, direct, persist],
        ] {
            assert_eq!(sender(&read(&fields)), "00f067aa0ba902b7 ");
        }
        assert_eq!(sender(&read(&[persist, transit])), "1111111111111111 ");
        // One that makes no sense is not replaced by one that came further.
        let found = read(&[("traceparent", b"00-nonsense-01"), transit]);
        assert_eq!((found.context, found.malformed), (None, 1));
        let twice = read(&[transit, transit, direct]);
        assert_eq!(
            sender(&twice),
            "00f067aa0ba902b7 ",
            "only what counts may not be repeated"
        );
        assert_eq!(read(&[transit, transit]).malformed, 1);
    }

    #[test]
    fn an_answer_names_the_servers_span() {
        let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert_eq!(
            answered(&[("Traceparent", value)]),
            "w3c 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7"
        );
        assert_eq!(answered(&[("Traceparent", &value[1..])]), "");
    }
}
