//! What a client's span says of the request, as the client sent it.

use super::text::{Short, of_url};
use super::url::{Authority, Target, redacted, redacted_path};
use super::{AttributeSink, Options, http, name, network};
use crate::event::Addresses;
use crate::protocol::http::Head;
use crate::span::Span;

/// `http` without a port means it (RFC 9110, section 4.2.1).
const DEFAULT_PORT: u16 = 80;

pub(super) fn attributes(span: &Span, options: &Options, sink: &mut impl AttributeSink) {
    if let Some(head) = span.http_request() {
        http::method(head, options, sink);
        if !head.target().is_empty() {
            url(head, span.addresses, sink);
        }
    }
    server(span.http_request(), span.addresses, sink);
}

/// The server that is asked.
pub(super) fn server(
    request: Option<&Head>,
    addresses: Option<Addresses>,
    sink: &mut impl AttributeSink,
) {
    // HPACK's memory may hide the target.
    let Some(head) = request.filter(|head| !head.target().is_empty()) else {
        return network::called(addresses, request.and_then(http::host), sink);
    };
    let target = Target::parse(head.method(), head.target());
    let asked = target.authority.or_else(|| http::host(head));
    let peer = addresses.map(|addresses| addresses.remote);
    match (asked.and_then(Authority::parse), peer) {
        (Some(authority), _) => {
            sink.text("server.address", &[&of_url(authority.host)]);
            // Through a proxy, the peer's port is not the server's.
            let direct = peer.filter(|_| target.authority.is_none());
            let port = authority.port.or(direct.map(|peer| peer.port()));
            sink.int("server.port", port.unwrap_or(DEFAULT_PORT).into());
        }
        (None, _) => network::called(addresses, None, sink),
    }
}

fn url(head: &Head, addresses: Option<Addresses>, sink: &mut impl AttributeSink) {
    let target = Target::parse(head.method(), head.target());
    let asked = target.authority.or_else(|| http::host(head));
    let asked = asked.and_then(Authority::parse);
    let peer = addresses.map(|addresses| addresses.remote);
    let scheme = target.scheme.or_else(|| head.field(":scheme"));
    let scheme = of_url(scheme.unwrap_or(b"http"));
    // RFC 9112, section 3.3: how a target stands for a URL.
    let path = match target.path {
        b"*" => "".into(),
        path => redacted_path(of_url(path)),
    };
    let query = target.query.map(|query| redacted(of_url(query)));
    let (mark, query) = match &query {
        Some(query) => ("?", query.as_ref()),
        None => ("", ""),
    };
    if let Some(authority) = asked {
        let credentials = match authority.credentials {
            true => "REDACTED:REDACTED@",
            false => "",
        };
        let host_port = of_url(authority.host_port);
        let url = [
            scheme.as_ref(),
            "://",
            credentials,
            host_port.as_ref(),
            path.as_ref(),
            mark,
            query,
        ];
        sink.text(name::URL_FULL, &url);
    } else if let Some(peer) = peer {
        let address = Short::address(peer.ip());
        let (open, close) = match peer.ip().to_canonical().is_ipv6() {
            true => ("[", "]"),
            false => ("", ""),
        };
        let port = Short::of(format_args!(":{}", peer.port()));
        let port = match peer.port() {
            DEFAULT_PORT => "",
            _ => port.as_str(),
        };
        let url = [
            scheme.as_ref(),
            "://",
            open,
            address.as_str(),
            close,
            port,
            path.as_ref(),
            mark,
            query,
        ];
        sink.text(name::URL_FULL, &url);
    }
}
