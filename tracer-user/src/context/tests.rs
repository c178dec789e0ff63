//! What the formats' tests have in common, and how formats go together.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::protocol::http::{self, Version};
use crate::protocol::rpc::{self, Codec, Key, Transport};

/// What an HTTP request with these fields says.
pub(super) fn read_bytes(fields: &[(&str, &[u8])]) -> Extraction {
    extract(&request(fields), &Formats::default())
}

/// The same.
pub(super) fn read(fields: &[(&str, &str)]) -> Extraction {
    ordered(fields, "")
}

/// The same of formats by name, the preferred first; all without.
fn ordered(fields: &[(&str, &str)], names: &str) -> Extraction {
    let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
    let formats = match names {
        "" => Formats::default(),
        names => Formats::named(names).0,
    };
    extract(&request(&fields), &formats)
}

/// The same of the text keys of a TTHeader.
pub(super) fn read_keys(fields: &[(&str, &[u8])]) -> Extraction {
    let fields = fields
        .iter()
        .map(|(key, value)| (Key::Text(key.as_bytes().to_vec()), value.to_vec()))
        .collect();
    let head = rpc::Head {
        transport: Transport::Ttheader,
        codec: Some(Codec::Binary),
        kind: rpc::Kind::Call,
        seq_id: 1,
        method: b"echo".to_vec(),
        fields,
        failure: None,
    };
    extract(&Head::Rpc(Box::new(head)), &Formats::default())
}

fn request(fields: &[(&str, &[u8])]) -> Head {
    let mut head = http::Head::request(b"GET", b"/", Version::Http11);
    for (name, value) in fields {
        head.push(name.as_bytes(), value);
    }
    Head::Http(Box::new(head))
}

/// The context that they carry, in a line: format, trace, span, sampled, and the ids as sent.
pub(super) fn said(fields: &[(&str, &str)]) -> String {
    let found = read(fields);
    assert_eq!(found.malformed, 0, "{fields:?}");
    in_a_line(found.context.as_ref())
}

fn in_a_line(context: Option<&Context>) -> String {
    let Some(context) = context else {
        return String::new();
    };
    let mut line = format!("{} {} ", context.format.as_str(), context.trace_id);
    match context.span_id {
        Some(span) => _ = write!(line, "{span} "),
        None => line.push_str("- "),
    }
    line.push(match context.sampled {
        Some(true) => '1',
        Some(false) => '0',
        None => '?',
    });
    if let Some(sent) = &context.sent {
        for (what, id) in [("trace", &sent.trace_id), ("span", &sent.span_id)] {
            if let Some(id) = id {
                _ = write!(line, " {what}={id}");
            }
        }
    }
    line
}

/// They are one format's, and none of it is used.
pub(super) fn malformed(fields: &[(&str, &str)]) {
    let found = read(fields);
    assert_eq!((found.context, found.sampled), (None, None), "{fields:?}");
    assert_eq!(found.malformed, 1, "{fields:?}");
}

/// What an answer with these fields says, in a line: format, trace, span.
pub(super) fn answered(fields: &[(&str, &str)]) -> String {
    let mut head = http::Head::response(200, Version::Http11);
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes());
    }
    let Some(answer) = answer(&Head::Http(Box::new(head)), &Formats::default()) else {
        return String::new();
    };
    let mut line = format!("{} {} ", answer.format.as_str(), answer.trace_id);
    match answer.span_id {
        Some(span) => _ = write!(line, "{span}"),
        None => line.push('-'),
    }
    if let Some(receiver) = answer.receiver {
        _ = write!(line, " receiver={receiver}");
    }
    line
}

const W3C: (&str, &str) = (
    "traceparent",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
);
const B3: (&str, &str) = ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1");
const JAEGER: (&str, &str) = ("uber-trace-id", "abc:d:0:1");

fn format_of(found: &Extraction) -> &'static str {
    let context = found.context.as_ref();
    context.map_or("", |context| context.format.as_str())
}

#[test]
fn w3c_wins_unless_ordered_otherwise() {
    for (names, expected) in [
        ("", "w3c"),
        ("b3,tracecontext", "b3"),
        ("tracecontext,b3", "w3c"),
        ("jaeger,baggage", "jaeger"),
        ("datadog", ""),
        ("none", ""),
    ] {
        for fields in [[W3C, B3, JAEGER], [JAEGER, B3, W3C]] {
            assert_eq!(format_of(&ordered(&fields, names)), expected, "{names}");
        }
    }
}

