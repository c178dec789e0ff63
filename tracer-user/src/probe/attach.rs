//! The two families of hooks: which programs each is made of, and which of them it can do without.

use std::io::ErrorKind;
use std::thread;

use aya::programs::{Program, ProgramError};

use super::load::Kernel;
use super::offsets::KernelBtf;
use super::{Error, Family};

/// A program and where it goes.
pub(super) struct Hook {
    /// Name in the object.
    pub(super) program: &'static str,
    /// The tracepoints: of a BTF tracepoint one, of the program's name.
    tracepoints: &'static [&'static str],
    /// Without it the family does not work.
    pub(super) required: bool,
    /// For kernels that lack the tracepoint: the program at the entry of a function, and the function.
    instead: Option<[&'static str; 2]>,
}

/// A BTF tracepoint.
const fn hook(program: &'static str, required: bool) -> Hook {
    Hook {
        program,
        tracepoints: &[],
        required,
        instead: None,
    }
}

/// Tracepoints of system calls.
const fn calls(
    program: &'static str,
    tracepoints: &'static [&'static str],
    required: bool,
) -> Hook {
    Hook {
        program,
        tracepoints,
        required,
        instead: None,
    }
}

/// Both families need them: they tell when connections and processes come and go.
const LIFECYCLE: &[Hook] = &[
    hook("inet_sock_set_state", true),
    hook("tcp_destroy_sock", true),
    hook("sched_process_fork", true),
    hook("sched_process_exec", true),
    hook("sched_process_exit", true),
];

/// The tracepoint is there since Linux 6.3, in a function that is older.
const ARRIVAL: Hook = Hook {
    instead: Some(["sock_readable", "sock_def_readable"]),
    ..hook("sk_data_ready", false)
};

/// Since Linux 6.3; the tracepoint `tcp_sendmsg_locked` since 6.16.
const SOCK: &[Hook] = &[
    hook("sock_recv_length", true),
    hook("sock_send_length", true),
    ARRIVAL,
    Hook {
        instead: Some(["tcp_sendmsg_entered", "tcp_sendmsg_locked"]),
        ..hook("tcp_sendmsg_locked", false)
    },
];

/// Exit of each call that moves bytes, entry of those that send and of `close`.
const SYSCALL: &[Hook] = &[
    calls(
        "returned",
        &[
            "sys_exit_read",
            "sys_exit_readv",
            "sys_exit_recvfrom",
            "sys_exit_recvmsg",
            "sys_exit_recvmmsg",
            "sys_exit_write",
            "sys_exit_writev",
            "sys_exit_sendto",
            "sys_exit_sendmsg",
            "sys_exit_sendmmsg",
            "sys_exit_sendfile64",
            "sys_exit_splice",
        ],
        true,
    ),
    calls(
        "send_begins",
        &[
            "sys_enter_write",
            "sys_enter_writev",
            "sys_enter_sendto",
            "sys_enter_sendmsg",
            "sys_enter_sendmmsg",
            "sys_enter_sendfile64",
        ],
        true,
    ),
    calls("closes", &["sys_enter_close"], true),
    ARRIVAL,
];

/// Where tracefs may be mounted.
pub(super) const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// What a family is made of. Lifecycle first: a connection that opens while the rest is attached is
/// then known as such.
pub(super) fn hooks(family: Family) -> impl Iterator<Item = &'static Hook> {
    let transfers = match family {
        Family::Sock => SOCK,
        Family::Syscall => SYSCALL,
    };
    LIFECYCLE.iter().chain(transfers)
}

/// Loads and attaches a family. Returns the optional hooks that this kernel lacks.
pub(super) fn attach(
    kernel: &mut Kernel,
    btf: &KernelBtf,
    family: Family,
) -> Result<Vec<&'static str>, Error> {
    load_at_once(kernel, btf, family);
    let mut missing = Vec::new();
    for hook in hooks(family) {
        match attach_one(kernel, btf, hook) {
            Ok(()) => {}
            Err(_) if !hook.required => missing.push(hook.program),
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

/// Loads a family's programs, a thread each: most of an agent's start is the kernel verifying them, which it
/// does on as many cores as there are. What fails here fails once more, and is told, when it is attached.
fn load_at_once(kernel: &mut Kernel, btf: &KernelBtf, family: Family) {
    let places: Vec<&str> = hooks(family).map(|hook| hook.program).collect();
    thread::scope(|scope| {
        for (name, program) in kernel.ebpf.programs_mut() {
            if let Some(&place) = places.iter().find(|place| **place == name) {
                scope.spawn(move || load(program, place, btf));
            }
        }
    });
}

/// Loads a program, which is for that place where it is one of tracing, unless it is loaded.
fn load(program: &mut Program, place: &str, btf: &KernelBtf) -> Result<(), ProgramError> {
    if program.fd().is_ok() {
        return Ok(());
    }
    match program {
        Program::BtfTracePoint(program) => program.load(place, &btf.aya),
        Program::FEntry(program) => program.load(place, &btf.aya),
        Program::TracePoint(program) => program.load(),
        _ => Ok(()),
    }
}

/// Loads and attaches one program, or the one that is there instead of it.
pub(super) fn attach_one(kernel: &mut Kernel, btf: &KernelBtf, hook: &Hook) -> Result<(), Error> {
    let attached = attach_program(kernel, btf, hook, [hook.program; 2]);
    match hook.instead {
        Some(instead) if attached.is_err() => {
            attach_program(kernel, btf, hook, instead).or(attached)
        }
        _ => attached,
    }
}

fn attach_program(
    kernel: &mut Kernel,
    btf: &KernelBtf,
    hook: &Hook,
    [name, place]: [&'static str; 2],
) -> Result<(), Error> {
    let failed = |source| Error::program(name, source);
    let program = kernel.ebpf.program_mut(name).ok_or(Error::Map {
        name,
        reason: "not in the BPF object".to_owned(),
    })?;
    load(program, place, btf).map_err(failed)?;
    match program {
        Program::BtfTracePoint(program) => {
            program.attach().map_err(failed)?;
        }
        Program::FEntry(program) => {
            program.attach().map_err(failed)?;
        }
        Program::TracePoint(program) => {
            mount_tracefs()?;
            for tracepoint in hook.tracepoints {
                let link = program.attach("syscalls", tracepoint).map_err(failed)?;
                let link = program.take_link(link).map_err(failed)?;
                kernel.calls.push(link);
            }
        }
        _ => {
            return Err(Error::Map {
                name,
                reason: "a program of a kind that is not expected".to_owned(),
            });
        }
    }
    Ok(())
}

/// System call tracepoints are found through tracefs, which nobody may have mounted yet.
fn mount_tracefs() -> Result<(), Error> {
    for path in TRACEFS {
        match std::fs::exists(format!("{path}/events/syscalls")) {
            Ok(true) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(Error::TracefsForbidden(path));
            }
            _ => {}
        }
    }
    let target = std::ffi::CString::new(TRACEFS[0])
        .map_err(|_| Error::NoTracefs(std::io::Error::other("path")))?;
    // SAFETY: three strings of ours, no data.
    let done = unsafe {
        libc::mount(
            c"tracefs".as_ptr(),
            target.as_ptr(),
            c"tracefs".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            std::ptr::null(),
        )
    };
    if done != 0 {
        return Err(Error::NoTracefs(std::io::Error::last_os_error()));
    }
    Ok(())
}
