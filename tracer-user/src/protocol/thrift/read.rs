//! Numbers as they lie in bytes.

/// A varint of more bytes than its type can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Overlong;

/// The big-endian u16 at that place, if its bytes are there.
pub(in crate::protocol) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

/// The big-endian u32 at that place, if its bytes are there.
pub(in crate::protocol) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// The varint (7 bits a byte, low ones first) of at most `N` bytes that they begin with, and how many
/// it takes; None if they end within it.
pub(in crate::protocol) fn varint<const N: usize>(
    bytes: &[u8],
) -> Result<Option<(u64, usize)>, Overlong> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(N).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Ok(Some((value, at + 1)));
        }
    }
    match bytes.len() < N {
        true => Ok(None),
        false => Err(Overlong),
    }
}

/// A signed number from its zigzag form.
pub(in crate::protocol) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
