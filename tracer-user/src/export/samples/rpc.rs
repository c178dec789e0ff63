//! Spans of calls.

use proptest::prelude::{Just, Strategy, prop, prop_compose, prop_oneof};

use super::{START, client, server};
use crate::protocol::http::{self, Version};
use crate::protocol::rpc::{Codec, Failure, Head, Key, Kind, Transport};
use crate::protocol::{self, Cause, Side, Sizes};
use crate::span::{Reset, Span, StreamMessage, Streamed};

/// The metadata of a gRPC call; fields to add.
pub(crate) fn grpc_request(path: &str, fields: &[(&str, &str)]) -> Option<protocol::Head> {
    let mut head = http::Head::request(b"POST", path.as_bytes(), Version::Http2);
    for (name, value) in [
        (":scheme", "http"),
        (":authority", "prices.example:9000"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "grpc-go/1.83.1"),
        ("authorization", "Bearer secret"),
    ]
    .iter()
    .chain(fields)
    {
        head.push(name.as_bytes(), value.as_bytes());
    }
    Some(head.into())
}

/// The head of a gRPC answer; fields to add.
pub(crate) fn grpc_response(fields: &[(&str, &str)]) -> Option<protocol::Head> {
    let mut head = http::Head::response(200, Version::Http2);
    head.push(b"content-type", b"application/grpc");
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes());
    }
    Some(head.into())
}

/// The fields after a gRPC answer.
pub(crate) fn trailers(fields: &[(&str, &str)]) -> Option<Box<http::Head>> {
    let mut head = http::Head::response(0, Version::Http2);
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes());
    }
    Some(Box::new(head))
}

fn message(side: Side, number: u64, size: u64, at: u64) -> StreamMessage {
    StreamMessage {
        side,
        number,
        size,
        at_ns: START + at,
    }
}

/// One message each way, and OK.
fn unary(asked: u64, answered: u64) -> Option<Box<Streamed>> {
    Some(Box::new(Streamed {
        messages: [
            message(Side::Request, 1, 20, asked),
            message(Side::Response, 1, 30, answered),
        ]
        .into_iter()
        .collect(),
        requests: 1,
        responses: 1,
        trailers: trailers(&[("grpc-status", "0")]),
        ..Streamed::default()
    }))
}

const SIZES: Option<Sizes> = Some(Sizes {
    wire: 120,
    body: Some(25),
});

/// A unary call as the server sees it.
pub(crate) fn grpc_server() -> Span {
    Span {
        request: grpc_request(
            "/shop.Prices/Get",
            &[("grpc-timeout", "1500m"), ("grpc-encoding", "gzip")],
        ),
        response: grpc_response(&[("grpc-encoding", "identity")]),
        request_sizes: SIZES,
        response_sizes: SIZES,
        streamed: unary(20_000, 1_150_000),
        ..server()
    }
}

/// A unary call as the client sees it, on a new connection.
pub(crate) fn grpc_client() -> Span {
    Span {
        request: grpc_request("/shop.Prices/Get", &[]),
        response: grpc_response(&[]),
        request_sizes: SIZES,
        response_sizes: SIZES,
        streamed: unary(200_000, 880_000),
        ..client()
    }
}

/// Two questions and three answers.
pub(crate) fn grpc_stream() -> Span {
    let messages = [
        message(Side::Request, 1, 20, 15_000),
        message(Side::Response, 1, 30, 1_020_000),
        message(Side::Request, 2, 21, 1_030_000),
        message(Side::Response, 2, 0, 1_040_000),
        message(Side::Response, 3, 70_000, 1_190_000),
    ];
    Span {
        request: grpc_request("/shop.Prices/Watch", &[]),
        streamed: Some(Box::new(Streamed {
            messages: messages.into_iter().collect(),
            requests: 2,
            responses: 3,
            trailers: trailers(&[("grpc-status", "0")]),
            ..Streamed::default()
        })),
        ..grpc_server()
    }
}

/// The stream is given up after so many ns, and no answer came.
pub(crate) fn given_up(span: Span, side: Side, cause: Cause, after: u64) -> Span {
    let reset = Reset {
        side,
        cause,
        at_ns: span.start_ns + after,
    };
    Span {
        response: None,
        response_sizes: None,
        incomplete: Some(protocol::Incomplete::StreamReset),
        end_ns: reset.at_ns,
        streamed: Some(Box::new(Streamed {
            requests: 1,
            reset: Some(reset),
            ..Streamed::default()
        })),
        ..span
    }
}

/// A message of Thrift's.
pub(crate) fn thrift(kind: Kind) -> Head {
    Head {
        transport: Transport::Framed,
        codec: Some(Codec::Binary),
        kind,
        seq_id: 7,
        method: b"get".to_vec(),
        fields: vec![],
        failure: None,
    }
}

