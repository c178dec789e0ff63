//! Go programs: what lets the kernel side tell their goroutines, and the probes that tell when one
//! goroutine goes on for another.
//!
//! * [`binary`]: a program's file; [`pclntab`], [`code`], [`version`], [`dwarf`] read parts of it.
//! * [`functions`]: which functions are probed.
//!
//! Bias: evidence, never a need. A program that is not understood only lacks it.

mod binary;
mod code;
mod dwarf;
mod functions;
mod pclntab;
mod version;

use std::collections::HashMap as StdMap;
use std::fs::{self, File};
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use aya::maps::{HashMap, MapData};
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope};
use tracer_ebpf::abi::{GoLayout, GoProbe};

use super::error::is_permission;
use super::shared::{self, Words};
use binary::Program;

/// Programs whose file was read and is remembered: a host runs a few, each in many processes.
const MOST_PROGRAMS: usize = 64;

/// A file, as it was when it was read: device, inode, time of change.
type FileId = (u64, u64, i64, i64);

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Layout(GoLayout);

// SAFETY: integers without padding, as the ABI asserts.
unsafe impl aya::Pod for Layout {}

/// The Go programs among the traced processes.
pub(super) struct Go {
    layouts: HashMap<MapData, u32, Layout>,
    /// A bit per process that has a layout.
    known: Words,
    programs: StdMap<FileId, Option<Arc<Program>>>,
    /// What is attached, by process.
    attached: StdMap<u32, Vec<UProbeLink>>,
    /// Takes off what is given to it; begun with the first.
    detacher: Option<Detacher>,
    /// It was said that probes are not allowed.
    warned: bool,
}

impl Go {
    /// None is traced yet.
    pub(super) fn new(layouts: HashMap<MapData, u32, Layout>, known: Words) -> Go {
        Go {
            layouts,
            known,
            programs: StdMap::new(),
            attached: StdMap::new(),
            detacher: None,
            warned: false,
        }
    }

    /// Process `pid` is traced, or runs another program: from now on its goroutines are told if it is a
    /// Go program, and what it runs is probed with `program`.
    pub(super) fn join(&mut self, pid: u32, program: &mut UProbe) {
        self.leave(pid);
        let Some(found) = self.program(pid) else {
            return;
        };
        let Some(moved) = moved(pid, found.moved_from) else {
            return;
        };
        let mut layout = found.layout;
        if layout.goidgen != 0 {
            layout.goidgen = layout.goidgen.wrapping_add(moved);
        }
        if let Err(error) = self.layouts.insert(pid, Layout(layout), 0) {
            log::debug!("goroutines of process {pid} are not told: {error}");
            return;
        }
        self.known.set_bit(pid);
        if !found.probes.is_empty()
            && program.fd().is_err()
            && let Err(error) = program.load()
        {
            log::debug!("cannot probe Go programs: {error}");
            return;
        }
        let mut links = Vec::new();
        for (offset, probe) in &found.probes {
            match attach(program, pid, *offset, *probe) {
                Ok(link) => links.push(link),
                Err(error) if is_permission(&error) && !self.warned => {
                    self.warned = true;
                    log::warn!(
                        "no probes in Go programs, so no parents of what their clients send: the kernel wants CAP_SYS_ADMIN for them"
                    );
                }
                Err(error) => log::debug!("cannot probe process {pid}: {error}"),
            }
        }
        log::debug!(
            "Go process {pid}: goroutines are told, {} probes",
            links.len()
        );
        self.attached.insert(pid, links);
    }

    /// Process `pid` is not traced any more, or gone.
    pub(super) fn leave(&mut self, pid: u32) {
        if let Some(links) = self.attached.remove(&pid)
            && !links.is_empty()
        {
            let detacher = self.detacher.get_or_insert_with(Detacher::start);
            // If there is no thread they are taken off here.
            _ = detacher.links.send(links);
        }
        if self.known.has_bit(pid) {
            self.known.clear_bit(pid);
            let _ = self.layouts.remove(&pid);
        }
    }

    /// All that is attached, for whoever takes it off.
    pub(super) fn take_links(&mut self) -> impl Iterator<Item = UProbeLink> {
        std::mem::take(&mut self.attached).into_values().flatten()
    }

    /// Waits until nothing of the processes that left is attached any more.
    pub(super) fn finish(&mut self) {
        if let Some(detacher) = self.detacher.take() {
            detacher.finish();
        }
    }

    /// What the file of a process says, read once per file.
    fn program(&mut self, pid: u32) -> Option<Arc<Program>> {
        // Through the link of the kernel: it leads to the very file, also in a container, also deleted.
        let file = File::open(format!("/proc/{pid}/exe")).ok()?;
        let meta = file.metadata().ok()?;
        let id = (meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec());
        if let Some(known) = self.programs.get(&id) {
            return known.clone();
        }
        if self.programs.len() >= MOST_PROGRAMS {
            self.programs.clear();
        }
        let program = Program::read(file).map(Arc::new);
        shared::return_free_memory();
        self.programs.insert(id, program.clone());
        program
    }
}

/// A thread that takes probes off: the kernel has whoever does it wait for tens of milliseconds each, and
/// the caller has a ring to read.
struct Detacher {
    links: Sender<Vec<UProbeLink>>,
    thread: Option<JoinHandle<()>>,
}

impl Detacher {
    fn start() -> Detacher {
        let (links, given) = mpsc::channel::<Vec<UProbeLink>>();
        let thread = thread::Builder::new()
            .name("tracer-detach".to_owned())
            .spawn(move || given.into_iter().for_each(drop));
        Detacher {
            links,
            thread: thread.ok(),
        }
    }

    /// Waits until all are off. A process that exits meanwhile interrupts the kernel at it
    /// (`uprobe_unregister_nosync`), and that keeps the probe's memory for ever.
    fn finish(self) {
        drop(self.links);
        if let Some(thread) = self.thread {
            _ = thread.join();
        }
    }
}

fn attach(
    program: &mut UProbe,
    pid: u32,
    offset: u64,
    probe: GoProbe,
) -> Result<UProbeLink, aya::programs::ProgramError> {
    let point = UProbeAttachPoint {
        location: UProbeAttachLocation::AbsoluteOffset(offset),
        cookie: Some(probe.cookie()),
    };
    let scope = NonZeroU32::new(pid).map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess);
    let link = program.attach(point, format!("/proc/{pid}/exe"), scope)?;
    program.take_link(link)
}

/// How far from the addresses in its file a program is loaded. `from`: the first of those, if it may
/// be loaded anywhere.
fn moved(pid: u32, from: Option<u64>) -> Option<u64> {
    let Some(from) = from else { return Some(0) };
    let inode = fs::metadata(format!("/proc/{pid}/exe"))
        .ok()?
        .ino()
        .to_string();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    // start-end rights offset device inode path
    maps.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let start = fields.next()?.split_once('-')?.0;
        let [offset, _, of] = [fields.nth(1)?, fields.next()?, fields.next()?];
        if of != inode || u64::from_str_radix(offset, 16) != Ok(0) {
            return None;
        }
        Some(u64::from_str_radix(start, 16).ok()?.wrapping_sub(from))
    })
}
