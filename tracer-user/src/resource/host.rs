//! What holds for every process of this host: read once.

use std::collections::HashMap;
use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// `host.arch`, as semantic conventions name it.
pub const ARCH: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    b"aarch64" => "arm64",
    b"arm" => "arm32",
    b"powerpc64" => "ppc64",
    _ => std::env::consts::ARCH,
};

/// This host.
#[derive(Debug)]
pub struct Host {
    pub name: Option<String>,
    pub id: Option<String>,
    pub boot_id: String,
    /// When it was booted, by the wall clock of now: one value for all, so that the start of a
    /// process is always told alike.
    pub booted: SystemTime,
    /// The agent's own: who is in the same is not set apart by them.
    pub own_cgroups: Vec<String>,
    users: HashMap<u32, String>,
}

impl Host {
    pub fn get() -> &'static Host {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(Host::read)
    }

    pub(super) fn read() -> Host {
        let line = |path| {
            let text: String = fs::read_to_string(path).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        Host {
            name: line("/proc/sys/kernel/hostname"),
            id: line("/etc/machine-id").or_else(|| line("/var/lib/dbus/machine-id")),
            boot_id: line("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
            booted: SystemTime::now() - since_boot(),
            own_cgroups: super::Facts::read(std::process::id()).cgroups,
            users: users(&fs::read_to_string("/etc/passwd").unwrap_or_default()),
        }
    }

    /// A user's name; its number where this host has none. Only the local file is asked: a directory
    /// service may block.
    pub fn user(&self, uid: u32) -> String {
        self.users
            .get(&uid)
            .cloned()
            .unwrap_or_else(|| uid.to_string())
    }
}

/// passwd(5): name:password:uid:...
fn users(passwd: &str) -> HashMap<u32, String> {
    let mut users = HashMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) {
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

fn since_boot() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` outlives the call, which writes it; this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_number() {
        let users = users(
            "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:\nwww-data:x:33:33:w:/:/x\nbroken\n",
        );
        assert_eq!(users[&0], "root");
        assert_eq!(users[&33], "www-data");
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn this_host() {
        let host = Host::get();
        assert_eq!(host.boot_id.len(), 36);
        assert_eq!(host.user(4_000_000_000), "4000000000");
        assert!(host.booted < SystemTime::now());
    }
}
