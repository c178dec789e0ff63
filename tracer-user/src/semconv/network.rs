//! Where it went: the attributes of addresses, which HTTP and RPC have in common.

use super::AttributeSink;
use super::text::{Short, of_header, of_url};
use super::url::Authority;
use crate::event::Addresses;
use crate::span::Span;

/// The other end of the connection.
pub(super) fn peer(span: &Span, sink: &mut impl AttributeSink) {
    match span.addresses {
        Some(addresses) => {
            let peer = Short::address(addresses.remote.ip());
            sink.text("network.peer.address", &[peer.as_str()]);
            sink.int("network.peer.port", addresses.remote.port().into());
        }
        None => sink.text("network.transport", &["unix"]),
    }
}

/// A server's span: the host and port that were asked for; where no one names a host (HTTP/1.0,
/// Thrift), the own end.
pub(super) fn served(span: &Span, asked: Option<&[u8]>, sink: &mut impl AttributeSink) {
    if let Some(authority) = asked.and_then(Authority::parse) {
        sink.text("server.address", &[&of_header(authority.host)]);
        if let Some(port) = authority.port {
            sink.int("server.port", port.into());
        }
    } else if let Some(addresses) = span.addresses {
        let own = Short::address(addresses.local.ip());
        sink.text("server.address", &[own.as_str()]);
        sink.int("server.port", addresses.local.port().into());
    }
}

/// A call's span: the host and port that it asks for, else the peer.
pub(super) fn called(
    addresses: Option<Addresses>,
    asked: Option<&[u8]>,
    sink: &mut impl AttributeSink,
) {
    let peer = addresses.map(|addresses| addresses.remote);
    match (asked.and_then(Authority::parse), peer) {
        (Some(authority), _) => {
            sink.text("server.address", &[&of_url(authority.host)]);
            if let Some(port) = authority.port.or(peer.map(|peer| peer.port())) {
                sink.int("server.port", port.into());
            }
        }
        (None, Some(peer)) => {
            sink.text("server.address", &[Short::address(peer.ip()).as_str()]);
            sink.int("server.port", peer.port().into());
        }
        (None, None) => {}
    }
}

/// A server's span: the client that proxies name, else the peer.
pub(super) fn client(span: &Span, named: Option<&[u8]>, sink: &mut impl AttributeSink) {
    if let Some(named) = named {
        sink.text("client.address", &[&of_header(named)]);
    } else if let Some(addresses) = span.addresses {
        let peer = Short::address(addresses.remote.ip());
        sink.text("client.address", &[peer.as_str()]);
    }
}