#[test]
fn a_malformed_one_leaves_the_place_to_the_next() {
    let found = read(&[("traceparent", "00-x-01"), B3]);
    assert_eq!((format_of(&found), found.malformed), ("b3", 1));
    let found = ordered(&[("traceparent", "00-x-01"), B3], "b3");
    assert_eq!(found.malformed, 0, "nobody asked");
}

#[test]
fn formats_that_name_different_spans_disagree() {
    let disagreeing = |fields: &[(&str, &str)]| read(fields).disagreeing;
    assert!(!disagreeing(&[W3C]));
    assert!(disagreeing(&[W3C, B3]));
    assert!(disagreeing(&[B3, JAEGER]));
    assert!(!read(&[W3C, ("b3", "x")]).disagreeing);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (span, differs) in [("00f067aa0ba902b7", false), ("00f067aa0ba902b8", true)] {
        let same = format!("{trace}-{span}-1");
        assert_eq!(disagreeing(&[W3C, ("b3", &same)]), differs);
        // Half of the trace's id.
        let half = format!("{}-{span}-1", &trace[16..]);
        assert_eq!(disagreeing(&[W3C, ("b3", &half)]), differs);
    }
    let load_balancers = (
        "x-amzn-trace-id",
        "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736",
    );
    assert!(!disagreeing(&[W3C, load_balancers]), "it names no span");
}

#[test]
fn what_came_nearer_wins_over_the_preferred_format() {
    let forwarded = ("rpc-transit-traceparent", W3C.1);
    for fields in [[forwarded, B3], [B3, forwarded]] {
        let found = read(&fields);
        assert_eq!((format_of(&found), found.disagreeing), ("b3", false));
    }
}

#[test]
fn a_formats_fields_come_one_way() {
    let found = read(&[
        ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"),
        ("rpc-transit-x-b3-spanid", "a2fb4a1d1a96d312"),
    ]);
    assert_eq!((found.context, found.malformed), (None, 1));
}

#[test]
fn kitex_metainfo_carries_every_format() {
    for (name, value) in [
        B3,
        JAEGER,
        ("sw8", "1-dA==-cw==-0-YQ==-YQ==-YQ==-YQ=="),
        ("kratos-trace-id", "a:b:0:1"),
    ] {
        let expected = read(&[(name, value)]).context;
        assert!(expected.is_some());
        let key = format!("RPC_TRANSIT_{}", name.to_ascii_uppercase());
        assert_eq!(read_keys(&[(&key, value.as_bytes())]).context, expected);
        let header = format!("rpc-persist-{name}");
        assert_eq!(read(&[(&header, value)]).context, expected);
    }
    let value = "S/kvNXezTaajzpKdDg5HNgDwZ6oLqQK3AAAAAAAAAAABAAAAAA==";
    let found = read_keys(&[("RPC_TRANSIT_JAEGERSPANCONTEXT", value.as_bytes())]);
    assert_eq!(
        in_a_line(found.context.as_ref()),
        "kitex-jaeger 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 1"
    );
}

/// A context in some format: its fields, and what they mean.
fn contexts() -> impl Strategy<Value = (Format, Vec<(String, String)>, TraceId, SpanId)> {
    let fixed = [
        Format::W3c,
        Format::B3,
        Format::B3Multi,
        Format::Xray,
        Format::GrpcTraceBin,
        Format::KitexJaeger,
    ];
    (0..fixed.len(), 1u128.., 1u64.., any::<bool>()).prop_map(move |(format, trace, span, on)| {
        let flag = u8::from(on);
        let field = |name: &str, value: String| (name.to_owned(), value);
        let fields = match fixed[format] {
            Format::W3c => vec![field(
                "traceparent",
                format!("00-{trace:032x}-{span:016x}-0{flag}"),
            )],
            Format::B3 => vec![field("b3", format!("{trace:032x}-{span:016x}-{flag}"))],
            Format::B3Multi => vec![
                field("x-b3-traceid", format!("{trace:032x}")),
                field("x-b3-spanid", format!("{span:016x}")),
                field("x-b3-sampled", flag.to_string()),
            ],
            Format::Xray => {
                let digits = format!("{trace:032x}");
                let (time, id) = digits.split_at(8);
                let value = format!("Root=1-{time}-{id};Parent={span:016x};Sampled={flag}");
                vec![field("x-amzn-trace-id", value)]
            }
            Format::GrpcTraceBin => {
                let (trace, span) = (trace.to_be_bytes(), span.to_be_bytes());
                let bytes = [&[0, 0][..], &trace, &[1], &span, &[2, flag]].concat();
                vec![field("grpc-trace-bin", base64(&bytes))]
            }
            _ => {
                let (trace, span) = (trace.to_be_bytes(), span.to_be_bytes());
                let bytes = [&trace[..], &span, &[0; 8], &[flag], &[0; 4]].concat();
                vec![field("jaegerspancontext", base64(&bytes))]
            }
        };
        (
            fixed[format],
            fields,
            TraceId(trace.to_be_bytes()),
            SpanId(span.to_be_bytes()),
        )
    })
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What can become of a value on its way.
#[derive(Clone, Debug)]
enum Mutation {
    Cut(usize),
    Insert(usize, u8),
    Remove(usize),
    Upper,
    Repeat,
}

fn mutations() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<usize>().prop_map(Mutation::Cut),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<usize>().prop_map(Mutation::Remove),
        Just(Mutation::Upper),
        Just(Mutation::Repeat),
    ]
}

