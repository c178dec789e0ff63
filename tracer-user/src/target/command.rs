//! A command held before its first instruction, so that it is traced from its first byte.
//!
//! The child is forked, tells its id, and waits on a pipe before it executes the command: the agent
//! attaches meanwhile. It shares the agent's terminal, process group and standard streams, as under
//! a shell. If the agent goes first, the pipe closes and the child ends without having run.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread::JoinHandle;

use super::Error;

/// A forked child that has not executed its command yet. Dropped, it never will.
pub struct Held {
    program: String,
    pid: u32,
    gate: io::PipeWriter,
    started: JoinHandle<io::Result<Child>>,
}

impl Held {
    /// Forks a child for `command`, its program first. Whether that can be executed shows in
    /// [`Held::release`].
    ///
    /// # Errors
    ///
    /// No process or pipe could be made.
    pub fn start(command: &[OsString]) -> Result<Held, Error> {
        let (program, arguments) = command
            .split_first()
            .map_or((OsString::new(), &[][..]), |(first, rest)| {
                (first.clone(), rest)
            });
        let name = program.to_string_lossy().into_owned();
        let failed = |error| Error::Command {
            program: name.clone(),
            error,
        };

        let (mut gate_out, gate) = io::pipe().map_err(failed)?;
        let (mut pid_out, mut pid_in) = io::pipe().map_err(failed)?;
        let gate_in = gate.as_raw_fd();
        let mut child = Command::new(&program);
        child.args(arguments);
        let wait = move || {
            unblock_signals()?;
            // SAFETY: the number is that of the child's own copy of the writing end, which nothing
            // else in the child uses. Held open, it would keep the read below from seeing the end.
            unsafe { libc::close(gate_in) };
            pid_in.write_all(&std::process::id().to_ne_bytes())?;
            match gate_out.read(&mut [0]) {
                Ok(1) => Ok(()),
                Ok(_) => Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) => Err(error),
            }
        };
        // SAFETY: between fork and exec it only calls sigemptyset, pthread_sigmask, close, getpid,
        // write and read, which are async-signal-safe, and allocates nothing.
        unsafe { child.pre_exec(wait) };
        // `spawn` returns only when the child has executed the command or failed to. It owns the
        // child's ends of the pipes: if there is no child, they close.
        let started = std::thread::Builder::new()
            .name("tracer-command".to_owned())
            .spawn(move || child.spawn())
            .map_err(failed)?;

        let mut pid = [0; 4];
        if pid_out.read_exact(&mut pid).is_err() {
            let error = match started.join() {
                Ok(Err(error)) => error,
                _ => io::Error::other("the child ended early"),
            };
            return Err(failed(error));
        }
        Ok(Held {
            program: name,
            pid: u32::from_ne_bytes(pid),
            gate,
            started,
        })
    }

    /// Its process id, the same before and after the command is executed.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it execute the command.
    ///
    /// # Errors
    ///
    /// It cannot be: not found, not executable, not a program.
    pub fn release(mut self) -> Result<Child, Error> {
        // If a signal ended the child meanwhile, nobody reads this: waiting for the child tells.
        _ = self.gate.write_all(&[1]);
        let started = self
            .started
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that waits for it is gone")));
        started.map_err(|error| Error::Command {
            program: self.program,
            error,
        })
    }
}

/// The agent blocks signals to take them in one thread; a program expects to start with none blocked.
fn unblock_signals() -> io::Result<()> {
    // SAFETY: an all-zero sigset_t is a valid value of it.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `none` is ours; it outlives both calls.
    let result = unsafe {
        libc::sigemptyset(&mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, std::ptr::null_mut())
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(result))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;

    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn nothing_runs_before_the_release() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("echo $$ > {}; exit 7", mark.display());
        let held = Held::start(&words(&["sh", "-c", &script])).unwrap();
        let pid = held.pid();
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        assert!(!mark.exists());
        let mut child = held.release().unwrap();
        assert_eq!(child.id(), pid);
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert_eq!(
            std::fs::read_to_string(&mark).unwrap().trim(),
            pid.to_string()
        );
    }

    #[test]
    fn a_command_that_is_not_there() {
        let held = Held::start(&words(&["no-such-command-here"])).unwrap();
        let error = held.release().unwrap_err();
        assert_eq!(error.exit_code(), 127);
        assert!(
            error
                .to_string()
                .starts_with("no-such-command-here: command not found")
        );
    }

    #[test]
    fn a_file_that_is_not_executable() {
        let held = Held::start(&words(&["/etc/passwd"])).unwrap();
        let error = held.release().unwrap_err();
        assert_eq!(error.exit_code(), 126);
        let held = Held::start(&words(&["/"])).unwrap();
        assert_eq!(held.release().unwrap_err().exit_code(), 126);
    }

    #[test]
    fn ended_by_a_signal_before_the_release() {
        let held = Held::start(&words(&["true"])).unwrap();
        // Not SIGINT, which a shell has its background jobs ignore.
        // SAFETY: kill takes any id; this one is the test's own process.
        unsafe { libc::kill(held.pid() as i32, libc::SIGTERM) };
        let status = held.release().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGTERM));
    }

    #[test]
    fn dropped_it_never_runs() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let held = Held::start(&words(&["touch", mark.to_str().unwrap()])).unwrap();
        let Held { gate, started, .. } = held;
        drop(gate);
        assert!(started.join().unwrap().is_err());
        assert!(!mark.exists());
    }
}
