//! What this host offers the probes, found out by trying: for `tracer doctor`.
//!
//! Nothing stays attached. Bias: a finding is either tried and true, tried and false, or not known;
//! what can't be had says what to do.

use std::fs;

use aya::EbpfLoader;

use super::load::Kernel;
use super::offsets::{BTF_PATH, KernelBtf};
use super::{Error, Family, Options, attach, pid_namespace, refusal};
use crate::capabilities::{self, LOADING, LOOKING};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub name: String,
    /// Whether it works; none: it says nothing about that, or could not be tried.
    pub works: Option<bool>,
    /// What was seen.
    pub detail: String,
    /// What to do, where something is amiss; else empty.
    pub advice: String,
    /// This is about a whole family of hooks: one that works is enough to trace.
    pub family: Option<Family>,
}

impl Finding {
    fn new(name: &str, works: Option<bool>, detail: impl Into<String>) -> Finding {
        Finding {
            name: name.to_owned(),
            works,
            detail: detail.into(),
            advice: String::new(),
            family: None,
        }
    }

    /// Advice for the case that it doesn't work.
    fn advise(mut self, advice: &str) -> Finding {
        if self.works != Some(true) {
            advice.clone_into(&mut self.advice);
        }
        self
    }
}

/// Tries everything; takes about half a second.
pub fn survey() -> Vec<Finding> {
    let mut findings = vec![kernel()];
    findings.extend(held());
    findings.push(processes());
    findings.push(lockdown());
    findings.extend(profile());
    findings.push(tracefs());
    match KernelBtf::read() {
        Ok(btf) => {
            findings.push(Finding::new(
                "kernel types (BTF)",
                Some(true),
                format!("{BTF_PATH}, every field found"),
            ));
            for family in [Family::Sock, Family::Syscall] {
                findings.extend(probes(&btf, family));
            }
        }
        Err(error) => findings.push(
            Finding::new("kernel types (BTF)", Some(false), error.to_string())
                .advise("use a kernel built with CONFIG_DEBUG_INFO_BTF=y"),
        ),
    }
    findings
}

fn kernel() -> Finding {
    let read = |name| {
        fs::read_to_string(format!("/proc/sys/kernel/{name}"))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let release = read("osrelease");
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let works = cfg!(target_arch = "x86_64") && version >= OLDEST_KERNEL;
    Finding::new(
        "kernel",
        Some(works),
        format!("Linux {release} {}", std::env::consts::ARCH),
    )
    .advise("Linux 5.15 or later on x86-64 is needed; 6.3 or later for the sock probes")
}

/// `bpf_task_pt_regs` came with it.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

fn held() -> Vec<Finding> {
    let needed = LOADING.iter().chain(&LOOKING);
    needed
        .map(|one| {
            Finding::new(one.name, Some(one.is_held()), format!("for {}", one.purpose)).advise(
                "run as root, or `setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep` the binary",
            )
        })
        .chain([Finding::new(
            "CAP_SYS_ADMIN",
            capabilities::is_admin().then_some(true),
            "for probes in Go programs since Linux 6.16: parents of what their clients send",
        )])
        .collect()
}

fn processes() -> Finding {
    let found = |works, detail: &str| Finding::new("pid namespace", Some(works), detail);
    match pid_namespace() {
        Ok(None) => found(true, "the host's"),
        Ok(Some(_)) => found(true, "a container's: its processes alone can be traced"),
        Err(error) => found(false, &error.to_string()),
    }
}

fn lockdown() -> Finding {
    match refusal::lockdown() {
        Some(mode) => Finding::new("lockdown", Some(!refusal::is_locked_down()), mode)
            .advise("lockdown mode `confidentiality` forbids BPF to read memory: boot without it"),
        None => Finding::new(
            "lockdown",
            None,
            "not told (securityfs is not mounted, or none)",
        ),
    }
}

/// Nothing where the agent runs under none.
fn profile() -> Option<Finding> {
    let finding = Finding::new("security profile", None, refusal::profile()?);
    Some(finding.advise("what it forbids is missing: if something is, run tracer without"))
}

fn tracefs() -> Finding {
    let mounted = attach::TRACEFS
        .iter()
        .find(|path| fs::exists(format!("{path}/events/syscalls")).unwrap_or(false));
    match mounted {
        Some(path) => Finding::new("tracefs", Some(true), *path),
        None => Finding::new(
            "tracefs",
            None,
            "not mounted; the syscall probes need it and mount it themselves",
        )
        .advise("mount -t tracefs tracefs /sys/kernel/tracing"),
    }
}

/// A family as a whole, then each of its programs that does not attach.
fn probes(btf: &KernelBtf, family: Family) -> Vec<Finding> {
    let name = format!("{family} probes");
    let whole = |works, detail: String| Finding {
        family: Some(family),
        ..Finding::new(&name, Some(works), detail).advise(advice(family))
    };
    let options = Options::default();
    let mut kernel = match Kernel::load(EbpfLoader::new(), btf, family, &options, true) {
        Ok(kernel) => kernel,
        // What any probes would be refused for is advice enough.
        Err(error) if error.is_final() => {
            return vec![Finding {
                advice: String::new(),
                ..whole(false, error.to_string())
            }];
        }
        Err(error) => return vec![whole(false, error.to_string())],
    };
    let mut each = Vec::new();
    let mut works = true;
    let mut attached = 0;
    let mut advised = false;
    for hook in attach::hooks(family) {
        match attach::attach_one(&mut kernel, btf, hook) {
            Ok(()) => attached += 1,
            Err(error) => {
                works &= !hook.required;
                let needed = if hook.required { "" } else { " (optional)" };
                each.push(Finding::new(
                    &format!("{name}: {}{needed}", hook.program),
                    Some(false),
                    error.to_string(),
                ));
                if matches!(
                    error,
                    Error::Permission(_) | Error::NoTracefs(_) | Error::TracefsForbidden(_)
                ) {
                    advised = true;
                    break;
                }
            }
        }
    }
    let mut whole = whole(works, format!("{attached} programs attach"));
    // What this program was refused for says what to do.
    if advised {
        whole.advice.clear();
    }
    each.insert(0, whole);
    each
}

fn advice(family: Family) -> &'static str {
    match family {
        Family::Sock => "Linux 6.3 has them; else `--probes syscall`, which costs the service more",
        Family::Syscall => "a kernel with CONFIG_FTRACE_SYSCALLS=y and a mounted tracefs is needed",
    }
}
