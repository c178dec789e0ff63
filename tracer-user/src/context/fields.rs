//! The fields of a head that may carry a trace context, found in one pass and by name.
//!
//! Every field of every request and response comes by here, so a name is told by its first byte, then
//! its length; nothing is allocated for as many as a message has. What the values mean is the
//! formats', one file each.

use smallvec::SmallVec;

use super::Malformed;
use crate::protocol::Head;
use crate::protocol::rpc::Key;

/// The names that some format has, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Name {
    Traceparent,
    Tracestate,
    B3,
    B3TraceId,
    B3SpanId,
    B3ParentSpanId,
    B3Sampled,
    B3Flags,
    UberTraceId,
    JaegerDebugId,
    OtTraceId,
    OtSpanId,
    OtSampled,
    GoZeroTraceId,
    GoZeroSpanId,
    KratosTraceId,
    AmznTraceId,
    DatadogTraceId,
    DatadogParentId,
    DatadogPriority,
    DatadogTags,
    Sw8,
    GrpcTraceBin,
    JaegerSpanContext,
}

impl Name {
    #[inline]
    fn of(name: &[u8]) -> Option<Name> {
        Some(match name.first()? {
            b't' => match name {
                b"traceparent" => Name::Traceparent,
                b"tracestate" => Name::Tracestate,
                _ => return None,
            },
            b'x' => return Name::beginning_with_x(name),
            b'b' => match name {
                b"b3" => Name::B3,
                _ => return None,
            },
            b'u' => match name {
                b"uber-trace-id" => Name::UberTraceId,
                _ => return None,
            },
            b'j' => match name {
                b"jaeger-debug-id" => Name::JaegerDebugId,
                b"jaegerspancontext" => Name::JaegerSpanContext,
                _ => return None,
            },
            b'o' => match name {
                b"ot-tracer-traceid" => Name::OtTraceId,
                b"ot-tracer-spanid" => Name::OtSpanId,
                b"ot-tracer-sampled" => Name::OtSampled,
                _ => return None,
            },
            b'k' => match name {
                b"kratos-trace-id" => Name::KratosTraceId,
                _ => return None,
            },
            b's' => match name {
                b"sw8" => Name::Sw8,
                _ => return None,
            },
            b'g' => match name {
                b"grpc-trace-bin" => Name::GrpcTraceBin,
                _ => return None,
            },
            _ => return None,
        })
    }

    fn beginning_with_x(name: &[u8]) -> Option<Name> {
        Some(match name {
            b"x-b3-traceid" => Name::B3TraceId,
            b"x-b3-spanid" => Name::B3SpanId,
            b"x-b3-parentspanid" => Name::B3ParentSpanId,
            b"x-b3-sampled" => Name::B3Sampled,
            b"x-b3-flags" => Name::B3Flags,
            b"x-trace-id" => Name::GoZeroTraceId,
            b"x-span-id" => Name::GoZeroSpanId,
            b"x-amzn-trace-id" => Name::AmznTraceId,
            b"x-datadog-trace-id" => Name::DatadogTraceId,
            b"x-datadog-parent-id" => Name::DatadogParentId,
            b"x-datadog-sampling-priority" => Name::DatadogPriority,
            b"x-datadog-tags" => Name::DatadogTags,
            _ => return None,
        })
    }

    /// Its place in a set of names.
    pub(super) const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// How a field came: by itself, or as Kitex' metainfo, which carries what a program hands to its
/// calls. A field that came nearer wins: a gRPC server forwards a transient `traceparent` once more
/// as it came, beside the one of its own call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Carrier {
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

#[derive(Clone, Copy)]
struct Field<'a> {
    name: Name,
    carrier: Carrier,
    value: &'a [u8],
}

/// What a head has of them, in order.
#[derive(Default)]
pub(super) struct Fields<'a> {
    /// Room for all names of the largest formats twice, once more as metainfo.
    list: SmallVec<[Field<'a>; 16]>,
    /// Which names are there: most questions are answered by it.
    present: u32,
}

impl<'a> Fields<'a> {
    /// Those of a head.
    #[inline]
    pub(super) fn of(head: &'a Head) -> Fields<'a> {
        let mut fields = Fields::default();
        match head {
            Head::Http(head) => {
                for (name, value) in head.fields() {
                    let (carrier, name) = Carrier::of_header(name);
                    if let Some(name) = Name::of(name) {
                        fields.push(name, carrier, value);
                    }
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
                    if let Some(name) = Name::of(&lower) {
                        fields.push(name, carrier, value);
                    }
                }
            }
        }
        fields
    }

    fn push(&mut self, name: Name, carrier: Carrier, value: &'a [u8]) {
        self.present |= name.bit();
        self.list.push(Field {
            name,
            carrier,
            value: value.trim_ascii(),
        });
    }

    /// There are none at all.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// One of that set of names is there.
    #[inline]
    pub(super) fn have(&self, names: u32) -> bool {
        self.present & names != 0
    }

    /// The value that came nearest, and how. Two of them that came the same way contradict each other.
    #[inline]
    pub(super) fn nearest(&self, name: Name) -> Result<Option<(Carrier, &'a [u8])>, Malformed> {
        if self.present & name.bit() == 0 {
            return Ok(None);
        }
        let named = self.list.iter().filter(|field| field.name == name);
        let Some(carrier) = named.map(|field| field.carrier).min() else {
            return Ok(None);
        };
        let value = self.beside(carrier, name)?;
        Ok(value.map(|value| (carrier, value)))
    }

    /// The value that came that way.
    pub(super) fn beside(
        &self,
        carrier: Carrier,
        name: Name,
    ) -> Result<Option<&'a [u8]>, Malformed> {
        let mut all = self.all(carrier, name);
        match (all.next(), all.next()) {
            (value, None) => Ok(value),
            _ => Err(Malformed),
        }
    }

    /// All values that came that way, in order: several fields of one name may be one list (RFC 9110,
    /// section 5.3).
    pub(super) fn all(&self, carrier: Carrier, name: Name) -> impl Iterator<Item = &'a [u8]> {
        let named = self
            .list
            .iter()
            .filter(move |field| field.name == name && field.carrier == carrier);
        named.map(|field| field.value)
    }
}
