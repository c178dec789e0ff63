//! What HTTP/1 and HTTP/2 messages have in common: a head.
//!
//! One allocation for the text, one for the table of fields. Names are lower case, folded values
//! are joined; nothing else is changed or dropped, so a value may hold any byte.

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// The head of a request or response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    text: Vec<u8>,
    fields: Vec<Field>,
    start: Start,
    version: Version,
}

/// Offsets into [`Head::text`]: name from `name` to `value`, value from `value` to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    name: u32,
    value: u32,
    end: u32,
}

/// The start line's facts; offsets into [`Head::text`], which begins with method and target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Request { target: u32, end: u32 },
    Response { status: u16 },
}

impl Head {
    /// A request head without header fields yet.
    pub fn request(method: &[u8], target: &[u8], version: Version) -> Self {
        let mut text = Vec::with_capacity(256);
        text.extend_from_slice(method);
        text.extend_from_slice(target);
        let start = Start::Request {
            target: method.len() as u32,
            end: text.len() as u32,
        };
        Head {
            text,
            fields: Vec::with_capacity(8),
            start,
            version,
        }
    }

    /// A response head without header fields yet.
    pub fn response(status: u16, version: Version) -> Self {
        Head {
            text: Vec::with_capacity(256),
            fields: Vec::with_capacity(8),
            start: Start::Response { status },
            version,
        }
    }

    /// Appends a field; the name is lower-cased.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len() as u32;
        self.text.extend(name.iter().map(u8::to_ascii_lowercase));
        let middle = self.text.len() as u32;
        self.text.extend_from_slice(value);
        let end = self.text.len() as u32;
        self.fields.push(Field {
            name: start,
            value: middle,
            end,
        });
    }

    /// Appends to the last field's value, after one space: a folded line (RFC 9112, section 5.2).
    pub fn fold(&mut self, more: &[u8]) {
        if let Some(last) = self.fields.last_mut() {
            self.text.push(b' ');
            self.text.extend_from_slice(more);
            last.end = self.text.len() as u32;
        }
    }

    /// The request's method as sent; empty for a response.
    pub fn method(&self) -> &[u8] {
        match self.start {
            Start::Request { target, .. } => &self.text[..target as usize],
            Start::Response { .. } => b"",
        }
    }

    /// The request target as sent; empty for a response.
    pub fn target(&self) -> &[u8] {
        match self.start {
            Start::Request { target, end } => &self.text[target as usize..end as usize],
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
                &self.text[f.name as usize..f.value as usize],
                &self.text[f.value as usize..f.end as usize],
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
