//! One run of the agent: from the processes found to the last span sent.
//!
//! The main thread only waits: for a signal, the end of the time, of the command, or of the
//! pipeline's thread, which does everything else. Order is what makes counts exact and first bytes
//! seen: a command is forked and held, privileges are given up, what can fail without the kernel fails
//! first, then the probes are attached, then processes are switched on, then `ready:` is said, then the
//! command may execute.

mod command;
mod privileges;
mod signals;
mod stats;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::runtime::{Handle, Runtime};

use crate::capabilities::{self, LOOKING};
use crate::config::{Config, Task, Trace};
use crate::context::Formats;
use crate::counters::Counters;
use crate::export::metrics::{Metrics, Readers};
use crate::export::{self, Exporter};
use crate::messages;
use crate::metrics::Recorder;
use crate::pipeline::{Pipeline, Stopper, from_proc};
use crate::probe::{self, Probes};
use crate::record::Recording;
use crate::replay::{self, Replay};
use crate::resource;
use crate::semconv::{Paths, Routes};
use crate::span::{any_seed, boot_to_unix};
use crate::stations::{Metering, Outlets, Stations};
use crate::target::{self, Held, Process, Selection, Targets};

use command::Command;
pub use signals::Signals;
use signals::{AtOnce, Signal};
use stats::StatsSink;

/// How long a command has to end when `--duration` has passed, before it is left alone: what service
/// managers give at least.
const COMMAND_GRACE: Duration = Duration::from_secs(5);

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Which processes.
    #[error(transparent)]
    Target(#[from] target::Error),
    /// The kernel side.
    #[error(transparent)]
    Probe(#[from] probe::Error),
    /// Where spans go.
    #[error(transparent)]
    Export(#[from] export::Error),
    /// `--record`.
    #[error("--record {}: {error}; give the path of a file that can be written", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What creating it said.
        error: io::Error,
    },
    /// `tracer replay`.
    #[error(transparent)]
    Replay(#[from] replay::Error),
    /// `--stats`.
    #[error("--stats {}: {error}; give the path of a file that can be written", path.display())]
    Stats {
        /// The file.
        path: PathBuf,
        /// What opening or writing it said.
        error: io::Error,
    },
    /// No thread could be had.
    #[error("cannot start a thread: {0}; see the limits on tasks (ulimit -u, TasksMax)")]
    Thread(io::Error),
}

impl Error {
    /// The process' exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Target(error) => error.exit_code(),
            _ => 1,
        }
    }
}

impl From<(PathBuf, io::Error)> for Error {
    fn from((path, error): (PathBuf, io::Error)) -> Error {
        Error::Stats { path, error }
    }
}

/// What the main thread waits for.
enum Happening {
    Signal(Signal),
    CommandEnded,
    PipelineEnded,
}

/// Runs to the end. Returns the exit code: the command's, or 0.
///
/// # Errors
///
/// Anything that keeps the run from what was asked; see [`Error`].
pub fn run(config: Config, signals: Signals) -> Result<u8, Error> {
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    let stats = config.stats.as_ref().map(StatsSink::open).transpose()?;
    let opened = Opened::open(config.task)?;
    let needs = privileges::Needs {
        command: matches!(opened, Opened::Trace { held: Some(_), .. }),
        page: config.metrics.page.is_some(),
    };
    if let Err(error) = privileges::give_up(needs) {
        log::warn!("privileges that are not needed can't be given up: {error}");
    }
    let (tell, happenings) = mpsc::channel();
    let at_once = AtOnce::default();
    let signal_tell = tell.clone();
    let watched = signals.watch(at_once.clone(), move |signal| {
        _ = signal_tell.send(Happening::Signal(signal));
    });
    watched.map_err(Error::Thread)?;

    let spans = Spans {
        export: config.export,
        metrics: config.metrics,
        formats: config.formats,
        routes: config.routes,
    };
    let (counters, code) = match opened {
        Opened::Trace {
            trace,
            held,
            recording,
        } => {
            let duration = trace.duration;
            let what = (trace, held, recording);
            let mut running = start(what, spans, config.resource, &tell)?;
            let ready = Instant::now();
            let deadline = duration.map(|time| ready + time);
            let command_ended = wait(&happenings, deadline, running.command.as_mut());

            notify(NotifyState::Stopping);
            at_once.arm();
            running.stopper.stop();
            // A panic there has ended the process already.
            let counters = running.pipeline.join().unwrap_or_default();
            let code = match running.command {
                Some(command) if command_ended => command.exit_code(),
                _ => 0,
            };
            (counters, code)
        }
        Opened::Replay(replay) => {
            let runtime = runtime().map_err(Error::Thread)?;
            let outlets = spans.start(runtime.handle())?;
            let stopped = || {
                let stopped = !matches!(happenings.try_recv(), Err(TryRecvError::Empty));
                if stopped {
                    at_once.arm();
                }
                stopped
            };
            (replay.run(outlets, config.resource, stopped), 0)
        }
    };
    let written = stats.map(|stats| stats.write(&counters)).transpose();
    messages::line(&counters.summary());
    match written {
        // The command's exit code is what the caller wants to know.
        Err(error) if code != 0 => log::error!("{}", Error::from(error)),
        written => _ = written?,
    }
    Ok(code)
}

