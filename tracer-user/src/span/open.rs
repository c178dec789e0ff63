//! Which exchanges are open on a connection: a chain through the slab that all connections share, so
//! that an idle connection costs nothing.
//!
//! A few open ones are found by walking the chain: HTTP/1 has one, or some that are pipelined. Where
//! there are more, as on a multiplexed connection, an index is kept from then on.

use hashbrown::HashMap;
use slab::Slab;

use super::exchange::Exchange;
use crate::protocol::ExchangeId;

/// Open exchanges up to which they are looked for one by one: each is a cache line or two away, so
/// that beyond a few, hashing is cheaper.
const SCANNED: u32 = 8;

/// A place in the slab, or none. [`super::tracker`] never has as many as would not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link(u32);

impl Link {
    const NONE: Link = Link(u32::MAX);

    fn to(key: usize) -> Link {
        u32::try_from(key).map_or(Link::NONE, Link)
    }

    fn key(self) -> Option<usize> {
        (self != Link::NONE).then_some(self.0 as usize)
    }
}

/// An exchange's neighbours.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    older: Link,
    newer: Link,
}

impl Default for Links {
    fn default() -> Links {
        Links {
            older: Link::NONE,
            newer: Link::NONE,
        }
    }
}

/// A connection's open exchanges, in the order of their requests.
#[derive(Debug)]
pub struct Open {
    first: Link,
    last: Link,
    count: u32,
    index: Option<Box<HashMap<ExchangeId, u32, foldhash::fast::RandomState>>>,
}

impl Default for Open {
    fn default() -> Open {
        Open {
            first: Link::NONE,
            last: Link::NONE,
            count: 0,
            index: None,
        }
    }
}

impl Open {
    /// How many.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// The oldest.
    pub fn first(&self) -> Option<usize> {
        self.first.key()
    }

    /// Puts one behind the others.
    pub fn push(&mut self, exchanges: &mut Slab<Exchange>, mut exchange: Exchange) -> usize {
        exchange.links = Links {
            older: self.last,
            newer: Link::NONE,
        };
        let id = exchange.id;
        let key = exchanges.insert(exchange);
        let link = Link::to(key);
        match self.last.key().and_then(|last| exchanges.get_mut(last)) {
            Some(last) => last.links.newer = link,
            None => self.first = link,
        }
        self.last = link;
        self.count += 1;
        match &mut self.index {
            Some(index) => _ = index.insert(id, link.0),
            None if self.count > SCANNED => {
                let all = self
                    .keys(exchanges)
                    .map(|key| (exchanges[key].id, Link::to(key).0));
                self.index = Some(Box::new(all.collect()));
            }
            None => {}
        }
        key
    }

    /// The one of that number. Of pipelined ones the newest is being asked, the oldest answered.
    #[inline]
    pub fn find(&self, exchanges: &Slab<Exchange>, id: ExchangeId) -> Option<usize> {
        let last = self.last.key()?;
        match exchanges.get(last)?.id == id {
            true => Some(last),
            false => self.find_older(exchanges, id),
        }
    }

    #[inline(never)]
    fn find_older(&self, exchanges: &Slab<Exchange>, id: ExchangeId) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(&id).map(|key| *key as usize),
            None => self
                .keys(exchanges)
                .find(|&key| exchanges.get(key).is_some_and(|exchange| exchange.id == id)),
        }
    }

    /// All, oldest first.
    pub fn keys<'a>(&self, exchanges: &'a Slab<Exchange>) -> impl Iterator<Item = usize> + use<'a> {
        std::iter::successors(self.first.key(), |&key| {
            exchanges.get(key)?.links.newer.key()
        })
    }

    /// All, newest first.
    pub fn newest_first<'a>(
        &self,
        exchanges: &'a Slab<Exchange>,
    ) -> impl Iterator<Item = (usize, &'a Exchange)> + use<'a> {
        let at = |key: usize| exchanges.get(key).map(|exchange| (key, exchange));
        std::iter::successors(self.last.key().and_then(at), move |(_, exchange)| {
            exchange.links.older.key().and_then(at)
        })
    }

    /// Takes out the one that [`Open::find`] found.
    pub fn remove(&mut self, exchanges: &mut Slab<Exchange>, key: usize) -> Option<Exchange> {
        let exchange = exchanges.try_remove(key)?;
        let Links { older, newer } = exchange.links;
        match older.key().and_then(|older| exchanges.get_mut(older)) {
            Some(older) => older.links.newer = newer,
            None => self.first = newer,
        }
        match newer.key().and_then(|newer| exchanges.get_mut(newer)) {
            Some(newer) => newer.links.older = older,
            None => self.last = older,
        }
        self.count -= 1;
        if let Some(index) = &mut self.index {
            index.remove(&exchange.id);
        }
        Some(exchange)
    }
}
