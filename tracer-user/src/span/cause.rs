//! Who caused an exchange: asks each kind of evidence as the exchange goes on, and notes the parent.
//!
//! In this order: the context that its request carries; the goroutine or thread that made it; that
//! nothing else was in flight. The other end of its connection is [`super::peer`]'s.

use tracer_ebpf::abi::Fresh;

use super::connection::Slot;
use super::exchange::Exchange;
use super::feed::At;
use super::goroutine::{Cause, Writes};
use super::tracker::Tracker;
use super::{Kind, ParentSource};
use crate::context::{SpanId, TraceId};
use crate::event::{self, GoroutineDoes};
use crate::protocol::Side;

/// How long a call waits to know for which exchange its goroutine works, boot-time ns: until that one
/// is answered. Longer than a handler takes that someone waits for.
const ANSWERED_WITHIN: u64 = 30_000_000_000;

impl Tracker {
    /// An exchange was begun by `at.task`.
    pub(super) fn begun(&mut self, slot: Slot, key: usize, at: &At) {
        let (Some(connection), Some(task)) = (self.table.get(slot), at.task) else {
            return;
        };
        let exchange = &mut self.exchanges[key];
        let Some(process) = self.processes.get_mut(&exchange.pid) else {
            return;
        };
        let (on, habits) = (connection.on(), &mut process.habits);
        let (span, node) = (exchange.span_id, exchange.node);
        let connect = exchange.stamps.connect;
        match exchange.kind {
            Kind::Server => habits.entered(on, span, node, at.moment(Side::Request).end),
            Kind::Client => habits.calls(),
        }
        if self.in_gap {
            return;
        }
        match exchange.kind {
            Kind::Server => {
                exchange.executor = self.executors.began(habits, task, on, span, node);
                if on.multiplexed {
                    self.goroutines.reads(task, on.connection);
                }
            }
            Kind::Client if habits.is_go() => {
                let protocol = connection.feed.protocol().filter(|_| on.multiplexed);
                let stream = protocol.and_then(|protocol| protocol.stream_of(exchange.id));
                let writes = match (on.multiplexed, connection.feed.is_framed()) {
                    (true, _) => Writes::ForOthers,
                    (false, true) => Writes::ForCaller,
                    (false, false) => Writes::Alone,
                };
                match self.goroutines.cause(task, stream.unwrap_or(0), writes) {
                    Cause::Exchange(cause, above) => {
                        if self.traces.join(node, above) {
                            exchange.parent = Some((cause, ParentSource::Execution));
                        }
                    }
                    Cause::Later(goroutine) => {
                        let until = self.now + ANSWERED_WITHIN;
                        self.goroutines
                            .wait(goroutine, node, until, &mut self.traces);
                    }
                    Cause::Unknown => {}
                }
            }
            Kind::Client => {
                let opened = connect.map(|(start, _)| start);
                if let Some((cause, above, source)) = self.executors.cause(habits, task, on, opened)
                    && self.traces.join(node, above)
                {
                    exchange.parent = Some((cause, source));
                }
            }
        }
    }

    /// The head of its request is complete. `carried`: the trace and span that it names;
    /// `by_execution`: for which span it was made, as far as that was known before.
    pub(super) fn asked(
        &mut self,
        slot: Slot,
        key: usize,
        at: &At,
        carried: Option<(TraceId, Option<SpanId>)>,
        by_execution: Option<SpanId>,
    ) {
        let (Some(connection), Some(task)) = (self.table.get(slot), at.task) else {
            return;
        };
        let exchange = &mut self.exchanges[key];
        let (pid, span, node) = (exchange.pid, exchange.span_id, exchange.node);
        if exchange.kind == Kind::Server && !self.in_gap {
            let (on, own) = (connection.on(), (span, node));
            let reader = self.goroutines.read(task, on, own, &mut self.traces);
            exchange.goroutine = reader.or(exchange.goroutine);
        }
        let Some((trace, sender)) = carried else {
            return;
        };
        match (exchange.kind, sender) {
            (Kind::Server, Some(sender)) => {
                exchange.received = Some((trace, sender));
                self.forwarded.received(pid, (trace, sender), span, node);
            }
            (Kind::Client, Some(sender)) => {
                self.traces.await_parent(node, 0);
                // Passed on as it was received, it names the sender of that, not its receiver.
                let cause = self.forwarded.of(pid, (trace, sender), by_execution);
                if let Some((cause, above)) = cause
                    && self.traces.join(node, above)
                {
                    exchange.parent = Some((cause, ParentSource::Propagated));
                }
            }
            (_, None) => {}
        }
    }

