//! Loads and attaches the BPF programs, and hands out what they put in the ring; the only place that
//! knows aya.
//!
//! * [`offsets`]: where this kernel keeps the fields that the programs read, from its BTF.
//! * [`load`]: the object, its settings, its maps.
//! * [`log`]: what the programs have to say, where debug messages are shown.
//! * [`attach`]: the two families of hooks; which is tried first, and what is optional.
//! * [`go`]: goroutines, and the probes in Go programs.
//! * [`reader`]: the ring, and how to wait for it without costing the traced service.
//! * [`refusal`]: why the kernel does not let us.
//! * [`shared`]: map memory that both sides write.
//! * [`listeners`]: sockets that listened before the process was traced.
//! * [`namespace`]: whose process ids they are.
//! * [`survey`]: what this host offers, for `tracer doctor`.
//!
//! One thread owns [`Probes`]; only its [`Waker`] goes elsewhere. Nothing is pinned: when the agent is
//! gone, however it went, the kernel drops programs and maps with its file descriptors.

mod attach;
mod error;
mod go;
mod listeners;
mod load;
mod log;
mod namespace;
mod offsets;
mod reader;
mod refusal;
mod shared;
mod survey;

use std::fmt;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::thread;
use std::time::Duration;

use aya::EbpfLoader;
use tracer_ebpf::abi::{
    Counter, PID_LIMIT, VERDICT_HTTP2, VERDICT_IGNORED, VERDICT_LENGTH_PREFIXED,
};

use crate::counters::KernelCounters;
use crate::event::ConnectionId;
use crate::protocol::Framing;

pub use error::Error;
pub use namespace::pid_namespace;
pub use reader::Waker;
pub use survey::{Finding, survey};

/// Which hooks see the transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// BTF tracepoints, once per transfer of a socket.
    Sock,
    /// Tracepoints at enter and exit of system calls.
    Syscall,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Sock => "sock",
            Family::Syscall => "syscall",
        })
    }
}

/// The ring's default size. At 60,000 exchanges per second some 15 MB pass through it in a second of
/// a busy core, so it bridges several hundred ms in which the agent gets no CPU; and its pages, which
/// are mapped twice, stay well within the agent's memory budget.
pub const RING_BYTES: u32 = 8 << 20;

/// Sizes it may have: the largest record takes 17 KiB, so that a smaller one could not hold a few of them;
/// the kernel takes no more than 2 GiB, of which half is more than any pause fills.
pub const RING_SIZES: RangeInclusive<u32> = 64 << 10..=1 << 30;

/// What to attach, and whom to trace.
#[derive(Clone, Debug)]
pub struct Options {
    /// This family or none; without it the first that works.
    pub family: Option<Family>,
    /// Trace the children of traced processes.
    pub follow: bool,
    /// Trace every process but the agent.
    pub all: bool,
    /// Report exec and listen of every process, so that the caller can select by them.
    pub watch_all: bool,
    /// Size of the ring: a power of two of [`RING_SIZES`]. See [`RING_BYTES`].
    pub ring_bytes: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            family: None,
            follow: true,
            all: false,
            watch_all: false,
            ring_bytes: RING_BYTES,
        }
    }
}

/// The attached programs.
pub struct Probes {
    kernel: load::Kernel,
    family: Family,
    missing: Vec<&'static str>,
    /// Every process is traced.
    all: bool,
    /// That 32-bit programs are not seen was said.
    warned: bool,
}

