//! Encodes and delivers spans; nothing else knows `opentelemetry`.
//!
//! ```text
//!                        ┌▶ batch ─▶ otlp: a task sends, retries, accounts
//! span ─▶ keep ─▶ encode
//!                        └▶ batch ─▶ console json ─┐
//!                  └▶ console pretty ──────────────┴▶ a thread writes standard output
//! ```
//!
//! Metrics are read beside that ([`metrics`]).
//!
//! The pipeline's thread encodes a span at once, into bytes that go to the endpoint as they are, and
//! never waits for the network or the terminal. Behind it everything is bounded: what does not fit
//! is left out and counted, so that `made = exported + unsampled + sum(dropped)` at the end.

mod batch;
mod console;
mod encode;
mod json;
mod keep;
pub mod metrics;
mod otlp;
mod overflow;
mod sampler;
#[cfg(test)]
pub(crate) mod samples;
mod settings;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use self::batch::Batch;
use self::console::Console;
use self::keep::Keeper;
pub use self::keep::Rule;
use self::overflow::Overflow;
pub use self::sampler::Sampler;
pub use self::settings::{
    Batching, Endpoint, Limits, Otlp, Output, Protocol, Settings, Signal, parse_headers,
};
use crate::counters::Spans;
use crate::semconv::{self, PathName};
use crate::span::Span;

/// Why the export can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoint is none.
    #[error("OTLP endpoint `{url}`: {reason}")]
    Endpoint {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate or key can't be read.
    #[error("OTLP certificate or key {}: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Only one of two that go together.
    #[error(
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY go together; only one is set"
    )]
    HalfIdentity,
    /// The client can't be set up: mostly what a certificate file holds.
    #[error("OTLP client: {0}")]
    Client(String),
    /// No thread for standard output.
    #[error("can't start the thread for standard output: {0}")]
    Thread(std::io::Error),
    /// No thread for metrics.
    #[error("can't start the thread for metrics: {0}")]
    MetricsThread(std::io::Error),
    /// The page of metrics has no place.
    #[error(
        "metrics page: can't listen on {address}: {error}; give --metrics-listen another address"
    )]
    Listen {
        /// Host and port.
        address: String,
        /// Why not.
        error: std::io::Error,
    },
}

/// Whether spans can be sent to such an endpoint, as far as its URL tells: who read it from a variable
/// ignores a bad one.
///
/// # Errors
/// What is wrong with the URL.
pub fn check_endpoint(otlp: &Otlp) -> Result<(), Error> {
    otlp::endpoint::url(otlp).map(|_| ())
}

/// What became of spans.
pub type Counts = Spans;

/// Reasons of dropped spans, as counters show them.
mod dropped {
    /// Too much waited already.
    pub const QUEUE_FULL: &str = "queue_full";
    /// The endpoint could not be reached in time.
    pub const ENDPOINT: &str = "endpoint";
    /// The endpoint did not want them.
    pub const REJECTED: &str = "rejected";
    /// Standard output did not take them, and there is no endpoint.
    pub const OUTPUT: &str = "output";
    /// There is neither an endpoint nor an output.
    pub const NO_OUTPUT: &str = "no_output";
}

/// A batch this long is closed, however few spans it has: gRPC servers take 4 MiB by default.
const LONGEST_BATCH: usize = 3 << 20;

/// Where all spans go. Owned by the pipeline's thread.
pub struct Exporter {
    keeper: Keeper,
    options: semconv::Options,
    limits: Limits,
    /// The span under way, encoded.
    scratch: Vec<u8>,
    otlp: Option<Delivery>,
    console: Option<Console>,
    made: u64,
}

/// The way to an OTLP endpoint.
struct Delivery {
    batch: Batch,
    /// When the last batch was closed: the schedule delay runs between two exports, so the first
    /// span after a quiet time goes at once.
    closed: Option<Instant>,
    otlp: otlp::Otlp,
    batching: Batching,
    overflow: Overflow,
}

impl Exporter {
    /// Starts the outlets that the settings name. The endpoint need not be there yet.
    ///
    /// # Errors
    /// If the settings can't be meant: a bad URL, a certificate that is none.
    pub fn start(settings: Settings, runtime: &Handle) -> Result<Exporter, Error> {
        let batching = settings.batching;
        let console = match settings.output {
            Output::Pretty => Some(Console::pretty(std::io::stdout(), batching)?),
            Output::Json => Some(Console::json(std::io::stdout(), batching)?),
            Output::None => None,
        };
        let otlp = match &settings.otlp {
            Some(otlp) => Some(Delivery {
                batch: Batch::default(),
                closed: None,
                otlp: otlp::Otlp::start(otlp, batching, runtime)?,
                batching,
                overflow: Overflow::default(),
            }),
            None => None,
        };
        Ok(Exporter {
            keeper: Keeper::new(settings.sampler, settings.keep, settings.most_per_second),
            options: settings.wording,
            limits: settings.limits,
            scratch: Vec::with_capacity(4096),
            otlp,
            console,
            made: 0,
        })
    }

    /// How many messages of an exchange's stream a span has room for, see
    /// [`crate::span::Tracker::keep_messages`].
    pub fn messages_wanted(&self) -> usize {
        semconv::messages_wanted(self.options.level, self.limits.events)
    }

