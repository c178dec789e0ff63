//! Secrets in lines of text: HTTP/1's fields, and parameters in any line.
//!
//! One state per direction, moved byte by byte, so that it does not matter how transfers cut a head. What
//! is no head is gone through likewise: a body that looks like one is hidden like one.

use memchr::{memchr2, memchr3};

use crate::secrets::{self, LONGEST_NAME};

/// What hides a byte.
pub(super) const MASK: u8 = b'*';

/// Where one direction is.
#[derive(Debug, Default)]
pub struct Lines {
    state: State,
    /// What was read of a name.
    name: Vec<u8>,
    /// The last line that told was a field: a hole now may be one in a secret.
    in_fields: bool,
    /// There was a field: this is text.
    text: bool,
    /// Behind `?`: what a parameter's value may hold.
    query: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At a line's begin: this may be a field's name.
    #[default]
    Name,
    /// In a line, where nothing is secret.
    Other,
    /// Behind `?`, `&`, `;` or `#`: this may be a parameter's name.
    Parameter,
    /// In a parameter's value that is secret.
    SecretParameter,
    /// Behind `:`, and so many slashes: this may begin a URL's authority.
    Slashes(u8),
    /// In a URL's authority, in which `user:password@` may stand.
    Authority,
    /// In a `Host` field's value.
    Host(Host),
    /// In a field's value that is secret.
    Secret,
    /// Behind its line: a space goes on with it (obs-fold).
    Fold,
    /// Behind a hole, perhaps within such a value.
    Hole,
}

/// What was read of a `Host` field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    /// A name, perhaps.
    Name,
    /// And a colon, and digits.
    Port,
    /// What is neither.
    User,
}

