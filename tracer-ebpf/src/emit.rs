//! Records into the ring: bounded copies, loss counters, waking the reader.
//!
//! A record is reserved in the ring and written there, so no scratch memory is needed that another
//! hook could overwrite. The ring takes constant sizes only, hence the payload classes of the ABI.

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{
    bpf_probe_read_user, bpf_ringbuf_discard, bpf_ringbuf_reserve, bpf_ringbuf_submit,
};
use tracer_ebpf::abi::{CLASSES, Class, Counter, Transfer, UNSEEN};

use crate::maps::{ASLEEP, EVENTS, count};

/// How a [`Transfer`]'s bytes are copied: from where, and how many of the first and the last.
pub struct Copy {
    pub address: u64,
    pub head: u32,
    pub tail: u32,
}

/// Puts a fixed record into the ring. False: there was no room, which is counted.
#[inline(always)]
pub fn record<T>(record: T) -> bool {
    let Some(slot) = reserve(size_of::<T>()) else {
        count(Counter::RecordsRingFull);
        return false;
    };
    // SAFETY: the slot has the size of a T, and the ring aligns to 8 bytes.
    unsafe { slot.cast::<T>().write(record) };
    submit(slot);
    true
}

/// Puts a transfer's piece and the bytes to copy into the ring. False: there was no room.
#[inline(always)]
pub fn transfer(record: &Transfer, copy: &Copy) -> bool {
    if copy.head == 0 && copy.tail == 0 {
        sized::<0, 0>(record, copy)
    } else if copy.tail == 0 && copy.head <= CLASSES[1].head as u32 {
        sized::<{ CLASSES[1].head }, { CLASSES[1].tail }>(record, copy)
    } else if copy.tail == 0 && copy.head <= CLASSES[2].head as u32 {
        sized::<{ CLASSES[2].head }, { CLASSES[2].tail }>(record, copy)
    } else if copy.head <= CLASSES[3].head as u32 {
        sized::<{ CLASSES[3].head }, { CLASSES[3].tail }>(record, copy)
    } else if copy.tail == 0 && copy.head <= CLASSES[4].head as u32 {
        sized::<{ CLASSES[4].head }, { CLASSES[4].tail }>(record, copy)
    } else {
        sized::<{ CLASSES[5].head }, { CLASSES[5].tail }>(record, copy)
    }
}

/// [`transfer`] of one payload class.
#[inline(always)]
fn sized<const HEAD: usize, const TAIL: usize>(record: &Transfer, copy: &Copy) -> bool {
    const { assert!(is_class(HEAD, TAIL)) };
    let Some(slot) = reserve(size_of::<Transfer>() + HEAD + TAIL) else {
        return false;
    };
    let target = slot.cast::<Transfer>();
    let mut head = 0;
    let mut tail = 0;
    let mut unseen = 0;
    // SAFETY: the slot holds a record, HEAD and TAIL bytes; the lengths are bounded by them.
    unsafe {
        let payload = slot.add(size_of::<Transfer>());
        if HEAD > 0 {
            head = bounded(u64::from(copy.head), HEAD);
            if bpf_probe_read_user(payload.cast(), head, copy.address as usize as *const _) != 0 {
                head = 0;
                unseen = UNSEEN;
            }
        }
        if TAIL > 0 && unseen == 0 {
            tail = bounded(u64::from(copy.tail), TAIL);
            let from = copy.address + u64::from(record.length) - u64::from(tail);
            if bpf_probe_read_user(payload.add(HEAD).cast(), tail, from as usize as *const _) != 0 {
                tail = 0;
            }
        }
        target.write(Transfer {
            captured: head,
            tail_captured: tail,
            flags: record.flags | unseen,
            ..*record
        });
    }
    submit(slot);
    true
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
    // Only a record can wake, so one is made and thrown away.
    if let Some(slot) = reserve(8) {
        // SAFETY: as above.
        unsafe {
            asleep.write_volatile(0);
            bpf_ringbuf_discard(slot.cast(), u64::from(BPF_RB_FORCE_WAKEUP));
        }
    }
}
