//! Ids for systems whose own are no numbers: the first bytes of SHA-256 of the text.
//!
//! Every agent of every version must come to the same ids, or the spans of one trace fall apart; and
//! who has an id from a log must be able to look it up. So it is the one hash that every system has a
//! command for: `printf %s 'TEXT' | sha256sum | cut -c 1-32` (a span's: `1-16`).

use sha2::{Digest, Sha256};

use super::{SpanId, TraceId};

/// Of a trace's name.
pub(super) fn trace_id(name: &str) -> Option<TraceId> {
    TraceId::new(first(name))
}

/// Of a span's name, which must be unique among all traces.
pub(super) fn span_id(name: &str) -> Option<SpanId> {
    SpanId::new(first(name))
}

fn first<const N: usize>(name: &str) -> [u8; N] {
    let hash = Sha256::digest(name.as_bytes());
    std::array::from_fn(|at| hash[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_sha256sum() {
        // printf %s abc | sha256sum
        let trace = trace_id("abc").unwrap();
        assert_eq!(trace.to_string(), "ba7816bf8f01cfea414140de5dae2223");
        assert_eq!(span_id("abc").unwrap().to_string(), "ba7816bf8f01cfea");
    }
}
