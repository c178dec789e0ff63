//! Which trace an exchange belongs to, when its parent may come to be known after it.
//!
//! Every exchange has a [`Node`]; a node whose parent is an exchange of ours points `up` to it, and
//! the trace is that of the node at the top. So when the top learns its trace, all below it do.
//!
//! The two ends of a connection report on different processors: the server's record of a request may
//! reach us before the client's. A server's node therefore stays *open* for a moment
//! ([`Traces::await_parent`]): until then nothing below it is told its trace, and a span that asks
//! waits. After that moment the answer is final, and a parent that comes later is refused: one trace
//! is never split or renamed once it was told.

use slab::Slab;

use crate::context::{Context, SpanId, TraceId};

/// Names a node; valid until [`Traces::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeKey(usize);

/// What the spans of one trace have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    /// Whether whoever began it records it, if that was said.
    pub sampled: Option<bool>,
    /// W3C `tracestate`.
    pub state: String,
    /// Added to boot-time ns to get unix ns, of all instants of its spans: by the clock as it was when
    /// the exchange at the top began.
    pub to_unix: i64,
}

/// Where a trace is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// It begins here, as far as is known.
    Ours,
    /// The answer told it.
    Answered,
    /// The request carried it.
    Propagated,
}

#[derive(Debug)]
struct Node {
    trace: Trace,
    /// Where `trace` is from.
    source: Source,
    /// Somebody was told `trace`.
    told: bool,
    up: Option<NodeKey>,
    /// The exchange itself, and the nodes right below.
    holders: u32,
    /// Boot-time ns until when a parent may still come.
    open_until: u64,
    /// The parent that came late, see [`Traces::settle`].
    settled: Option<SpanId>,
}

/// Longest chain of services on one host that shares a trace through us; beyond, and if records were
/// ever to contradict each other in a circle, the chain is cut.
const DEEPEST: usize = 64;

/// The nodes of all exchanges in flight, and of those above them.
#[derive(Debug, Default)]
pub struct Traces {
    nodes: Slab<Node>,
}

impl Traces {
    /// A trace of its own for an exchange that begins, by that clock.
    pub fn begin(&mut self, id: TraceId, to_unix: i64) -> NodeKey {
        NodeKey(self.nodes.insert(Node {
            trace: Trace {
                id,
                sampled: None,
                state: String::new(),
                to_unix,
            },
            source: Source::Ours,
            told: false,
            up: None,
            holders: 1,
            open_until: 0,
            settled: None,
        }))
    }

    /// The message carries its trace: nothing else decides.
    pub fn propagated(&mut self, key: NodeKey, context: &Context) {
        let Some(node) = self.nodes.get_mut(key.0) else {
            return;
        };
        node.trace = Trace {
            id: context.trace_id,
            sampled: context.sampled,
            state: context.trace_state.clone(),
            to_unix: node.trace.to_unix,
        };
        node.source = Source::Propagated;
        if let Some(up) = node.up.take() {
            self.release(up);
        }
    }

    /// The message carries no trace, but whether to record the one that begins with it.
    pub fn decided(&mut self, key: NodeKey, sampled: bool) {
        if let Some(node) = self.nodes.get_mut(key.0) {
            node.trace.sampled = Some(sampled);
        }
    }

    /// The answer tells in which trace the exchange was served: so are those above it, unless they are
    /// known to be in another one or were told so. Returns whether all are in that trace now.
    pub fn answered(&mut self, key: NodeKey, id: TraceId) -> bool {
        let top = self.top(key);
        let Some(node) = self.nodes.get_mut(top.0) else {
            return false;
        };
        if node.source == Source::Ours && !node.told {
            node.trace.id = id;
            node.source = Source::Answered;
        }
        node.trace.id == id
    }

