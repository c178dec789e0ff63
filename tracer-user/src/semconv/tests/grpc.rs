//! gRPC: names, attributes and status of calls.

use super::*;
use crate::export::samples::rpc::{
    given_up, grpc_client, grpc_request, grpc_response, grpc_server, trailers,
};
use crate::protocol::{Cause, Incomplete, Side};

const MS: u64 = 1_000_000;

/// The call, answered with those trailers.
fn ended(span: Span, fields: &[(&str, &str)]) -> Span {
    let mut span = span;
    let streamed = span.streamed.as_mut().unwrap();
    streamed.trailers = trailers(fields);
    span
}

/// Status code, error type, description; "" = not there.
fn outcome(span: &Span) -> (String, String, Option<String>) {
    (
        one(span, "rpc.response.status_code"),
        one(span, "error.type"),
        error(span).map(|text| text.into_owned()),
    )
}

fn said_ok(code: &str) -> (String, String, Option<String>) {
    (code.to_owned(), String::new(), None)
}

fn said_error(code: &str, message: &str) -> (String, String, Option<String>) {
    (code.to_owned(), code.to_owned(), Some(message.to_owned()))
}

#[test]
fn server_says_exactly_this() {
    let span = grpc_server();
    assert_eq!(named(&span), "shop.Prices/Get");
    assert_eq!(error(&span), None);
    assert_eq!(
        said(&span),
        [
            "client.address=10.0.0.2",
            "client.port=50000i",
            "network.peer.address=10.0.0.2",
            "network.peer.port=50000i",
            "network.protocol.name=http",
            "network.protocol.version=2",
            "rpc.grpc.request.encoding=gzip",
            "rpc.grpc.response.encoding=identity",
            "rpc.grpc.timeout=1.5s",
            "rpc.method=shop.Prices/Get",
            "rpc.request.message_count=1i",
            "rpc.request.size=120i",
            "rpc.response.message_count=1i",
            "rpc.response.size=120i",
            "rpc.response.status_code=OK",
            "rpc.system.name=grpc",
            "server.address=prices.example",
            "server.port=9000i",
            "tracer.context.format=w3c",
            "tracer.parent.source=propagated",
            "tracer.stage.handle=0.001s",
            "tracer.stage.queue=0.00005s",
            "tracer.stage.read=0.00002s",
            "tracer.stage.write=0.00018s",
            "user_agent.original=grpc-go/1.83.1",
        ]
    );
}

