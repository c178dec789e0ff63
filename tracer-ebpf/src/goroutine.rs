//! Which goroutine is calling, and what probes in Go programs tell of them.
//!
//! Go keeps the running `g` in a thread's own memory, at a place and with a layout that the agent reads
//! off the binary ([`maps::GO_LAYOUTS`]); a process without an entry there pays a bit test.
//!
//! Bias: what can't be read is not known (0). Leaves out: processors other than amd64.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_get_attach_cookie;
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use tracer_ebpf::abi::{
    self, Fresh, GOROUTINE_BATCH, GOROUTINE_BEGINS, GOROUTINE_SERVES, GOROUTINE_STARTS, GoLayout,
    Kind, NO_STREAM, RECEIVED, Register,
};

use crate::emit;
use crate::kernel::{field, offset, read_user};
use crate::maps;
use crate::task::Task;
use crate::transfer::Moved;

/// The goroutine that makes a transfer; see `abi::Transfer`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Goroutine {
    pub id: u64,
    pub lineage: u64,
}

impl Goroutine {
    /// Not known.
    pub const NONE: Goroutine = Goroutine { id: 0, lineage: 0 };
}

/// Who makes that transfer.
#[inline(always)]
pub fn current(moved: &Moved) -> Goroutine {
    let mut found = Goroutine::NONE;
    if maps::is_go(moved.who.tgid()) {
        find(&mut found, moved.who.tgid(), moved.direction);
    }
    found
}

/// See [`current`]. Global, so that the verifier checks it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn find(found: *mut Goroutine, tgid: u32, direction: u32) -> u32 {
    // SAFETY: the caller passes a reference; the verifier wants to see null excluded.
    let Some(found) = (unsafe { found.as_mut() }) else {
        return 0;
    };
    // SAFETY: the map's own memory, which the agent replaces but never changes in place.
    let Some(layout) = (unsafe { maps::GO_LAYOUTS.get(&tgid) }) else {
        return 0;
    };
    // SAFETY: the current task, a field of it.
    let fsbase: u64 = unsafe { field(Task::current().as_ptr(), offset!(task_fsbase)) };
    let g = word(fsbase.wrapping_add(layout.tls as u64));
    found.id = word_at(g, layout.goid);
    found.lineage = if direction == u32::from(RECEIVED) {
        fresh(g, layout)
    } else {
        word_at(g, layout.parent)
    };
    0
}

/// Which numbers goroutines have that are started after now, see `abi::Fresh`; 0 = not known.
#[inline(always)]
fn fresh(g: u64, layout: &GoLayout) -> u64 {
    let m = word_at(g, layout.m);
    let mut p = word_at(m, layout.p);
    if p == 0 {
        p = word_at(m, layout.oldp);
    }
    let Some([next, end]) = read_user::<[u64; 2]>(p.wrapping_add(layout.goidcache.into())) else {
        return 0;
    };
    let taken = word(layout.goidgen);
    if taken == 0 || taken % GOROUTINE_BATCH != 0 {
        return if next == end {
            0
        } else {
            Fresh::new(next, 0).0
        };
    }
    // A batch that is given out is none.
    Fresh::new(if next == end { taken + 1 } else { next }, taken).0
}

/// A probe in a Go program, past the stack check of a function's prologue: arguments are in their
/// registers, `g` in R14. See `abi::GoProbe` for what the cookie says.
#[uprobe]
pub fn goroutine(ctx: ProbeContext) -> u32 {
    let task = Task::current();
    let tgid = task.tgid();
    if !task.is_traced() {
        return 0;
    }
    // SAFETY: the map's own memory, as above.
    let Some(layout) = (unsafe { maps::GO_LAYOUTS.get(&tgid) }) else {
        return 0;
    };
    // SAFETY: this program's own context.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    let regs = task.registers();
    if (cookie >> 16) as u8 != 0 && register(regs, (cookie >> 16) as u8) == 0 {
        return 0;
    }
    let mut token = register(regs, (cookie >> 8) as u8);
    if (cookie >> 24) as u8 != 0 {
        token = word(token);
    }
    let what = cookie as u8;
    let at = (cookie >> 32) as u16;
    // SAFETY: the registers of the current task.
    let (g, ip): (u64, u64) = unsafe {
        (
            field(regs, offset!(regs_r14)),
            field(regs, offset!(regs_ip)),
        )
    };
    if what == GOROUTINE_STARTS && word_at(g, layout.startpc) != ip.wrapping_sub(at.into()) {
        // It came by in another way than by its start.
        return 0;
    }
    let stream = if at == NO_STREAM || what == GOROUTINE_STARTS {
        0
    } else {
        read_user::<u32>(token.wrapping_add(at.into())).unwrap_or(0)
    };
    let begins = what == GOROUTINE_BEGINS || what == GOROUTINE_SERVES;
    emit::record(abi::Goroutine {
        kind: Kind::Goroutine as u8,
        what,
        reserved: 0,
        pid: tgid,
        goid: word_at(g, layout.goid),
        parent: word_at(g, layout.parent),
        fresh: if begins { fresh(g, layout) } else { 0 },
        token: if what == GOROUTINE_SERVES { 0 } else { token },
        stream,
        reserved2: 0,
    });
    0
}

/// What is in a register.
#[inline(always)]
fn register(regs: *const u8, which: u8) -> u64 {
    // SAFETY: the registers of the current task.
    unsafe {
        if which == Register::A as u8 {
            field(regs, offset!(regs_ax))
        } else if which == Register::B as u8 {
            field(regs, offset!(regs_bx))
        } else if which == Register::C as u8 {
            field(regs, offset!(regs_cx))
        } else if which == Register::D as u8 {
            field(regs, offset!(regs_di))
        } else if which == Register::E as u8 {
            field(regs, offset!(regs_r8))
        } else {
            0
        }
    }
}

/// A word of the process' memory; 0 where it can't be read.
#[inline(always)]
fn word(address: u64) -> u64 {
    // Nothing is there; a fault would cost ten times the read.
    if address == 0 {
        return 0;
    }
    read_user(address).unwrap_or(0)
}

/// A word of a structure, if there is one.
#[inline(always)]
fn word_at(structure: u64, offset: u32) -> u64 {
    if structure == 0 {
        return 0;
    }
    word(structure.wrapping_add(offset.into()))
}
