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

use crate::kernel::{field, forgotten, now, offset, read};
use crate::maps;
use crate::task::{Buffers, Task, flags, nr};
use crate::transfer::{Moved, NOT_ASKED, Socket};

/// Where a syscall tracepoint's record has the first argument, or the result: after the common fields
/// and the call's number.
const FIRST: usize = 16;

const S_IFMT: u16 = 0o170000;
const S_IFSOCK: u16 = 0o140000;

/// Messages of one `sendmmsg` or `recvmmsg` that are reported. On a stream socket it is hardly ever
/// more than one; the verifier walks this loop.
const MOST_MESSAGES: u32 = 32;

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

/// `sys_exit_*` of every call that moves bytes. One program for all, since checking it is most of what
/// attaching costs.
#[tracepoint]
pub fn returned(ctx: TracePointContext) -> u32 {
    let result = word(&ctx, 0);
    // What failed, most often since it would block, is let go before anything is looked at.
    if result < 0 {
        return 0;
    }
    let task = Task::current();
    if !task.is_traced() {
        return 0;
    }
    let mut call = Call::of(task, result as u64);
    if call.flags & flags::NOT_OF_THE_STREAM != 0 || (result == 0 && call.direction == SENT.into())
    {
        return 0;
    }
    let (sk, socket) = match find(task, call.fd) {
        Some(found) => found,
        None if call.other_fd != Call::NO_FD => {
            call.direction = SENT.into();
            match find(task, call.other_fd) {
                Some(found) => found,
                None => return 0,
            }
        }
        None => return 0,
    };
    moved(task, &call, result as u32, sk, socket);
    0
}

/// `result` bytes, or messages, went through a socket.
#[inline(always)]
fn moved(task: Task, call: &Call, result: u32, sk: *const u8, socket: &mut Socket) {
    let end_ns = now();
    let buffers = call.buffers;
    if result == 0 {
        if buffers.shape != Buffers::ONE || buffers.count != 0 {
            socket.report_end(ENDED_RECEIVING, end_ns);
        }
        return;
    }
    if call.direction == SENT.into()
        && socket.wants_start()
        && let Some(start) = maps::start_of_call()
    {
        socket.send_start_ns = *start;
    }
    let mut moved = Moved {
        who: task.who(),
        direction: call.direction,
        length: result,
        end_ns,
        buffers,
        tcp_next: NOT_ASKED,
    };
    if buffers.shape != Buffers::MESSAGES {
        moved.tcp_next = tcp_next(sk, socket, call.direction);
        socket.transferred(sk, &moved);
    } else {
        // `Socket::report` knows which one comes next.
        let mut i = 0;
        while i < MOST_MESSAGES && i < result {
            moved.length = forgotten(buffers.message_length(i).into(), end_ns) as u32;
            socket.transferred(sk, &moved);
            i += 1;
        }
        socket.failed();
    }
    if call.direction == RECEIVED.into() {
        socket.drained(read::<u32>(sk, offset!(sk_receive_qlen)) != 0);
    }
}

/// `sys_enter_close`: of the last descriptor of an `AF_UNIX` socket, which no other hook sees close.
#[tracepoint]
pub fn closes(ctx: TracePointContext) -> u32 {
    let task = Task::current();
    if !task.is_traced() {
        return 0;
    }
    let Some(file) = file(task, word(&ctx, 0) as u32) else {
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

/// TCP's number of the next byte to be read or written: io_uring, for one, does not come by here.
#[inline(always)]
fn tcp_next(sk: *const u8, socket: &Socket, direction: u32) -> u64 {
    if socket.sequenced == 0 {
        return NOT_ASKED;
    }
    let next = if direction == RECEIVED.into() {
        offset!(copied_seq)
    } else {
        offset!(write_seq)
    };
    read::<u32>(sk, next).into()
}

/// A system call that moved bytes.
struct Call {
    buffers: Buffers,
    /// The descriptor that it was made on.
    fd: u32,
    /// Of `splice`, the one that it moved bytes to, else [`Call::NO_FD`].
    other_fd: u32,
    /// `abi::RECEIVED` or `abi::SENT`.
    direction: u32,
    /// Of a call that receives.
    flags: u32,
}

impl Call {
    const NO_FD: u32 = u32::MAX;

    /// What the registers say of the call that a task comes from. `unknown` as of
    /// [`forgotten`](crate::kernel::forgotten).
    #[inline(always)]
    fn of(task: Task, unknown: u64) -> Call {
        let regs = task.registers();
        // SAFETY: the task's registers.
        let (number, fd, to, flags, mut buffers) = unsafe {
            (
                field::<u64>(regs, offset!(regs_orig_ax)) as u32,
                field::<u64>(regs, offset!(regs_di)) as u32,
                field::<u64>(regs, offset!(regs_dx)) as u32,
                flags::of_registers(regs),
                Buffers::of_registers(regs),
            )
        };
        if flags & flags::TRUNC != 0 {
            buffers = Buffers::NONE;
        }
        let (direction, other_fd) = match number {
            nr::READ | nr::READV | nr::RECVFROM | nr::RECVMSG | nr::RECVMMSG => {
                (RECEIVED, Call::NO_FD)
            }
            nr::SPLICE => (RECEIVED, to),
            _ => (SENT, Call::NO_FD),
        };
        Call {
            buffers: buffers.forgotten(unknown),
            fd,
            other_fd: forgotten(other_fd.into(), unknown) as u32,
            direction: forgotten(direction.into(), unknown) as u32,
            flags: forgotten(flags.into(), unknown) as u32,
        }
    }
}

/// The socket behind a descriptor and its state, if its transfers are reported.
#[inline(always)]
fn find(task: Task, fd: u32) -> Option<(*const u8, &'static mut Socket)> {
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
fn file(task: Task, fd: u32) -> Option<*const u8> {
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
