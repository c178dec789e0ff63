//! A selection at work: the processes it names now, and whether a later one belongs to it.
//!
//! Later ones are told by the kernel: an exec ([`Selector::wants`]) or a listen
//! ([`Selector::wants_port`]) of a process that is not traced yet.

use std::path::{Path, PathBuf};

use super::{Error, Process, Selection, listen};

/// The first process holds the sockets of services that it starts on demand (systemd.socket(5)). It
/// serves none itself, and to follow its children would be to trace the whole host.
const INIT: u32 = 1;

/// A selection that was checked to make sense.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    pids: Vec<u32>,
    exes: Vec<Pattern>,
    ports: Vec<u16>,
    all: bool,
}

impl Selector {
    /// For a command nothing is selected: it is traced from its start, and nothing joins it but its
    /// children.
    ///
    /// # Errors
    ///
    /// A pattern that is none.
    pub fn new(selection: &Selection) -> Result<Selector, Error> {
        match selection {
            Selection::Matching { pids, exes, ports } => Ok(Selector {
                pids: pids.clone(),
                exes: exes
                    .iter()
                    .map(|exe| Pattern::new(exe))
                    .collect::<Result<_, _>>()?,
                ports: ports.clone(),
                all: false,
            }),
            Selection::All => Ok(Selector {
                all: true,
                ..Selector::default()
            }),
            Selection::Command(_) => Ok(Selector::default()),
        }
    }

    /// The processes that match now, each once.
    ///
    /// # Errors
    ///
    /// A process named by its id that cannot be traced (see [`Process::find`]); `/proc` unreadable.
    pub fn now(&self) -> Result<Vec<Process>, Error> {
        if self.all {
            return Process::all();
        }
        let mut found = self
            .pids
            .iter()
            .map(|&pid| Process::find(pid))
            .collect::<Result<Vec<_>, _>>()?;
        if !self.exes.is_empty() {
            found.extend(
                Process::all()?
                    .into_iter()
                    .filter(|process| self.wants(process.pid)),
            );
        }
        if !self.ports.is_empty() {
            // One that is not able to be traced, or just went, was not asked for by name.
            let listeners = listen::listeners(&self.ports)?;
            let servers = listeners.into_iter().filter(|pid| *pid != INIT);
            found.extend(servers.filter_map(|pid| Process::find(pid).ok()));
        }
        found.sort_by_key(|process| process.pid);
        found.dedup();
        Ok(found)
    }

    /// Whether the program that `pid` executes now is one that was asked for.
    pub fn wants(&self, pid: u32) -> bool {
        if self.exes.is_empty() || pid == std::process::id() {
            return false;
        }
        executable(pid).is_some_and(|path| self.exes.iter().any(|exe| exe.matches(&path)))
    }

    /// Whether `pid`, which began to listen on TCP port `port`, was asked for by that.
    pub fn wants_port(&self, pid: u32, port: u16) -> bool {
        pid != INIT && pid != std::process::id() && self.ports.contains(&port)
    }
}

/// A pattern for an executable's path, or, without a slash, for its file's name.
#[derive(Clone, Debug)]
struct Pattern {
    glob: glob::Pattern,
    whole_path: bool,
    /// A plain path's target: `/proc/PID/exe` has links resolved (`/usr/bin/python3`).
    resolved: Option<PathBuf>,
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern, Error> {
        let bad = |reason| Error::BadPattern {
            pattern: text.to_owned(),
            reason,
        };
        if text.is_empty() {
            return Err(bad("an empty pattern matches nothing"));
        }
        Ok(Pattern {
            glob: glob::Pattern::new(text).map_err(|error| bad(error.msg))?,
            whole_path: text.contains('/'),
            resolved: text
                .contains('/')
                .then(|| std::fs::canonicalize(text).ok())
                .flatten(),
        })
    }

    fn matches(&self, path: &Path) -> bool {
        if !self.whole_path {
            let name = path.file_name().map(|name| name.to_string_lossy());
            return name.is_some_and(|name| self.glob.matches(&name));
        }
        self.glob.matches_path(path) || self.resolved.as_deref() == Some(path)
    }
}

/// The path of a process' executable, also when its file was replaced since (an update).
fn executable(pid: u32) -> Option<PathBuf> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let text = path
        .to_str()
        .and_then(|text| text.strip_suffix(" (deleted)"));
    Some(text.map(PathBuf::from).unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;

    fn matching(pids: &[u32], exes: &[&str], ports: &[u16]) -> Selector {
        let selection = Selection::Matching {
            pids: pids.to_vec(),
            exes: exes.iter().map(|exe| exe.to_string()).collect(),
            ports: ports.to_vec(),
        };
        Selector::new(&selection).unwrap()
    }

    #[test]
    fn a_pattern_without_a_slash_is_the_files_name() {
        let name = Pattern::new("python3*").unwrap();
        assert!(name.matches(Path::new("/usr/bin/python3.11")));
        assert!(!name.matches(Path::new("/opt/python3.11/bin/pip")));
        let path = Pattern::new("/opt/*/bin/java").unwrap();
        assert!(path.matches(Path::new("/opt/jdk-21/bin/java")));
        assert!(!path.matches(Path::new("/usr/bin/java")));
    }

    #[test]
    fn a_bad_pattern_says_what_is_wrong() {
        let selection = Selection::Matching {
            pids: vec![],
            exes: vec!["a[".into()],
            ports: vec![],
        };
        let said = Selector::new(&selection).unwrap_err().to_string();
        assert!(said.starts_with("--exe 'a[': "), "{said}");
    }

    #[test]
    fn a_plain_path_is_followed_to_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        let file = std::fs::canonicalize("/bin/sh").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(Pattern::new(link.to_str().unwrap()).unwrap().matches(&file));
    }

    #[test]
    fn by_id_executable_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("server-7");
        std::fs::copy(std::fs::canonicalize("/bin/sleep").unwrap(), &program).unwrap();
        let mut child = Command::new(&program).arg("60").spawn().unwrap();
        let by_name = matching(&[child.id()], &["server-[0-9]"], &[]);
        let found = by_name.now().unwrap();
        assert_eq!(
            found.iter().map(|process| process.pid).collect::<Vec<_>>(),
            [child.id()]
        );
        assert!(by_name.wants(child.id()));
        std::fs::remove_file(&program).unwrap();
        assert!(by_name.wants(child.id()), "its file was replaced");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn by_port_never_the_agent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let by_port = matching(&[], &[], &[port]);
        assert!(
            by_port.now().unwrap().is_empty(),
            "only this process listens there"
        );
        assert!(by_port.wants_port(7, port) && !by_port.wants_port(7, port ^ 1));
        assert!(!by_port.wants_port(INIT, port));
        assert!(!by_port.wants_port(std::process::id(), port));
    }
}
