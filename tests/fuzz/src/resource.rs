//! Resources as data. How they are read from a host is left out.

#[path = "../../../tracer-user/src/resource/described.rs"]
mod described;

pub use described::{Resource, SharedResource, Value};
