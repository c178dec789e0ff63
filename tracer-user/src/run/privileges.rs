//! What the agent may do: look into processes and load probes, and little else.
//!
//! Capabilities are a thread's own and pass on to those that it starts. So what is not needed is given
//! up before there is a second thread, and after what needs more: opening files that the user named,
//! and forking a command, which is to run with what the user has.
//!
//! Leaves out: a user of its own, and system call filters, which are the service manager's
//! (`packaging/tracer.service` has both).

use rustix::io;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};

/// What every run needs, to its end, since processes come and are described later, too: loading and
/// attaching programs (`BPF`, `PERFMON`); what a process of another user runs, and where
/// (`SYS_PTRACE`), and the file of that program (`DAC_READ_SEARCH`). Probes in Go programs take
/// `SYS_ADMIN` since Linux 6.16 (`perf_uprobe_event_init`); who never had it goes without them.
const ALWAYS: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::SYS_ADMIN);

/// What is needed besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// Signals are handed on to a command, which may become another user.
    pub command: bool,
    /// A page is served, perhaps on a port below 1024.
    pub page: bool,
}

/// Gives up all but what is needed, for this thread and those that it starts, for good: no program that
/// it executes gets more.
///
/// # Errors
///
/// A sandbox does not allow it. Then nothing, or a part, was given up.
pub fn give_up(needs: Needs) -> io::Result<()> {
    let kept = kept(needs);
    let now = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: now.effective & kept,
            permitted: now.permitted & kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_no_new_privs(true)
}

fn kept(needs: Needs) -> CapabilitySet {
    let mut kept = ALWAYS;
    kept.set(CapabilitySet::KILL, needs.command);
    kept.set(CapabilitySet::NET_BIND_SERVICE, needs.page);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_stays_so_for_threads_and_programs() {
        // On a thread of its own: it is for good.
        let given_up = std::thread::spawn(|| {
            let had = capabilities(None).unwrap();
            give_up(Needs::default()).unwrap();
            let status = std::process::Command::new("grep")
                .args(["-E", "^(CapEff|NoNewPrivs):", "/proc/self/status"])
                .output()
                .unwrap();
            (had, status.stdout)
        });
        let (had, status) = given_up.join().unwrap();
        let kept = (had.effective & ALWAYS).bits();
        let should = format!("CapEff:\t{kept:016x}\nNoNewPrivs:\t1\n");
        assert_eq!(String::from_utf8(status).unwrap(), should);
    }

    #[test]
    fn a_command_and_a_page_need_more() {
        let both = kept(Needs {
            command: true,
            page: true,
        });
        assert_eq!(
            both - ALWAYS,
            CapabilitySet::KILL | CapabilitySet::NET_BIND_SERVICE
        );
        assert_eq!(kept(Needs::default()), ALWAYS);
    }
}
