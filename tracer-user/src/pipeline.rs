//! Runs the stations on one thread: ring records in, spans to the exporter.
//!
//! This alone knows all of them. One thread, since what comes out of the ring is in order and what
//! follows is a microsecond per exchange; the exporter's own tasks wait for the network. The main
//! thread only says when to stop ([`Stopper`]).
//!
//! At the end the order makes the counts exact: the probes are taken off first, the ring is read to
//! its end, what is complete is exported, and then everything is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::context::Formats;
use crate::counters::{Connections, Contexts, Counters, Messages, Transfers};
use crate::event::{self, ConnectionId, Event, ProcessChange};
use crate::export::Exporter;
use crate::export::metrics::Readers;
use crate::metrics::{Recorder, Snapshot, Unmeasured};
use crate::probe::{KernelCounters, Probes, Waker};
use crate::protocol::{Framing, Incomplete};
use crate::resource::{self, SharedResource};
use crate::semconv::Paths;
use crate::span::{Host, Span, Tracker, TrackerCounts, boot_now, boot_to_unix};
use crate::target::Targets;

/// Between two looks at what is due: export batches, held spans, the clock. A tenth of what a person
/// takes for "at once".
const TICK: Duration = Duration::from_millis(100);

/// Between two looks at what goes wrong slowly: idle connections, processes that vanished.
const SWEEP: Duration = Duration::from_secs(60);

/// Between two warnings of the same kind: often enough to be seen, too seldom to bury the rest.
const WARNING: Duration = Duration::from_secs(10);

/// How long the last spans may take to be delivered: what orchestrators give a process to end, less
/// what ending takes otherwise (Kubernetes: 30 s; systemd: 90 s; Docker: 10 s).
const FINISH: Duration = Duration::from_secs(8);

/// A process is reported gone before its sockets are closed: so long they are waited for.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// After the probes are off, a program that was running on another core may still submit its record.
const STRAGGLERS: Duration = Duration::from_millis(100);

/// Ends a [`Pipeline::run`] from another thread.
#[derive(Clone)]
pub struct Stopper {
    asked: Arc<AtomicBool>,
    waker: Waker,
}

impl Stopper {
    /// What was seen is still made into spans and exported.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// All stations.
pub struct Pipeline {
    probes: Probes,
    targets: Targets,
    tracker: Tracker,
    outlet: Outlet,
    stopper: Stopper,
    /// Records that could not be decoded.
    bad_records: u64,
    /// Of the kernel's counters, what was warned of.
    warned: KernelCounters,
    /// Since when there are no targets and none will come.
    alone: Option<Instant>,
}

/// Metrics of the traced processes, where somebody reads them.
pub struct Metering {
    /// Counts.
    pub recorder: Recorder,
    /// Read it.
    pub readers: Readers,
}

/// What the tracker hands on.
struct Outlet {
    paths: Paths,
    exporter: Exporter,
    metering: Option<Metering>,
    resource: resource::Options,
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
    }

    fn framed(&mut self, connection: ConnectionId, framing: Framing) {
        self.framed.push((connection, framing));
    }

    fn describe(&mut self, pid: u32) -> SharedResource {
        Arc::new(resource::describe(pid, &self.resource))
    }

    fn tell_goroutines(&mut self, pid: u32, wanted: bool) {
        self.told.push((pid, wanted));
    }
}

impl Pipeline {
    /// The probes are attached and trace the targets that there are.
    pub fn new(
        probes: Probes,
        targets: Targets,
        paths: Paths,
        exporter: Exporter,
        metering: Option<Metering>,
        resource: resource::Options,
        formats: Formats,
    ) -> Pipeline {
        let stopper = Stopper {
            asked: Arc::default(),
            waker: probes.waker(),
        };
        let mut tracker = Tracker::new(boot_to_unix());
        tracker.keep_messages(exporter.messages_wanted());
        tracker.read_contexts(formats);
        Pipeline {
            probes,
            targets,
            tracker,
            outlet: Outlet {
                paths,
                exporter,
                metering,
                resource,
                ignored: Vec::new(),
                framed: Vec::new(),
                told: Vec::new(),
            },
            stopper,
            bad_records: 0,
            warned: KernelCounters::default(),
            alone: None,
        }
    }

