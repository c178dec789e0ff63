//! The two families of hooks: which programs each is made of, and which of them it can do without.

use aya::programs::{BtfTracePoint, Program, TracePoint};

use super::load::Kernel;
use super::offsets::KernelBtf;
use super::{Error, Family};

/// A program and where it goes.
pub(super) struct Hook {
    /// Name in the object; of a BTF tracepoint also the tracepoint's.
    pub(super) program: &'static str,
    /// Without it the family does not work.
    pub(super) required: bool,
}

const fn required(program: &'static str) -> Hook {
    Hook {
        program,
        required: true,
    }
}

const fn optional(program: &'static str) -> Hook {
    Hook {
        program,
        required: false,
    }
}

/// Both families need them: they tell when connections and processes come and go.
const LIFECYCLE: &[Hook] = &[
    required("inet_sock_set_state"),
    required("sched_process_fork"),
    required("sched_process_exec"),
    required("sched_process_exit"),
];

/// Since Linux 6.3; `tcp_sendmsg_locked` since 6.16.
const SOCK: &[Hook] = &[
    required("sock_recv_length"),
    required("sock_send_length"),
    optional("sk_data_ready"),
    optional("tcp_sendmsg_locked"),
];

/// `sys_enter_*` and `sys_exit_*` of each.
const SYSCALL: &[Hook] = &[];

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
    let mut missing = Vec::new();
    for hook in hooks(family) {
        match attach_one(kernel, btf, hook.program) {
            Ok(()) => {}
            Err(_) if !hook.required => missing.push(hook.program),
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

/// Loads and attaches one program.
pub(super) fn attach_one(
    kernel: &mut Kernel,
    btf: &KernelBtf,
    name: &'static str,
) -> Result<(), Error> {
    let failed = |source| Error::program(name, source);
    let program = kernel.ebpf.program_mut(name).ok_or(Error::Map {
        name,
        reason: "not in the BPF object".to_owned(),
    })?;
    match program {
        Program::BtfTracePoint(program) => attach_btf(program, btf, name).map_err(failed),
        Program::TracePoint(program) => attach_syscall(program, name).map_err(failed),
        _ => Err(Error::Map {
            name,
            reason: "a program of a kind that is not expected".to_owned(),
        }),
    }
}

fn attach_btf(
    program: &mut BtfTracePoint,
    btf: &KernelBtf,
    name: &str,
) -> Result<(), aya::programs::ProgramError> {
    program.load(name, &btf.aya)?;
    program.attach()?;
    Ok(())
}

fn attach_syscall(program: &mut TracePoint, name: &str) -> Result<(), aya::programs::ProgramError> {
    program.load()?;
    program.attach("syscalls", name)?;
    Ok(())
}
