//! What is kept of a socket, and what a transfer is once its socket is found: judged, counted and
//! positioned. Both families come here; [`pieces`](crate::pieces) goes on.
//!
//! Bias: positions are counted here, not read from TCP, so that they are the same for every kind of
//! socket. Two threads that send on one socket at the same instant could miscount; whoever does that
//! has no message order to trace either.

use tracer_ebpf::abi::{
    AF_UNIX, Counter, ENDED_ALL, Ended, HEAD_LIMIT, Kind, RECEIVED, ROLE_ACCEPTED, ROLE_CONNECTED,
    SOCKET_STATE, Transfer, VERDICT_HTTP2, VERDICT_IGNORED,
};

use crate::connection::{announce, is_stream};
use crate::emit;
use crate::frames::Frames;
use crate::goroutine::{self, Goroutine};
use crate::kernel::{offset, read};
use crate::maps::{self, VERDICTS};
use crate::pieces::UnderWay;
use crate::task::{Buffers, Who};

/// What is known of a socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Socket {
    /// See `abi::Transfer::connection`; 0 until it is judged.
    pub id: u64,
    /// Position of the next byte, by direction.
    pub next: [u64; 2],
    /// The transfer that is being reported, by direction.
    pub under_way: [UnderWay; 2],
    /// When the first byte that is not read yet became readable; 0 = not known.
    pub arrived_ns: u64,
    /// When bytes last became readable.
    pub last_arrived_ns: u64,
    /// When the send that runs began; 0 = not known.
    pub send_start_ns: u64,
    /// When `connect` began, and when it was done.
    pub connect_ns: [u64; 2],
    /// Its `struct sock`, as a number: a pointer can't be handed to a global function.
    pub sk: u64,
    /// Transfers so far.
    pub transfers: u32,
    /// Bytes of this turn that were copied whole.
    pub captured: u32,
    /// The thread that is in `sendmmsg` or `recvmmsg`, and which message comes next.
    pub message_tid: u32,
    /// See [`Socket::message_tid`].
    pub message_next: u32,
    /// [`NEW`], [`FOREIGN`], [`TRACED`], [`UNKNOWN_PROTOCOL`].
    pub verdict: u8,
    /// `abi::ROLE_*`.
    pub role: u8,
    /// Direction of the last transfer.
    pub turn: u8,
    /// The agent has its `abi::Connection`.
    pub announced: u8,
    /// What was reported as ended: bits of `abi::ENDED_*`, and 4 for all.
    pub ended: u8,
    /// `abi::AF_*`.
    pub family: u8,
    /// [`Socket::sequence`] is known, and TCP counts what we count.
    pub sequenced: u8,
    /// How its bytes are cut into frames: `abi::VERDICT_HTTP2`, `abi::VERDICT_LENGTH_PREFIXED`; 0 =
    /// not, or not known.
    pub framing: u8,
    /// TCP sequence number of position 0, by direction.
    pub sequence: [u32; 2],
    /// Where it is among its frames, by direction.
    pub frames: [Frames; 2],
}

/// Not judged yet.
pub const NEW: u8 = 0;
/// Not a stream of `AF_INET`, `AF_INET6` or `AF_UNIX`, or the kernel's own.
pub const FOREIGN: u8 = 1;
/// Its transfers are reported.
pub const TRACED: u8 = 2;
/// The agent found that it carries nothing it knows.
pub const UNKNOWN_PROTOCOL: u8 = 3;

/// Every how many transfers of a socket the agent's verdict is looked up: a hash look-up costs as much
/// as copying 100 bytes, and a socket of another protocol is rid of soon enough.
const VERDICT_EVERY: u32 = 16;

/// One transfer, as its hook saw it. Without padding, since it is handed to a global function, which
/// the verifier wants to find initialised to the last byte.
#[repr(C)]
pub struct Moved {
    pub who: Who,
    pub end_ns: u64,
    pub buffers: Buffers,
    pub length: u32,
    /// `abi::RECEIVED` or `abi::SENT`.
    pub direction: u32,
    /// TCP's number of the next byte after it, or [`NOT_ASKED`].
    pub tcp_next: u64,
}

/// Of [`Moved::tcp_next`].
pub const NOT_ASKED: u64 = u64::MAX;

const _: () = assert!(size_of::<Socket>() == SOCKET_STATE);

