//! Memory of a process, as the kernel splits it.

use std::fmt;

use anyhow::{Context, Result};

/// From `/proc/PID/status`, in kB (1024 bytes) as there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// In RAM now.
    pub resident: u64,
    /// The most that ever was.
    pub peak: u64,
    anonymous: u64,
    file: u64,
    shared: u64,
}

impl Memory {
    /// Of a running process.
    ///
    /// # Errors
    /// It is gone.
    pub fn of(pid: u32) -> Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} is gone"))?;
        Ok(read(&status))
    }
}

fn read(status: &str) -> Memory {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    Memory {
        resident: field("VmRSS"),
        peak: field("VmHWM"),
        anonymous: field("RssAnon"),
        file: field("RssFile"),
        shared: field("RssShmem"),
    }
}

/// Megabytes of 10^6 bytes, as limits are stated.
pub fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 * 1024.0 / 1e6
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} MB resident ({:.1} anonymous, {:.1} of files, {:.1} shared), peak {:.1} MB",
            megabytes(self.resident),
            megabytes(self.anonymous),
            megabytes(self.file),
            megabytes(self.shared),
            megabytes(self.peak),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, read};

    #[test]
    fn status_is_read() {
        let status = "Name:\tVmRSS: 1 kB\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n\
                      RssAnon:\t    6144 kB\nRssFile:\t    4000 kB\nRssShmem:\t      96 kB\n";
        let memory = Memory {
            resident: 10240,
            peak: 20480,
            anonymous: 6144,
            file: 4000,
            shared: 96,
        };
        assert_eq!(read(status), memory);
        assert_eq!(
            memory.to_string(),
            "10.5 MB resident (6.3 anonymous, 4.1 of files, 0.1 shared), peak 21.0 MB"
        );
    }
}
