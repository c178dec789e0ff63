//! Runs the stations on one thread: ring records in, spans to the exporter.
//!
//! This alone knows all of them. One thread, since what comes out of the ring is in order and what
//! follows is a microsecond per exchange; the exporter's own tasks wait for the network. The main
//! thread only says when to stop ([`Stopper`]).
//!
//! At the end the order makes the counts exact: the probes are taken off first, the ring is read to
//! its end, what is complete is exported, and then everything is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::counters::{Counters, KernelCounters};
use crate::event::{self, Event, ProcessChange};
use crate::probe::{Probes, Waker};
use crate::resource;
use crate::span::{boot_now, boot_to_unix};
use crate::stations::{Describe, SWEEP, Source, Stations, TICK};
use crate::target::Targets;
use crate::warnings::Warnings;

/// Between two looks at what was lost: a person takes it for at once.
const LOOK: Duration = Duration::from_secs(1);

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
    stations: Stations,
    stopper: Stopper,
    /// Records that could not be decoded.
    bad_records: u64,
    warnings: Warnings,
    /// Since when there are no targets and none will come.
    alone: Option<Instant>,
}

impl Pipeline {
    /// The probes are attached and trace the targets that there are.
    pub fn new(probes: Probes, targets: Targets, stations: Stations) -> Pipeline {
        let stopper = Stopper {
            asked: Arc::default(),
            waker: probes.waker(),
        };
        Pipeline {
            probes,
            targets,
            stations,
            stopper,
            bad_records: 0,
            warnings: Warnings::default(),
            alone: None,
        }
    }

    /// To end it with.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Works until it is stopped, all targets are gone for good, or nobody takes spans any more.
    /// Blocks; afterwards everything complete is exported; see [`Stations::finish`].
    pub fn run(mut self) -> Counters {
        let mut due = Due::new(Instant::now());
        // The time of the first spans.
        self.stations.deliver(Instant::now());
        while !self.is_over() {
            self.read();
            let now = Instant::now();
            if due.tick(now) {
                self.stations.clock(boot_now(), boot_to_unix());
            }
            self.stations.deliver(now);
            let (probes, bad_records) = (&self.probes, self.bad_records);
            self.stations
                .answer_readers(|| source(probes.counters(), bad_records));
            if due.look(now) {
                let counters = self.stations.counters(&self.source());
                self.warnings.say(&counters, now);
            }
            if due.sweep(now) {
                self.stations.sweep(unix_now());
                self.targets.sweep();
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
        alone || self.stopper.asked.load(Ordering::Acquire) || self.stations.are_deserted()
    }

    /// Takes everything out of the ring, and does what follows from it. Returns how many records.
    fn read(&mut self) -> usize {
        let (stations, bad) = (&mut self.stations, &mut self.bad_records);
        let targets = &mut self.targets;
        stations.gap(self.probes.has_gap());
        let (mut joining, mut changed) = (Vec::new(), Vec::new());
        let count = self.probes.drain(|record| {
            let Some(event) = decode(record, bad) else {
                return;
            };
            joining.extend(joins(&event, targets));
            if let Event::Process(process) = &event {
                changed.push(*process);
            }
            stations.event(&event);
        });
        // Before a process runs another program, whose goroutines are told again.
        let verdicts = self.stations.verdicts();
        for (pid, wanted) in verdicts.told {
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
        for (connection, framing) in verdicts.framed {
            // The kernel goes on copying as if it were HTTP/1: heads within large transfers are missed.
            if let Err(error) = self.probes.frame(connection, framing) {
                log::debug!("cannot have the frames of a connection walked: {error}");
            }
        }
        for connection in verdicts.ignored {
            // The kernel goes on copying what nobody reads: slower, not wrong.
            if let Err(error) = self.probes.ignore(connection) {
                log::debug!("cannot ignore a connection: {error}");
            }
        }
        count
    }

    fn source(&self) -> Source {
        source(self.probes.counters(), self.bad_records)
    }

    fn finish(mut self) -> Counters {
        self.probes.detach();
        let deadline = Instant::now() + STRAGGLERS;
        loop {
            let count = self.read();
            let kernel = self.probes.counters();
            let known = self.stations.delivered() + kernel.transfers_ring_full;
            if count == 0 && (known >= kernel.transfers_seen || Instant::now() > deadline) {
                break;
            }
            if count == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let last = self.source();
        let counters = self.stations.finish(&last);
        self.warnings.say(&counters, Instant::now());
        counters
    }
}

/// What a record tells. One that makes no sense is counted, and nothing else comes of it.
fn decode<'a>(record: &'a [u8], bad: &mut u64) -> Option<Event<'a>> {
    event::decode(record)
        .inspect_err(|error| {
            if *bad == 0 {
                log::error!("a record from the kernel side cannot be read: {error}");
            }
            *bad += 1;
        })
        .ok()
}

/// What processes are called, now.
pub fn from_proc(options: resource::Options) -> Describe {
    Box::new(move |pid| Arc::new(resource::describe(pid, &options)))
}

fn source(kernel: KernelCounters, bad_records: u64) -> Source {
    Source {
        kernel,
        bad_records,
        unix_ns: unix_now(),
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

/// When what is due.
struct Due {
    tick: Instant,
    look: Instant,
    sweep: Instant,
}

impl Due {
    fn new(now: Instant) -> Due {
        Due {
            tick: now + TICK,
            look: now + LOOK,
            sweep: now + SWEEP,
        }
    }

    fn tick(&mut self, now: Instant) -> bool {
        after(&mut self.tick, now, TICK)
    }

    fn look(&mut self, now: Instant) -> bool {
        after(&mut self.look, now, LOOK)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Formats;
    use crate::event::tests::transfer_record;
    use crate::export::{Exporter, Output, Settings};
    use crate::semconv::{Paths, Routes};
    use crate::stations::Outlets;

    #[test]
    fn a_record_that_makes_no_sense_is_counted_and_the_next_one_taken() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let settings = Settings {
            output: Output::None,
            ..Settings::default()
        };
        let outlets = Outlets {
            paths: Paths::new(Routes::default()),
            exporter: Exporter::start(settings, runtime.handle()).unwrap(),
            metering: None,
            formats: Formats::default(),
        };
        let describe = from_proc(resource::Options::default());
        let mut stations = Stations::new(outlets, 0, [7; 32], describe, None);
        let transfer = transfer_record();
        let mut bad = 0;
        for record in [&transfer[..], &transfer[..71], b"", b"\xff", &transfer] {
            if let Some(event) = decode(record, &mut bad) {
                stations.event(&event);
            }
        }
        let kernel = KernelCounters {
            transfers_seen: 5,
            ..KernelCounters::default()
        };
        let counters = stations.finish(&source(kernel, bad));
        assert_eq!(counters.transfers.delivered, 2);
        assert_eq!(counters.transfers.lost["bad_record"], 3);
    }
}
