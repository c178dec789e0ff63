//! Map memory that both sides write: an array map mapped into the agent, so that single bits and
//! words change atomically and without a system call.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::MapData;

/// The values of an array map of `u64` with `BPF_F_MMAPABLE`.
pub(super) struct Words {
    start: NonNull<AtomicU64>,
    count: usize,
    /// Programs that are loaded later find the map by its descriptor.
    _map: MapData,
}

// SAFETY: the memory is shared with the kernel anyway and only touched through atomics.
unsafe impl Send for Words {}

impl Words {
    /// Maps `count` words of the map.
    pub(super) fn map(map: MapData, count: usize) -> io::Result<Words> {
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * 8,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Words {
            start,
            count,
            _map: map,
        })
    }

    /// One word; the index is below `count`.
    pub(super) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.count);
        // SAFETY: in bounds of a mapping that lives as long as `self`, and aligned to a page.
        unsafe { self.start.add(index).as_ref() }
    }

    /// Sets bit `n`, counted over all words.
    pub(super) fn set_bit(&self, n: u32) {
        self.word(n as usize / 64)
            .fetch_or(1 << (n % 64), Ordering::Relaxed);
    }

    /// Whether it is set.
    pub(super) fn has_bit(&self, n: u32) -> bool {
        self.word(n as usize / 64).load(Ordering::Relaxed) >> (n % 64) & 1 != 0
    }

    /// Clears all.
    pub(super) fn clear(&self) {
        let words = (0..self.count).map(|index| self.word(index));
        words
            .filter(|word| word.load(Ordering::Relaxed) != 0)
            .for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Clears it.
    pub(super) fn clear_bit(&self, n: u32) {
        self.word(n as usize / 64)
            .fetch_and(!(1 << (n % 64)), Ordering::Relaxed);
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`, to which no reference outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.count * 8) };
    }
}

/// Gives memory that the allocator holds free back to the system: parsing the kernel's type
/// information takes tens of MB once, which would stay with the agent for good.
pub(super) fn return_free_memory() {
    // SAFETY: takes a number, touches free memory only.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
