//! The BPF object in the kernel: its constants set, its maps opened.

use std::sync::Mutex;
use std::thread;

use aya::maps::{HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::Program;
use aya::programs::trace_point::TracePointLink;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use tracer_ebpf::abi::{Counter, Offsets, PID_LIMIT, Settings};

use super::go::Go;
use super::listeners::Sockets;
use super::log::{self, KernelLog};
use super::namespace::pid_namespace;
use super::offsets::KernelBtf;
use super::reader::Reader;
use super::shared::Words;
use super::{Error, Family, Options};
use crate::event::ConnectionId;

/// What `cargo xtask build-ebpf` built.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../tracer-ebpf/tracer.o");

/// The probe in Go programs, in the object.
const GOROUTINE: &str = "goroutine";

/// Threads that take programs off: with as many a few system call tracepoints, or a few Go processes, are
/// done in a fourth of the time, and more would only wait for each other.
const DROPPERS: usize = 16;

/// The loaded object.
pub(super) struct Kernel {
    pub(super) ebpf: Ebpf,
    pub(super) reader: Reader,
    pub(super) log: Option<KernelLog>,
    /// A bit per traced process.
    pub(super) traced: Words,
    /// What the programs keep with sockets.
    pub(super) sockets: Sockets,
    /// Where programs are attached to system calls.
    pub(super) calls: Vec<TracePointLink>,
    /// The Go programs among the traced processes.
    go: Go,
    verdicts: HashMap<MapData, u64, u8>,
    counts: PerCpuArray<MapData, u64>,
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Constant<T>(T);

// SAFETY: plain integers without padding, as the ABI asserts.
unsafe impl aya::Pod for Constant<Offsets> {}
// SAFETY: as above.
unsafe impl aya::Pod for Constant<Settings> {}

impl Kernel {
    /// Creates the maps; the programs are loaded one by one when they are attached. `verbose`: have
    /// the verifier say why it refuses a program, which slows it down by half.
    pub(super) fn load(
        loader: EbpfLoader<'_>,
        btf: &KernelBtf,
        family: Family,
        options: &Options,
        verbose: bool,
    ) -> Result<Kernel, Error> {
        let offsets = Constant(btf.offsets);
        let settings = Constant(Settings {
            follow: options.follow.into(),
            all: options.all.into(),
            watch_all: options.watch_all.into(),
            syscall: (family == Family::Syscall).into(),
            agent_pid: std::process::id(),
            pid_namespace: pid_namespace()?.unwrap_or(0),
        });
        let level = log::level();
        // It borrows what was made here.
        let mut loader = loader;
        let mut ebpf = loader
            .btf(Some(&btf.aya))
            .allow_unsupported_maps()
            .override_global("OFFSETS", &offsets, true)
            .override_global("SETTINGS", &settings, true)
            .override_global(log::LEVEL, &level, true)
            .map_max_entries("EVENTS", options.ring_bytes)
            .verifier_log_level(if verbose {
                VerifierLogLevel::default()
            } else {
                VerifierLogLevel::DISABLE
            })
            .load(OBJECT)
            .map_err(Error::load)?;

        let log = log::open(&mut ebpf);
        let mut take = |name: &'static str| {
            ebpf.take_map(name).ok_or(Error::Map {
                name,
                reason: "not in the BPF object".to_owned(),
            })
        };
        let events = RingBuf::try_from(take("EVENTS")?).map_err(|e| Error::map("EVENTS", e))?;
        let verdicts =
            HashMap::try_from(take("VERDICTS")?).map_err(|e| Error::map("VERDICTS", e))?;
        let counts = PerCpuArray::try_from(take("COUNTS")?).map_err(|e| Error::map("COUNTS", e))?;
        let sockets = Sockets::try_from(take("SOCKETS")?).map_err(|e| Error::map("SOCKETS", e))?;
        let layouts =
            HashMap::try_from(take("GO_LAYOUTS")?).map_err(|e| Error::map("GO_LAYOUTS", e))?;
        let mut words = |name: &'static str, count: usize| {
            let Map::Array(map) = take(name)? else {
                return Err(Error::Map {
                    name,
                    reason: "not an array".to_owned(),
                });
            };
            Words::map(map, count).map_err(|error| Error::Map {
                name,
                reason: format!("cannot map it: {error}"),
            })
        };
        let traced = words("TRACED", PID_LIMIT as usize / 64)?;
        let asleep = words("ASLEEP", 1)?;
        let go = words("GO", PID_LIMIT as usize / 64)?;
        let lost = words("LOST", 1)?;
        let reader = Reader::new(events, asleep, lost)?;
        Ok(Kernel {
            ebpf,
            reader,
            log,
            traced,
            sockets,
            calls: Vec::new(),
            go: Go::new(layouts, go),
            verdicts,
            counts,
        })
    }

    /// Gives the programs one of `abi::VERDICT_*`.
    pub(super) fn judge(&mut self, connection: ConnectionId, verdict: u8) -> Result<(), Error> {
        self.verdicts
            .insert(connection.0, verdict, 0)
            .map_err(|error| Error::map("VERDICTS", error))
    }

    /// A process is traced, or executes another program: if that is a Go program, its goroutines are
    /// told from now on.
    pub(super) fn runs(&mut self, pid: u32) {
        if let Some(Program::UProbe(program)) = self.ebpf.program_mut(GOROUTINE) {
            self.go.join(pid, program);
        }
    }

    /// A process is not traced any more.
    pub(super) fn left(&mut self, pid: u32) {
        self.go.leave(pid);
    }

    /// A counter, summed over all cores. 0 where the map can't be read, which has no cause.
    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.counts
            .get(&(counter as u32), 0)
            .map_or(0, |values| values.iter().sum())
    }

    /// Unloads every program; the maps stay.
    pub(super) fn detach(&mut self) {
        let calls = self.calls.drain(..).map(boxed);
        drop_together(calls.chain(self.go.take_links().map(boxed)));
        self.go.finish();
        for (_, program) in self.ebpf.programs_mut() {
            // Fails only for what is not loaded.
            let _ = match program {
                Program::BtfTracePoint(program) => program.unload(),
                Program::FEntry(program) => program.unload(),
                Program::TracePoint(program) => program.unload(),
                Program::UProbe(program) => program.unload(),
                _ => Ok(()),
            };
        }
    }
}

fn boxed(link: impl Send + 'static) -> Box<dyn Send> {
    Box::new(link)
}

/// Takes programs off where they are attached. For each the kernel waits twice until nobody runs it, some
/// ten milliseconds; threads share these waits.
fn drop_together(links: impl Iterator<Item = Box<dyn Send>> + Send) {
    let links = Mutex::new(links);
    let next = || links.lock().ok()?.next();
    let work = || while next().is_some() {};
    thread::scope(|scope| {
        for _ in 1..DROPPERS {
            // Without further threads it only takes longer.
            _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
}
