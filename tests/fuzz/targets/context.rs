//! Propagated contexts: any fields of any names, in a request and in an answer.
//!
//! The input is fields: a byte that says which name, one that says how it comes, a length and a value.

#![no_main]

use fuzz::context::{Formats, answer, extract};
use fuzz::protocol::Head;
use fuzz::protocol::http::{self, Version};
use fuzz::protocol::rpc::{self, Key, Transport};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 25] = [
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "uber-trace-id",
    "jaeger-debug-id",
    "ot-tracer-traceid",
    "ot-tracer-spanid",
    "ot-tracer-sampled",
    "x-trace-id",
    "x-span-id",
    "kratos-trace-id",
    "x-amzn-trace-id",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "sw8",
    "grpc-trace-bin",
    "jaegerspancontext",
    "user-agent",
];

fuzz_target!(|input: &[u8]| {
    let mut request = http::Head::request(b"GET", b"/", Version::Http2);
    let mut response = http::Head::response(200, Version::Http2);
    let mut keys = Vec::new();
    let mut rest = input;
    while let [name, carrier, length, behind @ ..] = rest {
        let (value, behind) = behind.split_at((*length as usize).min(behind.len()));
        rest = behind;
        let name = NAMES[*name as usize % NAMES.len()];
        let (header, key) = match carrier % 4 {
            1 => ("rpc-transit-", "RPC_TRANSIT_"),
            2 => ("rpc-persist-", "RPC_PERSIST_"),
            _ => ("", ""),
        };
        let header = [header, name].concat();
        request.push(header.as_bytes(), value);
        response.push(header.as_bytes(), value);
        let key = [key, name].concat().into_bytes();
        keys.push((Key::Text(key), value.to_vec()));
    }
    let formats = Formats::default();
    let call = rpc::Head {
        transport: Transport::Ttheader,
        codec: None,
        kind: rpc::Kind::Call,
        seq_id: 0,
        method: Vec::new(),
        fields: keys,
        failure: None,
    };
    let found = extract(&Head::Http(Box::new(request)), &formats);
    let of_keys = extract(&Head::Rpc(Box::new(call)), &formats);
    assert_eq!(found, of_keys, "the same fields say the same");
    if let Some(context) = found.context {
        assert_ne!(context.trace_id.0, [0; 16]);
        assert!(context.span_id.is_none_or(|id| id.0 != [0; 8]));
        assert_eq!(found.sampled, None, "the context's own counts");
    }
    if let Some(answer) = answer(&Head::Http(Box::new(response)), &formats) {
        assert_ne!(answer.trace_id.0, [0; 16]);
    }
});
