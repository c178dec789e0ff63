//! The stations behind the probes: tracker, names of paths, exporter, metrics.
//!
//! They know neither the kernel nor the clock: [`crate::pipeline`] gives them what the probes see, and
//! [`crate::replay`] what a recording or capture holds. The same inputs in the same order make the same
//! spans.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use std::vec::Drain;

use crate::context::Formats;
use crate::counters::{Connections, Contexts, Counters, KernelCounters, Messages, Transfers};
use crate::event::{ConnectionId, Event};
use crate::export::Exporter;
use crate::export::metrics::Readers;
use crate::metrics::{Recorder, Snapshot, Unmeasured};
use crate::protocol::{Framing, Incomplete};
use crate::record::Tap;
use crate::resource::SharedResource;
use crate::semconv::Paths;
use crate::span::{Host, Seed, Span, Tracker, TrackerCounts};

/// Between two calls of [`Stations::clock`]: looks at what is due, such as export batches and held spans.
/// A tenth of what a person takes for "at once".
pub const TICK: Duration = Duration::from_millis(100);

/// Between two calls of [`Stations::sweep`]: looks at what goes wrong slowly, such as idle connections and
/// processes that vanished.
pub const SWEEP: Duration = Duration::from_secs(60);

/// How long the last spans may take to be delivered: what orchestrators give a process to end, less
/// what ending takes otherwise (Kubernetes: 30 s; systemd: 90 s; Docker: 10 s).
const FINISH: Duration = Duration::from_secs(8);

/// What spans become, as the user wants it.
pub struct Outlets {
    /// Names of paths.
    pub paths: Paths,
    /// Delivers.
    pub exporter: Exporter,
    /// Counts, where somebody reads it.
    pub metering: Option<Metering>,
    /// Which propagated contexts are read.
    pub formats: Formats,
}

/// Metrics of the traced processes, where somebody reads them.
pub struct Metering {
    /// Counts.
    pub recorder: Recorder,
    /// Read it.
    pub readers: Readers,
}

/// What processes are called: read from `/proc`, or from a recording.
pub type Describe = Box<dyn FnMut(u32) -> SharedResource + Send>;

/// All of them.
pub struct Stations {
    tracker: Tracker,
    outlet: Outlet,
}

/// What is known where the inputs come from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Source {
    /// The kernel side's counters.
    pub kernel: KernelCounters,
    /// Records that could not be decoded.
    pub bad_records: u64,
    /// Now. Unix ns.
    pub unix_ns: u64,
}

/// What the tracker hands on.
struct Outlet {
    paths: Paths,
    exporter: Exporter,
    metering: Option<Metering>,
    describe: Describe,
    tap: Option<Tap>,
    /// To be told to the kernel.
    ignored: Vec<ConnectionId>,
    /// Likewise.
    framed: Vec<(ConnectionId, Framing)>,
    /// Go processes whose goroutines are, or are not, to be told from now on.
    told: Vec<(u32, bool)>,
}

impl Host for Outlet {
    fn span(&mut self, span: Span) {
        let path = self.paths.name(&span);
        let kept = self.exporter.span(&span, path);
        if let Some(metering) = &mut self.metering {
            metering.recorder.record(&span, path, kept);
        }
    }

    fn ignore(&mut self, connection: ConnectionId) {
        self.ignored.push(connection);
        if let Some(tap) = &mut self.tap {
            tap.ignored(connection);
        }
    }

    fn framed(&mut self, connection: ConnectionId, framing: Framing) {
        self.framed.push((connection, framing));
        if let Some(tap) = &mut self.tap {
            tap.framed(connection, framing == Framing::Http2);
        }
    }

    fn describe(&mut self, pid: u32) -> SharedResource {
        let resource = (self.describe)(pid);
        if let Some(tap) = &mut self.tap {
            tap.process(&resource);
        }
        resource
    }

    fn tell_goroutines(&mut self, pid: u32, wanted: bool) {
        self.told.push((pid, wanted));
    }
}

