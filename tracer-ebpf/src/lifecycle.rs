//! Sockets: what they are, connect, listen and close. Processes: fork, exec and exit.
//!
//! Both families use these hooks.

use aya_ebpf::cty::c_int;
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use tracer_ebpf::abi::{
    AF_INET, AF_INET6, AF_UNIX, Connection, ENDED_ALL, ENDED_SENDING, Kind, Listening,
    PROCESS_EXECED, PROCESS_EXITED, PROCESS_FORKED, Process, RECEIVED, ROLE_CONNECTED,
};

use crate::emit;
use crate::kernel::{field, offset, read, setting};
use crate::maps;
use crate::task::{Who, is_traced};
use crate::transfer::{Moved, Socket};

const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;
/// Go listens with it since 1.24.
const IPPROTO_MPTCP: u16 = 262;

/// TCP states (include/net/tcp_states.h).
const TCP_ESTABLISHED: c_int = 1;
const TCP_SYN_SENT: c_int = 2;
const TCP_FIN_WAIT1: c_int = 4;
const TCP_CLOSE: c_int = 7;
const TCP_LAST_ACK: c_int = 9;
const TCP_LISTEN: c_int = 10;

/// Whether a socket is a stream that may carry what we look for, and a process' own.
#[inline(always)]
pub fn is_stream(sk: *const u8) -> bool {
    if read::<u16>(sk, offset!(sk_type)) != SOCK_STREAM {
        return false;
    }
    let family = read::<u16>(sk, offset!(skc_family)) as u8;
    if family == AF_INET || family == AF_INET6 {
        let protocol = read::<u16>(sk, offset!(sk_protocol));
        if protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP {
            return false;
        }
    } else if family != AF_UNIX {
        return false;
    }
    // The kernel's own sockets (NFS, for one) have no file, and are used inside the system calls of
    // processes, too.
    let socket = read::<usize>(sk, offset!(sk_socket)) as *const u8;
    !socket.is_null() && read::<usize>(socket, offset!(socket_file)) != 0
}

/// Puts the [`Connection`] record of a socket before its first transfer, `moved`. Once per socket, so
/// it can afford a call, which keeps its record off the caller's stack (512 bytes for all).
#[inline(never)]
pub fn announce(sk: *const u8, socket: &mut Socket, moved: &Moved) {
    let family = read::<u16>(sk, offset!(skc_family)) as u8;
    let mut record = Connection {
        kind: Kind::Connection as u8,
        role: socket.role,
        family,
        midway: 0,
        pid: moved.who.tgid(),
        connection: socket.id,
        local: [0; 16],
        remote: [0; 16],
        local_port: 0,
        remote_port: 0,
        received_seq: 0,
        sent_seq: 0,
        reserved: 0,
        connect_start_ns: socket.connect_ns[0],
        connect_end_ns: socket.connect_ns[1],
    };
    if family != AF_UNIX {
        record.local_port = read(sk, offset!(skc_num));
        record.remote_port = u16::from_be(read(sk, offset!(skc_dport)));
        if family == AF_INET {
            let local: [u8; 4] = read(sk, offset!(skc_rcv_saddr));
            let remote: [u8; 4] = read(sk, offset!(skc_daddr));
            record.local[..4].copy_from_slice(&local);
            record.remote[..4].copy_from_slice(&remote);
        } else {
            record.local = read(sk, offset!(skc_v6_rcv_saddr));
            record.remote = read(sk, offset!(skc_v6_daddr));
        }
        if read::<u16>(sk, offset!(sk_protocol)) == IPPROTO_TCP {
            sequences(sk, socket, moved, &mut record);
        }
    }
    if emit::record(record) {
        socket.announced = 1;
    }
}

