//! What the agent says on standard error: one line per message, through the `log` macros.
//!
//! Other crates' messages (aya, hyper, ...) are only let through with `-vv`: they speak of their
//! inner life, not of what the user asked for. Standard output is never written here.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Stderr;

/// The user wants to hear nothing. (The `log` macros begin at `off`: that is not to be asked.)
static SILENT: AtomicBool = AtomicBool::new(false);

/// Says messages of `level` and above from now on. A second call changes nothing.
pub fn install(level: LevelFilter) {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
        SILENT.store(level == LevelFilter::Off, Ordering::Relaxed);
    }
}

/// Writes a line that is part of the contract with the caller (`ready:`, `summary:`, the final error):
/// at every level but `off`. A closed standard error is no reason to stop.
pub fn line(text: &str) {
    if !SILENT.load(Ordering::Relaxed) {
        _ = writeln!(std::io::stderr(), "{text}");
    }
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        log::max_level() == LevelFilter::Trace || metadata.target().starts_with("tracer")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let kind = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info => "",
            Level::Debug => "debug: ",
            Level::Trace => "trace: ",
        };
        // One write per message: another thread's must not come in between.
        let text = format!("tracer: {kind}{}\n", record.args());
        _ = std::io::stderr().write_all(text.as_bytes());
    }

    fn flush(&self) {}
}