/// What the stations have to say to the kernel.
pub struct Verdicts<'a> {
    /// Connections that carry nothing we know.
    pub ignored: Drain<'a, ConnectionId>,
    /// Connections that are cut into frames.
    pub framed: Drain<'a, (ConnectionId, Framing)>,
    /// Go processes whose goroutines are, or are not, to be told from now on.
    pub told: Drain<'a, (u32, bool)>,
}

impl Stations {
    /// Nothing was seen yet. `to_unix`: what to add to boot-time ns to get unix ns. All ids follow of the
    /// seed; what is given from now on is recorded, if there is a tap.
    pub fn new(
        outlets: Outlets,
        to_unix: i64,
        seed: Seed,
        describe: Describe,
        tap: Option<Tap>,
    ) -> Stations {
        let mut tracker = Tracker::new(to_unix);
        tracker.seed_ids(seed);
        tracker.keep_messages(outlets.exporter.messages_wanted());
        tracker.read_contexts(outlets.formats);
        Stations {
            tracker,
            outlet: Outlet {
                paths: outlets.paths,
                exporter: outlets.exporter,
                metering: outlets.metering,
                describe,
                tap,
                ignored: Vec::new(),
                framed: Vec::new(),
                told: Vec::new(),
            },
        }
    }

    /// Whether events are missing between those that come next; see [`Tracker::gap`].
    pub fn gap(&mut self, in_gap: bool) {
        if self.tracker.gap(in_gap)
            && let Some(tap) = &mut self.outlet.tap
        {
            tap.gap(in_gap);
        }
    }

    /// Takes what the kernel saw next.
    pub fn event(&mut self, event: &Event<'_>) {
        self.tracker.event(event, &mut self.outlet);
        if let Some(tap) = &mut self.outlet.tap {
            tap.event(event);
        }
    }

    /// What follows from the events since the last call, for the kernel.
    pub fn verdicts(&mut self) -> Verdicts<'_> {
        Verdicts {
            ignored: self.outlet.ignored.drain(..),
            framed: self.outlet.framed.drain(..),
            told: self.outlet.told.drain(..),
        }
    }

    /// Time passed, as the kernel's clock and the wall's have it: every [`TICK`].
    pub fn clock(&mut self, boot_ns: u64, to_unix: i64) {
        if let Some(tap) = &mut self.outlet.tap {
            tap.clock(boot_ns, to_unix);
        }
        self.tracker.set_clock(to_unix);
        self.tracker.tick(boot_ns, &mut self.outlet);
    }

    /// Time passed for the exporter: whenever spans may have been made.
    pub fn deliver(&mut self, now: Instant) {
        if let Some(tap) = &mut self.outlet.tap {
            tap.told(now);
        }
        self.outlet.exporter.tick(now);
    }

    /// Looks for what was idle for long: every [`SWEEP`].
    pub fn sweep(&mut self, unix_ns: u64) {
        if let Some(tap) = &mut self.outlet.tap {
            tap.swept();
        }
        self.tracker.sweep(&mut self.outlet);
        if let Some(metering) = &mut self.outlet.metering {
            metering.recorder.sweep(unix_ns);
        }
    }

    /// Gives a snapshot of what was counted to who asked for one; only then asks for what the source knows.
    pub fn answer_readers(&mut self, source: impl FnOnce() -> Source) {
        if let Some(mut metering) = self.outlet.metering.take() {
            let recorder = &mut metering.recorder;
            metering
                .readers
                .answer(|| self.snapshot(recorder, &source()));
            self.outlet.metering = Some(metering);
        }
    }

    /// Nobody takes spans any more.
    pub fn are_deserted(&self) -> bool {
        self.outlet.exporter.is_deserted()
    }

    /// More waits to be delivered than is good: who can wait should.
    pub fn are_behind(&self) -> bool {
        self.outlet.exporter.is_behind()
    }

    /// Transfers that arrived.
    pub fn delivered(&self) -> u64 {
        self.tracker.counts().delivered
    }

    /// Makes spans of what is complete, and delivers what waits, within [`FINISH`].
    pub fn finish(mut self, source: &Source) -> Counters {
        self.tracker.stop(&mut self.outlet);
        let mut unmeasured = Unmeasured::default();
        let mut reader = None;
        if let Some(mut metering) = self.outlet.metering.take() {
            let last = self.snapshot(&mut metering.recorder, source);
            unmeasured = metering.recorder.unmeasured();
            reader = metering.readers.finish(last, Instant::now() + FINISH);
        }
        let tracker = self.tracker.counts();
        let paths_cut = self.outlet.paths.cut();
        let spans = self.outlet.exporter.finish(FINISH);
        if let Some(reader) = reader {
            // A panic there has ended the process already.
            _ = reader.join();
        }
        let tap = self.outlet.tap;
        let unrecorded = tap.map_or(0, |tap| tap.finish(source.kernel, FINISH));
        Counters {
            spans,
            ..counters(source, &tracker, unmeasured, paths_cut, unrecorded)
        }
    }

    fn snapshot(&self, recorder: &mut Recorder, source: &Source) -> Snapshot {
        let counters = self.counted(source, recorder.unmeasured());
        recorder.snapshot(source.unix_ns, counters, |each| {
            self.tracker.each_open(each)
        })
    }

    /// What was counted so far.
    pub fn counters(&self, source: &Source) -> Counters {
        let metering = self.outlet.metering.as_ref();
        let unmeasured = metering.map(|metering| metering.recorder.unmeasured());
        self.counted(source, unmeasured.unwrap_or_default())
    }

    fn counted(&self, source: &Source, unmeasured: Unmeasured) -> Counters {
        let unrecorded = self.outlet.tap.as_ref().map_or(0, Tap::lost);
        Counters {
            spans: self.outlet.exporter.counts(),
            ..counters(
                source,
                &self.tracker.counts(),
                unmeasured,
                self.outlet.paths.cut(),
                unrecorded,
            )
        }
    }
}

