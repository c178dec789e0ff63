//! The `sock` family: BTF tracepoints that fire once per transfer of a socket, after it, in the task
//! that made it, and never for files.
//!
//! Kernels: `sock_send_length`, `sock_recv_length` and `sk_data_ready` 6.3, `tcp_sendmsg_locked` 6.16. The last
//! two are optional: without them a message has no time of arrival, a send none of its start. Where the
//! tracepoint is missing, the entry of a function serves (CONFIG_FUNCTION_TRACER).

use aya_ebpf::cty::c_int;
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skc_to_tcp_sock};
use aya_ebpf::macros::{btf_tracepoint, fentry};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext};
use tracer_ebpf::abi::{ENDED_RECEIVING, RECEIVED, SENT};

use crate::kernel::{field, now, offset, read};
use crate::maps;
use crate::task::{Buffers, Task, flags};
use crate::transfer::{Moved, NOT_ASKED, Socket, failures_matter};

/// `include/net/tcp_states.h`.
const TCP_LISTEN: u8 = 10;

/// `sock_recv_length(sk, ret, flags)`.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    let (sk, result, flags): (*const u8, c_int, u32) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    if result < 0 {
        return failed(sk);
    }
    let task = Task::current();
    if !task.is_traced() {
        return 0;
    }
    if flags & flags::NOT_OF_THE_STREAM != 0 {
        return 0;
    }
    let Some(socket) = reported(sk) else { return 0 };
    let buffers = if flags & flags::TRUNC != 0 {
        Buffers::NONE
    } else {
        Buffers::of_current_call(task)
    };
    let end_ns = now();
    let buffers = buffers.forgotten(end_ns);
    if result == 0 {
        if buffers.shape != Buffers::ONE || buffers.count != 0 {
            socket.report_end(ENDED_RECEIVING, end_ns);
        }
        return 0;
    }
    let moved = Moved {
        who: task.who(),
        direction: RECEIVED.into(),
        length: result as u32,
        end_ns,
        buffers,
        tcp_next: tcp_next(sk, socket),
    };
    socket.transferred_here(sk, &moved);
    // SAFETY: `sk` is the tracepoint's argument, a `struct sock`.
    let more = unsafe { field::<u32>(sk, offset!(sk_receive_qlen)) } != 0;
    socket.drained(more);
    0
}

/// `sock_send_length(sk, ret, flags)`.
#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    let (sk, result): (*const u8, c_int) = (ctx.arg(0), ctx.arg(1));
    if result <= 0 {
        return failed(sk);
    }
    let task = Task::current();
    if !task.is_traced() {
        return 0;
    }
    let Some(socket) = reported(sk) else { return 0 };
    let end_ns = now();
    let buffers = Buffers::of_current_call(task).forgotten(end_ns);
    let moved = Moved {
        who: task.who(),
        direction: SENT.into(),
        length: result as u32,
        end_ns,
        buffers,
        // Whatever is sent passes this hook, so nothing can have been missed.
        tcp_next: NOT_ASKED,
    };
    socket.transferred_here(sk, &moved);
    0
}

/// `tcp_sendmsg_locked(sk, msg, skb, size_goal)`: a send begins, or goes on with its next segment.
#[btf_tracepoint(function = "tcp_sendmsg_locked")]
pub fn tcp_sendmsg_locked(ctx: BtfTracePointContext) -> i32 {
    send_begins(ctx.arg(0))
}

/// `tcp_sendmsg_locked(sk, msg, size)`, the function: where there is no such tracepoint.
#[fentry(function = "tcp_sendmsg_locked")]
pub fn tcp_sendmsg_entered(ctx: FEntryContext) -> i32 {
    send_begins(ctx.arg(0))
}

#[inline(always)]
fn send_begins(sk: *const u8) -> i32 {
    // SAFETY: the map's own memory.
    if let Some(socket) = unsafe { maps::socket(sk).as_mut() }
        && socket.wants_start()
    {
        socket.send_start_ns = now();
    }
    0
}

/// `sk_data_ready(sk)`: bytes became readable. Any context.
#[btf_tracepoint(function = "sk_data_ready")]
pub fn sk_data_ready(ctx: BtfTracePointContext) -> i32 {
    readable(ctx.arg(0))
}

/// `sock_def_readable(sk)`, the function in which that tracepoint is, or would be.
#[fentry(function = "sock_def_readable")]
pub fn sock_readable(ctx: FEntryContext) -> i32 {
    readable(ctx.arg(0))
}

#[inline(always)]
fn readable(sk: *const u8) -> i32 {
    // SAFETY: the map's own memory.
    if let Some(socket) = unsafe { maps::socket(sk).as_mut() }
        && socket.is_wanted()
        && !(socket.id == 0 && listens(sk))
    {
        socket.arrived(now());
    }
    0
}

/// Whether it listens: then it is connections that come, and the next one would start with a clone of
/// that moment.
#[inline(always)]
fn listens(sk: *const u8) -> bool {
    read::<u8>(sk, offset!(skc_state)) == TCP_LISTEN
}

/// TCP's number of the next byte to be read.
#[inline(always)]
fn tcp_next(sk: *const u8, socket: &Socket) -> u64 {
    if socket.sequenced == 0 {
        return NOT_ASKED;
    }
    // SAFETY: `sk` is the tracepoint's argument; the helper's pointer is null or a `struct tcp_sock`.
    unsafe {
        let tcp = bpf_skc_to_tcp_sock(sk.cast_mut().cast())
            .cast_const()
            .cast::<u8>();
        if tcp.is_null() {
            return NOT_ASKED;
        }
        field::<u32>(tcp, offset!(copied_seq)).into()
    }
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
    // SAFETY: `sk` is the tracepoint's argument.
    socket.judge(sk, || unsafe {
        bpf_get_socket_cookie(sk.cast_mut().cast())
    });
    if socket.is_reported() {
        Some(socket)
    } else {
        None
    }
}

/// A transfer that moved nothing.
#[inline(always)]
fn failed(sk: *const u8) -> i32 {
    // SAFETY: the map's own memory.
    if failures_matter()
        && let Some(socket) = unsafe { maps::socket(sk).as_mut() }
    {
        socket.failed();
    }
    0
}
