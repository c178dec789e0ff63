//! Request targets (RFC 9112, section 3.2), authorities (RFC 3986, section 3.2), and what must not
//! be shown of a URL.

use std::borrow::Cow;
use std::ops::Range;

use crate::secrets;

/// A request's target, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Absolute form: as sent.
    pub scheme: Option<&'a [u8]>,
    /// Absolute form and authority form (CONNECT).
    pub authority: Option<&'a [u8]>,
    /// `*` in asterisk form, empty in authority form.
    pub path: &'a [u8],
    /// Without its `?`.
    pub query: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    pub(super) fn parse(method: &[u8], target: &'a [u8]) -> Self {
        if target.first() != Some(&b'/') {
            if method == b"CONNECT" {
                return Target {
                    scheme: None,
                    authority: Some(target),
                    path: b"",
                    query: None,
                };
            }
            if let Some((scheme, rest)) = split_scheme(target) {
                let end = memchr::memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at(end);
                let (path, query) = split_query(rest);
                return Target {
                    scheme: Some(scheme),
                    authority: Some(authority),
                    // RFC 3986, 6.2.3: the same.
                    path: if path.is_empty() { b"/" } else { path },
                    query,
                };
            }
        }
        let (path, query) = split_query(target);
        Target {
            scheme: None,
            authority: None,
            path,
            query,
        }
    }
}

/// `http` and the rest of `http://rest`.
fn split_scheme(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b':', target)?;
    let scheme = &target[..end];
    let rest = target[end..].strip_prefix(b"://")?;
    is_scheme(scheme).then_some((scheme, rest))
}

/// RFC 3986, section 3.1.
pub(super) fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
}

fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// An authority, or a `Host` field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// Whether it began with `user:password@`.
    pub credentials: bool,
    /// Host and port as they stand, without credentials.
    pub host_port: &'a [u8],
    /// Without port and without an IPv6 address' brackets.
    pub host: &'a [u8],
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// None if there is no host in it.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let (credentials, host_port) = match memchr::memrchr(b'@', text) {
            Some(at) => (true, &text[at + 1..]),
            None => (false, text),
        };
        let (host, rest) = match host_port.strip_prefix(b"[") {
            Some(inner) => {
                let end = memchr::memchr(b']', inner)?;
                (&inner[..end], &inner[end + 1..])
            }
            None => {
                let end = memchr::memchr(b':', host_port).unwrap_or(host_port.len());
                host_port.split_at(end)
            }
        };
        let port = rest
            .strip_prefix(b":")
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok());
        (!host.is_empty()).then_some(Authority {
            credentials,
            host_port,
            host,
            port,
        })
    }
}

/// The query, with the values of secret parameters replaced, and who logs in at a URL within it.
pub(super) fn redacted(query: Cow<'_, str>) -> Cow<'_, str> {
    // HTML 4 had `;` between parameters, too.
    without_users(without_secrets(query, &['&', ';']))
}

/// The path, likewise: a folder may have parameters (RFC 3986, section 3.3), such as Java's sessions.
pub(super) fn redacted_path(path: Cow<'_, str>) -> Cow<'_, str> {
    without_users(match path.contains(';') {
        true => without_secrets(path, &[';', '&', '/']),
        false => path,
    })
}

fn without_secrets<'a>(text: Cow<'a, str>, separators: &[char]) -> Cow<'a, str> {
    let mut secrets = Vec::new();
    let mut begin = 0;
    for parameter in text.split_inclusive(separators) {
        let value_end = begin + parameter.trim_end_matches(separators).len();
        // Its value may be a URL that has parameters itself.
        let mut at = begin;
        let mut nested = parameter.split_inclusive(['?', '#']);
        let found = nested.find_map(|nested| {
            let key = secret(nested);
            at += key.map_or(nested.len(), |key| key.len() + 1);
            key
        });
        if found.is_some() {
            secrets.push(at..value_end);
        } else if let Some((key, value)) = parameter.split_once('=')
            && encodes_secrets(value)
        {
            secrets.push(begin + key.len() + 1..value_end);
        }
        begin += parameter.len();
    }
    replaced(text, &secrets, "REDACTED")
}

/// Whether a percent-encoded URL, or query, in a value has what is not to be shown. Looked at is what was
/// encoded once.
fn encodes_secrets(value: &str) -> bool {
    let encoded = |digits: &[u8; 2]| matches!(digits, b"3d" | b"3D" | b"40");
    let mut escapes = memchr::memchr_iter(b'%', value.as_bytes());
    if !escapes.any(|at| {
        value.as_bytes()[at + 1..]
            .first_chunk()
            .is_some_and(encoded)
    }) {
        return false;
    }
    let decoded = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
    let mut parameters = decoded.split(['?', '#', '&', ';']);
    parameters.any(|parameter| secret(parameter).is_some())
        || matches!(without_users(Cow::Borrowed(&decoded)), Cow::Owned(_))
}

/// `user:password@` of URLs within it is replaced.
fn without_users(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('@') {
        return text;
    }
    let users = text.match_indices("//").filter_map(|(slashes, _)| {
        let begin = slashes + 2;
        let authority = text[begin..].split(['/', '?', '#', '&']).next()?;
        Some(begin..begin + authority.rfind('@')?)
    });
    let users: Vec<_> = users.collect();
    replaced(text, &users, "REDACTED:REDACTED")
}

/// Another text in place of those parts of it, which stand in order.
fn replaced<'a>(text: Cow<'a, str>, parts: &[Range<usize>], by: &str) -> Cow<'a, str> {
    if parts.is_empty() {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    let mut kept = 0;
    for part in parts {
        shown.push_str(&text[kept..part.start]);
        shown.push_str(by);
        kept = part.end;
    }
    shown.push_str(&text[kept..]);
    Cow::Owned(shown)
}

