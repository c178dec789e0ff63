//! The access token that a TTHeader may carry as an info of its own, without a name (gopkg,
//! protocol/ttheader: `InfoIDACLToken`).
//!
//! One state per direction, moved byte by byte: a header is known by its fixed part, wherever that stands,
//! and its infos are walked. What only looks like one loses a few bytes of a body.

use super::lines::MASK;

/// A header's fixed part: `u32 LENGTH | 1000 | u16 flags | i32 sequence id | u16 words`; behind it that many
/// words of 4 bytes.
const FIXED: usize = 14;

/// Infos, by their ids: pairs of texts, pairs of a number and a text, and the token.
const TEXTS: u8 = 0x01;
const NUMBERS: u8 = 0x10;
const TOKEN: u8 = 0x11;

/// Where one direction is.
#[derive(Debug, Default)]
pub struct Token {
    /// The last bytes, which may be a header's fixed part.
    before: [u8; FIXED],
    /// Bytes left of a header's words; 0: this is in none.
    words: usize,
    place: Place,
    /// The id of the info at hand, and how many pairs it has yet.
    info: u8,
    pairs: u16,
    /// The text at hand is a pair's value.
    value: bool,
    /// Bytes left of it.
    text: u16,
}

/// What comes next in the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Protocol,
    Transforms,
    Info,
    /// A number, of which this byte may have been read.
    Number(Number, Option<u8>),
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    /// Of pairs.
    Count,
    Key,
    /// Of a text.
    Length,
}

impl Token {
    /// Takes the next bytes, and hides in them.
    pub fn bytes(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.words == 0 {
                self.look(*byte);
                continue;
            }
            let is_secret = self.place == Place::Text && self.info == TOKEN;
            self.words -= 1;
            if !self.walk(*byte) {
                // It was no header.
                self.words = 0;
            }
            if is_secret {
                *byte = MASK;
            }
        }
    }

    /// So many bytes are missing. In the rest of a header a token may be: all of it is taken for one.
    pub fn hole(&mut self, length: Option<u64>) {
        let length = length.and_then(|length| usize::try_from(length).ok());
        self.before = [0; FIXED];
        self.words = length.map_or(0, |length| self.words.saturating_sub(length));
        self.info = TOKEN;
        self.text = u16::MAX;
        self.place = Place::Text;
    }

    /// Looks for a header's fixed part.
    fn look(&mut self, byte: u8) {
        self.before.rotate_left(1);
        self.before[FIXED - 1] = byte;
        let [a, b, c, d, 0x10, 0, .., high, low] = self.before else {
            return;
        };
        let words = 4 * usize::from(u16::from_be_bytes([high, low]));
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        // LENGTH counts what follows it, the payload included.
        if words > 0 && FIXED + words <= length.saturating_add(4) {
            self.before = [0; FIXED];
            self.words = words;
            self.place = Place::Protocol;
        }
    }

    /// Goes on in the words. False: they make no sense.
    fn walk(&mut self, byte: u8) -> bool {
        match (self.place, byte) {
            (Place::Protocol, _) => self.place = Place::Transforms,
            (Place::Transforms | Place::Info, 0) => self.place = Place::Info,
            (Place::Info, TEXTS | NUMBERS) => {
                self.info = byte;
                self.place = Place::Number(Number::Count, None);
            }
            (Place::Info, TOKEN) => {
                self.info = byte;
                self.place = Place::Number(Number::Length, None);
            }
            (Place::Transforms | Place::Info, _) => return false,
            (Place::Number(number, None), high) => {
                self.place = Place::Number(number, Some(high));
            }
            (Place::Number(number, Some(high)), low) => {
                self.number(number, u16::from_be_bytes([high, low]));
            }
            (Place::Text, _) => {
                self.text -= 1;
                if self.text == 0 {
                    self.text_over();
                }
            }
        }
        true
    }

    fn number(&mut self, number: Number, is: u16) {
        match number {
            Number::Count => {
                self.pairs = is;
                self.pair();
            }
            Number::Key => {
                self.value = true;
                self.place = Place::Number(Number::Length, None);
            }
            Number::Length => {
                self.text = is;
                self.place = Place::Text;
                if is == 0 {
                    self.text_over();
                }
            }
        }
    }

    /// The next pair, if there is one.
    fn pair(&mut self) {
        let Some(pairs) = self.pairs.checked_sub(1) else {
            self.place = Place::Info;
            return;
        };
        self.pairs = pairs;
        self.value = false;
        let first = match self.info {
            NUMBERS => Number::Key,
            _ => Number::Length,
        };
        self.place = Place::Number(first, None);
    }

    fn text_over(&mut self) {
        match (self.info, self.value) {
            (TOKEN, _) => self.place = Place::Info,
            (_, true) => self.pair(),
            (_, false) => {
                self.value = true;
                self.place = Place::Number(Number::Length, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte, and a message: pairs of both kinds, a token, and one without a byte.
    const MESSAGE: &[u8] = b"x\0\0\0\x2e\x10\0\0\0\0\0\0\x01\0\x08\0\0\x10\0\x01\0\x09\0\x02me\
        \x01\0\x01\0\x01k\0\x00\x11\0\x06s3cr3t\x11\0\0\0body";

    #[test]
    fn the_token_is_hidden_wherever_it_is_cut() {
        let mut wanted = MESSAGE.to_vec();
        let at = MESSAGE
            .windows(6)
            .position(|part| part == b"s3cr3t")
            .unwrap();
        wanted[at..at + 6].fill(MASK);
        for cut in 0..MESSAGE.len() {
            let mut bytes = MESSAGE.to_vec();
            let mut token = Token::default();
            let (one, other) = bytes.split_at_mut(cut);
            token.bytes(one);
            token.bytes(other);
            assert_eq!(bytes, wanted, "cut at {cut}");
        }
    }

    #[test]
    fn behind_a_hole_in_a_header_nothing_of_it_is_kept() {
        let mut token = Token::default();
        token.bytes(&mut MESSAGE[..20].to_vec());
        token.hole(Some(10));
        let mut rest = MESSAGE[30..].to_vec();
        token.bytes(&mut rest);
        assert!(!rest.windows(3).any(|part| part == b"s3c"), "{rest:?}");
        assert!(rest.ends_with(b"body"));
    }
}
