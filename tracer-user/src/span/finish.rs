//! How exchanges end: with their messages, with their connection, or with the agent.

use super::connection::{Ends, Slot};
use super::exchange::Exchange;
use super::tracker::{Host, Tracker};
use super::{ParentSource, Span};
use crate::event::{ConnectionId, End, Ended};
use crate::protocol::http::Version;
use crate::protocol::{Head, Incomplete, Side};

/// How long a connection that ended is kept, boot-time ns. The peer's reset is seen on another
/// processor than the last transfers, whose records may come after it.
const END_GRACE: u64 = 50_000_000;

impl Tracker {
    /// A connection, or one of its directions, is over.
    pub(super) fn ended(&mut self, ended: &Ended, host: &mut impl Host) {
        self.now = self.now.max(ended.at_ns);
        let Some(slot) = self.table.followed(ended.connection) else {
            if ended.what == End::All {
                self.table.forget_ignored(ended.connection);
            }
            return;
        };
        if ended.what == End::All {
            self.deserted(slot);
            self.ending.push_back(*ended);
        } else {
            self.end(slot, ended, host);
        }
    }

    /// Takes out the connections that ended a while ago.
    pub(super) fn close_ended(&mut self, host: &mut impl Host) {
        while let Some(ended) = self
            .ending
            .pop_front_if(|ended| ended.at_ns + END_GRACE <= self.now)
        {
            self.close_named(&ended, host);
        }
    }

    /// Takes out a connection whose name belongs to another one now.
    pub(super) fn close_renamed(&mut self, slot: Slot, id: ConnectionId, host: &mut impl Host) {
        let ending = self.ending.iter().position(|ended| ended.connection == id);
        match ending.and_then(|at| self.ending.remove(at)) {
            Some(ended) => self.close_named(&ended, host),
            // The record of its end was lost.
            None => _ = self.close(slot, Incomplete::LostEvents, self.now, host),
        }
    }

    fn close_named(&mut self, ended: &Ended, host: &mut impl Host) {
        if let Some(slot) = self.table.followed(ended.connection) {
            self.end(slot, ended, host);
            self.close(slot, self.why_ended(slot), ended.at_ns, host);
        }
    }

    /// Why what is open on a connection that ended has no end itself: where events are missing since its last
    /// transfer, its own may be among them.
    fn why_ended(&self, slot: Slot) -> Incomplete {
        let heard_all = self.table.get(slot).map(|connection| connection.gaps) == Some(self.gaps);
        match heard_all && !self.in_gap {
            true => Incomplete::ConnectionClosed,
            false => Incomplete::LostEvents,
        }
    }

    fn end(&mut self, slot: Slot, ended: &Ended, host: &mut impl Host) {
        let reason = self.why_ended(slot);
        if let Some(connection) = self.table.get_mut(slot) {
            connection.touched = self.now;
            let mut batch = std::mem::take(&mut self.batch);
            let at = connection
                .feed
                .end(ended.what, reason, ended.at_ns, &mut batch);
            self.take_batch(slot, batch, &at, host);
        }
    }

    /// The connection carries nothing that we know, or no more of it.
    pub(super) fn give_up(&mut self, slot: Slot, host: &mut impl Host) {
        if let Some(id) = self.close(slot, Incomplete::Malformed, self.now, host) {
            self.table.ignore(id);
            host.ignore(id);
        }
    }

    /// Takes a connection out. What is open on it ends here, for that reason.
    pub(super) fn close(
        &mut self,
        slot: Slot,
        reason: Incomplete,
        at_ns: u64,
        host: &mut impl Host,
    ) -> Option<ConnectionId> {
        let mut connection = self.table.remove(slot)?;
        self.counts.late += connection.feed.late();
        while let Some(key) = connection.open.first() {
            let exchange = &mut self.exchanges[key];
            if !exchange.response.is_over() {
                exchange.stamps.closed = at_ns;
            }
            exchange.cut(Side::Request, reason, &mut self.counts.messages);
            exchange.cut(Side::Response, reason, &mut self.counts.messages);
            let exchange = connection.open.remove(&mut self.exchanges, key)?;
            self.over(exchange, connection.id, connection.ends, host);
        }
        Some(connection.id)
    }

