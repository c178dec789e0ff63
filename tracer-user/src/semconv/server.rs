//! What a server's span says of the request, as the server saw it.

use super::forwarded::{self, Origin};
use super::text::{of_header, of_url};
use super::url::{Target, redacted, redacted_path};
use super::{AttributeSink, Options, http, name, network};
use crate::protocol::http::Head;
use crate::span::Span;

pub(super) fn attributes(span: &Span, options: &Options, sink: &mut impl AttributeSink) {
    let Some(head) = span.http_request() else {
        return;
    };
    http::method(head, options, sink);
    let target = Target::parse(head.method(), head.target());
    if !head.target().is_empty() {
        sink.text(name::URL_PATH, &[&redacted_path(of_url(target.path))]);
    }
    if let Some(query) = target.query
        && !query.is_empty()
    {
        sink.text(name::URL_QUERY, &[&redacted(of_url(query))]);
    }
    let fields = Fields::of(head);
    fields.scheme(&target, sink);
    let asked = fields.origin.host.or(target.authority).or(fields.host);
    network::served(span, asked, sink);
    network::client(span, fields.origin.client, sink);
    if let Some(agent) = fields.user_agent {
        sink.text("user_agent.original", &[&of_header(agent)]);
    }
}

/// The fields that matter here, found in one pass; the first of each name counts.
#[derive(Default)]
pub(super) struct Fields<'a> {
    /// `:authority`, else `Host`.
    pub host: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    pub user_agent: Option<&'a [u8]>,
    pub origin: Origin<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(head: &'a Head) -> Self {
        let mut fields = Fields::default();
        let mut forwarded = None;
        let mut authority = None;
        let mut older = Origin::default();
        for (name, value) in head.fields() {
            match name {
                b"host" => _ = fields.host.get_or_insert(value),
                b":authority" => authority = Some(value),
                b":scheme" => fields.scheme = Some(value),
                b"user-agent" => _ = fields.user_agent.get_or_insert(value),
                b"forwarded" => _ = forwarded.get_or_insert(value),
                b"x-forwarded-for" if older.client.is_none() => {
                    older.client = forwarded::first(value).and_then(forwarded::client);
                }
                b"x-forwarded-host" if older.host.is_none() => {
                    older.host = forwarded::first(value);
                }
                b"x-forwarded-proto" if older.scheme.is_none() => {
                    older.scheme = forwarded::first(value).and_then(forwarded::scheme);
                }
                _ => {}
            }
        }
        if let Some(value) = forwarded {
            fields.origin.forwarded(value);
        }
        fields.origin = fields.origin.or(older);
        fields.host = authority.or(fields.host);
        fields
    }

    /// The scheme that the client used; schemes are lower case (RFC 3986, section 3.1).
    pub(super) fn scheme(&self, target: &Target<'_>, sink: &mut impl AttributeSink) {
        let scheme = self.origin.scheme.or(target.scheme).or(self.scheme);
        let scheme = of_url(scheme.unwrap_or(b"http"));
        match scheme.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => sink.text("url.scheme", &[&scheme.to_ascii_lowercase()]),
            false => sink.text("url.scheme", &[&scheme]),
        }
    }
}
