//! The pipeline's end of a recording: inputs into blocks, blocks to the writer's thread.
//!
//! It copies an input's bytes, and never waits for a disk: what finds no room is counted, and told in
//! the recording where it is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use super::{BLOCK, Input};
use crate::counters::KernelCounters;
use crate::event::{ConnectionId, Event};
use crate::resource::Resource;

/// Blocks that may wait for the writer: 16 MiB, some 0.3 s of what a service at 60,000 requests a second
/// moves, which a disk's hiccup takes.
pub(super) const WAITING: usize = 1024;

/// Inputs on their way to the file.
#[derive(Default)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// Events among them.
    pub(super) events: u64,
}

/// Where the pipeline puts what it is given.
pub struct Tap {
    block: Block,
    full: SyncSender<Block>,
    /// Blocks that were written, to be filled again.
    empty: Receiver<Vec<u8>>,
    /// Closed when the writer has ended.
    ended: Receiver<()>,
    began: Instant,
    /// Events that the writer was given and the file did not take.
    unwritten: Arc<AtomicU64>,
    lost: u64,
    /// Of the lost ones, those that the recording does not tell of yet.
    untold: u64,
}

impl Tap {
    pub(super) fn new(
        full: SyncSender<Block>,
        empty: Receiver<Vec<u8>>,
        ended: Receiver<()>,
        unwritten: Arc<AtomicU64>,
    ) -> Tap {
        Tap {
            block: Block::default(),
            full,
            empty,
            ended,
            began: Instant::now(),
            unwritten,
            lost: 0,
            untold: 0,
        }
    }

    /// Events that are not in the recording, for want of room or of a file that takes them.
    pub fn lost(&self) -> u64 {
        self.lost + self.unwritten.load(Ordering::Relaxed)
    }

    /// After the tracker has taken it: what it asked for and told meanwhile stands before.
    pub fn event(&mut self, event: &Event<'_>) {
        self.block.events += 1;
        self.put(&Input::Event(event.clone()));
    }

    /// What a process is called.
    pub fn process(&mut self, resource: &Resource) {
        self.put(&Input::Process(resource.clone()));
    }

    /// That connection is cut into frames.
    pub fn framed(&mut self, connection: ConnectionId, http2: bool) {
        self.put(&Input::Framed { connection, http2 });
    }

    /// That connection carries nothing that is known.
    pub fn ignored(&mut self, connection: ConnectionId) {
        self.put(&Input::Ignored(connection));
    }

    /// Events are, or are not, missing between those that come next.
    pub fn gap(&mut self, in_gap: bool) {
        self.put(&Input::Gap(in_gap));
    }

    /// The exporter is told the time.
    pub fn told(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.began);
        self.put(&Input::Told(since.as_nanos() as u64));
    }

    /// The tracker is told the time: often enough for what waits in memory to go to the file, too.
    pub fn clock(&mut self, boot_ns: u64, to_unix: i64) {
        self.put(&Input::Clock { boot_ns, to_unix });
        self.pass_on();
    }

    /// Idle connections are looked for.
    pub fn swept(&mut self) {
        self.put(&Input::Swept);
    }

    /// Ends the recording, and waits for what was written to reach the file, but no longer than that.
    /// Returns how many events are not in it.
    pub fn finish(mut self, kernel: KernelCounters, timeout: Duration) -> u64 {
        let deadline = Instant::now() + timeout;
        self.put(&Input::Stopped(kernel));
        let mut last = std::mem::take(&mut self.block);
        loop {
            match self.full.try_send(last) {
                Ok(()) => break,
                Err(TrySendError::Full(block)) if Instant::now() < deadline => last = block,
                Err(TrySendError::Full(block) | TrySendError::Disconnected(block)) => {
                    return self.lost() + block.events;
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(self.full);
        let left = deadline.saturating_duration_since(Instant::now());
        // Its end or the time's: a thread that hangs in a write ends with the process.
        _ = self.ended.recv_timeout(left);
        self.lost + self.unwritten.load(Ordering::Relaxed)
    }

    fn put(&mut self, input: &Input<'_>) {
        self.append(input);
        if self.block.bytes.len() >= BLOCK {
            self.pass_on();
        }
    }

    fn append(&mut self, input: &Input<'_>) {
        let block = std::mem::take(&mut self.block.bytes);
        // Memory is all that it could want.
        self.block.bytes = postcard::to_extend(input, block).unwrap_or_default();
    }

    fn pass_on(&mut self) {
        let next = self.empty.try_recv();
        let next = Block {
            bytes: next.unwrap_or_else(|_| Vec::with_capacity(2 * BLOCK)),
            events: 0,
        };
        match self.full.try_send(std::mem::replace(&mut self.block, next)) {
            Ok(()) => self.untold = 0,
            Err(TrySendError::Full(mut block) | TrySendError::Disconnected(mut block)) => {
                self.lost += block.events;
                self.untold += block.events;
                block.bytes.clear();
                block.events = 0;
                self.block = block;
            }
        }
        if self.untold > 0 {
            self.append(&Input::Lost(self.untold));
        }
    }
}
