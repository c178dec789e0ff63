//! The command that was started, while it runs: its end, its signals, its exit code.
//!
//! As under strace: what the terminal sends (Ctrl-C, Ctrl-\, hang-up) the command has got itself,
//! being in the same foreground process group, and the agent stays until it ends. A signal that was
//! sent to the agent alone is handed on.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use super::signals::Signal;

/// A command that runs, or is a zombie: its id is its own until [`Command::exit_code`].
pub struct Command {
    child: Child,
    /// The last signal that the agent sent it.
    sent: Option<i32>,
}

impl Command {
    /// Has `ended` called when it has ended, from another thread.
    pub fn new(child: Child, ended: impl FnOnce() + Send + 'static) -> io::Result<Command> {
        let id = child.id();
        let wait = move || {
            wait_for_end(id);
            ended();
        };
        std::thread::Builder::new()
            .name("tracer-wait".to_owned())
            .spawn(wait)?;
        Ok(Command { child, sent: None })
    }

    /// Hands on what only the agent was sent.
    pub fn signal(&mut self, signal: Signal) {
        if !signal.from_terminal {
            self.send(signal.number);
        }
    }

    /// Asks it to end.
    pub fn terminate(&mut self) {
        self.send(libc::SIGTERM);
    }

    fn send(&mut self, number: i32) {
        self.sent = Some(number);
        // SAFETY: kill has no preconditions; the id is of a child that was not waited for.
        unsafe { libc::kill(self.child.id() as i32, number) };
    }

    /// When it has ended: its exit code; 128 + N if signal N ended it, as a shell has it. If that is
    /// the signal that the agent was sent and handed on, all went as it was asked to: 0.
    pub fn exit_code(mut self) -> u8 {
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => {
                log::error!("cannot wait for the command: {error}");
                return 1;
            }
        };
        let code = match status.signal() {
            Some(number) if self.sent == Some(number) => Some(0),
            Some(number) => Some(128 + number),
            None => status.code(),
        };
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
    }
}

/// Waits until child `id` is a zombie, and leaves it one: its id is not given to another while
/// signals may still be sent to it.
fn wait_for_end(id: u32) {
    loop {
        // SAFETY: an all-zero siginfo_t is a valid value of it.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOWAIT;
        // SAFETY: `info` outlives the call.
        let result = unsafe { libc::waitid(libc::P_PID, id, &mut info, flags) };
        if result == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn running(script: &str) -> (Command, mpsc::Receiver<()>) {
        let child = std::process::Command::new("sh")
            .args(["-c", script])
            .spawn()
            .unwrap();
        let (tell, ended) = mpsc::channel();
        (
            Command::new(child, move || tell.send(()).unwrap()).unwrap(),
            ended,
        )
    }

    #[test]
    fn exit_code_is_passed_through() {
        let (running, ended) = running("exit 41");
        ended.recv().unwrap();
        assert_eq!(running.exit_code(), 41);
    }

    #[test]
    fn a_signal_is_handed_on_unless_the_terminal_sent_it() {
        let (mut running, ended) = running("exec sleep 60");
        let signal = |number, from_terminal| Signal {
            number,
            from_terminal,
        };
        running.signal(signal(libc::SIGQUIT, true));
        running.signal(signal(libc::SIGTERM, false));
        ended.recv().unwrap();
        assert_eq!(running.exit_code(), 0, "it ended as it was asked to");
    }

    #[test]
    fn a_signal_that_ends_it_is_told_as_a_shell_does() {
        let (mut running, ended) = running("kill -KILL $$");
        ended.recv().unwrap();
        running.signal(Signal {
            number: libc::SIGTERM,
            from_terminal: false,
        });
        assert_eq!(running.exit_code(), 128 + libc::SIGKILL as u8);
    }

    #[test]
    fn what_it_makes_of_a_signal_is_its_own() {
        let script = "trap 'exit 5' TERM; echo; for i in 1 2 3 4 5 6 7 8 9; do sleep 1; done";
        let mut child = std::process::Command::new("sh")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Not before it has its trap.
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut String::new()).unwrap();
        let mut command = Command::new(child, || ()).unwrap();
        command.terminate();
        assert_eq!(command.exit_code(), 5);
    }
}
