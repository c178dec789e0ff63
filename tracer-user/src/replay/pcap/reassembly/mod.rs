//! TCP segments, as they were captured, back to the streams that they carried.
//!
//! Each connection is seen from both ends: what one sent the other received, at the moment of the
//! capture. What comes twice is passed over, what comes too early waits for what is before it.
//!
//! Bias: what is missing is taken for lost once the receiver says twice that it has it, or when too much
//! waits; then the stream goes on behind a hole. Where bytes come again with other content, the first
//! ones count.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hashbrown::HashMap;

use super::packet::Segment;
use crate::event::{
    Addresses, Connection, ConnectionId, Direction, End, Ended, Event, Role, Task, Transfer,
};

/// Connections known at once: two for each in the tracker, which follows 65,536.
const MAX_CONNECTIONS: usize = 32_768;
/// When there are more, the idlest of this many parts of them go, as searching takes a walk over all.
const EVICTED_PART: usize = 16;
/// Bytes of one direction that wait for what is before them: the window that Linux' receivers come to by
/// default (`net.ipv4.tcp_rmem`).
const MAX_WAITING: usize = 6 << 20;
/// Segments likewise: as many of the smallest common size.
const MAX_SEGMENTS: usize = 4096;
/// Bytes of all connections that wait.
const MAX_WAITING_AT_ALL: usize = 64 << 20;
/// How often a receiver acknowledges what was not captured before that is believed: an acknowledgement
/// may be captured before what it is of, but hardly twice.
const BELIEVED: u32 = 2;

/// What was found, for the person who replays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections.
    pub connections: u64,
    /// Segments whose bytes had come before.
    pub repeated: u64,
    /// Times that bytes are missing.
    pub gaps: u64,
    /// How many are.
    pub missing: u64,
    /// Connections put out of a full table.
    pub evicted: u64,
}

/// An end of connections: what stands for a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// Who accepts at that address.
    Server(SocketAddr),
    /// Who connects from there; its ports are the kernel's choice.
    Client(std::net::IpAddr),
}

/// All connections of a capture.
pub struct Reassembly<P> {
    flows: HashMap<(SocketAddr, SocketAddr), Flow, foldhash::fast::RandomState>,
    /// What numbers a party.
    number: P,
    /// The last connection's name.
    last: u64,
    waiting: usize,
    counts: Counts,
}

/// The two ends of a connection, as indices: who connected, and who accepted.
const CLIENT: usize = 0;
const SERVER: usize = 1;

struct Flow {
    /// Addresses, names and processes of the ends.
    ends: [(SocketAddr, ConnectionId, u32); 2],
    /// What each end sent.
    ways: [Way; 2],
    /// It was seen to open.
    whole: bool,
    /// When it was asked for, and answered.
    opened: (u64, u64),
    /// Both ends were told.
    described: bool,
    /// It is over.
    closed: bool,
    /// Its last packet.
    touched: u64,
}

/// What one end sends.
#[derive(Default)]
struct Way {
    /// Sequence number of the byte at position 0.
    first: Option<u32>,
    /// Position of the byte that should come next.
    next: u64,
    /// What came too early, by its position.
    early: BTreeMap<u64, Early>,
    /// Bytes of it.
    waiting: usize,
    /// How often its receiver said that it has what is missing.
    doubted: u32,
    /// Position behind its last byte.
    end: Option<u64>,
    /// That was told.
    ended: bool,
}

struct Early {
    bytes: Vec<u8>,
    length: u32,
    at: u64,
}

impl Way {
    /// Position of the byte with that sequence number: the one nearest to the next.
    fn position(&self, sequence: u32) -> Option<i64> {
        // TCP counts modulo 2^32: the truncations are meant.
        let next = self.first?.wrapping_add(self.next as u32);
        let distance = sequence.wrapping_sub(next) as i32;
        Some(self.next as i64 + i64::from(distance))
    }
}

impl<P: FnMut(Party) -> u32> Reassembly<P> {
    /// Without connections. `number` gives each party its number, the same each time.
    pub fn new(number: P) -> Reassembly<P> {
        Reassembly {
            flows: HashMap::default(),
            number,
            last: 0,
            waiting: 0,
            counts: Counts::default(),
        }
    }

