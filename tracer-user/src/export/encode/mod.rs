//! Spans as OTLP protobuf, straight into bytes: no tree of messages in between.
//!
//! Every length is known before its message is written, so nothing is moved or patched. The field
//! numbers are those of `opentelemetry/proto/trace/v1/trace.proto` and its imports; the tests read
//! the bytes back with the official types. JSON is made from these bytes too ([`super::json`]).

#[cfg(test)]
mod tests;

use super::settings::Limits;
use crate::resource::{Resource, Value};
use crate::semconv::{self, AttributeSink, PathName, SpanEvent};
use crate::span::{Kind, ParentSource, Span, StreamMessage};

/// A field's number with its wire type, one byte: all but one of our fields are below 16.
const fn key(field: u8, wire_type: u8) -> u8 {
    assert!(field < 16);
    field << 3 | wire_type
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH: u8 = 2;

/// Fields of `Span`.
mod span_field {
    use super::{FIXED64, LENGTH, VARINT, key};
    pub const TRACE_ID: u8 = key(1, LENGTH);
    pub const SPAN_ID: u8 = key(2, LENGTH);
    pub const TRACE_STATE: u8 = key(3, LENGTH);
    pub const PARENT_SPAN_ID: u8 = key(4, LENGTH);
    pub const NAME: u8 = key(5, LENGTH);
    pub const KIND: u8 = key(6, VARINT);
    pub const START: u8 = key(7, FIXED64);
    pub const END: u8 = key(8, FIXED64);
    pub const ATTRIBUTES: u8 = key(9, LENGTH);
    pub const DROPPED_ATTRIBUTES: u8 = key(10, VARINT);
    pub const EVENTS: u8 = key(11, LENGTH);
    pub const DROPPED_EVENTS: u8 = key(12, VARINT);
    pub const STATUS: u8 = key(15, LENGTH);
    /// Field 16, fixed32.
    pub const FLAGS: [u8; 2] = [0x85, 0x01];
}

/// `SpanFlags`: the W3C flag, and whether the parent is in another process.
mod flag {
    pub const SAMPLED: u32 = 0x01;
    pub const HAS_IS_REMOTE: u32 = 0x100;
    pub const IS_REMOTE: u32 = 0x200;
}

/// Appends a `Span` message, without the key and length that its container gives it.
/// `path` is what its path is called.
pub(super) fn span(
    span: &Span,
    path: Option<PathName<'_>>,
    options: &semconv::Options,
    limits: &Limits,
    out: &mut Vec<u8>,
) {
    use span_field as field;
    bytes(field::TRACE_ID, &span.trace_id.0, out);
    bytes(field::SPAN_ID, &span.span_id.0, out);
    if !span.trace_state.is_empty() {
        bytes(field::TRACE_STATE, span.trace_state.as_bytes(), out);
    }
    let mut flags = flag::HAS_IS_REMOTE;
    if span.sampled != Some(false) {
        flags |= flag::SAMPLED;
    }
    if let Some((parent, source)) = span.parent {
        bytes(field::PARENT_SPAN_ID, &parent.0, out);
        flags |= match source {
            ParentSource::Propagated | ParentSource::Connection => flag::IS_REMOTE,
            ParentSource::Execution | ParentSource::SoleCandidate => 0,
        };
    }
    semconv::span_name(span, path, options, |name| text(field::NAME, name, out));
    out.push(field::KIND);
    out.push(match span.kind {
        Kind::Server => 2,
        Kind::Client => 3,
    });
    fixed64(field::START, span.start_ns, out);
    fixed64(field::END, span.end_ns, out);

    let mut attributes = Attributes {
        key: field::ATTRIBUTES,
        left: limits.attributes,
        dropped: 0,
        longest: limits.value_length,
        out,
    };
    semconv::attributes(span, path, options, &mut attributes);
    let dropped = attributes.dropped;
    count(field::DROPPED_ATTRIBUTES, dropped, out);

    let mut left = limits.events;
    let mut dropped = 0;
    let not_kept = semconv::events(span, options.level, |told| {
        if left == 0 {
            dropped += 1;
            return;
        }
        left -= 1;
        event(&told, out);
    });
    count(field::DROPPED_EVENTS, dropped + not_kept, out);

    // Also when unset: a reader of JSON gets an object, not null.
    match semconv::error(span) {
        Some(message) => status(&message, out),
        None => bytes(field::STATUS, &[], out),
    }
    out.extend_from_slice(&field::FLAGS);
    out.extend_from_slice(&flags.to_le_bytes());
}

/// Appends a `Resource` message's fields.
pub(super) fn resource(resource: &Resource, out: &mut Vec<u8>) {
    let mut attributes = Attributes {
        key: key(1, LENGTH),
        left: usize::MAX,
        dropped: 0,
        longest: None,
        out,
    };
    for (name, value) in &resource.attributes {
        match value {
            Value::Text(text) => attributes.text(name, &[text]),
            Value::Int(value) => attributes.int(name, *value),
            Value::List(list) => {
                let list: Vec<&str> = list.iter().map(String::as_str).collect();
                attributes.texts(name, &list);
            }
        }
    }
}

/// Appends what a `ScopeSpans` message has before its spans: the scope and the schema.
pub(super) fn scope(out: &mut Vec<u8>) {
    let mut scope = Vec::new();
    bytes(key(1, LENGTH), b"tracer", &mut scope);
    bytes(
        key(2, LENGTH),
        env!("CARGO_PKG_VERSION").as_bytes(),
        &mut scope,
    );
    bytes(key(1, LENGTH), &scope, out);
    bytes(key(3, LENGTH), semconv::SCHEMA_URL.as_bytes(), out);
}

/// Appends a field of a known content: text, bytes or a message.
pub(super) fn bytes(key: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(key);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// Appends a field of a text in pieces.
fn text(key: u8, pieces: &[&str], out: &mut Vec<u8>) {
    out.push(key);
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    varint(length as u64, out);
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// `STATUS_CODE_ERROR`, and what is known of it.
fn status(message: &str, out: &mut Vec<u8>) {
    const ERROR: [u8; 2] = [key(3, VARINT), 2];
    if message.is_empty() {
        return bytes(span_field::STATUS, &ERROR, out);
    }
    out.push(span_field::STATUS);
    varint((text_field(message.len()) + ERROR.len()) as u64, out);
    bytes(key(2, LENGTH), message.as_bytes(), out);
    out.extend_from_slice(&ERROR);
}

/// An event: a time and a name, whose lengths fit in a byte each. Some ten are on every span.
#[inline(always)]
fn event(event: &SpanEvent<'_>, out: &mut Vec<u8>) {
    if let Some(message) = event.message {
        return of_message(event, message, out);
    }
    begin_event(event, 0, out);
}

/// The same with attributes of that length.
#[inline(always)]
fn begin_event(event: &SpanEvent<'_>, attributes: usize, out: &mut Vec<u8>) {
    let name = event.name;
    let length = 9 + text_field(name.len()) + attributes;
    debug_assert!(length < 0x80, "{name}");
    let mut head = [0; 13];
    head[..3].copy_from_slice(&[span_field::EVENTS, length as u8, key(1, FIXED64)]);
    head[3..11].copy_from_slice(&event.at.to_le_bytes());
    head[11..].copy_from_slice(&[key(2, LENGTH), name.len() as u8]);
    out.extend_from_slice(&head);
    out.extend_from_slice(name.as_bytes());
}

/// An event of a stream's message: its number and size are attributes.
#[cold]
fn of_message(event: &SpanEvent<'_>, message: &StreamMessage, out: &mut Vec<u8>) {
    let told = [
        ("rpc.message.id", semconv::int(message.number)),
        ("rpc.message.compressed_size", semconv::int(message.size)),
    ];
    // With the key and the length of each, which is a byte.
    let lengths = told.map(|(name, value)| 2 + int_attribute_length(name, value));
    begin_event(event, lengths.iter().sum(), out);
    let mut attributes = Attributes {
        key: key(3, LENGTH),
        left: usize::MAX,
        dropped: 0,
        longest: None,
        out,
    };
    for (name, value) in told {
        attributes.int(name, value);
    }
}

/// Length of a `KeyValue` with a whole number.
const fn int_attribute_length(name: &str, value: i64) -> usize {
    text_field(name.len()) + text_field(1 + varint_length(value as u64))
}

fn fixed64(key: u8, value: u64, out: &mut Vec<u8>) {
    out.push(key);
    out.extend_from_slice(&value.to_le_bytes());
}

fn count(key: u8, value: u64, out: &mut Vec<u8>) {
    if value > 0 {
        out.push(key);
        varint(value, out);
    }
}

/// Base 128, least significant group first.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`varint`] writes.
pub(super) const fn varint_length(value: u64) -> usize {
    // Seven bits a byte, and one byte for 0.
    ((63 - (value | 1).leading_zeros()) / 7 + 1) as usize
}

/// Length of a field of that much content, with its key.
const fn text_field(content: usize) -> usize {
    1 + varint_length(content as u64) + content
}

/// Writes attributes as `KeyValue` fields of the message under way.
struct Attributes<'a> {
    /// Of the field they are.
    key: u8,
    /// How many more fit.
    left: usize,
    /// How many did not.
    dropped: u64,
    /// Limit of a text, in characters.
    longest: Option<usize>,
    out: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    /// Begins an attribute whose `AnyValue` has that length; false if it does not fit any more.
    ///
    /// Nearly every length is below 128 and so one byte: then the pieces are written together, and
    /// as the callers' names are constants, inlining makes plain stores of them.
    #[inline(always)]
    fn begin(&mut self, name: &str, value: usize) -> bool {
        if self.left == 0 {
            self.dropped += 1;
            return false;
        }
        self.left -= 1;
        let length = text_field(name.len()) + text_field(value);
        if length < 0x80 {
            let head = [self.key, length as u8, key(1, LENGTH), name.len() as u8];
            self.out.extend_from_slice(&head);
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(&[key(2, LENGTH), value as u8]);
        } else {
            self.begin_long(name, value, length);
        }
        true
    }

    #[cold]
    fn begin_long(&mut self, name: &str, value: usize, length: usize) {
        self.out.push(self.key);
        varint(length as u64, self.out);
        bytes(key(1, LENGTH), name.as_bytes(), self.out);
        self.out.push(key(2, LENGTH));
        varint(value as u64, self.out);
    }
}

/// Fields of `AnyValue`.
mod value_field {
    use super::{FIXED64, LENGTH, VARINT, key};
    pub const STRING: u8 = key(1, LENGTH);
    pub const INT: u8 = key(3, VARINT);
    pub const DOUBLE: u8 = key(4, FIXED64);
    pub const ARRAY: u8 = key(5, LENGTH);
    /// `ArrayValue.values`
    pub const ARRAY_VALUES: u8 = key(1, LENGTH);
}

impl AttributeSink for Attributes<'_> {
    fn text(&mut self, name: &str, pieces: &[&str]) {
        if let Some(longest) = self.longest
            && pieces.iter().map(|piece| piece.len()).sum::<usize>() > longest
        {
            let cut: String = pieces
                .iter()
                .flat_map(|p| p.chars())
                .take(longest)
                .collect();
            return self.whole_text(name, &[&cut]);
        }
        self.whole_text(name, pieces);
    }

    fn int(&mut self, name: &str, value: i64) {
        let value = value as u64;
        if self.begin(name, 1 + varint_length(value)) {
            self.out.push(value_field::INT);
            varint(value, self.out);
        }
    }

    fn double(&mut self, name: &str, value: f64) {
        if self.begin(name, 9) {
            fixed64(value_field::DOUBLE, value.to_bits(), self.out);
        }
    }

    fn texts(&mut self, name: &str, values: &[&str]) {
        let cut = |value: &&'_ str| match self.longest {
            Some(longest) => match value.char_indices().nth(longest) {
                Some((end, _)) => end,
                None => value.len(),
            },
            None => value.len(),
        };
        let lengths: Vec<usize> = values.iter().map(cut).collect();
        let array = lengths.iter().map(|l| text_field(text_field(*l))).sum();
        if self.begin(name, text_field(array)) {
            self.out.push(value_field::ARRAY);
            varint(array as u64, self.out);
            for (value, length) in values.iter().zip(lengths) {
                self.out.push(value_field::ARRAY_VALUES);
                varint(text_field(length) as u64, self.out);
                bytes(value_field::STRING, &value.as_bytes()[..length], self.out);
            }
        }
    }
}

impl Attributes<'_> {
    fn whole_text(&mut self, name: &str, pieces: &[&str]) {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        if self.begin(name, text_field(length)) {
            text(value_field::STRING, pieces, self.out);
        }
    }
}
