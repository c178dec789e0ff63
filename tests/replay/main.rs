//! Recordings of real servers and clients, replayed without root: what comes out is what came out live.
//!
//! `fixtures/recordings` has them, with the lines of `-o json` beside each; they hold no secrets. Those that begin
//! with a family are what a live test's agent records: `TRACER_TEST_RECORDED=$PWD/tests/fixtures/recordings cargo xtask
//! test sock::shape_table` makes that one anew. The others were made by `tracer -p ... -o json --record FILE` on programs
//! of the live tests. One is a capture: `tcpdump -i lo` of grpcio with itself, unary and streaming calls at once, of
//! which the lines were held against what its client asked for. Who changes what spans say looks at the difference,
//! and then has `tracer replay X.rec -o json > X.json` say it.

mod damage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::agent;
use tests::servers::fixture;

/// The files of that extension: `rec` for recordings.
fn files(extension: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(fixture("recordings")).expect("a folder");
    let files = folder.map(|entry| entry.expect("a file").path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|has| has == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Whether there is an agent to try; `cargo xtask test` builds one.
fn can_run() -> bool {
    let can = agent::program().is_some();
    assert!(can || std::env::var_os("CI").is_none(), "no agent to try");
    can
}

#[test]
fn recordings_make_the_spans_that_they_made_live() {
    if !can_run() {
        return;
    }
    for path in files("rec") {
        let said = makes_what_is_beside_it(&path);
        assert_eq!(said.len(), 1, "{path:?}: the summary alone: {said:#?}");
    }
}

#[test]
fn captures_make_the_spans_of_both_ends() {
    if !can_run() {
        return;
    }
    for path in files("pcapng") {
        let said = makes_what_is_beside_it(&path);
        assert!(said[0].ends_with("76 packets, 1 connection"), "{said:#?}");
        assert_eq!(said.len(), 2, "{path:?}: and the summary: {said:#?}");
    }
}

/// What a replay says on standard error, where its spans are the expected ones.
#[track_caller]
fn makes_what_is_beside_it(path: &Path) -> Vec<String> {
    let wanted = fs::read_to_string(path.with_extension("json")).expect("beside it");
    let wanted: Vec<&str> = wanted.lines().collect();
    let shown = path.to_str().expect("a path");
    let (code, stdout, stderr) = agent::run(&["replay", shown, "-o", "json"]);
    assert_eq!(code, 0, "{shown}: {stderr:#?}");
    assert_eq!(stdout, wanted, "{shown}");
    stderr
}

#[test]
fn what_cannot_be_replayed_whole_is_told_in_one_line() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("recording");
    let shown = file.to_str().expect("a path");
    let whole = fs::read(&files("rec")[0]).expect("ours");
    let capture = fs::read(&files("pcapng")[0]).expect("ours");
    let newer = String::from_utf8_lossy(&whole).replacen("\"format\":1,", "\"format\":2,", 1);
    for (bytes, code, word) in [
        (
            newer.as_bytes(),
            1,
            "a recording of format 2, and this tracer",
        ),
        (b"A text, of some length.\n", 1, "neither a recording"),
        (&capture[..capture.len() / 2], 0, "is cut or damaged"),
        (&capture[..10], 1, "not a capture"),
        (&whole[..whole.len() / 2], 0, "is cut"),
        (&whole[..10], 1, "neither a recording"),
        (&b""[..], 1, "neither a recording"),
    ] {
        fs::write(&file, bytes).expect("written");
        let (ended, _, stderr) = agent::run(&["replay", shown, "-o", "json"]);
        assert_eq!(ended, code, "{stderr:#?}");
        let said = stderr.iter().filter(|line| line.contains(word));
        assert_eq!(said.count(), 1, "{stderr:#?}");
    }
    for (path, word) in [
        ("/no/such/file", "No such file"),
        (folder.path().to_str().expect("a path"), "directory"),
    ] {
        let (code, _, stderr) = agent::run(&["replay", path]);
        assert_eq!((code, stderr.len()), (1, 1), "{stderr:#?}");
        assert!(stderr[0].contains(path), "{stderr:#?}");
        assert!(stderr[0].contains(word), "{stderr:#?}");
    }
}

/// In which there is no going back; compressed or not.
#[test]
fn what_comes_through_a_pipe_is_replayed() {
    if !can_run() {
        return;
    }
    for path in [&files("rec")[0], &files("pcapng")[0]] {
        let wanted = fs::read_to_string(path.with_extension("json")).expect("beside it");
        for (through, file) in [("cat", "-"), ("cat", "/dev/stdin"), ("gzip", "-")] {
            let mut pipe = Command::new(through)
                .stdin(fs::File::open(path).expect("ours"))
                .stdout(Stdio::piped())
                .spawn()
                .expect("Debian has it");
            let mut command = agent::command();
            command.args(["replay", file, "-o", "json"]);
            let from = pipe.stdout.take().expect("it is piped");
            let output = command.stdin(from).output().expect("it starts");
            assert!(output.status.success(), "{output:?}");
            assert!(output.stdout == wanted.as_bytes(), "{path:?} by {through}");
            assert!(pipe.wait().expect("it ends").success());
        }
    }
}
