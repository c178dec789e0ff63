//! What the messages of Thrift and Kitex Protobuf have in common, whatever transport they come in: a
//! head.
//!
//! gRPC is not here: its heads are HTTP/2's, see [`super::http`].

/// The head of a call or of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the message is wrapped in.
    pub transport: Transport,
    /// How it is written; None where its payload could not be seen.
    pub codec: Option<Codec>,
    /// What it is.
    pub kind: Kind,
    /// Pairs an answer with its call.
    pub seq_id: i32,
    /// The method as the message names it; empty = it does not.
    pub method: Vec<u8>,
    /// What the transport carries besides, in order.
    pub fields: Vec<(Key, Vec<u8>)>,
    /// An answer's: what went wrong.
    pub failure: Option<Failure>,
}

/// What a message is wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Nothing: messages follow each other.
    Buffered,
    /// Its length.
    Framed,
    /// Apache's and fbthrift's header.
    Theader,
    /// Kitex' header.
    Ttheader,
    /// Kitex' header, and in it a length.
    TtheaderFramed,
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Thrift, strict binary.
    Binary,
    /// Thrift, binary without a version.
    BinaryOld,
    /// Thrift, compact.
    Compact,
    /// Kitex Protobuf.
    KitexProtobuf,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It asks.
    Call,
    /// It asks and wants no answer.
    Oneway,
    /// It answers.
    Reply,
    /// It answers that the call failed.
    Exception,
}

/// Names a field of the transport's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// TTHeader's integer keys.
    Number(u16),
    /// As sent.
    Text(Vec<u8>),
}

/// What went wrong, as an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `TApplicationException`, or Kitex Protobuf's `ErrorProto`.
    Exception {
        /// Its type.
        type_id: i32,
        /// Its text.
        message: Vec<u8>,
    },
    /// An exception of the interface's own: the id of the result's field it is in.
    Declared(i16),
}

impl Head {
    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        let of_key = |key: &Key| match key {
            Key::Number(_) => 0,
            Key::Text(text) => text.capacity(),
        };
        let texts = self
            .fields
            .iter()
            .map(|(key, value)| of_key(key) + value.capacity());
        let failure = match &self.failure {
            Some(Failure::Exception { message, .. }) => message.capacity(),
            _ => 0,
        };
        size_of::<Head>()
            + self.method.capacity()
            + self.fields.capacity() * size_of::<(Key, Vec<u8>)>()
            + texts.sum::<usize>()
            + failure
    }

    /// The first field of that text key.
    pub fn text(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find_map(|(key, value)| match key {
            Key::Text(key) if key == name.as_bytes() => Some(&value[..]),
            _ => None,
        })
    }

    /// The first field of that integer key.
    pub fn number(&self, number: u16) -> Option<&[u8]> {
        self.fields.iter().find_map(|(key, value)| match key {
            Key::Number(key) if *key == number => Some(&value[..]),
            _ => None,
        })
    }
}
