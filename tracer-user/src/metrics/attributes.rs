//! What a series is of: attributes packed into bytes, which are compared and hashed as they are.
//!
//! Each attribute is the length of its name (1 byte), its name, a tag, and its value: 8 bytes of a
//! number, little endian, or the length of a text (2 bytes) and the text. They stand in the order in
//! which they were told, which is the same for all exchanges of a kind.

use std::borrow::Borrow;

use crate::semconv::AttributeSink;

/// Longest text, in bytes: names of hosts have 255 at most, names of methods are shorter still. What
/// is longer is cut, as somebody sends it to fill our memory.
const LONGEST_TEXT: usize = 255;

const INT: u8 = 0;
const TEXT: u8 = 1;
const TRUE: u8 = 2;

/// An attribute's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A whole number.
    Int(i64),
    /// `true`.
    True,
}

/// A set of attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attributes(Box<[u8]>);

impl Attributes {
    /// Of packed bytes, see [`Packer`].
    pub(super) fn of(packed: &[u8]) -> Self {
        Attributes(packed.into())
    }

    /// Each attribute.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || next(&mut rest))
    }
}

impl Borrow<[u8]> for Attributes {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Takes an attribute off; none at the end.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Value<'a>)> {
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at_checked(length)?;
        *rest = left;
        Some(taken)
    };
    let length = take(1)?[0];
    let name = std::str::from_utf8(take(length.into())?).ok()?;
    let value = match take(1)?[0] {
        INT => Value::Int(i64::from_le_bytes(take(8)?.try_into().ok()?)),
        TEXT => {
            let length = u16::from_le_bytes(take(2)?.try_into().ok()?);
            Value::Text(std::str::from_utf8(take(length.into())?).ok()?)
        }
        _ => Value::True,
    };
    Some((name, value))
}

/// Packs attributes behind what is there.
pub(super) struct Packer<'a>(pub &'a mut Vec<u8>);

impl Packer<'_> {
    fn name(&mut self, name: &str, tag: u8) {
        debug_assert!(name.len() < 256, "{name}");
        self.0.push(name.len() as u8);
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(tag);
    }

    /// A mark.
    pub(super) fn mark(&mut self, name: &str) {
        self.name(name, TRUE);
    }
}

impl AttributeSink for Packer<'_> {
    #[inline]
    fn text(&mut self, name: &str, pieces: &[&str]) {
        self.name(name, TEXT);
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        for piece in pieces {
            let room = LONGEST_TEXT - (self.0.len() - start - 2);
            let cut = piece.floor_char_boundary(room);
            self.0.extend_from_slice(&piece.as_bytes()[..cut]);
        }
        let length = (self.0.len() - start - 2) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_le_bytes());
    }

    #[inline]
    fn int(&mut self, name: &str, value: i64) {
        self.name(name, INT);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// No series is of a fraction: each would be one.
    fn double(&mut self, name: &str, _: f64) {
        debug_assert!(false, "{name}");
    }

    /// Nor of a list.
    fn texts(&mut self, name: &str, _: &[&str]) {
        debug_assert!(false, "{name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(tell: impl Fn(&mut Packer<'_>)) -> Attributes {
        let mut bytes = Vec::new();
        tell(&mut Packer(&mut bytes));
        Attributes::of(&bytes)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let attributes = packed(|sink| {
            sink.text("url.scheme", &["ht", "tp"]);
            sink.int("server.port", -1);
            sink.mark("otel.metric.overflow");
            sink.text("empty", &[]);
        });
        let told: Vec<_> = attributes.iter().collect();
        assert_eq!(
            told,
            [
                ("url.scheme", Value::Text("http")),
                ("server.port", Value::Int(-1)),
                ("otel.metric.overflow", Value::True),
                ("empty", Value::Text("")),
            ]
        );
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let long = "ä".repeat(200);
        let attributes = packed(|sink| sink.text("a", &["x", &long, "y"]));
        let (_, Value::Text(text)) = attributes.iter().next().unwrap() else {
            panic!("no text");
        };
        assert_eq!(text.len(), 255);
        assert_eq!(text, format!("x{}", "ä".repeat(127)));
    }
}
