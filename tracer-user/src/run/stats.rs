//! The `--stats` file: the agent's counters as JSON, written at the end.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::config::Stats;
use crate::counters::Counters;
use crate::files;

/// Where the counters will go, open since the start: an unwritable path shows before anything is
/// attached, and the old content stays until there is new.
pub enum StatsSink {
    StandardError,
    File { path: PathBuf, file: File },
}

impl StatsSink {
    /// Opens it; the error is of the file at the path given with it.
    pub fn open(stats: &Stats) -> Result<StatsSink, (PathBuf, io::Error)> {
        match stats {
            Stats::StandardError => Ok(StatsSink::StandardError),
            Stats::File(path) => match files::create(path, false) {
                Ok(file) => Ok(StatsSink::File {
                    path: path.clone(),
                    file,
                }),
                Err(error) => Err((path.clone(), error)),
            },
        }
    }

    /// Writes the counters as one line of JSON.
    pub fn write(self, counters: &Counters) -> Result<(), (PathBuf, io::Error)> {
        let mut json = serde_json::to_string(counters).unwrap_or_default();
        json.push('\n');
        match self {
            StatsSink::StandardError => io::stderr()
                .write_all(json.as_bytes())
                .map_err(|error| (Path::new("standard error").to_owned(), error)),
            StatsSink::File { path, mut file } => {
                // Removed meanwhile: what is written to it nobody would find.
                if files::is_nameless(&file) {
                    file = files::create(&path, true).map_err(|error| (path.clone(), error))?;
                }
                // A pipe or terminal has no length to cut.
                let regular = file.metadata().is_ok_and(|data| data.is_file());
                let cut = if regular { file.set_len(0) } else { Ok(()) };
                cut.and_then(|()| file.write_all(json.as_bytes()))
                    .map_err(|error| (path, error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn stats_replace_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.json");
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        let sink = StatsSink::open(&Stats::File(path.clone())).ok().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap().len(),
            5000,
            "until there is new"
        );
        let mut counters = Counters::default();
        counters.spans.dropped.insert("endpoint", 2);
        sink.write(&counters).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["spans"]["dropped"]["endpoint"], 2);
        assert_eq!(json["transfers"]["lost"], serde_json::json!({}));
    }

    #[test]
    fn a_file_that_was_removed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.json");
        let open = || StatsSink::open(&Stats::File(path.clone())).ok().unwrap();
        let sink = open();
        std::fs::remove_file(&path).unwrap();
        sink.write(&Counters::default()).unwrap();
        assert_ne!(std::fs::read_to_string(&path).unwrap(), "");
        let sink = open();
        folder.close().unwrap();
        let (named, error) = sink.write(&Counters::default()).unwrap_err();
        assert_eq!((named, error.kind()), (path, io::ErrorKind::NotFound));
    }

    #[test]
    fn an_unwritable_path_shows_at_the_start() {
        let path = PathBuf::from("/nowhere/stats.json");
        let (named, error) = StatsSink::open(&Stats::File(path.clone())).err().unwrap();
        assert_eq!(named, path);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
