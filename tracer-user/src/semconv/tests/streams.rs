//! Events of gRPC: of calls, and of streams.

use super::*;
use crate::export::samples::rpc::{given_up, grpc_client, grpc_server, grpc_stream};
use crate::protocol::{Cause, Incomplete, Side};

const MS: u64 = 1_000_000;

fn events_of(span: &Span, level: Level) -> Vec<(String, u64)> {
    let mut list = Vec::new();
    events(span, level, |event| {
        let message = event
            .message
            .map(|message| format!(" {}: {}", message.number, message.size));
        let name = format!("{}{}", event.name, message.unwrap_or_default());
        list.push((name, event.at - START));
    });
    list
}

#[test]
fn unary_calls_have_the_events_of_calls() {
    let of_server = [
        ("rpc_start", 0),
        ("read_start", 0),
        ("read_finish", 20_000),
        ("server_handle_start", 20_000),
        ("server_handle_finish", 1_020_000),
        ("write_start", 1_020_000),
        ("write_finish", 1_200_000),
        ("rpc_finish", 1_200_000),
    ];
    let of_client = [
        ("rpc_start", 100_000),
        ("client_conn_start", 100_000),
        ("client_conn_finish", 150_000),
        ("write_start", 160_000),
        ("write_finish", 200_000),
        ("wait_read_start", 200_000),
        ("wait_read_finish", 800_000),
        ("read_start", 800_000),
        ("read_finish", 900_000),
        ("rpc_finish", 900_000),
    ];
    let named = |list: &[(&str, u64)]| -> Vec<_> {
        list.iter()
            .map(|(name, at)| ((*name).to_owned(), *at))
            .collect()
    };
    let (server, client) = (grpc_server(), grpc_client());
    assert_eq!(events_of(&server, Level::Detailed), named(&of_server));
    assert_eq!(events_of(&client, Level::Detailed), named(&of_client));
    assert_eq!(
        events_of(&server, Level::Base),
        named(&[of_server[0], of_server[7]])
    );
    assert_eq!(
        events_of(&client, Level::Base),
        named(&[of_client[0], of_client[9]])
    );
    assert_eq!(events_of(&server, Level::Disabled), []);
}

#[test]
fn streams_have_the_events_of_streams() {
    let of_server = [
        ("stream_start", 0),
        ("stream_recv_header", 10_000),
        ("stream_recv 1: 20", 15_000),
        ("stream_send 1: 30", 1_020_000),
        ("stream_recv 2: 21", 1_030_000),
        ("stream_send 2: 0", 1_040_000),
        ("stream_send 3: 70000", 1_190_000),
        ("stream_finish", 1_200_000),
    ]
    .map(|(name, at)| (name.to_owned(), at));
    let span = grpc_stream();
    assert_eq!(events_of(&span, Level::Detailed), of_server);
    let ends = [of_server[0].clone(), of_server[7].clone()];
    assert_eq!(events_of(&span, Level::Base), ends);
    assert_eq!(events_of(&span, Level::Disabled), []);
    assert_eq!(one(&span, "rpc.request.message_count"), "2");
    assert_eq!(one(&span, "rpc.response.message_count"), "3");

    let client = Span {
        request: span.request.clone(),
        streamed: span.streamed.clone(),
        ..grpc_client()
    };
    let names: Vec<_> = events_of(&client, Level::Detailed)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "stream_send 1: 20",
            "stream_start",
            "client_conn_start",
            "client_conn_finish",
            "stream_recv_header",
            "stream_finish",
            "stream_recv 1: 30",
            "stream_send 2: 21",
            "stream_recv 2: 0",
            "stream_recv 3: 70000",
        ],
        "in the order of their times, whatever they are"
    );
}

#[test]
fn a_stream_given_up_finishes_then() {
    let span = given_up(grpc_stream(), Side::Request, Cause::Code(8), 5 * MS);
    let streamed = Box::new(crate::span::Streamed {
        messages: grpc_stream().streamed.unwrap().messages,
        requests: 2,
        responses: 3,
        ..*span.streamed.clone().unwrap()
    });
    let mut span = Span {
        streamed: Some(streamed),
        ..span
    };
    span.instants.write_finish = 0;
    let list = events_of(&span, Level::Detailed);
    assert_eq!(list.last().unwrap(), &("stream_finish".to_owned(), 5 * MS));
    // Of a connection that broke, when its stream ended is not known.
    span.incomplete = Some(Incomplete::LostEvents);
    let list = events_of(&span, Level::Detailed);
    assert!(list.iter().all(|(name, _)| name != "stream_finish"));
}

#[test]
fn room_is_left_for_a_streams_finish() {
    assert_eq!(messages_wanted(Level::Detailed, 128), 123);
    assert_eq!(messages_wanted(Level::Detailed, 3), 0);
    assert_eq!(messages_wanted(Level::Base, 128), 0);
}
