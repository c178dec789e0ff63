//! Records into the ring: bounded copies, loss counters, waking the reader.
//!
//! A record is reserved in the ring and written there, so no scratch memory is needed that another
//! hook could overwrite. The ring takes constant sizes only, hence the payload classes of the ABI.

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{
    bpf_probe_read_user, bpf_ringbuf_discard, bpf_ringbuf_reserve, bpf_ringbuf_submit,
};
use tracer_ebpf::abi::{CLASSES, Class, Counter, Transfer, UNSEEN};

use crate::maps::{ASLEEP, EVENTS, count, lost};

/// How a [`Transfer`]'s bytes are copied: from where, and how many of the first and the last.
pub struct Copy {
    pub address: u64,
    pub head: u32,
    pub tail: u32,
}

/// What a [`Transfer`]'s record says of one piece, beside what all of them have in common.
pub struct Piece {
    pub position: u64,
    pub length: u32,
    pub flags: u16,
}

/// Puts a fixed record into the ring. False: there was no room, which is counted.
#[inline(always)]
pub fn record<T>(record: T) -> bool {
    made_in_place(|slot| *slot = record)
}

/// The same for a record that is made in the ring, where it takes no room on the stack. `T` is one of
/// the ABI's, of integers, and `make` sets all of it.
#[inline(always)]
pub fn made_in_place<T>(make: impl FnOnce(&mut T)) -> bool {
    let Some(slot) = reserve(size_of::<T>()) else {
        lost();
        count(Counter::RecordsRingFull);
        return false;
    };
    // SAFETY: the slot has the size of a T, whatever is in it is one, and the ring aligns to 8 bytes.
    make(unsafe { &mut *slot.cast::<T>() });
    submit(slot);
    true
}

/// Puts a transfer's piece and the bytes to copy into the ring. False: there was no room.
#[inline(always)]
pub fn transfer(common: &Transfer, piece: &Piece, copy: &Copy) -> bool {
    if copy.head == 0 && copy.tail == 0 {
        sized::<0, 0>(common, piece, copy)
    } else if copy.tail == 0 && copy.head <= CLASSES[1].head as u32 {
        sized::<{ CLASSES[1].head }, { CLASSES[1].tail }>(common, piece, copy)
    } else if copy.tail == 0 && copy.head <= CLASSES[2].head as u32 {
        sized::<{ CLASSES[2].head }, { CLASSES[2].tail }>(common, piece, copy)
    } else if copy.head <= CLASSES[3].head as u32 {
        sized::<{ CLASSES[3].head }, { CLASSES[3].tail }>(common, piece, copy)
    } else if copy.tail == 0 && copy.head <= CLASSES[4].head as u32 {
        sized::<{ CLASSES[4].head }, { CLASSES[4].tail }>(common, piece, copy)
    } else {
        sized::<{ CLASSES[5].head }, { CLASSES[5].tail }>(common, piece, copy)
    }
}

/// [`transfer`] of one payload class.
#[inline(always)]
fn sized<const HEAD: usize, const TAIL: usize>(
    common: &Transfer,
    piece: &Piece,
    copy: &Copy,
) -> bool {
    let Some(slot) = Slot::<HEAD, TAIL>::reserve() else {
        return false;
    };
    let mut head = 0;
    let mut tail = 0;
    let mut unseen = 0;
    if HEAD > 0 {
        head = slot.copy_head(copy.address, copy.head);
        if head == 0 && copy.head > 0 {
            unseen = UNSEEN;
        }
    }
    if TAIL > 0 && unseen == 0 {
        tail = slot.copy_tail(copy.address + u64::from(piece.length), copy.tail);
    }
    slot.submit(Transfer {
        captured: head,
        tail_captured: tail,
        flags: piece.flags | unseen,
        position: piece.position,
        length: piece.length,
        ..*common
    });
    true
}

/// Room in the ring for a [`Transfer`] and its payload areas. It must be submitted.
pub struct Slot<const HEAD: usize, const TAIL: usize>(*mut u8);

