//! Where bytes are cut makes no difference: pieces of a transfer say what the whole transfer says, whatever the
//! bytes are. Of connections seen from their first byte on, and without losses. HTTP/2 is left out: among
//! bytes that make no sense it looks for frames in what there is of a transfer (its tests cut what makes sense).
//!
//! Bits 1 to 3 of byte 0 say which protocol; behind it, a script.

#![no_main]

use fuzz::protocol::http1::Http1;
use fuzz::protocol::thrift::Thrift;
use fuzz::protocol::{Event, Incomplete, Input, Protocol, Side};
use fuzz::script::{Act, Script};
use libfuzzer_sys::fuzz_target;

const OLD: &[u8] = b"\0\0\0\x04echo\x01\0\0\0\x01\0";

fuzz_target!(|input: &[u8]| {
    let whole = run(input, |bytes, each| each(bytes));
    let single = run(input, |bytes, each| bytes.chunks(1).for_each(each));
    whole.is_as(&single);
    // Any pieces: the input says how long each is.
    let mut lengths = input.iter().cycle();
    let pieces = run(input, |mut bytes, each| {
        while !bytes.is_empty() {
            let length = lengths
                .next()
                .map_or(1, |length| usize::from(*length) % 24 + 1);
            let (piece, rest) = bytes.split_at(length.min(bytes.len()));
            each(piece);
            bytes = rest;
        }
    });
    whole.is_as(&pieces);
});

/// What a parser told, up to where something made no sense: where messages begin behind that is looked for
/// in what there is of a transfer.
struct Told {
    events: Vec<String>,
    sound: bool,
}

impl Told {
    fn is_as(&self, other: &Told) {
        if self.sound != other.sound {
            // It showed in one only, in what the other waits for more of.
            return;
        }
        let both = match self.sound {
            true => self.events.len().max(other.events.len()),
            false => self.events.len().min(other.events.len()),
        };
        let begin = |told: &Told| told.events[..both.min(told.events.len())].to_vec();
        assert_eq!(begin(self), begin(other));
    }
}

/// What a parser tells of a script whose bytes come as `cut` hands them on.
fn run(input: &[u8], mut cut: impl FnMut(&[u8], &mut dyn FnMut(&[u8]))) -> Told {
    let (_, script) = Script::new(input);
    let which = input.first().map_or(0, |byte| byte >> 1 & 7);
    let mut protocol: Box<dyn Protocol> = match which {
        0..=3 => Box::new(Http1::new(false)),
        4 => Box::new(Thrift::bare(false)),
        5 => Box::new(Thrift::framed(false)),
        6 => Box::new(Thrift::old(false, OLD)),
        _ => Box::new(Thrift::ttheader(false)),
    };
    let mut events = Vec::new();
    for (side, act) in script {
        let (bytes, behind) = match act {
            Act::Bytes(bytes) => (bytes, None),
            Act::Transfer(bytes) => (bytes, Some(Input::EndOfTransfer)),
            Act::Skipped(n) => (&[][..], Some(Input::Skipped(n))),
            Act::Lost(_) => break,
            Act::EndOfTransfer => (&[][..], Some(Input::EndOfTransfer)),
        };
        if !bytes.is_empty() {
            cut(bytes, &mut |piece| {
                protocol.push(side, Input::Bytes(piece), &mut events)
            });
        }
        if let Some(input) = behind {
            protocol.push(side, input, &mut events);
        }
    }
    let broken = |event: &Event| matches!(event, Event::Incomplete { .. });
    let sound = events.iter().position(broken);
    events.truncate(sound.unwrap_or(events.len()));
    // Of what makes no sense the begin may be told before that shows.
    let begins =
        |event: &Event| matches!(event, Event::RequestStarted(..) | Event::ResponseStarted(_));
    events.retain(|event| sound.is_none() || !begins(event));
    let mut told: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
    // Whoever runs a parser listens no more.
    if let Some(opaque) = told.iter().position(|event| event == "Opaque") {
        told.truncate(opaque + 1);
    }
    Told {
        events: told,
        sound: sound.is_none(),
    }
}
