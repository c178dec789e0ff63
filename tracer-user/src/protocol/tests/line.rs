//! Transfers as the kernel side reports them: cut, captured in part, lost.

use crate::event::{Direction, Transfer};
use crate::protocol::{Event, Protocol, Side};
use crate::stream::Stream;

/// Of a transfer, everything is captured.
pub const ALL: (usize, usize) = (usize::MAX, 0);

/// One direction's transfers as the kernel side would report them.
pub struct Line {
    pub side: Side,
    stream: Stream,
    position: u64,
}

impl Line {
    pub fn new(side: Side) -> Line {
        Line {
            side,
            stream: Stream::default(),
            position: 0,
        }
    }

    /// Moves bytes in one transfer; a lost one only moves the position.
    pub fn transfer(
        &mut self,
        bytes: &[u8],
        captured: (usize, usize),
        lost: bool,
        wire: &mut impl Protocol,
    ) -> Vec<Event> {
        let (head, rest) = bytes.split_at(captured.0.min(bytes.len()));
        let tail = &rest[rest.len() - captured.1.min(rest.len())..];
        let transfer = Transfer {
            length: bytes.len() as u32,
            tail,
            ..Transfer::of_bytes(Direction::Received, self.position, head)
        };
        self.position += bytes.len() as u64;
        let mut events = Vec::new();
        if !lost {
            let side = self.side;
            self.stream
                .push(&transfer, |input| wire.push(side, input, &mut events));
        }
        events
    }
}

/// Cuts `bytes` at the places that `cuts` names, in thousandths.
pub fn cut<'a>(bytes: &'a [u8], cuts: &[u16]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts
        .iter()
        .map(|c| bytes.len() * usize::from(*c) / 1000)
        .collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.dedup();
    places.windows(2).map(|w| &bytes[w[0]..w[1]]).collect()
}
