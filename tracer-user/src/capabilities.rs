//! The capabilities that tracing needs (capabilities(7)), and which of them the agent lacks.

use rustix::thread::{CapabilitySet, capabilities};

/// One of them.
pub struct Capability {
    /// As the manual has it.
    pub name: &'static str,
    /// What fails without.
    pub purpose: &'static str,
    set: CapabilitySet,
}

/// To load and attach programs.
pub const LOADING: [Capability; 2] = [
    Capability {
        name: "CAP_BPF",
        purpose: "loading programs",
        set: CapabilitySet::BPF,
    },
    Capability {
        name: "CAP_PERFMON",
        purpose: "reading kernel and process memory",
        set: CapabilitySet::PERFMON,
    },
];

/// To look into processes of other users.
pub const LOOKING: [Capability; 2] = [
    Capability {
        name: "CAP_SYS_PTRACE",
        purpose: "what processes of other users run",
        set: CapabilitySet::SYS_PTRACE,
    },
    Capability {
        name: "CAP_DAC_READ_SEARCH",
        purpose: "their ports, and the files of their programs",
        set: CapabilitySet::DAC_READ_SEARCH,
    },
];

impl Capability {
    /// Whether the agent has it, be it as a part of `CAP_SYS_ADMIN`.
    pub fn is_held(&self) -> bool {
        let mut any = self.set;
        if any.intersects(CapabilitySet::BPF | CapabilitySet::PERFMON) {
            any |= CapabilitySet::SYS_ADMIN;
        }
        held().intersects(any)
    }
}

/// Whether the agent has `CAP_SYS_ADMIN`.
pub fn is_admin() -> bool {
    held().contains(CapabilitySet::SYS_ADMIN)
}

/// The names of those that are not held, for a sentence; none: all are.
pub fn missing(of: &[Capability]) -> Option<String> {
    let names = of.iter().filter(|one| !one.is_held()).map(|one| one.name);
    let names: Vec<&str> = names.collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

/// Whether the agent was given all of these, whatever it may use: a security module that forbids some has
/// capget(2) leave them out, and the process' status not.
pub fn are_withheld(all: &[Capability]) -> bool {
    let given = std::fs::read_to_string("/proc/self/status").ok();
    let given = given.and_then(|status| effective(&status));
    given.is_some_and(|given| all.iter().all(|one| given.contains(one.set)))
}

/// `CapEff` of a process' status.
fn effective(status: &str) -> Option<CapabilitySet> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    let bits = u64::from_str_radix(line.trim(), 16).ok()?;
    Some(CapabilitySet::from_bits_retain(bits))
}

fn held() -> CapabilitySet {
    // It fails for no thread of ours.
    capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_was_given_is_in_its_status() {
        let status = "Name:\ttracer\nCapPrm:\t0000000000000000\nCapEff:\t000000c000080004\n";
        let given = effective(status).unwrap();
        let needed = LOADING.iter().chain(&LOOKING);
        assert!(needed.clone().all(|one| given.contains(one.set)));
        assert!(!given.contains(CapabilitySet::SYS_ADMIN));
        assert_eq!(effective("Name:\ttracer\n"), None);
    }
}
