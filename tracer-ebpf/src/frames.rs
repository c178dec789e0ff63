//! Connections that are cut into frames: walked from head to head, so that each head is copied however
//! far inside a transfer it lies, and of a large payload its beginning alone.
//!
//! A transfer of such a connection is a few records: each holds consecutive bytes that are copied and,
//! behind them, the rest of a payload that is passed over. The walk reads what was copied into the
//! ring, not the process' memory once more: so it costs some nanoseconds a frame, and follows the very
//! bytes that the agent gets to see.
//!
//! Bias: in doubt, copy. Where a head makes no sense the rest of the transfer is copied as on any other
//! connection, and the next transfer is taken to begin with a head.
//!
//! Leaves out what a payload holds, but for one thing: where large DATA frames hold several small gRPC
//! messages each, they are copied whole, since else nobody could count them.

use core::arch::asm;

use tracer_ebpf::abi::{CLASSES, Counter, HEAD_LIMIT, Transfer, UNSEEN, VERDICT_HTTP2};

use crate::emit::{self, Slot, bounded};
use crate::heads::{HTTP2_HEAD, PREFIX, frame, is_data, message, recognise};
use crate::kernel::{forgotten, read_user, smaller};
use crate::maps;
use crate::transfer::Socket;

/// Where one direction is among its frames.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Frames {
    /// The first 8 bytes of a head that came in parts, the last one lowest.
    head: u64,
    /// How many bytes of it came, or [`LOST`].
    seen: u32,
    /// Bytes of the payload that are still to come.
    left: u32,
    /// How many of them are to be copied.
    wanted: u32,
    /// How many bytes to copy where a head comes next. Little, where something was just passed over: the
    /// next frame is likely to be as large; and more from record to record while it isn't.
    guess: u32,
    /// Bytes of a record's that were followed. It is kept here because here the verifier tracks no
    /// value: each round of the loop looks the same to it.
    at: u32,
    /// How many bytes that record has; here for the same reason.
    end: u32,
    /// An HTTP/2 stream whose DATA holds several gRPC messages a frame; 0 = none.
    several: u32,
    /// Keeps the size a multiple of 8.
    reserved: u32,
}

/// Of [`Frames::seen`]: it is not known where a frame begins.
const LOST: u32 = u32::MAX;

/// A gRPC message's prefix: whether it is compressed, and its length.
const GRPC_PREFIX: u32 = 5;
/// Bytes that are loaded to look at one.
const GRPC_LOOK: u32 = 8;
/// What the walk sees of a record at once: a head with a gRPC prefix behind it, wherever it begins.
const WINDOW: usize = 24;

/// Frames that are followed within one record, which ends there, by its room: the verifier walks this
/// loop. It is as many of 64 bytes, which is a small call, or at least some.
const fn most_frames(room: usize) -> usize {
    if room > 16 * 64 { room / 64 } else { 16 }
}
/// Records of one buffer: 16 MiB in HTTP/2's usual frames of 16 KiB. The verifier walks each round.
const MOST_RECORDS: u32 = 1024;

impl Frames {
    /// A transfer begins.
    #[inline(always)]
    pub fn begin(&mut self) {
        if self.seen == LOST {
            self.seen = 0;
            self.left = 0;
            self.wanted = 0;
            self.guess = 0;
        }
    }

    /// So many bytes went by that can't be seen.
    #[inline(always)]
    pub fn hidden(&mut self, length: u32) {
        if length > self.left {
            self.lose();
        } else {
            self.left -= length;
            self.wanted = self.wanted.saturating_sub(length);
        }
    }

    #[inline(always)]
    fn lose(&mut self) {
        if self.seen != LOST {
            self.seen = LOST;
            maps::count(Counter::FramesLost);
        }
    }

    /// How many of the next bytes to copy: as many as are known to be wanted, else as many as a head
    /// and what is wanted behind it are likely to be.
    #[inline(always)]
    fn next_copy(&self) -> u32 {
        const MOST: u32 = CLASSES[4].head as u32;
        if self.left > self.wanted {
            smaller(self.wanted, MOST)
        } else if self.guess != 0 {
            self.guess
        } else {
            MOST
        }
    }

