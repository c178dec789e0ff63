//! From socket events to spans: the one who knows all parts.
//!
//! [`Tracker::event`] takes what the kernel saw, in the order of the ring. What flows through a
//! connection becomes messages ([`super::feed`]); each message event finds its exchange and leaves
//! its mark there ([`super::mark`]); an exchange whose two messages are over becomes a span. The rest
//! of the work is in [`super::peer`] (the other end of an exchange) and [`super::finish`] (how
//! exchanges end).
//!
//! Nothing is allocated per event, and a connection is looked up once per event.

use std::collections::VecDeque;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use slab::Slab;

use super::asks::Asks;
use super::connection::{Found, IDLE_LIMIT, Slot, Table};
use super::exchange::{Exchange, Message, MessageCounts};
use super::feed::{At, Detected};
use super::forwarded::Forwarded;
use super::goroutine::Goroutines;
use super::ids::{Ids, Seed};
use super::open::Links;
use super::parent::{Executors, Habits};
use super::peer::Held;
use super::stage::Stamps;
use super::taken::Taken;
use super::trace::Traces;
use super::{Kind, Span};
use crate::context::Formats;
use crate::event::{self, ConnectionId, Event, ProcessChange, Role};
use crate::protocol::{self, ExchangeId, Framing, Incomplete, Side};
use crate::resource::SharedResource;

/// Exchanges open at all: ten thousand slow requests are normal for a long-polling server, and this
/// many with their heads take some 100 MB.
pub(super) const MAX_EXCHANGES: usize = 65_536;

/// Exchanges open on one connection: a quarter of all, so that one connection whose answers never come
/// leaves room for the others. HTTP/2 has commonly 100 to 1000 streams, but no limit of its own: a
/// client that watches (etcd, Kubernetes, xDS) keeps thousands open on one connection for days.
const MAX_OPEN: usize = MAX_EXCHANGES / 4;

/// Processes known at once: Linux's default for the highest process id.
pub(super) const MAX_PROCESSES: usize = 32_768;

/// Longest time between two ticks of an agent that runs, boot-time ns: ticks come ten times a second, and
/// an agent that gets no processor for so long was as good as asleep.
const ASLEEP: u64 = 60_000_000_000;

/// What the tracker gives to, and asks of, the one who runs it.
pub trait Host {
    /// An exchange is over.
    fn span(&mut self, span: Span);

    /// This connection carries nothing (more) that we know: the kernel may stop copying it.
    fn ignore(&mut self, connection: ConnectionId);

    /// This connection is cut into frames: the kernel may walk them, to copy what lies between bodies.
    /// Told once.
    fn framed(&mut self, connection: ConnectionId, framing: Framing);

    /// What a process is; asked once per process and program.
    fn describe(&mut self, pid: u32) -> SharedResource;

    /// Whether the goroutines of a Go process are of use. They are, until this says otherwise.
    fn tell_goroutines(&mut self, pid: u32, wanted: bool);
}

/// What bounds turned away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Connections put out of a full table.
    pub connections_evicted: u64,
    /// Connections that were silent for too long.
    pub connections_idle: u64,
    /// Exchanges not followed, or not to their end, as too many were open.
    pub exchanges: u64,
    /// Spans that could not wait for their trace to be final.
    pub held: u64,
    /// Connections given up, as what was kept of all took too much memory.
    pub memory: u64,
    /// Processes forgotten, as too many were known.
    pub processes: u64,
    /// Goroutines, and what they hand over, forgotten, as too many were known.
    pub goroutines: u64,
}

/// What the tracker counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackerCounts {
    /// Transfers that arrived.
    pub delivered: u64,
    /// Requests and responses.
    pub messages: MessageCounts,
    /// Connections followed.
    pub connections: u64,
    /// Connections given up.
    pub ignored: u64,
    /// Pieces of transfers that came out of order and were dropped; those of connections that ended.
    pub late: u64,
    /// Propagated contexts that were read.
    pub contexts: u64,
    /// Propagated contexts that were malformed.
    pub malformed_contexts: u64,
    /// Requests whose contexts named different spans.
    pub disagreeing_contexts: u64,
    /// Traces that an answer told.
    pub answered_contexts: u64,
    /// What bounds turned away.
    pub limits: Limits,
}

