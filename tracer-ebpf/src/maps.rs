//! Every map, and the little code that belongs to one alone.

use core::arch::asm;
use core::ffi::c_void;

use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, bpf_map_type};
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_sk_storage_get, bpf_task_storage_get,
};
use aya_ebpf::macros::btf_map;
use tracer_ebpf::abi::{COUNTERS, Counter, GoLayout, PID_LIMIT};

use crate::kernel::{field, offset, setting};
use crate::transfer::Socket;

/// Records for the agent, which sets the size.
#[btf_map]
pub static EVENTS: RingBuf<u64, { 8 << 20 }> = RingBuf::new();

/// [`Counter`]s.
#[btf_map]
pub static COUNTS: PerCpuArray<u64, { COUNTERS as usize }> = PerCpuArray::new();

/// Words of [`TRACED`].
const TRACED_WORDS: usize = PID_LIMIT as usize / 64;

/// A bit per process (tgid): traced or not. An array, since its look-up is inlined and needs no hash;
/// mapped into the agent, so that both sides can set single bits.
#[btf_map]
pub static TRACED: Array<u64, TRACED_WORDS, { BPF_F_MMAPABLE as usize }> = Array::new();

/// A bit per process whose goroutines are known by [`GO_LAYOUTS`], so that only those pay for it.
#[btf_map]
pub static GO: Array<u64, TRACED_WORDS, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Where Go programs keep what tells their goroutines, by process. As many as a large host runs; one
/// that finds no room has no goroutines.
#[btf_map]
pub static GO_LAYOUTS: HashMap<u32, GoLayout, 4096, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// Word 0: the agent sleeps and wants to be woken. Mapped into the agent.
#[btf_map]
pub static ASLEEP: Array<u64, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Word 0: how many records found no room in [`EVENTS`]. Mapped into the agent, which looks at it
/// before each record.
#[btf_map]
pub static LOST: Array<u64, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// What the agent found connections to carry: `abi::VERDICT_*`. An LRU: a verdict that falls out before
/// it was looked up costs some copying, nothing else.
#[btf_map]
pub static VERDICTS: LruHashMap<u64, u8, 16384> = LruHashMap::new();