    /// Follows the record's next bytes, which in `window` begin at `index`: if they are a head's, it
    /// and its payload, else the payload.
    #[inline(always)]
    fn follow(&mut self, window: &[u8; WINDOW], index: u32, http2: bool) {
        let mut rest = self.end.wrapping_sub(self.at);
        if self.left == 0 {
            let mut head = self.head;
            let (last, behind);
            let size = if http2 { HTTP2_HEAD } else { PREFIX };
            if self.seen == 0 && rest >= HTTP2_HEAD {
                let index = bounded(index.into(), WINDOW - HTTP2_HEAD as usize) as usize;
                // SAFETY: within the window: 8 bytes and, behind them, one.
                unsafe {
                    let start = window.as_ptr().add(index);
                    head = big_endian(start);
                    last = *start.add(8);
                }
                behind = index as u32 + size;
                self.at += size;
                rest -= size;
            } else {
                let index = bounded(index.into(), WINDOW - 1) as usize;
                // SAFETY: within the window.
                last = unsafe { *window.as_ptr().add(index) };
                behind = index as u32 + 1;
                if self.seen < 8 {
                    head = head << 8 | u64::from(last);
                    self.head = head;
                }
                self.seen += 1;
                self.at += 1;
                rest -= 1;
                if self.seen < size {
                    return;
                }
                self.seen = 0;
            }
            let payload = if http2 {
                frame(head, last)
            } else {
                message(head)
            };
            let Some(payload) = payload else {
                self.lose();
                return;
            };
            self.left = payload.length;
            self.wanted = payload.wanted;
            if http2 && payload.length > payload.wanted && is_data(head) {
                let stream = (head as u32) << 8 | u32::from(last);
                self.look_into_data(stream, window, behind, rest);
            }
        }
        let taken = smaller(self.left, rest);
        self.left -= taken;
        self.wanted = self.wanted.saturating_sub(taken);
        self.at += taken;
    }

    /// A large DATA frame begins; `rest` bytes of its payload are in sight, in `window` from `index` on.
    #[inline(always)]
    fn look_into_data(&mut self, stream: u32, window: &[u8; WINDOW], index: u32, rest: u32) {
        if rest >= GRPC_LOOK {
            let index = bounded(index.into(), WINDOW - GRPC_LOOK as usize) as usize;
            // SAFETY: within the window.
            let prefix = unsafe { big_endian(window.as_ptr().add(index)) };
            let (compressed, length) = ((prefix >> 56) as u8, (prefix >> 24) as u32);
            // Nothing is not a small message: it is what a body of zeroes begins with.
            if compressed <= 1 && length > 0 && length < self.left - GRPC_PREFIX {
                self.several = stream;
            }
        }
        if self.several == stream {
            self.wanted = smaller(self.left, HEAD_LIMIT as u32);
        }
    }

    /// What may be passed over of the next `most` bytes.
    #[inline(always)]
    fn pass(&mut self, most: u32) -> u32 {
        let over = if self.seen == LOST || self.wanted > 0 {
            0
        } else {
            smaller(self.left, most)
        };
        self.left -= over;
        self.guess = if over > 0 {
            CLASSES[1].head as u32
        } else {
            smaller(self.guess * 4, CLASSES[4].head as u32)
        };
        over
    }
}

/// Reports `length` bytes of a connection that is cut into frames, or as many of them as these can be
/// followed in; returns how many. If the bytes are a connection's first, finds out whether it is.
///
/// This and the other functions here that are global are so because the verifier checks such a one by
/// itself and once, not again in each round of a loop.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn report_frames(
    socket: *mut Socket,
    direction: u32,
    length: u32,
    address: u64,
) -> u32 {
    // SAFETY: the callers pass a reference; the verifier wants to see null excluded.
    let Some(socket) = (unsafe { socket.as_mut() }) else {
        return 0;
    };
    let way = (direction & 1) as usize;
    if socket.next[way] == 0 && socket.framing == 0 && length >= 8 {
        socket.framing = read_user(address).map_or(0, |first| recognise(u64::from_be(first)));
    }
    if socket.framing == 0 {
        return 0;
    }
    let mut done = 0;
    let mut i = 0;
    while i < MOST_RECORDS {
        let reported = report_run(socket, direction, length - done, address + u64::from(done));
        done += reported;
        if done >= length || reported == 0 {
            return done;
        }
        i += 1;
    }
    socket.frames[way].lose();
    done
}

