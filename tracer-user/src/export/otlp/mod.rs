//! OTLP delivery: finished requests wait here, are sent, retried, and accounted for.
//!
//! [`Otlp`] is the pipeline's end: it never waits, and takes no more than its bound. One task takes
//! the requests in order and keeps a few under way. Each span ends in exactly one of [`Delivered`]'s
//! numbers, or is still waiting when delivery ends; who gave it in counts those as not delivered.

mod attempt;
mod client;
pub(super) mod endpoint;
mod grpc;
mod http;
mod proxy;
#[cfg(test)]
mod tests;
mod tls;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::attempt::Attempt;
use self::client::Client;
use self::trouble::Trouble;
use super::Error;
use super::batch::Request;
use super::settings::{self, Batching};
use crate::counters::counted;

/// Requests under way at once. One fills a fast link already; a few hide the round trip to a far
/// endpoint (4 x 2,048 spans each 80 ms are 100,000 a second) without flooding one that recovers.
const IN_FLIGHT: usize = 4;

/// Wait before the first retry; each further one waits twice as long, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Longest wait between retries: how soon at the latest an endpoint that is back is noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long the end takes before the user is told what it waits for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of the spans.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Accepted by the endpoint.
    pub exported: AtomicU64,
    /// Refused by it.
    pub rejected: AtomicU64,
    /// Given up, since it could not be reached for as long as a batch is tried.
    pub unreachable: AtomicU64,
}

/// The pipeline's end of the delivery.
pub(super) struct Otlp {
    requests: mpsc::UnboundedSender<Request>,
    shared: Arc<Shared>,
    batching: Batching,
    /// Tells the task by when it has to end.
    end: oneshot::Sender<Instant>,
    /// Closed when the task has ended.
    ended: std::sync::mpsc::Receiver<()>,
}

struct Shared {
    client: Client,
    trouble: Trouble,
    signal: settings::Signal,
    export_timeout: Duration,
    delivered: Arc<Delivered>,
    /// Taken in and not yet accounted for.
    waiting_spans: AtomicUsize,
    waiting_bytes: AtomicUsize,
}

impl Otlp {
    /// Starts the delivery. The endpoint need not be there yet.
    pub(super) fn start(
        settings: &settings::Otlp,
        batching: Batching,
        runtime: &Handle,
    ) -> Result<Self, Error> {
        // Timers and connections of the client belong to the runtime.
        let _inside = runtime.enter();
        let client = Client::new(settings)?;
        let trouble = Trouble::new(client.address().to_owned(), settings.signal);
        let shared = Arc::new(Shared {
            client,
            trouble,
            signal: settings.signal,
            export_timeout: batching.export_timeout,
            delivered: Arc::default(),
            waiting_spans: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
        });
        let (requests, queue) = mpsc::unbounded_channel();
        let (end, end_by) = oneshot::channel();
        let (alive, ended) = std::sync::mpsc::channel();
        runtime.spawn(deliver(Arc::clone(&shared), queue, end_by, alive));
        Ok(Otlp {
            requests,
            shared,
            batching,
            end,
            ended,
        })
    }

    /// Whether so much more may wait.
    pub(super) fn has_room(&self, spans: usize, bytes: usize) -> bool {
        let waiting = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        waiting(&self.shared.waiting_spans) + spans <= self.batching.max_queue_size
            && waiting(&self.shared.waiting_bytes) + bytes <= self.batching.max_queue_bytes()
    }

    /// Takes a request in.
    pub(super) fn push(&self, request: Request) {
        self.shared.waiting(&request, AtomicUsize::fetch_add);
        // The task ends only after this sender is gone.
        let _ = self.requests.send(request);
    }

    /// What became of the spans so far.
    pub(super) fn delivered(&self) -> &Delivered {
        &self.shared.delivered
    }

    /// Delivers what waits, but no longer than that, and ends. Blocks.
    pub(super) fn finish(self, timeout: Duration) -> Arc<Delivered> {
        drop(self.requests);
        let _ = self.end.send(Instant::now() + timeout);
        // The task holds the other end as long as it may still count.
        if self.ended.recv_timeout(PATIENCE.min(timeout)) == Err(RecvTimeoutError::Timeout) {
            let count = self.shared.waiting_spans.load(Ordering::Relaxed);
            let items = counted(count as u64, self.shared.signal.item());
            let address = self.shared.client.address();
            log::warn!("{items} waiting for {address}; {timeout:.0?} at most");
            let _ = self.ended.recv();
        }
        Arc::clone(&self.shared.delivered)
    }
}