impl Lines {
    /// Takes the next bytes, and hides in them.
    pub fn bytes(&mut self, bytes: &mut [u8]) {
        if self.state == State::Hole {
            self.behind_hole(bytes);
        }
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Name => self.name_byte(byte),
                State::Other => match next(&bytes[at..]) {
                    Some(found) => {
                        at += found;
                        self.query |= bytes[at] == b'?';
                        self.begin(match bytes[at] {
                            b'\n' => State::Name,
                            b':' => State::Slashes(0),
                            _ => State::Parameter,
                        });
                    }
                    None => return,
                },
                State::Slashes(slashes) => match (byte, slashes) {
                    (b'/', 0) => self.state = State::Slashes(1),
                    (b'/', _) => self.state = State::Authority,
                    _ => {
                        self.state = State::Other;
                        continue;
                    }
                },
                State::Authority => {
                    let end = hide_userinfo(&mut bytes[at..]);
                    match end {
                        Some(end) => {
                            at += end;
                            self.state = State::Other;
                            continue;
                        }
                        None => return,
                    }
                }
                State::Host(read) => {
                    let (end, read) = hide_in_host(&mut bytes[at..], read);
                    match end {
                        Some(end) => {
                            at += end;
                            self.state = State::Other;
                            continue;
                        }
                        None => {
                            self.state = State::Host(read);
                            return;
                        }
                    }
                }
                State::Parameter => match byte {
                    b'\n' => self.begin(State::Name),
                    b'?' | b'&' | b';' | b'#' => {
                        self.query |= byte == b'?';
                        self.name.clear();
                    }
                    b'=' if secrets::is_parameter(&self.name) => {
                        self.state = State::SecretParameter
                    }
                    // `user[password]`, as frameworks name what lies within.
                    _ if (is_token(byte) || matches!(byte, b'[' | b']'))
                        && self.name.len() < LONGEST_NAME =>
                    {
                        self.name.push(byte);
                    }
                    _ => self.state = State::Other,
                },
                State::SecretParameter => match byte {
                    0..=b' ' | b'&' | b';' | b'#' | b'"' | b'<' | b'>' => {
                        self.state = State::Other;
                        continue;
                    }
                    b'/' | b'?' if !self.query => {
                        self.state = State::Other;
                        continue;
                    }
                    _ => bytes[at] = MASK,
                },
                State::Secret | State::Hole => match byte {
                    b'\n' => self.state = State::Fold,
                    b'\r' | b' ' | b'\t' => {}
                    _ => bytes[at] = MASK,
                },
                State::Fold => {
                    match byte {
                        b' ' | b'\t' => self.state = State::Secret,
                        _ => self.begin(State::Name),
                    }
                    continue;
                }
            }
            at += 1;
        }
    }

    /// Bytes are missing.
    pub fn hole(&mut self) {
        let secret = match self.state {
            State::Secret
            | State::SecretParameter
            | State::Authority
            | State::Host(_)
            | State::Fold => true,
            State::Name
            | State::Parameter
            | State::Slashes(_)
            | State::Other
            // It is no more of one than it was.
            | State::Hole => self.in_fields,
        };
        self.begin(State::Other);
        // Where a body was, a message may begin at once, and need not: the bytes will tell.
        self.in_fields = secret;
        self.state = State::Hole;
    }

    /// Whether this is text, as far as was seen.
    pub fn are_text(&self) -> bool {
        self.text
    }

    fn begin(&mut self, state: State) {
        self.query &= state != State::Name;
        self.name.clear();
        self.state = state;
    }

    fn name_byte(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                // An empty line ends a head.
                self.in_fields &= !self.name.is_empty();
                self.name.clear();
            }
            b'\r' if self.name.is_empty() => {}
            b':' => {
                self.in_fields |= !self.name.is_empty();
                self.text |= self.in_fields;
                self.state = match &self.name[..] {
                    name if secrets::is_field(name) => State::Secret,
                    name if name.eq_ignore_ascii_case(b"host") => State::Host(Host::Name),
                    // Or a URL by itself.
                    _ => State::Slashes(0),
                };
            }
            // A form's first parameter.
            b'=' if secrets::is_parameter(&self.name) => {
                self.query = true;
                self.state = State::SecretParameter;
            }
            b'?' | b'&' | b';' => {
                self.query |= byte == b'?';
                self.begin(State::Parameter);
            }
            // A field's, though none may have a space there (RFC 9112, section 5.1).
            b' ' | b'\t' if secrets::is_field(&self.name) => self.state = State::Secret,
            _ if is_token(byte) && self.name.len() < LONGEST_NAME => self.name.push(byte),
            _ => {
                // No field: a message's first line, or no head at all. But a fold goes on with its field.
                self.in_fields &= self.name.is_empty() && matches!(byte, b' ' | b'\t');
                self.state = State::Other;
            }
        }
    }

    /// The rest of a line is a secret's if that was in fields, or if what follows it is a field and it
    /// is no message's first line itself.
    fn behind_hole(&mut self, bytes: &[u8]) {
        let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        let (line, rest) = bytes.split_at(end);
        let begins = memchr::memmem::find(line, b"HTTP/1.").is_some();
        let field_follows = || {
            let rest = rest.get(1..).unwrap_or_default();
            let name = rest.iter().take_while(|byte| is_token(**byte)).count();
            name > 0 && rest.get(name) == Some(&b':')
        };
        self.state = match self.in_fields || (!begins && field_follows()) {
            true => State::Secret,
            // It may be a line's begin as well.
            false => State::Name,
        };
    }
}

/// RFC 9110, 5.6.2, but for what stands between parameters.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%'*+-.^_`|~".contains(&byte)
}

/// Where something begins that may hold a secret, or a line ends.
fn next(bytes: &[u8]) -> Option<usize> {
    let line = memchr3(b'\n', b'?', b'&', bytes);
    memchr3(b':', b';', b'#', &bytes[..line.unwrap_or(bytes.len())]).or(line)
}

