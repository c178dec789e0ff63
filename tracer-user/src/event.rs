//! Ring records as typed events: the only place that decodes [`tracer_ebpf::abi`].
//!
//! [`decode`] borrows the captured bytes from the record. It trusts the kernel side for meaning but
//! not for lengths: a record that does not hold what it claims is [`BadRecord`], never a panic.
//! Bias: a record of a kind not known is an error, since both sides are built from one tree.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use tracer_ebpf::abi;

/// Names a connection for as long as it lives; see `abi::Transfer::connection`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

/// Which way bytes went, seen from the traced process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// From the peer to the process.
    Received,
    /// From the process to the peer.
    Sent,
}

/// Who made a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Task {
    /// Process (thread group).
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Goroutine; 0 = none or not known.
    pub goid: u64,
    /// See `abi::Transfer::lineage`: sent: who started that goroutine; received: an `abi::Fresh`. 0 = not
    /// known.
    pub lineage: u64,
}

/// What the kernel saw, in the order of the ring.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event<'a> {
    /// Bytes moved through a socket.
    Transfer(#[serde(borrow)] Transfer<'a>),
    /// A connection is seen for the first time.
    Connection(Connection),
    /// A direction of a connection is over.
    Ended(Ended),
    /// A process began, changed its program, or ended.
    Process(Process),
    /// A goroutine came by a probe in its program.
    Goroutine(Goroutine),
    /// A process began to listen.
    Listening {
        /// The process.
        pid: u32,
        /// TCP port.
        port: u16,
    },
}

/// One piece of a transfer: consecutive bytes of one direction.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
    #[serde(with = "serde_bytes")]
    pub head: &'a [u8],
    /// The last bytes; empty when `head` holds all.
    #[serde(with = "serde_bytes")]
    pub tail: &'a [u8],
}

impl<'a> Transfer<'a> {
    /// All of a transfer, every byte of it captured; by nobody, and at no time. Tests, fuzzers and
    /// benches begin with it and change what they are about.
    pub fn of_bytes(direction: Direction, position: u64, bytes: &'a [u8]) -> Transfer<'a> {
        Transfer {
            connection: ConnectionId(1),
            direction,
            position,
            length: bytes.len() as u32,
            last_piece: true,
            unseen: false,
            start_ns: 0,
            end_ns: 0,
            task: Task {
                pid: 1,
                tid: 1,
                goid: 0,
                lineage: 0,
            },
            head: bytes,
            tail: &[],
        }
    }
}

/// Addresses and origin of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// An event loop waits for it, as far as is known.
    pub event_driven: bool,
    /// TCP sequence number of the (received, sent) byte at position 0; 0, 0 = not known.
    pub sequence: (u32, u32),
    /// When `connect` began and was done, where seen. Boot-time ns.
    pub connect_ns: Option<(u64, u64)>,
}

/// The two ends of a TCP connection, own end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Addresses {
    /// Own end.
    pub local: std::net::SocketAddr,
    /// The peer.
    pub remote: std::net::SocketAddr,
}

/// How a process came by a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Not seen; the bytes will tell who asks and who answers.
    Unknown,
    /// By `accept`.
    Accepted,
    /// By `connect`.
    Connected,
}

/// A direction of a connection is over.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// The socket.
    pub connection: ConnectionId,
    /// What is over.
    pub what: End,
    /// When. Boot-time ns.
    pub at_ns: u64,
}

/// What of a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The process closed or shut down its sending direction.
    Sending,
    /// The process read the end of the stream.
    Receiving,
    /// The connection is gone.
    All,
}

/// A process began, changed its program, or ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Process {
    /// The process.
    pub pid: u32,
    /// What happened.
    pub what: ProcessChange,
    /// When. Boot-time ns.
    pub at_ns: u64,
}

/// What happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A goroutine came by a probe in its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goroutine {
    /// The process.
    pub pid: u32,
    /// Its number.
    pub goid: u64,
    /// The one that started it.
    pub parent: u64,
    /// What it does.
    pub what: GoroutineDoes,
}

