//! What the fuzzers share: how an input is read as what a connection carried, and what must hold.
//!
//! The modules under test are built from their sources, not through `tracer-user`: pure as they are,
//! they need next to nothing, so that building them instrumented takes seconds.

#[path = "../../../tracer-user/src/context/mod.rs"]
pub mod context;
#[path = "../../../tracer-user/src/counters.rs"]
pub mod counters;
#[path = "../../../tracer-user/src/event.rs"]
pub mod event;
#[path = "../../../tracer-user/src/files.rs"]
pub mod files;
#[path = "../../../tracer-user/src/protocol/tests/ledger.rs"]
pub mod ledger;
pub mod pcap;
#[path = "../../../tracer-user/src/protocol/mod.rs"]
pub mod protocol;
#[path = "../../../tracer-user/src/record/mod.rs"]
pub mod record;
pub mod resource;
pub mod script;
#[path = "../../../tracer-user/src/secrets.rs"]
pub mod secrets;
#[path = "../../../tracer-user/src/semconv/mod.rs"]
pub mod semconv;
#[path = "../../../tracer-user/src/span/mod.rs"]
pub mod span;
pub mod stations;
#[path = "../../../tracer-user/src/stream.rs"]
pub mod stream;

use ledger::Ledger;
use protocol::{Incomplete, Input, Protocol, Side};
use script::{Act, Script};

/// Carries a script through a parser: whatever it says, each message is accounted for.
pub fn carry(mut protocol: impl Protocol, script: Script<'_>) {
    let mut ledger = Ledger {
        unnumbered: true,
        ..Ledger::default()
    };
    let mut events = Vec::new();
    for (side, act) in script {
        let inputs = match act {
            Act::Bytes(bytes) => [Some(Input::Bytes(bytes)), None],
            Act::Transfer(bytes) => [Some(Input::Bytes(bytes)), Some(Input::EndOfTransfer)],
            Act::Skipped(n) => [Some(Input::Skipped(n)), None],
            Act::Lost(n) => [Some(Input::Lost(n)), None],
            Act::EndOfTransfer => [Some(Input::EndOfTransfer), None],
        };
        for input in inputs.into_iter().flatten() {
            protocol.push(side, input, &mut events);
        }
        ledger.enter(events.drain(..));
        if ledger.opaque {
            // Whoever runs a parser listens no more.
            return;
        }
    }
    for side in [Side::Request, Side::Response] {
        protocol.end(side, Incomplete::ConnectionClosed, &mut events);
    }
    ledger.enter(events);
    ledger.close();
}