/// A task, with its files open and its command forked.
enum Opened {
    Trace {
        trace: Trace,
        held: Option<Held>,
        recording: Option<Recording>,
    },
    Replay(Replay),
}

impl Opened {
    fn open(task: Task) -> Result<Opened, Error> {
        let trace = match task {
            Task::Trace(trace) => trace,
            Task::Replay(file) => return Ok(Opened::Replay(Replay::open(&file)?)),
        };
        let recording = trace.record.as_ref().map(|(path, secrets)| {
            Recording::create(path, *secrets).map_err(|error| Error::Record {
                path: path.clone(),
                error,
            })
        });
        let recording = recording.transpose()?;
        let held = match &trace.selection {
            Selection::Command(words) => Some(Held::start(words)?),
            _ => None,
        };
        Ok(Opened::Trace {
            trace,
            held,
            recording,
        })
    }
}

/// What becomes of spans.
struct Spans {
    export: export::Settings,
    metrics: Metrics,
    formats: Formats,
    routes: Routes,
}

impl Spans {
    fn start(self, runtime: &Handle) -> Result<Outlets, Error> {
        let wording = self.export.wording.clone();
        let exporter = Exporter::start(self.export, runtime)?;
        let recorder = Recorder::new(wording, self.metrics.exemplars);
        let readers = Readers::start(self.metrics, runtime)?;
        Ok(Outlets {
            paths: Paths::new(self.routes),
            exporter,
            metering: readers.map(|readers| Metering { recorder, readers }),
            formats: self.formats,
        })
    }
}

/// A run on its way.
struct Started {
    pipeline: JoinHandle<Counters>,
    stopper: Stopper,
    command: Option<Command>,
    /// The exporter's; it must outlive the pipeline.
    _runtime: Runtime,
}

/// Everything up to the `ready:` line.
fn start(
    (config, held, recording): (Trace, Option<Held>, Option<Recording>),
    spans: Spans,
    resource: resource::Options,
    tell: &Sender<Happening>,
) -> Result<Started, Error> {
    let began = Instant::now();
    let step = |what| log::debug!("{what} after {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    if config.selection.open_ended()
        && let Some(missing) = capabilities::missing(&LOOKING)
    {
        log::warn!(
            "{missing} missing: processes of other users may not be found, and are called by their ids"
        );
    }
    // Else the processes that are looked for would be others.
    probe::pid_namespace()?;
    let mut targets = Targets::new(&config.selection, config.follow)?;
    targets.find()?;
    step("processes found");
    let runtime = runtime().map_err(Error::Thread)?;
    let outlets = spans.start(runtime.handle())?;
    step("export started");
    let mut probes = Probes::attach(&config.probe)?;
    step("probes attached");
    let count = switch_on(&mut targets, &mut probes, &config.selection, held.as_ref())?;
    step("processes switched on");

    let plural = if count == 1 { "process" } else { "processes" };
    let ready = format!("ready: {count} {plural}, {}", probes.description());
    let (to_unix, seed) = (boot_to_unix(), any_seed());
    let tap = recording.map(|recording| {
        let path = recording.path().to_owned();
        let tap = recording.start(&probes.description().to_string(), to_unix, seed);
        tap.map_err(|error| Error::Record { path, error })
    });
    let tap = tap.transpose()?;
    let stations = Stations::new(outlets, to_unix, seed, from_proc(resource), tap);
    let pipeline = Pipeline::new(probes, targets, stations);
    let stopper = pipeline.stopper();
    let ended = tell.clone();
    let thread = std::thread::Builder::new().name("tracer-pipeline".to_owned());
    let pipeline = thread.spawn(move || {
        let counters = pipeline.run();
        _ = ended.send(Happening::PipelineEnded);
        counters
    });
    let pipeline = pipeline.map_err(Error::Thread)?;

    let ended = tell.clone();
    let command = match held.map(Held::release).transpose()? {
        Some(child) => {
            let command = Command::new(child, move || _ = ended.send(Happening::CommandEnded));
            Some(command.map_err(Error::Thread)?)
        }
        None => None,
    };
    messages::line(&ready);
    notify(NotifyState::Ready);
    step("ready");
    Ok(Started {
        pipeline,
        stopper,
        command,
        _runtime: runtime,
    })
}

/// One thread: it only carries batches to the endpoint.
fn runtime() -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .thread_name("tracer-export")
        .enable_all()
        .build()
}

