//! The agent's own counters: what it saw, lost, finished and sent (`--stats`). A leaf.
//!
//! Reasons are an open set of words that explain themselves. Each of the three equations of
//! [`Counters`] holds once the pipeline has drained.

use std::collections::BTreeMap;

use serde::Serialize;

/// A snapshot, as written to `--stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// `seen = delivered + sum(lost)`
    pub transfers: Transfers,
    /// `started = complete + sum(incomplete)`
    pub messages: Messages,
    /// `made = exported + unsampled + sum(dropped)`
    pub spans: Spans,
}

/// Socket transfers of traced processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Transfers {
    /// Counted in the kernel.
    pub seen: u64,
    /// Counted in the agent.
    pub delivered: u64,
    /// By reason.
    pub lost: BTreeMap<&'static str, u64>,
}

/// Requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Messages {
    /// Whose first byte was seen.
    pub started: u64,
    /// Whose last byte was seen, all between accounted for.
    pub complete: u64,
    /// By reason.
    pub incomplete: BTreeMap<&'static str, u64>,
}

/// Spans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spans {
    /// Finished exchanges.
    pub made: u64,
    /// Accepted by the endpoint; without one, printed.
    pub exported: u64,
    /// Left out by the sampler.
    pub unsampled: u64,
    /// By reason.
    pub dropped: BTreeMap<&'static str, u64>,
}
