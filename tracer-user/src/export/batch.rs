//! Spans of several processes on their way into one `ExportTraceServiceRequest`.
//!
//! The request has one `ResourceSpans` per process, and each begins with lengths that are known only
//! when its last span is in. So the spans of a process are appended behind room for all that goes
//! before them, and at the end that is written up to the first span: the bytes of the spans are
//! never moved again (with several processes, once).

use bytes::Bytes;
use hashbrown::HashMap;

use super::encode;
use crate::resource::SharedResource;

/// `ExportTraceServiceRequest.resource_spans`, `ResourceSpans.resource`, `ScopeSpans` fields: all
/// of wire type 2.
const RESOURCE_SPANS: u8 = 0x0a;
const RESOURCE: u8 = 0x0a;
const SCOPE_SPANS: u8 = 0x12;
const SPANS: u8 = 0x12;

/// A key and the longest length: batches are far below 4 GiB.
const KEY_AND_LENGTH: usize = 1 + 5;

/// A request under way.
#[derive(Default)]
pub(super) struct Batch {
    /// In the order of their first spans.
    blocks: Vec<Block>,
    /// Which block, by the address of the resource, which the block keeps alive.
    places: HashMap<usize, usize, foldhash::fast::RandomState>,
    spans: usize,
    bytes: usize,
    /// Length of the last request per process, as a hint for the next.
    last: usize,
}

/// The spans of one process.
struct Block {
    _resource: SharedResource,
    /// The `Resource` field.
    head: Vec<u8>,
    /// Room, scope, spans.
    bytes: Vec<u8>,
    /// Where the scope begins: end of the room.
    body: usize,
}

/// A finished request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// An encoded `ExportTraceServiceRequest`.
    pub bytes: Bytes,
    /// How many spans are in it.
    pub spans: u64,
}

impl Batch {
    /// Appends an encoded `Span` of that process.
    pub(super) fn push(&mut self, resource: &SharedResource, span: &[u8]) {
        let address = std::sync::Arc::as_ptr(resource) as usize;
        let place = *self.places.entry(address).or_insert_with(|| {
            self.blocks.push(Block::new(resource, self.last));
            self.blocks.len() - 1
        });
        encode::bytes(SPANS, span, &mut self.blocks[place].bytes);
        self.spans += 1;
        self.bytes += span.len();
    }

    /// How many spans are in it.
    pub(super) fn spans(&self) -> usize {
        self.spans
    }

    /// About how long it is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Finishes the request and begins the next; none if there is nothing in it.
    pub(super) fn take(&mut self) -> Option<Request> {
        if self.spans == 0 {
            return None;
        }
        let processes = self.blocks.len();
        self.places.clear();
        let mut blocks = self.blocks.drain(..).map(Block::finish);
        let mut bytes = Bytes::new();
        if let Some((first, start)) = blocks.next() {
            let mut first = first;
            for (block, start) in blocks {
                first.extend_from_slice(&block[start..]);
            }
            bytes = Bytes::from(first).slice(start..);
        }
        self.bytes = 0;
        self.last = bytes.len() / processes;
        Some(Request {
            bytes,
            spans: std::mem::take(&mut self.spans) as u64,
        })
    }
}

impl Block {
    fn new(resource: &SharedResource, capacity: usize) -> Self {
        let mut fields = Vec::with_capacity(1024);
        encode::resource(resource, &mut fields);
        let mut head = Vec::with_capacity(fields.len() + KEY_AND_LENGTH);
        encode::bytes(RESOURCE, &fields, &mut head);
        let body = KEY_AND_LENGTH + head.len() + KEY_AND_LENGTH;
        let mut bytes = Vec::with_capacity(body + capacity);
        bytes.resize(body, 0);
        encode::scope(&mut bytes);
        Block {
            _resource: SharedResource::clone(resource),
            head,
            bytes,
            body,
        }
    }

    /// Writes what goes before the scope. Returns the bytes and where they begin.
    fn finish(mut self) -> (Vec<u8>, usize) {
        let scope_spans = (self.bytes.len() - self.body) as u64;
        let mut inner = Vec::with_capacity(KEY_AND_LENGTH);
        inner.push(SCOPE_SPANS);
        encode::varint(scope_spans, &mut inner);
        let resource_spans = (self.head.len() + inner.len()) as u64 + scope_spans;
        let mut before = Vec::with_capacity(self.body);
        before.push(RESOURCE_SPANS);
        encode::varint(resource_spans, &mut before);
        before.extend_from_slice(&self.head);
        before.extend_from_slice(&inner);
        let start = self.body - before.len();
        self.bytes[start..self.body].copy_from_slice(&before);
        (self.bytes, start)
    }
}