    /// To end it with.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Works until it is stopped, all targets are gone for good, or nobody takes spans any more.
    /// Blocks; afterwards everything complete is exported, within [`FINISH`].
    pub fn run(mut self) -> Counters {
        let mut due = Due::new(Instant::now());
        while !self.is_over() {
            self.read();
            let now = Instant::now();
            if due.tick(now) {
                self.tracker.set_clock(boot_to_unix());
                self.tracker.tick(boot_now(), &mut self.outlet);
            }
            self.outlet.exporter.tick(now);
            self.answer_readers();
            if due.warning(now) {
                self.warn_of_losses();
            }
            if due.sweep(now) {
                self.tracker.sweep(&mut self.outlet);
                self.targets.sweep();
                if let Some(metering) = &mut self.outlet.metering {
                    metering.recorder.sweep(unix_now());
                }
            }
            let longest = match self.alone {
                Some(_) => LAST_WORDS,
                None => due.until_tick(now),
            };
            self.probes.wait(longest);
        }
        self.finish()
    }

    fn is_over(&mut self) -> bool {
        let alone = self.targets.over()
            && self.alone.get_or_insert_with(Instant::now).elapsed() >= LAST_WORDS;
        alone || self.stopper.asked.load(Ordering::Acquire) || self.outlet.exporter.is_deserted()
    }

    /// Takes everything out of the ring, and does what follows from it. Returns how many records.
    fn read(&mut self) -> usize {
        let (tracker, outlet, bad) = (&mut self.tracker, &mut self.outlet, &mut self.bad_records);
        let targets = &mut self.targets;
        tracker.gap(self.probes.has_gap());
        let (mut joining, mut changed) = (Vec::new(), Vec::new());
        let count = self.probes.drain(|record| match event::decode(record) {
            Ok(event) => {
                joining.extend(joins(&event, targets));
                if let Event::Process(process) = &event {
                    changed.push(*process);
                }
                tracker.event(&event, outlet);
            }
            Err(error) => {
                if *bad == 0 {
                    log::error!("a record from the kernel side cannot be read: {error}");
                }
                *bad += 1;
            }
        });
        // Before a process runs another program, whose goroutines are told again.
        for (pid, wanted) in self.outlet.told.drain(..) {
            self.probes.tell_goroutines(pid, wanted);
        }
        for process in changed {
            match process.what {
                ProcessChange::Exited => self.probes.gone(process.pid),
                ProcessChange::Execed | ProcessChange::Forked { .. } => {
                    self.probes.runs(process.pid);
                }
            }
        }
        for pid in joining {
            if let Err(error) = self.probes.trace(pid) {
                log::warn!("cannot trace process {pid}: {error}");
            }
        }
        for (connection, framing) in self.outlet.framed.drain(..) {
            // The kernel goes on copying as if it were HTTP/1: heads within large transfers are missed.
            if let Err(error) = self.probes.frame(connection, framing) {
                log::debug!("cannot have the frames of a connection walked: {error}");
            }
        }
        for connection in self.outlet.ignored.drain(..) {
            // The kernel goes on copying what nobody reads: slower, not wrong.
            if let Err(error) = self.probes.ignore(connection) {
                log::debug!("cannot ignore a connection: {error}");
            }
        }
        count
    }

    /// Gives a snapshot to who asked for one.
    fn answer_readers(&mut self) {
        if let Some(mut metering) = self.outlet.metering.take() {
            let recorder = &mut metering.recorder;
            metering.readers.answer(|| self.snapshot(recorder));
            self.outlet.metering = Some(metering);
        }
    }

    fn snapshot(&self, recorder: &mut Recorder) -> Snapshot {
        let kernel = self.probes.counters();
        let unmeasured = recorder.unmeasured();
        let counters = Counters {
            spans: self.outlet.exporter.counts(),
            ..counters(
                &kernel,
                &self.tracker.counts(),
                self.bad_records,
                unmeasured,
                self.outlet.paths.cut(),
            )
        };
        recorder.snapshot(unix_now(), counters, |each| self.tracker.each_open(each))
    }

