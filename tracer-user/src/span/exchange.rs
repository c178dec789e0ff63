//! What: one exchange while it runs, its two messages paired.
//!
//! Messages are counted here, once each, from their first byte to their end or to what cut them off:
//! `started = complete + sum(incomplete) + those still open`.

use super::goroutine;
use super::open::Links;
use super::parent::Executor;
use super::stage::Stamps;
use super::streamed::Streamed;
use super::trace::NodeKey;
use super::{Kind, ParentSource};
use crate::context::{Format, SentIds, SpanId, TraceId};
use crate::protocol::{ExchangeId, Head, Incomplete, Side, Sizes};
use crate::resource::SharedResource;

/// Messages, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Whose first byte was seen.
    pub started: u64,
    /// Followed to their last byte.
    pub complete: u64,
    /// Not, by reason: in the order of [`Incomplete::ALL`].
    pub incomplete: [u64; Incomplete::ALL.len()],
}

impl MessageCounts {
    fn cut(&mut self, reason: Incomplete) {
        if let Some(count) = self.incomplete.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// A message of which only the end is known: its exchange was not kept.
    pub fn passed(&mut self, end: Result<(), Incomplete>) {
        self.started += 1;
        match end {
            Ok(()) => self.complete += 1,
            Err(reason) => self.cut(reason),
        }
    }
}

/// How far a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// Nothing of it was seen.
    #[default]
    Awaited,
    /// An interim response was seen, the final one is awaited.
    Interim,
    /// Its first byte was seen.
    Started,
    /// Its last byte was seen.
    Ended,
    /// It can't be followed to its end.
    Cut,
    /// It was not asked for.
    Unwanted,
}

/// One of the two messages.
#[derive(Debug, Default)]
pub struct Message {
    progress: Progress,
    /// Its head, once complete.
    pub head: Option<Head>,
    /// Its size, once ended.
    pub sizes: Option<Sizes>,
}

impl Message {
    /// Its first byte was seen.
    pub fn start(&mut self, counts: &mut MessageCounts) {
        if self.progress == Progress::Awaited {
            counts.started += 1;
        }
        if !self.is_over() {
            self.progress = Progress::Started;
        }
    }

    /// What was seen of it was interim (1xx).
    pub fn was_interim(&mut self) {
        if self.progress == Progress::Started {
            self.progress = Progress::Interim;
        }
    }

    /// Its last byte was seen.
    pub fn end(&mut self, sizes: Sizes, counts: &mut MessageCounts) {
        self.start(counts);
        if !self.is_over() {
            counts.complete += 1;
            self.progress = Progress::Ended;
            self.sizes = Some(sizes);
        }
    }

    /// None will come, since none was asked for (a oneway call).
    pub fn will_not_come(&mut self) {
        if self.progress == Progress::Awaited {
            self.progress = Progress::Unwanted;
        }
    }

    /// It was asked for.
    pub fn is_wanted(&self) -> bool {
        self.progress != Progress::Unwanted
    }

    /// It can't be followed further, or will not come. One that was never begun is no message; one
    /// whose begin was missed is.
    pub fn cut(&mut self, reason: Incomplete, counts: &mut MessageCounts) {
        use Incomplete as I;
        match (self.progress, reason) {
            (Progress::Ended | Progress::Cut | Progress::Unwanted, _) => return,
            (
                Progress::Awaited,
                I::ConnectionClosed | I::Evicted | I::AgentStopped | I::StreamReset,
            ) => {}
            (Progress::Awaited, _) => counts.passed(Err(reason)),
            (Progress::Started | Progress::Interim, _) => counts.cut(reason),
        }
        self.progress = Progress::Cut;
    }

    /// All of it was seen.
    pub fn is_answered(&self) -> bool {
        self.progress == Progress::Ended
    }

    /// Nothing more of it will come.
    pub fn is_over(&self) -> bool {
        matches!(
            self.progress,
            Progress::Ended | Progress::Cut | Progress::Unwanted
        )
    }
}

/// An exchange whose span is not made yet.
#[derive(Debug)]
pub struct Exchange {
    /// Its number on its connection.
    pub id: ExchangeId,
    /// Which end of it the process is.
    pub kind: Kind,
    /// The process.
    pub resource: SharedResource,
    /// The process' id.
    pub pid: u32,
    /// Its span.
    pub span_id: SpanId,
    /// Its place in its trace.
    pub node: NodeKey,
    /// Its parent, as far as it is known.
    pub parent: Option<(SpanId, ParentSource)>,
    /// Format of the context that its request carried, or its answer told.
    pub format: Option<Format>,
    /// That context's ids as sent, where they are not the digits of ours.
    pub sent: Option<Box<SentIds>>,
    /// What its answer calls the server's span.
    pub answer_span: Option<SpanId>,
    /// Where its first byte lies in the requests' direction.
    pub position: u64,
    /// It is the first on its connection, or came along with it.
    pub opening: bool,
    /// Server: the thread that read it, where that is evidence.
    pub executor: Option<Executor>,
    /// Server: the goroutine that serves it.
    pub goroutine: Option<goroutine::Id>,
    /// Server: the context that its request carried, for what it forwards.
    pub received: Option<(TraceId, SpanId)>,
    /// Its instants.
    pub stamps: Stamps,
    /// The question.
    pub request: Message,
    /// The answer.
    pub response: Message,
    /// What its stream carries besides the two.
    pub streamed: Option<Box<Streamed>>,
    /// Why part of it is not known.
    pub incomplete: Option<Incomplete>,
    /// Its neighbours among the open ones of its connection: [`super::open::Open`]'s.
    pub links: Links,
}

impl Exchange {
    /// The message of that side.
    pub fn message(&mut self, side: Side) -> &mut Message {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// That side can't be followed to its end.
    pub fn cut(&mut self, side: Side, reason: Incomplete, counts: &mut MessageCounts) {
        self.message(side).cut(reason, counts);
        self.incomplete.get_or_insert(reason);
    }

    /// Nothing more of it will come.
    pub fn is_over(&self) -> bool {
        self.request.is_over() && self.response.is_over()
    }

    /// Enough is known for a span: a head tells what it was about.
    pub fn is_worth_a_span(&self) -> bool {
        self.request.head.is_some() || self.response.head.is_some()
    }
}
