//! What the programs log, among the agent's own messages. They do so on cold paths only, and only
//! where `debug` messages are shown: else the kernel removes it from them as dead code.

use aya::Ebpf;
use aya_log::{EbpfLogger, Level};
use log::{LevelFilter, Log};

/// The constant that says which levels are wanted.
pub(super) use aya_log::LEVEL;

/// Below every level: nothing is logged.
const NOTHING: u8 = 0;

/// The value of [`LEVEL`].
pub(super) fn level() -> u8 {
    if log::max_level() >= LevelFilter::Debug {
        Level::Debug as u8
    } else {
        NOTHING
    }
}

/// Reads the programs' log.
pub(super) type KernelLog = EbpfLogger<&'static dyn Log>;

/// Opens it. None: it can't be had, which is no reason not to trace.
pub(super) fn open(ebpf: &mut Ebpf) -> Option<KernelLog> {
    EbpfLogger::init(ebpf).ok()
}
