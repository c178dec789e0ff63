//! Thrift and Kitex Protobuf: names, attributes and status of calls.

use super::*;
use crate::export::samples::rpc::{given_up, thrift, thrift_client, thrift_server, ttheader};
use crate::protocol::rpc::{self, Codec, Failure, Kind as Message, Transport};
use crate::protocol::{Cause, Incomplete, Side};

fn answered_with(failure: Failure) -> rpc::Head {
    let kind = match failure {
        Failure::Exception { .. } => Message::Exception,
        Failure::Declared(_) => Message::Reply,
    };
    rpc::Head {
        failure: Some(failure),
        ..thrift(kind)
    }
}

fn exception(type_id: i32, message: &str) -> rpc::Head {
    answered_with(Failure::Exception {
        type_id,
        message: message.as_bytes().to_vec(),
    })
}

#[test]
fn server_says_exactly_this() {
    let span = thrift_server(thrift(Message::Call), Some(thrift(Message::Reply)));
    assert_eq!(named(&span), "get");
    assert_eq!(error(&span), None);
    assert_eq!(
        said(&span),
        [
            "client.address=10.0.0.2",
            "client.port=50000i",
            "network.peer.address=10.0.0.2",
            "network.peer.port=50000i",
            "rpc.method=get",
            "rpc.request.size=40i",
            "rpc.response.size=30i",
            "rpc.system.name=thrift",
            "rpc.thrift.message_type=call",
            "rpc.thrift.protocol=binary",
            "rpc.thrift.seq_id=7i",
            "rpc.thrift.transport=framed",
            "server.address=10.0.0.1",
            "server.port=8080i",
            "tracer.context.format=w3c",
            "tracer.parent.source=propagated",
            "tracer.stage.handle=0.001s",
            "tracer.stage.queue=0.00005s",
            "tracer.stage.read=0.00002s",
            "tracer.stage.write=0.00018s",
        ]
    );
}

#[test]
fn a_kitex_client_says_exactly_this() {
    let call = ttheader(
        Message::Call,
        &[
            ("isn", "Prices"),
            ("3", "front"),
            ("20", "index"),
            ("6", "prices"),
            ("9", "get"),
            ("2", "log-1"),
            ("5", ""),
            ("RPC_TRANSIT_traceparent", "..."),
        ],
    );
    let reply = ttheader(Message::Reply, &[("22", "2")]);
    let span = thrift_client(call, Some(reply));
    assert_eq!(named(&span), "Prices/get");
    assert_eq!(
        said(&span),
        [
            "kitex.from.method=index",
            "kitex.from.service=front",
            "kitex.log_id=log-1",
            "kitex.to.method=get",
            "kitex.to.service=prices",
            "network.peer.address=10.0.0.3",
            "network.peer.port=9000i",
            "rpc.method=Prices/get",
            "rpc.request.size=40i",
            "rpc.response.size=30i",
            "rpc.system.name=thrift",
            "rpc.thrift.message_type=call",
            "rpc.thrift.protocol=binary",
            "rpc.thrift.seq_id=7i",
            "rpc.thrift.transport=ttheader_framed",
            "server.address=10.0.0.3",
            "server.port=9000i",
            "tracer.parent.source=execution",
            "tracer.stage.connect=0.00005s",
            "tracer.stage.read=0.0001s",
            "tracer.stage.wait=0.0006s",
            "tracer.stage.write=0.00004s",
        ]
    );
}

#[test]
fn kitex_protobuf_is_a_system_of_its_own() {
    let call = rpc::Head {
        codec: Some(Codec::KitexProtobuf),
        transport: Transport::Framed,
        ..thrift(Message::Call)
    };
    let mut span = thrift_server(call, Some(exception(6, "biz error: no")));
    assert_eq!(one(&span, "rpc.system.name"), "kitex_protobuf");
    assert_eq!(one(&span, "rpc.thrift.protocol"), "");
    assert_eq!(one(&span, "rpc.thrift.transport"), "framed");
    assert_eq!(one(&span, "error.type"), "INTERNAL_ERROR");
    // Neither its method nor its codec could be seen.
    let unseen = rpc::Head {
        codec: None,
        method: vec![],
        ..thrift(Message::Call)
    };
    span.request = Some(unseen.into());
    span.response = None;
    assert_eq!(named(&span), "thrift");
    assert_eq!(one(&span, "rpc.method"), "");
}

