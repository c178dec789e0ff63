//! Why the kernel refuses to load or attach a program: what of this host or container forbids it.
//!
//! Bias: the kernel says no more than "not permitted". The first of the known causes that holds is named,
//! those that nothing can outweigh first.

use std::fs;

use crate::capabilities::{self, LOADING};

/// The user namespace of the host (`PROC_USER_INIT_INO`, include/uapi/linux/nsfs.h).
const HOST_USERS: &str = "user:[4026531837]";

/// The cause and what to do about it, in one sentence.
pub(super) fn why() -> String {
    if fs::read_link("/proc/self/ns/user").is_ok_and(|link| link.as_os_str() != HOST_USERS) {
        return "tracer is in a user namespace (a rootless container?), where even root may not: run it as the host's root"
            .to_owned();
    }
    if let Some(missing) = capabilities::missing(&LOADING) {
        if let Some(profile) = profile().filter(|_| capabilities::are_withheld(&LOADING)) {
            return format!(
                "the security profile '{profile}' withholds {missing}: allow them in it, or run tracer without"
            );
        }
        return format!(
            "{missing} missing: run as root, or give tracer CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (docker: --cap-add)"
        );
    }
    if !capabilities::is_admin() && paranoid().is_some_and(|level| level > 2) {
        return "kernel.perf_event_paranoid is above 2, with which kernels that know such a level want CAP_SYS_ADMIN for tracepoints: set it to 2, or run as root"
            .to_owned();
    }
    if is_locked_down() {
        return "the kernel is locked down (`confidentiality`), which forbids BPF to read memory: boot without it"
            .to_owned();
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if status.lines().any(|line| line == "Seccomp:\t2") {
        return "the seccomp filter that tracer runs under seems to forbid it: allow bpf and perf_event_open (docker: --security-opt seccomp=unconfined, systemd: SystemCallFilter=)"
            .to_owned();
    }
    match profile() {
        Some(profile) => format!(
            "the security profile '{profile}' seems to forbid it: run tracer without (docker: --security-opt apparmor=unconfined)"
        ),
        None => "the kernel does not say why, nor does tracer see it: look at `dmesg`".to_owned(),
    }
}

/// `kernel.perf_event_paranoid`: 3 and more are Debian's and Android's.
fn paranoid() -> Option<i32> {
    let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?;
    level.trim().parse().ok()
}

/// The mode of the kernel's lockdown; none: there is none, or nothing tells.
pub(super) fn lockdown() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// Whether BPF may not read memory.
pub(super) fn is_locked_down() -> bool {
    lockdown().is_some_and(|mode| mode == "confidentiality")
}

/// What AppArmor or SELinux has the agent run under, if anything.
pub(super) fn profile() -> Option<String> {
    let text = fs::read_to_string("/proc/self/attr/current").ok()?;
    let name = text.trim_end_matches(['\n', '\0']);
    (!name.is_empty() && !name.starts_with("unconfined")).then(|| name.to_owned())
}
