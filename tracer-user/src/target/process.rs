//! One process in `/proc`: that it exists, is one that can be traced, and is still the same later.

use std::collections::HashMap;

use procfs::ProcError;
use procfs::process::StatFlags;

use super::Error;
use crate::capabilities::LOOKING;

/// A process, told from a later one of the same id by when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its id (thread group id).
    pub pid: u32,
    /// When it began: clock ticks since boot, as `/proc/PID/stat` has it.
    pub start: u64,
}

impl Process {
    /// The process that `pid` names, checked to be one that can be traced. A thread's id names its
    /// process.
    ///
    /// # Errors
    ///
    /// There is none, it has ended, it is a thread of the kernel, another user's, or the agent.
    pub fn find(pid: u32) -> Result<Process, Error> {
        let mut entry = open(pid)?;
        let status = entry.status().map_err(|error| classify(pid, error))?;
        let tgid = status.tgid as u32;
        if tgid != pid {
            log::info!(
                "{pid} is a thread of process {tgid} ({}): tracing that",
                status.name
            );
            entry = open(tgid)?;
        }
        let pid = tgid;
        let stat = entry.stat().map_err(|error| classify(pid, error))?;
        let name = stat.comm.clone();
        if pid == std::process::id() {
            return Err(Error::Ourselves(pid));
        }
        if is_kernel_thread(&stat) {
            return Err(Error::KernelThread { pid, name });
        }
        if has_ended(&stat) {
            return Err(Error::Zombie {
                pid,
                name,
                parent: stat.ppid as u32,
            });
        }
        // SAFETY: geteuid has no preconditions and cannot fail.
        let own = unsafe { libc::geteuid() };
        if status.euid != own && !may_look_into_others() {
            return Err(Error::NotOurs {
                pid,
                name,
                owner: status.euid,
            });
        }
        Ok(Process {
            pid,
            start: stat.starttime,
        })
    }

    /// Whatever runs under this id now.
    pub fn now(pid: u32) -> Option<Process> {
        stat(pid)
            .filter(|stat| !has_ended(stat))
            .map(|stat| of_stat(&stat))
    }

    /// Whether it still runs: not ended, and its id not another's.
    pub fn runs(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.starttime == self.start && !has_ended(&stat))
    }

    /// Every process of user space but the agent.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn all() -> Result<Vec<Process>, Error> {
        let own = std::process::id();
        let stats = stats()?;
        let able = stats
            .iter()
            .filter(|stat| !is_kernel_thread(stat) && !has_ended(stat));
        Ok(able
            .map(of_stat)
            .filter(|process| process.pid != own)
            .collect())
    }
}

/// The children of `roots`, their children, and so on; without `roots` and the agent.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn descendants(roots: &[Process]) -> Result<Vec<Process>, Error> {
    let own = std::process::id();
    let mut children: HashMap<u32, Vec<Process>> = HashMap::new();
    for stat in stats()?.iter().filter(|stat| !has_ended(stat)) {
        children
            .entry(stat.ppid as u32)
            .or_default()
            .push(of_stat(stat));
    }
    let mut found: Vec<Process> = roots.to_vec();
    let mut next = 0;
    while next < found.len() {
        for child in children.remove(&found[next].pid).unwrap_or_default() {
            if child.pid != own && !found.contains(&child) {
                found.push(child);
            }
        }
        next += 1;
    }
    Ok(found.split_off(roots.len()))
}

fn open(pid: u32) -> Result<procfs::process::Process, Error> {
    let number = i32::try_from(pid).map_err(|_| Error::NoSuchProcess(pid))?;
    procfs::process::Process::new(number).map_err(|error| classify(pid, error))
}

fn classify(pid: u32, error: ProcError) -> Error {
    match error {
        ProcError::NotFound(_) | ProcError::PermissionDenied(_)
            if std::path::Path::new("/proc/self").exists() =>
        {
            if pid != 0 && exists(pid) {
                Error::Hidden(pid)
            } else {
                Error::NoSuchProcess(pid)
            }
        }
        // A process that goes while its file is read.
        ProcError::Io(error, _) if error.raw_os_error() == Some(libc::ESRCH) => {
            Error::NoSuchProcess(pid)
        }
        other => Error::Proc(other),
    }
}

