//! Which processes are traced: what the user named, found in `/proc`.
//!
//! * [`process`]: one process, checked before anything is attached to it, and its descendants.
//! * [`listen`]: who listens on a TCP port now.
//! * [`selector`]: a selection, as the processes that match now and a test for later ones.
//! * [`targets`]: the traced processes as they come and go.
//! * [`command`]: a command held before its first instruction.
//!
//! What the kernel does with a process id is [`crate::probe`]'s. Bias: a process named by id that
//! cannot be traced is an error before anything is attached; one that vanishes later is normal.

mod command;
mod listen;
mod process;
mod selector;
mod targets;

use std::ffi::OsString;

pub use command::Held;
pub use process::{Process, descendants};
pub use selector::Selector;
pub use targets::Targets;

/// What the user asked to trace; see the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Processes that exist or will, by any of these.
    Matching {
        /// Process (or thread) ids, which must exist.
        pids: Vec<u32>,
        /// Patterns for the path of the executable.
        exes: Vec<String>,
        /// TCP ports a process listens on.
        ports: Vec<u16>,
    },
    /// Every process.
    All,
    /// A command to start.
    Command(Vec<OsString>),
}

impl Selection {
    /// Whether processes that do not exist yet may match: then the run does not end with those
    /// that do.
    pub fn open_ended(&self) -> bool {
        match self {
            Selection::Matching { exes, ports, .. } => !exes.is_empty() || !ports.is_empty(),
            Selection::All => true,
            Selection::Command(_) => false,
        }
    }
}

/// Why a process cannot be traced; each is a line for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing has this id.
    #[error("process {0}: no such process; `ps -e` lists those that run")]
    NoSuchProcess(u32),
    /// `/proc` is mounted with `hidepid`.
    #[error(
        "process {0}: /proc hides it (hidepid, or a security profile); run as root, or give tracer CAP_SYS_PTRACE"
    )]
    Hidden(u32),
    /// A thread of the kernel.
    #[error(
        "process {pid} ({name}): a kernel thread makes no system calls; name the process that serves"
    )]
    KernelThread {
        /// Its id.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// Ended, its parent has not collected it.
    #[error(
        "process {pid} ({name}): it has ended already and waits for its parent, process {parent}, to collect it"
    )]
    Zombie {
        /// Its id.
        pid: u32,
        /// Its name.
        name: String,
        /// Who should collect it.
        parent: u32,
    },
    /// Another user's, and we may not look into it.
    #[error("process {pid} ({name}): it belongs to another user (uid {owner}); run tracer as root")]
    NotOurs {
        /// Its id.
        pid: u32,
        /// Its name.
        name: String,
        /// User id.
        owner: u32,
    },
    /// The agent's own id.
    #[error("process {0}: this is tracer itself; name another process")]
    Ourselves(u32),
    /// `--exe` is not a pattern.
    #[error("--exe '{pattern}': {reason}; write it like '/usr/sbin/nginx' or 'python*'")]
    BadPattern {
        /// As typed.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `/proc` cannot be read.
    #[error("cannot read /proc: {0}; is it mounted?")]
    Proc(#[source] procfs::ProcError),
    /// The command cannot be started.
    #[error("{program}: {}", not_started(.error))]
    Command {
        /// As typed.
        program: String,
        /// From fork or exec.
        error: std::io::Error,
    },
}

/// What a shell says (POSIX, 2.8.2), with what to do about it.
fn not_started(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "command not found; give its path or have it on PATH".to_owned()
        }
        std::io::ErrorKind::PermissionDenied => {
            "not executable; see its permissions (chmod +x)".to_owned()
        }
        _ => format!("cannot be started: {error}"),
    }
}

impl Error {
    /// The exit code that tells this failure: a shell's for a command that cannot be started, 2 for
    /// wrong usage.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Command { error, .. } if error.kind() == std::io::ErrorKind::NotFound => 127,
            Error::Command { .. } => 126,
            Error::BadPattern { .. } => 2,
            _ => 1,
        }
    }
}
