//! Which spans are left out: the standard's samplers (`OTEL_TRACES_SAMPLER`).
//!
//! A decision depends on the trace alone, so the spans of one trace stay or go together, here and
//! in every other program that samples by the same rule.

use std::str::FromStr;

use crate::span::Span;

/// A sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// `parentbased_...`: a propagated context decides for its trace; `root` for all others.
    parent_based: bool,
    root: Root,
}

/// What decides where no propagated context does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Root {
    AlwaysOn,
    AlwaysOff,
    /// Trace ids whose last 64 bits, halved, are below this; 2^63 = all.
    TraceIdRatio(u64),
}

/// How many bits of a trace id the ratio is taken of: the upper ones of its last 64, as the SDKs for
/// Go, Python and Rust have it. The specification leaves that open.
const RATIO_BITS: u32 = 63;

impl Default for Sampler {
    /// `parentbased_always_on`
    fn default() -> Self {
        Sampler {
            parent_based: true,
            root: Root::AlwaysOn,
        }
    }
}

impl Sampler {
    /// `always_off`
    pub const OFF: Sampler = Sampler {
        parent_based: false,
        root: Root::AlwaysOff,
    };

    /// By the values of `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` (empty = unset).
    ///
    /// # Errors
    /// A sentence naming what is wrong and what would be right.
    pub fn from_names(name: &str, argument: &str) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        let (parent_based, plain) = match lower.strip_prefix("parentbased_") {
            Some(plain) => (true, plain),
            None => (false, &lower[..]),
        };
        let root = match plain {
            "always_on" => Root::AlwaysOn,
            "always_off" => Root::AlwaysOff,
            "traceidratio" => Root::TraceIdRatio(threshold(argument)?),
            "jaeger_remote" | "xray" => {
                return Err(format!(
                    "`{name}` asks a service what to sample, which tracer does not: always_on, always_off or traceidratio, each also after parentbased_"
                ));
            }
            _ => {
                return Err(format!(
                    "`{name}` is no sampler: always_on, always_off or traceidratio, each also after parentbased_"
                ));
            }
        };
        Ok(Sampler { parent_based, root })
    }

    /// Whether the span is kept. Spans below one that a decision came to share that decision.
    pub(super) fn keeps(&self, span: &Span) -> bool {
        if self.parent_based
            && let Some(sampled) = span.sampled
        {
            return sampled;
        }
        match self.root {
            Root::AlwaysOn => true,
            Root::AlwaysOff => false,
            Root::TraceIdRatio(below) => {
                let low = u128::from_be_bytes(span.trace_id.0) as u64;
                low >> (u64::BITS - RATIO_BITS) < below
            }
        }
    }
}

fn threshold(argument: &str) -> Result<u64, String> {
    if argument.is_empty() {
        return Ok(1 << RATIO_BITS);
    }
    match f64::from_str(argument) {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => {
            Ok((ratio * (1u64 << RATIO_BITS) as f64) as u64)
        }
        _ => Err(format!("`{argument}` is no ratio: a number from 0 to 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::TraceId;
    use crate::export::samples;

    /// A span of a trace that ends in these bits, with or without a propagated sampling decision.
    fn span(low: u64, propagated: Option<bool>) -> Span {
        let mut span = samples::server();
        span.trace_id = TraceId((u128::MAX << 64 | u128::from(low)).to_be_bytes());
        span.sampled = propagated;
        span
    }

    fn sampler(name: &str, argument: &str) -> Sampler {
        Sampler::from_names(name, argument).unwrap()
    }

    #[test]
    fn context_decides_where_the_sampler_asks_it() {
        let unsampled = span(1, Some(false));
        assert!(!Sampler::default().keeps(&unsampled));
        assert!(sampler("always_on", "").keeps(&unsampled));
        assert!(Sampler::default().keeps(&span(1, None)));
        let sampled = span(1, Some(true));
        assert!(sampler("parentbased_always_off", "").keeps(&sampled));
        assert!(!sampler("always_off", "").keeps(&sampled));
    }

    #[test]
    fn children_share_the_decision_that_came_to_their_parent() {
        for sampled in [true, false] {
            let mut child = span(1, Some(sampled));
            child.format = None;
            for name in ["always_on", "always_off"] {
                let sampler = sampler(&format!("parentbased_{name}"), "");
                assert_eq!(sampler.keeps(&child), sampled);
            }
        }
    }

    #[test]
    fn ratio_takes_the_bits_that_the_sdks_for_go_python_and_rust_take() {
        let half = sampler("traceidratio", "0.5");
        assert!(half.keeps(&span(0, None)));
        assert!(half.keeps(&span((1 << 63) - 1, None)));
        assert!(!half.keeps(&span(1 << 63, None)));
        let tenth = sampler("parentbased_traceidratio", "0.1");
        assert!(tenth.keeps(&span(u64::MAX / 10, None)));
        assert!(!tenth.keeps(&span(u64::MAX / 10 + 1024, None)));
        assert!(sampler("traceidratio", "1").keeps(&span(u64::MAX, None)));
        assert!(sampler("traceidratio", "").keeps(&span(u64::MAX, None)));
        assert!(!sampler("traceidratio", "0").keeps(&span(0, None)));
    }

    #[test]
    fn bad_names_and_ratios_are_said() {
        for (name, argument) in [
            ("jaeger_remote", ""),
            ("traceidratio", "2"),
            ("traceidratio", "x"),
        ] {
            assert!(
                Sampler::from_names(name, argument).is_err(),
                "{name} {argument}"
            );
        }
    }
}