/// What a goroutine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GoroutineDoes {
    /// It hands over what lies at that address, for which another one will go on.
    Gives(u64),
    /// It goes on for the one that gave what lies at that address, and writes this HTTP/2 stream for
    /// it (0: none).
    Takes(u64, u32),
    /// It begins to handle a request; which, shows when it answers.
    Begins {
        /// Goroutines started since.
        #[serde(with = "fresh")]
        fresh: abi::Fresh,
    },
    /// It begins to handle a stream of the connection that the one reads that started it.
    Serves {
        /// HTTP/2 stream.
        stream: u32,
        /// Goroutines started since.
        #[serde(with = "fresh")]
        fresh: abi::Fresh,
    },
    /// It was just started, by its parent.
    Starts,
}

/// The ABI knows no serde.
mod fresh {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tracer_ebpf::abi::Fresh;

    pub fn serialize<S: Serializer>(fresh: &Fresh, to: S) -> Result<S::Ok, S::Error> {
        fresh.0.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Fresh, D::Error> {
        u64::deserialize(from).map(Fresh)
    }
}

/// A record that does not hold what it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Its first byte is no `abi::Kind`, or a field holds a value that the ABI does not have.
    #[error("a record of kind {kind} with a value unknown in byte {at}")]
    Value {
        /// The record's first byte.
        kind: u8,
        /// Offset of the field.
        at: usize,
    },
    /// It ends too early, or its payload area is of no known class.
    #[error("a record of kind {kind} with {length} bytes")]
    Length {
        /// The record's first byte.
        kind: u8,
        /// How long it is.
        length: usize,
    },
}

/// Reads one record of the ring, in place.
///
/// # Errors
///
/// The record is not one of the ABI's; it can only be counted and dropped.
pub fn decode(record: &[u8]) -> Result<Event<'_>, BadRecord> {
    let kind = record.first().copied().unwrap_or(0);
    let fields = Fields { kind, record };
    match kind {
        k if k == abi::Kind::Transfer as u8 => transfer(fields).map(Event::Transfer),
        k if k == abi::Kind::Connection as u8 => connection(fields).map(Event::Connection),
        k if k == abi::Kind::Ended as u8 => ended(fields).map(Event::Ended),
        k if k == abi::Kind::Process as u8 => process(fields).map(Event::Process),
        k if k == abi::Kind::Goroutine as u8 => goroutine(fields).map(Event::Goroutine),
        k if k == abi::Kind::Listening as u8 => {
            let raw = fields.read::<abi::Listening>()?;
            Ok(Event::Listening {
                pid: raw.pid,
                port: raw.port,
            })
        }
        _ => Err(BadRecord::Value { kind, at: 0 }),
    }
}

/// The structures of the ABI that a record may begin with: integers without padding, so that any
/// bytes are a valid value.
trait Raw: Copy {}
impl Raw for abi::Transfer {}
impl Raw for abi::Connection {}
impl Raw for abi::Ended {}
impl Raw for abi::Process {}
impl Raw for abi::Listening {}
impl Raw for abi::Goroutine {}

#[derive(Clone, Copy)]
struct Fields<'a> {
    kind: u8,
    record: &'a [u8],
}

impl<'a> Fields<'a> {
    fn read<T: Raw>(self) -> Result<T, BadRecord> {
        if self.record.len() < size_of::<T>() {
            return Err(self.bad_length());
        }
        // SAFETY: long enough, of any alignment, and every bit pattern is a T.
        Ok(unsafe { self.record.as_ptr().cast::<T>().read_unaligned() })
    }

    fn bad_length(self) -> BadRecord {
        BadRecord::Length {
            kind: self.kind,
            length: self.record.len(),
        }
    }

    fn bad_value(self, at: usize) -> BadRecord {
        BadRecord::Value {
            kind: self.kind,
            at,
        }
    }
}