#[test]
fn client_says_exactly_this() {
    let span = grpc_client();
    assert_eq!(named(&span), "shop.Prices/Get");
    assert_eq!(error(&span), None);
    assert_eq!(
        said(&span),
        [
            "network.peer.address=10.0.0.3",
            "network.peer.port=9000i",
            "network.protocol.name=http",
            "network.protocol.version=2",
            "rpc.method=shop.Prices/Get",
            "rpc.request.message_count=1i",
            "rpc.request.size=120i",
            "rpc.response.message_count=1i",
            "rpc.response.size=120i",
            "rpc.response.status_code=OK",
            "rpc.system.name=grpc",
            "server.address=prices.example",
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
fn every_code_is_an_error_where_the_conventions_say_so() {
    for (code, name, of_server) in [
        ("0", "OK", false),
        ("1", "CANCELLED", false),
        ("2", "UNKNOWN", true),
        ("3", "INVALID_ARGUMENT", false),
        ("4", "DEADLINE_EXCEEDED", true),
        ("5", "NOT_FOUND", false),
        ("6", "ALREADY_EXISTS", false),
        ("7", "PERMISSION_DENIED", false),
        ("8", "RESOURCE_EXHAUSTED", false),
        ("9", "FAILED_PRECONDITION", false),
        ("10", "ABORTED", false),
        ("11", "OUT_OF_RANGE", false),
        ("12", "UNIMPLEMENTED", true),
        ("13", "INTERNAL", true),
        ("14", "UNAVAILABLE", true),
        ("15", "DATA_LOSS", true),
        ("16", "UNAUTHENTICATED", false),
        ("17", "17", true),
    ] {
        let fields = [("grpc-status", code), ("grpc-message", "why%20so%0A100%")];
        let words = "why so\n100%";
        let client = match code {
            "0" => said_ok("OK"),
            _ => said_error(name, words),
        };
        assert_eq!(outcome(&ended(grpc_client(), &fields)), client, "{code}");
        let server = match of_server {
            true => said_error(name, words),
            false => said_ok(name),
        };
        assert_eq!(outcome(&ended(grpc_server(), &fields)), server, "{code}");
    }
}

#[test]
fn a_status_that_is_none_is_unknown() {
    let span = ended(grpc_client(), &[("grpc-status", "fine")]);
    assert_eq!(outcome(&span), said_error("UNKNOWN", ""));
}

#[test]
fn trailers_only() {
    let fields = [("grpc-status", "12"), ("grpc-message", "unknown service")];
    let span = Span {
        response: grpc_response(&fields),
        streamed: None,
        ..grpc_server()
    };
    assert_eq!(
        outcome(&span),
        said_error("UNIMPLEMENTED", "unknown service")
    );
    assert_eq!(one(&span, "rpc.response.message_count"), "");
}

#[test]
fn trailers_that_hpack_hides_say_nothing() {
    let span = ended(grpc_client(), &[]);
    assert_eq!(outcome(&span), said_ok(""));
}

#[test]
fn a_proxys_answer_means_what_grpc_makes_of_it() {
    for (status, code) in [
        (400, "INTERNAL"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "UNIMPLEMENTED"),
        (429, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (418, "UNKNOWN"),
    ] {
        let span = Span {
            response: Some(Head::response(status, Version::Http2).into()),
            ..ended(grpc_client(), &[])
        };
        assert_eq!(outcome(&span), said_error(code, ""), "{status}");
    }
}

#[test]
fn given_up_streams() {
    let in_time = |span: Span| Span {
        request: grpc_request("/shop.Prices/Get", &[("grpc-timeout", "100m")]),
        ..span
    };
    let cancelled = given_up(
        in_time(grpc_client()),
        Side::Request,
        Cause::Code(8),
        50 * MS,
    );
    assert_eq!(outcome(&cancelled), said_error("CANCELLED", ""));
    assert_eq!(one(&cancelled, "tracer.incomplete"), "stream_reset");
    let late = given_up(
        in_time(grpc_client()),
        Side::Request,
        Cause::Code(8),
        99 * MS,
    );
    assert_eq!(outcome(&late), said_error("DEADLINE_EXCEEDED", ""));

    let cancelled = given_up(
        in_time(grpc_server()),
        Side::Request,
        Cause::Code(8),
        50 * MS,
    );
    assert_eq!(
        outcome(&cancelled),
        said_ok("CANCELLED"),
        "not the server's fault"
    );
    let late = given_up(
        in_time(grpc_server()),
        Side::Request,
        Cause::Code(8),
        101 * MS,
    );
    assert_eq!(outcome(&late), said_error("DEADLINE_EXCEEDED", ""));
    let untimed = given_up(grpc_client(), Side::Request, Cause::Code(8), 3_600_000 * MS);
    assert_eq!(outcome(&untimed), said_error("CANCELLED", ""));

    for (code, name) in [
        (0, "INTERNAL"),
        (1, "INTERNAL"),
        (7, "UNAVAILABLE"),
        (8, "CANCELLED"),
        (11, "RESOURCE_EXHAUSTED"),
        (12, "PERMISSION_DENIED"),
        (99, "INTERNAL"),
    ] {
        let span = given_up(grpc_client(), Side::Response, Cause::Code(code), MS);
        assert_eq!(outcome(&span), said_error(name, ""), "{code}");
    }
}

#[test]
fn a_reset_after_the_whole_answer_changes_nothing() {
    let mut span = grpc_client();
    let reset = given_up(grpc_client(), Side::Response, Cause::Code(0), MS)
        .streamed
        .unwrap()
        .reset;
    span.streamed.as_mut().unwrap().reset = reset;
    span.incomplete = Some(Incomplete::StreamReset);
    span.request_sizes = None;
    assert_eq!(outcome(&span), said_ok("OK"));
}

#[test]
fn a_call_whose_connection_ended_says_only_that() {
    for span in [grpc_client(), grpc_server()] {
        let span = Span {
            response: None,
            response_sizes: None,
            streamed: None,
            incomplete: Some(Incomplete::ConnectionClosed),
            ..span
        };
        assert_eq!(one(&span, "rpc.response.status_code"), "");
        assert_eq!(one(&span, "error.type"), "connection_closed");
        assert_eq!(error(&span).unwrap(), "");
    }
}

#[test]
fn a_refused_stream_without_a_code_says_so() {
    let mut span = given_up(grpc_client(), Side::Response, Cause::Code(0), MS);
    span.streamed.as_mut().unwrap().reset = None;
    assert_eq!(one(&span, "error.type"), "stream_reset");
}

#[test]
fn timeouts_in_every_unit() {
    for (value, seconds) in [
        ("2H", "Double(7200.0)"),
        ("3M", "Double(180.0)"),
        ("99999999S", "Double(99999999.0)"),
        ("250m", "Double(0.25)"),
        ("5u", "Double(5e-6)"),
        ("7n", "Double(7e-9)"),
        // More than 584 years do not fit in 64 bits of nanoseconds.
        ("99999999H", ""),
        ("123456789n", ""),
        ("+1S", ""),
        ("S", ""),
        ("", ""),
        ("1h", ""),
    ] {
        let span = Span {
            request: grpc_request("/a/b", &[("grpc-timeout", value)]),
            ..grpc_server()
        };
        assert_eq!(one(&span, "rpc.grpc.timeout"), seconds, "{value}");
    }
}

#[test]
fn kitex_business_status_is_no_error() {
    // Kitex itself sends the first.
    let message = ["grpc-message", "biz-message"].into_iter();
    let spans = message.zip([grpc_client(), grpc_server()]);
    for ((name, span), text) in spans.zip(["sold%20out", "sold out"]) {
        let fields = [("grpc-status", "13"), ("biz-status", "1001"), (name, text)];
        let span = ended(span, &fields);
        assert_eq!(outcome(&span), said_ok("INTERNAL"));
        assert_eq!(one(&span, "kitex.biz_status_code"), "1001");
        assert_eq!(one(&span, "kitex.biz_message"), "sold out");
    }
}

#[test]
fn kitex_metadata_names_caller_and_called() {
    let span = Span {
        request: grpc_request(
            "/Echo/echo",
            &[
                ("source-service", "front"),
                ("source-method", "index"),
                ("destination-service", "Echo"),
                ("destination-method", "echo"),
            ],
        ),
        ..grpc_server()
    };
    for (name, value) in [
        ("kitex.from.service", "front"),
        ("kitex.from.method", "index"),
        ("kitex.to.service", "Echo"),
        ("kitex.to.method", "echo"),
    ] {
        assert_eq!(one(&span, name), value);
    }
}

#[test]
fn an_authority_without_a_port_has_the_peers() {
    let mut head = Head::request(b"POST", b"/Echo/echo", Version::Http2);
    head.push(b":authority", b"Echo");
    head.push(b"content-type", b"application/grpc+thrift");
    let span = Span {
        request: Some(head.into()),
        ..grpc_client()
    };
    assert_eq!(one(&span, "server.address"), "Echo");
    assert_eq!(one(&span, "server.port"), "9000");
}

#[test]
fn a_method_that_hpack_hides_is_left_out() {
    let span = Span {
        request: grpc_request("", &[]),
        incomplete: Some(Incomplete::AttachedMidway),
        ..grpc_server()
    };
    assert_eq!(named(&span), "grpc");
    assert_eq!(one(&span, "rpc.method"), "");
    assert_eq!(one(&span, "tracer.incomplete"), "attached_midway");
    assert_eq!(outcome(&span), said_ok("OK"));

    // Its content type as well: the answer's tells.
    let head = Head::request(b"", b"", Version::Http2);
    let span = Span {
        request: Some(head.into()),
        ..span
    };
    assert_eq!(one(&span, "rpc.system.name"), "grpc");
    assert_eq!(one(&span, "server.address"), "10.0.0.1");
}

#[test]
fn metadata_is_captured_by_name_trailers_included() {
    let request = grpc_request("/a/b", &[("x-tag", "a"), ("x-tag", "b")]);
    let response = grpc_response(&[("x-tag", "c")]);
    let span = Span {
        request,
        response,
        ..ended(grpc_server(), &[("grpc-status", "0"), ("x-tag", "d")])
    };
    let options = Options {
        captured: vec![CapturedHeader::new("X-Tag")],
        ..Options::default()
    };
    let said = collect(&span, &options);
    let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|t| (*t).to_owned()).collect());
    assert_eq!(said["rpc.request.metadata.x-tag"], texts(&["a", "b"]));
    assert_eq!(said["rpc.response.metadata.x-tag"], texts(&["c", "d"]));
    assert!(
        !said.keys().any(|name| name.starts_with("http.")),
        "{said:?}"
    );
    assert!(!format!("{said:?}").contains("secret"));
}

#[test]
fn what_only_looks_like_grpc_is_http() {
    for content_type in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/json",
        "application/grpcx",
    ] {
        let mut head = Head::request(b"POST", b"/a/b", Version::Http2);
        head.push(b"content-type", content_type.as_bytes());
        let span = Span {
            request: Some(head.into()),
            ..grpc_server()
        };
        assert_eq!(one(&span, "rpc.system.name"), "", "{content_type}");
        assert_eq!(one(&span, "http.request.method"), "POST");
    }
    for content_type in [
        "application/grpc",
        "Application/gRPC+proto",
        "application/grpc; a=b",
    ] {
        let mut head = Head::request(b"POST", b"/a/b", Version::Http2);
        head.push(b"content-type", content_type.as_bytes());
        let span = Span {
            request: Some(head.into()),
            ..grpc_server()
        };
        assert_eq!(one(&span, "rpc.system.name"), "grpc", "{content_type}");
    }
}

#[test]
fn a_long_description_is_cut_between_characters() {
    let words = format!("a{}", "%C3%A4".repeat(2000));
    let fields = [("grpc-status", "2"), ("grpc-message", &words)];
    let span = ended(grpc_server(), &fields);
    let message = error(&span).unwrap();
    assert!(message.ends_with('ä') && (2040..=2048).contains(&message.len()));
}

#[test]
fn a_status_behind_the_answer_tells_a_call_whose_content_types_are_hidden() {
    use crate::protocol::http::{Head, Version};
    let hidden = |status: &[(&str, &str)]| {
        let span = Span {
            request: Some(Head::request(b"POST", b"/shop.Prices/Get", Version::Http2).into()),
            response: Some(Head::response(200, Version::Http2).into()),
            ..ended(grpc_client(), status)
        };
        (
            one(&span, "rpc.system.name"),
            one(&span, "rpc.response.status_code"),
        )
    };
    let (grpc, none) = ("grpc".to_owned(), String::new());
    assert_eq!(
        hidden(&[("grpc-status", "5")]),
        (grpc, "NOT_FOUND".to_owned())
    );
    assert_eq!(hidden(&[("grpc-message", "so")]), (none.clone(), none));
}