/// The name of a parameter whose value is secret.
fn secret(parameter: &str) -> Option<&str> {
    let (key, _) = parameter.split_once('=')?;
    secrets::is_parameter(key.as_bytes()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (
        Option<&'a [u8]>,
        Option<&'a [u8]>,
        &'a [u8],
        Option<&'a [u8]>,
    );

    fn parts<'a>(method: &str, target: &'a str) -> Parts<'a> {
        let t = Target::parse(method.as_bytes(), target.as_bytes());
        (t.scheme, t.authority, t.path, t.query)
    }

    #[test]
    fn forms_of_targets() {
        assert_eq!(
            parts("GET", "/a?b=c?d"),
            (None, None, b"/a".as_slice(), Some(b"b=c?d".as_slice()))
        );
        assert_eq!(
            parts("GET", "/a?"),
            (None, None, b"/a".as_slice(), Some(b"".as_slice()))
        );
        assert_eq!(parts("OPTIONS", "*"), (None, None, b"*".as_slice(), None));
        assert_eq!(
            parts("CONNECT", "example.com:443"),
            (
                None,
                Some(b"example.com:443".as_slice()),
                b"".as_slice(),
                None
            )
        );
        assert_eq!(
            parts("GET", "http://u:p@h:81/x?y"),
            (
                Some(b"http".as_slice()),
                Some(b"u:p@h:81".as_slice()),
                b"/x".as_slice(),
                Some(b"y".as_slice())
            )
        );
        assert_eq!(
            parts("GET", "HTTPS://h?y"),
            (
                Some(b"HTTPS".as_slice()),
                Some(b"h".as_slice()),
                b"/".as_slice(),
                Some(b"y".as_slice())
            )
        );
        assert_eq!(parts("GET", "x:y"), (None, None, b"x:y".as_slice(), None));
        assert_eq!(
            parts("GET", "//h/x"),
            (None, None, b"//h/x".as_slice(), None)
        );
        assert_eq!(
            parts("GET", "/to?u=http://h/"),
            (
                None,
                None,
                b"/to".as_slice(),
                Some(b"u=http://h/".as_slice())
            )
        );
        assert_eq!(parts("GET", ""), (None, None, b"".as_slice(), None));
    }

    #[test]
    fn authorities() {
        let parse = |text: &'static str| {
            Authority::parse(text.as_bytes()).map(|a| (a.credentials, a.host, a.port))
        };
        assert_eq!(
            parse("example.com"),
            Some((false, b"example.com".as_slice(), None))
        );
        assert_eq!(
            parse("example.com:8080"),
            Some((false, b"example.com".as_slice(), Some(8080)))
        );
        assert_eq!(
            parse("[2001:db8::1]:80"),
            Some((false, b"2001:db8::1".as_slice(), Some(80)))
        );
        assert_eq!(parse("[::1]"), Some((false, b"::1".as_slice(), None)));
        assert_eq!(parse("u:p@h:1"), Some((true, b"h".as_slice(), Some(1))));
        assert_eq!(parse("h:port"), Some((false, b"h".as_slice(), None)));
        assert_eq!(parse("h:70000"), Some((false, b"h".as_slice(), None)));
        assert_eq!(parse(""), None);
        assert_eq!(parse(":80"), None);
        assert_eq!(parse("[::1"), None);
    }

    #[test]
    fn secrets_are_redacted() {
        let shown = |query| redacted(Cow::Borrowed(query)).into_owned();
        assert_eq!(
            shown("a=1&X-Amz-Signature=s3cr3t&sig=&b&Signature"),
            "a=1&X-Amz-Signature=REDACTED&sig=REDACTED&b&Signature"
        );
        assert_eq!(
            shown("a=1;token=s3c=r3t;b=2&%74oken=x"),
            "a=1;token=REDACTED;b=2&%74oken=REDACTED"
        );
        assert_eq!(
            redacted_path(Cow::Borrowed("/a;jsessionid=1A/b;c=d")),
            "/a;jsessionid=REDACTED/b;c=d"
        );
        assert!(matches!(
            redacted(Cow::Borrowed("a=1&SIGN=2")),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn secrets_of_urls_within_are_redacted() {
        let shown = |query| redacted(Cow::Borrowed(query)).into_owned();
        assert_eq!(
            shown("next=https://u:s3cr3t@h/p?access_token=s3c?r3t&b=2#sig=3;c=//v@i"),
            "next=https://REDACTED:REDACTED@h/p?access_token=REDACTED&b=2#sig=REDACTED;c=//REDACTED:REDACTED@i"
        );
        assert_eq!(
            shown("token=s3c?r3t=1#s3cr3t&mail=a@b&url=//h/@c&q=//h&m=a@b"),
            "token=REDACTED&mail=a@b&url=//h/@c&q=//h&m=a@b"
        );
        assert_eq!(
            shown(
                "url=http%3A%2F%2Fh%2F%3Ftoken%3Ds3cr3t&u=https%3a%2f%2fu%3as3cr3t%40h&mail=a%40b&q=a%3Db%"
            ),
            "url=REDACTED&u=REDACTED&mail=a%40b&q=a%3Db%"
        );
        let shown = |path| redacted_path(Cow::Borrowed(path)).into_owned();
        assert_eq!(
            shown("/fetch/http://u:s3c;r3t@h/x;token=s3cr3t/y"),
            "/fetch/http://REDACTED:REDACTED@h/x;token=REDACTED/y"
        );
        assert_eq!(shown("//u:s3cr3t@h/a@b"), "//REDACTED:REDACTED@h/a@b");
    }
}
