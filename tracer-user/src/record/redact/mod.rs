//! Hides secrets in what is recorded, in place, on the writer's thread.
//!
//! Every byte keeps its place, so that a replay reads the same messages: what is hidden are values of fields
//! that authorise and parameters that sign ([`crate::secrets`]), with something of the same length.
//!
//! * `lines`: of text: HTTP/1, across transfers, byte by byte.
//! * `frames`: of HTTP/2: header blocks, whole. One that is not whole yet holds back what was recorded
//!   since, for a while ([`HELD`]).
//! * `pairs`: of names and values behind their lengths: TTHeader, THeader.
//! * `token`: of TTHeader, what authorises without a name.
//!
//! Bias: what could be part of a secret and can't be told is overwritten, at the cost of its message. Left out:
//! bodies, which are kept as they were captured.

mod frames;
mod lines;
mod pairs;
mod token;

use std::ops::Range;

use hashbrown::HashMap;

pub use lines::Lines;
pub use pairs::Pairs;
pub use token::Token;

use self::frames::Frames;
use super::Input;
use crate::event::{ConnectionId, Direction, End, Event, Transfer};

/// Connections known at once: as many as the tracker follows. Beyond, all are forgotten, and what comes of
/// them is read as if met midway.
const MAX_CONNECTIONS: usize = 65_536;

/// Most bytes that are held back for the rest of a header block, and most blocks: a second or two, after which
/// a sender that stopped within its header block loses it in the recording.
const HELD: usize = 4 << 20;
/// See [`HELD`].
const HELD_BLOCKS: u32 = 16;

/// Goes through a recording's blocks.
#[derive(Default)]
pub struct Redactor {
    connections: HashMap<ConnectionId, Connection, foldhash::fast::RandomState>,
    /// What is held back.
    held: Vec<u8>,
    /// Where its inputs begin.
    inputs: Vec<usize>,
    /// How far it was gone through.
    done: usize,
    /// Blocks since nothing was held back.
    blocks: u32,
    /// Connections with a header block that is not whole.
    waiting: Vec<ConnectionId>,
}

#[derive(Default)]
struct Connection {
    carries: Carries,
    /// The next transfer, which stands behind what it brought about, is the last that a replay reads.
    given_up: bool,
    /// The next transfer is the first of HTTP/2, or the answer that turns to it.
    turns: bool,
    received: Way,
    sent: Way,
}

/// One direction.
#[derive(Default)]
struct Way {
    /// Position of the byte that should come next.
    next: u64,
    lines: Lines,
    frames: Frames,
    pairs: Pairs,
    token: Token,
}

/// What a connection is known to carry.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Carries {
    /// Not known: any of them, and whatever goes on as what it began as.
    #[default]
    Anything,
    /// HTTP/2.
    Http2,
    /// Messages behind their length.
    Framed,
    /// Nothing that a replay would read.
    Nothing,
}

/// A transfer within a block.
struct Piece {
    connection: ConnectionId,
    direction: Direction,
    position: u64,
    length: u64,
    head: Range<usize>,
    tail: Range<usize>,
}

impl Piece {
    /// `start`: where the recording's bytes begin in memory, of which the transfer's are part.
    fn of(transfer: &Transfer<'_>, start: usize) -> Piece {
        let place = |bytes: &[u8]| {
            // Empty ones may lie anywhere.
            let at = (bytes.as_ptr() as usize).saturating_sub(start);
            match bytes.is_empty() {
                true => 0..0,
                false => at..at + bytes.len(),
            }
        };
        Piece {
            connection: transfer.connection,
            direction: transfer.direction,
            position: transfer.position,
            length: u64::from(transfer.length),
            head: place(transfer.head),
            tail: place(transfer.tail),
        }
    }
}

impl Redactor {
    /// Takes the next block; returns what may be written, whole inputs, perhaps none.
    pub fn block(&mut self, mut block: Vec<u8>) -> Vec<u8> {
        self.held.append(&mut block);
        self.blocks += 1;
        while let Some(used) = self.input() {
            self.inputs.push(self.done);
            self.done += used;
        }
        if self.held.len() > HELD || self.blocks > HELD_BLOCKS {
            self.give_up();
        }
        let whole = match self.waiting_from() {
            Some(from) => {
                let inputs = self.inputs.partition_point(|begin| *begin <= from);
                let whole = self.inputs[inputs.saturating_sub(1)];
                self.inputs.drain(..inputs.saturating_sub(1));
                self.inputs.iter_mut().for_each(|begin| *begin -= whole);
                whole
            }
            None => {
                self.inputs.clear();
                self.done
            }
        };
        block.extend(self.held.drain(..whole));
        self.done -= whole;
        self.each_waiting(|way, _| way.frames.moved(whole));
        if self.held.is_empty() {
            self.blocks = 0;
        }
        block
    }

    /// What is still held back, when no more comes.
    pub fn rest(&mut self) -> Vec<u8> {
        self.give_up();
        self.inputs.clear();
        self.done = 0;
        std::mem::take(&mut self.held)
    }