/// Has the kernel trace what matches now. Returns how many processes that are.
fn switch_on(
    targets: &mut Targets,
    probes: &mut Probes,
    selection: &Selection,
    held: Option<&Held>,
) -> Result<usize, Error> {
    // Found again: what began since the first look, before its exec or listen was reported, counts.
    let mut found = targets.find()?;
    if *selection == Selection::All {
        // The kernel asks for none by its id.
        found.iter().for_each(|process| probes.runs(process.pid));
        return Ok(found.len());
    }
    found.extend(held.and_then(|held| Process::now(held.pid())));
    targets.join(found, |pid, on| {
        let switched = if on {
            probes.trace(pid)
        } else {
            probes.untrace(pid)
        };
        switched.map_err(Error::from)
    })?;
    Ok(targets.count())
}

/// Waits until the run is to end. Returns whether the command has ended.
fn wait(
    happenings: &Receiver<Happening>,
    mut deadline: Option<Instant>,
    mut command: Option<&mut Command>,
) -> bool {
    let mut terminated = false;
    loop {
        let happening = match deadline {
            Some(at) => happenings.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => happenings.recv().map_err(RecvTimeoutError::from),
        };
        match (happening, &mut command) {
            (Ok(Happening::CommandEnded), _) => return true,
            (Ok(Happening::Signal(signal)), Some(command)) => command.signal(signal),
            // Its last process is gone; of a command the end is still to be told.
            (Ok(Happening::PipelineEnded), Some(_)) => {}
            (Err(RecvTimeoutError::Timeout), Some(command)) if !terminated => {
                command.terminate();
                terminated = true;
                deadline = Some(Instant::now() + COMMAND_GRACE);
            }
            (Err(_), Some(_)) => {
                log::warn!("the command has not ended on SIGTERM: it is left alone");
                return false;
            }
            (_, None) => return false,
        }
    }
}

/// Tells systemd, if it asked to be (`NOTIFY_SOCKET`).
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::warn!("cannot notify the service manager: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        happenings: impl IntoIterator<Item = Happening>,
    ) -> (Sender<Happening>, Receiver<Happening>) {
        let (tell, receiver) = mpsc::channel();
        happenings
            .into_iter()
            .for_each(|happening| tell.send(happening).unwrap());
        (tell, receiver)
    }

    fn signal(number: i32, from_terminal: bool) -> Happening {
        Happening::Signal(Signal {
            number,
            from_terminal,
        })
    }

    fn running(tell: &Sender<Happening>, script: &str) -> Command {
        let child = std::process::Command::new("sh")
            .args(["-c", script])
            .spawn()
            .unwrap();
        let tell = tell.clone();
        Command::new(child, move || _ = tell.send(Happening::CommandEnded)).unwrap()
    }

    #[test]
    fn without_a_command_anything_ends_it() {
        for happening in [
            signal(libc::SIGINT, true),
            signal(libc::SIGTERM, false),
            Happening::PipelineEnded,
        ] {
            let (_tell, happenings) = told([happening]);
            assert!(!wait(&happenings, None, None));
        }
        let (_tell, happenings) = told([]);
        assert!(!wait(&happenings, Some(Instant::now()), None));
    }

    #[test]
    fn a_command_ends_it_whatever_the_terminal_sends() {
        let (tell, happenings) = told([signal(libc::SIGINT, true), Happening::PipelineEnded]);
        let mut command = running(&tell, "exit 3");
        assert!(wait(&happenings, None, Some(&mut command)));
        assert_eq!(command.exit_code(), 3);
    }

    #[test]
    fn when_the_time_is_over_the_command_is_ended() {
        let (tell, happenings) = told([]);
        let mut command = running(&tell, "exec sleep 60");
        assert!(wait(&happenings, Some(Instant::now()), Some(&mut command)));
        assert_eq!(command.exit_code(), 0, "it ended as it was asked to");
    }
}
