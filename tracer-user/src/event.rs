//! Ring records as typed events: the only place that decodes [`tracer_ebpf::abi`].
//!
//! [`decode`] borrows the captured bytes from the record. It trusts the kernel side for meaning but
//! not for lengths: a record that does not hold what it claims is [`BadRecord`], never a panic.
//! Bias: a record of a kind not known is an error, since both sides are built from one tree.

/// Names a connection for as long as it lives; see `abi::Transfer::connection`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Which way bytes went, seen from the traced process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the peer to the process.
    Received,
    /// From the process to the peer.
    Sent,
}

/// Who made a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Process (thread group).
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Goroutine; 0 = none or not known.
    pub goid: u64,
}

/// What the kernel saw, in the order of the ring.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Bytes moved through a socket.
    Transfer(Transfer<'a>),
    /// A connection is seen for the first time.
    Connection(Connection),
    /// A direction of a connection is over.
    Ended(Ended),
    /// A process began, changed its program, or ended.
    Process(Process),
    /// A process began to listen.
    Listening {
        /// The process.
        pid: u32,
        /// TCP port.
        port: u16,
    },
}

/// One piece of a transfer: consecutive bytes of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// The socket.
    pub connection: ConnectionId,
    /// Which way.
    pub direction: Direction,
    /// Position of the first byte in its direction.
    pub position: u64,
    /// Bytes moved; `head` and `tail` hold those of them that were captured.
    pub length: u32,
    /// The last piece of its system call: transfers are counted by it.
    pub last_piece: bool,
    /// Bytes were not in reach of the kernel side (sendfile, splice, io_uring, MSG_TRUNC).
    pub unseen: bool,
    /// Sent: the call's begin. Received: when the bytes became readable. Boot-time ns; 0 = not known.
    pub start_ns: u64,
    /// When the call had moved them. Boot-time ns.
    pub end_ns: u64,
    /// Who.
    pub task: Task,
    /// The first bytes.
    pub head: &'a [u8],
    /// The last bytes; empty when `head` holds all.
    pub tail: &'a [u8],
}

/// Addresses and origin of a connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The socket.
    pub connection: ConnectionId,
    /// Process that used it first.
    pub pid: u32,
    /// How the process came by it.
    pub role: Role,
    /// Own and peer's address; none for `AF_UNIX`.
    pub addresses: Option<Addresses>,
    /// Bytes had gone through it before the agent looked.
    pub midway: bool,
    /// TCP sequence number of the (received, sent) byte at position 0; 0, 0 = not known.
    pub sequence: (u32, u32),
    /// When `connect` began and was done, where seen. Boot-time ns.
    pub connect_ns: Option<(u64, u64)>,
}

/// The two ends of a TCP connection, own end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// Own end.
    pub local: std::net::SocketAddr,
    /// The peer.
    pub remote: std::net::SocketAddr,
}

/// How a process came by a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Not seen; the bytes will tell who asks and who answers.
    Unknown,
    /// By `accept`.
    Accepted,
    /// By `connect`.
    Connected,
}

/// A direction of a connection is over.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The socket.
    pub connection: ConnectionId,
    /// What is over.
    pub what: End,
    /// When. Boot-time ns.
    pub at_ns: u64,
}

/// What of a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process closed or shut down its sending direction.
    Sending,
    /// The process read the end of the stream.
    Receiving,
    /// The connection is gone.
    All,
}

/// A process began, changed its program, or ended.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// The process.
    pub pid: u32,
    /// What happened.
    pub what: ProcessChange,
    /// When. Boot-time ns.
    pub at_ns: u64,
}

/// What happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessChange {
    /// Forked by `parent`, traced like it from now on.
    Forked {
        /// The process that forked it.
        parent: u32,
    },
    /// Executes another program.
    Execed,
    /// Its last thread is gone.
    Exited,
}