/// Hides `user:password` before the `@` of an authority, of which these bytes are the begin or a part.
/// Returns where it ends; none: it goes on behind them, and what no `@` was found in yet is hidden as well.
pub(super) fn hide_userinfo(authority: &mut [u8]) -> Option<usize> {
    let ends = |byte: &u8| *byte <= b' ' || b"/?#&\"'<>\\".contains(byte);
    let end = authority.iter().position(ends);
    let there = end.unwrap_or(authority.len());
    let at = memchr::memrchr(b'@', &authority[..there]);
    let secret = match end {
        Some(_) => at.unwrap_or(0),
        None => at.unwrap_or(there),
    };
    authority[..secret].fill(MASK);
    end
}

/// Hides what stands before an `@` in a `Host` field's value, of which these bytes are the begin or a part:
/// nothing may, but somebody's might. Returns where the line ends, if there, and what was read then.
/// Where the value goes on behind these bytes, what cannot be a host and port is hidden: what can is most
/// likely just that, and names the span.
fn hide_in_host(bytes: &mut [u8], mut read: Host) -> (Option<usize>, Host) {
    let end = memchr2(b'\r', b'\n', bytes);
    let length = end.unwrap_or(bytes.len());
    let blank = bytes.iter().take_while(|byte| **byte == b' ').count();
    let mut value = &mut bytes[blank.min(length)..length];
    if let Some(at) = memchr::memrchr(b'@', value) {
        value[..at].fill(MASK);
        value = &mut value[at + 1..];
        read = Host::Name;
    }
    let port = match (read, memchr::memchr(b':', value)) {
        (Host::Name, None) => return (end, read),
        (Host::Name, Some(colon)) => colon + 1,
        (Host::Port | Host::User, _) => 0,
    };
    let is_port = read != Host::User && value[port..].iter().all(u8::is_ascii_digit);
    if !is_port && end.is_none() {
        value.fill(MASK);
    }
    (end, if is_port { Host::Port } else { Host::User })
}

/// Hides secret parameters in a text by itself: a path, a URL.
pub fn hide_parameters(text: &mut [u8]) {
    let mut lines = Lines {
        state: State::Other,
        ..Lines::default()
    };
    lines.bytes(text);
}

