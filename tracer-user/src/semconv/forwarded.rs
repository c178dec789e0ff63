//! What proxies say of the request's origin: `Forwarded` (RFC 7239) and the `X-Forwarded-*` fields
//! that it replaces. The first proxy's word counts: it alone saw the client.

use super::url::{Authority, is_scheme};

/// A request's origin, as far as proxies tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    /// The client, without port.
    pub client: Option<&'a [u8]>,
    /// Host that the client asked for, perhaps with port.
    pub host: Option<&'a [u8]>,
    /// Scheme that the client used, in any case of letters.
    pub scheme: Option<&'a [u8]>,
}

impl<'a> Origin<'a> {
    /// Takes the value of a `Forwarded` field.
    pub(super) fn forwarded(&mut self, value: &'a [u8]) {
        for (name, value) in pairs(value) {
            match name {
                _ if name.eq_ignore_ascii_case(b"for") => self.client = client(value),
                _ if name.eq_ignore_ascii_case(b"host") => self.host = Some(value),
                _ if name.eq_ignore_ascii_case(b"proto") => self.scheme = scheme(value),
                _ => {}
            }
        }
    }

    /// Fills in what `self` leaves open.
    pub(super) fn or(self, other: Origin<'a>) -> Origin<'a> {
        Origin {
            client: self.client.or(other.client),
            host: self.host.or(other.host),
            scheme: self.scheme.or(other.scheme),
        }
    }
}

/// The first value of a list.
pub(super) fn first(list: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b',', list).unwrap_or(list.len());
    let value = unquoted(list[..end].trim_ascii());
    (!value.is_empty()).then_some(value)
}

/// A client's address without the port that some proxies add; none for `unknown`.
pub(super) fn client(node: &[u8]) -> Option<&[u8]> {
    // A bare IPv6 address has colons, but no port.
    if memchr::memchr_iter(b':', node).count() > 1 && node.first() != Some(&b'[') {
        return Some(node);
    }
    let host = Authority::parse(node)?.host;
    (!host.eq_ignore_ascii_case(b"unknown")).then_some(host)
}

/// A scheme, if it is one.
pub(super) fn scheme(value: &[u8]) -> Option<&[u8]> {
    is_scheme(value).then_some(value)
}

/// The `name=value` pairs of the first element of a `Forwarded` field.
fn pairs(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let end = unquoted_position(field, b',').unwrap_or(field.len());
    let mut rest = &field[..end];
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = unquoted_position(rest, b';').unwrap_or(rest.len());
        let pair = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(pair)
    })
    .filter_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        let value = unquoted(pair[equals + 1..].trim_ascii());
        (!value.is_empty()).then_some((pair[..equals].trim_ascii(), value))
    })
}

/// Where the byte first stands outside quotes.
fn unquoted_position(text: &[u8], wanted: u8) -> Option<usize> {
    let mut quoted = false;
    text.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == wanted && !quoted
    })
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"")
        .and_then(|text| text.strip_suffix(b"\""))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(value: &[u8]) -> Origin<'_> {
        let mut origin = Origin::default();
        origin.forwarded(value);
        origin
    }

    #[test]
    fn first_element_of_forwarded_counts() {
        let all = origin(
            b"For=\"[2001:db8::17]:4711\";proto=https; host=\"example.com:8443\", for=10.0.0.1",
        );
        assert_eq!(all.client, Some(b"2001:db8::17".as_slice()));
        assert_eq!(all.host, Some(b"example.com:8443".as_slice()));
        assert_eq!(all.scheme, Some(b"https".as_slice()));
    }

    #[test]
    fn quotes_hide_separators() {
        let all = origin(b"for=\"a;b,c\";host=h");
        assert_eq!(all.client, Some(b"a;b,c".as_slice()));
        assert_eq!(all.host, Some(b"h".as_slice()));
    }

    #[test]
    fn unknown_and_broken_parts_say_nothing() {
        assert_eq!(
            origin(b"for=unknown;proto=\"no scheme\""),
            Origin::default()
        );
        assert_eq!(origin(b"for=;;=x;host"), Origin::default());
        assert_eq!(origin(b"for=_hidden").client, Some(b"_hidden".as_slice()));
    }

    #[test]
    fn lists_of_x_forwarded_for() {
        assert_eq!(
            first(b"203.0.113.7 , 10.0.0.1").and_then(client),
            Some(b"203.0.113.7".as_slice())
        );
        assert_eq!(
            first(b"203.0.113.7:5000").and_then(client),
            Some(b"203.0.113.7".as_slice())
        );
        assert_eq!(
            first(b"2001:db8::1").and_then(client),
            Some(b"2001:db8::1".as_slice())
        );
        assert_eq!(
            first(b"\"[2001:db8::1]\"").and_then(client),
            Some(b"2001:db8::1".as_slice())
        );
        assert_eq!(first(b" , 10.0.0.1"), None);
    }
}
