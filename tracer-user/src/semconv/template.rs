//! A path with its identifiers taken out: `/users/42/orders/7` is called `/users/{id}/orders/{id}`.
//!
//! Only the path itself is looked at, segment by segment, so that the same path has the same name
//! always and everywhere. What shows by its form to be a value becomes a mark: numbers, hexadecimal
//! and random looking text, UUIDs and dates, mail addresses, titles of many words, text that had to
//! be percent-encoded. What looks like a word stays: that words do not become too many names is
//! [`super::paths`]'s.
//!
//! Bias: a mark too many makes a name less telling, a mark too few makes many names. Short
//! abbreviations with a digit (`v1`, `oauth2`, `s3`) are kept all the same.

/// Most segments of a path that are named: deeper trees are files'.
const DEEPEST: usize = 12;

/// Longest segment that stays, in bytes: the full name of a Java service fits.
const LONGEST_SEGMENT: usize = 80;

/// Longest word that stays, in letters: names of methods are shorter.
const LONGEST_WORD: usize = 40;

/// So many words with hyphens between them are a title, as in a blog's address.
const TITLE_WORDS: usize = 6;

/// Likewise, if a number follows them.
const NUMBERED_TITLE_WORDS: usize = 3;

const ID: &str = "{id}";

/// Appends what a path is called. It begins with a slash, and neither query nor fragment is in it.
///
/// This is done for every request: each byte is looked at once, where it is a plain path.
pub(super) fn of(path: &str, out: &mut String) {
    let bytes = path.as_bytes();
    let (mut begin, mut classes, mut depth) = (1, 0, 0);
    for end in 1..=bytes.len() {
        let class = bytes.get(end).map_or(class::SLASH, |byte| class::of(*byte));
        if class != class::SLASH {
            classes |= class;
            continue;
        }
        if depth == DEEPEST {
            return out.push_str("/*");
        }
        out.push('/');
        segment(&path[begin..end], classes, out);
        (begin, classes, depth) = (end + 1, 0, depth + 1);
    }
}

/// What a byte of a path may be part of.
mod class {
    /// Of a word, if it is none of hexadecimal's.
    pub const LETTER: u8 = 1;
    pub const HEX_LETTER: u8 = 2;
    pub const DIGIT: u8 = 4;
    /// Between words of one thing.
    pub const JOINER: u8 = 8;
    /// Between a name and its extension.
    pub const DOT: u8 = 16;
    /// Between other things.
    pub const SEPARATOR: u8 = 32;
    /// Of data: what is percent-encoded, or should be (RFC 3986, section 3.3), and what a semicolon
    /// begins.
    pub const DATA: u8 = 64;
    /// Between segments.
    pub const SLASH: u8 = 128;

    const TABLE: [u8; 256] = {
        let mut table = [DATA; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte] = match byte as u8 {
                b'a'..=b'f' | b'A'..=b'F' => HEX_LETTER,
                b'g'..=b'z' | b'G'..=b'Z' => LETTER,
                b'0'..=b'9' => DIGIT,
                b'-' | b'_' | b'+' | b'~' => JOINER,
                b'.' => DOT,
                b':' | b',' | b'=' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' => {
                    SEPARATOR
                }
                b'/' => SLASH,
                _ => DATA,
            };
            byte += 1;
        }
        table
    };

    pub fn of(byte: u8) -> u8 {
        TABLE[usize::from(byte)]
    }

    pub fn of_all(text: &str) -> u8 {
        text.bytes().fold(0, |all, byte| all | of(byte))
    }
}

/// Longest segment of letters that is a name without a closer look.
const PLAIN: usize = 24;

/// A segment, of bytes of these classes.
fn segment(text: &str, classes: u8, out: &mut String) {
    let beside_letters = classes & !(class::LETTER | class::HEX_LETTER);
    if beside_letters & !(class::JOINER | class::DOT) == 0
        && text.len() <= PLAIN
        && !is_hex_word(classes, text)
    {
        out.push_str(text);
    } else if classes == class::DIGIT {
        out.push_str(ID);
    } else if let (true, Some(end)) = (classes & class::DATA != 0, text.find(';')) {
        // Parameters of a segment (`;jsessionid=...`) are values.
        let text = &text[..end];
        segment(text, class::of_all(text), out);
    } else if is_mail(text) {
        out.push_str("{email}");
    } else if classes & class::DATA != 0 || text.len() > LONGEST_SEGMENT {
        out.push_str(ID);
    } else if is_version(text) {
        out.push_str(text);
    } else if is_date(text) && text[10..].starts_with(['T', '_']) {
        out.push_str("{date}");
    } else {
        parts(text, out);
    }
}