/// A traced process.
pub(super) struct Process {
    pub resource: SharedResource,
    pub habits: Habits,
    pub asks: Asks,
}

/// Makes spans from socket events.
#[derive(Default)]
pub struct Tracker {
    pub(super) table: Table,
    pub(super) exchanges: Slab<Exchange>,
    pub(super) traces: Traces,
    pub(super) executors: Executors,
    pub(super) goroutines: Goroutines,
    pub(super) forwarded: Forwarded,
    pub(super) processes: HashMap<u32, Process, foldhash::fast::RandomState>,
    /// Which propagated contexts are read.
    pub(super) formats: Formats,
    pub(super) taken: Taken,
    pub(super) held: Vec<Held>,
    /// Connections that are over, oldest first.
    pub(super) ending: VecDeque<event::Ended>,
    pub(super) counts: TrackerCounts,
    /// Most messages of its stream that an exchange keeps.
    pub(super) messages_kept: usize,
    /// Messages kept by all exchanges, see [`super::streamed::MAX_KEPT`].
    pub(super) kept: usize,
    /// The latest instant seen, boot-time ns.
    pub(super) now: u64,
    /// The last tick, boot-time ns.
    ticked: u64,
    /// The first tick since the machine, or the agent, was last asleep, boot-time ns.
    awake: u64,
    /// When memory was last looked at, boot-time ns.
    pub(super) weighed: u64,
    ids: Ids,
    to_unix: i64,
    /// See [`Tracker::gap`].
    pub(super) in_gap: bool,
    /// How often a gap began or ended.
    pub(super) gaps: u64,
    /// A traced process has opened a connection: the other end of one may be traced as well.
    pub(super) clients_seen: bool,
    /// Kept for their memory.
    pub(super) batch: Vec<protocol::Event>,
}

impl Tracker {
    /// Without connections. `to_unix` is added to boot-time ns to get unix ns
    /// ([`super::boot_to_unix`]).
    pub fn new(to_unix: i64) -> Tracker {
        Tracker {
            to_unix,
            ..Tracker::default()
        }
    }

    /// All ids follow of that seed; without it, of one from the operating system.
    pub fn seed_ids(&mut self, seed: Seed) {
        self.ids = Ids::seeded(seed);
    }

    /// Of each exchange's stream, so many messages are kept with size and time, and the rest counted.
    pub fn keep_messages(&mut self, most: usize) {
        self.messages_kept = most;
    }

    /// Propagated contexts of these formats are read, the first preferred; all by default.
    pub fn read_contexts(&mut self, formats: Formats) {
        self.formats = formats;
    }

    /// From now on exchanges begin by this clock. Those in flight keep theirs, and lend it to those that
    /// begin below them, so that a clock that is set neither bends a span nor moves it out of its parent.
    pub fn set_clock(&mut self, to_unix: i64) {
        self.to_unix = to_unix;
    }

    /// Takes the next thing the kernel saw.
    pub fn event(&mut self, event: &Event<'_>, host: &mut impl Host) {
        match event {
            Event::Transfer(transfer) => self.transfer(transfer, host),
            Event::Connection(connection) => self.connection(connection, host),
            Event::Ended(ended) => self.ended(ended, host),
            Event::Process(process) => self.process(process),
            Event::Goroutine(goroutine) => self.came_by(goroutine),
            Event::Listening { .. } => {}
        }
    }

