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
//! Leaves out what a payload holds. Of several gRPC messages in one large DATA frame the first one's
//! prefix is copied.

use core::arch::asm;

use tracer_ebpf::abi::{
    CLASSES, Counter, HEAD_LIMIT, Transfer, UNSEEN, VERDICT_HTTP2, VERDICT_LENGTH_PREFIXED,
};

use crate::emit::{self, Slot, bounded};
use crate::kernel::{forgotten, read_user};
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
}

/// Of [`Frames::seen`]: it is not known where a frame begins.
const LOST: u32 = u32::MAX;

/// Bytes of an HTTP/2 frame's head (RFC 9113, section 4.1).
const HTTP2_HEAD: u32 = 9;
/// A length and the 4 bytes behind it, which tell what it is the length of.
const PREFIX: u32 = 8;
/// What the walk sees of a record at once: a head wherever it begins.
const WINDOW: usize = 16;

/// DATA payloads up to this size are copied whole: whole small messages, at the price of a record that
/// would be made anyway.
const SMALL_DATA: u32 = 1024;
/// What is copied of larger ones: padding's length, a gRPC message's prefix and the first bytes.
const DATA_HEAD: u32 = 64;
/// What is copied of a message behind its length, with it: a TTHeader's infos, a Thrift head.
const MESSAGE_HEAD: u32 = 4096;
/// HTTP/2 frames beyond it are not believed. Peers agree on 16 KiB unless they ask for more, and those
/// that do ask for up to 1 MiB.
const LONGEST_FRAME: u32 = 1 << 20;
/// The same for messages: Thrift's own limit.
const LONGEST_MESSAGE: u32 = 0x3fff_ffff;

/// Frames that are followed within one record, which ends there, by its room: the verifier walks this
/// loop. It is as many of 64 bytes, which is a small call, or at least some.
const fn most_frames(room: usize) -> usize {
    if room > 16 * 64 { room / 64 } else { 16 }
}
/// Records of one buffer, squared: 16 MiB in HTTP/2's usual frames of 16 KiB. (Two loops, one within the
/// other, of which the verifier walks each round of either only.)
const MOST_RECORDS: u32 = 32;

/// `PRI * HT`: with it begins HTTP/2's preface, of [`PREFACE`] bytes (RFC 9113, section 3.4).
const PREFACE_START: u64 = u64::from_be_bytes(*b"PRI * HT");
const PREFACE: u32 = 24;

/// How a connection is cut, by the first bytes that it carried; 0 = not, as far as can be told.
#[inline(always)]
fn recognise(first: u64) -> u8 {
    if first == PREFACE_START {
        VERDICT_HTTP2
    } else if message(first).is_some() {
        VERDICT_LENGTH_PREFIXED
    } else {
        0
    }
}

/// The payload behind a head.
struct Payload {
    length: u32,
    wanted: u32,
}

/// What an HTTP/2 frame's head says: `head` are its first 8 bytes, `last` the 9th.
#[inline(always)]
fn frame(head: u64, last: u8) -> Option<Payload> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const PRIORITY: u8 = 2;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PUSH_PROMISE: u8 = 5;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;
    const CONTINUATION: u8 = 9;
    /// PRIORITY_UPDATE, the last one registered that is in use.
    const LAST_EXTENSION: u8 = 16;
    /// END_STREAM, END_HEADERS, PADDED, PRIORITY.
    const FLAGS: u8 = 0x01 | 0x04 | 0x08 | 0x20;

    if head == PREFACE_START {
        let rest = PREFACE - HTTP2_HEAD;
        return Some(Payload {
            length: rest,
            wanted: rest,
        });
    }
    let length = (head >> 40) as u32;
    let flags = (head >> 24) as u8;
    let stream = ((head as u32) & 0x00ff_ffff) << 8 | u32::from(last);
    let of_a_stream = stream != 0 && stream >> 31 == 0;
    let plausible = match (head >> 32) as u8 {
        DATA | HEADERS | PUSH_PROMISE | CONTINUATION => {
            of_a_stream && flags & !FLAGS == 0 && length <= LONGEST_FRAME
        }
        PRIORITY => of_a_stream && length == 5,
        RST_STREAM => of_a_stream && length == 4,
        SETTINGS => stream == 0 && length % 6 == 0 && length <= HEAD_LIMIT as u32,
        PING => stream == 0 && length == 8,
        GOAWAY => stream == 0 && length >= 8 && length <= HEAD_LIMIT as u32,
        WINDOW_UPDATE => stream >> 31 == 0 && length == 4,
        kind => kind <= LAST_EXTENSION && stream >> 31 == 0 && length <= HEAD_LIMIT as u32,
    };
    if !plausible {
        return None;
    }
    let most = if (head >> 32) as u8 != DATA {
        HEAD_LIMIT as u32
    } else if length <= SMALL_DATA {
        SMALL_DATA
    } else {
        DATA_HEAD
    };
    Some(Payload {
        length,
        wanted: smaller(length, most),
    })
}

