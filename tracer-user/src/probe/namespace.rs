//! Whose process ids they are: the host's, which the kernel counts by, or those of a container.
//!
//! The agent speaks of processes as `/proc` does, and has the programs do likewise. That needs a `/proc`
//! of its own pid namespace, for system calls take ids of that.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::Error;

/// The pid namespace that the agent is in.
const OWN: &str = "/proc/self/ns/pid";

/// Inode of the first pid namespace (`PROC_PID_INIT_INO`, include/uapi/linux/nsfs.h).
const HOST: u64 = 0xeffffffc;

/// The inode number of the agent's pid namespace; none: it is the host's, or nothing tells.
///
/// # Errors
///
/// `/proc` shows the ids of another one.
pub fn pid_namespace() -> Result<Option<u32>, Error> {
    let Some(inode) = fs::metadata(OWN).ok().map(|namespace| namespace.ino()) else {
        return Ok(None);
    };
    if inode == HOST {
        return Ok(None);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !names_us_once(&status) {
        return Err(Error::PidNamespace);
    }
    Ok(u32::try_from(inode).ok())
}

/// Whether `/proc/self/status` is of our own namespace: else it has our id in that of `/proc` first, then
/// in each down to ours.
fn names_us_once(status: &str) -> bool {
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.is_none_or(|ids| ids.split_ascii_whitespace().count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proc_of_an_outer_namespace_names_us_twice() {
        assert!(names_us_once("Pid:\t7\nNSpid:\t7\n"));
        assert!(!names_us_once("Pid:\t30610\nNSpid:\t30610\t7\n"));
    }
}
