//! Hides the values of fields in a header block, in place.
//!
//! Each representation keeps its length, and each entry of the dynamic table its size, so that the block,
//! and those that refer to its entries, read as before but for what is hidden.

use super::{Decoder, Literal, Read, huffman, integer};

impl Decoder {
    /// Goes through a whole block. `hide` is given a field's name, unless that is not known, and its value as
    /// text, and overwrites of it what is to be hidden; its length stays.
    ///
    /// # Errors
    /// Where the block can't be read any further.
    pub fn redact(
        &mut self,
        block: &mut [u8],
        mut hide: impl FnMut(Option<&[u8]>, &mut [u8]),
    ) -> Result<(), usize> {
        self.begin();
        let mut text = Vec::new();
        let mut at = 0;
        while at < block.len() {
            text.clear();
            let mut rest = &block[at..];
            let read = self.field(&mut rest, &mut text, true).map_err(|_| at)?;
            let end = block.len() - rest.len();
            let name_end = match read {
                Read::More if end == block.len() => return Ok(()),
                Read::More => return Err(at),
                Read::Field(name_end) => Some(name_end),
                Read::Unknown => None,
            };
            if let Some((place, huffman)) = value(&block[at..end]) {
                let value = &mut block[at..end][place];
                let name = name_end.map(|end| &text[..end]);
                if huffman {
                    let mut shown = Vec::new();
                    huffman::decode(value, &mut shown).map_err(|_| at)?;
                    let mut hidden = shown.clone();
                    hide(name, &mut hidden);
                    if hidden != shown {
                        huffman::hide(value, &shown, |at| shown[at] != hidden[at]);
                    }
                } else {
                    hide(name, value);
                }
            }
            at = end;
        }
        Ok(())
    }
}

/// Where the value lies in a field's representation, and whether it is Huffman-coded; none if it is but a
/// reference. What was read once.
fn value(field: &[u8]) -> Option<(std::ops::Range<usize>, bool)> {
    let mut rest = field;
    while rest.first()? & 0xe0 == 0x20 {
        integer(&mut rest, 5).ok()??;
    }
    if rest.first()? & 0x80 != 0 {
        return None;
    }
    let value = Literal::read(&mut rest).ok()??.value;
    let end = field.len() - rest.len();
    Some((end - value.bytes.len()..end, value.huffman))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(decoder: &mut Decoder, mut block: &[u8]) -> Vec<(String, String)> {
        decoder.begin();
        let mut fields = Vec::new();
        loop {
            let mut text = Vec::new();
            match decoder.field(&mut block, &mut text, true).unwrap() {
                Read::Field(end) => {
                    let (name, value) = text.split_at(end);
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    fields.push((text(name), text(value)));
                }
                Read::Unknown => fields.push(Default::default()),
                Read::More => return fields,
            }
        }
    }

    fn hide_secret(name: Option<&[u8]>, value: &mut [u8]) {
        if name.is_none_or(|name| name == b"authorization") {
            value.fill(b'*');
        }
    }

    /// A text's code: the shortest that reads as it.
    fn coded(text: &str) -> Vec<u8> {
        let mut bytes = vec![0; 4 * text.len()];
        huffman::encode(text.as_bytes(), &mut bytes);
        let reads = |length: &usize| {
            let mut read = Vec::new();
            huffman::decode(&bytes[..*length], &mut read).is_ok() && read == text.as_bytes()
        };
        let length = (0..bytes.len()).find(reads).unwrap();
        bytes.truncate(length);
        bytes
    }

    /// Literals as they are, of a name in the static table, of one of its own, and of one in the dynamic table.
    #[test]
    fn literals_are_overwritten() {
        let mut block = b"\x82\x57\x06Bearer\x40\x0dauthorization\x03abc\x7e\x02xy".to_vec();
        Decoder::new(false).redact(&mut block, hide_secret).unwrap();
        assert_eq!(
            block,
            b"\x82\x57\x06******\x40\x0dauthorization\x03***\x7e\x02**"
        );
    }

    #[test]
    fn huffman_coded_values_keep_bytes_and_length() {
        let secret = "Bearer eyJhbGciOiJIUzI1NiJ9.\"{}|~\\\u{7f}";
        let encoded = coded(secret);
        let mut block = vec![0x57, 0x80 | encoded.len() as u8];
        block.extend(encoded);
        block.extend(b"\xbe\x82");
        let before = block.clone();
        Decoder::new(false).redact(&mut block, hide_secret).unwrap();
        assert_ne!(block, before);
        let mut decoder = Decoder::new(false);
        let fields = all(&mut decoder, &block);
        assert_eq!(fields.len(), 3);
        assert_eq!(fields[0].0, "authorization");
        assert_eq!(fields[0].1.len(), secret.len(), "{fields:?}");
        assert!(!fields[0].1.contains("ey"), "{fields:?}");
        assert_eq!(fields[1], fields[0], "by reference");
        assert_eq!(fields[2], (":method".into(), "GET".into()));
    }

    #[test]
    fn part_of_a_value_is_hidden() {
        let path = "/a?token=s3cr3t&b=1";
        let encoded = coded(path);
        let mut block = vec![0x04, 0x80 | encoded.len() as u8];
        block.extend(encoded);
        let hide = |_: Option<&[u8]>, value: &mut [u8]| value[9..15].fill(b'*');
        Decoder::new(false).redact(&mut block, hide).unwrap();
        let fields = all(&mut Decoder::new(false), &block);
        let shown = &fields[0].1;
        assert!(
            shown.starts_with("/a?token=") && shown.ends_with("&b=1"),
            "{shown}"
        );
        assert_eq!(shown.len(), path.len());
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let mut block = b"\x82\x80\x82".to_vec();
        assert_eq!(Decoder::new(false).redact(&mut block, hide_secret), Err(1));
        let mut cut = b"\x82\x57\x06Bea".to_vec();
        assert_eq!(Decoder::new(false).redact(&mut cut, hide_secret), Err(1));
    }
}
