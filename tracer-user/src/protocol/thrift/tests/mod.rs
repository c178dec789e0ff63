//! Bytes in, events out. Each file shows one side of the parser.

mod build;
mod captured;
mod detection;
mod forms;
mod holes;
mod hostile;
mod random;
mod streams;

use super::Thrift;
use crate::protocol::rpc::{self, Failure, Key};
use crate::protocol::{Event, Framing, Head, Incomplete, Input, Protocol, Side};

/// A connection under test: what each side sends, and the events in words.
struct Wire {
    thrift: Thrift,
    events: Vec<Event>,
}

impl Wire {
    fn of(thrift: Thrift) -> Wire {
        Wire {
            thrift,
            events: Vec::new(),
        }
    }

    fn input(&mut self, side: Side, input: Input<'_>) -> Vec<String> {
        self.thrift.push(side, input, &mut self.events);
        self.events.drain(..).map(|event| word(&event)).collect()
    }

    fn transfer(&mut self, side: Side, bytes: &[u8]) -> Vec<String> {
        let mut words = self.input(side, Input::Bytes(bytes));
        words.extend(self.input(side, Input::EndOfTransfer));
        words
    }

    /// The client's next transfer.
    fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.transfer(Side::Request, bytes.as_ref())
    }

    /// The server's next transfer.
    fn answer(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        self.transfer(Side::Response, bytes.as_ref())
    }

    /// A transfer of which only head and tail were captured.
    fn long(&mut self, side: Side, head: &[u8], skipped: u64, tail: &[u8]) -> Vec<String> {
        let mut words = self.input(side, Input::Bytes(head));
        words.extend(self.input(side, Input::Skipped(skipped)));
        words.extend(self.transfer(side, tail));
        words
    }

    fn lose(&mut self, side: Side, n: u64) -> Vec<String> {
        self.input(side, Input::Lost(n))
    }

    fn end(&mut self, side: Side) -> Vec<String> {
        self.thrift
            .end(side, Incomplete::ConnectionClosed, &mut self.events);
        self.events.drain(..).map(|event| word(&event)).collect()
    }

    fn close(&mut self) -> Vec<String> {
        let mut words = self.end(Side::Request);
        words.extend(self.end(Side::Response));
        words
    }
}

impl Thrift {
    /// Bytes held in buffers.
    fn memory(&self) -> usize {
        self.requests.memory() + self.responses.memory()
    }
}

/// An event in short: `q` of the request, `r` of the response; `+` begins, `!` is cut off.
fn word(event: &Event) -> String {
    let side = |side| match side {
        Side::Request => "q",
        Side::Response => "r",
    };
    match event {
        Event::RequestStarted(id, at) => format!("q{id}+{at}"),
        Event::RequestHead(id, Head::Rpc(head)) => format!("q{id} {}", head_word(head)),
        Event::RequestEnded(id, sizes) => format!("q{id}. {}", sizes.wire),
        Event::ResponseStarted(id) => format!("r{id}+"),
        Event::ResponseInterim(id) => format!("r{id}?"),
        Event::ResponseHead(id, Head::Rpc(head)) => format!("r{id} {}", head_word(head)),
        Event::ResponseEnded(id, sizes) => format!("r{id}. {}", sizes.wire),
        Event::NoResponse(id) => format!("r{id}-"),
        Event::Message {
            exchange,
            side: by,
            size,
        } => format!("{}{exchange}: {size}", side(*by)),
        Event::Reset {
            exchange,
            side: by,
            code,
        } => format!("{}{exchange}x {code}", side(*by)),
        Event::Incomplete {
            exchange,
            side: by,
            reason,
        } => {
            let id = exchange.map_or("_".to_owned(), |id| id.to_string());
            format!("{}{id}! {}", side(*by), reason.as_str())
        }
        Event::Opaque => "opaque".to_owned(),
        _ => panic!("not of Thrift: {event:?}"),
    }
}

/// `transport/codec kind method #seq key=value... failure`.
fn head_word(head: &rpc::Head) -> String {
    let codec = head
        .codec
        .map_or("?".to_owned(), |codec| format!("{codec:?}"));
    let mut word = format!(
        "{:?}/{codec} {:?} {} #{}",
        head.transport,
        head.kind,
        head.method.escape_ascii(),
        head.seq_id
    );
    for (key, value) in &head.fields {
        let key = match key {
            Key::Number(number) => number.to_string(),
            Key::Text(text) => text.escape_ascii().to_string(),
        };
        word += &format!(" {key}={}", value.escape_ascii());
    }
    match &head.failure {
        None => {}
        Some(Failure::Declared(id)) => word += &format!(" declared {id}"),
        Some(Failure::Exception { type_id, message }) => {
            word += &format!(" exception {type_id} {}", message.escape_ascii());
        }
    }
    word
}
