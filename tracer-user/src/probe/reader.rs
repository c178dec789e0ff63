//! The ring's reader, and how it waits.
//!
//! The machine is often saturated by the service that is traced: each wake-up of the agent takes a
//! core from it and costs the hook that wakes. So while records come, the reader naps and reads what
//! has gathered; the kernel side wakes nobody. After a quiet while it says so in [`Reader::asleep`]
//! and sleeps until the next record wakes it: no polling when idle.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};

use super::Error;
use super::shared::Words;

/// Between two reads while records come. Longer would fill more of the ring and show spans later,
/// shorter would wake more often.
const NAP: Duration = Duration::from_millis(4);
/// Naps without a record after which the reader sleeps: a service with a request every few ms is
/// cheaper to nap along with than to be woken by.
const QUIET_NAPS: u32 = 5;

/// Most records handed out in one go: some milliseconds of work. Where the ring fills as fast as it is
/// read, the caller has to get to its clock, and to a stop.
const MOST_AT_ONCE: usize = 4096;

/// The ring, and what to wait with.
pub(super) struct Reader {
    ring: RingBuf<MapData>,
    /// Word 0 asks the kernel side for a wake-up; it clears it when it gives one.
    asleep: Words,
    /// Word 0: how many records found no room.
    lost: Words,
    /// How many of these are known.
    known_lost: u64,
    /// See [`super::Probes::has_gap`].
    gap: bool,
    waker: Waker,
    /// Naps since the last record.
    quiet: u32,
    /// The last read left records behind.
    more: bool,
}

impl Reader {
    pub(super) fn new(ring: RingBuf<MapData>, asleep: Words, lost: Words) -> Result<Reader, Error> {
        Ok(Reader {
            ring,
            asleep,
            lost,
            known_lost: 0,
            gap: false,
            waker: Waker::new()?,
            quiet: 0,
            more: false,
        })
    }

    /// Hands out what is in the ring, [`MOST_AT_ONCE`] of it, or what is before the news that records
    /// were lost; returns how many records.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        let lost = loop {
            let lost = self.lost.word(0).load(Ordering::Relaxed);
            if lost != self.known_lost || count == MOST_AT_ONCE {
                self.more = true;
                break lost;
            }
            let Some(record) = self.ring.next() else {
                self.more = false;
                break lost;
            };
            each(&record);
            count += 1;
        };
        // What was lost lies between the records that are in the ring now.
        self.gap = lost != self.known_lost || self.gap && self.more;
        self.known_lost = lost;
        if count > 0 {
            self.quiet = 0;
        }
        count
    }

    /// See [`super::Probes::has_gap`].
    pub(super) fn has_gap(&self) -> bool {
        self.gap
    }

    /// See [`super::Probes::wait`].
    pub(super) fn wait(&mut self, longest: Duration) {
        if self.more {
            return;
        }
        if self.quiet < QUIET_NAPS {
            self.quiet += 1;
            if poll([self.waker.fd()], NAP.min(longest)) {
                self.waker.clear();
            }
            return;
        }
        let asleep = self.asleep.word(0);
        asleep.store(1, Ordering::Relaxed);
        // The kernel side submits its record, with a barrier, and then looks at the word; poll looks
        // at the ring after this barrier. One of the two sees the other.
        fence(Ordering::SeqCst);
        if poll([self.waker.fd(), self.ring.as_fd().as_raw_fd()], longest) {
            self.waker.clear();
        }
        asleep.store(0, Ordering::Relaxed);
    }

    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

/// Ends a wait from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    fn new() -> Result<Waker, Error> {
        // SAFETY: takes numbers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(Error::Eventfd(std::io::Error::last_os_error()));
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Waker(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// The wait that is under way, or else the next one, returns at once.
    pub fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes of ours. It fails only when the counter is full, that is, set.
        unsafe { libc::write(self.fd(), one.as_ptr().cast(), one.len()) };
    }

    fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight bytes of ours. It fails when the counter is 0, which is what is wanted.
        unsafe { libc::read(self.fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits until one of them is readable or the time is over (or a signal came). True: the first is.
fn poll<const N: usize>(fds: [RawFd; N], longest: Duration) -> bool {
    let mut fds = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(longest.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: longest.subsec_nanos().into(),
    };
    // SAFETY: an array of ours and its length; the other pointers may be null or point to ours.
    unsafe { libc::ppoll(fds.as_mut_ptr(), N as libc::nfds_t, &time, std::ptr::null()) };
    fds[0].revents != 0
}
