//! HPACK's Huffman code (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and
//! those of the next length follow them. So the lengths tell it all, and the tables are made of them
//! at compile time.

use super::Malformed;

/// How many bits each symbol's code has; that of EOS, 30, is not to be sent.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
];

/// The longest code.
const LONGEST: u32 = 30;

/// Codes up to this length are found by one look at [`TABLES`]`.short`: those of all that is common.
const SHORT: u32 = 8;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Row {
    /// The first of them.
    first: u32,
    /// How many there are.
    count: u32,
    /// Where their symbols begin in [`Tables::symbols`].
    symbols: u32,
}

struct Tables {
    /// By the next [`SHORT`] bits: symbol and length of the code they begin with; length 0: a longer
    /// one.
    short: [(u8, u8); 1 << SHORT],
    rows: [Row; LONGEST as usize + 1],
    symbols: [u8; 256],
}

static TABLES: Tables = tables();

const fn tables() -> Tables {
    let none = Row {
        first: 0,
        count: 0,
        symbols: 0,
    };
    let mut tables = Tables {
        short: [(0, 0); 1 << SHORT],
        rows: [none; LONGEST as usize + 1],
        symbols: [0; 256],
    };
    let (mut length, mut code, mut at) = (1, 0u32, 0);
    while length <= LONGEST {
        let mut row = Row {
            first: code,
            count: 0,
            symbols: at,
        };
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as u32 == length {
                if length <= SHORT {
                    let mut index = code << (SHORT - length);
                    while index < (code + 1) << (SHORT - length) {
                        tables.short[index as usize] = (symbol as u8, length as u8);
                        index += 1;
                    }
                }
                tables.symbols[at as usize] = symbol as u8;
                row.count += 1;
                code += 1;
                at += 1;
            }
            symbol += 1;
        }
        tables.rows[length as usize] = row;
        code <<= 1;
        length += 1;
    }
    tables
}

/// Appends what the bytes say.
pub(super) fn decode(mut input: &[u8], text: &mut Vec<u8>) -> Result<(), Malformed> {
    // The shortest code has 5 bits.
    text.reserve(input.len() * 8 / 5);
    // The bits at hand, the next one highest.
    let (mut window, mut bits) = (0u64, 0u32);
    loop {
        if let Some((word, rest)) = input.split_first_chunk::<4>() {
            if bits <= 32 {
                window |= u64::from(u32::from_be_bytes(*word)) << (32 - bits);
                bits += 32;
                input = rest;
            }
        } else {
            while bits <= 56
                && let Some((&byte, rest)) = input.split_first()
            {
                window |= u64::from(byte) << (56 - bits);
                bits += 8;
                input = rest;
            }
        }
        if bits < LONGEST {
            break;
        }
        while bits >= LONGEST {
            let (symbol, length) = next(window)?;
            text.push(symbol);
            window <<= length;
            bits -= length;
        }
    }
    // The last bits, behind them ones for what is not there: too few for EOS, so they are no symbol.
    while bits > 0 {
        match next(window | u64::MAX >> bits) {
            Ok((symbol, length)) if length <= bits => {
                text.push(symbol);
                window <<= length;
                bits -= length;
            }
            _ => break,
        }
    }
    // Padding is the begin of EOS, shorter than a byte.
    match bits < 8 && window >> 56 == 0xffu64 << (8 - bits) & 0xff {
        true => Ok(()),
        false => Err(Malformed),
    }
}

/// Symbols that hide others: of each length of code one that means nothing in a URL or a field. Of other
/// lengths, the first symbol there is.
const MASKS: &[u8] = b"0-B*!'>$^<";

/// Writes the text again whose code `bytes` are, with other symbols where `hidden` says so: as many, and of
/// as many bits, so that the bytes, their padding and the text's length stay. What remains to be seen of
/// the hidden ones is how many there are of each length of code.
pub(super) fn hide(bytes: &mut [u8], text: &[u8], hidden: impl Fn(usize) -> bool) {
    let length = |symbol: u8| LENGTHS[usize::from(symbol)];
    let at: Vec<usize> = (0..text.len()).filter(|at| hidden(*at)).collect();
    let mut lengths: Vec<u8> = at.iter().map(|at| length(text[*at])).collect();
    lengths.sort_unstable();
    let mut text = text.to_vec();
    for (at, bits) in at.into_iter().zip(lengths) {
        let mask = MASKS.iter().find(|mask| length(**mask) == bits);
        let first = TABLES.rows[usize::from(bits)].symbols as usize;
        text[at] = mask.copied().unwrap_or(TABLES.symbols[first]);
    }
    encode(&text, bytes);
}

/// Writes a text's code, padded with ones to the end of `bytes`; it has to fit.
pub(super) fn encode(text: &[u8], bytes: &mut [u8]) {
    let (mut window, mut bits) = (0u64, 0u32);
    let mut bytes = bytes.iter_mut();
    for symbol in text {
        let length = u32::from(LENGTHS[usize::from(*symbol)]);
        let row = &TABLES.rows[length as usize];
        let of_length = &TABLES.symbols[row.symbols as usize..][..row.count as usize];
        // The symbols of a length are in order.
        let nth = of_length.binary_search(symbol).unwrap_or(0) as u32;
        window |= u64::from(row.first + nth) << (64 - bits - length);
        bits += length;
        while bits >= 8 {
            if let Some(byte) = bytes.next() {
                *byte = (window >> 56) as u8;
            }
            window <<= 8;
            bits -= 8;
        }
    }
    if bits > 0
        && let Some(byte) = bytes.next()
    {
        *byte = (window | u64::MAX >> bits).to_be_bytes()[0];
    }
}

/// The symbol that the window begins with, and how many bits it has.
fn next(window: u64) -> Result<(u8, u32), Malformed> {
    let (symbol, length) = TABLES.short[(window >> (64 - SHORT)) as usize];
    if length != 0 {
        return Ok((symbol, u32::from(length)));
    }
    for length in SHORT + 1..=LONGEST {
        let row = &TABLES.rows[length as usize];
        let code = (window >> (64 - length)) as u32;
        let nth = code.wrapping_sub(row.first);
        if nth < row.count {
            return Ok((TABLES.symbols[(row.symbols + nth) as usize], length));
        }
    }
    Err(Malformed)
}