    /// Takes a span, and what its path is called: encodes it into its batch, prints it. Never waits.
    /// Returns whether it is kept.
    pub fn span(&mut self, span: &Span, path: Option<PathName<'_>>) -> bool {
        self.made += 1;
        if !self.keeper.keeps(span) {
            return false;
        }
        let deliver = self.otlp.as_mut().is_some_and(Delivery::has_room);
        let print_encoded = self.console.as_ref().is_some_and(Console::wants_encoded);
        if deliver || print_encoded {
            self.scratch.clear();
            encode::span(span, path, &self.options, &self.limits, &mut self.scratch);
        }
        if deliver && let Some(delivery) = &mut self.otlp {
            delivery.push(span, &self.scratch);
        }
        if let Some(console) = &mut self.console {
            console.span(span, &self.scratch, &self.options);
        }
        true
    }

    /// Closes batches that have waited long enough. To be called whenever spans
    /// were given, and every 100 ms or so.
    pub fn tick(&mut self, now: Instant) {
        self.keeper.tick(now);
        if let Some(delivery) = &mut self.otlp {
            delivery.tick(now);
        }
        if let Some(console) = &mut self.console {
            console.tick(now);
        }
    }

    /// Whether there is no one left to take spans: standard output was closed and was all there is.
    /// What is made from now on is dropped.
    pub fn is_deserted(&self) -> bool {
        self.otlp.is_none() && self.console.as_ref().is_some_and(Console::is_closed)
    }

    /// Whether half of what may wait does: who can wait before giving more should, or will see it dropped.
    pub fn is_behind(&self) -> bool {
        let delivery = self.otlp.as_ref().is_some_and(|delivery| {
            let most = &delivery.batching;
            let otlp = &delivery.otlp;
            !otlp.has_room(most.max_queue_size / 2, most.max_queue_bytes() / 2)
        });
        delivery || self.console.as_ref().is_some_and(Console::is_behind)
    }

    /// What became of spans so far; those on their way are in `made` only.
    pub fn counts(&self) -> Counts {
        let left_out = self.keeper.left_out();
        let mut counts = Counts {
            made: self.made,
            unsampled: left_out.values().sum(),
            unsampled_by: left_out,
            ..Counts::default()
        };
        for reason in [dropped::QUEUE_FULL, dropped::ENDPOINT, dropped::REJECTED] {
            counts.dropped.insert(reason, 0);
        }
        match (&self.otlp, &self.console) {
            (Some(delivery), _) => {
                counts
                    .dropped
                    .insert(dropped::QUEUE_FULL, delivery.overflow.total());
                delivered(delivery.otlp.delivered(), &mut counts);
            }
            (None, Some(console)) => {
                counts
                    .dropped
                    .insert(dropped::QUEUE_FULL, console.overflowed());
                counts.exported = console.written();
            }
            (None, None) => {}
        }
        counts
    }

    /// Delivers and prints what waits, but no longer than that; what is left then is dropped.
    /// Blocks: not to be called on a thread of the runtime.
    pub fn finish(mut self, timeout: Duration) -> Counts {
        let deadline = Instant::now() + timeout;
        let mut counts = self.counts();
        if let Some(delivery) = &mut self.otlp {
            delivery.close();
        }
        let written = self.console.take().map(|console| console.finish(timeout));
        let rest = match (self.otlp.take(), written) {
            (Some(delivery), _) => {
                let left = deadline.saturating_duration_since(Instant::now());
                delivered(&delivery.otlp.finish(left), &mut counts);
                dropped::ENDPOINT
            }
            (None, Some(written)) => {
                counts.exported = written;
                dropped::OUTPUT
            }
            (None, None) => dropped::NO_OUTPUT,
        };
        let known = counts.exported + counts.unsampled + counts.dropped.values().sum::<u64>();
        let left = counts.made.saturating_sub(known);
        if left > 0 {
            *counts.dropped.entry(rest).or_default() += left;
        }
        counts
    }
}

impl Delivery {
    /// Whether another span may wait; if not, it is counted.
    fn has_room(&mut self) -> bool {
        let room = self
            .otlp
            .has_room(self.batch.spans() + 1, self.batch.bytes());
        if !room {
            self.overflow.count();
        }
        room
    }

    fn push(&mut self, span: &Span, encoded: &[u8]) {
        self.batch.push(&span.resource, encoded);
        if self.batch.spans() >= self.batching.max_batch_size || self.batch.bytes() >= LONGEST_BATCH
        {
            self.close();
        }
    }

    fn tick(&mut self, now: Instant) {
        if let Some(spans) = self.overflow.due(now) {
            let most = self.batching.max_queue_size;
            log::warn!(
                "{spans} spans dropped ({}): the endpoint takes them too slowly, {most} wait already (OTEL_BSP_MAX_QUEUE_SIZE)",
                dropped::QUEUE_FULL
            );
        }
        let delay = self.batching.schedule_delay;
        if self.closed.is_none_or(|closed| now >= closed + delay) {
            self.close();
        }
    }

    fn close(&mut self) {
        if let Some(request) = self.batch.take() {
            self.closed = Some(Instant::now());
            self.otlp.push(request);
        }
    }
}

/// Puts what the delivery knows into the counts.
fn delivered(delivered: &otlp::Delivered, counts: &mut Counts) {
    counts.exported = delivered.exported.load(Ordering::Relaxed);
    let unreachable = delivered.unreachable.load(Ordering::Relaxed);
    let rejected = delivered.rejected.load(Ordering::Relaxed);
    counts.dropped.insert(dropped::ENDPOINT, unreachable);
    counts.dropped.insert(dropped::REJECTED, rejected);
}