    /// What was found so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes the next segment, captured at that time (ns), and hands out what follows from it.
    pub fn segment(&mut self, segment: &Segment<'_>, at: u64, mut each: impl FnMut(&Event<'_>)) {
        let (from, to) = (segment.from, segment.to);
        let key = (from.min(to), from.max(to));
        let known = self.flows.get(&key);
        if known.is_some_and(|known| known.is_another(segment)) {
            self.close(key, at, &mut each);
            self.flows.remove(&key);
        }
        if !self.flows.contains_key(&key) {
            // What else may come of one that is not known says nothing.
            if !segment.syn && segment.length == 0 {
                return;
            }
            self.make_room(at, &mut each);
            let flow = self.open(segment, at);
            self.flows.insert(key, flow);
        }
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        if flow.closed {
            return;
        }
        flow.touched = at;
        let sender = usize::from(flow.ends[CLIENT].0 != from);
        let mut waiting = Waiting {
            at_all: &mut self.waiting,
            counts: &mut self.counts,
        };
        flow.take(sender, segment, at, &mut waiting, &mut each);
        if segment.reset || flow.ways.iter().all(|way| way.ended) {
            self.close(key, at, &mut each);
        }
    }

    /// Nothing more will come: what waits is handed out, behind what is missing.
    pub fn finish(&mut self, mut each: impl FnMut(&Event<'_>)) {
        let mut flows: Vec<&mut Flow> = self.flows.values_mut().collect();
        flows.sort_unstable_by_key(|flow| flow.ends[CLIENT].1);
        for flow in flows {
            let mut waiting = Waiting {
                at_all: &mut self.waiting,
                counts: &mut self.counts,
            };
            flow.give_up(&mut waiting, &mut each);
        }
    }

    fn open(&mut self, segment: &Segment<'_>, at: u64) -> Flow {
        let (from, to) = (segment.from, segment.to);
        // Who sends the SYN connects. Unseen, servers have the lower port nearly always; who asks, the
        // bytes will tell.
        let client = match (segment.syn, segment.acknowledged.is_some()) {
            (true, answers) => [from, to][usize::from(answers)],
            (false, _) if from.port() < to.port() => to,
            (false, _) => from,
        };
        let server = if client == from { to } else { from };
        self.counts.connections += 1;
        let mut name = || {
            self.last += 1;
            ConnectionId(self.last)
        };
        let (own, other) = (name(), name());
        Flow {
            ends: [
                (client, own, (self.number)(Party::Client(client.ip()))),
                (server, other, (self.number)(Party::Server(server))),
            ],
            ways: [Way::default(), Way::default()],
            whole: segment.syn,
            opened: (at, 0),
            described: false,
            closed: false,
            touched: at,
        }
    }

    fn close(&mut self, key: (SocketAddr, SocketAddr), at: u64, each: &mut impl FnMut(&Event<'_>)) {
        let Some(flow) = self.flows.get_mut(&key).filter(|flow| !flow.closed) else {
            return;
        };
        let mut waiting = Waiting {
            at_all: &mut self.waiting,
            counts: &mut self.counts,
        };
        flow.give_up(&mut waiting, each);
        flow.closed = true;
        if flow.described {
            for (_, connection, _) in flow.ends {
                each(&ended(connection, End::All, at));
            }
        }
    }

    fn make_room(&mut self, at: u64, each: &mut impl FnMut(&Event<'_>)) {
        if self.flows.len() < MAX_CONNECTIONS {
            return;
        }
        self.flows.retain(|_, flow| !flow.closed);
        if self.flows.len() < MAX_CONNECTIONS {
            return;
        }
        let flows = self.flows.iter();
        let mut ages: Vec<_> = flows
            .map(|(key, flow)| (flow.touched, flow.ends[CLIENT].1, *key))
            .collect();
        let count = ages.len() / EVICTED_PART;
        ages.select_nth_unstable(count);
        ages.truncate(count);
        ages.sort_unstable();
        for (_, _, key) in ages {
            self.counts.evicted += 1;
            self.close(key, at, each);
            self.flows.remove(&key);
        }
    }
}

/// What all connections share.
struct Waiting<'a> {
    at_all: &'a mut usize,
    counts: &'a mut Counts,
}

impl Flow {
    /// Whether a segment opens another connection between the same addresses.
    fn is_another(&self, segment: &Segment<'_>) -> bool {
        let first = Some(segment.sequence.wrapping_add(1));
        let has = |end: usize| self.ways[end].first;
        match (segment.syn, segment.acknowledged.is_some()) {
            (false, _) => false,
            (true, false) => self.closed || has(CLIENT) != first,
            // What asked for it was not captured.
            (true, true) => has(SERVER).is_some() && has(SERVER) != first,
        }
    }

    fn take(
        &mut self,
        sender: usize,
        segment: &Segment<'_>,
        at: u64,
        waiting: &mut Waiting<'_>,
        each: &mut impl FnMut(&Event<'_>),
    ) {
        let first = segment.sequence.wrapping_add(u32::from(segment.syn));
        self.ways[sender].first.get_or_insert(first);
        if segment.syn && sender == SERVER {
            self.opened.1 = at;
        }
        if let Some(acknowledged) = segment.acknowledged {
            self.ways[1 - sender].first.get_or_insert(acknowledged);
            self.acknowledged(1 - sender, acknowledged, waiting, each);
        }
        let Some(position) = self.ways[sender].position(first) else {
            return;
        };
        if segment.fin && !segment.reset {
            let end = position.saturating_add(i64::from(segment.length));
            self.ways[sender].end = u64::try_from(end).ok();
        }
        if segment.length > 0 {
            self.bytes(sender, position, segment, at, waiting, each);
        }
        self.end(sender, at, each);
    }

    /// Bytes of a direction.
    fn bytes(
        &mut self,
        sender: usize,
        position: i64,
        segment: &Segment<'_>,
        at: u64,
        waiting: &mut Waiting<'_>,
        each: &mut impl FnMut(&Event<'_>),
    ) {
        let way = &mut self.ways[sender];
        let next = way.next as i64;
        let end = position.saturating_add(i64::from(segment.length));
        if end <= next {
            waiting.counts.repeated += 1;
            return;
        }
        if position <= next {
            let known = (next - position) as u32;
            let bytes = segment.bytes.get(known as usize..).unwrap_or_default();
            self.hand_out(sender, bytes, segment.length - known, at, each);
            self.hand_out_early(sender, waiting, each);
            return;
        }
        // It lies ahead.
        let position = position as u64;
        let known = way.early.get(&position).map_or(0, |early| early.length);
        if known >= segment.length {
            waiting.counts.repeated += 1;
            return;
        }
        let early = Early {
            bytes: segment.bytes.to_vec(),
            length: segment.length,
            at,
        };
        way.waiting += early.bytes.len();
        *waiting.at_all += early.bytes.len();
        if let Some(shorter) = way.early.insert(position, early) {
            way.waiting -= shorter.bytes.len();
            *waiting.at_all -= shorter.bytes.len();
        }
        let much = way.waiting > MAX_WAITING
            || way.early.len() > MAX_SEGMENTS
            || *waiting.at_all > MAX_WAITING_AT_ALL;
        if much {
            self.pass_over(sender, waiting, each);
        }
    }

    /// The receiver of that direction has all before that byte.
    fn acknowledged(
        &mut self,
        sender: usize,
        sequence: u32,
        waiting: &mut Waiting<'_>,
        each: &mut impl FnMut(&Event<'_>),
    ) {
        let way = &mut self.ways[sender];
        if way.early.is_empty() {
            return;
        }
        let has = way.position(sequence);
        if has.is_some_and(|has| has > way.next as i64) {
            way.doubted += 1;
            if way.doubted >= BELIEVED {
                self.pass_over(sender, waiting, each);
            }
        }
    }

    /// What comes next is missing for good.
    fn pass_over(
        &mut self,
        sender: usize,
        waiting: &mut Waiting<'_>,
        each: &mut impl FnMut(&Event<'_>),
    ) {
        let way = &mut self.ways[sender];
        way.doubted = 0;
        if let Some((&position, _)) = way.early.first_key_value() {
            waiting.counts.gaps += 1;
            waiting.counts.missing += position.saturating_sub(way.next);
            way.next = way.next.max(position);
            self.hand_out_early(sender, waiting, each);
        }
    }

    fn give_up(&mut self, waiting: &mut Waiting<'_>, each: &mut impl FnMut(&Event<'_>)) {
        for sender in [CLIENT, SERVER] {
            while !self.ways[sender].early.is_empty() {
                self.pass_over(sender, waiting, each);
            }
        }
    }

    /// What came early and is next now.
    fn hand_out_early(
        &mut self,
        sender: usize,
        waiting: &mut Waiting<'_>,
        each: &mut impl FnMut(&Event<'_>),
    ) {
        loop {
            let way = &mut self.ways[sender];
            let Some(entry) = way.early.first_entry().filter(|e| *e.key() <= way.next) else {
                break;
            };
            let (position, early) = entry.remove_entry();
            way.waiting -= early.bytes.len();
            *waiting.at_all -= early.bytes.len();
            way.doubted = 0;
            let known = way.next - position;
            if known < u64::from(early.length) {
                let bytes = early.bytes.get(known as usize..).unwrap_or_default();
                self.hand_out(sender, bytes, early.length - known as u32, early.at, each);
            }
        }
    }

    /// The next bytes of a direction, to both ends.
    fn hand_out(
        &mut self,
        sender: usize,
        bytes: &[u8],
        length: u32,
        at: u64,
        each: &mut impl FnMut(&Event<'_>),
    ) {
        self.describe(each);
        let way = &mut self.ways[sender];
        let position = way.next;
        way.next += u64::from(length);
        for end in [sender, 1 - sender] {
            let (_, connection, pid) = self.ends[end];
            let direction = match end == sender {
                true => Direction::Sent,
                false => Direction::Received,
            };
            each(&Event::Transfer(Transfer {
                connection,
                length,
                // When it became readable is not known.
                start_ns: if end == sender { at } else { 0 },
                end_ns: at,
                task: Task {
                    pid,
                    tid: pid,
                    goid: 0,
                    lineage: 0,
                },
                ..Transfer::of_bytes(direction, position, bytes)
            }));
        }
    }

    /// Tells of the connection, before anything else of it.
    fn describe(&mut self, each: &mut impl FnMut(&Event<'_>)) {
        if std::mem::replace(&mut self.described, true) {
            return;
        }
        let firsts = [CLIENT, SERVER].map(|way| self.ways[way].first);
        for end in [CLIENT, SERVER] {
            let (local, connection, pid) = self.ends[end];
            let role = match (self.whole, end) {
                (false, _) => Role::Unknown,
                (true, CLIENT) => Role::Connected,
                (true, _) => Role::Accepted,
            };
            let sequence = firsts[1 - end].zip(firsts[end]);
            let connected = end == CLIENT && self.whole && self.opened.1 != 0;
            each(&Event::Connection(Connection {
                connection,
                pid,
                role,
                addresses: Some(Addresses {
                    local,
                    remote: self.ends[1 - end].0,
                }),
                midway: !self.whole,
                event_driven: false,
                sequence: sequence.unwrap_or_default(),
                connect_ns: connected.then_some(self.opened),
            }));
        }
    }

    /// Tells that a direction is over, once all of it came.
    fn end(&mut self, sender: usize, at: u64, each: &mut impl FnMut(&Event<'_>)) {
        let way = &mut self.ways[sender];
        if way.ended || way.end.is_none_or(|end| way.next < end) {
            return;
        }
        way.ended = true;
        if self.described {
            each(&ended(self.ends[sender].1, End::Sending, at));
            each(&ended(self.ends[1 - sender].1, End::Receiving, at));
        }
    }
}

fn ended(connection: ConnectionId, what: End, at_ns: u64) -> Event<'static> {
    Event::Ended(Ended {
        connection,
        what,
        at_ns,
    })
}

#[cfg(test)]
mod tests;
