//! A transfer cut into pieces, a record each: one per buffer of the call, or where a connection is cut
//! into [`frames`](crate::frames), one per run of bytes worth copying. What is copied of a piece.
//!
//! The policy: of each turn of a direction (it turns when bytes begin to flow the other way) the first
//! `HEAD_LIMIT` bytes are copied whole, past them the first and last bytes of each transfer. So a head
//! of up to that size is whole however it is split, and a body costs next to nothing.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use tracer_ebpf::abi::{Counter, HEAD_LIMIT, LAST_PIECE, SPARSE_HEAD, TAIL, Transfer, UNSEEN};

use crate::emit::{self, Copy, Piece};
use crate::frames::report_frames;
use crate::kernel::forgotten;
use crate::maps;
use crate::task::Buffers;
use crate::transfer::Socket;

/// A transfer that is being reported. It is kept in the socket because there the verifier tracks no
/// values, and so has to walk each round of the loop over its buffers once only; and because the stack
/// is small: before Linux 6.13 a hook and all it calls have 512 bytes together.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct UnderWay {
    /// What the records of all its pieces have in common.
    pub record: Transfer,
    /// Where its bytes are.
    pub buffers: Buffers,
    /// Bytes not reported yet.
    pub left: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

/// Buffers of one system call that are reported one by one: as many as Linux takes (`UIO_MAXIOV`).
/// Node's HTTP/2 writes some hundred at once, gRPC's C core 260.
const MOST_IOVECS: u32 = 1024;
/// Iovecs read from the process at once: few, since the room for them is on the stack, and is zeroed
/// for each transfer.
const IOVEC_BATCH: usize = 3;

impl Socket {
    /// The whole of a transfer of `length` bytes, which are in `buffers`; `record` is what all its
    /// pieces have in common.
    #[inline(always)]
    pub fn report_buffers(&mut self, record: Transfer, length: u32, buffers: Buffers) {
        let direction = usize::from(record.direction & 1);
        let under_way = &mut self.under_way[direction];
        under_way.record = record;
        under_way.left = length;
        match buffers.shape {
            // Without a call: the usual case.
            Buffers::ONE => {
                let done = self.framed(direction, length, buffers.address);
                if done < length {
                    let address = buffers.address + u64::from(done);
                    self.piece(direction, length - done, address, 0);
                }
            }
            Buffers::VECTOR => {
                under_way.buffers = buffers;
                self.vector(direction);
            }
            _ => self.unseen(direction),
        }
    }

    /// One piece per iovec.
    #[inline(always)]
    fn vector(&mut self, direction: usize) {
        let mut i = 0;
        while i < MOST_IOVECS {
            if report_batch(self, direction as u32, i) == 0 {
                break;
            }
            i += IOVEC_BATCH as u32;
        }
        if self.under_way[direction].left > 0 {
            self.unseen(direction);
        }
    }

    /// One piece for each of the iovecs `from` and following. False: there is none left, or no byte.
    #[inline(always)]
    fn batch(&mut self, direction: usize, from: u32) -> bool {
        let mut room = MaybeUninit::uninit();
        let batch = zeroed(&mut room);
        let buffers = &self.under_way[direction].buffers;
        if u64::from(from) >= buffers.count || !read_iovecs(batch, buffers, from) {
            return false;
        }
        let mut i = 0;
        while i < IOVEC_BATCH {
            // What lies beyond the last iovec is zero.
            let [address, length] = batch[i];
            let left = self.under_way[direction].left;
            let length = if length < u64::from(left) {
                length as u32
            } else {
                left
            };
            if length > 0 {
                let done = self.framed(direction, length, address);
                if done < length {
                    let address = address + u64::from(done);
                    report_piece(self, direction as u32, length - done, address, 0);
                }
            }
            i += 1;
        }
        self.under_way[direction].left > 0
    }

    /// The rest of the transfer, whose bytes can't be had.
    #[inline(always)]
    fn unseen(&mut self, direction: usize) {
        maps::count(Counter::TransfersUnseen);
        let rest = self.under_way[direction].left;
        if self.framing != 0 {
            self.frames[direction].hidden(rest);
        }
        report_piece(self, direction as u32, rest, 0, UNSEEN.into());
    }

    /// Reports of the next `length` bytes those that can be followed as frames; returns how many.
    #[inline(always)]
    fn framed(&mut self, direction: usize, length: u32, address: u64) -> u32 {
        // At position 0 it may turn out that there are any.
        if self.framing != 0 || self.next[direction] == 0 {
            report_frames(self, direction as u32, length, address)
        } else {
            0
        }
    }

