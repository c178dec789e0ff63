//! Blocks in, fields out.

mod limits;
mod rfc;
mod stories;

use super::*;

/// A decoder, and the fields it read so far of a block.
struct Blocks {
    decoder: Decoder,
}

/// A field; None: not known.
type Line = Option<(String, String)>;

fn line(name: &str, value: &str) -> Line {
    Some((name.to_owned(), value.to_owned()))
}

impl Blocks {
    fn new() -> Blocks {
        Blocks {
            decoder: Decoder::new(false),
        }
    }

    fn midway() -> Blocks {
        Blocks {
            decoder: Decoder::new(true),
        }
    }

    /// A whole block.
    fn read(&mut self, block: &[u8]) -> Result<Vec<Line>, Malformed> {
        self.decoder.begin();
        let mut input = block;
        let lines = self.go_on(&mut input)?;
        assert_eq!(input.len(), 0, "breaks off");
        Ok(lines)
    }

    /// What there is of a block.
    fn go_on(&mut self, input: &mut &[u8]) -> Result<Vec<Line>, Malformed> {
        let mut lines = Vec::new();
        loop {
            // What is there already must stay.
            let mut text = b"before".to_vec();
            match self.decoder.field(input, &mut text, true)? {
                Read::More => return Ok(lines),
                Read::Unknown => {
                    assert_eq!(text, b"before");
                    lines.push(None);
                }
                Read::Field(name_end) => {
                    let (name, value) = text.split_at(name_end);
                    let name = name.strip_prefix(b"before").expect("what was there");
                    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
                    lines.push(Some((text(name), text(value))));
                }
            }
        }
    }

    /// The dynamic table, newest first, and its size.
    fn table(&self) -> (Vec<Line>, usize) {
        let table = &self.decoder.table;
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let lines = (0..table.len()).map(|index| match table.get(index) {
            Some(Found::Entry(name, value)) => Some((text(name), text(value))),
            Some(Found::Unknown) | None => None,
        });
        (lines.collect(), table.size())
    }
}

/// Bytes written as in the RFC.
fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    (0..digits.len()).step_by(2).map(pair).collect()
}