/// The sequence numbers of position 0, and whether bytes had gone before. `moved` is done for TCP but
/// not yet counted by us.
#[inline(always)]
fn sequences(tcp: *const u8, socket: &Socket, moved: &Moved, record: &mut Connection) {
    let copied: u32 = read(tcp, offset!(copied_seq));
    let expected: u32 = read(tcp, offset!(rcv_nxt));
    let written: u32 = read(tcp, offset!(write_seq));
    let acknowledged: u32 = read(tcp, offset!(snd_una));
    let received = read::<u64>(tcp, offset!(bytes_received)) as u32;
    let acked = read::<u64>(tcp, offset!(bytes_acked)) as u32;

    let mut ours = [socket.next[0] as u32, socket.next[1] as u32];
    let direction = usize::from(moved.direction & 1);
    ours[direction] = ours[direction].wrapping_add(moved.length);
    let received_before = received
        .wrapping_sub(expected.wrapping_sub(copied))
        .wrapping_sub(ours[0]);
    let sent_before = acked
        .wrapping_add(written.wrapping_sub(acknowledged))
        .wrapping_sub(ours[1]);
    // A FIN read along with the last bytes takes one number, and so does our SYN in `bytes_acked`.
    let fin = u32::from(moved.direction == RECEIVED && received_before == 1);
    record.received_seq = copied.wrapping_sub(ours[0]).wrapping_sub(fin);
    record.sent_seq = written.wrapping_sub(ours[1]);
    record.midway = u8::from(received_before > 1 || sent_before > 1);
}

/// `inet_sock_set_state(sk, oldstate, newstate)`. Any context; in the task that calls where that is
/// `connect` or `listen`.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let (sk, old, new): (*const u8, c_int, c_int) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    match new {
        TCP_SYN_SENT if old == TCP_CLOSE && Who::current().is_traced() => {
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
        TCP_CLOSE => end(sk, ENDED_ALL),
        TCP_LISTEN => listen(sk),
        _ => {}
    }
    0
}

#[inline(always)]
fn end(sk: *const u8, what: u8) {
    // SAFETY: the map's own memory.
    if let Some(socket) = unsafe { maps::socket(sk).as_mut() } {
        socket.report_end(what, now());
    }
}

#[inline(always)]
fn listen(sk: *const u8) {
    let who = Who::current();
    if who.is_traced() {
        // Sockets that it accepts start as its clone.
        // SAFETY: the map's own memory.
        if let Some(socket) = unsafe { maps::socket_or_new(sk).as_mut() } {
            socket.listens();
        }
    }
    if setting!(watch_all) != 0 {
        emit::record(Listening {
            kind: Kind::Listening as u8,
            reserved: 0,
            port: read(sk, offset!(skc_num)),
            pid: who.tgid(),
        });
    }
}

/// `sched_process_fork(parent, child)`, for threads, too. In the parent, before the child runs.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    let (parent, child): (*const u8, *const u8) = (ctx.arg(0), ctx.arg(1));
    // SAFETY: the tracepoint's arguments.
    let (parent, child) = unsafe {
        (
            field::<u32>(parent, offset!(task_tgid)),
            field::<u32>(child, offset!(task_tgid)),
        )
    };
    if parent == child || setting!(follow) == 0 || setting!(all) != 0 || !is_traced(parent) {
        return 0;
    }
    maps::mark(child);
    process(PROCESS_FORKED, child, parent);
    0
}

/// `sched_process_exec(task, old_pid, bprm)`. In the task, once it runs the new program.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(_: BtfTracePointContext) -> i32 {
    let who = Who::current();
    if setting!(watch_all) != 0 || who.is_traced() {
        process(PROCESS_EXECED, who.tgid(), 0);
    }
    0
}

/// `sched_process_exit(task, ...)`, for each thread. In the task.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let who = Who::current();
    if !who.is_traced() {
        return 0;
    }
    let task: *const u8 = ctx.arg(0);
    // SAFETY: the tracepoint's argument.
    let signal = unsafe { field::<usize>(task, offset!(task_signal)) } as *const u8;
    if read::<c_int>(signal, offset!(signal_live)) != 0 {
        return 0;
    }
    maps::unmark(who.tgid());
    process(PROCESS_EXITED, who.tgid(), 0);
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

#[inline(always)]
fn now() -> u64 {
    // SAFETY: takes nothing.
    unsafe { bpf_ktime_get_boot_ns() }
}