    /// The first byte of its answer was seen.
    pub(super) fn answering(&mut self, slot: Slot, key: usize, at: &At) {
        let (Some(connection), Some(writer)) = (self.table.get(slot), at.task) else {
            return;
        };
        let exchange = &mut self.exchanges[key];
        if exchange.kind != Kind::Server || self.in_gap {
            return;
        }
        let on = connection.on();
        let own = (exchange.span_id, exchange.node);
        exchange.goroutine =
            self.goroutines
                .answered(writer, exchange.goroutine, on, own, &mut self.traces);
        if let Some(reader) = exchange.executor
            && let Some(process) = self.processes.get_mut(&exchange.pid)
        {
            self.executors
                .answered(&mut process.habits, reader, on, writer);
        }
    }

    /// The connection is gone, though not all of it may have been seen: its threads turn to others.
    pub(super) fn deserted(&mut self, slot: Slot) {
        let Some(connection) = self.table.get(slot) else {
            return;
        };
        let open: Vec<usize> = connection.open.keys(&self.exchanges).collect();
        for key in open {
            let exchange = &mut self.exchanges[key];
            if let Some(executor) = exchange.executor.take() {
                let process = self.processes.get_mut(&exchange.pid);
                let habits = process.map(|process| &mut process.habits);
                self.executors
                    .ended(habits, executor, exchange.response.is_answered());
            }
        }
    }

    /// Nobody serves it any more.
    pub(super) fn unserved(&mut self, exchange: &Exchange) {
        if exchange.kind != Kind::Server {
            return;
        }
        let mut habits = None;
        if let Some(process) = self.processes.get_mut(&exchange.pid) {
            process.habits.left();
            if exchange.response.is_wanted() && !exchange.response.is_answered() {
                process.habits.unseen(self.now);
            }
            habits = Some(&mut process.habits);
        }
        if let Some(executor) = exchange.executor {
            self.executors
                .ended(habits, executor, exchange.response.is_answered());
        }
        if let Some(goroutine) = exchange.goroutine {
            self.goroutines.ended(goroutine);
        }
        if let Some(context) = exchange.received {
            self.forwarded.ended(exchange.pid, context);
        }
    }

    /// A goroutine came by a probe.
    pub(super) fn came_by(&mut self, record: &event::Goroutine) {
        if self.in_gap {
            return;
        }
        let event::Goroutine {
            pid, goid, parent, ..
        } = *record;
        match record.what {
            GoroutineDoes::Gives(token) => self.goroutines.gives(pid, token, goid, parent),
            GoroutineDoes::Takes(token, stream) => {
                self.goroutines.takes(pid, token, goid, stream);
            }
            GoroutineDoes::Begins { fresh } => {
                self.goroutines.begins(pid, goid, fresh, &mut self.traces);
            }
            GoroutineDoes::Starts => self.goroutines.starts(pid, goid, parent),
            GoroutineDoes::Serves { stream, fresh } => {
                let _ = self.serves(record, stream, fresh);
            }
        }
    }

    /// A goroutine begins to handle a stream of the connection that its parent reads.
    fn serves(&mut self, record: &event::Goroutine, stream: u32, fresh: Fresh) -> Option<()> {
        let connection = self.goroutines.reader_of(record.pid, record.parent)?;
        let connection = self.table.get(self.table.followed(connection)?)?;
        let id = connection.feed.protocol()?.exchange_on(stream)?;
        let key = connection.open.find(&self.exchanges, id)?;
        let exchange = &mut self.exchanges[key];
        if exchange.kind == Kind::Server && exchange.goroutine.is_none() {
            let (on, span, node) = (connection.id, exchange.span_id, exchange.node);
            exchange.goroutine =
                self.goroutines
                    .serves_stream((record.pid, record.goid), on, (span, node), fresh);
        }
        Some(())
    }
}