    /// Goes through the next input; returns its length. None: there is none, or it makes no sense.
    fn input(&mut self) -> Option<usize> {
        let bytes = &self.held[self.done..];
        if bytes.is_empty() {
            return None;
        }
        let (input, rest) = postcard::take_from_bytes::<Input<'_>>(bytes).ok()?;
        let used = bytes.len() - rest.len();
        match input {
            Input::Event(Event::Transfer(transfer)) => {
                let piece = Piece::of(&transfer, self.held.as_ptr() as usize);
                self.transfer(&piece);
            }
            Input::Event(Event::Connection(connection)) => {
                // Its name may be used again.
                self.forget(connection.connection);
            }
            Input::Event(Event::Ended(ended)) if ended.what == End::All => {
                self.forget(ended.connection);
            }
            Input::Framed { connection, http2 } => {
                let connection = self.connection(connection);
                connection.turns = http2;
                connection.carries = match http2 {
                    true => Carries::Http2,
                    false => Carries::Framed,
                };
            }
            Input::Ignored(connection) => {
                self.connection(connection).given_up = true;
            }
            // What was lost of a connection shows in its positions.
            _ => {}
        }
        Some(used)
    }

    fn connection(&mut self, id: ConnectionId) -> &mut Connection {
        if self.connections.len() >= MAX_CONNECTIONS && !self.connections.contains_key(&id) {
            self.give_up();
            self.connections.clear();
        }
        self.connections.entry(id).or_default()
    }

    fn forget(&mut self, id: ConnectionId) {
        if let Some(mut connection) = self.connections.remove(&id) {
            // What waits of it goes on nowhere.
            connection.received.frames.give_up(&mut self.held);
            connection.sent.frames.give_up(&mut self.held);
        }
        self.waiting.retain(|waiting| *waiting != id);
    }

    fn transfer(&mut self, piece: &Piece) {
        let id = piece.connection;
        self.connection(id);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let carries = connection.carries;
        let way = match piece.direction {
            Direction::Received => &mut connection.received,
            Direction::Sent => &mut connection.sent,
        };
        let turns = std::mem::take(&mut connection.turns);
        way.piece(carries, turns, piece, &mut self.held);
        if connection.given_up {
            connection.carries = Carries::Nothing;
        }
        if way.frames.waits_from().is_some() && !self.waiting.contains(&id) {
            self.waiting.push(id);
        }
    }

    fn each_waiting(&mut self, mut each: impl FnMut(&mut Way, &mut [u8])) {
        for id in &self.waiting {
            if let Some(connection) = self.connections.get_mut(id) {
                each(&mut connection.received, &mut self.held);
                each(&mut connection.sent, &mut self.held);
            }
        }
    }

    /// Where the first byte lies that is not to be written yet.
    fn waiting_from(&mut self) -> Option<usize> {
        let connections = &self.connections;
        let waits = |id: &ConnectionId| {
            let connection = connections.get(id)?;
            let ways = [&connection.received, &connection.sent];
            ways.iter().filter_map(|way| way.frames.waits_from()).min()
        };
        self.waiting.retain(|id| waits(id).is_some());
        self.waiting.iter().filter_map(waits).min()
    }

    /// Overwrites what waits for its rest.
    fn give_up(&mut self) {
        self.each_waiting(|way, held| way.frames.give_up(held));
        self.waiting.clear();
    }
}

impl Way {
    /// `turns`: it may begin with a head of HTTP/1.
    fn piece(&mut self, carries: Carries, turns: bool, piece: &Piece, held: &mut [u8]) {
        if carries == Carries::Nothing {
            held[piece.head.clone()].fill(0);
            held[piece.tail.clone()].fill(0);
            return;
        }
        if piece.position != self.next {
            self.hole(carries, piece.position.checked_sub(self.next), held);
        }
        self.next = piece.position.saturating_add(piece.length);
        let Range { start, end } = piece.head.clone();
        let behind = match turns {
            true => start + self.frames.behind_head(&held[start..end]),
            false => start,
        };
        self.lines.bytes(&mut held[start..behind]);
        self.bytes(carries, behind..end, held);
        let captured = piece.head.len() + piece.tail.len();
        let skipped = piece.length.saturating_sub(captured as u64);
        if skipped > 0 {
            self.hole(carries, Some(skipped), held);
        }
        self.bytes(carries, piece.tail.clone(), held);
    }

    fn bytes(&mut self, carries: Carries, place: Range<usize>, held: &mut [u8]) {
        if place.is_empty() {
            return;
        }
        if matches!(carries, Carries::Anything | Carries::Http2) {
            let known = carries == Carries::Http2;
            self.frames.bytes(known, place.clone(), held);
        }
        if carries != Carries::Http2 {
            self.lines.bytes(&mut held[place.clone()]);
            if carries == Carries::Framed || !self.lines.are_text() {
                self.pairs.bytes(&mut held[place.clone()]);
                self.token.bytes(&mut held[place]);
            }
        }
    }

    /// So many bytes are missing; None: it goes on somewhere else.
    fn hole(&mut self, carries: Carries, length: Option<u64>, held: &mut [u8]) {
        match carries {
            // Lines are in its texts alone, not in heads that a hole may lie in.
            Carries::Framed => self.lines = Lines::default(),
            _ => self.lines.hole(),
        }
        self.pairs.hole(length);
        self.token.hole(length);
        self.frames.hole(length, held);
    }
}