    /// See [`report_piece`], which is this.
    #[inline(always)]
    fn piece(&mut self, direction: usize, length: u32, address: u64, flags: u32) {
        let (head, tail) = if flags == 0 {
            self.policy(length)
        } else {
            (0, 0)
        };
        let copy = Copy {
            address,
            head: forgotten(head.into(), address) as u32,
            tail: forgotten(tail.into(), address) as u32,
        };
        let (position, last) = self.advance(direction, length);
        let piece = Piece {
            position,
            length,
            flags: flags as u16 | last,
        };
        if !emit::transfer(&self.under_way[direction].record, &piece, &copy) {
            emit::count_lost(last);
        }
    }

    /// How many to copy of the first and the last of the next `length` bytes.
    #[inline(always)]
    fn policy(&mut self, length: u32) -> (u32, u32) {
        let whole = (HEAD_LIMIT as u32).saturating_sub(self.captured);
        let head = if length <= whole {
            length
        } else if whole > SPARSE_HEAD as u32 {
            whole
        } else if length < SPARSE_HEAD as u32 {
            length
        } else {
            SPARSE_HEAD as u32
        };
        self.captured += head;
        let rest = length - head;
        let tail = if rest < TAIL as u32 {
            rest
        } else {
            TAIL as u32
        };
        (head, tail)
    }

    /// Goes on by a piece: its position, and [`LAST_PIECE`] if it is the transfer's last.
    #[inline(always)]
    pub fn advance(&mut self, direction: usize, length: u32) -> (u64, u16) {
        let position = self.next[direction];
        self.next[direction] = position + u64::from(length);
        let left = self.under_way[direction].left.wrapping_sub(length);
        self.under_way[direction].left = left;
        (position, if left == 0 { LAST_PIECE } else { 0 })
    }
}

/// See [`Socket::batch`], which is this.
///
/// A function of its own, and global, since the verifier checks such a one by itself and once, not
/// again on each path, in each round of a loop and in each place that calls it.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn report_batch(socket: *mut Socket, direction: u32, from: u32) -> u32 {
    // SAFETY: the callers pass a reference; the verifier wants to see null excluded.
    let Some(socket) = (unsafe { socket.as_mut() }) else {
        return 0;
    };
    socket.batch((direction & 1) as usize, from).into()
}

/// Reports the next `length` bytes of a transfer, of which is copied what the policy says, unless
/// `flags` say [`UNSEEN`]; counts what finds no room. The return value means nothing.
///
/// Global for the same reason.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn report_piece(
    socket: *mut Socket,
    direction: u32,
    length: u32,
    address: u64,
    flags: u32,
) -> u32 {
    // SAFETY: as above.
    let Some(socket) = (unsafe { socket.as_mut() }) else {
        return 0;
    };
    socket.piece((direction & 1) as usize, length, address, flags);
    0
}

/// Iovecs that were read from the process.
type Batch = [[u64; 2]; IOVEC_BATCH];

/// The verifier wants the room for a batch initialised. Store by store: as a value it would be a call
/// that does so byte by byte.
#[inline(always)]
fn zeroed(room: &mut MaybeUninit<Batch>) -> &mut Batch {
    let words = room.as_mut_ptr().cast::<u64>();
    let mut i = 0;
    while i < IOVEC_BATCH * 2 {
        // SAFETY: within the batch.
        unsafe { words.add(i).write_volatile(0) };
        i += 1;
    }
    // SAFETY: all of it is written.
    unsafe { room.assume_init_mut() }
}

/// Reads iovecs `from` and following, as many as fit and exist, into `batch`.
#[inline(always)]
fn read_iovecs(batch: &mut Batch, buffers: &Buffers, from: u32) -> bool {
    let compat = buffers.compat != 0;
    let entry: u64 = if compat { 8 } else { 16 };
    let many = emit::bounded(buffers.count - u64::from(from), IOVEC_BATCH);
    let source = (buffers.address + u64::from(from) * entry) as usize as *const _;
    // SAFETY: at most the size of `batch` is written to it.
    let failed =
        unsafe { bpf_probe_read_user(batch.as_mut_ptr().cast(), many * entry as u32, source) != 0 };
    if failed {
        return false;
    }
    if compat {
        // In place from the last on: an entry of two u32 becomes one of two u64.
        let small = batch.as_ptr().cast::<[u32; 2]>();
        let mut i = IOVEC_BATCH;
        while i > 0 {
            i -= 1;
            // SAFETY: entry i of 8 bytes lies within the batch, before or at entry i of 16.
            let [address, length] = unsafe { small.add(i).read_volatile() };
            batch[i] = [u64::from(address), u64::from(length)];
        }
    }
    true
}
