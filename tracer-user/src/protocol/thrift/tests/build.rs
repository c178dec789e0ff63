//! Messages, built.

use crate::protocol::rpc::Kind;

pub fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Call => 1,
        Kind::Reply => 2,
        Kind::Exception => 3,
        Kind::Oneway => 4,
    }
}

/// A message in strict binary.
pub fn strict(kind: Kind, name: &str, seq_id: i32, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, 0x01, 0x00, number(kind)];
    bytes.extend((name.len() as u32).to_be_bytes());
    bytes.extend(name.bytes());
    bytes.extend(seq_id.to_be_bytes());
    bytes.extend(content);
    bytes
}

/// Bytes behind their length.
pub fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A TTHeader with those words (padded) and that payload.
pub fn ttheader(flags: u16, seq_id: i32, words: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut words = words.to_vec();
    words.resize(words.len().next_multiple_of(4), 0);
    let mut bytes = vec![0x10, 0x00];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(seq_id.to_be_bytes());
    bytes.extend((words.len() as u16 / 4).to_be_bytes());
    bytes.extend(words);
    bytes.extend(payload);
    framed(&bytes)
}

/// A TTHeader's words: protocol, no transform, then text infos and integer ones.
pub fn infos(protocol: u8, texts: &[(&str, &str)], numbers: &[(u16, &str)]) -> Vec<u8> {
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u16).to_be_bytes());
        bytes.extend(text.bytes());
    };
    let mut bytes = vec![protocol, 0];
    if !texts.is_empty() {
        bytes.push(0x01);
        bytes.extend((texts.len() as u16).to_be_bytes());
        for (key, value) in texts {
            text(&mut bytes, key);
            text(&mut bytes, value);
        }
    }
    if !numbers.is_empty() {
        bytes.push(0x10);
        bytes.extend((numbers.len() as u16).to_be_bytes());
        for (key, value) in numbers {
            bytes.extend(key.to_be_bytes());
            text(&mut bytes, value);
        }
    }
    bytes
}

/// `TApplicationException` in binary.
pub fn exception(text: &str, type_id: i32) -> Vec<u8> {
    let mut bytes = vec![11, 0, 1];
    bytes.extend(framed(text.as_bytes()));
    bytes.extend([8, 0, 2]);
    bytes.extend(type_id.to_be_bytes());
    bytes.push(0);
    bytes
}

/// A message in the old encoding.
pub fn old(kind: Kind, name: &str, seq_id: i32, content: &[u8]) -> Vec<u8> {
    let mut bytes = framed(name.as_bytes());
    bytes.push(number(kind));
    bytes.extend(seq_id.to_be_bytes());
    bytes.extend(content);
    bytes
}

/// A message in compact.
pub fn compact(kind: Kind, name: &str, seq_id: i32, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82, number(kind) << 5 | 1];
    varint(&mut bytes, u64::from(seq_id as u32));
    varint(&mut bytes, name.len() as u64);
    bytes.extend(name.bytes());
    bytes.extend(content);
    bytes
}

/// A message in Kitex Protobuf, without its length.
pub fn protobuf(kind: Kind, name: &str, seq_id: i32, content: &[u8]) -> Vec<u8> {
    let mut bytes = strict(kind, name, seq_id, content);
    bytes[0] = 0x90;
    bytes
}

/// A THeader of that protocol, with transforms, these infos and that payload.
pub fn theader(
    protocol: u8,
    transforms: &[u8],
    seq_id: i32,
    fields: &[(&str, &str)],
    payload: &[u8],
) -> Vec<u8> {
    let mut words = vec![protocol, transforms.len() as u8];
    words.extend(transforms);
    if !fields.is_empty() {
        words.extend([0x01, fields.len() as u8]);
        for text in fields.iter().flat_map(|(key, value)| [key, value]) {
            varint(&mut words, text.len() as u64);
            words.extend(text.bytes());
        }
    }
    words.resize(words.len().next_multiple_of(4), 0);
    let mut bytes = vec![0x0f, 0xff, 0, 0];
    bytes.extend(seq_id.to_be_bytes());
    bytes.extend((words.len() as u16 / 4).to_be_bytes());
    bytes.extend(words);
    bytes.extend(payload);
    framed(&bytes)
}

/// A mesh header.
pub fn mesh(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut inner = (fields.len() as u16).to_be_bytes().to_vec();
    for text in fields.iter().flat_map(|(key, value)| [key, value]) {
        inner.extend((text.len() as u16).to_be_bytes());
        inner.extend(text.bytes());
    }
    let mut bytes = vec![0xff, 0xaf];
    bytes.extend((inner.len() as u16).to_be_bytes());
    bytes.extend(inner);
    bytes
}

