//! Ids as formats write them: hexadecimal digits, in lower case as all libraries write them.

/// Exactly N bytes of digits.
pub(super) fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

/// A number of 1 to `most` digits, as is written without leading zeros.
pub(super) fn hex_number(digits: &[u8], most: usize) -> Option<u128> {
    debug_assert!(most <= 32);
    if digits.is_empty() || digits.len() > most {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        Some(number << 4 | u128::from(nibble(*digit)?))
    })
}

/// A decimal number, digits alone.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_digits_are_exact() {
        assert_eq!(hex(b"00ff10"), Some([0, 255, 16]));
        for bad in [&b"00ff1"[..], b"00ff100", b"00FF10", b"00fg10", b""] {
            assert_eq!(hex::<3>(bad), None);
        }
    }

    #[test]
    fn numbers_have_as_many_digits_as_they_need() {
        assert_eq!(hex_number(b"0", 16), Some(0));
        assert_eq!(hex_number(b"4d2", 16), Some(1234));
        assert_eq!(hex_number(&[b'f'; 32], 32), Some(u128::MAX));
        for bad in [&b""[..], b"+1", b"1 ", b"A", b"0x1", &[b'0'; 17]] {
            assert_eq!(hex_number(bad, 16), None);
        }
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"18446744073709551616", b"-1", b"+1", b"1.0"] {
            assert_eq!(decimal(bad), None);
        }
    }
}