/// What a length and the 4 bytes behind it say, if these begin something that has a length before it.
#[inline(always)]
fn message(head: u64) -> Option<Payload> {
    let length = (head >> 32) as u32;
    let magic = head as u32;
    let plausible = match magic >> 16 {
        // Thrift binary, Kitex Protobuf, TTHeader, THeader.
        0x8001 | 0x9001 | 0x1000 | 0x0fff => true,
        // Thrift binary without a version: the length of a method's name.
        0 => magic >= 1 && magic <= 256,
        // Thrift compact: its id, then a type and the version.
        high => high & 0xff1f == 0x8201,
    };
    if !plausible || length < 4 || length > LONGEST_MESSAGE {
        return None;
    }
    let left = length - 4;
    Some(Payload {
        length: left,
        wanted: smaller(left, MESSAGE_HEAD - PREFIX),
    })
}

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
            let last;
            let size = if http2 { HTTP2_HEAD } else { PREFIX };
            if self.seen == 0 && rest >= HTTP2_HEAD {
                let index = bounded(index.into(), WINDOW - HTTP2_HEAD as usize) as usize;
                // SAFETY: within the window: 8 bytes and, behind them, one.
                unsafe {
                    let start = window.as_ptr().add(index);
                    head = big_endian(start);
                    last = *start.add(8);
                }
                self.at += size;
                rest -= size;
            } else {
                let index = bounded(index.into(), WINDOW - 1) as usize;
                // SAFETY: within the window.
                last = unsafe { *window.as_ptr().add(index) };
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
        }
        let taken = smaller(self.left, rest);
        self.left -= taken;
        self.wanted = self.wanted.saturating_sub(taken);
        self.at += taken;
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
    record: *const Transfer,
    length: u32,
    address: u64,
) -> u32 {
    // SAFETY: the callers pass references; the verifier wants to see null excluded.
    let (Some(socket), Some(record)) = (unsafe { socket.as_mut() }, unsafe { record.as_ref() })
    else {
        return 0;
    };
    let direction = usize::from(record.direction & 1);
    if socket.next[direction] == 0 && socket.framing == 0 && length >= 8 {
        socket.framing = read_user(address).map_or(0, |first| recognise(u64::from_be(first)));
    }
    if socket.framing == 0 {
        return 0;
    }
    let mut done = 0;
    let mut i = 0;
    while i < MOST_RECORDS {
        let reported = report_runs(socket, record, length - done, address + u64::from(done));
        done += reported;
        if done >= length {
            return length;
        }
        if reported == 0 {
            return done;
        }
        i += 1;
    }
    socket.frames[direction].lose();
    done
}

/// [`report_frames`] with [`MOST_RECORDS`] records at most.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn report_runs(
    socket: *mut Socket,
    record: *const Transfer,
    length: u32,
    address: u64,
) -> u32 {
    let mut done = 0;
    let mut i = 0;
    while i < MOST_RECORDS {
        let reported = report_run(socket, record, length - done, address + u64::from(done));
        done += reported;
        if done >= length || reported == 0 {
            break;
        }
        i += 1;
    }
    done
}

/// Reports the next of `rest` bytes as one record: those to be copied, and what may be passed over
/// behind them. Returns how many; 0 = frames can't be followed any further.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn report_run(
    socket: *mut Socket,
    record: *const Transfer,
    rest: u32,
    address: u64,
) -> u32 {
    // SAFETY: as above.
    let (Some(socket), Some(record)) = (unsafe { socket.as_mut() }, unsafe { record.as_ref() })
    else {
        return 0;
    };
    let frames = &mut socket.frames[usize::from(record.direction & 1)];
    if frames.seen == LOST {
        return 0;
    }
    let copy = smaller(frames.next_copy(), rest);
    let copy = forgotten(copy.into(), address) as u32;
    let rest = forgotten(rest.into(), address) as u32;
    if copy == 0 {
        run::<0>(socket, record, rest, address, 0)
    } else if copy <= CLASSES[1].head as u32 {
        run::<{ CLASSES[1].head }>(socket, record, rest, address, copy)
    } else if copy <= CLASSES[2].head as u32 {
        run::<{ CLASSES[2].head }>(socket, record, rest, address, copy)
    } else {
        run::<{ CLASSES[4].head }>(socket, record, rest, address, copy)
    }
}

/// [`report_run`] with room for so many bytes.
#[inline(always)]
fn run<const ROOM: usize>(
    socket: &mut Socket,
    record: &Transfer,
    rest: u32,
    address: u64,
    copy: u32,
) -> u32 {
    let direction = usize::from(record.direction & 1);
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
        ..*record
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

#[inline(always)]
fn smaller(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}
