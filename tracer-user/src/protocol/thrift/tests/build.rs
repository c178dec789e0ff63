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
