//! Names, attributes and status.

use super::*;
use crate::protocol::Incomplete;
use crate::span::ParentSource;

#[test]
fn server_says_exactly_this() {
    let span = samples::server();
    assert_eq!(named(&span), "GET /cart");
    assert_eq!(error(&span), None);
    assert_eq!(
        said(&span),
        [
            "client.address=10.0.0.2",
            "http.request.body.size=0i",
            "http.request.method=GET",
            "http.request.size=80i",
            "http.response.body.size=5i",
            "http.response.size=43i",
            "http.response.status_code=200i",
            "network.peer.address=10.0.0.2",
            "network.peer.port=50000i",
            "network.protocol.version=1.1",
            "server.address=shop.example",
            "server.port=8080i",
            "tracer.context.format=w3c",
            "tracer.parent.source=propagated",
            "tracer.stage.handle=0.001s",
            "tracer.stage.queue=0.00005s",
            "tracer.stage.read=0.00002s",
            "tracer.stage.write=0.00018s",
            "url.path=/cart",
            "url.query=id=7",
            "url.scheme=http",
            "url.template=/cart",
            "user_agent.original=curl/8.5",
        ]
    );
}

#[test]
fn client_says_exactly_this() {
    let span = samples::client();
    assert_eq!(named(&span), "POST /v1/price");
    assert!(error(&span).is_some(), "404 is a client's error");
    assert_eq!(
        said(&span),
        [
            "error.type=404",
            "http.request.body.size=0i",
            "http.request.method=POST",
            "http.request.size=80i",
            "http.response.body.size=5i",
            "http.response.size=43i",
            "http.response.status_code=404i",
            "network.peer.address=10.0.0.3",
            "network.peer.port=9000i",
            "network.protocol.version=1.1",
            "server.address=prices",
            "server.port=9000i",
            "tracer.parent.source=execution",
            "tracer.stage.connect=0.00005s",
            "tracer.stage.read=0.0001s",
            "tracer.stage.wait=0.0006s",
            "tracer.stage.write=0.00004s",
            "url.full=http://prices:9000/v1/price?item=3",
            "url.template=/v1/price",
        ]
    );
}

#[test]
fn methods_are_known_or_other() {
    for (method, name, original) in [
        ("QUERY", "QUERY /", ""),
        ("get", "HTTP /", "get"),
        ("PURGE", "HTTP /", "PURGE"),
        ("M-SEARCH", "HTTP /", "M-SEARCH"),
    ] {
        let span = asked(method, b"/", &[]);
        assert_eq!(named(&span), name);
        assert_eq!(one(&span, "http.request.method_original"), original);
        let shown = if original.is_empty() {
            method
        } else {
            "_OTHER"
        };
        assert_eq!(one(&span, "http.request.method"), shown);
    }
}

#[test]
fn known_methods_can_be_replaced() {
    let options = Options {
        known_methods: Some(vec!["PURGE".to_owned()]),
        ..Options::default()
    };
    assert_eq!(
        named_with(&asked("PURGE", b"/", &[]), &options, Routes::default()),
        "PURGE /"
    );
    assert_eq!(
        named_with(&asked("GET", b"/", &[]), &options, Routes::default()),
        "HTTP /"
    );
}

#[test]
fn paths_name_spans_unless_only_methods_shall() {
    let options = |names| Options {
        names,
        ..Options::default()
    };
    let routes = || Routes::new(["/users/{name}"]).unwrap();
    let server = asked("GET", b"/users/ann?x=1", &[]);
    let client = sent("GET", b"/users/ann?x=1", &[]);
    let other = asked("GET", b"/carts/7", &[]);
    for (span, route, template, name) in [
        (&server, "/users/{name}", "", "GET /users/{name}"),
        // The conventions know no route of a client.
        (&client, "", "/users/{name}", "GET /users/{name}"),
        (&other, "", "/carts/{id}", "GET /carts/{id}"),
    ] {
        assert_eq!(named_with(span, &options(Names::Path), routes()), name);
        assert_eq!(named_with(span, &options(Names::Method), routes()), "GET");
        for names in [Names::Path, Names::Method] {
            let said = collect_with(span, &options(names), routes());
            let text = |name| match said.get(name) {
                Some(Value::Text(text)) => text.as_str(),
                _ => "",
            };
            assert_eq!(text("http.route"), route);
            assert_eq!(text("url.template"), template);
        }
    }
}

