//! Anything at all, in any order, for parsers that must account for it.

use proptest::prelude::*;
use proptest::sample::select;

use super::ledger::Ledger;
use crate::protocol::{Incomplete, Input, Protocol, Side};

/// What may happen to a connection.
#[derive(Clone, Debug)]
pub enum Anything {
    Bytes(Side, Vec<u8>),
    Skipped(Side, u64),
    Lost(Side, u64),
    EndOfTransfer(Side),
    End(Side),
}

/// Such `bytes`, with that weight, among 17 parts of holes and ends.
pub fn anything(
    weight: u32,
    bytes: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = Anything> {
    let side = || select(vec![Side::Request, Side::Response]);
    let amount = || prop_oneof![0..40u64, 0..100_000u64, Just(u64::MAX / 2)];
    prop_oneof![
        weight => (side(), bytes).prop_map(|(side, bytes)| Anything::Bytes(side, bytes)),
        3 => (side(), amount()).prop_map(|(side, n)| Anything::Skipped(side, n)),
        3 => (side(), amount()).prop_map(|(side, n)| Anything::Lost(side, n)),
        10 => side().prop_map(Anything::EndOfTransfer),
        1 => side().prop_map(Anything::End),
    ]
}

/// Carries it all through a parser, of which `holds` is true after each: every message is accounted
/// for, also when the agent stops.
pub fn account<P: Protocol>(mut protocol: P, inputs: &[Anything], holds: impl Fn(&P)) {
    let mut ledger = Ledger::default();
    let mut events = Vec::new();
    for input in inputs {
        let (side, input) = match input {
            Anything::Bytes(side, bytes) => (side, Input::Bytes(bytes)),
            Anything::Skipped(side, n) => (side, Input::Skipped(*n)),
            Anything::Lost(side, n) => (side, Input::Lost(*n)),
            Anything::EndOfTransfer(side) => (side, Input::EndOfTransfer),
            Anything::End(side) => {
                protocol.end(*side, Incomplete::ConnectionClosed, &mut events);
                ledger.enter(events.drain(..));
                holds(&protocol);
                continue;
            }
        };
        protocol.push(*side, input, &mut events);
        ledger.enter(events.drain(..));
        holds(&protocol);
    }
    for side in [Side::Response, Side::Request] {
        protocol.end(side, Incomplete::AgentStopped, &mut events);
    }
    ledger.enter(events.drain(..));
    ledger.close();
}
