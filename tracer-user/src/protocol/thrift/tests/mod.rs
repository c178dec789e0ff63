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
use crate::protocol::{Cause, Event, Framing, Head, Incomplete, Input, Protocol, Side};

type Wire = crate::protocol::tests::wire::Wire<Thrift>;

impl Wire {
    fn of(thrift: Thrift) -> Wire {
        Wire::over(thrift, word)
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
            cause: Cause::Failure(why),
        } => match why.as_deref() {
            Some(Failure::Exception { type_id, message }) => format!(
                "{}{exchange}x {type_id} {}",
                side(*by),
                message.escape_ascii()
            ),
            why => format!("{}{exchange}x {why:?}", side(*by)),
        },
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
