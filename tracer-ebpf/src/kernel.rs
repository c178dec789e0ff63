//! Fields of kernel structures, at the offsets that the agent took from this kernel's BTF.
//!
//! Two ways to read: [`field`] loads directly and is nearly free, but only through a pointer whose
//! type the verifier knows (a tracepoint's argument, the current task, its registers); [`read`] copies
//! through any kernel address.

use core::arch::asm;
use core::ffi::c_void;
use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, bpf_probe_read_kernel};
use tracer_ebpf::abi::{Offsets, Settings};

/// Set by the loader; read-only, so that the verifier takes every offset for a constant.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::NONE;

/// Set by the loader.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings::NONE;

/// One field of [`OFFSETS`]: `offset!(skc_family)`.
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::load(&$crate::kernel::OFFSETS.$field) as usize
    };
}
pub(crate) use offset;

/// One of [`SETTINGS`]'s switches: `setting!(follow)`.
macro_rules! setting {
    ($field:ident) => {
        $crate::kernel::load(&$crate::kernel::SETTINGS.$field)
    };
}
pub(crate) use setting;

/// What the loader put there: volatile, since that is after the compiler saw it.
#[inline(always)]
pub fn load<T: Copy>(value: &'static T) -> T {
    // SAFETY: a reference is valid to read.
    unsafe { core::ptr::read_volatile(value) }
}

/// Loads a field through a pointer whose type the verifier knows.
///
/// # Safety
///
/// `base` is such a pointer, and the structure has a `T` at `offset`.
#[inline(always)]
pub unsafe fn field<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: the caller's promise, which the verifier checks.
    unsafe { core::ptr::read_volatile(base.add(offset).cast::<T>()) }
}

/// Copies a field from any kernel address; zeroes where it can't be read.
#[inline(always)]
pub fn read<T: Copy + Default>(base: *const u8, offset: usize) -> T {
    // SAFETY: the helper checks the address and reports a fault as an error.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset).cast::<T>()) }.unwrap_or_default()
}

/// Copies a value from an address in the memory of the current process; none where it can't be read.
/// (aya's own zeroes the value first, byte by byte.)
#[inline(always)]
pub fn read_user<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes a T, checks the address and reports a fault as an error.
    unsafe {
        let source = address as usize as *const c_void;
        if bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, source) != 0 {
            return None;
        }
        Some(value.assume_init())
    }
}

/// The same number, of which the verifier knows nothing any more: paths that differ in nothing else are
/// one path from here on, and checked once. `unknown` is any number that it does not know.
#[inline(always)]
pub fn forgotten(number: u64, unknown: u64) -> u64 {
    let mut number = number;
    // SAFETY: touches registers only.
    unsafe {
        asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) number, in(reg) unknown);
    }
    number
}

/// The time, as all records have it.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes nothing.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// The smaller of both.
#[inline(always)]
pub fn smaller(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}
