//! For tests and fuzzers: keeps account of the events of one connection and objects to any that can't
//! be, whatever the protocol.

use std::collections::BTreeMap;

use crate::protocol::{Cause, Event, ExchangeId, Head, Side, Sizes};

/// An event in short: `q` of the request, `r` of the response; `+` begins, `!` is cut off.
pub fn word(event: &Event) -> String {
    match event {
        Event::RequestStarted(id, _) => format!("q{id}+"),
        Event::RequestHead(id, Head::Http(head)) => format!(
            "q{id} {} {}",
            head.method().escape_ascii(),
            head.target().escape_ascii()
        ),
        Event::RequestHead(id, Head::Rpc(head)) => format!(
            "q{id} {:?} {} {}",
            head.kind,
            head.seq_id,
            head.method.escape_ascii()
        ),
        Event::RequestEnded(id, sizes) => format!("q{id}. {}", size(sizes)),
        Event::ResponseStarted(id) => format!("r{id}+"),
        Event::ResponseInterim(id) => format!("r{id}?"),
        Event::ResponseHead(id, Head::Http(head)) => format!("r{id} {}", head.status()),
        Event::ResponseHead(id, Head::Rpc(head)) => {
            format!("r{id} {:?} {}", head.kind, head.seq_id)
        }
        Event::ResponseEnded(id, sizes) => format!("r{id}. {}", size(sizes)),
        Event::NoResponse(id) => format!("r{id}-"),
        Event::Message {
            exchange,
            side,
            size,
        } => format!("{}{exchange} message {size}", letter(*side)),
        Event::Trailers(id, head) => {
            let names = head.fields().map(|(name, _)| name.escape_ascii());
            let names: Vec<_> = names.map(|name| name.to_string()).collect();
            format!("r{id} trailers {}", names.join(" "))
        }
        Event::Reset {
            exchange,
            side,
            cause,
        } => match cause {
            Cause::Code(code) => format!("{}{exchange} reset {code}", letter(*side)),
            Cause::Failure(failure) => format!("{}{exchange} reset {failure:?}", letter(*side)),
        },
        Event::Incomplete {
            exchange,
            side,
            reason,
        } => {
            let id = exchange.map_or("_".to_owned(), |id| id.to_string());
            format!("{}{id}! {}", letter(*side), reason.as_str())
        }
        Event::Opaque => "opaque".to_owned(),
    }
}

fn letter(side: Side) -> char {
    match side {
        Side::Request => 'q',
        Side::Response => 'r',
    }
}

fn size(sizes: &Sizes) -> String {
    let body = sizes.body.map_or("?".to_owned(), |n| n.to_string());
    format!("{}/{body}", sizes.wire)
}

/// The number that a test gave a message: of HTTP, in its path or its field `number`; of RPC, in its
/// method (`m1`).
fn number(head: &Head) -> Option<u32> {
    match head {
        Head::Http(head) => {
            let path = head.target().strip_prefix(b"/");
            let text = path.or_else(|| head.field("number"))?;
            std::str::from_utf8(text).ok()?.parse().ok()
        }
        Head::Rpc(head) => {
            let text = head.method.strip_prefix(b"m")?;
            std::str::from_utf8(text).ok()?.parse().ok()
        }
    }
}

/// How far a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    #[default]
    Awaited,
    Started,
    Head,
    Ended(Sizes),
    Cut,
    /// There is none (oneway).
    None,
}

impl Progress {
    fn is_over(self) -> bool {
        matches!(self, Progress::Ended(_) | Progress::Cut | Progress::None)
    }
}

/// One exchange, its messages' numbers as their heads tell them.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    pub request: Progress,
    pub response: Progress,
    pub asked: Option<u32>,
    pub answered: Option<u32>,
    /// Sizes of the messages in the request's stream, and in the response's.
    pub messages: [Vec<u64>; 2],
    /// Its response had trailers.
    pub trailers: bool,
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
    /// Messages have no numbers of their own by which pairs could be told right (fuzzing).
    pub unnumbered: bool,
    /// What went in and what came of it.
    pub log: Vec<String>,
}

impl Ledger {
    pub fn enter(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            assert!(!self.opaque, "after the end: {event:?}");
            self.log.push(word(&event));
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
            Event::RequestHead(id, head) => {
                let exchange = self.at(id, event);
                assert_eq!(exchange.request, Progress::Started, "{event:?}");
                exchange.request = Progress::Head;
                exchange.asked = number(head);
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
            Event::ResponseHead(id, head) => {
                let unnumbered = self.unnumbered;
                let exchange = self.at(id, event);
                // A TTHeader stream's trailer is a head once more.
                let again = matches!(head, Head::Rpc(_)) && exchange.response == Progress::Head;
                assert!(again || exchange.response == Progress::Started, "{event:?}");
                exchange.response = Progress::Head;
                exchange.answered = number(head);
                if let (Some(asked), Some(answered)) = (exchange.asked, exchange.answered)
                    && !unnumbered
                {
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
            Event::NoResponse(id) => {
                let exchange = self.at(id, event);
                assert_eq!(exchange.response, Progress::Awaited, "{event:?}");
                exchange.response = Progress::None;
            }
            Event::Message {
                exchange,
                side,
                size,
            } => {
                let exchange = self.at(exchange, event);
                let progress = match side {
                    Side::Request => exchange.request,
                    Side::Response => exchange.response,
                };
                assert_eq!(progress, Progress::Head, "{event:?}");
                exchange.messages[*side as usize].push(*size);
            }
            Event::Trailers(id, _) => {
                let exchange = self.at(id, event);
                assert_eq!(exchange.response, Progress::Head, "{event:?}");
                exchange.trailers = true;
            }
            Event::Reset { exchange, .. } => {
                let exchange = self.at(exchange, event);
                let over = exchange.request.is_over() && exchange.response.is_over();
                assert!(!over, "{event:?}");
            }
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
