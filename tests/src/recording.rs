//! What an agent under test records beside everything else, and whether it replays to the same.
//!
//! With `TRACER_TEST_RECORDED` set every agent that a test starts records, and once it was stopped its
//! recording is replayed: whatever real servers say to real clients in the live tests, a replay makes as
//! many messages and spans of it, none less complete. Left out by default, since the replays of unoptimised
//! agents take their time. Byte for byte, spans are compared by the tests of replays alone.

use std::ffi::OsStr;
use std::path::Path;

use tempfile::TempPath;

use crate::agent::{Stats, run};

/// An agent's recording; removed when dropped.
pub struct Recording(TempPath);

impl Recording {
    /// One for an agent that is started with these arguments: if it is asked for, and the agent has none
    /// of the test's own.
    pub(crate) fn wanted<A: AsRef<OsStr>>(arguments: &[A]) -> Option<Recording> {
        std::env::var_os("TRACER_TEST_RECORDED")?;
        let mut words = arguments.iter().map(AsRef::as_ref);
        if words.any(|word| word == "--record" || word == "replay" || word == "doctor") {
            return None;
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        Some(Recording(file.into_temp_path()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Replays what an agent with these counters recorded.
    #[track_caller]
    pub(crate) fn assert_same(&self, live: &Stats) {
        if live.limits["recorded_events"] > 0 {
            eprintln!(
                "not replayed: the recording had no time for {:?}",
                live.limits
            );
            return;
        }
        let stats = tempfile::NamedTempFile::new().expect("a file");
        let [file, stats_file] =
            [self.path(), stats.path()].map(|path| path.to_str().expect("ours"));
        let (code, _, stderr) = run(&["replay", file, "-o", "none", "--stats", stats_file]);
        assert_eq!(code, 0, "{stderr:#?}");
        let replayed: Stats =
            serde_json::from_reader(stats).expect("--stats is JSON of that shape");
        assert_eq!(replayed.messages, live.messages, "replayed, and live");
        assert_eq!(replayed.spans.made, live.spans.made, "replayed, and live");
    }
}