/// `ErrorProto`.
pub fn error_proto(text: &str, type_id: i32) -> Vec<u8> {
    let mut bytes = vec![0x08];
    varint(&mut bytes, type_id as i64 as u64);
    bytes.push(0x12);
    varint(&mut bytes, text.len() as u64);
    bytes.extend(text.bytes());
    bytes
}

pub fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// A value, to be written in any encoding.
#[derive(Clone, Debug)]
pub enum Value {
    Bool(bool),
    I32(i32),
    I64(i64),
    Double,
    Text(usize),
    Struct(Vec<(i16, Value)>),
    /// So many of the same.
    List(usize, Box<Value>),
    Map(usize, Box<(Value, Value)>),
}

impl Value {
    fn binary_type(&self) -> u8 {
        match self {
            Value::Bool(_) => 2,
            Value::Double => 4,
            Value::I32(_) => 8,
            Value::I64(_) => 10,
            Value::Text(_) => 11,
            Value::Struct(_) => 12,
            Value::Map(..) => 13,
            Value::List(..) => 15,
        }
    }

    fn compact_type(&self) -> u8 {
        match self {
            Value::Bool(_) => 1,
            Value::I32(_) => 5,
            Value::I64(_) => 6,
            Value::Double => 7,
            Value::Text(_) => 8,
            Value::List(..) => 9,
            Value::Map(..) => 11,
            Value::Struct(_) => 12,
        }
    }

    pub fn binary(&self, bytes: &mut Vec<u8>) {
        match self {
            Value::Bool(value) => bytes.push(u8::from(*value)),
            Value::I32(value) => bytes.extend(value.to_be_bytes()),
            Value::I64(value) => bytes.extend(value.to_be_bytes()),
            Value::Double => bytes.extend(0.5f64.to_be_bytes()),
            Value::Text(n) => bytes.extend(framed(&vec![b'x'; *n])),
            Value::Struct(fields) => {
                for (id, value) in fields {
                    bytes.push(value.binary_type());
                    bytes.extend(id.to_be_bytes());
                    value.binary(bytes);
                }
                bytes.push(0);
            }
            Value::List(n, of) => {
                bytes.push(of.binary_type());
                bytes.extend((*n as u32).to_be_bytes());
                for _ in 0..*n {
                    of.binary(bytes);
                }
            }
            Value::Map(n, of) => {
                bytes.extend([of.0.binary_type(), of.1.binary_type()]);
                bytes.extend((*n as u32).to_be_bytes());
                for _ in 0..*n {
                    of.0.binary(bytes);
                    of.1.binary(bytes);
                }
            }
        }
    }

    pub fn compact(&self, bytes: &mut Vec<u8>) {
        match self {
            Value::Bool(value) => bytes.push(if *value { 1 } else { 2 }),
            Value::I32(value) => varint(bytes, zigzag(i64::from(*value))),
            Value::I64(value) => varint(bytes, zigzag(*value)),
            Value::Double => bytes.extend(0.5f64.to_le_bytes()),
            Value::Text(n) => {
                varint(bytes, *n as u64);
                bytes.extend(vec![b'x'; *n]);
            }
            Value::Struct(fields) => {
                let mut last = 0;
                for (id, value) in fields {
                    let of = match value {
                        Value::Bool(false) => 2,
                        value => value.compact_type(),
                    };
                    match id - last {
                        difference @ 1..=15 => bytes.push((difference as u8) << 4 | of),
                        _ => {
                            bytes.push(of);
                            varint(bytes, zigzag(i64::from(*id)));
                        }
                    }
                    last = *id;
                    if !matches!(value, Value::Bool(_)) {
                        value.compact(bytes);
                    }
                }
                bytes.push(0);
            }
            Value::List(n, of) => {
                match n {
                    0..15 => bytes.push((*n as u8) << 4 | of.compact_type()),
                    _ => {
                        bytes.push(0xf0 | of.compact_type());
                        varint(bytes, *n as u64);
                    }
                }
                for _ in 0..*n {
                    of.compact(bytes);
                }
            }
            Value::Map(n, of) => {
                varint(bytes, *n as u64);
                if *n > 0 {
                    bytes.push(of.0.compact_type() << 4 | of.1.compact_type());
                }
                for _ in 0..*n {
                    of.0.compact(bytes);
                    of.1.compact(bytes);
                }
            }
        }
    }
}
