//! Where a Go program's functions are: the table that its own stack traces use (`.gopclntab`), which
//! every Go binary carries, stripped or not.
//!
//! Layout of Go 1.18 and later (runtime/symtab.go, `pcHeader`, `functab`, `_func`); before 1.18 it was
//! another. The table is read as a stranger's: what does not fit together is not found, and each step
//! stays within the bytes given.

use std::ops::Range;

/// First word of the table since Go 1.20, and of 1.18 and 1.19.
const MAGICS: [u32; 2] = [0xffff_fff1, 0xffff_fff0];

/// Functions of the largest binaries known are about a million (Kubernetes: 150,000).
const MOST_FUNCTIONS: usize = 4 << 20;

/// The table.
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    functions: usize,
    /// From the header's start.
    names: usize,
    index: usize,
}

impl<'a> Table<'a> {
    /// Reads the header.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Table<'a>> {
        let magic = u32_at(bytes, 0)?;
        // Bytes 4 to 7: zero, zero, the least size of an instruction, the size of a pointer.
        if !MAGICS.contains(&magic) || bytes.get(4..8)? != [0, 0, 1, 8] {
            return None;
        }
        let table = Table {
            bytes,
            functions: word_at(bytes, 8)?,
            names: word_at(bytes, 32)?,
            index: word_at(bytes, 64)?,
        };
        (table.functions <= MOST_FUNCTIONS).then_some(table)
    }

    /// The functions of those names, by their distance from the start of the text.
    pub(super) fn find<const N: usize>(&self, wanted: [&str; N]) -> [Option<Range<u64>>; N] {
        let mut found = [const { None }; N];
        let names = self.names_of(wanted);
        for number in 0..self.functions {
            let Some((range, name)) = self.function(number) else {
                break;
            };
            if let Some(which) = names.iter().position(|wanted| *wanted == Some(name)) {
                found[which].get_or_insert(range);
            }
        }
        found
    }

    /// Where in the table of names those are. Equal names are one entry there.
    fn names_of<const N: usize>(&self, wanted: [&str; N]) -> [Option<u32>; N] {
        let names = self.bytes.get(self.names..).unwrap_or_default();
        wanted.map(|name| {
            let entry = [b"\0", name.as_bytes(), b"\0"].concat();
            let at = memchr::memmem::find(names, &entry)?;
            u32::try_from(at + 1).ok()
        })
    }

    /// Function `number`: where it is, from the start of the text, and where its name is.
    fn function(&self, number: usize) -> Option<(Range<u64>, u32)> {
        let entry = self.index.checked_add(number * 8)?;
        let (start, data) = (u32_at(self.bytes, entry)?, u32_at(self.bytes, entry + 4)?);
        // The next entry's; behind the last one stands the end of the text.
        let end = u32_at(self.bytes, entry + 8)?;
        let data = self.index.checked_add(data as usize)?;
        let name = u32_at(self.bytes, data.checked_add(4)?)?;
        Some((u64::from(start)..u64::from(end), name))
    }
}

/// Where the header has the address of the text's start; 0 there since Go 1.26, which keeps it elsewhere.
pub(super) const TEXT_START: u64 = 24;

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

fn word_at(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    usize::try_from(u64::from_le_bytes(word.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of two functions, `main.a` at 0 and `main.b` at 0x40, text ending at 0x60.
    fn table() -> Vec<u8> {
        let mut bytes = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
        let words: [u64; 8] = [2, 1, 0x401000, 72, 0, 0, 0, 88];
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(b"\0main.a\0main.b\0\0");
        for word in [0u32, 20, 0x40, 28, 0x60, 0, 1, 0x40, 8] {
            bytes.extend(word.to_le_bytes());
        }
        // The entries overlap in this table as they never do: only their names are read.
        let at = 88 + 20;
        bytes[at + 4..at + 8].copy_from_slice(&1u32.to_le_bytes());
        bytes.extend([0; 16]);
        bytes[88 + 32..88 + 36].copy_from_slice(&8u32.to_le_bytes());
        bytes
    }

    #[test]
    fn functions_are_found_by_name() {
        let bytes = table();
        let table = Table::new(&bytes).unwrap();
        let [a, b, none] = table.find(["main.a", "main.b", "main"]);
        assert_eq!((a, b, none), (Some(0..0x40), Some(0x40..0x60), None));
    }

    #[test]
    fn a_table_cut_short_or_of_nonsense_has_nothing() {
        let whole = table();
        for length in 0..whole.len() {
            if let Some(table) = Table::new(&whole[..length]) {
                let _ = table.find(["main.a", "main.b"]);
            }
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                if let Some(table) = Table::new(&bytes) {
                    let _ = table.find(["main.a", "main.b"]);
                }
            }
        }
        assert!(Table::new(b"").is_none());
    }
}
