//! What the two sides share: ring records, settings, counters.
//!
//! Everything is `repr(C)`, of fixed size and without implicit padding (asserted below), so that the
//! agent may read a record from the ring in place. Numbers are in host byte order unless said
//! otherwise; times are `CLOCK_BOOTTIME` nanoseconds (`bpf_ktime_get_boot_ns`).
//!
//! Every record begins with its [`Kind`] as one byte.

use core::mem::{align_of, size_of};

mod goroutine;

pub use goroutine::*;

/// What a ring record is: its first byte.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Transfer`]: bytes moved through a socket.
    Transfer = 1,
    /// [`Connection`]: first record of a connection, before its first transfer.
    Connection = 2,
    /// [`Ended`]: one direction, or all, of a connection is over.
    Ended = 3,
    /// [`Process`]: a process was forked, executed a program, or exited.
    Process = 4,
    /// [`Listening`]: a process began to listen on a TCP port.
    Listening = 5,
    /// [`Goroutine`]: a goroutine came by a probe in its program.
    Goroutine = 6,
}

/// Bytes went from the peer to the process (`recv`).
pub const RECEIVED: u8 = 0;
/// Bytes went from the process to the peer (`send`).
pub const SENT: u8 = 1;

/// This record ends its transfer. A transfer whose buffers are several (`writev`) is one record per
/// buffer, and on a connection that is cut into frames one per run of captured bytes and what is passed
/// over behind it; all but the last lack this flag. Transfers are counted by it.
pub const LAST_PIECE: u16 = 1;
/// The bytes could not be seen: `sendfile`, `splice`, io_uring, `MSG_TRUNC`, an unreadable page.
/// Position and length hold all the same.
pub const UNSEEN: u16 = 2;

/// Bytes moved through a socket; `captured` of them, from the first on, follow the record, and
/// `tail_captured` of the last ones.
///
/// What follows the record is one of [`CLASSES`], found by the record's length: a head area, then a
/// tail area. Captured bytes are at the start of their area.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// [`Kind::Transfer`].
    pub kind: u8,
    /// [`RECEIVED`] or [`SENT`].
    pub direction: u8,
    /// [`LAST_PIECE`], [`UNSEEN`].
    pub flags: u16,
    /// How many of the first bytes are in the head area.
    pub captured: u32,
    /// The socket, for as long as it lives and never again until reboot: its cookie (`sock` family)
    /// or inode number (`syscall` family).
    pub connection: u64,
    /// Position of the first byte in its direction, counted from the first byte seen.
    pub position: u64,
    /// Bytes moved.
    pub length: u32,
    /// How many of the last bytes are in the tail area; they never overlap the head's.
    pub tail_captured: u32,
    /// Sent: when the call began. Received: when the first of the bytes became readable in the
    /// kernel (`sk_data_ready`). 0 = not known.
    pub start_ns: u64,
    /// When the call had moved the bytes.
    pub end_ns: u64,
    /// Process (tgid) in the upper half, thread in the lower, as `bpf_get_current_pid_tgid`.
    pub pid_tgid: u64,
    /// Goroutine that made the call; 0 = none, not known, or not asked for: only what may be the begin
    /// of a message needs it.
    pub goid: u64,
    /// Where `goid` is known. Sent: the goroutine that started it. Received: a [`Fresh`], which numbers
    /// goroutines have that are started later. 0 = not known.
    pub lineage: u64,
}

/// A payload area's shape: bytes for the head, bytes for the tail.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Capacity of the head area.
    pub head: usize,
    /// Capacity of the tail area, which follows it.
    pub tail: usize,
}

/// Most bytes of a head that are captured: what Apache, nginx (4 x 8 KiB, one line 8 KiB) and Go's
/// clients see in practice stays well below; Node's limit is the same 16 KiB.
pub const HEAD_LIMIT: usize = 16 * 1024;
/// Past [`HEAD_LIMIT`] in one turn of a direction, what is copied of the start of each transfer: a
/// chunk head, or a small message that begins there.
pub const SPARSE_HEAD: usize = 256;
/// ... and of its end: a last chunk with trailers, and the small pipelined request behind a body.
pub const TAIL: usize = 1024;

