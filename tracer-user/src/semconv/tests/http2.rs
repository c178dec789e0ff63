//! Plain HTTP/2.

use super::*;
use crate::export::samples::rpc::given_up;
use crate::protocol::{Incomplete, Side};

fn http2(span: Span, fields: &[(&str, &[u8])]) -> Span {
    let mut head = Head::request(b"GET", b"/cart?id=7", Version::Http2);
    for (name, value) in fields {
        head.push(name.as_bytes(), value);
    }
    Span {
        request: Some(head.into()),
        response: Some(Head::response(200, Version::Http2).into()),
        ..span
    }
}

const FIELDS: [(&str, &[u8]); 3] = [
    (":scheme", b"https"),
    (":authority", b"shop.example:8443"),
    ("host", b"other.example"),
];

#[test]
fn pseudo_fields_tell_what_the_start_line_did() {
    let span = http2(samples::server(), &FIELDS);
    assert_eq!(named(&span), "GET /cart");
    for (name, value) in [
        ("network.protocol.version", "2"),
        ("url.scheme", "https"),
        ("url.path", "/cart"),
        ("url.query", "id=7"),
        ("server.address", "shop.example"),
        ("server.port", "8443"),
        ("http.response.status_code", "200"),
        ("rpc.system.name", ""),
    ] {
        assert_eq!(one(&span, name), value, "{name}");
    }
    let span = http2(samples::client(), &FIELDS);
    assert_eq!(
        one(&span, "url.full"),
        "https://shop.example:8443/cart?id=7"
    );
    assert_eq!(one(&span, "server.address"), "shop.example");
}

#[test]
fn host_stands_in_where_there_is_no_authority() {
    let span = http2(samples::server(), &[("host", b"shop.example")]);
    assert_eq!(one(&span, "server.address"), "shop.example");
    assert_eq!(one(&span, "url.scheme"), "http");
}

#[test]
fn what_hpack_hides_is_left_out() {
    for (sample, url) in [
        (samples::server(), "url.path"),
        (samples::client(), "url.full"),
    ] {
        let mut head = Head::request(b"", b"", Version::Http2);
        head.push(b":authority", b"shop.example:81");
        let span = Span {
            request: Some(head.into()),
            response: Some(Head::response(0, Version::Http2).into()),
            incomplete: Some(Incomplete::AttachedMidway),
            ..sample
        };
        assert_eq!(one(&span, "http.response.status_code"), "");
        assert_eq!(error(&span), None);
        assert_eq!(named(&span), "HTTP");
        assert_eq!(one(&span, url), "");
        assert_eq!(one(&span, "http.request.method"), "");
        assert_eq!(one(&span, "server.address"), "shop.example");
        assert_eq!(one(&span, "server.port"), "81");
    }
}

#[test]
fn a_reset_stream_is_an_error_of_who_did_not_get_what_it_needs() {
    let outcome = |span: Span, side, code| {
        let span = given_up(
            http2(span, &FIELDS),
            side,
            crate::protocol::Cause::Code(code),
            1_000_000,
        );
        (one(&span, "error.type"), error(&span).is_some())
    };
    let error = |name: &str| (name.to_owned(), true);
    let (server, client) = (samples::server, samples::client);
    assert_eq!(outcome(server(), Side::Request, 8), (String::new(), false));
    assert_eq!(outcome(server(), Side::Request, 0), (String::new(), false));
    assert_eq!(outcome(server(), Side::Request, 1), error("PROTOCOL_ERROR"));
    assert_eq!(outcome(server(), Side::Response, 8), error("CANCEL"));
    assert_eq!(outcome(client(), Side::Request, 8), error("CANCEL"));
    assert_eq!(
        outcome(client(), Side::Response, 7),
        error("REFUSED_STREAM")
    );
    assert_eq!(outcome(client(), Side::Response, 99), error("stream_reset"));
}

#[test]
fn the_events_are_those_of_http() {
    let span = http2(samples::server(), &FIELDS);
    let mut names = Vec::new();
    events(&span, Level::Base, |event| names.push(event.name));
    assert_eq!(names, ["http_start", "http_finish"]);
}
