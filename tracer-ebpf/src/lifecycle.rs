//! Sockets: connect, listen and close. Processes: fork, exec and exit.
//!
//! Both families use these hooks.

use aya_ebpf::cty::c_int;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use tracer_ebpf::abi::{
    ENDED_ALL, ENDED_SENDING, Kind, Listening, PROCESS_EXECED, PROCESS_EXITED, PROCESS_FORKED,
    Process, ROLE_CONNECTED,
};

use crate::connection::is_mptcp;
use crate::emit;
use crate::kernel::{field, now, offset, read, setting};
use crate::maps;
use crate::task::{Task, is_traced};

/// TCP states (include/net/tcp_states.h).
const TCP_ESTABLISHED: c_int = 1;
const TCP_SYN_SENT: c_int = 2;
const TCP_FIN_WAIT1: c_int = 4;
const TCP_CLOSE: c_int = 7;
const TCP_LAST_ACK: c_int = 9;
const TCP_LISTEN: c_int = 10;

/// `inet_sock_set_state(sk, oldstate, newstate)`. Any context; in the task that calls where that is
/// `connect` or `listen`.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let (sk, old, new): (*const u8, c_int, c_int) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    match new {
        TCP_SYN_SENT if old == TCP_CLOSE && Task::current().is_traced() => {
            // SAFETY: the map's own memory.
            if let Some(socket) = unsafe { maps::socket_or_new(sk).as_mut() } {
                socket.role = ROLE_CONNECTED;
                socket.connect_ns[0] = now();
            }
        }
        TCP_ESTABLISHED if old == TCP_SYN_SENT => {
            // SAFETY: the map's own memory.
            if let Some(socket) = unsafe { maps::socket(sk).as_mut() } {
                socket.connect_ns[1] = now();
            }
        }
        TCP_FIN_WAIT1 | TCP_LAST_ACK => end(sk, ENDED_SENDING),
        TCP_CLOSE if is_mptcp(sk) => end(sk, ENDED_ALL),
        TCP_LISTEN => listen(sk),
        _ => {}
    }
    0
}

/// `tcp_destroy_sock(sk)`: the process has closed it, and TCP is done with it. (Its state is
/// `TCP_CLOSE` before, when what came last may not be read yet.)
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn tcp_destroy_sock(ctx: BtfTracePointContext) -> i32 {
    end(ctx.arg(0), ENDED_ALL);
    0
}

#[inline(always)]
fn end(sk: *const u8, what: u8) {
    // SAFETY: the map's own memory.
    if let Some(socket) = unsafe { maps::socket(sk).as_mut() } {
        socket.report_end(what, now());
        if what == ENDED_ALL {
            maps::forget_socket(sk);
        }
    }
}

#[inline(always)]
fn listen(sk: *const u8) {
    let task = Task::current();
    if task.is_traced() {
        // The sockets that it accepts start with a clone of its state: so they have one when their
        // first bytes arrive.
        maps::socket_or_new(sk);
    }
    if setting!(watch_all) != 0 {
        emit::record(Listening {
            kind: Kind::Listening as u8,
            reserved: 0,
            port: read(sk, offset!(skc_num)),
            pid: task.tgid(),
        });
    }
}

/// `sched_process_fork(parent, child)`, for threads, too. In the parent, before the child runs.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    if setting!(follow) == 0 || setting!(all) != 0 {
        return 0;
    }
    let [parent, child] = [ctx.arg(0), ctx.arg(1)].map(|task| Task::of(task).tgid());
    if parent == child || !is_traced(parent) {
        return 0;
    }
    maps::mark(child);
    debug!(&ctx, "process {} follows {}", child, parent);
    process(PROCESS_FORKED, child, parent);
    0
}

/// `sched_process_exec(task, old_pid, bprm)`. In the task, once it runs the new program.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(_: BtfTracePointContext) -> i32 {
    let task = Task::current();
    if setting!(watch_all) != 0 || task.is_traced() {
        process(PROCESS_EXECED, task.tgid(), 0);
    }
    0
}

/// `sched_process_exit(task, ...)`, for each thread. In the task.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let task = Task::current();
    if !task.is_traced() {
        return 0;
    }
    // SAFETY: the tracepoint's argument.
    let signal = unsafe { field::<usize>(ctx.arg(0), offset!(task_signal)) } as *const u8;
    if read::<c_int>(signal, offset!(signal_live)) != 0 {
        return 0;
    }
    maps::unmark(task.tgid());
    process(PROCESS_EXITED, task.tgid(), 0);
    0
}

#[inline(always)]
fn process(what: u8, pid: u32, parent: u32) {
    emit::record(Process {
        kind: Kind::Process as u8,
        what,
        reserved: 0,
        pid,
        parent,
        reserved2: 0,
        at_ns: now(),
    });
}