/// Hides `user:password@` in an authority by itself.
pub fn hide_credentials(authority: &mut [u8]) {
    if authority.contains(&b'@') {
        hide_userinfo(authority);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All at once, and cut in every place.
    fn hidden(text: &str) -> String {
        let mut whole = text.as_bytes().to_vec();
        Lines::default().bytes(&mut whole);
        for cut in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            let mut lines = Lines::default();
            let (one, other) = bytes.split_at_mut(cut);
            lines.bytes(one);
            lines.bytes(other);
            // Of an authority that is cut, nothing is kept in which no `@` was found.
            let same = |(byte, whole): (&u8, &u8)| byte == whole || *byte == MASK;
            assert!(
                bytes.iter().zip(&whole).all(same),
                "cut at {cut}: {}",
                bytes.escape_ascii()
            );
        }
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn fields_that_authorise_are_hidden() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cr3t\r\nCOOKIE:a=b; c\r\n\tmore\r\nX: y\r\n\r\nbody";
        assert_eq!(
            hidden(text),
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: ****** ******\r\nCOOKIE:**** *\r\n\t****\r\nX: y\r\n\r\nbody"
        );
        assert_eq!(
            hidden("GET / HTTP/1.1\r\nAuthorization : Basic s3cr3t\r\nX : y\r\n\r\n"),
            "GET / HTTP/1.1\r\nAuthorization * ***** ******\r\nX : y\r\n\r\n"
        );
    }

    #[test]
    fn parameters_that_sign_are_hidden() {
        assert_eq!(
            hidden("GET /a?b=1&token=s3cr3t&c=2 HTTP/1.1\r\nReferer: http://h/?sig=abc#x\r\n\r\n"),
            "GET /a?b=1&token=******&c=2 HTTP/1.1\r\nReferer: http://h/?sig=***#x\r\n\r\n"
        );
        assert_eq!(
            hidden("GET /a;jsessionid=1A/b;c=d?e=f/g;key=a/b;h=i HTTP/1.1\r\n\r\n"),
            "GET /a;jsessionid=**/b;c=d?e=f/g;key=***;h=i HTTP/1.1\r\n\r\n"
        );
        assert_eq!(
            hidden("GET /a?user[password]=b HTTP/1.1\r\nReferer: /a?b[c]=d#id_token=e&f\r\n\r\n"),
            "GET /a?user[password]=* HTTP/1.1\r\nReferer: /a?b[c]=d#id_token=*&f\r\n\r\n"
        );
        assert_eq!(
            hidden("POST / HTTP/1.1\r\n\r\npassword=abc&x=1"),
            "POST / HTTP/1.1\r\n\r\npassword=***&x=1"
        );
    }

    #[test]
    fn users_of_urls_are_hidden() {
        assert_eq!(
            hidden(
                "GET http://user:s3cr3t@h:80/a HTTP/1.1\r\nReferer: https://a:b@h\r\nHost: h:80\r\n\r\n"
            ),
            "GET http://***********@h:80/a HTTP/1.1\r\nReferer: https://***@h\r\nHost: h:80\r\n\r\n"
        );
        assert_eq!(
            hidden("GET /to?u=ftp://u:p@h/&at=http://h/a@b HTTP/1.1\r\n\r\n"),
            "GET /to?u=ftp://***@h/&at=http://h/a@b HTTP/1.1\r\n\r\n"
        );
        let mut authority = b"user:s3cr3t@host:80".to_vec();
        hide_credentials(&mut authority);
        assert_eq!(authority, b"***********@host:80");
    }

    /// A host names spans: it is kept wherever transfers cut it. Of what stands before an `@` in a field that
    /// is cut, what might be a host is.
    #[test]
    fn a_host_is_kept_and_a_user_before_it_hidden() {
        for (host, pieces_of, shown) in [
            ("shop.test:8080", 1, "shop.test:8080"),
            ("[::1]:8080", 100, "[::1]:8080"),
            ("user:s3cr3t@h:80", 100, "***********@h:80"),
            ("user:s3cr3t@h:80", 1, "user:******@h:80"),
        ] {
            let mut lines = Lines::default();
            let text = |host| format!("GET / HTTP/1.1\r\nHOST: {host}\r\n\r\n");
            let mut bytes = text(host).into_bytes();
            let pieces = bytes.chunks_mut(pieces_of);
            pieces.for_each(|piece| lines.bytes(piece));
            let hidden = String::from_utf8(bytes).unwrap();
            assert_eq!(hidden, text(shown));
        }
    }

    #[test]
    fn what_is_behind_a_hole_in_a_head_is_hidden_up_to_its_line() {
        let mut lines = Lines::default();
        lines.bytes(&mut b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec());
        lines.hole();
        let mut rest = b"cr3t\r\nX: y\r\n\r\n".to_vec();
        lines.bytes(&mut rest);
        assert_eq!(rest, b"****\r\nX: y\r\n\r\n");
        // Unless it is a message's begin, however many holes its body was.
        let mut lines = Lines::default();
        lines.bytes(&mut b"POST / HTTP/1.1\r\nHost: a\r\n\r\nbody".to_vec());
        lines.hole();
        lines.hole();
        let mut rest = b"}GET /b HTTP/1.1\r\nX: y\r\n\r\n".to_vec();
        lines.bytes(&mut rest);
        assert_eq!(rest, b"}GET /b HTTP/1.1\r\nX: y\r\n\r\n");
        // Or the rest of another head.
        lines.hole();
        let mut rest = b"s3cr3t\r\nX: y\r\n\r\n5\r\n".to_vec();
        lines.bytes(&mut rest);
        assert_eq!(rest, b"******\r\nX: y\r\n\r\n5\r\n");
        // A body's chunks stay as they are.
        lines.hole();
        let mut rest = b"12\r\nabc\r\n0\r\n\r\n".to_vec();
        lines.bytes(&mut rest);
        assert_eq!(rest, b"12\r\nabc\r\n0\r\n\r\n");
    }
}