/// The payload shapes there are, from small to large. A record takes the first that holds it: a
/// request of 100 bytes must not take 16 KiB of the ring.
pub const CLASSES: [Class; 6] = [
    Class { head: 0, tail: 0 },
    Class { head: 256, tail: 0 },
    Class {
        head: 1024,
        tail: 0,
    },
    Class {
        head: SPARSE_HEAD,
        tail: TAIL,
    },
    Class {
        head: 4096,
        tail: 0,
    },
    Class {
        head: HEAD_LIMIT,
        tail: TAIL,
    },
];

/// How the process came by the connection.
pub const ROLE_UNKNOWN: u8 = 0;
/// Accepted: the process is the server.
pub const ROLE_ACCEPTED: u8 = 1;
/// Connected: the process is the client.
pub const ROLE_CONNECTED: u8 = 2;

/// `AF_UNIX`, `AF_INET`, `AF_INET6` as the kernel numbers them.
pub const AF_UNIX: u8 = 1;
/// See [`AF_UNIX`].
pub const AF_INET: u8 = 2;
/// See [`AF_UNIX`].
pub const AF_INET6: u8 = 10;

/// A connection is seen for the first time; comes before its first [`Transfer`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// [`Kind::Connection`].
    pub kind: u8,
    /// [`ROLE_UNKNOWN`], [`ROLE_ACCEPTED`], [`ROLE_CONNECTED`].
    pub role: u8,
    /// [`AF_INET`], [`AF_INET6`] or [`AF_UNIX`].
    pub family: u8,
    /// 1: bytes went through it before we looked; 0: seen from its first byte.
    pub midway: u8,
    /// Process that used it first.
    pub pid: u32,
    /// See [`Transfer::connection`].
    pub connection: u64,
    /// Own address; IPv4 in the first four bytes. Network order.
    pub local: [u8; 16],
    /// The peer's.
    pub remote: [u8; 16],
    /// Own port, host order.
    pub local_port: u16,
    /// The peer's port, host order.
    pub remote_port: u16,
    /// TCP sequence number of the received byte at position 0. With the addresses it names a byte
    /// of a connection alike at both ends on one host. 0 = not known (both).
    pub received_seq: u32,
    /// TCP sequence number of the sent byte at position 0.
    pub sent_seq: u32,
    /// 1: an event loop waits for it (it does not block, and is in an epoll set); 0: not, or not known.
    pub event_driven: u8,
    /// Keeps the next field aligned.
    pub reserved: [u8; 3],
    /// When `connect` began (role connected), else 0.
    pub connect_start_ns: u64,
    /// When the connection was established, if seen, else 0.
    pub connect_end_ns: u64,
}

/// The process closed or shut down its sending direction.
pub const ENDED_SENDING: u8 = 1;
/// The process read the end of the stream (a read of 0 bytes).
pub const ENDED_RECEIVING: u8 = 2;
/// The connection is gone, both ways: closed, reset or timed out.
pub const ENDED_ALL: u8 = 3;

/// A direction of a connection is over.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// [`Kind::Ended`].
    pub kind: u8,
    /// [`ENDED_SENDING`], [`ENDED_RECEIVING`] or [`ENDED_ALL`].
    pub what: u8,
    /// Keeps the next field aligned.
    pub reserved: [u8; 6],
    /// See [`Transfer::connection`].
    pub connection: u64,
    /// When.
    pub at_ns: u64,
}

/// A traced process forked a child, which is traced from now on.
pub const PROCESS_FORKED: u8 = 1;
/// A process executed a new program (any process while [`Settings::watch_all`] is set).
pub const PROCESS_EXECED: u8 = 2;
/// A traced process is gone: its last thread exited.
pub const PROCESS_EXITED: u8 = 3;

/// A process began, changed its program, or ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// [`Kind::Process`].
    pub kind: u8,
    /// [`PROCESS_FORKED`], [`PROCESS_EXECED`] or [`PROCESS_EXITED`].
    pub what: u8,
    /// Keeps the next field aligned.
    pub reserved: u16,
    /// The process.
    pub pid: u32,
    /// Its parent, where it was forked; else 0.
    pub parent: u32,
    /// Keeps the next field aligned.
    pub reserved2: u32,
    /// When.
    pub at_ns: u64,
}

/// A process began to listen on a TCP port (sent while [`Settings::watch_all`] is set).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    /// [`Kind::Listening`].
    pub kind: u8,
    /// Keeps the next field aligned.
    pub reserved: u8,
    /// Host order.
    pub port: u16,
    /// The process.
    pub pid: u32,
}