impl<const HEAD: usize, const TAIL: usize> Slot<HEAD, TAIL> {
    /// None: the ring is full.
    #[inline(always)]
    pub fn reserve() -> Option<Self> {
        const { assert!(is_class(HEAD, TAIL)) };
        reserve(size_of::<Transfer>() + HEAD + TAIL).map(Slot)
    }

    /// The head area.
    #[inline(always)]
    pub fn head(&self) -> *mut u8 {
        // SAFETY: it follows the record.
        unsafe { self.0.add(size_of::<Transfer>()) }
    }

    /// Copies bytes of the process into the head area; returns how many: all, as far as there is
    /// room, or where they can't be read, none.
    #[inline(always)]
    pub fn copy_head(&self, address: u64, length: u32) -> u32 {
        let length = bounded(length.into(), HEAD);
        let source = address as usize as *const _;
        // SAFETY: the head area has room for HEAD bytes.
        if unsafe { bpf_probe_read_user(self.head().cast(), length, source) } != 0 {
            return 0;
        }
        length
    }

    /// The same for the bytes before `end`, into the tail area.
    #[inline(always)]
    pub fn copy_tail(&self, end: u64, length: u32) -> u32 {
        let length = bounded(length.into(), TAIL);
        let source = (end - u64::from(length)) as usize as *const _;
        // SAFETY: behind the head area there is room for TAIL bytes.
        if unsafe { bpf_probe_read_user(self.head().add(HEAD).cast(), length, source) } != 0 {
            return 0;
        }
        length
    }

    /// Hands the record over.
    #[inline(always)]
    pub fn submit(self, record: Transfer) {
        // SAFETY: the slot begins with room for it, and the ring aligns to 8 bytes.
        unsafe { self.0.cast::<Transfer>().write(record) };
        submit(self.0);
    }
}

/// Counts a piece that found no room: with its last one, a transfer.
#[inline(always)]
pub fn count_lost(last: u16) {
    lost();
    count(if last != 0 {
        Counter::TransfersRingFull
    } else {
        Counter::RecordsRingFull
    });
}

/// Whether the ABI knows this payload class.
const fn is_class(head: usize, tail: usize) -> bool {
    let mut i = 0;
    while i < CLASSES.len() {
        let Class { head: h, tail: t } = CLASSES[i];
        if h == head && t == tail {
            return true;
        }
        i += 1;
    }
    false
}

/// The smaller of both, in a way that the optimiser can't undo and the verifier can follow.
#[inline(always)]
pub fn bounded(length: u64, most: usize) -> u32 {
    let mut length = length;
    // SAFETY: moves a register to itself; the compiler must take the value for unknown.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) length) };
    if length > most as u64 {
        most as u32
    } else {
        length as u32
    }
}

#[inline(always)]
fn reserve(size: usize) -> Option<*mut u8> {
    // SAFETY: the helper takes the map and a constant size.
    let slot =
        unsafe { bpf_ringbuf_reserve((&raw const EVENTS).cast_mut().cast(), size as u64, 0) };
    if slot.is_null() {
        None
    } else {
        Some(slot.cast())
    }
}

/// Hands a record over. The reader naps while records come and is woken only when it sleeps.
#[inline(always)]
fn submit(slot: *mut u8) {
    // SAFETY: `slot` comes from `reserve` and is given back once.
    unsafe { bpf_ringbuf_submit(slot.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
    // The kernel submits with a full barrier, the reader has one between saying that it sleeps and
    // looking at the ring: one of the two sees the other.
    let Some(asleep) = ASLEEP.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the map's own memory.
    if unsafe { asleep.read_volatile() } == 0 {
        return;
    }
    wake();
}

/// Wakes the reader. Only a record can, so one is made and thrown away. The return value means nothing.
///
/// Global, so that the verifier checks it once and not in every place that submits a record.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn wake() -> u32 {
    // One after the other: older kernels think the word may be missing, and would see the slot leak.
    if let Some(asleep) = ASLEEP.get_ptr_mut(0)
        && let Some(slot) = reserve(8)
    {
        // SAFETY: the map's own memory; `slot` comes from `reserve` and is given back once.
        unsafe {
            asleep.write_volatile(0);
            bpf_ringbuf_discard(slot.cast(), u64::from(BPF_RB_FORCE_WAKEUP));
        }
    }
    0
}