    /// Puts `key`, which has nothing above it, below `parent`. False: they are in two traces, and that
    /// of `key` was told to others or came with its message.
    #[must_use]
    pub fn join(&mut self, key: NodeKey, parent: NodeKey) -> bool {
        let Some(node) = self.nodes.get(key.0) else {
            return false;
        };
        if node.up.is_some() || key == parent {
            return false;
        }
        let fixed = node.told || node.source == Source::Propagated;
        let answered = (node.source == Source::Answered).then_some(node.trace.id);
        if fixed && node.trace.id != self.nodes[self.top(parent).0].trace.id {
            return false;
        }
        if let Some(id) = answered {
            self.answered(parent, id);
        }
        let Some(above) = self.nodes.get_mut(parent.0) else {
            return false;
        };
        above.holders += 1;
        let node = &mut self.nodes[key.0];
        node.up = Some(parent);
        node.open_until = 0;
        true
    }

    /// A parent may come until `until` (boot-time ns).
    pub fn await_parent(&mut self, key: NodeKey, until: u64) {
        if let Some(node) = self.nodes.get_mut(key.0) {
            node.open_until = until;
        }
    }

    /// Keeps a node, even if its exchange is over, until [`Traces::settle`] or [`Traces::orphan`].
    pub fn keep(&mut self, key: NodeKey) {
        if let Some(node) = self.nodes.get_mut(key.0) {
            node.holders += 1;
        }
    }

    /// The parent of a node that was kept is known: span `span` of `parent`. One that came with its
    /// message stays.
    pub fn settle(&mut self, key: NodeKey, parent: NodeKey, span: SpanId) {
        if let Some(node) = self.nodes.get_mut(key.0)
            && node.source != Source::Propagated
        {
            node.open_until = 0;
            if self.join(key, parent) {
                self.nodes[key.0].settled = Some(span);
            }
        }
        self.release(key);
    }

    /// A node that was kept has no parent that could be known.
    pub fn orphan(&mut self, key: NodeKey) {
        self.await_parent(key, 0);
        self.release(key);
    }

    /// What [`Traces::settle`] found.
    pub fn settled(&self, key: NodeKey) -> Option<SpanId> {
        self.nodes.get(key.0)?.settled
    }

    /// Whether exchanges in flight, or not told yet, are right below it.
    pub fn has_below(&self, key: NodeKey) -> bool {
        self.nodes.get(key.0).is_some_and(|node| node.holders > 1)
    }

    /// The trace, final from now on; None while a parent may come. Those below a message that carries
    /// its trace need not wait: its parent, if one comes, is in the same trace.
    pub fn resolve(&mut self, key: NodeKey, now: u64) -> Option<&Trace> {
        let top = self.top(key);
        let node = &mut self.nodes[top.0];
        let final_already = node.source == Source::Propagated && top != key;
        if now <= node.open_until && !final_already {
            return None;
        }
        node.told = true;
        Some(&node.trace)
    }

    /// The trace as known by now, and final: for whoever cannot wait.
    pub fn resolve_now(&mut self, key: NodeKey) -> &Trace {
        let top = self.top(key);
        let node = &mut self.nodes[top.0];
        node.told = true;
        &node.trace
    }