    /// Whether events are missing between those that come next, no matter whose. Where they are, nothing
    /// that anybody does tells who caused what: the end of one thing and the begin of another may be
    /// among them. Returns whether that is news.
    pub fn gap(&mut self, in_gap: bool) -> bool {
        if in_gap == self.in_gap {
            return false;
        }
        self.in_gap = in_gap;
        self.gaps += 1;
        if in_gap {
            self.goroutines.forget(&mut self.traces);
            self.executors = Executors::default();
            for (_, exchange) in &mut self.exchanges {
                (exchange.executor, exchange.goroutine) = (None, None);
            }
        }
        for process in self.processes.values_mut() {
            process.habits.forget_executors();
            process.habits.unseen(self.now);
        }
        true
    }

    /// Time passed: `now` in boot-time ns. Call about every 100 ms.
    pub fn tick(&mut self, now: u64, host: &mut impl Host) {
        self.now = self.now.max(now);
        if now.saturating_sub(self.ticked) > ASLEEP {
            self.awake = now;
        }
        self.ticked = now;
        self.close_ended(host);
        self.release_held(host);
        self.weigh(host);
    }

    /// Looks for connections that were silent for too long: a walk over all. Call every minute or so.
    /// While the machine slept nobody could speak, and boot time went on.
    pub fn sweep(&mut self, host: &mut impl Host) {
        if self.now.saturating_sub(self.awake) < IDLE_LIMIT {
            return;
        }
        for slot in self.table.idle_since(self.now.saturating_sub(IDLE_LIMIT)) {
            self.counts.limits.connections_idle += 1;
            self.close(slot, Incomplete::Evicted, self.now, host);
        }
    }

