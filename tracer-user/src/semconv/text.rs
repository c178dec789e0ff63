//! Bytes of a socket as UTF-8: copied only where they are not.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// Part of a URL; bytes that are not UTF-8 are percent-encoded.
pub(super) fn of_url(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut text = String::with_capacity(bytes.len() + 16);
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                for byte in chunk.invalid() {
                    // Writing to a string can't fail.
                    let _ = write!(text, "%{byte:02X}");
                }
            }
            Cow::Owned(text)
        }
    }
}

/// A header's value; read as ISO-8859-1 if it is not UTF-8.
pub(super) fn of_header(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Most bytes of a status' description: the begin of a panic's stack is in it, as Kitex sends it.
const LONGEST_DESCRIPTION: usize = 2048;

/// The begin of a text that somebody wrote who has never seen it in a list of spans.
pub(super) fn in_short(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= LONGEST_DESCRIPTION {
        return text;
    }
    let end = text.floor_char_boundary(LONGEST_DESCRIPTION);
    Cow::Owned(text[..end].to_owned())
}

/// Something short, written out without an allocation.
pub(super) struct Short {
    bytes: [u8; Short::LONGEST],
    length: usize,
}

impl Short {
    /// An IPv6 address is at most 39 characters; what is longer is cut.
    const LONGEST: usize = 48;

    /// An address as the conventions want it: no brackets, no zone, IPv4 where it is meant
    /// (`::ffff:192.0.2.1` is how a socket for both families shows it).
    pub(super) fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Short::ipv4(address),
            IpAddr::V6(address) => Short::of(format_args!("{address}")),
        }
    }

    /// Digit by digit, since it is on every span: the formatter of the standard library costs a tenth
    /// of the whole encoding.
    fn ipv4(address: Ipv4Addr) -> Self {
        let mut short = Short::empty();
        for (index, octet) in address.octets().into_iter().enumerate() {
            if index > 0 {
                short.push(b'.');
            }
            if octet >= 100 {
                short.push(b'0' + octet / 100);
            }
            if octet >= 10 {
                short.push(b'0' + octet / 10 % 10);
            }
            short.push(b'0' + octet % 10);
        }
        short
    }

    fn push(&mut self, byte: u8) {
        if let Some(room) = self.bytes.get_mut(self.length) {
            *room = byte;
            self.length += 1;
        }
    }

    fn empty() -> Self {
        Short {
            bytes: [0; Short::LONGEST],
            length: 0,
        }
    }

    /// What the arguments come to.
    pub(super) fn of(what: std::fmt::Arguments<'_>) -> Self {
        let mut short = Short::empty();
        // An error says it was cut, which the limit allows.
        let _ = short.write_fmt(what);
        short
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let room = self
            .bytes
            .get_mut(self.length..end)
            .ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_is_borrowed() {
        assert!(matches!(of_url("/ä".as_bytes()), Cow::Borrowed("/ä")));
        assert!(matches!(of_header("ä".as_bytes()), Cow::Borrowed("ä")));
    }

    #[test]
    fn other_bytes_can_be_told() {
        assert_eq!(of_url(b"/a\xff\xc3\xa4/\xe4"), "/a%FFä/%E4");
        assert_eq!(of_header(b"M\xfcller"), "Müller");
    }

    #[test]
    fn addresses_are_canonical() {
        for (address, text) in [
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("0.10.100.255", "0.10.100.255"),
            ("2001:db8::1", "2001:db8::1"),
            (
                "2001:db8:1111:2222:3333:4444:5555:6666",
                "2001:db8:1111:2222:3333:4444:5555:6666",
            ),
        ] {
            assert_eq!(Short::address(address.parse().unwrap()).as_str(), text);
        }
    }
}