/// Whether any call that moves several messages was ever seen. Most hosts never make one, and on those
/// a transfer that fails (a non-blocking one, with nothing to do) needs no look at its socket.
static mut SEVERAL_MESSAGES: u8 = 0;

/// Whether the failure of a transfer matters: see [`Socket::failed`].
#[inline(always)]
pub fn failures_matter() -> bool {
    // SAFETY: a byte that is only ever set.
    unsafe { (&raw const SEVERAL_MESSAGES).read_volatile() != 0 }
}

impl Socket {
    /// Nothing known.
    // SAFETY: all-zero is a valid value of a structure of integers.
    pub const EMPTY: Socket = unsafe { core::mem::zeroed() };

    /// Judges a socket that is new: `id` names it.
    #[inline(always)]
    pub fn judge(&mut self, sk: *const u8, id: impl FnOnce() -> u64) {
        if self.verdict == NEW {
            self.verdict = if is_stream(sk) { TRACED } else { FOREIGN };
            self.id = id();
        }
    }

    /// Reports a transfer, and before the first one the connection.
    #[inline(always)]
    pub fn transferred(&mut self, sk: *const u8, moved: &Moved) {
        self.sk = sk as u64;
        report_transfer(self, moved);
    }

    /// The same without a call, for hooks that come here from one place.
    #[inline(always)]
    pub fn transferred_here(&mut self, sk: *const u8, moved: &Moved) {
        if self.announced == 0 {
            self.sk = sk as u64;
            announce(self, moved);
        }
        self.report_missed(moved);
        self.report(moved);
    }

    /// Whether transfers of this socket are reported now; counts those that the agent gave up.
    #[inline(always)]
    pub fn is_reported(&mut self) -> bool {
        if self.verdict != TRACED {
            if self.verdict == UNKNOWN_PROTOCOL {
                maps::count(Counter::TransfersIgnored);
            }
            return false;
        }
        self.transfers = self.transfers.wrapping_add(1);
        if self.transfers % VERDICT_EVERY != 0 {
            return true;
        }
        // SAFETY: a byte, whoever replaces the entry meanwhile.
        match unsafe { VERDICTS.get(&self.id) } {
            Some(&VERDICT_IGNORED) => {
                self.verdict = UNKNOWN_PROTOCOL;
                maps::count(Counter::SocketsIgnored);
                maps::count(Counter::TransfersIgnored);
                return false;
            }
            Some(&framing) => self.framing = framing,
            None => {}
        }
        true
    }

    #[inline(always)]
    fn report(&mut self, moved: &Moved) {
        let direction = (moved.direction & 1) as usize;
        let turns = u32::from(self.turn) != moved.direction;
        if turns {
            self.turn = moved.direction as u8;
            self.captured = 0;
        }
        let goroutine = if self.wants_goroutine(direction, turns) {
            goroutine::current(moved)
        } else {
            Goroutine::NONE
        };
        let start = if moved.direction == u32::from(RECEIVED) {
            self.arrived_ns
        } else {
            core::mem::take(&mut self.send_start_ns)
        };
        let record = Transfer {
            kind: Kind::Transfer as u8,
            direction: moved.direction as u8,
            flags: 0,
            captured: 0,
            connection: self.id,
            position: 0,
            length: 0,
            tail_captured: 0,
            start_ns: start,
            end_ns: moved.end_ns,
            pid_tgid: moved.who.0,
            goid: goroutine.id,
            lineage: goroutine.lineage,
        };
        maps::count(Counter::TransfersSeen);
        if self.framing != 0 {
            self.frames[direction].begin();
        }
        let buffers = match moved.buffers.shape {
            Buffers::MESSAGES => self.current_message(moved),
            _ => moved.buffers,
        };
        self.report_buffers(record, moved.length, buffers);
    }

    /// Some bytes pass no hook: those that `splice` takes out of a socket and, for the `syscall` family,
    /// those of io_uring. TCP's own count tells how many there were since the last transfer; they are
    /// reported as one that was not seen.
    #[inline(always)]
    fn report_missed(&mut self, moved: &Moved) {
        if self.sequenced == 0 || moved.tcp_next == NOT_ASKED {
            return;
        }
        let direction = (moved.direction & 1) as usize;
        let missed = (moved.tcp_next as u32)
            .wrapping_sub(self.sequence[direction])
            .wrapping_sub(self.next[direction] as u32)
            .wrapping_sub(moved.length);
        // One is the peer's FIN, which is read along with the last bytes.
        if (missed as i32) <= 1 {
            return;
        }
        if read::<usize>(self.sk as *const u8, offset!(icsk_ulp_ops)) != 0 {
            // Kernel TLS: TCP counts its records, we count what they hold.
            self.sequenced = 0;
            return;
        }
        self.report(&Moved {
            who: moved.who,
            end_ns: moved.end_ns,
            buffers: Buffers::NONE,
            length: missed,
            direction: moved.direction,
            tcp_next: NOT_ASKED,
        });
    }

