//! Keeps account of the events of one connection and objects to any that can't be.

use std::collections::BTreeMap;

use crate::protocol::{Event, ExchangeId, Head, Side, Sizes};

/// How far a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    #[default]
    Awaited,
    Started,
    Head,
    Ended(Sizes),
    Cut,
}

impl Progress {
    fn is_over(self) -> bool {
        matches!(self, Progress::Ended(_) | Progress::Cut)
    }
}

/// One exchange, its messages' numbers as their heads tell them.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    pub request: Progress,
    pub response: Progress,
    pub asked: Option<u32>,
    pub answered: Option<u32>,
}

impl Exchange {
    /// Seen whole, both ways.
    pub fn is_complete(&self) -> bool {
        matches!(self.request, Progress::Ended(_)) && matches!(self.response, Progress::Ended(_))
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub exchanges: BTreeMap<ExchangeId, Exchange>,
    pub started: u64,
    pub complete: u64,
    pub incomplete: u64,
    pub opaque: bool,
    /// What went in and what came of it.
    pub log: Vec<String>,
}

impl Ledger {
    pub fn enter(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            assert!(!self.opaque, "after the end: {event:?}");
            self.log.push(super::word(&event));
            self.one(&event);
        }
    }

    fn one(&mut self, event: &Event) {
        match event {
            Event::RequestStarted(id, _) => {
                let last = self.exchanges.keys().next_back();
                assert!(last.is_none_or(|last| last < id), "{event:?} out of order");
                self.exchanges.entry(*id).or_default().request = Progress::Started;
                self.started += 1;
            }
            Event::RequestHead(id, Head::Http(head)) => {
                let exchange = self.at(id, event);
                assert_eq!(exchange.request, Progress::Started, "{event:?}");
                exchange.request = Progress::Head;
                let path = std::str::from_utf8(head.target()).unwrap_or_default();
                exchange.asked = path.strip_prefix('/').and_then(|n| n.parse().ok());
            }
            Event::RequestEnded(id, sizes) => {
                let exchange = self.at(id, event);
                assert_eq!(exchange.request, Progress::Head, "{event:?}");
                exchange.request = Progress::Ended(*sizes);
                self.complete += 1;
            }
            Event::ResponseStarted(id) => {
                let exchange = self.at(id, event);
                assert_eq!(exchange.response, Progress::Awaited, "{event:?}");
                exchange.response = Progress::Started;
                self.started += 1;
            }
            Event::ResponseInterim(id) => {
                let exchange = self.at(id, event);
                assert_eq!(exchange.response, Progress::Started, "{event:?}");
                exchange.response = Progress::Awaited;
                self.started -= 1;
            }
            Event::ResponseHead(id, Head::Http(head)) => {
                let exchange = self.at(id, event);
                assert_eq!(exchange.response, Progress::Started, "{event:?}");
                exchange.response = Progress::Head;
                exchange.answered = head
                    .field("number")
                    .and_then(|n| std::str::from_utf8(n).ok())
                    .and_then(|n| n.parse().ok());
                if let (Some(asked), Some(answered)) = (exchange.asked, exchange.answered) {
                    assert_eq!(asked, answered, "a wrong pair: {:#?}", self.log);
                }
            }
            Event::ResponseEnded(id, sizes) => {
                let exchange = self.at(id, event);
                assert_eq!(exchange.response, Progress::Head, "{event:?}");
                exchange.response = Progress::Ended(*sizes);
                self.complete += 1;
            }
            Event::Incomplete { exchange, side, .. } => {
                self.incomplete += 1;
                let Some(id) = exchange else {
                    assert_eq!(*side, Side::Response);
                    self.started += 1;
                    return;
                };
                let exchange = self.at(id, event);
                let progress = match side {
                    Side::Request => &mut exchange.request,
                    Side::Response => &mut exchange.response,
                };
                assert!(!progress.is_over(), "{event:?}");
                let begins = *progress == Progress::Awaited;
                *progress = Progress::Cut;
                self.started += u64::from(begins);
            }
            Event::Opaque => self.opaque = true,
            _ => panic!("not of HTTP/1: {event:?}"),
        }
    }

    /// After both ends: nothing is left open.
    pub fn close(&self) {
        for (id, exchange) in &self.exchanges {
            assert!(exchange.request.is_over(), "{id}: {exchange:?}");
            assert!(exchange.response.is_over(), "{id}: {exchange:?}");
        }
        assert_eq!(self.started, self.complete + self.incomplete);
    }

    fn at(&mut self, id: &ExchangeId, event: &Event) -> &mut Exchange {
        match self.exchanges.get_mut(id) {
            Some(exchange) => exchange,
            None => panic!("of no exchange: {event:?}"),
        }
    }
}
