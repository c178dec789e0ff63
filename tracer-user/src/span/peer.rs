//! The other end: the two exchanges that are one, seen from two traced processes of this host.
//!
//! The ends of a connection are known by their mirrored addresses, the exchange by the place of its
//! request's first byte ([`Ends::distance`]): no header is needed. Their heads are compared no
//! sooner than both are complete, since a head may carry the trace.
//!
//! The client sends before the server reads, but on another processor, so the server's record may
//! come first. Then the server's exchange waits, and its span is held back if it is over meanwhile. A
//! call that wants no answer is over before the server knows of it: then the client's span is held.
//! A connection whose client did not show up is not waited for again until it does.

use super::connection::{Connection, Ends, Slot};
use super::exchange::Exchange;
use super::tracker::{Host, Tracker};
use super::{Kind, ParentSource};
use crate::event::ConnectionId;

/// How long a server's exchange waits for the record of the client that began it, boot-time ns. The
/// two are microseconds apart, but for a client that the scheduler put aside in between; on a host
/// with more to do than processors that is some time slices of a few ms.
const GRACE: u64 = 100_000_000;

/// The same on a connection both ends of which are known to be traced: unless its record is lost, the other
/// end comes, however long a starved or emulated processor takes to get there; a second is what spans may
/// be late.
const GRACE_OF_KNOWN: u64 = 1_000_000_000;

/// Spans held back at once: at the first exchange of 20,000 new connections a second.
pub(super) const MAX_HELD: usize = 4096;

/// A finished exchange whose trace is not final.
pub(super) struct Held {
    exchange: Exchange,
    connection: ConnectionId,
    ends: Ends,
}

impl Tracker {
    /// The head of a request is known: looks for the other end of the exchange.
    pub(super) fn meet(&mut self, slot: Slot, key: usize) {
        let Some(connection) = self.table.get(slot) else {
            return;
        };
        let exchange = &self.exchanges[key];
        let ends = connection.ends;
        if ends.addresses.is_none() {
            return;
        }
        let (kind, node, position) = (exchange.kind, exchange.node, exchange.position);
        let peer = connection.peer.and_then(|peer| self.table.get(peer));
        // That the other end is traced is known from its first exchange on.
        let may_come = match kind {
            Kind::Server => exchange.opening && self.clients_seen,
            Kind::Client => exchange.opening,
        };
        let may_come = (peer.is_some() || may_come) && !connection.lonely;
        let until = self.now + grace(connection);
        let (numbers, lonely) = (connection.peer_numbers, connection.lonely);
        let other = peer.and_then(|peer| self.other_end(exchange, &ends, peer, numbers));
        if let Some(other) = other {
            let seen = self.exchanges[other].id.wrapping_sub(exchange.id);
            if seen != numbers {
                self.expect_numbers(slot, seen);
            }
            if lonely && let Some(connection) = self.table.get_mut(slot) {
                connection.lonely = false;
            }
        }
        match (kind, other) {
            (Kind::Server, Some(client)) => self.belongs_to(key, client),
            (Kind::Client, Some(server)) => self.belongs_to(server, key),
            (Kind::Server, None) if may_come && !self.belongs_to_held(key, &ends, position) => {
                self.traces.await_parent(node, until);
            }
            (Kind::Client, None) if may_come => self.meet_held(key, &ends, position),
            (_, None) => {}
        }
    }

    /// The exchange on `peer` that is the other end of `one`, if its head is known.
    ///
    /// Its number is probably that of `one` and `numbers` more. Else it is looked for from the newest back to where requests
    /// are older than it: the two ends are rarely far apart.
    fn other_end(
        &self,
        one: &Exchange,
        ends: &Ends,
        peer: &Connection,
        numbers: u64,
    ) -> Option<usize> {
        let distance = |other: &Exchange| match one.kind {
            _ if other.kind == one.kind => None,
            Kind::Server => Ends::distance(&peer.ends, other.position, ends, one.position),
            // Turned round: how far the server's lies behind this one.
            Kind::Client => Ends::distance(ends, one.position, &peer.ends, other.position)
                .map(i64::wrapping_neg),
        };
        let numbered = peer
            .open
            .find(&self.exchanges, one.id.wrapping_add(numbers));
        let found = numbered
            .filter(|&key| distance(&self.exchanges[key]) == Some(0))
            .or_else(|| {
                peer.open
                    .newest_first(&self.exchanges)
                    .map(|(key, other)| (key, distance(other)))
                    .find(|(_, distance)| distance.is_none_or(|distance| distance <= 0))
                    .and_then(|(key, distance)| (distance == Some(0)).then_some(key))
            });
        found.filter(|&key| self.exchanges[key].request.head.is_some())
    }