    /// The agent stops. What has its answer becomes a span; what has not is counted.
    pub fn stop(&mut self, host: &mut impl Host) {
        for ended in std::mem::take(&mut self.ending) {
            self.close_named(&ended, host);
        }
        for slot in self.table.slots() {
            let Some(mut connection) = self.table.remove(slot) else {
                continue;
            };
            self.counts.late += connection.feed.late();
            while let Some(key) = connection.open.first() {
                let Some(mut exchange) = connection.open.remove(&mut self.exchanges, key) else {
                    break;
                };
                let answered = exchange.response.is_over();
                for side in [Side::Request, Side::Response] {
                    exchange.cut(side, Incomplete::AgentStopped, &mut self.counts.messages);
                }
                if answered {
                    self.over(exchange, connection.id, connection.ends, host);
                } else {
                    self.forget(&exchange);
                    self.traces.release(exchange.node);
                }
            }
        }
        self.goroutines.stop(&mut self.traces);
        self.release_all(host);
    }

    /// Makes the span of an exchange if its two messages are over.
    pub(super) fn finish_if_over(&mut self, slot: Slot, key: usize, host: &mut impl Host) {
        if !self.exchanges[key].is_over() {
            return;
        }
        if let Some(connection) = self.table.get_mut(slot)
            && let Some(exchange) = connection.open.remove(&mut self.exchanges, key)
        {
            let (id, ends) = (connection.id, connection.ends);
            self.over(exchange, id, ends, host);
        }
    }

    fn over(
        &mut self,
        exchange: Exchange,
        connection: ConnectionId,
        ends: Ends,
        host: &mut impl Host,
    ) {
        self.forget(&exchange);
        if !exchange.is_worth_a_span() {
            self.traces.release(exchange.node);
        } else if self.traces.resolve(exchange.node, self.now).is_some() {
            self.emit(exchange, &ends, host);
        } else {
            self.hold(exchange, connection, ends, host);
        }
    }

    /// It is not open any more.
    fn forget(&mut self, exchange: &Exchange) {
        if let Some(streamed) = &exchange.streamed {
            self.kept -= streamed.messages.len();
        }
        self.unserved(exchange);
    }

    pub(super) fn emit(&mut self, exchange: Exchange, ends: &Ends, host: &mut impl Host) {
        let settled = self.traces.settled(exchange.node);
        let settled = settled.map(|parent| (parent, ParentSource::Execution));
        let trace = self.traces.resolve_now(exchange.node);
        let (trace_id, sampled, trace_state) = (trace.id, trace.sampled, trace.state.clone());
        let to_unix = trace.to_unix;
        self.traces.release(exchange.node);
        let incomplete = exchange.incomplete.or_else(|| {
            let head = exchange.request.head.as_ref()?;
            // Only HPACK's memory knows it, and that was filled before the agent looked.
            is_unknown(head).then_some(Incomplete::AttachedMidway)
        });
        let times = exchange.stamps.times(exchange.kind, to_unix);
        let mut streamed = exchange.streamed;
        if let Some(streamed) = &mut streamed {
            streamed.date(to_unix);
        }
        host.span(Span {
            resource: exchange.resource,
            kind: exchange.kind,
            trace_id,
            span_id: exchange.span_id,
            parent: exchange.parent.or(settled),
            trace_state,
            sampled,
            format: exchange.format,
            sent: exchange.sent,
            answer_span: exchange.answer_span,
            start_ns: times.start,
            end_ns: times.end,
            instants: times.instants,
            addresses: ends.addresses,
            request: exchange.request.head,
            response: exchange.response.head,
            request_sizes: exchange.request.sizes,
            response_sizes: exchange.response.sizes,
            streamed,
            incomplete,
        });
    }
}

/// An HTTP/2 request whose target its head could not tell.
fn is_unknown(head: &Head) -> bool {
    head.http().is_some_and(|head| {
        head.version() == Version::Http2 && head.target().is_empty() && head.method() != b"CONNECT"
    })
}
