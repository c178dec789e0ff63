//! Child processes that never outlive their test, and what `/proc` tells of a process.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::wait;

/// A child and everything it forks: its own process group, killed when this is dropped.
pub struct Process {
    child: Child,
    /// What it wrote to standard error so far.
    pub stderr: Lines,
    /// What it wrote to standard output so far.
    pub stdout: Lines,
}

impl Process {
    /// Starts it with both outputs read line by line.
    #[track_caller]
    pub fn start(command: &mut Command) -> Process {
        let mut child = command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = Lines::read(child.stdout.take().expect("piped"));
        let stderr = Lines::read(child.stderr.take().expect("piped"));
        Process {
            child,
            stderr,
            stdout,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for its standard input.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: i32) {
        send(self.pid() as i32, signal);
    }

    /// Lets its threads go before others' from now on, where this is root.
    pub fn go_first(&self) {
        const NICE: libc::c_int = -10;
        for id in threads(self.pid()) {
            // SAFETY: setpriority has no preconditions on memory.
            unsafe {
                libc::setpriority(libc::PRIO_PROCESS, id as libc::id_t, NICE);
            }
        }
    }

    /// Has its threads scheduled so from now on: `SCHED_IDLE` gives them what CPU time nobody else wants.
    pub fn schedule(&self, policy: libc::c_int) {
        // SAFETY: all-zero is a value of this structure of numbers.
        let none: libc::sched_param = unsafe { std::mem::zeroed() };
        for id in threads(self.pid()) {
            // SAFETY: the structure outlives the call.
            unsafe { libc::sched_setscheduler(id, policy, &raw const none) };
        }
    }

    /// Stops it where it is, until it is sent SIGCONT; it stands still when this returns.
    #[track_caller]
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
        wait::until("the process to stand still", wait::SOON, || {
            let stands = |id: i32| {
                let stat = format!("/proc/{}/task/{id}/stat", self.pid());
                let stat = std::fs::read_to_string(stat).unwrap_or_default();
                // The state stands behind the name, which may hold anything.
                stat.rsplit(')')
                    .next()
                    .is_some_and(|rest| rest.starts_with(" T"))
            };
            threads(self.pid()).into_iter().all(stands).then_some(())
        });
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Awaits its end, and the end of its output.
    #[track_caller]
    pub fn wait(&mut self, longest: Duration) -> ExitStatus {
        let status = wait::until("the process to end", longest, || {
            self.child.try_wait().expect("a child of ours")
        });
        self.stdout.wait_end();
        self.stderr.wait_end();
        status
    }

    /// The exit code as a shell shows it: 128 + the signal where one ended it.
    #[track_caller]
    pub fn wait_code(&mut self, longest: Duration) -> i32 {
        let status = self.wait(longest);
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().expect("it has ended"))
    }
}

/// The threads of a process.
fn threads(pid: u32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    threads
        .filter_map(|thread| thread.file_name().to_str()?.parse().ok())
        .collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group is ours alone: the child was made its leader. After the child itself was
        // awaited, its number may only be used again once the group is empty.
        send(-(self.child.id() as i32), libc::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Sends `signal` to a process, or to a group if negative. Whether it is still there does not matter.
pub fn send(pid: i32, signal: i32) {
    // SAFETY: kill has no preconditions on memory.
    unsafe {
        libc::kill(pid, signal);
    }
}

/// Lines that a thread reads from a pipe.
#[derive(Clone)]
pub struct Lines(Arc<(Mutex<Read0>, Condvar)>);

#[derive(Default)]
struct Read0 {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn read(pipe: impl Read + Send + 'static) -> Lines {
        let lines = Lines(Arc::new((Mutex::new(Read0::default()), Condvar::new())));
        let ours = lines.clone();
        std::thread::spawn(move || {
            let (state, changed) = &*ours.0;
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim_end().to_string();
                state.lock().expect("not poisoned").lines.push(text);
                changed.notify_all();
                line.clear();
            }
            state.lock().expect("not poisoned").ended = true;
            changed.notify_all();
        });
        lines
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().expect("not poisoned").lines.clone()
    }

    /// How many there are so far.
    pub fn count(&self) -> usize {
        self.0.0.lock().expect("not poisoned").lines.len()
    }

    /// The first line that `wanted` accepts; panics with all of them if the pipe ends without one.
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let (state, changed) = &*self.0;
        let deadline = Instant::now() + wait::patiently(wait::SOON);
        let mut guard = state.lock().expect("not poisoned");
        loop {
            if let Some(line) = guard.lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !guard.ended && !left.is_zero(),
                "no {what} among the lines: {:#?}",
                guard.lines
            );
            guard = changed.wait_timeout(guard, left).expect("not poisoned").0;
        }
    }

    fn wait_end(&self) {
        let (state, changed) = &*self.0;
        let guard = state.lock().expect("not poisoned");
        // A grandchild may hold the pipe open beyond its parent's end.
        let longest = wait::patiently(Duration::from_secs(2));
        let _ = changed.wait_timeout_while(guard, longest, |s| !s.ended);
    }
}

/// CPU time that a process (all its threads) has used, user and system.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command's name may hold spaces: fields are counted from its closing parenthesis.
    let fields: Vec<u64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let ticks = fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
    // SAFETY: sysconf has no preconditions.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
    Duration::from_millis(ticks * 1000 / per_second)
}

/// Memory of a process that is in RAM, in bytes.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// The processes whose parent is `pid`.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}
