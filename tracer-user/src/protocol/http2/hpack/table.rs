//! The dynamic table (RFC 7541, section 2.3.2), which may be known in part only.
//!
//! An entry is named by its distance from the newest, so what is known stays right though the older
//! ones are not: those of a connection met midway, and those before a block that was not seen. The
//! table's size may be unknown as well; entries that the encoder evicted already are then kept until
//! [`MEMORY_LIMIT`], and never referred to.

use std::collections::VecDeque;

use super::fixed;

/// The size before any update: the initial SETTINGS_HEADER_TABLE_SIZE (RFC 9113, section 6.5.2).
const INITIAL_SIZE: usize = 4096;

/// Bytes of entries kept, by the RFC's measure. Common encoders stay at 4096 whatever they are
/// allowed, Chrome's and nghttp2's go up to 65,536. What an encoder keeps beyond is unknown to us.
const MEMORY_LIMIT: usize = 65_536;

/// What an entry counts besides its text (RFC 7541, section 4.1).
const OVERHEAD: usize = 32;

/// An entry that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Its name and its value.
    Entry(&'a [u8], &'a [u8]),
    /// There may be one, inserted before we looked.
    Unknown,
}

/// Where an entry's text lies.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Counted from the first byte of the first entry ever.
    start: u64,
    name: u32,
    value: u32,
    /// Its text is not known, so it has none.
    unknown: bool,
}

impl Entry {
    /// What it counts: at least that, if it is unknown.
    fn size(&self) -> usize {
        OVERHEAD + self.name as usize + self.value as usize
    }
}

/// A dynamic table.
#[derive(Debug)]
pub(super) struct Table {
    /// Newest first.
    entries: VecDeque<Entry>,
    /// Their texts, oldest first, behind some of entries that are gone.
    text: Vec<u8>,
    /// How many bytes were dropped from the front of `text`.
    dropped: u64,
    size: usize,
    /// None: not known.
    limit: Option<usize>,
    /// There are no entries but these.
    whole: bool,
}

impl Table {
    /// Nothing was inserted yet; or, `midway`, perhaps something was.
    pub(super) fn new(midway: bool) -> Table {
        Table {
            entries: VecDeque::new(),
            text: Vec::new(),
            dropped: 0,
            size: 0,
            limit: (!midway).then_some(INITIAL_SIZE),
            whole: !midway,
        }
    }

    /// It may have changed in any way.
    pub(super) fn lose(&mut self) {
        self.clear();
        self.limit = None;
        self.whole = false;
    }

    /// Section 4.3.
    pub(super) fn resize(&mut self, limit: usize) {
        self.limit = Some(limit);
        self.evict();
        // An entry needs its overhead at least.
        self.whole |= limit < OVERHEAD;
    }

    /// Section 4.4. A name that is not known makes an entry that is not.
    pub(super) fn insert(&mut self, name: Option<&[u8]>, value: &[u8]) {
        let start = self.dropped + self.text.len() as u64;
        let mut entry = Entry {
            start,
            name: name.map_or(0, <[u8]>::len) as u32,
            value: value.len() as u32,
            unknown: name.is_none(),
        };
        if self.limit.is_some_and(|limit| entry.size() > limit) {
            self.clear();
            self.whole = true;
            return;
        }
        if entry.size() > MEMORY_LIMIT {
            self.clear();
            self.whole = false;
            entry = Entry {
                start: 0,
                name: 0,
                value: 0,
                unknown: true,
            };
        } else if let Some(name) = name {
            self.text.extend_from_slice(name);
            self.text.extend_from_slice(value);
        }
        self.size += entry.size();
        self.entries.push_front(entry);
        self.evict();
    }

    /// The entry that is so far from the newest; None: there is none.
    pub(super) fn get(&self, index: usize) -> Option<Found<'_>> {
        match self.entries.get(index) {
            Some(Entry { unknown: true, .. }) => Some(Found::Unknown),
            Some(entry) => {
                let text = &self.text[(entry.start - self.dropped) as usize..];
                let (name, value) = text.split_at(entry.name as usize);
                Some(Found::Entry(name, &value[..entry.value as usize]))
            }
            None if self.whole => None,
            None => Some(Found::Unknown),
        }
    }

    /// How many entries are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What they count: more than they take.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn evict(&mut self) {
        let limit = self.limit.unwrap_or(usize::MAX);
        while self.size > limit.min(MEMORY_LIMIT) {
            let Some(oldest) = self.entries.pop_back() else {
                break;
            };
            self.size -= oldest.size();
            self.whole &= limit <= MEMORY_LIMIT;
        }
        let oldest = self.entries.iter().rev().find(|entry| !entry.unknown);
        let end = self.dropped + self.text.len() as u64;
        let gone = oldest.map_or(end, |entry| entry.start) - self.dropped;
        // Moving the rest is worth it once as much is gone.
        if gone as usize * 2 >= self.text.len() {
            self.text.drain(..gone as usize);
            self.dropped += gone;
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.text.clear();
        self.dropped = 0;
        self.size = 0;
    }
}

// An index is a dynamic one beyond these.
const _: () = assert!(fixed::ENTRIES.len() == 61);
