//! How a reader gets what was measured: it asks, and the pipeline's thread answers when it comes by,
//! so that nothing that counts is ever waited for.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

use super::series::Service;
use crate::counters::Counters;

/// All that was measured up to a moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When. Unix ns.
    pub at: u64,
    /// Of the traced processes.
    pub services: Vec<Service>,
    /// Of the agent itself.
    pub counters: Counters,
}

type Answer = oneshot::Sender<Arc<Snapshot>>;

/// A reader's end.
#[derive(Clone, Debug)]
pub struct Source(Sender<Answer>);

/// The pipeline's end.
#[derive(Debug)]
pub struct Inquiries(Receiver<Answer>);

impl Source {
    /// Both ends.
    pub fn new() -> (Source, Inquiries) {
        let (asked, inquiries) = channel();
        (Source(asked), Inquiries(inquiries))
    }

    /// Asks for a snapshot; what is returned fails if the pipeline has ended.
    pub fn ask(&self) -> oneshot::Receiver<Arc<Snapshot>> {
        let (answer, answered) = oneshot::channel();
        // Nobody there: the answer is dropped with it, which is seen at the other end.
        let _ = self.0.send(answer);
        answered
    }
}

impl Inquiries {
    /// Makes a snapshot if somebody asked, and gives it to all who did.
    pub fn answer(&self, make: impl FnOnce() -> Snapshot) {
        let mut asked = self.0.try_iter().filter(|answer| !answer.is_closed());
        let Some(first) = asked.next() else { return };
        let snapshot = Arc::new(make());
        for answer in asked.chain([first]) {
            // It gave up meanwhile.
            let _ = answer.send(Arc::clone(&snapshot));
        }
    }
}
