//! What a socket is: whether it is one to trace, and the record that introduces it.
//!
//! `sk` may be any kernel pointer here: everything is copied, nothing loaded directly, since it is
//! done once per socket.

use tracer_ebpf::abi::{
    AF_INET, AF_INET6, AF_UNIX, Connection, Kind, NO_FIELD, RECEIVED, ROLE_ACCEPTED,
    ROLE_CONNECTED, ROLE_UNKNOWN,
};

use crate::emit;
use crate::kernel::{offset, read};
use crate::transfer::{Moved, Socket};

const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;
/// Go listens with it since 1.24.
const IPPROTO_MPTCP: u16 = 262;

/// Whether it is an MPTCP socket, for which some hooks of TCP don't fire.
#[inline(always)]
pub fn is_mptcp(sk: *const u8) -> bool {
    read::<u16>(sk, offset!(sk_protocol)) == IPPROTO_MPTCP
}

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

/// Whether an event loop waits for it, not a thread of its own.
#[inline(always)]
fn is_event_driven(sk: *const u8) -> bool {
    const O_NONBLOCK: u32 = 0o4000;
    if offset!(file_epoll) == NO_FIELD as usize {
        return false;
    }
    let socket = read::<usize>(sk, offset!(sk_socket)) as *const u8;
    let file = read::<usize>(socket, offset!(socket_file)) as *const u8;
    read::<u32>(file, offset!(file_flags)) & O_NONBLOCK != 0
        && read::<usize>(file, offset!(file_epoll)) != 0
}

/// Puts the [`Connection`] record of a socket before its first transfer, `moved`. Once per socket, so
/// it can afford a call, which keeps what it reads off the caller's stack (512 bytes for all).
#[inline(never)]
pub fn announce(socket: &mut Socket, moved: &Moved) {
    if emit::made_in_place(|record| describe(socket, moved, record)) {
        socket.announced = 1;
    }
}

#[inline(always)]
fn describe(socket: &mut Socket, moved: &Moved, record: &mut Connection) {
    let sk = socket.sk as *const u8;
    let family = read::<u16>(sk, offset!(skc_family)) as u8;
    socket.family = family;
    *record = Connection {
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
        event_driven: u8::from(is_event_driven(sk)),
        reserved: [0; 3],
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
            sequences(sk, socket, moved, record);
        }
    } else if record.role == ROLE_UNKNOWN
        && offset!(unix_addr) != NO_FIELD as usize
        && read::<usize>(sk, offset!(unix_addr)) != 0
    {
        // An accepted socket has its listener's address; one that connects has none, as a rule.
        record.role = ROLE_ACCEPTED;
    }
}

/// The sequence numbers of position 0, and whether bytes had gone before. `moved` is done for TCP but
/// not yet counted by us.
#[inline(always)]
fn sequences(tcp: *const u8, socket: &mut Socket, moved: &Moved, record: &mut Connection) {
    let copied: u32 = read(tcp, offset!(copied_seq));
    let expected: u32 = read(tcp, offset!(rcv_nxt));
    let written: u32 = read(tcp, offset!(write_seq));
    let acknowledged: u32 = read(tcp, offset!(snd_una));
    let received = read::<u64>(tcp, offset!(bytes_received)) as u32;
    let acked = read::<u64>(tcp, offset!(bytes_acked)) as u32;

    let mut ours = [socket.next[0] as u32, socket.next[1] as u32];
    let direction = (moved.direction & 1) as usize;
    ours[direction] = ours[direction].wrapping_add(moved.length);
    let received_before = received
        .wrapping_sub(expected.wrapping_sub(copied))
        .wrapping_sub(ours[0]);
    let sent_before = acked
        .wrapping_add(written.wrapping_sub(acknowledged))
        .wrapping_sub(ours[1]);
    // A FIN read along with the last bytes takes one number, and so does in `bytes_acked` our SYN, if
    // it was us who connected.
    let fin = u32::from(moved.direction == u32::from(RECEIVED) && received_before == 1);
    record.received_seq = copied.wrapping_sub(ours[0]).wrapping_sub(fin);
    record.sent_seq = written.wrapping_sub(ours[1]);
    socket.sequence = [record.received_seq, record.sent_seq];
    socket.sequenced = 1;
    record.midway = u8::from(received_before > 1 || sent_before > 1);
    // So a socket that sent nothing yet tells who connected.
    if record.role == ROLE_UNKNOWN && record.midway == 0 {
        record.role = if sent_before == 1 {
            ROLE_CONNECTED
        } else {
            ROLE_ACCEPTED
        };
    }
}
