//! Detection, and the parser it chooses: transfers of both directions as the kernel side reports them.

#![no_main]

use fuzz::event::{Direction, Transfer};
use fuzz::ledger::Ledger;
use fuzz::protocol::detect::{Detector, Found};
use fuzz::protocol::{Event, Incomplete, Protocol, Side};
use fuzz::script::{Act, Script};
use fuzz::stream::Stream;
use libfuzzer_sys::fuzz_target;

/// A connection whose protocol is known.
struct Known {
    protocol: Box<dyn Protocol>,
    requests: Direction,
    streams: [Stream; 2],
}

impl Known {
    fn carry(&mut self, transfer: &Transfer<'_>, events: &mut Vec<Event>) {
        let side = match transfer.direction == self.requests {
            true => Side::Request,
            false => Side::Response,
        };
        let stream = &mut self.streams[transfer.direction as usize];
        stream.push(transfer, |input| self.protocol.push(side, input, events));
    }
}

fuzz_target!(|input: &[u8]| {
    let (midway, script) = Script::new(input);
    let mut detector = Detector::new(midway);
    let mut known: Option<Known> = None;
    let mut positions = [0u64; 2];
    let mut ledger = Ledger {
        unnumbered: true,
        ..Ledger::default()
    };
    let mut events = Vec::new();
    for (side, act) in script {
        let direction = match side {
            Side::Request => Direction::Received,
            Side::Response => Direction::Sent,
        };
        let (head, length, last_piece, lost) = match act {
            Act::Bytes(bytes) => (bytes, bytes.len() as u64, false, false),
            Act::Transfer(bytes) => (bytes, bytes.len() as u64, true, false),
            Act::Skipped(n) => (&[][..], n, true, false),
            Act::Lost(n) => (&[][..], n, true, true),
            Act::EndOfTransfer => (&[][..], 0, true, false),
        };
        let length = length as u32;
        let position = &mut positions[direction as usize];
        let transfer = Transfer {
            length,
            last_piece,
            ..Transfer::of_bytes(direction, *position, head)
        };
        *position += u64::from(length);
        if lost {
            continue;
        }
        if known.is_none() {
            match detector.push(&transfer) {
                Found::Undecided => continue,
                Found::Nothing => return,
                Found::Protocol(protocol, requests) => {
                    let start = |direction| Stream::starting_at(detector.resumes_at(direction));
                    let mut found = Known {
                        protocol,
                        requests,
                        streams: [start(Direction::Received), start(Direction::Sent)],
                    };
                    for held in detector.held() {
                        found.carry(&held, &mut events);
                    }
                    known = Some(found);
                }
            }
        }
        if let Some(known) = &mut known {
            known.carry(&transfer, &mut events);
        }
        ledger.enter(events.drain(..));
        if ledger.opaque {
            return;
        }
    }
    if let Some(known) = &mut known {
        for side in [Side::Request, Side::Response] {
            known
                .protocol
                .end(side, Incomplete::AgentStopped, &mut events);
        }
    }
    ledger.enter(events);
    ledger.close();
});
