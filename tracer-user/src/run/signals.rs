//! Signals as values: blocked for every thread, taken by one.
//!
//! No handler runs, so nothing of the agent is ever interrupted. What a signal means is decided by
//! [`super`]; only "at once" is decided here, since the main thread may be waiting for something else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its number.
    pub number: i32,
    /// The kernel sent it for the terminal: to the whole foreground process group, a started
    /// command included. Else a process did, to us alone.
    pub from_terminal: bool,
}

/// The signals are blocked; see [`Signals::watch`].
pub struct Signals {
    set: libc::sigset_t,
}

/// Ends the process at the next signal instead of telling it.
#[derive(Clone, Default)]
pub struct AtOnce(Arc<AtomicBool>);

impl AtOnce {
    /// From now on.
    pub fn arm(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Signals {
    /// Blocks SIGINT, SIGTERM and SIGHUP, and SIGQUIT if `quit`, in this thread and those that it
    /// starts. To be called before there are others.
    ///
    /// A shell without job control starts its background jobs with SIGINT ignored; asked for by
    /// `kill -INT` it must count all the same. SIGHUP stays ignored, if it is (`nohup`).
    pub fn block(quit: bool) -> io::Result<Signals> {
        // SAFETY: an all-zero sigset_t is a valid value of it; the calls below only write to it.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        let numbers = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
        let numbers = &numbers[..if quit { 4 } else { 3 }];
        // SAFETY: `set` is ours, the numbers are signals; nothing here installs a handler.
        unsafe {
            libc::sigemptyset(&mut set);
            for &number in numbers {
                libc::sigaddset(&mut set, number);
            }
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            libc::signal(libc::SIGTERM, libc::SIG_DFL);
        }
        // SAFETY: `set` was filled above; the old mask is not asked for.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) } {
            0 => Ok(Signals { set }),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Starts the thread that takes them: each goes to `tell`, or, once `at_once` is armed, ends the
    /// process with the exit code of one that the signal killed.
    pub fn watch(
        self,
        at_once: AtOnce,
        mut tell: impl FnMut(Signal) + Send + 'static,
    ) -> io::Result<()> {
        let take = move || {
            loop {
                // SAFETY: an all-zero siginfo_t is a valid value of it.
                let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
                // SAFETY: both outlive the call; the set's signals are blocked in every thread.
                let number = unsafe { libc::sigwaitinfo(&self.set, &mut info) };
                if number <= 0 {
                    continue;
                }
                if at_once.0.load(Ordering::SeqCst) {
                    std::process::exit(128 + number);
                }
                tell(Signal {
                    number,
                    from_terminal: info.si_code == libc::SI_KERNEL,
                });
            }
        };
        std::thread::Builder::new()
            .name("tracer-signals".to_owned())
            .spawn(take)?;
        Ok(())
    }
}
