//! HPACK (RFC 7541): the header blocks of one side of a connection.
//!
//! Fields are read one by one, out of as much of a block as is there, so that a block of any length
//! needs no more memory than its longest field.
//!
//! Bias: what a reader of the whole connection would refuse is refused; what may refer to something
//! we did not see is *unknown*, never guessed (see [`table`]); but a value that is a trace context to
//! the letter tells its name, see [`is_traceparent`]. A size update is followed whatever the
//! other side's SETTINGS_HEADER_TABLE_SIZE allowed: an encoder has to announce every change of the
//! size by such an update (section 4.2), so the setting adds nothing but a check that the other side
//! makes anyway, and the two sides' records may change places.

mod fixed;
mod huffman;
mod redact;
mod table;
#[cfg(test)]
mod tests;

use table::{Found, Table};

/// A block is not what HPACK allows. What follows in it, and the dynamic table, can't be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What was read of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A field, appended to the text: its name ends (and its value begins) at this index.
    Field(usize),
    /// A field of which something is not known. Nothing was appended.
    Unknown,
    /// What is left is not a whole field.
    More,
}

/// Reads one side's blocks.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// A field of this block was read: the table's size is not to change any more.
    begun: bool,
}

impl Decoder {
    /// Nothing was seen yet. `midway`: blocks may have gone by before.
    pub fn new(midway: bool) -> Decoder {
        Decoder {
            table: Table::new(midway),
            begun: false,
        }
    }

    /// Bytes held, and some more.
    pub fn memory(&self) -> usize {
        self.table.size()
    }

    /// Blocks were not seen: what the dynamic table held is not known.
    pub fn lose(&mut self) {
        self.table.lose();
    }

    /// A block begins.
    pub fn begin(&mut self) {
        self.begun = false;
    }

    /// Takes the next field from `input`, a block or what is there of it, and appends name and value
    /// to `text`. Unless it is to `keep` them, fields are read for the dynamic table's sake only, and
    /// none is appended: so a short block that means a long head costs no more than its own length.
    /// After an error the table is unknown.
    pub fn field(
        &mut self,
        input: &mut &[u8],
        text: &mut Vec<u8>,
        keep: bool,
    ) -> Result<Read, Malformed> {
        let start = text.len();
        let read = self.read(input, text, keep);
        if read.is_err() {
            text.truncate(start);
            self.lose();
        }
        read
    }

    fn read(
        &mut self,
        input: &mut &[u8],
        text: &mut Vec<u8>,
        keep: bool,
    ) -> Result<Read, Malformed> {
        loop {
            let Some(&first) = input.first() else {
                return Ok(Read::More);
            };
            let mut rest = *input;
            if first & 0x80 != 0 {
                // Section 6.1: indexed.
                let Some(index) = integer(&mut rest, 7)? else {
                    return Ok(Read::More);
                };
                *input = rest;
                self.begun = true;
                return Ok(match self.find(index)? {
                    Found::Entry(name, value) if keep => {
                        text.extend_from_slice(name);
                        let name_end = text.len();
                        text.extend_from_slice(value);
                        Read::Field(name_end)
                    }
                    Found::Entry(..) | Found::Unknown => Read::Unknown,
                });
            }
            if first & 0xe0 == 0x20 {
                // Section 6.3: the table's size changes, which is said before the first field only.
                let Some(size) = integer(&mut rest, 5)? else {
                    return Ok(Read::More);
                };
                if self.begun {
                    return Err(Malformed);
                }
                *input = rest;
                self.table.resize(size as usize);
                continue;
            }
            let Some(literal) = Literal::read(&mut rest)? else {
                return Ok(Read::More);
            };
            *input = rest;
            self.begun = true;
            if !keep && !literal.inserted {
                return Ok(Read::Unknown);
            }
            let start = text.len();
            let read = self.literal(literal, text)?;
            if !keep {
                text.truncate(start);
                return Ok(Read::Unknown);
            }
            return Ok(read);
        }
    }

    fn literal(&mut self, literal: Literal<'_>, text: &mut Vec<u8>) -> Result<Read, Malformed> {
        let start = text.len();
        let known = match literal.name {
            Name::Sent(name) => {
                name.append_to(text)?;
                true
            }
            Name::Of(index) => match self.find(index)? {
                Found::Entry(name, _) => {
                    text.extend_from_slice(name);
                    true
                }
                Found::Unknown => false,
            },
        };
        let mut name_end = text.len();
        literal.value.append_to(text)?;
        let known = known || {
            let tells = is_traceparent(&text[start..]);
            if tells {
                text.splice(start..start, TRACEPARENT.bytes());
                name_end = start + TRACEPARENT.len();
            }
            tells
        };
        if literal.inserted {
            let (name, value) = text[start..].split_at(name_end - start);
            self.table.insert(known.then_some(name), value);
        }
        if !known {
            text.truncate(start);
            return Ok(Read::Unknown);
        }
        Ok(Read::Field(name_end))
    }

