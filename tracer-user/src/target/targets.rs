//! The traced processes as they come and go: who joins, who has left, when the run is over.
//!
//! Told of every process event of the kernel's by the one thread that reads them. It decides; that
//! thread acts on its answer.

use std::collections::HashMap;

use super::{Error, Process, Selection, Selector, descendants};

/// See the module.
pub struct Targets {
    selector: Selector,
    follow: bool,
    all: bool,
    open_ended: bool,
    /// Traced and not known to have ended. Empty under `--all`: the kernel traces whoever there is.
    living: HashMap<u32, Process>,
}

impl Targets {
    /// None yet.
    ///
    /// # Errors
    ///
    /// The selection has a pattern that is none.
    pub fn new(selection: &Selection, follow: bool) -> Result<Targets, Error> {
        Ok(Targets {
            selector: Selector::new(selection)?,
            follow,
            all: *selection == Selection::All,
            open_ended: selection.open_ended(),
            living: HashMap::new(),
        })
    }

    /// The processes that match now; see [`Selector::now`].
    ///
    /// # Errors
    ///
    /// One named by its id cannot be traced.
    pub fn find(&self) -> Result<Vec<Process>, Error> {
        self.selector.now()
    }

    /// Has these traced, and if children are followed all their descendants: `trace` switches a
    /// process on or off. One that ends meanwhile is off again, so that no later process of its id
    /// is traced.
    ///
    /// # Errors
    ///
    /// `trace` failed; `/proc` unreadable.
    pub fn join<E: From<Error>>(
        &mut self,
        mut found: Vec<Process>,
        mut trace: impl FnMut(u32, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        // A child forked by a process after that was switched on is followed by the kernel; all
        // others are found by looking again until there are no new ones.
        while !found.is_empty() {
            for process in found {
                trace(process.pid, true)?;
                if process.runs() {
                    self.living.insert(process.pid, process);
                } else {
                    trace(process.pid, false)?;
                }
            }
            if !self.follow {
                break;
            }
            let known: Vec<Process> = self.living.values().copied().collect();
            found = descendants(&known)?;
        }
        Ok(())
    }

    /// A traced process forked this one, which the kernel traces since.
    pub fn forked(&mut self, pid: u32) {
        if self.all {
            return;
        }
        // Its start time is only needed for as long as it lives; without, it has ended.
        if let Some(process) = Process::now(pid) {
            self.living.insert(pid, process);
        }
    }

    /// A process executes another program. True: it is to be traced from now on.
    pub fn execed(&mut self, pid: u32) -> bool {
        let new = !self.all && !self.living.contains_key(&pid);
        new && self.selector.wants(pid) && self.add(pid)
    }

    /// A process listens on a TCP port. True: it is to be traced from now on.
    pub fn listening(&mut self, pid: u32, port: u16) -> bool {
        let new = !self.all && !self.living.contains_key(&pid);
        new && self.selector.wants_port(pid, port) && self.add(pid)
    }

    /// A process ended.
    pub fn exited(&mut self, pid: u32) {
        self.living.remove(&pid);
    }

    /// Forgets those that have ended without our being told: when the ring was full, the event was
    /// lost with others. To be called now and then.
    pub fn sweep(&mut self) {
        self.living.retain(|_, process| process.runs());
    }

    /// How many are traced.
    pub fn count(&self) -> usize {
        self.living.len()
    }

    /// Whether all have ended and no other can come.
    pub fn over(&self) -> bool {
        self.living.is_empty() && !self.open_ended
    }

    fn add(&mut self, pid: u32) -> bool {
        let process = Process::now(pid);
        self.living.extend(process.map(|process| (pid, process)));
        process.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn of_pids(pids: &[u32], follow: bool) -> Targets {
        let selection = Selection::Matching {
            pids: pids.to_vec(),
            exes: vec![],
            ports: vec![],
        };
        Targets::new(&selection, follow).unwrap()
    }

    #[test]
    fn children_that_exist_are_traced_too() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & echo; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut String::new()).unwrap();
        let mut pids = HashSet::new();
        for follow in [false, true] {
            let mut targets = of_pids(&[shell.id()], follow);
            pids.clear();
            let found = targets.find().unwrap();
            let traced = targets.join(found, |pid, on| {
                assert!(on && pids.insert(pid));
                Ok::<_, Error>(())
            });
            traced.unwrap();
            assert_eq!(targets.count(), if follow { 2 } else { 1 });
        }
        pids.remove(&shell.id());
        for pid in pids {
            // SAFETY: kill takes any id; this one is the test's own process.
            unsafe { libc::kill(pid as i32, libc::SIGKILL) };
        }
        shell.wait().unwrap();
    }

    #[test]
    fn one_that_ends_meanwhile_is_switched_off() {
        let child = sleeper();
        let mut targets = of_pids(&[child.id()], true);
        let found = targets.find().unwrap();
        let pid = child.id();
        end(child);
        let mut calls = Vec::new();
        let joined = targets.join(found, |pid, on| {
            calls.push((pid, on));
            Ok::<_, Error>(())
        });
        joined.unwrap();
        assert_eq!(calls, [(pid, true), (pid, false)]);
        assert!(targets.over());
    }

    #[test]
    fn over_when_the_last_has_ended() {
        let (first, second) = (sleeper(), sleeper());
        let mut targets = of_pids(&[first.id()], true);
        let found = targets.find().unwrap();
        targets.join(found, |_, _| Ok::<_, Error>(())).unwrap();
        targets.forked(second.id());
        assert_eq!(targets.count(), 2);
        targets.exited(first.id());
        targets.sweep();
        assert!(!targets.over());
        let pid = second.id();
        end(second);
        targets.sweep();
        assert!(targets.over(), "its exit was never told");
        assert!(!targets.execed(pid));
        end(first);
    }

    #[test]
    fn later_ones_join_by_what_they_execute_or_listen_on() {
        let child = sleeper();
        // `sleep` may be a link; the kernel names the file.
        let exe = std::fs::read_link(format!("/proc/{}/exe", child.id())).unwrap();
        let exes = vec![exe.to_str().unwrap().to_owned()];
        let selection = Selection::Matching {
            pids: vec![],
            exes,
            ports: vec![81],
        };
        let mut targets = Targets::new(&selection, true).unwrap();
        assert!(!targets.over(), "others may come");
        assert!(targets.execed(child.id()));
        assert!(!targets.execed(child.id()), "it is traced already");
        targets.exited(child.id());
        assert!(!targets.listening(child.id(), 80));
        assert!(targets.listening(child.id(), 81));
        end(child);
    }
}
