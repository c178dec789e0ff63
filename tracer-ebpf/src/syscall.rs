//! The `syscall` family, the fallback: tracepoints at enter and exit of each I/O call.
//!
//! At exit the user registers still hold the arguments, so only sends need their entry, for the time.
//! The socket is found through the process' descriptor table.
//!
//! Leaves out what these tracepoints do not see: io_uring, and 32-bit callers on x86-64. Never
//! `pread` and `pwrite`, which are for files.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use tracer_ebpf::abi::{ENDED_ALL, ENDED_RECEIVING, RECEIVED, SENT};

use crate::kernel::{field, now, offset, read};
use crate::maps;
use crate::task::{Buffers, Task, flags};
use crate::transfer::{Moved, NOT_ASKED, Socket};

/// Where a syscall tracepoint's record has the first argument, or the result: after the common fields
/// and the call's number.
const FIRST: usize = 16;

const S_IFMT: u16 = 0o170000;
const S_IFSOCK: u16 = 0o140000;

/// Messages of one `sendmmsg` or `recvmmsg` that are reported. On a stream socket it is hardly ever
/// more than one.
const MOST_MESSAGES: u32 = 16;

/// `sys_enter_*` of calls that send.
#[tracepoint]
pub fn send_begins(_: TracePointContext) -> u32 {
    if Task::current().is_traced()
        && let Some(start) = maps::start_of_call()
    {
        *start = now();
    }
    0
}

/// `sys_exit_*` of calls that receive.
#[tracepoint]
pub fn received(ctx: TracePointContext) -> u32 {
    returned(&ctx, RECEIVED)
}

/// `sys_exit_*` of calls that send.
#[tracepoint]
pub fn sent(ctx: TracePointContext) -> u32 {
    returned(&ctx, SENT)
}

/// `sys_exit_splice`: from a socket, to a socket, or neither.
#[tracepoint]
pub fn spliced(ctx: TracePointContext) -> u32 {
    let task = Task::current();
    let result = word(&ctx, 0);
    if !task.is_traced() || result <= 0 {
        return 0;
    }
    let regs = task.registers();
    // SAFETY: the current task's registers.
    let (from, to) = unsafe {
        (
            field::<u64>(regs, offset!(regs_di)),
            field::<u64>(regs, offset!(regs_dx)),
        )
    };
    let mut moved = Moved {
        who: task.who(),
        direction: RECEIVED.into(),
        length: result as u32,
        end_ns: now(),
        buffers: Buffers::NONE,
        tcp_next: NOT_ASKED,
    };
    if let Some((sk, socket)) = find(task, from) {
        moved.tcp_next = tcp_next(sk, socket, RECEIVED);
        socket.transferred(sk, &moved);
    } else if let Some((sk, socket)) = find(task, to) {
        moved.direction = SENT.into();
        moved.tcp_next = tcp_next(sk, socket, SENT);
        socket.transferred(sk, &moved);
    }
    0
}

/// `sys_enter_close`: of the last descriptor of an `AF_UNIX` socket, which no other hook sees close.
#[tracepoint]
pub fn closes(ctx: TracePointContext) -> u32 {
    let task = Task::current();
    if !task.is_traced() {
        return 0;
    }
    let Some(file) = file(task, word(&ctx, 0) as u64) else {
        return 0;
    };
    if read::<u64>(file, offset!(file_refs)) != offset!(file_refs_one) as u64 {
        return 0;
    }
    let Some(sk) = socket_of(file) else { return 0 };
    // SAFETY: the map's own memory.
    if let Some(socket) = unsafe { maps::socket(sk).as_mut() }
        && !socket.is_tcp()
    {
        socket.report_end(ENDED_ALL, now());
        maps::forget_socket(sk);
    }
    0
}

