//! What the messages of a connection mean for its exchanges: each event finds its exchange and leaves
//! its mark there.

use slab::Slab;

use super::connection::{Slot, Table};
use super::exchange::Exchange;
use super::feed::At;
use super::streamed::MAX_KEPT;
use super::tracker::{Host, Tracker};
use crate::context;
use crate::protocol::{self, ExchangeId, Incomplete, Side, Sizes};

impl Tracker {
    /// Something happened in the life of an exchange.
    pub(super) fn message(
        &mut self,
        slot: Slot,
        event: protocol::Event,
        at: &At,
        host: &mut impl Host,
    ) {
        use protocol::Event as E;
        match event {
            E::RequestStarted(id, first) => self.request_started(slot, id, at, first, host),
            E::RequestHead(id, head) => {
                let found = context::extract(&head, &self.formats);
                let Some((key, exchange)) = self.find(slot, id) else {
                    return;
                };
                exchange.request.head = Some(head);
                exchange.stamps.request.head = at.moment(Side::Request).end;
                let by_execution = exchange.parent.map(|(span, _)| span);
                let carried = found
                    .context
                    .as_ref()
                    .map(|context| (context.trace_id, context.span_id));
                self.propagated(key, found);
                self.asked(slot, key, at, carried, by_execution);
                self.meet(slot, key);
            }
            E::RequestEnded(id, sizes) => {
                self.ended_message(slot, id, Side::Request, sizes, at, host)
            }
            E::ResponseStarted(id) => {
                let counts = &mut self.counts.messages;
                let Some(key) = find_key(&self.table, &self.exchanges, slot, id) else {
                    return;
                };
                let exchange = &mut self.exchanges[key];
                exchange.response.start(counts);
                exchange.stamps.response.first = at.moment(Side::Response);
                self.answering(slot, key, at);
            }
            E::ResponseInterim(id) => {
                if let Some((_, exchange)) = self.find(slot, id) {
                    exchange.response.was_interim();
                    exchange.stamps.response = Default::default();
                }
            }
            E::ResponseHead(id, head) => {
                let answer = context::answer(&head, &self.formats);
                if let Some((key, exchange)) = self.find(slot, id) {
                    exchange.response.head = Some(head);
                    // The end of a stream may say more than its head did (TTHeader).
                    if exchange.stamps.response.head == 0 {
                        exchange.stamps.response.head = at.moment(Side::Response).end;
                    }
                    if let Some(answer) = answer {
                        self.answered(key, answer);
                    }
                }
            }
            E::ResponseEnded(id, sizes) => {
                self.ended_message(slot, id, Side::Response, sizes, at, host);
            }
            E::Incomplete {
                exchange: id,
                side,
                reason,
            } => {
                let key = id.and_then(|id| find_key(&self.table, &self.exchanges, slot, id));
                match key {
                    Some(key) => {
                        let exchange = &mut self.exchanges[key];
                        if !exchange.response.is_over() && at.closed != 0 {
                            exchange.stamps.closed = at.closed;
                        }
                        let evicted =
                            exchange.incomplete.is_none() && reason == Incomplete::Evicted;
                        self.counts.limits.exchanges += u64::from(evicted);
                        exchange.cut(side, reason, &mut self.counts.messages);
                        self.finish_if_over(slot, key, host);
                    }
                    None => self.counts.messages.passed(Err(reason)),
                }
            }
            E::Message {
                exchange: id,
                side,
                size,
            } => {
                let room = match self.kept < MAX_KEPT {
                    true => self.messages_kept,
                    false => 0,
                };
                if let Some((_, exchange)) = self.find(slot, id) {
                    let kept = exchange.carried(side, size, at.moment(side).end, room);
                    self.kept += usize::from(kept);
                }
            }
            E::Trailers(id, trailers) => {
                if let Some((_, exchange)) = self.find(slot, id) {
                    exchange.streamed().trailers = Some(trailers);
                }
            }
            E::Reset {
                exchange: id,
                side,
                cause,
            } => {
                if let Some((_, exchange)) = self.find(slot, id) {
                    let end = at.moment(side).end;
                    exchange.was_reset(side, cause, end);
                    if !exchange.response.is_over() {
                        exchange.stamps.closed = end;
                    }
                }
            }
            E::NoResponse(id) => {
                if let Some((key, exchange)) = self.find(slot, id) {
                    exchange.response.will_not_come();
                    self.await_server(slot, key);
                    self.finish_if_over(slot, key, host);
                }
            }
            // The whole connection's: see the caller.
            E::Opaque => {}
        }
    }

    fn ended_message(
        &mut self,
        slot: Slot,
        id: ExchangeId,
        side: Side,
        sizes: Sizes,
        at: &At,
        host: &mut impl Host,
    ) {
        let Some(key) = find_key(&self.table, &self.exchanges, slot, id) else {
            self.counts.messages.passed(Ok(()));
            return;
        };
        let exchange = &mut self.exchanges[key];
        exchange.message(side).end(sizes, &mut self.counts.messages);
        let end = at.moment(side).end;
        match side {
            Side::Request => exchange.stamps.request.last = end,
            Side::Response => exchange.stamps.response.last = end,
        }
        self.finish_if_over(slot, key, host);
    }

    fn find(&mut self, slot: Slot, id: ExchangeId) -> Option<(usize, &mut Exchange)> {
        let key = find_key(&self.table, &self.exchanges, slot, id)?;
        Some((key, &mut self.exchanges[key]))
    }
}

fn find_key(
    table: &Table,
    exchanges: &Slab<Exchange>,
    slot: Slot,
    id: ExchangeId,
) -> Option<usize> {
    table.get(slot)?.open.find(exchanges, id)
}
