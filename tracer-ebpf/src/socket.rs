//! The `sock` family: BTF tracepoints that fire once per transfer of a socket, after it, in the task
//! that made it, and never for files.
//!
//! Kernels: `sock_send_length`, `sock_recv_length` and `sk_data_ready` 6.3, `tcp_sendmsg_locked` 6.16.
//! The last two are optional: without them a message has no time of arrival, a send none of its start.

use aya_ebpf::cty::c_int;
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use tracer_ebpf::abi::{ENDED_RECEIVING, RECEIVED, SENT};

use crate::kernel::{field, offset};
use crate::lifecycle::announce;
use crate::maps;
use crate::task::{Buffers, Who};
use crate::transfer::{FOREIGN, Moved, NEW, Socket, TRACED, UNKNOWN_PROTOCOL};

/// `recv` flags (include/linux/socket.h).
const MSG_OOB: c_int = 0x1;
const MSG_PEEK: c_int = 0x2;
const MSG_TRUNC: c_int = 0x20;
const MSG_ERRQUEUE: c_int = 0x2000;

/// `sock_recv_length(sk, ret, flags)`.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    let who = Who::current();
    if !who.is_traced() {
        return 0;
    }
    let (sk, result, flags): (*const u8, c_int, c_int) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    if result < 0 {
        return failed(sk);
    }
    // A peek leaves the bytes where they are, and neither urgent data nor the error queue is part of
    // the stream.
    if flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB) != 0 {
        return 0;
    }
    let Some(socket) = reported(sk) else { return 0 };
    let buffers = if flags & MSG_TRUNC != 0 {
        // The bytes were thrown away, the buffer holds something else.
        Buffers::NONE
    } else {
        Buffers::of_current_call()
    };
    let end_ns = now();
    if result == 0 {
        if buffers.shape != Buffers::ONE || buffers.count != 0 {
            socket.report_end(ENDED_RECEIVING, end_ns);
        }
        return 0;
    }
    transfer(sk, socket, who, RECEIVED, result, buffers, end_ns);
    // SAFETY: `sk` is the tracepoint's argument, a `struct sock`.
    let more = unsafe { field::<u32>(sk, offset!(sk_receive_qlen)) } != 0;
    socket.drained(more);
    0
}

/// `sock_send_length(sk, ret, flags)`.
#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    let who = Who::current();
    if !who.is_traced() {
        return 0;
    }
    let (sk, result): (*const u8, c_int) = (ctx.arg(0), ctx.arg(1));
    if result <= 0 {
        return failed(sk);
    }
    let Some(socket) = reported(sk) else { return 0 };
    let buffers = Buffers::of_current_call();
    transfer(sk, socket, who, SENT, result, buffers, now());
    0
}

/// `tcp_sendmsg_locked(sk, msg, skb, size_goal)`: a send begins, or goes on with its next segment.
#[btf_tracepoint(function = "tcp_sendmsg_locked")]
pub fn tcp_sendmsg_locked(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the map's own memory.
    if let Some(socket) = unsafe { maps::socket(ctx.arg(0)).as_mut() }
        && socket.verdict <= TRACED
        && socket.verdict != FOREIGN
        && socket.send_start_ns == 0
    {
        socket.send_start_ns = now();
    }
    0
}

/// `sk_data_ready(sk)`: bytes became readable. Any context.
#[btf_tracepoint(function = "sk_data_ready")]
pub fn sk_data_ready(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the map's own memory.
    if let Some(socket) = unsafe { maps::socket(ctx.arg(0)).as_mut() }
        && socket.verdict != FOREIGN
        && socket.verdict != UNKNOWN_PROTOCOL
    {
        socket.arrived(now());
    }
    0
}

/// The state of a socket whose transfers are reported; none for any other.
#[inline(always)]
fn reported(sk: *const u8) -> Option<&'static mut Socket> {
    // SAFETY: the map's own memory, which lives as long as the socket.
    let mut socket = unsafe { maps::socket(sk).as_mut() };
    if socket.is_none() {
        // SAFETY: as above.
        socket = unsafe { maps::socket_or_new(sk).as_mut() };
    }
    let socket = socket?;
    if socket.verdict == NEW {
        socket.verdict = if crate::lifecycle::is_stream(sk) {
            // SAFETY: the tracepoint's argument.
            socket.id = unsafe { bpf_get_socket_cookie(sk.cast_mut().cast()) };
            TRACED
        } else {
            FOREIGN
        };
    }
    if socket.is_reported() {
        Some(socket)
    } else {
        None
    }
}

#[inline(always)]
fn transfer(
    sk: *const u8,
    socket: &mut Socket,
    who: Who,
    direction: u8,
    length: c_int,
    buffers: Buffers,
    end_ns: u64,
) {
    let moved = Moved {
        who,
        direction,
        length: length as u32,
        end_ns,
        buffers,
    };
    if socket.announced == 0 {
        announce(sk, socket, &moved);
    }
    socket.report(&moved);
}

/// A transfer that moved nothing.
#[inline(always)]
fn failed(sk: *const u8) -> i32 {
    // SAFETY: the map's own memory.
    if let Some(socket) = unsafe { maps::socket(sk).as_mut() } {
        socket.failed();
    }
    0
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: takes nothing.
    unsafe { bpf_ktime_get_boot_ns() }
}
