//! Spans for tests, spelled out.

pub(crate) mod rpc;

use std::sync::Arc;

use proptest::prelude::{Just, Strategy, prop, prop_compose, prop_oneof};

use crate::context::{Format, SpanId, TraceId};
use crate::event::Addresses;
use crate::protocol::http::{Head, Version};
use crate::protocol::{Incomplete, Sizes};
use crate::resource::{Resource, SharedResource, Value};
use crate::span::{Instants, Kind, ParentSource, Span};

/// 2024-01-02 03:04:05 UTC
pub(crate) const START: u64 = 1_704_164_645_000_000_000;

pub(crate) fn resource(pid: u32, name: &str) -> SharedResource {
    let text = |text: &str| Value::Text(text.to_owned());
    Arc::new(Resource {
        pid,
        service_name: name.to_owned(),
        attributes: vec![
            ("service.name".to_owned(), text(name)),
            ("process.pid".to_owned(), Value::Int(pid.into())),
            (
                "process.command_args".to_owned(),
                Value::List(vec!["shop".to_owned(), "-v".to_owned()]),
            ),
        ],
        go: false,
    })
}

/// What a browser behind nothing asks a server on port 8080, answered in 1.2 ms.
pub(crate) fn server() -> Span {
    let mut request = Head::request(b"GET", b"/cart?id=7", Version::Http11);
    request.push(b"Host", b"shop.example:8080");
    request.push(b"User-Agent", b"curl/8.5");
    request.push(b"Accept", b"*/*");
    let mut response = Head::response(200, Version::Http11);
    response.push(b"Content-Length", b"5");
    Span {
        resource: resource(812, "shop"),
        kind: Kind::Server,
        trace_id: TraceId(0x4bf92f3577b34da6a3ce929d0e0e4736_u128.to_be_bytes()),
        span_id: SpanId(0x1111111111111111_u64.to_be_bytes()),
        parent: Some((
            SpanId(0x00f067aa0ba902b7_u64.to_be_bytes()),
            ParentSource::Propagated,
        )),
        trace_state: "vendor=x".to_owned(),
        sampled: None,
        format: Some(Format::W3c),
        sent: None,
        answer_span: None,
        start_ns: START,
        end_ns: START + 1_200_000,
        instants: Instants {
            connect_start: 0,
            connect_end: 0,
            arrived: START - 50_000,
            read_start: START,
            header_read: START + 10_000,
            body_read: START + 20_000,
            write_start: START + 1_020_000,
            write_finish: START + 1_200_000,
        },
        addresses: Some(Addresses {
            local: "10.0.0.1:8080".parse().unwrap(),
            remote: "10.0.0.2:50000".parse().unwrap(),
        }),
        request: Some(request.into()),
        response: Some(response.into()),
        request_sizes: Some(Sizes {
            wire: 80,
            body: Some(0),
        }),
        response_sizes: Some(Sizes {
            wire: 43,
            body: Some(5),
        }),
        streamed: None,
        incomplete: None,
    }
}

/// What the server asks another meanwhile, on a new connection.
pub(crate) fn client() -> Span {
    let mut request = Head::request(b"POST", b"/v1/price?item=3", Version::Http11);
    request.push(b"Host", b"prices:9000");
    let response = Head::response(404, Version::Http11);
    Span {
        kind: Kind::Client,
        span_id: SpanId(0x2222222222222222_u64.to_be_bytes()),
        parent: Some((
            SpanId(0x1111111111111111_u64.to_be_bytes()),
            ParentSource::Execution,
        )),
        trace_state: String::new(),
        format: None,
        start_ns: START + 100_000,
        end_ns: START + 900_000,
        instants: Instants {
            connect_start: START + 100_000,
            connect_end: START + 150_000,
            arrived: 0,
            read_start: START + 800_000,
            header_read: START + 850_000,
            body_read: START + 900_000,
            write_start: START + 160_000,
            write_finish: START + 200_000,
        },
        addresses: Some(Addresses {
            local: "10.0.0.1:40000".parse().unwrap(),
            remote: "10.0.0.3:9000".parse().unwrap(),
        }),
        request: Some(request.into()),
        response: Some(response.into()),
        ..server()
    }
}

prop_compose! {
    fn head(request: bool)(
        method in prop_oneof![Just(b"GET".to_vec()), prop::collection::vec(33_u8..=255, 1..12)],
        target in prop_oneof![
            "/[ -~]{0,40}".prop_map(String::into_bytes),
            prop::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        ],
        fields in prop::collection::vec((field_name(), prop::collection::vec(proptest::prelude::any::<u8>(), 0..40)), 0..8),
        status in 100_u16..1000,
    ) -> Head {
        let mut head = match request {
            true => Head::request(&method, &target, Version::Http11),
            false => Head::response(status, Version::Http10),
        };
        for (name, value) in &fields {
            head.push(name.as_bytes(), value);
        }
        head
    }
}

fn field_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "host",
        "user-agent",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-tag",
    ])
    .prop_map(str::to_owned)
}

fn instant() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), START..START + 1000]
}

prop_compose! {
    pub(crate) fn any()(
        of_server in proptest::prelude::any::<bool>(),
        ids in proptest::prelude::any::<(u128, u64, u64)>(),
        parent in prop::option::of(prop::sample::select(vec![
            ParentSource::Propagated, ParentSource::Connection, ParentSource::Execution, ParentSource::SoleCandidate,
        ])),
        trace_state in "[a-z=,]{0,300}",
        sampled in proptest::prelude::any::<Option<bool>>(),
        instants in prop::array::uniform8(instant()),
        request in prop::option::of(prop_oneof![head(true).prop_map(Head::into), rpc::any_head(true)]),
        response in prop::option::of(prop_oneof![head(false).prop_map(Head::into), rpc::any_head(false)]),
        streamed in prop::option::of(rpc::any_streamed()),
        sizes in prop::option::of((proptest::prelude::any::<u64>(), prop::option::of(proptest::prelude::any::<u64>()))),
        incomplete in prop::option::of(prop::sample::select(Incomplete::ALL.to_vec())),
        addressed in proptest::prelude::any::<bool>(),
    ) -> Span {
        let sample = if of_server { server() } else { client() };
        let [connect_start, connect_end, arrived, read_start, header_read, body_read, write_start, write_finish] = instants;
        Span {
            trace_id: TraceId(ids.0.to_be_bytes()),
            span_id: SpanId(ids.1.to_be_bytes()),
            parent: parent.map(|source| (SpanId(ids.2.to_be_bytes()), source)),
            trace_state,
            sampled,
            instants: Instants {
                connect_start, connect_end, arrived, read_start, header_read, body_read, write_start, write_finish,
            },
            request,
            response,
            streamed,
            request_sizes: sizes.map(|(wire, body)| Sizes { wire, body }),
            response_sizes: sizes.map(|(wire, body)| Sizes { wire, body }),
            incomplete,
            addresses: sample.addresses.filter(|_| addressed),
            ..sample
        }
    }
}