fn transfer(fields: Fields<'_>) -> Result<Transfer<'_>, BadRecord> {
    let raw = fields.read::<abi::Transfer>()?;
    let payload = &fields.record[size_of::<abi::Transfer>()..];
    // The class with this size; its head area comes first.
    let class = abi::CLASSES
        .iter()
        .find(|class| class.head + class.tail == payload.len())
        .ok_or(fields.bad_length())?;
    let (head, tail) = payload.split_at(class.head);
    let head = head
        .get(..raw.captured as usize)
        .ok_or(fields.bad_length())?;
    let tail = tail
        .get(..raw.tail_captured as usize)
        .ok_or(fields.bad_length())?;
    if head.len() + tail.len() > raw.length as usize {
        return Err(fields.bad_length());
    }
    Ok(Transfer {
        connection: ConnectionId(raw.connection),
        direction: match raw.direction {
            abi::RECEIVED => Direction::Received,
            abi::SENT => Direction::Sent,
            _ => return Err(fields.bad_value(1)),
        },
        position: raw.position,
        length: raw.length,
        last_piece: raw.flags & abi::LAST_PIECE != 0,
        unseen: raw.flags & abi::UNSEEN != 0,
        start_ns: raw.start_ns,
        end_ns: raw.end_ns,
        task: Task {
            pid: (raw.pid_tgid >> 32) as u32,
            tid: raw.pid_tgid as u32,
            goid: raw.goid,
            lineage: raw.lineage,
        },
        head,
        tail,
    })
}

fn connection(fields: Fields<'_>) -> Result<Connection, BadRecord> {
    let raw = fields.read::<abi::Connection>()?;
    let addresses = match raw.family {
        abi::AF_UNIX => None,
        abi::AF_INET => Some((ipv4(raw.local), ipv4(raw.remote))),
        abi::AF_INET6 => Some((ipv6(raw.local), ipv6(raw.remote))),
        _ => return Err(fields.bad_value(2)),
    };
    Ok(Connection {
        connection: ConnectionId(raw.connection),
        pid: raw.pid,
        role: match raw.role {
            abi::ROLE_UNKNOWN => Role::Unknown,
            abi::ROLE_ACCEPTED => Role::Accepted,
            abi::ROLE_CONNECTED => Role::Connected,
            _ => return Err(fields.bad_value(1)),
        },
        addresses: addresses.map(|(local, remote)| Addresses {
            local: SocketAddr::new(local, raw.local_port),
            remote: SocketAddr::new(remote, raw.remote_port),
        }),
        midway: raw.midway != 0,
        event_driven: raw.event_driven != 0,
        sequence: (raw.received_seq, raw.sent_seq),
        connect_ns: (raw.connect_start_ns != 0 && raw.connect_end_ns != 0)
            .then_some((raw.connect_start_ns, raw.connect_end_ns)),
    })
}

fn ipv4(bytes: [u8; 16]) -> IpAddr {
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()
}

/// An IPv4 peer of a dual-stack socket is told as what it is.
fn ipv6(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

fn ended(fields: Fields<'_>) -> Result<Ended, BadRecord> {
    let raw = fields.read::<abi::Ended>()?;
    Ok(Ended {
        connection: ConnectionId(raw.connection),
        what: match raw.what {
            abi::ENDED_SENDING => End::Sending,
            abi::ENDED_RECEIVING => End::Receiving,
            abi::ENDED_ALL => End::All,
            _ => return Err(fields.bad_value(1)),
        },
        at_ns: raw.at_ns,
    })
}

fn process(fields: Fields<'_>) -> Result<Process, BadRecord> {
    let raw = fields.read::<abi::Process>()?;
    Ok(Process {
        pid: raw.pid,
        what: match raw.what {
            abi::PROCESS_FORKED => ProcessChange::Forked { parent: raw.parent },
            abi::PROCESS_EXECED => ProcessChange::Execed,
            abi::PROCESS_EXITED => ProcessChange::Exited,
            _ => return Err(fields.bad_value(1)),
        },
        at_ns: raw.at_ns,
    })
}

fn goroutine(fields: Fields<'_>) -> Result<Goroutine, BadRecord> {
    let raw = fields.read::<abi::Goroutine>()?;
    Ok(Goroutine {
        pid: raw.pid,
        goid: raw.goid,
        parent: raw.parent,
        what: match raw.what {
            abi::GOROUTINE_GIVES => GoroutineDoes::Gives(raw.token),
            abi::GOROUTINE_TAKES => GoroutineDoes::Takes(raw.token, raw.stream),
            abi::GOROUTINE_BEGINS => GoroutineDoes::Begins {
                fresh: abi::Fresh(raw.fresh),
            },
            abi::GOROUTINE_SERVES => GoroutineDoes::Serves {
                stream: raw.stream,
                fresh: abi::Fresh(raw.fresh),
            },
            abi::GOROUTINE_STARTS => GoroutineDoes::Starts,
            _ => return Err(fields.bad_value(1)),
        },
    })
}

#[cfg(test)]
pub(crate) mod tests;