#[test]
fn methods_are_qualified_where_the_service_is_known() {
    let named = |method: &str, fields: &[(&str, &str)]| {
        let call = rpc::Head {
            method: method.as_bytes().to_vec(),
            ..ttheader(Message::Call, fields)
        };
        one(&thrift_server(call, None), "rpc.method")
    };
    assert_eq!(named("get", &[]), "get");
    assert_eq!(named("Prices:get", &[]), "Prices/get");
    assert_eq!(
        named("get", &[("isn", "Prices"), ("9", "other")]),
        "Prices/get"
    );
    assert_eq!(named("", &[("9", "get")]), "get");
    assert_eq!(named("get", &[("isn", "")]), "get");
}

#[test]
fn exceptions_are_errors_of_both_sides() {
    for (type_id, name) in [
        (0, "UNKNOWN"),
        (1, "UNKNOWN_METHOD"),
        (5, "MISSING_RESULT"),
        (6, "INTERNAL_ERROR"),
        (10, "UNSUPPORTED_CLIENT_TYPE"),
        (11, "11"),
        (-1, "-1"),
        (i32::MIN, "-2147483648"),
    ] {
        let text = "[happened in biz handler, service=Echo] panic: ä";
        let reply = || Some(exception(type_id, text));
        for span in [
            thrift_server(thrift(Message::Call), reply()),
            thrift_client(thrift(Message::Call), reply()),
        ] {
            assert_eq!(one(&span, "error.type"), name);
            assert_eq!(error(&span).unwrap(), text);
        }
    }
}

#[test]
fn declared_exceptions_are_told() {
    let reply = answered_with(Failure::Declared(2));
    let span = thrift_client(thrift(Message::Call), Some(reply));
    assert_eq!(one(&span, "error.type"), "declared_exception");
    assert_eq!(
        error(&span).unwrap(),
        "declared exception, field 2 of the result"
    );
}

#[test]
fn an_exception_of_which_no_more_is_known_is_one() {
    let span = thrift_client(thrift(Message::Call), Some(thrift(Message::Exception)));
    assert_eq!(one(&span, "error.type"), "exception");
    assert_eq!(error(&span).unwrap(), "");
}

#[test]
fn business_status_is_no_error() {
    let reply = |status: &str| {
        ttheader(
            Message::Reply,
            &[("biz-status", status), ("biz-message", "sold out")],
        )
    };
    let span = thrift_server(thrift(Message::Call), Some(reply("1001")));
    assert_eq!(error(&span), None);
    assert_eq!(one(&span, "error.type"), "");
    assert_eq!(one(&span, "kitex.biz_status_code"), "1001");
    assert_eq!(one(&span, "kitex.biz_message"), "sold out");
    for none in ["0", "", "x"] {
        let span = thrift_server(thrift(Message::Call), Some(reply(none)));
        assert_eq!(one(&span, "kitex.biz_status_code"), "", "{none}");
        assert_eq!(one(&span, "kitex.biz_message"), "");
    }
}

#[test]
fn calls_that_want_no_answer() {
    let span = Span {
        response_sizes: None,
        ..thrift_server(thrift(Message::Oneway), None)
    };
    assert_eq!(error(&span), None);
    assert_eq!(one(&span, "rpc.thrift.message_type"), "oneway");
    assert_eq!(one(&span, "rpc.response.size"), "");
}

