//! Why probes can't be had: one line each, for the person at the terminal.

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;

use super::{Family, refusal};

/// What failed, on what, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused, whatever the program, and why.
    #[error("no permission to load BPF programs: {0}")]
    Permission(String),
    /// No `/sys/kernel/btf/vmlinux`, or not readable.
    #[error(
        "cannot read the kernel's type information {path}: {source}; a kernel built with CONFIG_DEBUG_INFO_BTF=y is needed, and a security profile that lets it be read"
    )]
    NoBtf {
        /// Where it was looked for.
        path: &'static str,
        /// What reading it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The BTF lacks a field that the programs cannot do without.
    #[error(
        "this kernel has no {structure}.{field}, which the probes need; please report it with the output of `uname -r`"
    )]
    NoField {
        /// Kernel structure.
        structure: &'static str,
        /// Path in it.
        field: &'static str,
    },
    /// The object or one of its maps could not be loaded.
    #[error("cannot load the BPF object: {}", chain(.0))]
    Load(#[source] Box<EbpfError>),
    /// A map is not what this agent expects: object and agent are not built from one tree.
    #[error("BPF map {name}: {reason}")]
    Map {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The verifier, or the attach, refused a program.
    #[error("cannot attach {program}: {}", chain(.source))]
    Program {
        /// Its name.
        program: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// tracefs is not mounted, and could not be.
    #[error(
        "tracefs is not mounted and could not be mounted ({0}): run `mount -t tracefs tracefs /sys/kernel/tracing`"
    )]
    NoTracefs(std::io::Error),
    /// tracefs is root's.
    #[error("{0} cannot be read: run as root, or give tracer CAP_DAC_READ_SEARCH")]
    TracefsForbidden(&'static str),
    /// No family of hooks works, of those that were to be attached.
    #[error("{}; `tracer doctor` says what is missing", refused(.0))]
    NoFamily(Vec<(Family, Box<Error>)>),
    /// Process ids that are shown are not those that the kernel takes from us.
    #[error(
        "/proc shows the process ids of another pid namespace than tracer's own: mount one of its own there (`unshare --mount-proc`, `mount -t proc proc /proc`), or run tracer in that namespace"
    )]
    PidNamespace,
    /// Not a pid.
    #[error("{0} is not a process id")]
    NoSuchPid(u32),
    /// A file descriptor for waiting could not be had.
    #[error("cannot create an eventfd: {0}")]
    Eventfd(std::io::Error),
}

impl Error {
    /// Whether another family would fail alike.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Error::Permission(_) | Error::NoBtf { .. } | Error::PidNamespace
        )
    }

    /// A failed load, told by its cause.
    pub(super) fn load(error: EbpfError) -> Error {
        if is_refusal(&error) || is_permission(&error) {
            Error::Permission(refusal::why())
        } else {
            Error::Load(Box::new(error))
        }
    }

    /// A program that was refused, told by its cause.
    pub(super) fn program(program: &'static str, source: ProgramError) -> Error {
        // A kernel that is locked down lacks the helpers, and answers as to a program that is wrong.
        if is_refusal(&source) || refusal::is_locked_down() {
            return Error::Permission(refusal::why());
        }
        Error::Program {
            program,
            source: Box::new(source),
        }
    }

    /// A map that aya would not give.
    pub(super) fn map(name: &'static str, error: MapError) -> Error {
        Error::Map {
            name,
            reason: chain(&error),
        }
    }
}

/// Whether the cause is one that has nothing to do with the program: EPERM, or the ENOSYS of a filter. (The
/// verifier says EACCES.)
fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(number(error), Some(libc::EPERM | libc::ENOSYS))
}

/// Whether the cause is EPERM or EACCES, one of which `perf_event_open(2)` answers without the capabilities.
pub(super) fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(number(error), Some(libc::EPERM | libc::EACCES))
}

/// What the system call said that is the cause.
fn number(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.raw_os_error();
        }
        next = error.source();
    }
    None
}

/// An error and its causes in one line. Of a verifier's log only the last words, which say why.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = last_words(&error.to_string());
    let mut next = error.source();
    while let Some(error) = next {
        let words = last_words(&error.to_string());
        if !line.contains(&words) {
            line = format!("{line}: {words}");
        }
        next = error.source();
    }
    line
}

fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    match lines.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        // The log ends in statistics; what was refused stands before them.
        [first, .., _] => {
            let reason = lines.iter().rev().find(|line| {
                !line.starts_with("processed ")
                    && !line.starts_with("verification time")
                    && !line.starts_with("stack depth")
            });
            match reason {
                Some(reason) if reason != first => format!("{first} {reason}"),
                _ => (*first).to_owned(),
            }
        }
    }
}

/// Of one family: that others work is possible.
fn refused(families: &[(Family, Box<Error>)]) -> String {
    if let [(family, error)] = families {
        return format!("the {family} probes do not work on this kernel: {error}");
    }
    let each: Vec<String> = families
        .iter()
        .map(|(family, error)| format!("{family}: {error}"))
        .collect();
    format!("no probes work on this kernel: {}", each.join("; "))
}