    /// From two exchanges that are one it is known how the numbers of both ends go together.
    fn expect_numbers(&mut self, slot: Slot, numbers: u64) {
        let Some(connection) = self.table.get_mut(slot) else {
            return;
        };
        connection.peer_numbers = numbers;
        let peer = connection.peer.and_then(|peer| self.table.get_mut(peer));
        if let Some(peer) = peer {
            peer.peer_numbers = 0_u64.wrapping_sub(numbers);
        }
    }

    /// The two ends of one exchange were found.
    fn belongs_to(&mut self, server: usize, client: usize) {
        let (span, node) = (self.exchanges[client].span_id, self.exchanges[client].node);
        let server = &mut self.exchanges[server];
        if self.traces.join(server.node, node) {
            server.parent = Some((span, ParentSource::Connection));
        }
    }

    /// A client's request came to be known: perhaps the server's exchange is over already.
    fn meet_held(&mut self, client: usize, ends: &Ends, position: u64) {
        let client = &self.exchanges[client];
        let server = self.held.iter_mut().find(|held| {
            held.exchange.kind == Kind::Server
                && Ends::distance(ends, position, &held.ends, held.exchange.position) == Some(0)
        });
        if let Some(held) = server
            && self.traces.join(held.exchange.node, client.node)
        {
            held.exchange.parent = Some((client.span_id, ParentSource::Connection));
        }
    }

    /// A client's exchange that wants no answer is over before its server's begins: it is kept for
    /// that, if the other end may be traced.
    pub(super) fn await_server(&mut self, slot: Slot, key: usize) {
        let exchange = &self.exchanges[key];
        if let Some(connection) = self.table.get(slot)
            && exchange.kind == Kind::Client
            && connection.ends.addresses.is_some()
            && (connection.peer.is_some() || exchange.opening)
        {
            let until = self.now + grace(connection);
            self.traces.await_parent(exchange.node, until);
        }
    }

    /// A server's request came to be known: perhaps the client's exchange is over already. Returns
    /// whether it was found.
    fn belongs_to_held(&mut self, server: usize, ends: &Ends, position: u64) -> bool {
        let client = self.held.iter().find(|held| {
            held.exchange.kind == Kind::Client
                && Ends::distance(&held.ends, held.exchange.position, ends, position) == Some(0)
        });
        let Some(client) = client else {
            return false;
        };
        let (span, node) = (client.exchange.span_id, client.exchange.node);
        let server = &mut self.exchanges[server];
        if self.traces.join(server.node, node) {
            server.parent = Some((span, ParentSource::Connection));
        }
        // It has met whom it waited for.
        self.traces.await_parent(node, 0);
        true
    }

    /// Keeps a finished exchange until its trace is final.
    pub(super) fn hold(
        &mut self,
        exchange: Exchange,
        connection: ConnectionId,
        ends: Ends,
        host: &mut impl Host,
    ) {
        if self.held.len() < MAX_HELD {
            self.held.push(Held {
                exchange,
                connection,
                ends,
            });
        } else {
            self.counts.limits.held += 1;
            self.emit(exchange, &ends, host);
        }
    }

    /// Lets go those whose trace became final, or has to be by now.
    pub(super) fn release_held(&mut self, host: &mut impl Host) {
        let mut at = 0;
        while at < self.held.len() {
            let exchange = &self.held[at].exchange;
            if self.traces.resolve(exchange.node, self.now).is_none() {
                at += 1;
                continue;
            }
            let unmet = exchange.kind == Kind::Server
                && exchange
                    .parent
                    .is_none_or(|(_, source)| source != ParentSource::Connection);
            let held = self.held.swap_remove(at);
            if unmet
                && let Some(slot) = self.table.followed(held.connection)
                && let Some(connection) = self.table.get_mut(slot)
            {
                connection.lonely = true;
            }
            self.emit(held.exchange, &held.ends, host);
        }
    }

    /// Lets all go, as they are.
    pub(super) fn release_all(&mut self, host: &mut impl Host) {
        for held in std::mem::take(&mut self.held) {
            self.emit(held.exchange, &held.ends, host);
        }
    }
}

/// How long the other end of an exchange on that connection is waited for.
fn grace(connection: &Connection) -> u64 {
    match connection.peer {
        Some(_) => GRACE_OF_KNOWN,
        None => GRACE,
    }
}