fn stat(pid: u32) -> Option<procfs::process::Stat> {
    open(pid).ok()?.stat().ok()
}

fn stats() -> Result<Vec<procfs::process::Stat>, Error> {
    let entries = procfs::process::all_processes().map_err(Error::Proc)?;
    // One that cannot be read has gone since the directory was listed.
    Ok(entries
        .filter_map(|entry| entry.ok()?.stat().ok())
        .collect())
}

fn of_stat(stat: &procfs::process::Stat) -> Process {
    Process {
        pid: stat.pid as u32,
        start: stat.starttime,
    }
}

fn is_kernel_thread(stat: &procfs::process::Stat) -> bool {
    StatFlags::from_bits_truncate(stat.flags).contains(StatFlags::PF_KTHREAD)
}

/// A zombie whose other threads still run is only a main thread that ended first.
fn has_ended(stat: &procfs::process::Stat) -> bool {
    matches!(stat.state, 'Z' | 'X') && stat.num_threads <= 1
}

fn may_look_into_others() -> bool {
    let [ptrace, _] = &LOOKING;
    ptrace.is_held()
}

/// Whether there is a process of this id, whatever `/proc` shows.
fn exists(pid: u32) -> bool {
    // SAFETY: kill has no preconditions; signal 0 is none.
    let asked = unsafe { libc::kill(pid as i32, 0) };
    asked == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep")
            .arg("60")
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    #[test]
    fn finds_a_running_process_until_it_ends() {
        let mut child = sleeper();
        let found = Process::find(child.id()).unwrap();
        assert_eq!(found.pid, child.id());
        assert!(found.runs());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!found.runs());
        assert!(matches!(
            Process::find(child.id()),
            Err(Error::NoSuchProcess(_))
        ));
    }

    #[test]
    fn a_reused_id_is_another_process() {
        let mut child = sleeper();
        let mut found = Process::find(child.id()).unwrap();
        found.start -= 1;
        assert!(!found.runs());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_never_was() {
        let error = Process::find(999_999_999).unwrap_err();
        assert_eq!(
            error.to_string(),
            "process 999999999: no such process; `ps -e` lists those that run"
        );
        assert!(matches!(
            Process::find(u32::MAX),
            Err(Error::NoSuchProcess(_))
        ));
    }

    #[test]
    fn a_zombie_says_so() {
        let mut child = sleeper();
        child.kill().unwrap();
        // SAFETY: an all-zero siginfo_t is a valid value of it.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOWAIT;
        // SAFETY: `info` outlives the call; WNOWAIT leaves the child to `wait` below.
        let waited = unsafe { libc::waitid(libc::P_PID, child.id(), &mut info, flags) };
        assert_eq!(waited, 0);
        let error = Process::find(child.id()).unwrap_err();
        assert!(matches!(error, Error::Zombie { parent, .. } if parent == std::process::id()));
        child.wait().unwrap();
    }

    #[test]
    fn a_thread_names_its_process() {
        let mut child = Command::new("python3")
            .args(["-c", "import threading,sys\nt=threading.Thread(target=sys.stdin.read)\nt.start()\nprint(t.native_id,flush=True)\nt.join()"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let tid: u32 = line.trim().parse().unwrap();
        assert_ne!(tid, child.id());
        assert_eq!(Process::find(tid).unwrap().pid, child.id());
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn the_agent_is_not_its_own_target() {
        assert!(matches!(
            Process::find(std::process::id()),
            Err(Error::Ourselves(_))
        ));
    }

    #[test]
    fn descendants_are_the_whole_subtree() {
        let mut shell = Command::new("sh")
            .args(["-c", "sh -c 'sleep 60 & echo; wait' & wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut String::new()).unwrap();
        let root = Process::find(shell.id()).unwrap();
        let found = descendants(&[root]).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(!found.contains(&root));
        for process in found.iter().rev() {
            // SAFETY: kill takes any id; these are this test's own processes.
            unsafe { libc::kill(process.pid as i32, libc::SIGKILL) };
        }
        shell.wait().unwrap();
    }

    #[test]
    fn all_leaves_out_the_agent_and_the_kernel() {
        let all = Process::all().unwrap();
        assert!(all.iter().any(|process| process.pid == 1));
        assert!(
            all.iter()
                .all(|process| process.pid != std::process::id() && process.pid != 2)
        );
    }
}