    /// Section 2.3.3: the static table, and the dynamic one behind it.
    fn find(&self, index: u32) -> Result<Found<'_>, Malformed> {
        let index = (index as usize).checked_sub(1).ok_or(Malformed)?;
        match fixed::ENTRIES.get(index) {
            Some((name, value)) => Ok(Found::Entry(name.as_bytes(), value.as_bytes())),
            None => self
                .table
                .get(index - fixed::ENTRIES.len())
                .ok_or(Malformed),
        }
    }
}

/// The one name that a value tells: encoders name it by the field of the call before, so that on a
/// connection met midway it would never be known though its values are all sent in full.
const TRACEPARENT: &str = "traceparent";

/// Whether a value is a trace context of version 00 (W3C Trace Context, section 3.2), to the letter.
fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| {
        let lower = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        part.iter().copied().all(lower)
    };
    let id = |part: &[u8]| hex(part) && part.iter().any(|byte| *byte != b'0');
    value.len() == 55
        && value.starts_with(b"00-")
        && id(&value[3..35])
        && value[35] == b'-'
        && id(&value[36..52])
        && value[52] == b'-'
        && hex(&value[53..])
}

/// A string as it was sent.
#[derive(Clone, Copy)]
struct Text<'a> {
    huffman: bool,
    bytes: &'a [u8],
}

impl Text<'_> {
    fn append_to(self, text: &mut Vec<u8>) -> Result<(), Malformed> {
        match self.huffman {
            true => huffman::decode(self.bytes, text),
            false => {
                text.extend_from_slice(self.bytes);
                Ok(())
            }
        }
    }
}

/// Section 6.2: a field that is not in the table, of which the name may be.
struct Literal<'a> {
    /// It is from now on.
    inserted: bool,
    name: Name<'a>,
    value: Text<'a>,
}

enum Name<'a> {
    /// As it was sent.
    Sent(Text<'a>),
    /// That of the entry with this index.
    Of(u32),
}

impl<'a> Literal<'a> {
    /// Takes one whose first byte is there; None: it is not all there.
    #[inline]
    fn read(input: &mut &'a [u8]) -> Result<Option<Literal<'a>>, Malformed> {
        let inserted = input.first().is_some_and(|first| first & 0x40 != 0);
        let Some(index) = integer(input, if inserted { 6 } else { 4 })? else {
            return Ok(None);
        };
        let name = match index {
            0 => string(input)?.map(Name::Sent),
            index => Some(Name::Of(index)),
        };
        let Some(name) = name else {
            return Ok(None);
        };
        let value = string(input)?;
        Ok(value.map(|value| Literal {
            inserted,
            name,
            value,
        }))
    }
}

/// Section 5.2; None: it is not all there.
fn string<'a>(input: &mut &'a [u8]) -> Result<Option<Text<'a>>, Malformed> {
    let Some(&first) = input.first() else {
        return Ok(None);
    };
    let Some(length) = integer(input, 7)? else {
        return Ok(None);
    };
    let Some((bytes, rest)) = input.split_at_checked(length as usize) else {
        return Ok(None);
    };
    *input = rest;
    Ok(Some(Text {
        huffman: first & 0x80 != 0,
        bytes,
    }))
}

/// Section 5.1, with a prefix of that many bits; None: it is not all there. Nothing in HTTP/2 is as
/// large as 2^32, so what exceeds that is malformed.
#[inline]
fn integer(input: &mut &[u8], prefix: u32) -> Result<Option<u32>, Malformed> {
    let mask = (1u32 << prefix) - 1;
    let Some((&first, rest)) = input.split_first() else {
        return Ok(None);
    };
    let value = u32::from(first) & mask;
    if value < mask {
        *input = rest;
        return Ok(Some(value));
    }
    long_integer(input, value)
}

/// What does not fit into the prefix, whose byte comes first.
fn long_integer(input: &mut &[u8], prefix: u32) -> Result<Option<u32>, Malformed> {
    let mut value = u64::from(prefix);
    for (at, &byte) in input.iter().enumerate().skip(1).take(5) {
        value += u64::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            *input = &input[at + 1..];
            return u32::try_from(value).map(Some).map_err(|_| Malformed);
        }
    }
    match input.len() > 5 {
        true => Err(Malformed),
        false => Ok(None),
    }
}