    /// Tells every request that is open and whose head is known.
    pub fn each_open(
        &self,
        mut each: impl FnMut(&SharedResource, Kind, &protocol::Head, Option<event::Addresses>),
    ) {
        for connection in self.table.connections() {
            for (_, exchange) in connection.open.newest_first(&self.exchanges) {
                if let Some(head) = &exchange.request.head {
                    each(
                        &exchange.resource,
                        exchange.kind,
                        head,
                        connection.ends.addresses,
                    );
                }
            }
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> TrackerCounts {
        TrackerCounts {
            connections: self.table.seen,
            ignored: self.table.given_up,
            limits: Limits {
                goroutines: self.goroutines.forgotten,
                ..self.counts.limits
            },
            ..self.counts
        }
    }

    fn connection(&mut self, record: &event::Connection, host: &mut impl Host) {
        self.clients_seen |= record.role == Role::Connected;
        let mut known = self.table.followed(record.connection);
        if let Some(slot) = known
            && self.table.get(slot).is_some_and(|known| known.described)
        {
            // The name is used again: that connection has ended.
            self.close_renamed(slot, record.connection, host);
            known = None;
        }
        self.table.forget_ignored(record.connection);
        let slot = known.unwrap_or_else(|| self.follow(record.connection, host));
        self.table.describe(slot, record);
    }

    /// Puts a new connection into the table, others out if it is full.
    fn follow(&mut self, id: ConnectionId, host: &mut impl Host) -> Slot {
        if self.table.is_full() {
            for slot in self.table.idlest() {
                self.counts.limits.connections_evicted += 1;
                self.close(slot, Incomplete::Evicted, self.now, host);
            }
        }
        self.table.insert(id, self.now)
    }

    fn transfer(&mut self, transfer: &event::Transfer<'_>, host: &mut impl Host) {
        self.counts.delivered += u64::from(transfer.last_piece);
        self.now = self.now.max(transfer.end_ns);
        let slot = match self.table.find(transfer.connection) {
            Found::Followed(slot) => slot,
            Found::Ignored => return,
            Found::Unknown => self.follow(transfer.connection, host),
        };
        let Some(connection) = self.table.get_mut(slot) else {
            return;
        };
        connection.touched = self.now;
        connection.gaps = self.gaps;
        if !connection.feed.is_known() {
            match connection.feed.detect(transfer) {
                Detected::Undecided => return,
                Detected::NotOurs => return self.give_up(slot, host),
                Detected::Ours(detector) => {
                    if let Some(framing) = connection.feed.newly_framed() {
                        host.framed(connection.id, framing);
                    }
                    for held in detector.held() {
                        self.carry(slot, &held, host);
                    }
                }
            }
        }
        self.carry(slot, transfer, host);
    }

    /// A transfer of a connection whose protocol is known.
    fn carry(&mut self, slot: Slot, transfer: &event::Transfer<'_>, host: &mut impl Host) {
        let Some(connection) = self.table.get_mut(slot) else {
            return;
        };
        let mut batch = std::mem::take(&mut self.batch);
        let at = connection.feed.carry(transfer, &mut batch);
        if !batch.is_empty()
            && let Some(framing) = connection.feed.newly_framed()
        {
            host.framed(connection.id, framing);
        }
        self.take_batch(slot, batch, &at, host);
    }

    /// Applies what a feed brought about, and gives up a connection that goes on as something else.
    pub(super) fn take_batch(
        &mut self,
        slot: Slot,
        mut batch: Vec<protocol::Event>,
        at: &At,
        host: &mut impl Host,
    ) {
        let mut opaque = false;
        for event in batch.drain(..) {
            opaque |= matches!(event, protocol::Event::Opaque);
            self.message(slot, event, at, host);
        }
        self.batch = batch;
        if opaque {
            self.give_up(slot, host);
        }
    }

    fn process(&mut self, process: &event::Process) {
        match process.what {
            // A child is described when it serves, and a program when it runs.
            ProcessChange::Forked { .. } => {}
            ProcessChange::Execed | ProcessChange::Exited => {
                self.processes.remove(&process.pid);
                self.goroutines.gone(process.pid, &mut self.traces);
            }
        }
    }

    pub(super) fn request_started(
        &mut self,
        slot: Slot,
        id: ExchangeId,
        at: &At,
        first: u64,
        host: &mut impl Host,
    ) {
        let (Some(connection), Some(task)) = (self.table.get_mut(slot), at.task) else {
            return;
        };
        let Some(kind) = connection.feed.kind() else {
            return;
        };
        if connection.open.len() >= MAX_OPEN || self.exchanges.len() >= MAX_EXCHANGES {
            self.counts.limits.exchanges += 1;
            if kind == Kind::Server
                && let Some(process) = self.processes.get_mut(&task.pid)
            {
                process.habits.lost_sight();
            }
            return;
        }
        if self.processes.len() >= MAX_PROCESSES && !self.processes.contains_key(&task.pid) {
            self.counts.limits.processes += self.processes.len() as u64;
            for (pid, process) in self.processes.drain() {
                if process.asks == Asks::Never {
                    host.tell_goroutines(pid, true);
                }
            }
        }
        let process = match self.processes.entry(task.pid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let resource = host.describe(task.pid);
                let habits = Habits::new(resource.go);
                new.insert(Process {
                    resource,
                    habits,
                    asks: Asks::NotYet(0),
                })
            }
        };
        if process.habits.is_go()
            && let Some(wanted) = process.asks.began(kind)
        {
            host.tell_goroutines(task.pid, wanted);
            if !wanted {
                self.goroutines.gone(task.pid, &mut self.traces);
            }
        }
        let node = self.traces.begin(self.ids.trace(), self.to_unix);
        let span_id = self.ids.span();
        self.clients_seen |= kind == Kind::Client;
        let mut stamps = Stamps {
            connect: connection.connect.take(),
            ..Stamps::default()
        };
        let first_at = at.moment(Side::Request);
        stamps.request.first = first_at;
        let mut request = Message::default();
        request.start(&mut self.counts.messages);
        let exchange = Exchange {
            id,
            kind,
            resource: process.resource.clone(),
            pid: task.pid,
            span_id,
            node,
            parent: None,
            format: None,
            sent: None,
            answer_span: None,
            position: connection.feed.position(first),
            opening: *connection.opened.get_or_insert(first_at.end) == first_at.end,
            executor: None,
            goroutine: None,
            received: None,
            stamps,
            request,
            response: Message::default(),
            streamed: None,
            incomplete: None,
            links: Links::default(),
        };
        let key = connection.open.push(&mut self.exchanges, exchange);
        self.begun(slot, key, at);
    }
}
