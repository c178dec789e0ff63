//! The agent of `tracer`: from socket events to OpenTelemetry spans.
//!
//! Data goes one way, and the modules are its stations:
//!
//! ```text
//!  kernel ─ ring ─▶ probe ─▶ event ─▶ stream ─▶ protocol ─▶ span ─▶ export ─▶ OTLP, stdout
//!                                                  │          ▲
//!                                                  └▶ context ┘  (propagated ids)
//! ```
//!
//! * [`probe`] loads and attaches the BPF programs and hands out ring records; nothing else knows aya.
//! * [`event`] turns a record's bytes into a typed [`event::Event`]; nothing else knows the ABI.
//! * [`stream`] puts one direction of a connection in order and names its holes.
//! * [`protocol`] finds the messages in the bytes of a connection. Pure: no clock, no I/O, no pid.
//! * [`context`] reads the propagated trace context, one file per format.
//! * [`span`] pairs request and response, stamps the stages, names the parent.
//! * [`metrics`] counts every exchange, where somebody reads it.
//! * [`semconv`] knows every attribute name, span name and status rule.
//! * [`export`] encodes and delivers; nothing else knows `opentelemetry`.
//! * [`stations`] are those behind the probes, and [`pipeline`] runs all of them on one thread.
//! * [`record`] keeps what the stations were given; [`replay`] gives it to them again.
//!
//! [`run`] starts and ends all that; [`doctor`] says what a host offers.
//! Beside the stream of data: [`config`] (flags and environment), [`target`] (which processes),
//! [`resource`] (what a process is called), [`go_build`] (what a Go binary says of itself), [`secrets`]
//! (what must not be shown), [`files`] (those it writes), [`capabilities`], [`counters`] (the agent's own), [`warnings`] (of what is lost), [`messages`]
//! (standard error).

pub mod capabilities;
pub mod cli;
pub mod config;
pub mod context;
pub mod counters;
pub mod doctor;
pub mod event;
pub mod export;
pub mod files;
pub mod go_build;
pub mod messages;
pub mod metrics;
pub mod pipeline;
pub mod probe;
pub mod protocol;
pub mod record;
pub mod replay;
pub mod resource;
pub mod run;
pub mod secrets;
pub mod semconv;
pub mod span;
pub mod stations;
pub mod stream;
pub mod target;
pub mod warnings;
