//! Recordings: all that a run's spans follow from, in a file, so that a replay makes the same ones.
//!
//! What is recorded are the inputs of the span tracker and the exporter, in their order ([`Input`]):
//! what the kernel saw, what processes are called, and the clocks. Nothing that follows of them is.
//!
//! ```text
//!  pipeline ─ Input ─▶ tap ─ blocks, bounded ─▶ writer: redact, compress ─▶ file ─▶ reader ─▶ replay
//! ```
//!
//! A file is one line of text, [`Header`], and behind it one raw DEFLATE stream (RFC 1951), flushed
//! with each block so that a file cut anywhere is read up to the last whole block. In the stream are blocks: length and
//! CRC-32 (both `u32`, little-endian), then inputs in postcard's encoding, one after the other.
//!
//! * `tap`: the pipeline's end. Copies into memory, and never waits.
//! * `writer`: the thread behind it, and the file.
//! * `redact`: what of the bytes is secret.
//! * `reader`: a file back to inputs.
//!
//! Bias: what a file cannot hold for want of time or disk is counted and left out; tracing goes on.

mod reader;
pub mod redact;
mod tap;
mod writer;

use serde::{Deserialize, Serialize};

pub use reader::{End, Error, Reader};
pub use tap::Tap;
pub use writer::{Recording, Secrets};

use crate::counters::KernelCounters;
use crate::event::{ConnectionId, Event};
use crate::resource::Resource;
use crate::span::Seed;

/// The first word of a file.
pub const MAGIC: &str = "tracer-recording";

/// Changes with whatever would have an old file read wrongly: the fields of an [`Input`] or [`Event`],
/// their order, or the generator of ids.
pub const FORMAT: u32 = 1;

/// A block is passed on once it has so many bytes, or with the next tick: what a cut file loses at most.
/// Some 100 transfers; more of them would not be compressed better.
const BLOCK: usize = 16 * 1024;

/// Longest block that is read, bytes: what the redactor holds back at most, and the blocks before and behind.
const LONGEST_BLOCK: usize = 8 << 20;

/// The first line of a file: [`MAGIC`], and this as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the agent that wrote it.
    pub tracer: String,
    /// Which probes saw it.
    pub probes: String,
    /// Whether the secrets were left in it.
    pub secrets: bool,
    /// What to add to boot-time ns to get unix ns, when it began.
    pub boot_to_unix: i64,
    /// Of which all ids follow.
    pub seed: Seed,
}

/// What the stations behind the probes were given next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input<'a> {
    /// The kernel saw something.
    #[serde(borrow)]
    Event(Event<'a>),
    /// What a process is called; comes before the event that made somebody ask.
    Process(Resource),
    /// A connection was found to be cut into frames; before the event that shows it.
    Framed {
        /// Which.
        connection: ConnectionId,
        /// Into those of HTTP/2; else each message behind its length.
        http2: bool,
    },
    /// A connection carries nothing that is known; before the event that shows it.
    Ignored(ConnectionId),
    /// The kernel had no room for events: some are missing between those that come next; or not any more.
    Gap(bool),
    /// The exporter was told the time: ns since the recording began.
    Told(u64),
    /// The tracker was told the time.
    Clock {
        /// Boot-time ns.
        boot_ns: u64,
        /// What to add to it to get unix ns.
        to_unix: i64,
    },
    /// Idle connections were looked for.
    Swept,
    /// So many events did not find room in the recording.
    Lost(u64),
    /// The run was stopped.
    Stopped(KernelCounters),
}

#[cfg(test)]
mod tests;