#[inline(always)]
fn returned(ctx: &TracePointContext, direction: u8) -> u32 {
    let task = Task::current();
    let result = word(ctx, 0);
    if result < 0 || (result == 0 && direction == SENT) || !task.is_traced() {
        return 0;
    }
    let regs = task.registers();
    // SAFETY: the current task's registers.
    let (mut buffers, receive_flags, fd) = unsafe {
        (
            Buffers::of_registers(regs),
            if direction == RECEIVED {
                flags::of_registers(regs)
            } else {
                0
            },
            field::<u64>(regs, offset!(regs_di)),
        )
    };
    if receive_flags & flags::NOT_OF_THE_STREAM != 0 {
        return 0;
    }
    if receive_flags & flags::TRUNC != 0 {
        buffers = Buffers::NONE;
    }
    let Some((sk, socket)) = find(task, fd) else {
        return 0;
    };
    let end_ns = now();
    if result == 0 {
        if buffers.shape != Buffers::ONE || buffers.count != 0 {
            socket.report_end(ENDED_RECEIVING, end_ns);
        }
        return 0;
    }
    if direction == SENT
        && socket.wants_start()
        && let Some(start) = maps::start_of_call()
    {
        socket.send_start_ns = *start;
    }
    let mut moved = Moved {
        who: task.who(),
        direction: direction.into(),
        length: result as u32,
        end_ns,
        buffers,
        tcp_next: NOT_ASKED,
    };
    if buffers.shape != Buffers::MESSAGES {
        moved.tcp_next = tcp_next(sk, socket, direction);
        socket.transferred(sk, &moved);
    } else {
        let mut i = 0;
        while i < MOST_MESSAGES && i < result as u32 {
            moved.length = buffers.message_length(i);
            moved.buffers = buffers.message(i);
            // It counts all messages of the call.
            if i + 1 == result as u32 {
                moved.tcp_next = tcp_next(sk, socket, direction);
            }
            socket.transferred(sk, &moved);
            i += 1;
        }
    }
    if direction == RECEIVED {
        socket.drained(read::<u32>(sk, offset!(sk_receive_qlen)) != 0);
    }
    0
}

/// TCP's number of the next byte to be read or written: io_uring, for one, does not come by here.
#[inline(always)]
fn tcp_next(sk: *const u8, socket: &Socket, direction: u8) -> u64 {
    if socket.sequenced == 0 {
        return NOT_ASKED;
    }
    let next = if direction == RECEIVED {
        offset!(copied_seq)
    } else {
        offset!(write_seq)
    };
    read::<u32>(sk, next).into()
}

/// The socket behind a descriptor and its state, if its transfers are reported.
#[inline(always)]
fn find(task: Task, fd: u64) -> Option<(*const u8, &'static mut Socket)> {
    let file = file(task, fd)?;
    let sk = socket_of(file)?;
    let inode = read::<usize>(file, offset!(file_inode)) as *const u8;
    let id = read::<u64>(inode, offset!(inode_ino));
    // SAFETY: the map's own memory.
    let mut socket = unsafe { maps::socket(sk).as_mut() };
    if socket.is_none() {
        // SAFETY: as above.
        socket = unsafe { maps::socket_or_new(sk).as_mut() };
    }
    let socket = socket?;
    if socket.id != id && socket.id != 0 {
        // Another socket was at this address, and its end was not seen.
        *socket = Socket::EMPTY;
    }
    socket.judge(sk, || id);
    if socket.is_reported() {
        Some((sk, socket))
    } else {
        None
    }
}

/// The open file of a descriptor of the current process.
#[inline(always)]
fn file(task: Task, fd: u64) -> Option<*const u8> {
    // SAFETY: the task's pointer is typed, and so is what it points to.
    let table = unsafe {
        let files = field::<*const u8>(task.as_ptr(), offset!(task_files));
        field::<*const u8>(files, offset!(files_fdt))
    };
    // SAFETY: as above.
    let (size, entries) = unsafe {
        (
            field::<u32>(table, offset!(fdt_max_fds)),
            field::<usize>(table, offset!(fdt_fd)),
        )
    };
    let fd = fd as u32;
    if fd >= size {
        return None;
    }
    let file = read::<usize>(entries as *const u8, fd as usize * 8);
    if file == 0 {
        None
    } else {
        Some(file as *const u8)
    }
}

/// The `struct sock` behind an open file, if it is a socket.
#[inline(always)]
fn socket_of(file: *const u8) -> Option<*const u8> {
    let inode = read::<usize>(file, offset!(file_inode)) as *const u8;
    if read::<u16>(inode, offset!(inode_mode)) & S_IFMT != S_IFSOCK {
        return None;
    }
    let socket = read::<usize>(file, offset!(file_private_data)) as *const u8;
    let sk = read::<usize>(socket, offset!(socket_sk));
    if sk == 0 { None } else { Some(sk as *const u8) }
}

/// The `n`th value of a syscall tracepoint's record.
#[inline(always)]
fn word(ctx: &TracePointContext, n: usize) -> i64 {
    // SAFETY: the record is longer, as the verifier checks.
    unsafe { field(ctx.as_ptr().cast_const().cast(), FIRST + n * 8) }
}
