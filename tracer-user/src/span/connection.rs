//! Where: the connections that are followed, what flows through each, and which two are the ends of
//! one.
//!
//! Bias: a connection is kept until the kernel says that it ended, for what is known of it (role,
//! addresses) is told once only. Those whose end was lost make room when the table is full, or after
//! [`IDLE_LIMIT`].

use hashbrown::HashMap;
use slab::Slab;

use super::feed::Feed;
use super::open::Open;
use super::parent::On;
use crate::event::{self, Addresses, ConnectionId};

/// Connections followed at once. An idle one takes less than 1 KiB; a busy reverse proxy has some ten
/// thousand.
pub const MAX_CONNECTIONS: usize = 65_536;

/// When the table is full, the idlest of this many parts of it goes: finding it takes a walk over the
/// table, which must not be paid for every new connection.
const EVICTED_PART: usize = 16;

/// Connections remembered as given up: the kernel side stops at one of their next transfers, or never
/// has one. Beyond, all are forgotten; one that speaks again is judged again.
const MAX_IGNORED: usize = 65_536;

/// Silence after which a connection is taken to be over, boot-time ns: one hour. Longer than any
/// keep-alive in use; TCP's own keep-alive (two hours) would not have noticed a dead peer either.
pub const IDLE_LIMIT: u64 = 3_600_000_000_000;

/// Names a connection for as long as it is in the table.
pub type Slot = usize;

/// What is known of a connection's ends.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Own end first, IPv4 written as such.
    pub addresses: Option<Addresses>,
    /// TCP sequence number of the (received, sent) byte at position 0.
    sequence: Option<(u32, u32)>,
    /// Position 0 is the first byte that ever went through.
    whole: bool,
    /// An event loop waits for it.
    event_driven: bool,
}

impl Ends {
    /// How far the byte that a client sent lies behind the one that a server received, by their
    /// positions; 0: it is that byte. None: the two are not of one connection, or it is not known.
    pub fn distance(client: &Ends, sent: u64, server: &Ends, received: u64) -> Option<i64> {
        let (one, other) = (client.addresses?, server.addresses?);
        if one != mirrored(other) {
            return None;
        }
        match (client.sequence, server.sequence) {
            // TCP counts modulo 2^32, and so are the truncations meant: two bytes that are open at
            // once are not 2 GiB apart.
            (Some((_, first)), Some((other, _))) => {
                let sent = first.wrapping_add(sent as u32);
                let received = other.wrapping_add(received as u32);
                Some(i64::from(sent.wrapping_sub(received) as i32))
            }
            (None, None) if client.whole && server.whole => {
                Some(sent.wrapping_sub(received) as i64)
            }
            _ => None,
        }
    }
}

fn mirrored(addresses: Addresses) -> Addresses {
    Addresses {
        local: addresses.remote,
        remote: addresses.local,
    }
}

/// A socket of a dual-stack listener calls an IPv4 peer `::ffff:a.b.c.d`; the peer does not.
fn canonical(addresses: Addresses) -> Addresses {
    let canonical = |mut address: std::net::SocketAddr| {
        address.set_ip(address.ip().to_canonical());
        address
    };
    Addresses {
        local: canonical(addresses.local),
        remote: canonical(addresses.remote),
    }
}

/// One connection.
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// Its ends.
    pub ends: Ends,
    /// The other end, where that is traced too.
    pub peer: Option<Slot>,
    /// What to add to the number of an exchange to get that of the peer's, going by the last two that
    /// met: the ends may have been met at different moments, and each counts from there.
    pub peer_numbers: u64,
    /// It was waited for in vain: it is not traced, or its records are lost.
    pub lonely: bool,
    /// `connect` began and was done; taken by the first exchange.
    pub connect: Option<(u64, u64)>,
    /// The kernel told of it: addresses, role.
    pub described: bool,
    /// End of the transfer with its first request's first byte, boot-time ns.
    pub opened: Option<u64>,
    /// Exchanges whose span is not made.
    pub open: Open,
    /// What flows through it.
    pub feed: Feed,
    /// Last sign of life, boot-time ns.
    pub touched: u64,
    /// What the tracker's `gaps` were at its last transfer.
    pub gaps: u64,
}

impl Connection {
    /// What it means for who does what on it.
    pub fn on(&self) -> On {
        On {
            connection: self.id,
            multiplexed: self.feed.is_multiplexed(),
            event_driven: self.ends.event_driven,
            midway: !self.ends.whole,
        }
    }
}

/// What an identity in a ring record stands for.
enum Entry {
    Followed(Slot),
    /// Given up; records of it may still come.
    Ignored,
}

/// All connections.
#[derive(Default)]
pub struct Table {
    entries: HashMap<ConnectionId, Entry, foldhash::fast::RandomState>,
    connections: Slab<Connection>,
    by_addresses: HashMap<Addresses, Slot, foldhash::fast::RandomState>,
    /// How many entries are [`Entry::Ignored`].
    ignored: usize,
    /// Connections that were put in.
    pub seen: u64,
    /// Connections that proved to carry nothing we know, or no more of it.
    pub given_up: u64,
}

