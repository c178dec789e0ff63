//! Secrets among names and values that stand behind their lengths: the infos of TTHeader and of the mesh
//! header (lengths of two bytes), those of THeader (of one or two, varints).
//!
//! A pair is looked for at every byte, whatever carries it: a name that is a secret's behind its own length
//! is hardly anything else.

use super::lines::MASK;
use crate::secrets::{self, LONGEST_NAME};

/// What begins a pair, at most: two lengths and a name.
const LONGEST: usize = LONGEST_NAME + 4;

/// Where one direction is.
#[derive(Debug, Default)]
pub struct Pairs {
    /// The last bytes, in which a pair may have begun.
    before: Vec<u8>,
    /// Bytes to hide that are still to come.
    secret: u64,
}

impl Pairs {
    /// Takes the next bytes, and hides in them.
    pub fn bytes(&mut self, bytes: &mut [u8]) {
        let old = self.before.len();
        let mut text = std::mem::take(&mut self.before);
        text.extend_from_slice(bytes);
        // Of a value that began before these.
        hide(&mut text, old, self.secret as usize);
        self.secret = self.secret.saturating_sub(bytes.len() as u64);
        let mut at = 0;
        while at < text.len() {
            match value(&text[at..]) {
                Some((from, length)) => {
                    let (from, end) = (at + from, at + from + length);
                    hide(&mut text, from, length);
                    self.secret = self.secret.max(end.saturating_sub(text.len()) as u64);
                    at = from;
                }
                None => at += 1,
            }
        }
        bytes.copy_from_slice(&text[old..]);
        self.before = text.split_off(text.len().saturating_sub(LONGEST));
    }

    /// So many bytes are missing.
    pub fn hole(&mut self, length: Option<u64>) {
        self.before.clear();
        self.secret = length.map_or(0, |length| self.secret.saturating_sub(length));
    }
}

fn hide(text: &mut [u8], from: usize, length: usize) {
    let end = from.saturating_add(length).min(text.len());
    if let Some(secret) = text.get_mut(from..end) {
        secret.fill(MASK);
    }
}

/// If a secret's pair begins there: where its value begins, and its length.
fn value(text: &[u8]) -> Option<(usize, usize)> {
    let (&first, rest) = text.split_first()?;
    let long = first == 0;
    let (length, rest) = match long {
        true => rest.split_first()?,
        false => (&first, rest),
    };
    let length = usize::from(*length);
    if !(3..=LONGEST_NAME).contains(&length) {
        return None;
    }
    let (name, rest) = rest.split_at_checked(length)?;
    if !name.iter().all(|byte| byte.is_ascii_graphic()) || !secrets::is_field(name) {
        return None;
    }
    let (lengths, length) = match *rest {
        [high, low, ..] if long => (2, usize::from(high) << 8 | usize::from(low)),
        [one, ..] if !long && one < 0x80 => (1, usize::from(one)),
        [one, other, ..] if !long => (2, usize::from(one & 0x7f) | usize::from(other) << 7),
        _ => return None,
    };
    Some((text.len() - rest.len() + lengths, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_wherever_they_are_cut() {
        let text = b"\x01\x00\x02\x00\x0agdpr-token\x00\x06s3cr3t\x00\x01a\x00\x01b\x0dauthorization\x03abcz";
        let wanted = b"\x01\x00\x02\x00\x0agdpr-token\x00\x06******\x00\x01a\x00\x01b\x0dauthorization\x03***z";
        for cut in 0..text.len() {
            let mut bytes = text.to_vec();
            let mut pairs = Pairs::default();
            let (one, other) = bytes.split_at_mut(cut);
            pairs.bytes(one);
            pairs.bytes(other);
            assert_eq!(bytes, wanted, "cut at {cut}");
        }
    }

    #[test]
    fn a_value_of_many_transfers_is_hidden_to_its_end() {
        let mut pairs = Pairs::default();
        let mut begin = b"\x00\x05token\x01\x2c".to_vec();
        pairs.bytes(&mut begin);
        for _ in 0..2 {
            let mut part = vec![b'x'; 100];
            pairs.bytes(&mut part);
            assert_eq!(part, vec![MASK; 100]);
        }
        pairs.hole(Some(50));
        let mut last = vec![b'x'; 60];
        pairs.bytes(&mut last);
        assert_eq!(last, [vec![MASK; 50], vec![b'x'; 10]].concat());
    }
}