/// Set by the agent before the programs are loaded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Trace the children of traced processes.
    pub follow: u8,
    /// Trace every process but [`Settings::agent_pid`].
    pub all: u8,
    /// Report the exec and listen of processes that are not traced: the agent selects by them.
    pub watch_all: u8,
    /// The `syscall` family is attached: sockets are known by their address and inode.
    pub syscall: u8,
    /// The agent itself: never traced.
    pub agent_pid: u32,
    /// Inode number of the pid namespace that all process ids are of; 0 = the host's.
    pub pid_namespace: u32,
}

/// Where this kernel keeps what the programs read: bytes from the start of the structure named, as
/// its BTF says. Set by the agent before the programs are loaded. A `u32::MAX` is a field that this
/// kernel lacks.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Offsets {
    /// `struct sock_common`, with which `struct sock` begins.
    pub skc_family: u32,
    /// TCP's state, or one of `AF_UNIX` by the same numbers.
    pub skc_state: u32,
    /// Own port, host order.
    pub skc_num: u32,
    /// The peer's port, network order.
    pub skc_dport: u32,
    /// Own IPv4 address.
    pub skc_rcv_saddr: u32,
    /// The peer's IPv4 address.
    pub skc_daddr: u32,
    /// Own IPv6 address.
    pub skc_v6_rcv_saddr: u32,
    /// The peer's IPv6 address.
    pub skc_v6_daddr: u32,
    /// `struct sock`.
    pub sk_type: u32,
    /// See [`Offsets::sk_type`].
    pub sk_protocol: u32,
    /// See [`Offsets::sk_type`].
    pub sk_socket: u32,
    /// `struct sock`: what BPF programs keep with it, or null.
    pub sk_bpf_storage: u32,
    /// `sk_receive_queue.qlen`: segments not read yet.
    pub sk_receive_qlen: u32,
    /// `struct socket`: its file; none for a socket of the kernel's own.
    pub socket_file: u32,
    /// `struct socket`: its `struct sock`.
    pub socket_sk: u32,
    /// `struct tcp_sock`: next byte to be read.
    pub copied_seq: u32,
    /// `struct tcp_sock`: next byte expected from the peer.
    pub rcv_nxt: u32,
    /// `struct tcp_sock`: next byte to be written.
    pub write_seq: u32,
    /// `struct tcp_sock`: first byte not acknowledged.
    pub snd_una: u32,
    /// `struct tcp_sock`: bytes received so far, read or not.
    pub bytes_received: u32,
    /// `struct tcp_sock`: bytes sent and acknowledged so far.
    pub bytes_acked: u32,
    /// `struct inet_connection_sock`: an upper protocol (kernel TLS), or null.
    pub icsk_ulp_ops: u32,
    /// `struct pt_regs`, `orig_ax`: the number of the system call.
    pub regs_orig_ax: u32,
    /// Its result once it returned, `-ENOSYS` while it runs.
    pub regs_ax: u32,
    /// Arguments: `di, si, dx, r10` of a 64-bit call, `bx, cx, dx, si, di, bp` of a 32-bit one.
    pub regs_di: u32,
    /// See [`Offsets::regs_di`].
    pub regs_si: u32,
    /// See [`Offsets::regs_di`].
    pub regs_dx: u32,
    /// See [`Offsets::regs_di`].
    pub regs_r10: u32,
    /// See [`Offsets::regs_di`].
    pub regs_bx: u32,
    /// See [`Offsets::regs_di`].
    pub regs_cx: u32,
    /// See [`Offsets::regs_di`].
    pub regs_r8: u32,
    /// Where the task is in its program.
    pub regs_ip: u32,
    /// Go keeps the running `g` in it.
    pub regs_r14: u32,
    /// Code segment: tells a 32-bit caller.
    pub regs_cs: u32,
    /// `struct task_struct`: the process.
    pub task_tgid: u32,
    /// `struct task_struct`: the thread.
    pub task_pid: u32,
    /// `struct task_struct`, `thread.fsbase`: where a thread's own variables are.
    pub task_fsbase: u32,
    /// See [`Offsets::task_tgid`].
    pub task_signal: u32,
    /// See [`Offsets::task_tgid`].
    pub task_files: u32,
    /// `struct signal_struct`, `live.counter`: threads that live.
    pub signal_live: u32,
    /// `struct signal_struct`: the `struct pid` of each kind of id.
    pub signal_pids: u32,
    /// `struct pid`: how many pid namespaces deep it is.
    pub pid_level: u32,
    /// See [`Offsets::pid_level`]: a `struct upid` for each, from the host's on.
    pub pid_numbers: u32,
    /// `struct upid`: the namespace; before it stands the id.
    pub upid_ns: u32,
    /// `struct pid_namespace`: the inode number that names it.
    pub pid_ns_inum: u32,
    /// `struct files_struct`.
    pub files_fdt: u32,
    /// `struct fdtable`.
    pub fdt_max_fds: u32,
    /// See [`Offsets::fdt_max_fds`].
    pub fdt_fd: u32,
    /// `struct file`.
    pub file_inode: u32,
    /// `struct file`: of a socket, its `struct socket`.
    pub file_private_data: u32,
    /// `struct file`: how it was opened.
    pub file_flags: u32,
    /// `struct file`: the epoll sets it is in, or null.
    pub file_epoll: u32,
    /// `struct file`: how many refer to it, as [`Offsets::file_refs_one`] counts.
    pub file_refs: u32,
    /// What stands in [`Offsets::file_refs`] when it is one: 1, or 0 since Linux 6.13.
    pub file_refs_one: u32,
    /// `struct unix_sock`: its address, or null.
    pub unix_addr: u32,
    /// `struct inode`.
    pub inode_mode: u32,
    /// See [`Offsets::inode_mode`].
    pub inode_ino: u32,
}

