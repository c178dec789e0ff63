//! RPC programs to trace: servers and clients of the frameworks people use, and what they are told.
//!
//! ```text
//!  test ── calls, a JSON line each ──▶ client program ── RPC ──▶ server program
//!              ▲ what came of each, a line each ──┘
//! ```
//!
//! The programs know the same calls (`fixtures/go-rpc/main.go` has their meaning) so that each client
//! can be tried against each server.

use serde::{Deserialize, Serialize};

pub mod check;
mod plain;
mod program;

pub use plain::Plain;
pub use program::{Client, Form, Load, Stack, build_all, load};

/// A call that a client is to make.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Call {
    /// Unlike any other of the test.
    pub id: usize,
    /// As it is on the wire: gRPC's path; Thrift's and Kitex' name; plain HTTP: `GET /path`.
    pub method: String,
    /// Empty: none.
    pub traceparent: String,
    /// Sizes of the messages to send, in bytes.
    pub send: Vec<usize>,
    /// Sizes of the messages to be answered, in bytes.
    pub answer: Vec<usize>,
    /// How the server is to end it; 0: well.
    pub code: i32,
    /// The server waits until the call is given up.
    pub wait: bool,
    /// The deadline in milliseconds; 0: none.
    pub timeout_ms: u64,
    /// The client gives it up once the server has begun to answer.
    pub cancel: bool,
}

/// What came of a call, as the client saw it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Done {
    /// The call's.
    pub id: usize,
    /// 0: well; else the framework's number of what went wrong.
    pub code: i32,
    /// Sizes of the messages that came back, in bytes.
    pub got: Vec<usize>,
    /// Unix ns before its first byte was written.
    pub began: u64,
    /// Unix ns after its last byte was read.
    pub ended: u64,
}

impl Call {
    /// A call of that method, its trace context made of `id`.
    pub fn new(id: usize, method: impl Into<String>) -> Call {
        let call = Call {
            id,
            method: method.into(),
            ..Call::default()
        };
        let traceparent = format!("00-{}-{}-01", call.trace_id(), call.parent());
        Call {
            traceparent,
            ..call
        }
    }

    /// In its `traceparent`, where it has one.
    pub fn trace_id(&self) -> String {
        format!("c{:0>31x}", self.id)
    }

    /// The span id in its `traceparent`, where it has one.
    pub fn parent(&self) -> String {
        format!("d{:0>15x}", self.id)
    }
}
