//! Propagated trace context: which trace a message belongs to, as its sender says.
//!
//! One file per format; each reads the fields it knows and says nothing else. A malformed context is
//! ignored whole and counted, never half used.

mod w3c;

use std::fmt;

use smallvec::SmallVec;

use crate::protocol::Head;
use crate::protocol::rpc::Key;

/// What a head says of its trace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extraction {
    /// The context, where a valid one was there.
    pub context: Option<Context>,
    /// Formats whose fields were there but made no sense: ignored, for the caller to count.
    pub malformed: u32,
}

/// Reads the propagated context from a message's head, in one pass over its fields.
///
/// To add a format: its file beside this one, its state here, its fields offered to it, and its place
/// in the order of preference at the end.
pub fn extract(head: &Head) -> Extraction {
    let mut w3c = w3c::Reader::default();
    match head {
        Head::Http(head) => {
            for (name, value) in head.fields() {
                let (carrier, name) = Carrier::of_header(name);
                w3c.field(carrier, name, value);
            }
        }
        Head::Rpc(head) => {
            let mut lower = SmallVec::<[u8; 64]>::new();
            for (key, value) in &head.fields {
                let Key::Text(key) = key else { continue };
                let (carrier, name) = Carrier::of_key(key);
                lower.clear();
                lower.extend_from_slice(name);
                lower.make_ascii_lowercase();
                w3c.field(carrier, &lower, value);
            }
        }
    }
    match w3c.finish() {
        Ok(context) => Extraction {
            context,
            malformed: 0,
        },
        Err(Malformed) => Extraction {
            context: None,
            malformed: 1,
        },
    }
}

/// How a field came: by itself, or as Kitex' metainfo, which carries what a program hands to its
/// calls. A field that came nearer wins: a gRPC server forwards a transient `traceparent` once more
/// as it came, beside the one of its own call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Carrier {
    /// The sender wrote it for this message.
    #[default]
    Direct,
    /// Metainfo that is meant for one hop.
    Transit,
    /// Metainfo that is handed on for ever.
    Persist,
}

impl Carrier {
    /// Of a header's name, lower case: HTTP and gRPC (cloudwego/gopkg `metainfo`, `HTTPPrefix*`).
    #[inline]
    fn of_header(name: &[u8]) -> (Carrier, &[u8]) {
        match name {
            // Few names begin so, and every field of every request comes by here.
            [b'r', b'p', b'c', ..] => Carrier::of(name, [b"rpc-transit-", b"rpc-persist-"]),
            _ => (Carrier::Direct, name),
        }
    }

    /// Of a TTHeader text key (the same, `Prefix*`).
    fn of_key(key: &[u8]) -> (Carrier, &[u8]) {
        Carrier::of(key, [b"RPC_TRANSIT_", b"RPC_PERSIST_"])
    }

    fn of<'a>(name: &'a [u8], [transit, persist]: [&[u8; 12]; 2]) -> (Carrier, &'a [u8]) {
        let Some((prefix, rest)) = name.split_first_chunk() else {
            return (Carrier::Direct, name);
        };
        if prefix == transit {
            (Carrier::Transit, rest)
        } else if prefix == persist {
            (Carrier::Persist, rest)
        } else {
            (Carrier::Direct, name)
        }
    }
}

/// A format's fields are there and make no sense: none of them is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// What a message says of its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace_id: TraceId,
    /// The sender's span: our parent.
    pub span_id: SpanId,
    /// Whether the sender records.
    pub sampled: bool,
    /// W3C `tracestate`, as sent; empty = none.
    pub trace_state: String,
    /// What it was read from.
    pub format: Format,
}

/// Propagation formats; the names are `tracer.context.format`'s values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// W3C Trace Context.
    W3c,
}

impl Format {
    /// The word users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::W3c => "w3c",
        }
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}