#[test]
fn server_reads_every_form_of_target() {
    let host: (&str, &[u8]) = ("Host", b"h:81");
    for (method, target, path, query, address, port) in [
        ("GET", "/a?b", "/a", "b", "h", "81"),
        ("GET", "/a?", "/a", "", "h", "81"),
        ("GET", "http://u:p@other/x?y=1", "/x", "y=1", "other", ""),
        ("GET", "http://other:82", "/", "", "other", "82"),
        ("OPTIONS", "*", "*", "", "h", "81"),
        ("CONNECT", "up:443", "", "", "up", "443"),
    ] {
        let span = asked(method, target.as_bytes(), &[host]);
        assert_eq!(one(&span, "url.path"), path, "{target}");
        assert_eq!(one(&span, "url.query"), query, "{target}");
        assert_eq!(one(&span, "server.address"), address, "{target}");
        assert_eq!(one(&span, "server.port"), port, "{target}");
    }
}

#[test]
fn client_names_the_whole_url() {
    let host: (&str, &[u8]) = ("Host", b"h");
    for (method, target, full, address, port) in [
        (
            "GET",
            "/a?b=c&sig=s3cr3t",
            "http://h/a?b=c&sig=REDACTED",
            "h",
            "9000",
        ),
        (
            "GET",
            "http://u:p@o/x",
            "http://REDACTED:REDACTED@o/x",
            "o",
            "80",
        ),
        ("GET", "https://o:8443/x", "https://o:8443/x", "o", "8443"),
        ("OPTIONS", "*", "http://h", "h", "9000"),
        ("CONNECT", "up:443", "http://up:443", "up", "443"),
    ] {
        let span = sent(method, target.as_bytes(), &[host]);
        assert_eq!(one(&span, "url.full"), full, "{target}");
        assert_eq!(one(&span, "server.address"), address, "{target}");
        assert_eq!(one(&span, "server.port"), port, "{target}");
    }
}

#[test]
fn client_without_a_host_field_names_the_peer() {
    let mut span = sent("GET", b"/a", &[]);
    assert_eq!(one(&span, "url.full"), "http://10.0.0.3:9000/a");
    let addresses = span.addresses.as_mut().unwrap();
    addresses.remote = "[2001:db8::1]:80".parse().unwrap();
    assert_eq!(one(&span, "url.full"), "http://[2001:db8::1]/a");
    assert_eq!(one(&span, "server.address"), "2001:db8::1");
    assert_eq!(one(&span, "server.port"), "80");
}

#[test]
fn server_without_a_host_field_names_its_own_end() {
    let span = asked("GET", b"/", &[]);
    assert_eq!(one(&span, "server.address"), "10.0.0.1");
    assert_eq!(one(&span, "server.port"), "8080");
}

#[test]
fn proxies_tell_the_origin() {
    let span = asked(
        "GET",
        b"/",
        &[
            ("Host", b"internal:8080"),
            ("X-Forwarded-For", b"203.0.113.7, 10.0.0.9"),
            ("X-Forwarded-Host", b"www.example.com"),
            ("X-Forwarded-Proto", b"HTTPS"),
        ],
    );
    assert_eq!(one(&span, "client.address"), "203.0.113.7");
    assert_eq!(one(&span, "server.address"), "www.example.com");
    assert_eq!(one(&span, "server.port"), "");
    assert_eq!(one(&span, "url.scheme"), "https");
    assert_eq!(one(&span, "network.peer.address"), "10.0.0.2");
}

#[test]
fn forwarded_goes_before_the_older_fields() {
    let span = asked(
        "GET",
        b"/",
        &[
            ("X-Forwarded-For", b"203.0.113.7"),
            ("X-Forwarded-Proto", b"https"),
            ("Forwarded", b"for=\"[2001:db8::7]:1\";host=a.example:8443"),
        ],
    );
    assert_eq!(one(&span, "client.address"), "2001:db8::7");
    assert_eq!(one(&span, "server.port"), "8443");
    assert_eq!(one(&span, "url.scheme"), "https", "what it leaves open");
}

#[test]
fn bytes_that_are_not_utf8_stay_readable() {
    let span = asked("GET", b"/\xff?q=\xe4", &[("User-Agent", b"caf\xe9")]);
    assert_eq!(one(&span, "url.path"), "/%FF");
    assert_eq!(one(&span, "url.query"), "q=%E4");
    assert_eq!(one(&span, "user_agent.original"), "café");
}

