//! What the live tests and the benchmarks share: the agent under test, the servers it is attached
//! to, the load, the OTLP endpoint that takes its spans, and the comparison of both sides.
//!
//! ```text
//!  load ── requests, each with its own path and traceparent ──▶ servers (real ones, own processes)
//!   │                                                              ▲ attached by PID
//!   └─ exchanges, exact to the byte ─▶ check ◀─ spans ─ sink ◀─ OTLP ─ agent
//! ```
//!
//! Nothing here knows the agent's insides: it is the built program, its command line and its output.

pub mod agent;
pub mod backends;
pub mod bench;
pub mod check;
pub mod frameworks;
pub mod load;
pub mod message;
pub mod otlp_json;
pub mod page;
pub mod parents;
pub mod process;
pub mod recording;
pub mod rpc;
pub mod servers;
pub mod sink;
pub mod soak;
pub mod span;
pub mod wait;
pub mod witness;