/// All but the spans.
fn counters(
    source: &Source,
    tracker: &TrackerCounts,
    unmeasured: Unmeasured,
    paths_cut: u64,
    unrecorded: u64,
) -> Counters {
    let kernel = &source.kernel;
    let messages = &tracker.messages;
    let limits = &tracker.limits;
    Counters {
        transfers: Transfers {
            seen: kernel.transfers_seen,
            delivered: tracker.delivered,
            lost: BTreeMap::from([
                ("ring_full", kernel.transfers_ring_full),
                ("bad_record", source.bad_records),
            ]),
            unseen: kernel.transfers_unseen,
            late: tracker.late,
            ignored: kernel.transfers_ignored,
            frames_lost: kernel.frames_lost,
        },
        messages: Messages {
            started: messages.started,
            complete: messages.complete,
            incomplete: Incomplete::ALL
                .iter()
                .zip(messages.incomplete)
                .map(|(reason, count)| (reason.as_str(), count))
                .collect(),
        },
        connections: Connections {
            seen: tracker.connections,
            ignored: tracker.ignored,
        },
        contexts: Contexts {
            read: tracker.contexts,
            malformed: tracker.malformed_contexts,
            disagreeing: tracker.disagreeing_contexts,
            answered: tracker.answered_contexts,
        },
        limits: BTreeMap::from([
            ("records_ring_full", kernel.records_ring_full),
            ("connections", limits.connections_evicted),
            ("connections_idle", limits.connections_idle),
            ("exchanges", limits.exchanges),
            ("held_spans", limits.held),
            ("memory", limits.memory),
            ("processes", limits.processes),
            ("path_names", paths_cut),
            ("metric_series", unmeasured.overflowed),
            ("metric_services", unmeasured.services),
            ("goroutines", limits.goroutines),
            ("recorded_events", unrecorded),
        ]),
        ..Counters::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_explains_every_reason() {
        let readme = include_str!("../../README.md");
        let counters = counters(
            &Source::default(),
            &TrackerCounts::default(),
            Unmeasured::default(),
            0,
            0,
        );
        let Counters {
            transfers,
            messages,
            limits,
            ..
        } = &counters;
        let reasons = [&transfers.lost, &messages.incomplete, limits];
        for word in reasons.into_iter().flat_map(BTreeMap::keys) {
            assert!(readme.contains(&format!("`{word}`")), "README lacks {word}");
        }
    }
}