/// A segment of several things: a name and its extension, a key and its value.
fn parts(text: &str, out: &mut String) {
    let mut rest = text;
    let mut before = None;
    loop {
        let between = class::DOT | class::SEPARATOR;
        let end = rest.bytes().position(|b| class::of(b) & between != 0);
        let (this, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let begin = out.len();
        part(this, out);
        if let Some(separator) = before {
            join(begin, separator, this, out);
        }
        let Some(separator) = behind.chars().next() else {
            return;
        };
        rest = &behind[1..];
        // What pads base64.
        if behind.bytes().all(|b| b == b'=') && out.ends_with(ID) {
            return;
        }
        out.push(separator);
        before = Some(separator);
    }
}

/// Values with separators between them are one value: an address, a list. From `begin` on, `out`
/// holds the name of `part`, before it the separator.
fn join(begin: usize, separator: char, part: &str, out: &mut String) {
    let before = begin - separator.len_utf8();
    let follows = out[..before].ends_with(ID)
        && (out[begin..] == *ID
            || (matches!(separator, ':' | ',') && part.contains(|c: char| c.is_ascii_digit())));
    if follows {
        out.truncate(before);
    }
}

/// Words with joiners between them.
fn part(text: &str, out: &mut String) {
    if is_date(text) {
        return out.push_str("{date}");
    }
    let begin = out.len();
    let (mut words, mut at) = (0, 0);
    for word in text.split(|c: char| u8::try_from(c).is_ok_and(|b| class::of(b) == class::JOINER)) {
        if at > 0 {
            out.push_str(&text[at - 1..at]);
        }
        if let Some(name) = value(word) {
            if words >= NUMBERED_TITLE_WORDS {
                out.truncate(begin);
                return out.push_str("{slug}");
            }
            // What is joined to a value is part of it: of a UUID, of a title behind its number.
            out.push_str(name);
            return out.push_str(ID);
        }
        out.push_str(word);
        at += word.len() + 1;
        words += usize::from(!word.is_empty());
    }
    if words >= TITLE_WORDS && text.contains('-') {
        out.truncate(begin);
        out.push_str("{slug}");
    }
}

/// Whether letters alone are too many to be a word that happens to be hexadecimal (`facade`).
fn is_hex_word(classes: u8, text: &str) -> bool {
    classes == class::HEX_LETTER && text.len() >= 8
}

/// Words of that form are names although a number is in them.
const NAMES: [&str; 5] = ["sha256", "sha512", "base64", "win32", "x86"];

/// If a word of letters and digits is a value, what of its begin is a name.
fn value(word: &str) -> Option<&str> {
    let bytes = word.as_bytes();
    let classes = class::of_all(word);
    if classes & class::DIGIT == 0 {
        let unlikely = bytes.len() > LONGEST_WORD || is_hex_word(classes, word);
        return unlikely.then_some("");
    }
    let is_hex = classes & class::LETTER == 0;
    if classes == class::DIGIT || (is_hex && bytes.len() >= 6) {
        return Some("");
    }
    if is_version(word) || NAMES.contains(&word) {
        return None;
    }
    let runs = bytes.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let runs: smallvec::SmallVec<[&[u8]; 4]> = runs.collect();
    let starts_with_digit = bytes[0].is_ascii_digit();
    match runs.as_slice() {
        // oauth2, s3; user42
        [name, number] if !starts_with_digit => match number.len() {
            1 if is_word(name) => None,
            _ if is_word(name) => Some(&word[..name.len()]),
            _ => Some(""),
        },
        // 2fa, 3d, 720p
        [_, _] => (bytes.len() > 5).then_some(""),
        // i18n, k8s, oauth2callback
        [before, number, after] if !starts_with_digit => {
            let name = number.len() <= 2 && is_word(before) && is_word(after);
            (!name).then_some("")
        }
        _ => (bytes.len() >= 5).then_some(""),
    }
}

/// Letters as words have them: of one case, or with a capital where one begins.
fn is_word(letters: &[u8]) -> bool {
    let capitals = letters.iter().filter(|b| b.is_ascii_uppercase()).count();
    capitals == letters.len()
        || capitals * 3 <= letters.len()
        || (capitals == 1 && letters[0].is_ascii_uppercase())
}

/// `v1`, `v2beta1`, `v1.43`, `1.0`: one of few, and telling.
fn is_version(text: &str) -> bool {
    let (marked, text) = match text.strip_prefix(['v', 'V']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let is_number =
        |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let numbers = text.split('.').count();
    if numbers > 1 {
        return numbers <= if marked { 3 } else { 2 } && text.split('.').all(is_number);
    }
    let end = |text: &str| {
        text.bytes()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(text.len())
    };
    let (major, rest) = text.split_at(end(text));
    let minor = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let stage = rest.len() - minor.len();
    marked
        && is_number(major)
        && (rest.is_empty() || (stage <= 5 && stage > 0))
        && (minor.is_empty() || is_number(minor))
}

/// `2024-05-17`, whatever follows it behind something else than a digit.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes[..10]
            .iter()
            .enumerate()
            .all(|(index, b)| match index {
                4 | 7 => *b == b'-',
                _ => b.is_ascii_digit(),
            })
        && bytes.get(10).is_none_or(|b| !b.is_ascii_digit())
}

/// `name@example.com`, also with its sign percent-encoded.
fn is_mail(text: &str) -> bool {
    let parts = text.split_once('@').or_else(|| text.split_once("%40"));
    parts.is_some_and(|(name, host)| {
        let top = host.rsplit_once('.').map_or("", |(_, top)| top);
        !name.is_empty() && top.len() >= 2 && top.bytes().all(|b| b.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests;
