//! What the heads of an exchange say of its trace, and what becomes of it.
//!
//! A request's context is its trace and its parent. An answer that names the span which the server
//! made of the exchange tells the trace, where the request told none: ours stands beside that span,
//! below the same parent, and never takes its id, which whoever made it may export.

use super::tracker::Tracker;
use super::{Kind, ParentSource};
use crate::context::{Answer, Extraction, SpanId};

impl Tracker {
    /// The request's head says so.
    pub(super) fn propagated(&mut self, key: usize, found: Extraction) {
        self.counts.malformed_contexts += u64::from(found.malformed);
        self.counts.disagreeing_contexts += u64::from(found.disagreeing);
        let exchange = &mut self.exchanges[key];
        if let Some(sampled) = found.sampled {
            self.traces.decided(exchange.node, sampled);
        }
        let Some(context) = found.context else {
            return;
        };
        self.counts.contexts += 1;
        exchange.parent = context.span_id.map(|id| (id, ParentSource::Propagated));
        exchange.format = Some(context.format);
        self.traces.propagated(exchange.node, &context);
        exchange.sent = context.sent;
        if let Some(id) = context.receiver {
            self.take_id(key, id);
        }
    }

    /// The answer's head says so.
    pub(super) fn answered(&mut self, key: usize, answer: Answer) {
        let exchange = &mut self.exchanges[key];
        let parent = exchange.parent.map(|(id, _)| id);
        // A server that sends back what it was sent names our parent, no span of its own.
        exchange.answer_span = answer.span_id.filter(|id| Some(*id) != parent);
        if exchange.format.is_some() {
            return;
        }
        let began = exchange.stamps.request.first.begin_or_end();
        let now = exchange.stamps.response.head;
        if self.taken.trace(answer.trace_id, began, now)
            && self.traces.answered(exchange.node, answer.trace_id)
        {
            self.counts.answered_contexts += 1;
            exchange.format = Some(answer.format);
            // Whoever was put below it knows it by its id.
            if let Some(id) = answer.receiver
                && !self.traces.has_below(exchange.node)
            {
                self.take_id(key, id);
            }
        }
    }

    /// A server's span gets an id that the service itself has for it, if no other has it.
    fn take_id(&mut self, key: usize, id: SpanId) {
        let exchange = &mut self.exchanges[key];
        if exchange.kind == Kind::Server && self.taken.span(id) {
            if let Some(executor) = exchange.executor {
                self.executors.renamed(executor, exchange.span_id, id);
            }
            if let Some(goroutine) = exchange.goroutine {
                self.goroutines.renamed(goroutine, exchange.span_id, id);
            }
            if let Some(process) = self.processes.get_mut(&exchange.pid) {
                process.habits.renamed(exchange.span_id, id);
            }
            exchange.span_id = id;
        }
    }
}