impl Offsets {
    /// Before the loader has filled it in.
    // SAFETY: all-zero is a valid value of a structure of integers.
    pub const NONE: Offsets = unsafe { core::mem::zeroed() };
}

impl Settings {
    /// Before the loader has filled it in.
    pub const NONE: Settings = Settings {
        follow: 0,
        all: 0,
        watch_all: 0,
        syscall: 0,
        agent_pid: 0,
        pid_namespace: 0,
    };
}

/// A field of [`Offsets`] that this kernel lacks.
pub const NO_FIELD: u32 = u32::MAX;

/// Size of what the kernel side keeps with a socket. All zero is a valid state: that of a socket of
/// which nothing is known yet. The agent gives it to sockets that listen, since accepted ones inherit
/// a copy and are then known before their first bytes arrive.
pub const SOCKET_STATE: usize = 392;

/// The agent's verdict on a connection: it carries nothing we know, and is not copied any more.
pub const VERDICT_IGNORED: u8 = 1;
/// It is cut into HTTP/2 frames (RFC 9113, section 4.1), which the kernel side walks.
pub const VERDICT_HTTP2: u8 = 2;
/// It is cut into messages behind their length (Thrift framed, TTHeader, Kitex Protobuf), likewise.
pub const VERDICT_LENGTH_PREFIXED: u8 = 3;

/// Pids are below it: `PID_MAX_LIMIT` of a 64-bit kernel.
pub const PID_LIMIT: u32 = 4 * 1024 * 1024;

/// Kernel-side counters: indices into a per-CPU array of u64.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Transfers of traced sockets that were not judged to carry nothing we know.
    TransfersSeen = 0,
    /// Transfers whose last record found no room in the ring.
    TransfersRingFull = 1,
    /// Records other than a transfer's last that found no room.
    RecordsRingFull = 2,
    /// Transfers whose bytes could not be seen ([`UNSEEN`]).
    TransfersUnseen = 3,
    /// Sockets given up: judged to carry no protocol that we know.
    SocketsIgnored = 4,
    /// Transfers of those, not counted as seen.
    TransfersIgnored = 5,
    /// How often it was lost where a framed connection's frames begin: a head made no sense, bytes
    /// were unseen, or a bound was hit. The rest of the transfer is copied as on any connection.
    FramesLost = 6,
}

/// How many [`Counter`]s there are.
pub const COUNTERS: u32 = 7;

/// Ring records may be read in place: none has padding, each is a multiple of 8 bytes.
const _: () = {
    assert!(size_of::<Transfer>() == 72 && align_of::<Transfer>() == 8);
    assert!(size_of::<Connection>() == 80 && align_of::<Connection>() == 8);
    assert!(size_of::<Ended>() == 24 && align_of::<Ended>() == 8);
    assert!(size_of::<Process>() == 24 && align_of::<Process>() == 8);
    assert!(size_of::<Listening>() == 8 && align_of::<Listening>() == 4);
    assert!(size_of::<Goroutine>() == 48 && align_of::<Goroutine>() == 8);
    assert!(size_of::<GoLayout>() == 48 && align_of::<GoLayout>() == 8);
    assert!(size_of::<Settings>() == 12);
};
