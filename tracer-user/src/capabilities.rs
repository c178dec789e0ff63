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

fn held() -> CapabilitySet {
    // It fails for no thread of ours.
    capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}