    fn warn_of_losses(&mut self) {
        let now = self.probes.counters();
        let lost = now.transfers_ring_full - self.warned.transfers_ring_full;
        if lost > 0 {
            log::warn!(
                "{lost} of {} transfers lost: the ring was full; the agent gets too little CPU",
                now.transfers_seen - self.warned.transfers_seen,
            );
        }
        self.warned = now;
    }

    fn finish(mut self) -> Counters {
        self.probes.detach();
        let deadline = Instant::now() + STRAGGLERS;
        loop {
            let count = self.read();
            let kernel = self.probes.counters();
            let known = self.tracker.counts().delivered + kernel.transfers_ring_full;
            if count == 0 && (known >= kernel.transfers_seen || Instant::now() > deadline) {
                break;
            }
            if count == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.tracker.stop(&mut self.outlet);
        let mut unmeasured = Unmeasured::default();
        let mut reader = None;
        if let Some(mut metering) = self.outlet.metering.take() {
            let last = self.snapshot(&mut metering.recorder);
            unmeasured = metering.recorder.unmeasured();
            reader = metering.readers.finish(last, Instant::now() + FINISH);
        }
        let kernel = self.probes.counters();
        let tracker = self.tracker.counts();
        let paths_cut = self.outlet.paths.cut();
        let spans = self.outlet.exporter.finish(FINISH);
        if let Some(reader) = reader {
            // A panic there has ended the process already.
            _ = reader.join();
        }
        Counters {
            spans,
            ..counters(&kernel, &tracker, self.bad_records, unmeasured, paths_cut)
        }
    }
}

fn unix_now() -> u64 {
    boot_now().saturating_add_signed(boot_to_unix())
}

/// Tells the targets of a process event. A process that is to be traced from now on is returned.
fn joins(event: &Event<'_>, targets: &mut Targets) -> Option<u32> {
    match *event {
        Event::Process(event::Process { pid, what, .. }) => match what {
            ProcessChange::Forked { .. } => {
                targets.forked(pid);
                None
            }
            ProcessChange::Execed => targets.execed(pid).then_some(pid),
            ProcessChange::Exited => {
                targets.exited(pid);
                None
            }
        },
        Event::Listening { pid, port } => targets.listening(pid, port).then_some(pid),
        Event::Transfer(_) | Event::Connection(_) | Event::Ended(_) | Event::Goroutine(_) => None,
    }
}

/// All but the spans.
fn counters(
    kernel: &KernelCounters,
    tracker: &TrackerCounts,
    bad_records: u64,
    unmeasured: Unmeasured,
    paths_cut: u64,
) -> Counters {
    let messages = &tracker.messages;
    let limits = &tracker.limits;
    Counters {
        transfers: Transfers {
            seen: kernel.transfers_seen,
            delivered: tracker.delivered,
            lost: BTreeMap::from([
                ("ring_full", kernel.transfers_ring_full),
                ("bad_record", bad_records),
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
            ("processes", limits.processes),
            ("path_names", paths_cut),
            ("metric_series", unmeasured.overflowed),
            ("metric_services", unmeasured.services),
            ("goroutines", limits.goroutines),
        ]),
        ..Counters::default()
    }
}

/// When what is due.
struct Due {
    tick: Instant,
    warning: Instant,
    sweep: Instant,
}

impl Due {
    fn new(now: Instant) -> Due {
        Due {
            tick: now + TICK,
            warning: now + WARNING,
            sweep: now + SWEEP,
        }
    }

    fn tick(&mut self, now: Instant) -> bool {
        after(&mut self.tick, now, TICK)
    }

    fn warning(&mut self, now: Instant) -> bool {
        after(&mut self.warning, now, WARNING)
    }

    fn sweep(&mut self, now: Instant) -> bool {
        after(&mut self.sweep, now, SWEEP)
    }

    fn until_tick(&self, now: Instant) -> Duration {
        self.tick.saturating_duration_since(now)
    }
}

/// Whether it is due; if so, the next time is that much later.
fn after(due: &mut Instant, now: Instant, interval: Duration) -> bool {
    let is_due = now >= *due;
    if is_due {
        *due = now + interval;
    }
    is_due
}