/// Reports the next of `rest` bytes as one record: those to be copied, and what may be passed over
/// behind them. Returns how many; 0 = frames can't be followed any further.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn report_run(socket: *mut Socket, direction: u32, rest: u32, address: u64) -> u32 {
    // SAFETY: as above.
    let Some(socket) = (unsafe { socket.as_mut() }) else {
        return 0;
    };
    let direction = (direction & 1) as usize;
    let frames = &mut socket.frames[direction];
    if frames.seen == LOST {
        return 0;
    }
    let copy = smaller(frames.next_copy(), rest);
    let copy = forgotten(copy.into(), address) as u32;
    let rest = forgotten(rest.into(), address) as u32;
    if copy == 0 {
        run::<0>(socket, direction, rest, address, 0)
    } else if copy <= CLASSES[1].head as u32 {
        run::<{ CLASSES[1].head }>(socket, direction, rest, address, copy)
    } else if copy <= CLASSES[2].head as u32 {
        run::<{ CLASSES[2].head }>(socket, direction, rest, address, copy)
    } else {
        run::<{ CLASSES[4].head }>(socket, direction, rest, address, copy)
    }
}

/// [`report_run`] with room for so many bytes.
#[inline(always)]
fn run<const ROOM: usize>(
    socket: &mut Socket,
    direction: usize,
    rest: u32,
    address: u64,
    copy: u32,
) -> u32 {
    // As it is: of a condition the verifier would walk the loop below twice.
    let framing = u32::from(socket.framing);
    let Some(slot) = Slot::<ROOM, 0>::reserve() else {
        socket.frames[direction].lose();
        let (_, last) = socket.advance(direction, rest);
        emit::count_lost(last);
        return rest;
    };
    let mut unseen = 0;
    let mut length = rest;
    let mut copied = 0;
    if ROOM > 0 {
        copied = slot.copy_head(address, copy);
        let frames = &mut socket.frames[direction];
        if copied == 0 {
            unseen = UNSEEN;
            frames.lose();
        } else {
            frames.at = 0;
            frames.end = copied;
            let mut i = 0;
            while i < const { most_frames(ROOM) } {
                let start = bounded(frames.at.into(), ROOM - WINDOW);
                // SAFETY: the room is larger than the window by at least `start`.
                let window = unsafe { slot.head().add(start as usize) };
                if follow(frames, window.cast(), start, framing) == 0 {
                    break;
                }
                i += 1;
            }
            copied = if frames.seen == LOST {
                frames.end
            } else {
                frames.at
            };
            length = copied + frames.pass(rest - copied);
        }
    } else {
        length = socket.frames[direction].pass(rest);
    }
    let (position, last) = socket.advance(direction, length);
    slot.submit(Transfer {
        captured: copied,
        position,
        length,
        flags: unseen | last,
        ..socket.under_way[direction].record
    });
    length
}

/// See [`Frames::follow`], which is this; `start` is where the window begins. Returns 0 when there is no
/// more to follow.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn follow(
    frames: *mut Frames,
    window: *const [u8; WINDOW],
    start: u32,
    framing: u32,
) -> u32 {
    // SAFETY: as above.
    let (Some(frames), Some(window)) = (unsafe { frames.as_mut() }, unsafe { window.as_ref() })
    else {
        return 0;
    };
    let index = frames.at.wrapping_sub(start);
    frames.follow(window, index, framing == u32::from(VERDICT_HTTP2));
    u32::from(frames.at < frames.end && frames.seen != LOST)
}

/// Loads 8 bytes of any alignment, the first one highest. (The compiler would load them one by one.)
///
/// # Safety
///
/// There are 8 bytes.
#[inline(always)]
unsafe fn big_endian(bytes: *const u8) -> u64 {
    let value: u64;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("{0} = *(u64 *)({1} + 0)", "{0} = be64 {0}", out(reg) value, in(reg) bytes);
    }
    value
}
