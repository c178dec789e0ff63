//! Gives the metrics of the traced processes to who wants them.
//!
//! ```text
//! Source ─┬▶ a thread asks every interval ─▶ otlp: encodes ─▶ the delivery that spans have, too
//!         └▶ page: a scraper asks ─▶ prometheus: the text
//! ```
//!
//! Neither is waited for by the pipeline. What OTLP carries is of the traced processes only; the page
//! has the agent's own counters besides.

mod otlp;
mod page;
mod prometheus;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::runtime::Handle;

use self::otlp::Encoder;
use self::page::Page;
pub use self::settings::{DEFAULT_PAGE, Metrics, Periodic, Temporality};
use super::Error;
use super::otlp::Otlp;
use super::settings::Batching;
use crate::metrics::{Inquiries, Snapshot, Source};

/// Data points that may wait for the endpoint: twice as many as there can be at once, seven of each series;
/// their bytes are bounded by it, too.
const MOST_WAITING: usize = 1 << 17;

/// All readers of metrics.
pub struct Readers {
    inquiries: Inquiries,
    periodic: Option<Reader>,
    _page: Option<Page>,
}

/// The one who sends them by OTLP.
struct Reader {
    /// The last snapshot, and by when it has to be delivered.
    end: Sender<(Snapshot, Instant)>,
    thread: JoinHandle<()>,
}

impl Readers {
    /// Starts those that the settings name; none if there are none.
    ///
    /// # Errors
    /// An endpoint or address that can't be meant, or is taken.
    pub fn start(settings: Metrics, runtime: &Handle) -> Result<Option<Readers>, Error> {
        let (source, inquiries) = Source::new();
        let page = match settings.page {
            Some(address) => Some(Page::start(address, source.clone(), runtime)?),
            None => None,
        };
        let periodic = match settings.periodic {
            Some(periodic) => Some(Reader::start(periodic, source, runtime)?),
            None => None,
        };
        let any = page.is_some() || periodic.is_some();
        Ok(any.then_some(Readers {
            inquiries,
            periodic,
            _page: page,
        }))
    }

    /// Gives a snapshot to who asks for one.
    pub fn answer(&self, make: impl FnOnce() -> Snapshot) {
        self.inquiries.answer(make);
    }

    /// Begins to deliver the last snapshot, and ends no later than that. What is returned can be
    /// waited for.
    pub fn finish(self, last: Snapshot, deadline: Instant) -> Option<JoinHandle<()>> {
        // Who waits for an answer now gets none.
        drop(self.inquiries);
        let reader = self.periodic?;
        let _ = reader.end.send((last, deadline));
        Some(reader.thread)
    }
}

impl Reader {
    fn start(settings: Periodic, source: Source, runtime: &Handle) -> Result<Reader, Error> {
        let batching = Batching {
            export_timeout: settings.timeout,
            max_queue_size: MOST_WAITING,
            ..Batching::default()
        };
        let otlp = Otlp::start(&settings.otlp, batching, runtime)?;
        let mut encoder = Encoder::new(settings.temporality);
        let (end, ended) = channel::<(Snapshot, Instant)>();
        let thread = std::thread::Builder::new().name("tracer-metrics".to_owned());
        let thread = thread.spawn(move || {
            let mut due = Instant::now() + settings.interval;
            loop {
                match ended.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Ok((last, deadline)) => {
                        send(&otlp, encoder.request(&last));
                        otlp.finish(deadline.saturating_duration_since(Instant::now()));
                        return;
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        due += settings.interval;
                        // None: the pipeline ends, and gives the last one by itself.
                        let snapshot: Option<Arc<Snapshot>> = source.ask().blocking_recv().ok();
                        send(&otlp, snapshot.and_then(|now| encoder.request(&now)));
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        let thread = thread.map_err(Error::MetricsThread)?;
        Ok(Reader { end, thread })
    }
}

fn send(otlp: &Otlp, request: Option<super::batch::Request>) {
    let Some(request) = request else { return };
    if otlp.has_room(request.spans as usize, request.bytes.len()) {
        otlp.push(request);
    } else {
        log::warn!("metrics dropped: the endpoint takes them too slowly, earlier ones still wait");
    }
}