impl Shared {
    fn waiting(&self, request: &Request, change: fn(&AtomicUsize, usize, Ordering) -> usize) {
        change(
            &self.waiting_spans,
            request.spans as usize,
            Ordering::Relaxed,
        );
        change(&self.waiting_bytes, request.bytes.len(), Ordering::Relaxed);
    }

    /// Accounts for a request that is done with.
    fn settle(&self, request: &Request, outcome: &Outcome) {
        self.waiting(request, AtomicUsize::fetch_sub);
        let add = |counter: &AtomicU64, spans| _ = counter.fetch_add(spans, Ordering::Relaxed);
        match outcome {
            Outcome::Accepted { rejected } => {
                let rejected = *rejected.min(&request.spans);
                add(&self.delivered.rejected, rejected);
                add(&self.delivered.exported, request.spans - rejected);
            }
            Outcome::Rejected => add(&self.delivered.rejected, request.spans),
            Outcome::Unreachable => add(&self.delivered.unreachable, request.spans),
        }
    }
}

/// How a request ended.
enum Outcome {
    /// All but so many spans were accepted.
    Accepted { rejected: u64 },
    /// The endpoint does not want it.
    Rejected,
    /// The endpoint could not be reached in time.
    Unreachable,
}

/// Sends what comes in, until all is done or the end has come.
async fn deliver(
    shared: Arc<Shared>,
    mut queue: mpsc::UnboundedReceiver<Request>,
    end_by: oneshot::Receiver<Instant>,
    alive: std::sync::mpsc::Sender<()>,
) {
    let end = async {
        // Without a word, the exporter is gone and nobody waits for the rest.
        if let Ok(deadline) = end_by.await {
            tokio::time::sleep_until(deadline).await;
        }
    };
    tokio::pin!(end);
    let mut under_way = JoinSet::new();
    let mut more = true;
    while more || !under_way.is_empty() {
        tokio::select! {
            request = queue.recv(), if more && under_way.len() < IN_FLIGHT => match request {
                Some(request) => {
                    let shared = Arc::clone(&shared);
                    under_way.spawn(async move {
                        let outcome = send(&shared, &request).await;
                        (request, outcome)
                    });
                }
                None => more = false,
            },
            Some(done) = under_way.join_next() => {
                if let Ok((request, outcome)) = done {
                    shared.settle(&request, &outcome);
                }
            }
            () = &mut end => break,
        }
    }
    // What is still under way must not go on uncounted.
    under_way.shutdown().await;
    drop(alive);
}

/// Sends one request, again and again if that is what its failure asks for.
async fn send(shared: &Shared, request: &Request) -> Outcome {
    let deadline = Instant::now() + shared.export_timeout;
    let body = match shared.client.prepare(request).await {
        Ok(body) => body,
        Err(why) => {
            shared.trouble.rejected(request.spans, &why);
            return Outcome::Rejected;
        }
    };
    let mut backoff = Backoff::new();
    let mut failed_before = false;
    loop {
        let attempt = tokio::time::timeout_at(deadline, shared.client.attempt(body.clone())).await;
        let (wait, why) = match attempt {
            Ok(Attempt::Accepted { rejected, message }) => {
                shared.trouble.over();
                if rejected > 0 {
                    shared.trouble.rejected(rejected, &message);
                }
                return Outcome::Accepted { rejected };
            }
            Ok(Attempt::Rejected(why)) => {
                shared.trouble.rejected(request.spans, &why);
                return Outcome::Rejected;
            }
            Ok(Attempt::Retry { after, why }) => (after.unwrap_or_else(|| backoff.next()), why),
            Err(_) => (backoff.next(), "no answer in time".to_owned()),
        };
        let again = Instant::now() + wait;
        let gives_up = again >= deadline;
        // One failure that the next attempt makes good (an idle connection that the endpoint had
        // closed) is nothing to tell.
        if failed_before || gives_up {
            shared.trouble.unreachable(&why);
        }
        if gives_up {
            return Outcome::Unreachable;
        }
        failed_before = true;
        tokio::time::sleep_until(again).await;
    }
}

/// How long to wait before each retry.
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Backoff(FIRST_WAIT)
    }

    /// Between half and all of a time that doubles: so that many agents do not come back at once.
    fn next(&mut self) -> Duration {
        let longest = self.0;
        self.0 = (longest * 2).min(LONGEST_WAIT);
        longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