#[test]
fn calls_that_were_cut_off() {
    let cut = |span: Span, reason| Span {
        response: None,
        response_sizes: None,
        incomplete: Some(reason),
        ..span
    };
    let server = || thrift_server(thrift(Message::Call), None);
    let client = || thrift_client(thrift(Message::Call), None);
    for span in [server(), client()] {
        let span = cut(span, Incomplete::ConnectionClosed);
        assert_eq!(one(&span, "error.type"), "connection_closed");
        assert!(error(&span).is_some());
    }
    let span = cut(server(), Incomplete::LostEvents);
    assert_eq!(
        (one(&span, "error.type"), error(&span)),
        (String::new(), None)
    );
    let unsaid = || Cause::Failure(None);
    let span = given_up(server(), Side::Request, unsaid(), 1);
    assert_eq!(error(&span), None, "the client changed its mind");
    for side in [Side::Request, Side::Response] {
        let span = given_up(client(), side, unsaid(), 1);
        assert_eq!(one(&span, "error.type"), "stream_reset");
    }
}

#[test]
fn a_reset_says_why() {
    let server = || thrift_server(thrift(Message::Call), None);
    let client = || thrift_client(thrift(Message::Call), None);
    let because = |type_id| {
        let message = b"so".to_vec();
        Cause::Failure(Some(Failure::Exception { type_id, message }.into()))
    };
    for (type_id, server_too) in [
        (12006, true),
        (12007, false),
        (12010, false),
        (12013, false),
        // Timeouts.
        (12014, true),
        (12015, true),
    ] {
        let span = given_up(client(), Side::Request, because(type_id), 1);
        assert_eq!(one(&span, "error.type"), type_id.to_string());
        assert_eq!(error(&span).as_deref(), Some("so"));
        let span = given_up(server(), Side::Request, because(type_id), 1);
        assert_eq!(error(&span).is_some(), server_too, "{type_id}");
        // Given up by itself.
        let span = given_up(server(), Side::Response, because(type_id), 1);
        assert_eq!(one(&span, "error.type"), type_id.to_string());
    }
}

#[test]
fn text_keys_are_captured_by_name() {
    let call = ttheader(
        Message::Call,
        &[("RPC_PERSIST_TENANT", "blue"), ("token", "secret")],
    );
    let reply = ttheader(Message::Reply, &[("RPC_BACKWARD_x", "y")]);
    let span = thrift_server(call, Some(reply));
    let options = Options {
        captured: ["rpc_persist_tenant", "RPC_BACKWARD_x"]
            .map(CapturedHeader::new)
            .to_vec(),
        ..Options::default()
    };
    let said = collect(&span, &options);
    let texts = |text: &str| Value::Texts(vec![text.to_owned()]);
    assert_eq!(
        said["rpc.request.metadata.rpc_persist_tenant"],
        texts("blue")
    );
    assert_eq!(said["rpc.response.metadata.rpc_backward_x"], texts("y"));
    assert!(!format!("{said:?}").contains("secret"));
}

fn names(span: &Span, level: Level) -> Vec<&'static str> {
    let mut names = Vec::new();
    events(span, level, |event| names.push(event.name));
    names
}

#[test]
fn events_of_calls() {
    let span = thrift_server(thrift(Message::Call), Some(thrift(Message::Reply)));
    assert_eq!(
        names(&span, Level::Detailed),
        [
            "rpc_start",
            "read_start",
            "read_finish",
            "server_handle_start",
            "server_handle_finish",
            "write_start",
            "write_finish",
            "rpc_finish"
        ]
    );
    assert_eq!(names(&span, Level::Base), ["rpc_start", "rpc_finish"]);
    let mut oneway = thrift_server(thrift(Message::Oneway), None);
    oneway.instants.write_start = 0;
    oneway.instants.write_finish = 0;
    oneway.end_ns = oneway.instants.body_read;
    assert_eq!(
        names(&oneway, Level::Detailed),
        [
            "rpc_start",
            "read_start",
            "read_finish",
            "server_handle_start",
            "rpc_finish"
        ]
    );
}

#[test]
fn ttheader_streams_have_the_events_of_streams() {
    let span = thrift_server(
        ttheader(Message::Call, &[("27", "1"), ("9", "chat")]),
        Some(ttheader(Message::Reply, &[("27", "2")])),
    );
    assert_eq!(
        names(&span, Level::Detailed),
        ["stream_start", "stream_recv_header", "stream_finish"]
    );
}