#[test]
fn secrets_in_queries_are_redacted() {
    let span = asked("GET", b"/o?X-Amz-Signature=abc&a=b", &[]);
    assert_eq!(one(&span, "url.query"), "X-Amz-Signature=REDACTED&a=b");
}

#[test]
fn unix_sockets_have_no_addresses() {
    let span = Span {
        addresses: None,
        ..asked("GET", b"/", &[])
    };
    assert_eq!(one(&span, "network.transport"), "unix");
    for name in [
        "network.peer.address",
        "client.address",
        "server.address",
        "server.port",
    ] {
        assert_eq!(one(&span, name), "", "{name}");
    }
}

#[test]
fn dual_stack_sockets_show_ipv4() {
    let mut span = samples::server();
    span.addresses.as_mut().unwrap().remote = "[::ffff:192.0.2.9]:1".parse().unwrap();
    assert_eq!(one(&span, "network.peer.address"), "192.0.2.9");
}

#[test]
fn status_decides_by_kind() {
    for (status, server, client) in [
        (101, "", ""),
        (204, "", ""),
        (304, "", ""),
        (404, "", "404"),
        (500, "500", "500"),
        (599, "599", "599"),
    ] {
        for (span, error) in [(samples::server(), server), (samples::client(), client)] {
            let span = answered(span, status);
            assert_eq!(one(&span, "error.type"), error, "{status} {:?}", span.kind);
            assert_eq!(super::error(&span).is_some(), !error.is_empty());
        }
    }
}

#[test]
fn connection_that_ends_too_early_is_an_error_of_both() {
    for span in [samples::server(), samples::client()] {
        let closed = Span {
            incomplete: Some(Incomplete::ConnectionClosed),
            response_sizes: None,
            ..answered(span, 200)
        };
        let unanswered = Span {
            response: None,
            ..closed.clone()
        };
        for span in [&closed, &unanswered] {
            assert!(super::error(span).is_some());
            assert_eq!(one(span, "error.type"), "connection_closed");
            assert_eq!(one(span, "tracer.incomplete"), "connection_closed");
            assert_eq!(one(span, "http.response.size"), "");
        }
    }
}

#[test]
fn request_cut_short_after_a_whole_answer_is_no_error() {
    let span = Span {
        incomplete: Some(Incomplete::ConnectionClosed),
        request_sizes: None,
        ..answered(samples::server(), 413)
    };
    assert_eq!(error(&span), None);
    assert_eq!(one(&span, "http.request.size"), "");
}

#[test]
fn what_was_not_seen_is_not_said() {
    let span = Span {
        request: None,
        response: None,
        request_sizes: None,
        response_sizes: None,
        parent: None,
        format: None,
        instants: Default::default(),
        incomplete: Some(Incomplete::LostEvents),
        ..samples::server()
    };
    assert_eq!(
        said(&span),
        [
            "network.peer.address=10.0.0.2",
            "network.peer.port=50000i",
            "tracer.incomplete=lost_events",
        ]
    );
    assert_eq!(named(&span), "HTTP");
    assert_eq!(error(&span), None, "not known is not failed");
    events(&span, Level::Detailed, |event| panic!("{event:?}"));
}

#[test]
fn captured_headers_are_lists_under_their_own_name() {
    let mut span = asked(
        "GET",
        b"/",
        &[("X-Tag", b"a"), ("x-tag", b"b"), ("Cookie", b"secret")],
    );
    let mut response = Head::response(200, Version::Http11);
    response.push(b"X-Tag", b"c");
    span.response = Some(response.into());
    let options = Options {
        captured: vec![CapturedHeader::new("X-Tag"), CapturedHeader::new("Absent")],
        ..Options::default()
    };
    let captured: Vec<_> = collect(&span, &options)
        .into_iter()
        .filter(|(name, _)| name.contains(".header."))
        .collect();
    let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|t| (*t).to_owned()).collect());
    assert_eq!(
        captured,
        [
            ("http.request.header.x-tag".to_owned(), texts(&["a", "b"])),
            ("http.response.header.x-tag".to_owned(), texts(&["c"])),
        ]
    );
}

#[test]
fn every_source_of_a_parent_has_its_word() {
    for (source, word) in [
        (ParentSource::Propagated, "propagated"),
        (ParentSource::Connection, "connection"),
        (ParentSource::Execution, "execution"),
        (ParentSource::SoleCandidate, "sole_candidate"),
    ] {
        let mut span = samples::server();
        span.parent = span.parent.map(|(id, _)| (id, source));
        assert_eq!(one(&span, "tracer.parent.source"), word);
    }
}