/// What the `sock` family knows of a socket; freed with the socket.
#[btf_map]
pub static SOCKETS: LocalStorage<
    Socket,
    { bpf_map_type::BPF_MAP_TYPE_SK_STORAGE as usize },
    { (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize },
> = LocalStorage::new();

/// What the `syscall` family knows of a socket, by the address of its `struct sock`; its programs
/// can't use [`SOCKETS`]. An LRU: what falls out starts anew, as if met midway.
#[btf_map]
pub static CONNECTIONS: LruHashMap<u64, Socket, 32768> = LruHashMap::new();

/// When the call that a thread is in began (`syscall` family).
#[btf_map]
pub static STARTS: LocalStorage<
    u64,
    { bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE as usize },
    { BPF_F_NO_PREALLOC as usize },
> = LocalStorage::new();

/// A new entry of [`CONNECTIONS`].
static EMPTY: Socket = Socket::EMPTY;

/// A map whose values live in a kernel object. (aya-ebpf has none for tasks, and its socket storage
/// can neither be cloned to accepted sockets nor be used from a tracepoint.)
#[repr(C)]
pub struct LocalStorage<V, const TYPE: usize, const FLAGS: usize> {
    r#type: *const [i32; TYPE],
    key: *const i32,
    value: *const V,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the pointers are placeholders for the loader and never followed.
unsafe impl<V, const TYPE: usize, const FLAGS: usize> Sync for LocalStorage<V, TYPE, FLAGS> {}

impl<V, const TYPE: usize, const FLAGS: usize> LocalStorage<V, TYPE, FLAGS> {
    const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }

    fn map(&self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

/// A socket's state; null where it has none.
#[inline(always)]
pub fn socket(sk: *const u8) -> *mut Socket {
    if setting!(syscall) != 0 {
        return CONNECTIONS
            .get_ptr_mut(sk as u64)
            .unwrap_or(core::ptr::null_mut());
    }
    // SAFETY: `sk` is a tracepoint's argument, as the verifier checks.
    unsafe {
        // Most sockets of a host are not traced: for them it spares the call.
        if field::<usize>(sk, offset!(sk_bpf_storage)) == 0 {
            return core::ptr::null_mut();
        }
        let (map, sk) = (SOCKETS.map(), sk.cast_mut().cast());
        bpf_sk_storage_get(map, sk, core::ptr::null_mut(), 0).cast()
    }
}

/// A socket's state, made now (all zero) where it had none; null where there is no memory.
#[inline(always)]
pub fn socket_or_new(sk: *const u8) -> *mut Socket {
    const CREATE: u64 = aya_ebpf::bindings::BPF_SK_STORAGE_GET_F_CREATE as u64;
    if setting!(syscall) != 0 {
        const NO_EXIST: u64 = aya_ebpf::bindings::BPF_NOEXIST as u64;
        // Fails where there is one, which is then found.
        let _ = CONNECTIONS.insert(sk as u64, &EMPTY, NO_EXIST);
        return socket(sk);
    }
    // SAFETY: as in `socket`.
    unsafe {
        bpf_sk_storage_get(
            SOCKETS.map(),
            sk.cast_mut().cast(),
            core::ptr::null_mut(),
            CREATE,
        )
    }
    .cast()
}

/// A socket is gone. (What lives in the socket goes with it.)
#[inline(always)]
pub fn forget_socket(sk: *const u8) {
    if setting!(syscall) != 0 {
        let _ = CONNECTIONS.remove(sk as u64);
    }
}

/// Where the current thread's entry of [`STARTS`] is, made now where there was none.
#[inline(always)]
pub fn start_of_call() -> Option<&'static mut u64> {
    const CREATE: u64 = aya_ebpf::bindings::BPF_LOCAL_STORAGE_GET_F_CREATE as u64;
    // SAFETY: the helpers take what they are given here; the value lives as long as the thread.
    unsafe {
        let task = bpf_get_current_task_btf();
        bpf_task_storage_get(STARTS.map(), task, core::ptr::null_mut(), CREATE)
            .cast::<u64>()
            .as_mut()
    }
}

/// Adds one to a counter. Atomic, since a hook may be preempted by another's.
#[inline(always)]
pub fn count(counter: Counter) {
    increase(COUNTS.get_ptr_mut(counter as u32));
}

/// A record found no room in [`EVENTS`].
#[inline(always)]
pub fn lost() {
    increase(LOST.get_ptr_mut(0));
}

#[inline(always)]
fn increase(word: Option<*mut u64>) {
    if let Some(word) = word {
        // SAFETY: a map's own memory. (`core` has no atomic additions for this target.)
        unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) word, in(reg) 1u64) };
    }
}

/// Whether a process' bit is set in [`TRACED`].
#[inline(always)]
pub fn is_marked(tgid: u32) -> bool {
    has_bit(TRACED.get_ptr(tgid / 64), tgid)
}

/// Whether a process' bit is set in [`GO`].
#[inline(always)]
pub fn is_go(tgid: u32) -> bool {
    has_bit(GO.get_ptr(tgid / 64), tgid)
}

#[inline(always)]
fn has_bit(word: Option<*const u64>, tgid: u32) -> bool {
    let Some(word) = word else {
        return false;
    };
    // SAFETY: the map's own memory.
    let word = unsafe { word.read_volatile() };
    word & bit(tgid) != 0
}

/// Sets a process' bit.
#[inline(always)]
pub fn mark(tgid: u32) {
    if let Some(word) = TRACED.get_ptr_mut(tgid / 64) {
        // SAFETY: the map's own memory.
        unsafe { asm!("lock *(u64 *)({0} + 0) |= {1}", in(reg) word, in(reg) bit(tgid)) };
    }
}

/// Clears it.
#[inline(always)]
pub fn unmark(tgid: u32) {
    if let Some(word) = TRACED.get_ptr_mut(tgid / 64) {
        // SAFETY: the map's own memory.
        unsafe { asm!("lock *(u64 *)({0} + 0) &= {1}", in(reg) word, in(reg) !bit(tgid)) };
    }
}

fn bit(tgid: u32) -> u64 {
    1 << (tgid % 64)
}