/// A message of Kitex' over TTHeader.
pub(crate) fn ttheader(kind: Kind, fields: &[(&str, &str)]) -> Head {
    Head {
        transport: Transport::TtheaderFramed,
        fields: fields
            .iter()
            .map(|(key, value)| {
                let key = match key.parse() {
                    Ok(number) => Key::Number(number),
                    Err(_) => Key::Text(key.as_bytes().to_vec()),
                };
                (key, value.as_bytes().to_vec())
            })
            .collect(),
        ..thrift(kind)
    }
}

/// A call as the server sees it.
pub(crate) fn thrift_server(request: Head, response: Option<Head>) -> Span {
    Span {
        request: Some(request.into()),
        response: response.map(Head::into),
        request_sizes: Some(Sizes {
            wire: 40,
            body: None,
        }),
        response_sizes: Some(Sizes {
            wire: 30,
            body: None,
        }),
        ..server()
    }
}

/// A call as the client sees it, on a new connection.
pub(crate) fn thrift_client(request: Head, response: Option<Head>) -> Span {
    let of = thrift_server(request, response);
    Span {
        request: of.request,
        response: of.response,
        request_sizes: of.request_sizes,
        response_sizes: of.response_sizes,
        ..client()
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(proptest::prelude::any::<u8>(), 0..30)
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        (0_u16..30).prop_map(Key::Number),
        prop::sample::select(vec!["isn", "biz-status", "biz-message", "x-tag"])
            .prop_map(|key| Key::Text(key.as_bytes().to_vec())),
    ]
}

prop_compose! {
    pub(crate) fn any_thrift()(
        transport in prop::sample::select(vec![
            Transport::Buffered, Transport::Framed, Transport::Theader, Transport::Ttheader, Transport::TtheaderFramed,
        ]),
        codec in prop::option::of(prop::sample::select(vec![
            Codec::Binary, Codec::BinaryOld, Codec::Compact, Codec::KitexProtobuf,
        ])),
        kind in prop::sample::select(vec![Kind::Call, Kind::Oneway, Kind::Reply, Kind::Exception]),
        seq_id in proptest::prelude::any::<i32>(),
        method in bytes(),
        fields in prop::collection::vec((key(), bytes()), 0..6),
        failure in prop::option::of(prop_oneof![
            (proptest::prelude::any::<i32>(), bytes()).prop_map(|(type_id, message)| Failure::Exception { type_id, message }),
            proptest::prelude::any::<i16>().prop_map(Failure::Declared),
        ]),
    ) -> Head {
        Head { transport, codec, kind, seq_id, method, fields, failure }
    }
}

fn field() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let names = vec![
        ":authority",
        ":scheme",
        "content-type",
        "grpc-status",
        "grpc-message",
        "grpc-timeout",
        "grpc-encoding",
        "biz-status",
        "x-tag",
    ];
    let value = prop_oneof![
        bytes(),
        Just(b"application/grpc+proto".to_vec()),
        Just(b"14".to_vec()),
        Just(b"99999999H".to_vec()),
    ];
    (prop::sample::select(names), value)
}

fn http2(request: bool) -> impl Strategy<Value = http::Head> {
    let fields = prop::collection::vec(field(), 0..8);
    (bytes(), fields, 0_u16..1000).prop_map(move |(path, fields, status)| {
        let mut head = match request {
            true => http::Head::request(b"POST", &path, Version::Http2),
            false => http::Head::response(status, Version::Http2),
        };
        for (name, value) in fields {
            head.push(name.as_bytes(), &value);
        }
        head
    })
}

/// A head of HTTP/2 or Thrift.
pub(crate) fn any_head(request: bool) -> impl Strategy<Value = protocol::Head> {
    prop_oneof![
        http2(request).prop_map(http::Head::into),
        any_thrift().prop_map(Head::into),
    ]
}

fn side() -> impl Strategy<Value = Side> {
    prop::sample::select(vec![Side::Request, Side::Response])
}

prop_compose! {
    pub(crate) fn any_streamed()(
        messages in prop::collection::vec((side(), proptest::prelude::any::<u64>(), proptest::prelude::any::<u64>(), START..START + 1000), 0..6),
        not_kept in prop_oneof![Just(0), proptest::prelude::any::<u32>()],
        trailers in prop::option::of(http2(false)),
        reset in prop::option::of((side(), proptest::prelude::any::<u32>(), START..START + 1000)),
    ) -> Box<Streamed> {
        let of = |wanted: Side| messages.iter().filter(|(side, ..)| *side == wanted).count() as u64;
        Box::new(Streamed {
            requests: of(Side::Request),
            responses: of(Side::Response),
            messages: messages
                .iter()
                .map(|&(side, number, size, at_ns)| StreamMessage { side, number, size, at_ns })
                .collect(),
            not_kept: not_kept.into(),
            trailers: trailers.map(Box::new),
            reset: reset.map(|(side, code, at_ns)| Reset { side, cause: Cause::Code(code), at_ns }),
        })
    }
}
