//! Recordings and captures that were cut or damaged: replayed in this process as far as they make sense, and never
//! further than what is whole would be.

use std::path::Path;

use tokio::runtime::Runtime;
use tracer::context::Formats;
use tracer::counters::Counters;
use tracer::export::{Exporter, Output, Settings};
use tracer::replay::Replay;
use tracer::resource;
use tracer::semconv::{Paths, Routes};
use tracer::stations::Outlets;

/// Files that are damaged, over all that there are.
const DAMAGED: usize = 10_000;

/// What became of a file: none if it is none that can be replayed.
fn replay(path: &Path, runtime: &Runtime) -> Option<Counters> {
    let settings = Settings {
        output: Output::None,
        ..Settings::default()
    };
    let exporter = Exporter::start(settings, runtime.handle()).expect("nothing to start");
    let outlets = Outlets {
        paths: Paths::new(Routes::default()),
        exporter,
        metering: None,
        formats: Formats::default(),
    };
    let replay = Replay::open(path).ok()?;
    Some(replay.run(outlets, resource::Options::default(), || false))
}

/// The next of some numbers that look like any (Knuth's MMIX).
fn any(state: &mut u64) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

/// A file, cut or with some bits flipped.
fn damaged(whole: &[u8], state: &mut u64) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    match any(state) % 4 {
        0 => bytes.truncate(any(state) % whole.len()),
        _ => {
            for _ in 0..=any(state) % 3 {
                let at = any(state) % whole.len();
                bytes[at] ^= 1 << (any(state) % 8);
            }
        }
    }
    bytes
}

#[test]
fn whatever_is_damaged_adds_up() {
    let runtime = Runtime::new().expect("a runtime");
    let mut files = crate::files("rec");
    files.extend(crate::files("pcapng"));
    std::thread::scope(|threads| {
        for path in &files {
            threads.spawn(|| adds_up(path, DAMAGED / files.len(), &runtime));
        }
    });
}

/// Of that file, damaged so many times.
fn adds_up(path: &Path, times: usize, runtime: &Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("damaged");
    let whole = std::fs::read(path).expect("ours");
    let most = replay(path, runtime).expect("it is whole");
    let mut state = whole.len() as u64;
    for _ in 0..times {
        std::fs::write(&file, damaged(&whole, &mut state)).expect("written");
        let Some(counters) = replay(&file, runtime) else {
            continue;
        };
        let messages = &counters.messages;
        let incomplete: u64 = messages.incomplete.values().sum();
        assert_eq!(messages.started, messages.complete + incomplete);
        let (spans, transfers) = (&counters.spans, &counters.transfers);
        let dropped: u64 = spans.dropped.values().sum();
        assert_eq!(spans.made, spans.exported + spans.unsampled + dropped);
        let lost: u64 = transfers.lost.values().sum();
        assert_eq!(transfers.seen, transfers.delivered + lost);
        // A capture's packets each may tell something else; a recording's blocks are as they were written.
        if path.extension().is_some_and(|is| is == "rec") {
            assert!(transfers.delivered <= most.transfers.delivered);
            assert!(messages.complete <= most.messages.complete, "{counters:?}");
        }
    }
}
