//! A header block as a head (RFC 9113, section 8.3).
//!
//! `:method`, `:path` and `:status` are the head's own; other pseudo-fields stay fields, under their
//! names. A field of which HPACK does not know all is left out, and so is one whose value holds what
//! no field may.

use memchr::memchr3;

use super::hpack::{Decoder, Read};
use crate::protocol::Incomplete;
use crate::protocol::http::{Field, Fields, Head, Start, Version};

/// Largest head that is kept, measured as SETTINGS_MAX_HEADER_LIST_SIZE does (RFC 9113, section
/// 6.5.2): servers in use stop between 8 and 64 KiB, but Go's, whose 1 MiB nobody sends.
pub const HEAD_LIMIT: usize = 64 * 1024;

/// What a field counts besides its text.
const FIELD_OVERHEAD: usize = 32;

/// What a new head's text has room for: common ones are shorter.
const COMMON_SIZE: usize = 512;

/// What a block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    /// It has no pseudo-field: trailers, or what begins is not known.
    Fields,
}

/// A block, read to its end.
#[derive(Debug)]
pub(super) struct Block {
    pub head: Box<Head>,
    pub kind: Kind,
    /// Fields were left out that are not known.
    pub unknown: bool,
}

impl Block {
    /// Another response will come.
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.head.status())
    }
}

/// A place in the text.
type Place = (u32, u32);

/// A block that is being read.
#[derive(Debug)]
pub(super) struct Draft {
    /// Its start is not known yet.
    head: Box<Head>,
    method: Option<Place>,
    path: Option<Place>,
    status: Option<u16>,
    /// Another of a request's pseudo-fields was there.
    asks: bool,
    unknown: bool,
    size: usize,
}

impl Draft {
    pub(super) fn new() -> Draft {
        Draft {
            head: Box::new(Head {
                text: Vec::new(),
                fields: Fields::new(),
                start: Start::Response { status: 0 },
                version: Version::Http2,
            }),
            method: None,
            path: None,
            status: None,
            asks: false,
            unknown: false,
            size: 0,
        }
    }

    /// Reads the fields that are there; what is left of `input` is the begin of one.
    pub(super) fn read(
        &mut self,
        hpack: &mut Decoder,
        input: &mut &[u8],
    ) -> Result<(), Incomplete> {
        if self.head.text.capacity() == 0 && !self.is_too_large() {
            self.head.text.reserve(COMMON_SIZE);
        }
        loop {
            let start = self.head.text.len();
            let keep = !self.is_too_large();
            match hpack.field(input, &mut self.head.text, keep) {
                Err(_) => return Err(Incomplete::Malformed),
                Ok(Read::More) => return Ok(()),
                Ok(Read::Unknown) => self.unknown = true,
                Ok(Read::Field(name_end)) => {
                    let size = self.head.text.len() - start + FIELD_OVERHEAD;
                    self.size = self.size.saturating_add(size);
                    if self.is_too_large() {
                        // Read on for the dynamic table's sake only.
                        self.head.text = Vec::new();
                        self.head.fields = Fields::new();
                    } else if !self.field(start, name_end) {
                        self.head.text.truncate(start);
                    }
                }
            }
        }
    }

    /// What it begins, as far as it was read.
    pub(super) fn kind(&self) -> Kind {
        match self.status {
            Some(_) => Kind::Response,
            None if self.asks => Kind::Request,
            None => Kind::Fields,
        }
    }

    /// The block's end.
    pub(super) fn finish(mut self) -> Result<Block, Incomplete> {
        if self.is_too_large() {
            return Err(Incomplete::HeadTooLarge);
        }
        if memchr3(b'\r', b'\n', 0, &self.head.text).is_some() {
            self.drop_unfit();
        }
        let kind = self.kind();
        self.head.start = match kind {
            Kind::Request => {
                let (method, method_end) = self.method.unwrap_or_default();
                let (target, target_end) = self.path.unwrap_or_default();
                Start::Request {
                    method,
                    method_end,
                    target,
                    target_end,
                }
            }
            Kind::Response | Kind::Fields => Start::Response {
                status: self.status.unwrap_or_default(),
            },
        };
        Ok(Block {
            head: self.head,
            kind,
            unknown: self.unknown,
        })
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.head.text.capacity() + self.head.fields.len() * size_of::<Field>()
    }

    fn is_too_large(&self) -> bool {
        self.size > HEAD_LIMIT
    }

    /// Leaves out what holds bytes that no field may (section 8.2.1).
    fn drop_unfit(&mut self) {
        let Head { text, fields, .. } = &mut *self.head;
        let is_fit = |(start, end): Place| {
            memchr3(b'\r', b'\n', 0, &text[start as usize..end as usize]).is_none()
        };
        fields.retain(|field| is_fit((field.name, field.value_end)));
        self.method = self.method.filter(|place| is_fit(*place));
        self.path = self.path.filter(|place| is_fit(*place));
    }

    /// Takes the field that begins at `start` of the text; false: it is none.
    fn field(&mut self, start: usize, name_end: usize) -> bool {
        let head = &mut *self.head;
        let place = (name_end as u32, head.text.len() as u32);
        let (name, value) = head.text[start..].split_at_mut(name_end - start);
        match &*name {
            b":method" => {
                self.asks = true;
                self.method.get_or_insert(place);
            }
            b":path" => {
                self.asks = true;
                self.path.get_or_insert(place);
            }
            b":status" => match status(value) {
                Some(status) => {
                    self.status.get_or_insert(status);
                }
                None => return false,
            },
            _ => {
                // They are to be in lower case (section 8.2); whoever looks one up relies on it.
                name.make_ascii_lowercase();
                self.asks |= name.first() == Some(&b':');
                head.fields.push(Field {
                    name: start as u32,
                    name_end: name_end as u32,
                    value: place.0,
                    value_end: place.1,
                });
            }
        }
        true
    }
}

/// Three digits (section 8.3.2).
fn status(value: &[u8]) -> Option<u16> {
    let digit = |b: u8| b.is_ascii_digit().then(|| u16::from(b - b'0'));
    match *value {
        [a @ b'1'..=b'9', b, c] => Some(digit(a)? * 100 + digit(b)? * 10 + digit(c)?),
        _ => None,
    }
}