    /// The exchange of that node is over and its span made. Nodes above it that nobody else holds go
    /// with it.
    pub fn release(&mut self, key: NodeKey) {
        let mut next = Some(key);
        while let Some(key) = next {
            let Some(node) = self.nodes.get_mut(key.0) else {
                return;
            };
            node.holders -= 1;
            if node.holders > 0 {
                return;
            }
            next = self.nodes.remove(key.0).up;
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    fn top(&self, key: NodeKey) -> NodeKey {
        let mut top = key;
        for _ in 0..DEEPEST {
            match self.nodes.get(top.0).and_then(|node| node.up) {
                Some(up) => top = up,
                None => break,
            }
        }
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Format;

    fn id(n: u8) -> TraceId {
        TraceId([n; 16])
    }

    fn context(n: u8) -> Context {
        Context {
            trace_id: id(n),
            span_id: Some(SpanId([9; 8])),
            receiver: None,
            sampled: Some(false),
            trace_state: "a=b".to_owned(),
            format: Format::W3c,
            sent: None,
        }
    }

    #[test]
    fn those_below_are_in_the_trace_of_the_top() {
        let mut traces = Traces::default();
        let (top, middle, low) = (
            traces.begin(id(1), 0),
            traces.begin(id(2), 0),
            traces.begin(id(3), 0),
        );
        assert!(traces.join(low, middle));
        assert!(traces.join(middle, top));
        traces.propagated(top, &context(7));
        let trace = traces.resolve(low, 1).unwrap();
        assert_eq!(
            (trace.id, trace.sampled, trace.state.as_str()),
            (id(7), Some(false), "a=b")
        );
        // The middle's own exchange ends first, and its node stays for the one below.
        traces.release(middle);
        traces.release(top);
        assert_eq!(traces.resolve_now(low).id, id(7));
        traces.release(low);
        assert_eq!(traces.len(), 0);
    }

    #[test]
    fn who_asks_while_a_parent_may_come_waits() {
        let mut traces = Traces::default();
        let (server, call, client) = (
            traces.begin(id(1), 0),
            traces.begin(id(2), 0),
            traces.begin(id(3), 0),
        );
        traces.await_parent(server, 100);
        assert!(traces.join(call, server));
        assert!(traces.resolve(call, 50).is_none());
        assert!(traces.join(server, client));
        assert_eq!(traces.resolve(call, 61).unwrap().id, id(3));
    }

    #[test]
    fn a_trace_once_told_is_not_renamed() {
        let mut traces = Traces::default();
        let (server, call, client) = (
            traces.begin(id(1), 0),
            traces.begin(id(2), 0),
            traces.begin(id(3), 0),
        );
        traces.await_parent(server, 100);
        assert!(traces.join(call, server));
        assert_eq!(traces.resolve(call, 101).unwrap().id, id(1));
        assert!(!traces.join(server, client));
        assert_eq!(traces.resolve(call, 102).unwrap().id, id(1));
    }

    #[test]
    fn a_message_that_carries_another_trace_is_not_joined() {
        let mut traces = Traces::default();
        let (server, client) = (traces.begin(id(1), 0), traces.begin(id(2), 0));
        traces.propagated(server, &context(7));
        assert!(!traces.join(server, client));
        traces.propagated(client, &context(7));
        assert!(traces.join(server, client));
    }

    #[test]
    fn a_propagated_context_beats_what_was_above() {
        let mut traces = Traces::default();
        let (server, call) = (traces.begin(id(1), 0), traces.begin(id(2), 0));
        assert!(traces.join(call, server));
        traces.propagated(call, &context(7));
        assert_eq!(traces.resolve(call, 1).unwrap().id, id(7));
        traces.release(server);
        assert_eq!(traces.len(), 1);
    }

    #[test]
    fn an_answer_tells_the_trace_of_all_above_it() {
        let mut traces = Traces::default();
        let (server, client) = (traces.begin(id(1), 0), traces.begin(id(2), 0));
        assert!(traces.join(server, client));
        assert!(traces.answered(server, id(7)));
        assert!(traces.answered(client, id(7)), "it hears the same");
        assert!(!traces.answered(client, id(8)), "another call's");
        assert_eq!(traces.resolve(client, 1).unwrap().id, id(7));
    }

    #[test]
    fn an_answer_renames_no_trace_that_is_known() {
        let mut traces = Traces::default();
        let (told, propagated) = (traces.begin(id(1), 0), traces.begin(id(2), 0));
        traces.resolve(told, 1);
        traces.propagated(propagated, &context(3));
        for (key, known) in [(told, id(1)), (propagated, id(3))] {
            assert!(!traces.answered(key, id(7)));
            assert!(traces.answered(key, known));
        }
    }

    #[test]
    fn a_client_that_shows_up_after_the_answer_is_in_its_trace() {
        let mut traces = Traces::default();
        let (server, client) = (traces.begin(id(1), 0), traces.begin(id(2), 0));
        assert!(traces.answered(server, id(7)));
        assert!(traces.join(server, client));
        assert_eq!(traces.resolve(client, 1).unwrap().id, id(7));
        // Unless it is known to be in another.
        let (server, client) = (traces.begin(id(1), 0), traces.begin(id(2), 0));
        traces.propagated(client, &context(3));
        assert!(traces.answered(server, id(8)));
        assert!(traces.join(server, client));
        assert_eq!(traces.resolve(server, 1).unwrap().id, id(3));
    }
}
