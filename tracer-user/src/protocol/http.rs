//! What HTTP/1 and HTTP/2 messages have in common: a head.
//!
//! One allocation for the text, one for the rest. Names are lower case and values hold no line
//! break; nothing else is changed or dropped, so a value may hold any other byte.

use std::fmt;

use smallvec::SmallVec;

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// The head of a request or response.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    pub(super) text: Vec<u8>,
    pub(super) fields: Fields,
    pub(super) start: Start,
    pub(super) version: Version,
}

/// As many as common clients and servers send stay within the head's own allocation.
pub(super) type Fields = SmallVec<[Field; 16]>;

/// Where a field lies in [`Head::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: u32,
    pub(super) name_end: u32,
    pub(super) value: u32,
    pub(super) value_end: u32,
}

/// The start line's facts; a request's are places in [`Head::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Request {
        method: u32,
        method_end: u32,
        target: u32,
        target_end: u32,
    },
    Response {
        status: u16,
    },
}

impl Head {
    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        let spilled = if self.fields.spilled() {
            self.fields.capacity() * size_of::<Field>()
        } else {
            0
        };
        size_of::<Head>() + self.text.capacity() + spilled
    }

    /// A request head without header fields yet.
    pub fn request(method: &[u8], target: &[u8], version: Version) -> Self {
        let text = [method, target].concat();
        let start = Start::Request {
            method: 0,
            method_end: method.len() as u32,
            target: method.len() as u32,
            target_end: text.len() as u32,
        };
        Head {
            text,
            fields: Fields::new(),
            start,
            version,
        }
    }

    /// A response head without header fields yet.
    pub fn response(status: u16, version: Version) -> Self {
        Head {
            text: Vec::new(),
            fields: Fields::new(),
            start: Start::Response { status },
            version,
        }
    }

    /// Appends a field; the name is lower-cased.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        self.text[start..].make_ascii_lowercase();
        self.text.extend_from_slice(value);
        self.fields.push(Field {
            name: start as u32,
            name_end: (start + name.len()) as u32,
            value: (start + name.len()) as u32,
            value_end: self.text.len() as u32,
        });
    }

    /// The request's method as sent; empty for a response.
    pub fn method(&self) -> &[u8] {
        match self.start {
            Start::Request {
                method, method_end, ..
            } => &self.text[method as usize..method_end as usize],
            Start::Response { .. } => b"",
        }
    }

    /// The request target as sent; empty for a response.
    pub fn target(&self) -> &[u8] {
        match self.start {
            Start::Request {
                target, target_end, ..
            } => &self.text[target as usize..target_end as usize],
            Start::Response { .. } => b"",
        }
    }

    /// The status code; 0 for a request.
    pub fn status(&self) -> u16 {
        match self.start {
            Start::Request { .. } => 0,
            Start::Response { status } => status,
        }
    }

    /// The message's version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// All fields in order, names in lower case.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|f| {
            (
                &self.text[f.name as usize..f.name_end as usize],
                &self.text[f.value as usize..f.value_end as usize],
            )
        })
    }

    /// The first field of that (lower-case) name.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields()
            .find(|(n, _)| *n == name.as_bytes())
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Start::Request { .. } => write!(
                f,
                "{} {}",
                self.method().escape_ascii(),
                self.target().escape_ascii()
            )?,
            Start::Response { status } => write!(f, "{status}")?,
        }
        write!(f, " {:?}", self.version)?;
        for (name, value) in self.fields() {
            write!(f, ", {}: {}", name.escape_ascii(), value.escape_ascii())?;
        }
        Ok(())
    }
}