/// What the table knows of a connection.
pub enum Found {
    /// It is followed.
    Followed(Slot),
    /// It was given up.
    Ignored,
    /// It is not known.
    Unknown,
}

impl Table {
    /// Whether that connection is known.
    pub fn find(&self, id: ConnectionId) -> Found {
        match self.entries.get(&id) {
            Some(Entry::Followed(slot)) => Found::Followed(*slot),
            Some(Entry::Ignored) => Found::Ignored,
            None => Found::Unknown,
        }
    }

    /// The connection, if it is followed.
    pub fn followed(&self, id: ConnectionId) -> Option<Slot> {
        match self.find(id) {
            Found::Followed(slot) => Some(slot),
            Found::Ignored | Found::Unknown => None,
        }
    }

    /// A connection in the table.
    pub fn get(&self, slot: Slot) -> Option<&Connection> {
        self.connections.get(slot)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.connections.get_mut(slot)
    }

    /// No room for another.
    pub fn is_full(&self) -> bool {
        self.connections.len() >= MAX_CONNECTIONS
    }

    /// Follows a connection that is not known, of which nothing is known.
    pub fn insert(&mut self, id: ConnectionId, now: u64) -> Slot {
        self.seen += 1;
        let slot = self.connections.insert(Connection {
            id,
            ends: Ends {
                addresses: None,
                sequence: None,
                whole: false,
                event_driven: false,
            },
            peer: None,
            peer_numbers: 0,
            lonely: false,
            connect: None,
            described: false,
            opened: None,
            open: Open::default(),
            feed: Feed::new(true),
            touched: now,
            gaps: 0,
        });
        self.entries.insert(id, Entry::Followed(slot));
        slot
    }

    /// What the kernel tells of a connection: before its first transfer, or later if the ring was full
    /// then. The other end is found, if it is traced too.
    pub fn describe(&mut self, slot: Slot, record: &event::Connection) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.described = true;
        if connection.feed.is_fresh() {
            connection.feed = Feed::new(record.midway);
            connection.connect = record.connect_ns;
        }
        connection.ends = Ends {
            addresses: record.addresses.map(canonical),
            sequence: (record.sequence != (0, 0)).then_some(record.sequence),
            whole: !record.midway,
            event_driven: record.event_driven,
        };
        let Some(addresses) = connection.ends.addresses else {
            return;
        };
        self.by_addresses.insert(addresses, slot);
        let Some(&peer) = self.by_addresses.get(&mirrored(addresses)) else {
            return;
        };
        if peer == slot {
            return;
        }
        connection.peer = Some(peer);
        if let Some(other) = self.connections.get_mut(peer) {
            other.peer = Some(slot);
        }
    }

    /// Takes a connection out.
    pub fn remove(&mut self, slot: Slot) -> Option<Connection> {
        let connection = self.connections.try_remove(slot)?;
        self.entries.remove(&connection.id);
        if let Some(addresses) = connection.ends.addresses
            && self.by_addresses.get(&addresses) == Some(&slot)
        {
            self.by_addresses.remove(&addresses);
        }
        if let Some(other) = connection
            .peer
            .and_then(|peer| self.connections.get_mut(peer))
            && other.peer == Some(slot)
        {
            other.peer = None;
        }
        Some(connection)
    }

    /// Records of a connection that was taken out are to be passed over, as long as some may come.
    pub fn ignore(&mut self, id: ConnectionId) {
        self.given_up += 1;
        if self.ignored >= MAX_IGNORED {
            self.entries
                .retain(|_, entry| matches!(entry, Entry::Followed(_)));
            self.ignored = 0;
        }
        self.entries.insert(id, Entry::Ignored);
        self.ignored += 1;
    }

    /// The connection ended: nothing of it will come.
    pub fn forget_ignored(&mut self, id: ConnectionId) {
        if matches!(self.entries.get(&id), Some(Entry::Ignored)) {
            self.entries.remove(&id);
            self.ignored -= 1;
        }
    }

    /// Those that gave no sign of life since `before` (boot-time ns).
    pub fn idle_since(&self, before: u64) -> Vec<Slot> {
        self.connections
            .iter()
            .filter(|(_, connection)| connection.touched < before)
            .map(|(slot, _)| slot)
            .collect()
    }

    /// The idlest, enough of them to make room for a while.
    pub fn idlest(&self) -> Vec<Slot> {
        let mut ages: Vec<_> = self
            .connections
            .iter()
            .map(|(slot, connection)| (connection.touched, slot))
            .collect();
        let count = (ages.len() / EVICTED_PART).max(1).min(ages.len());
        if count < ages.len() {
            ages.select_nth_unstable(count);
        }
        ages.into_iter().take(count).map(|(_, slot)| slot).collect()
    }

    /// Every connection.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().map(|(_, connection)| connection)
    }

    /// Where every connection is.
    pub fn slots(&self) -> Vec<Slot> {
        self.connections.iter().map(|(slot, _)| slot).collect()
    }
}
