//! What an agent under test records beside everything else, and whether it replays to the same.
//!
//! In a test that says so ([`begin`]) every agent records, and once it was stopped its recording is replayed:
//! whatever real servers say to real clients in the live tests, a replay makes as many messages and spans of
//! it, none less complete. With `TRACER_TEST_RECORDED=FOLDER` all tests do, and the recordings stay there, with the
//! lines of `-o json` beside each: that is how the tests of replays, which compare byte for byte, come by theirs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempPath;

use crate::agent::{Stats, run};

/// The test that runs, if its agents record, and how many have.
static TEST: Mutex<Option<(String, usize)>> = Mutex::new(None);

/// A test of that name begins, whose agents record or do not. Tests run one at a time.
pub fn begin(name: &str, records: bool) {
    let records = records || folder().is_some();
    let name = name.replace("::", "-");
    *TEST.lock().expect("not poisoned") = records.then_some((name, 0));
}

/// Where recordings are to stay.
fn folder() -> Option<PathBuf> {
    std::env::var_os("TRACER_TEST_RECORDED").map(PathBuf::from)
}

/// An agent's recording.
pub struct Recording {
    /// Removed when dropped.
    file: TempPath,
    /// Where it is to stay.
    kept: Option<PathBuf>,
}

impl Recording {
    /// One for an agent that is started with these arguments: if the test records, and the agent has none
    /// of the test's own.
    pub(crate) fn wanted<A: AsRef<OsStr>>(arguments: &[A]) -> Option<Recording> {
        let mut words = arguments.iter().map(AsRef::as_ref);
        if words.any(|word| word == "--record" || word == "replay" || word == "doctor") {
            return None;
        }
        let mut test = TEST.lock().expect("not poisoned");
        let (name, agents) = test.as_mut()?;
        *agents += 1;
        let file = tempfile::NamedTempFile::new().expect("a file");
        Some(Recording {
            file: file.into_temp_path(),
            kept: folder().map(|folder| folder.join(format!("{name}-{agents}.rec"))),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Replays what an agent with these counters recorded, unless the disk had no time for it all: then
    /// others are its messages.
    #[track_caller]
    pub(crate) fn assert_same(&self, live: &Stats) {
        if live.limits["recorded_events"] > 0 {
            eprintln!("not replayed: {:?}", live.limits);
            return;
        }
        let stats = tempfile::NamedTempFile::new().expect("a file");
        let [file, stats_file] =
            [self.path(), stats.path()].map(|path| path.to_str().expect("ours"));
        let output = if self.kept.is_some() { "json" } else { "none" };
        let (code, spans, stderr) = run(&["replay", file, "-o", output, "--stats", stats_file]);
        assert_eq!(code, 0, "{stderr:#?}");
        if let Some(kept) = &self.kept {
            fs::copy(file, kept).expect("TRACER_TEST_RECORDED: a folder");
            let lines = spans.into_iter().map(|line| line + "\n");
            fs::write(kept.with_extension("json"), lines.collect::<String>()).expect("beside it");
        }
        let replayed: Stats =
            serde_json::from_reader(stats).expect("--stats is JSON of that shape");
        assert_eq!(replayed.messages, live.messages, "replayed, and live");
        assert_eq!(replayed.spans.made, live.spans.made, "replayed, and live");
    }
}