impl Probes {
    /// Loads and attaches; no process is traced yet (unless [`Options::all`]).
    ///
    /// # Errors
    ///
    /// One clear line: no permission, no BTF, a program refused, no family works.
    pub fn attach(options: &Options) -> Result<Probes, Error> {
        // aya's loader reads the kernel's type information for itself, which takes as long as our reading it:
        // the first loader does so meanwhile.
        let first = thread::Builder::new().spawn(EbpfLoader::new);
        let btf = offsets::KernelBtf::read()?;
        let mut first = first.ok();
        let mut loader = || {
            let first = first.take().and_then(|first| first.join().ok());
            first.unwrap_or_default()
        };
        let candidates: &[Family] = match options.family {
            Some(Family::Sock) => &[Family::Sock],
            Some(Family::Syscall) => &[Family::Syscall],
            None => &[Family::Sock, Family::Syscall],
        };
        let mut refusals = Vec::new();
        for &family in candidates {
            match Probes::attach_family(&mut loader, &btf, family, options) {
                Ok(probes) => {
                    // What parsing the kernel's BTF took is given back.
                    drop(btf);
                    shared::return_free_memory();
                    return Ok(probes);
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => refusals.push((family, Box::new(error))),
            }
        }
        Err(Error::NoFamily(refusals))
    }

    fn attach_family(
        loader: &mut impl FnMut() -> EbpfLoader<'static>,
        btf: &offsets::KernelBtf,
        family: Family,
        options: &Options,
    ) -> Result<Probes, Error> {
        let mut attempt = |verbose| {
            let mut kernel = load::Kernel::load(loader(), btf, family, options, verbose)?;
            let missing = attach::attach(&mut kernel, btf, family)?;
            Ok(Probes {
                kernel,
                family,
                missing,
                all: options.all,
                warned: false,
            })
        };
        match attempt(false) {
            // Once more, for the verifier's reason.
            Err(Error::Program { .. }) => attempt(true),
            done => done,
        }
    }

    /// Which hooks are attached.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The same in words, with what is missing, for the `ready:` line.
    pub fn description(&self) -> String {
        if self.missing.is_empty() {
            format!("{} probes", self.family)
        } else {
            format!("{} probes without {}", self.family, self.missing.join(", "))
        }
    }

    /// Traces this process (thread group) from now on.
    ///
    /// # Errors
    ///
    /// The pid is none.
    pub fn trace(&mut self, pid: u32) -> Result<(), Error> {
        if pid == 0 || pid >= PID_LIMIT {
            return Err(Error::NoSuchPid(pid));
        }
        self.kernel.traced.set_bit(pid);
        listeners::mark(&mut self.kernel.sockets, pid);
        self.looks_at(pid);
        Ok(())
    }

    /// A traced process executes another program, or was forked: what is known of its program is looked
    /// at anew.
    pub fn runs(&mut self, pid: u32) {
        let traced = || self.all || self.kernel.traced.has_bit(pid);
        if pid != 0 && pid < PID_LIMIT && traced() {
            self.looks_at(pid);
        }
    }

    /// At the program that a traced process runs.
    fn looks_at(&mut self, pid: u32) {
        self.kernel.runs(pid);
        if self.family == Family::Syscall && !self.warned && is_32_bit(pid) {
            self.warned = true;
            ::log::warn!(
                "process {pid} is a 32-bit program: the syscall probes see nothing of such, the sock probes would (Linux 6.3 and later)"
            );
        }
    }

    /// Whether the goroutines of a traced process are told, if it is a Go program. They are from when it
    /// is traced, or runs another program.
    pub fn tell_goroutines(&mut self, pid: u32, wanted: bool) {
        if wanted {
            self.runs(pid);
        } else {
            self.gone(pid);
        }
    }

    /// A traced process is gone.
    pub fn gone(&mut self, pid: u32) {
        if pid != 0 && pid < PID_LIMIT {
            self.kernel.left(pid);
        }
    }

    /// Traces it no longer.
    ///
    /// # Errors
    ///
    /// The pid is none.
    pub fn untrace(&mut self, pid: u32) -> Result<(), Error> {
        if pid == 0 || pid >= PID_LIMIT {
            return Err(Error::NoSuchPid(pid));
        }
        self.kernel.traced.clear_bit(pid);
        self.kernel.left(pid);
        Ok(())
    }

    /// This connection carries nothing we know: its transfers are neither copied nor counted as seen
    /// any more, from one of its next ones on.
    ///
    /// # Errors
    ///
    /// The kernel refused the map update.
    pub fn ignore(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.kernel.judge(connection, VERDICT_IGNORED)
    }

    /// This connection is cut into frames: from one of its next transfers on every frame's head is
    /// copied, wherever in a transfer it lies, and of large payloads only the beginning. What the
    /// kernel side recognises by a connection's first bytes it does so without being asked.
    ///
    /// # Errors
    ///
    /// The kernel refused the map update.
    pub fn frame(&mut self, connection: ConnectionId, framing: Framing) -> Result<(), Error> {
        let verdict = match framing {
            Framing::Http2 => VERDICT_HTTP2,
            Framing::LengthPrefixed => VERDICT_LENGTH_PREFIXED,
        };
        self.kernel.judge(connection, verdict)
    }

    /// Hands out the records in the ring, oldest first ([`crate::event::decode`] reads them): all, or
    /// some thousand, so that a flood does not keep the caller. Returns how many; 0 = it is empty.
    pub fn drain(&mut self, each: impl FnMut(&[u8])) -> usize {
        if let Some(log) = &mut self.kernel.log {
            log.flush();
        }
        self.kernel.reader.drain(each)
    }

    /// Whether somewhere between the records that are handed out next some are missing, as the ring was
    /// full. That is known before the first record behind the gap, and holds until the ring was empty.
    pub fn has_gap(&self) -> bool {
        self.kernel.reader.has_gap()
    }

    /// Sleeps until there is something worth reading, `longest` has passed, or [`Waker::wake`].
    pub fn wait(&mut self, longest: Duration) {
        self.kernel.reader.wait(longest);
    }

    /// Ends a [`Probes::wait`] from another thread.
    pub fn waker(&self) -> Waker {
        self.kernel.reader.waker()
    }

    /// Takes the programs off. What is in the ring can still be drained and the counters read.
    pub fn detach(&mut self) {
        // Programs go one by one: without this, some would still see requests, or parts of them, whose
        // answers pass those that are gone.
        self.kernel.traced.clear();
        self.kernel.detach();
    }

    /// The kernel side's counters now.
    pub fn counters(&self) -> KernelCounters {
        let count = |counter: Counter| self.kernel.count(counter);
        KernelCounters {
            transfers_seen: count(Counter::TransfersSeen),
            transfers_ring_full: count(Counter::TransfersRingFull),
            records_ring_full: count(Counter::RecordsRingFull),
            transfers_unseen: count(Counter::TransfersUnseen),
            sockets_ignored: count(Counter::SocketsIgnored),
            transfers_ignored: count(Counter::TransfersIgnored),
            frames_lost: count(Counter::FramesLost),
        }
    }
}

/// Whether a process runs a 32-bit program, by the class in its ELF header.
fn is_32_bit(pid: u32) -> bool {
    const CLASS_32: &[u8; 5] = b"\x7fELF\x01";
    let mut head = [0; CLASS_32.len()];
    let program = std::fs::File::open(format!("/proc/{pid}/exe"));
    program.is_ok_and(|mut file| file.read_exact(&mut head).is_ok() && head == *CLASS_32)
}
