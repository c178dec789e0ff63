//! The streams of one connection that are under way.
//!
//! A client opens them in rising order (RFC 9113, section 5.1.1). So a number tells whether a stream is
//! new, and once a later one was opened, a response whose request was not seen belongs to none that
//! will be.

use hashbrown::HashMap;
use slab::Slab;

use super::head::HEAD_LIMIT;
use super::stream::{Phase, Stream};
use crate::protocol::{Event, ExchangeId, Incomplete, Side};

/// Streams under way at once. Servers allow 100 to 250, grpc-go's any number, of which load generators use a
/// thousand, and clients that watch ten thousand; this many, which are as many exchanges as are followed of
/// one connection, take about 4 MB.
pub(super) const MAX_STREAMS: usize = 16_384;

/// When there are too many, the oldest of this many parts of them are given up: most likely their ends
/// were lost.
const EVICTED_PART: usize = 16;

/// Responses held back at once for want of their requests. Records change places within some
/// microseconds, and each may hold a head of 64 KiB.
const MAX_EARLY: usize = 32;

/// Streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Those whose requests were seen.
    open: Slab<Stream>,
    /// Where in `open` each is, by its number.
    places: HashMap<u32, usize, foldhash::fast::RandomState>,
    /// The number and place found last: several frames of a stream come in a row, and each is looked up
    /// more than once.
    found: Option<(u32, usize)>,
    /// Those whose requests are awaited.
    early: Vec<(u32, Stream)>,
}

impl Streams {
    /// A stream whose request was seen.
    pub(super) fn get(&mut self, number: u32) -> Option<&mut Stream> {
        let place = self.place(number)?;
        self.open.get_mut(place)
    }

    fn place(&mut self, number: u32) -> Option<usize> {
        if let Some((found, place)) = self.found
            && found == number
        {
            return Some(place);
        }
        let place = *self.places.get(&number)?;
        self.found = Some((number, place));
        Some(place)
    }

    /// The exchange on a stream whose request was seen.
    pub(super) fn exchange_on(&self, number: u32) -> Option<ExchangeId> {
        let place = *self.places.get(&number)?;
        Some(self.open.get(place)?.exchange)
    }

    /// A stream whose request was seen or is awaited.
    pub(super) fn answered(&mut self, number: u32) -> Option<&mut Stream> {
        match self.place(number) {
            Some(place) => self.open.get_mut(place),
            None => {
                let early = self.early.iter_mut().find(|(early, _)| *early == number);
                early.map(|(_, stream)| stream)
            }
        }
    }

    /// A request opens a stream, whose response may have begun. Others have to go where there are too
    /// many.
    pub(super) fn open(
        &mut self,
        number: u32,
        exchange: ExchangeId,
        out: &mut Vec<Event>,
    ) -> &mut Stream {
        if self.open.len() >= MAX_STREAMS {
            self.evict(out);
        }
        let early = self.early.iter().position(|(early, _)| *early == number);
        let mut stream = match early {
            Some(at) => self.early.swap_remove(at).1,
            None => Stream::new(exchange),
        };
        stream.exchange = exchange;
        let new = self.open.vacant_entry();
        self.places.insert(number, new.key());
        self.found = Some((number, new.key()));
        new.insert(stream)
    }

    /// A response begins on a stream whose request is awaited. `reason`: why one that had to wait too
    /// long, to make room, will not be paired.
    pub(super) fn hold(&mut self, number: u32, reason: Incomplete, out: &mut Vec<Event>) {
        if self.early.len() >= MAX_EARLY {
            let lowest = self.early.iter().map(|(number, _)| *number).min();
            self.drop_early(lowest.unwrap_or_default(), reason, out);
        }
        self.early.push((number, Stream::new(0)));
    }

    /// Responses on streams up to that number answer no request that will be seen.
    pub(super) fn drop_early(&mut self, up_to: u32, reason: Incomplete, out: &mut Vec<Event>) {
        self.early.retain(|(number, stream)| {
            let kept = *number > up_to;
            if !kept && stream.response.phase != Phase::Awaited {
                out.push(Event::Incomplete {
                    exchange: None,
                    side: Side::Response,
                    reason,
                });
            }
            kept
        });
    }

    /// The stream may be over, or hold back too much.
    pub(super) fn settle(&mut self, number: u32, reason: Incomplete, out: &mut Vec<Event>) {
        match self.get(number) {
            Some(stream) if stream.is_over() => {
                if let Some(place) = self.places.remove(&number) {
                    self.open.try_remove(place);
                }
                self.found = None;
            }
            Some(stream) if stream.holds_too_much() => stream.release(out),
            Some(_) => {}
            None => {
                let too_many = |(_, stream): &(u32, Stream)| stream.holds_too_much();
                if let Some((number, _)) = self.early.iter().find(|early| too_many(early)) {
                    self.drop_early(*number, reason, out);
                }
            }
        }
    }

    /// The messages of that side that `which` names (by the stream's number) can't be followed.
    pub(super) fn cut(
        &mut self,
        side: Side,
        reason: Incomplete,
        mut which: impl FnMut(u32, Phase) -> bool,
        out: &mut Vec<Event>,
    ) {
        let places = self.places.iter();
        let open = places.filter_map(|(number, place)| Some((*number, self.open.get(*place)?)));
        let early = self.early.iter().map(|(number, stream)| (*number, stream));
        let early = early.filter(|_| side == Side::Response);
        let mut numbers: Vec<u32> = open
            .chain(early)
            .filter(|(number, stream)| {
                let phase = stream.phase(side);
                phase != Phase::Over && which(*number, phase)
            })
            .map(|(number, _)| number)
            .collect();
        // Those of the oldest first.
        numbers.sort_unstable();
        for number in numbers {
            if let Some(stream) = self.answered(number) {
                stream.cut(side, reason, out);
            }
            self.settle(number, reason, out);
        }
    }

    /// Bytes held; of those that wait as much as their heads may take.
    pub(super) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Stream>()
            + self.places.capacity() * size_of::<(u32, usize)>()
            + self.early.len() * HEAD_LIMIT
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len() + self.early.len()
    }

    fn evict(&mut self, out: &mut Vec<Event>) {
        let mut numbers: Vec<u32> = self.places.keys().copied().collect();
        let (_, last, _) = numbers.select_nth_unstable(MAX_STREAMS / EVICTED_PART);
        let last = *last;
        for side in [Side::Request, Side::Response] {
            self.cut(side, Incomplete::Evicted, |number, _| number < last, out);
        }
    }
}