fn mutate(value: &mut Vec<u8>, mutation: &Mutation) {
    let place = |at: usize, ends: usize| at % (value.len() + ends);
    match *mutation {
        Mutation::Cut(at) => value.truncate(place(at, 0)),
        Mutation::Insert(at, byte) => value.insert(place(at, 1), byte),
        Mutation::Remove(at) => _ = value.remove(place(at, 0)),
        Mutation::Upper => value.make_ascii_uppercase(),
        Mutation::Repeat => value.extend_from_within(..),
    }
}

proptest! {
    /// Ids of fixed length: a value that lost, won or changed the case of something gives the ids that
    /// were sent, or none.
    #[test]
    fn malformed_by_mutation_never_gives_a_wrong_id(
        (format, fields, trace, span) in contexts(),
        which in any::<usize>(),
        mutation in mutations(),
    ) {
        let whole: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        let found = read_bytes(&whole).context.expect("a context");
        prop_assert_eq!((found.format, found.trace_id, found.span_id), (format, trace, Some(span)));
        prop_assert_eq!(found.sent.is_some(), format == Format::Xray);

        let mut values: Vec<Vec<u8>> = whole.iter().map(|(_, v)| v.to_vec()).collect();
        let which = which % values.len();
        // Other letters of base64, and half of a B3 id, are another id: nothing shows it.
        let other = match mutation {
            Mutation::Upper => matches!(format, Format::GrpcTraceBin | Format::KitexJaeger),
            Mutation::Cut(at) => format == Format::B3Multi && at % values[which].len() == 16,
            _ => false,
        };
        prop_assume!(!other);
        mutate(&mut values[which], &mutation);
        let mutated: Vec<_> = whole.iter().zip(&values).map(|((n, _), v)| (*n, &v[..])).collect();
        let found = read_bytes(&mutated);
        if let Some(context) = found.context {
            prop_assert_eq!(context.trace_id, trace);
            prop_assert!(context.span_id.is_none_or(|id| id == span));
        } else {
            prop_assert!(found.malformed == 1 || found.sampled.is_some());
        }
    }

    /// Any bytes anywhere: no panic, and ids are never zero.
    #[test]
    fn anything_can_be_read(
        values in proptest::collection::vec((0..24usize, proptest::collection::vec(any::<u8>(), 0..80)), 0..30),
    ) {
        const NAMES: [&str; 24] = [
            "traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid",
            "x-b3-sampled", "x-b3-flags", "uber-trace-id", "jaeger-debug-id", "ot-tracer-traceid",
            "ot-tracer-spanid", "ot-tracer-sampled", "x-trace-id", "x-span-id", "kratos-trace-id",
            "x-amzn-trace-id", "x-datadog-trace-id", "x-datadog-parent-id",
            "x-datadog-sampling-priority", "x-datadog-tags", "sw8", "grpc-trace-bin",
            "rpc-transit-jaegerspancontext",
        ];
        let fields: Vec<_> = values.iter().map(|(name, v)| (NAMES[*name], &v[..])).collect();
        let found = read_bytes(&fields);
        if let Some(context) = found.context {
            prop_assert_ne!(context.trace_id, TraceId([0; 16]));
            prop_assert_ne!(context.span_id, Some(SpanId([0; 8])));
        }
    }
}