    /// `sendmmsg` and `recvmmsg` come here once per message, in order, and nothing in the registers
    /// says which it is. So it is counted; a call that fails midway starts anew (see
    /// [`Socket::failed`]).
    #[inline(always)]
    fn current_message(&mut self, moved: &Moved) -> Buffers {
        let index = if self.message_tid == moved.who.tid() {
            self.message_next
        } else {
            0
        };
        // SAFETY: a byte that is only ever set.
        unsafe { (&raw mut SEVERAL_MESSAGES).write_volatile(1) };
        self.message_tid = moved.who.tid();
        self.message_next = if u64::from(index) + 1 < moved.buffers.count {
            index + 1
        } else {
            0
        };
        moved.buffers.message(index)
    }

    /// A transfer failed: with it ends the call that moves several messages.
    #[inline(always)]
    pub fn failed(&mut self) {
        self.message_next = 0;
    }

    /// Reports that a direction, or all, is over; once.
    #[inline(always)]
    pub fn report_end(&mut self, what: u8, at_ns: u64) {
        // That all is over is said even where each direction's end was: then the socket is gone.
        let bit = if what == ENDED_ALL { 4 } else { what };
        if self.announced == 0 || self.ended & (bit | 4) != 0 {
            return;
        }
        self.ended |= bit;
        emit::record(Ended {
            kind: Kind::Ended as u8,
            what,
            reserved: [0; 6],
            connection: self.id,
            at_ns,
        });
    }

    /// TCP, whose end `inet_sock_set_state` tells.
    #[inline(always)]
    pub fn is_tcp(&self) -> bool {
        self.family != AF_UNIX
    }

    /// Not given up: it is traced, or may yet be.
    #[inline(always)]
    pub fn is_wanted(&self) -> bool {
        self.verdict == TRACED || self.verdict == NEW
    }

    /// Whether a send that begins is the first one since the last transfer: any may be the begin of a
    /// message, also where nothing came in since the one before (pipelined requests, oneway calls).
    #[inline(always)]
    pub fn wants_start(&self) -> bool {
        self.is_wanted() && self.send_start_ns == 0
    }

    /// Whether it matters which goroutine made the transfer: it may hold a request's head, or be the
    /// first of an answer.
    #[inline(always)]
    fn wants_goroutine(&self, direction: usize, turns: bool) -> bool {
        if direction == usize::from(RECEIVED) {
            return self.role != ROLE_CONNECTED && self.captured < HEAD_LIMIT as u32;
        }
        // Of streams, who answers is not who writes.
        let answers_streams = self.framing == VERDICT_HTTP2 && self.role == ROLE_ACCEPTED;
        turns || self.next[1] == 0 || (self.framing != 0 && !answers_streams)
    }

    /// Bytes became readable.
    #[inline(always)]
    pub fn arrived(&mut self, now: u64) {
        if self.arrived_ns == 0 {
            self.arrived_ns = now;
        }
        self.last_arrived_ns = now;
    }

    /// Bytes were read; `more` of them wait. What waits came last.
    #[inline(always)]
    pub fn drained(&mut self, more: bool) {
        self.arrived_ns = if more { self.last_arrived_ns } else { 0 };
    }
}

/// Reports a transfer, and before the first one the connection. The return value means nothing.
///
/// A function of its own, and global, since the verifier checks such a one by itself and once, not
/// again on each path, in each round of a loop and in each program that calls it.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn report_transfer(socket: *mut Socket, moved: *const Moved) -> u32 {
    // SAFETY: the caller passes references; the verifier wants to see null excluded.
    let (Some(socket), Some(moved)) = (unsafe { socket.as_mut() }, unsafe { moved.as_ref() })
    else {
        return 0;
    };
    socket.transferred_here(socket.sk as *const u8, moved);
    0
}
