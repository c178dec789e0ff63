//! Stage durations and stage events: what a span's instants come to.
//!
//! The names are those that frameworks' own tracers use for the same moments: Hertz' for HTTP, Kitex'
//! for RPC, and Kitex' for streams where more than one message goes one way. An instant that is not
//! known makes no event, and a stage with one end not known makes no duration.

use super::{Level, System, thrift};
use crate::protocol::{Head, Incomplete, Side};
use crate::span::{Instants, Kind, Span, StreamMessage, Streamed};

/// How long a stage of an exchange took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// `queue`, `read`, ...
    pub name: &'static str,
    /// `tracer.stage.` and its name.
    pub attribute: &'static str,
    /// When it began. Unix ns.
    pub from: u64,
    /// Nanoseconds.
    pub ns: u64,
}

/// A stage from one instant to another, if both are known and in this order.
macro_rules! stage {
    ($name:literal, $from:expr, $to:expr) => {
        match ($from, $to) {
            (0, _) | (_, 0) => None,
            (from, to) => to.checked_sub(from).map(|ns| Stage {
                name: $name,
                attribute: concat!("tracer.stage.", $name),
                from,
                ns,
            }),
        }
    };
}

/// Stages that a span may have.
pub const STAGES: usize = 4;

/// The span's stages, in the order they happen; they never overlap. Where an answer begins before
/// the message it answers has ended, the stage of that message ends there, and nothing lies between.
pub fn stages(span: &Span) -> impl Iterator<Item = Stage> {
    stages_by_place(span).into_iter().flatten()
}

/// The same, each always at the same place for spans of a kind; none = not known.
pub fn stages_by_place(span: &Span) -> [Option<Stage>; STAGES] {
    let i = &span.instants;
    match span.kind {
        Kind::Server => [
            stage!("queue", i.arrived, i.read_start),
            stage!("read", i.read_start, earlier(i.body_read, i.write_start)),
            stage!("handle", i.body_read, i.write_start),
            stage!("write", i.write_start, i.write_finish),
        ],
        Kind::Client => [
            stage!("connect", i.connect_start, i.connect_end),
            stage!(
                "write",
                i.write_start,
                earlier(i.write_finish, i.read_start)
            ),
            stage!("wait", i.write_finish, i.read_start),
            stage!("read", i.read_start, i.body_read),
        ],
    }
}

/// The end of a stage that the next one may cut short; 0 = not known.
fn earlier(end: u64, next: u64) -> u64 {
    match next {
        0 => end,
        next => end.min(next),
    }
}

/// An event of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanEvent<'a> {
    /// Its name.
    pub name: &'static str,
    /// When. Unix ns.
    pub at: u64,
    /// The message of a stream that it is of.
    pub message: Option<&'a StreamMessage>,
}

/// Events of a stream beside its messages: so much room is left for them, that its finish is told
/// however many messages there were.
const BESIDE_MESSAGES: usize = 5;

/// How many messages of a stream are worth keeping for a span that may hold so many events.
pub fn messages_wanted(level: Level, most_events: usize) -> usize {
    match level {
        Level::Disabled | Level::Base => 0,
        Level::Detailed => most_events.saturating_sub(BESIDE_MESSAGES),
    }
}

/// Tells every event of the span, in time order. Returns how many more there were, that are not kept.
pub fn events<'a>(span: &'a Span, level: Level, mut each: impl FnMut(SpanEvent<'a>)) -> u64 {
    let (mut eight, mut ten, mut twelve);
    let list: &mut [Event] = match (System::of(span), span.kind) {
        (System::Http, Kind::Server) => {
            ten = http_server(&span.instants);
            &mut ten
        }
        (System::Http, Kind::Client) => {
            twelve = http_client(span);
            &mut twelve
        }
        _ if is_stream(span) => return stream(span, level, &mut each),
        (_, Kind::Server) => {
            eight = rpc_server(span);
            &mut eight
        }
        (_, Kind::Client) => {
            ten = rpc_client(span);
            &mut ten
        }
    };
    let last = list.len() - 1;
    match level {
        Level::Disabled => return 0,
        // The first and the last are its start and finish.
        Level::Base => list[1..last].fill(UNKNOWN),
        // Stable, and nearly always in order already: equal instants keep the list's order.
        Level::Detailed => list.sort_by_key(|(_, at)| *at),
    }
    for &mut (name, at) in list {
        if at != 0 {
            each(SpanEvent {
                name,
                at,
                message: None,
            });
        }
    }
    0
}

/// An event's name and time; 0 = not known.
type Event = (&'static str, u64);

const UNKNOWN: Event = ("", 0);

fn http_server(i: &Instants) -> [Event; 10] {
    let (handle_start, handle_finish) = pair(i.body_read, i.write_start);
    [
        ("http_start", i.read_start),
        ("read_header_start", i.read_start),
        ("read_header_finish", i.header_read),
        ("read_body_start", i.header_read),
        ("read_body_finish", i.body_read),
        ("server_handle_start", handle_start),
        ("server_handle_finish", handle_finish),
        ("write_start", i.write_start),
        ("write_finish", i.write_finish),
        ("http_finish", i.write_finish),
    ]
}

fn http_client(span: &Span) -> [Event; 12] {
    let i = &span.instants;
    let (wait_start, wait_finish) = pair(i.write_finish, i.read_start);
    [
        ("http_start", span.start_ns),
        ("client_conn_start", i.connect_start),
        ("client_conn_finish", i.connect_end),
        ("write_start", i.write_start),
        ("write_finish", i.write_finish),
        ("wait_read_start", wait_start),
        ("wait_read_finish", wait_finish),
        ("read_header_start", i.read_start),
        ("read_header_finish", i.header_read),
        ("read_body_start", i.header_read),
        ("read_body_finish", i.body_read),
        ("http_finish", i.body_read),
    ]
}

fn rpc_server(span: &Span) -> [Event; 8] {
    let i = &span.instants;
    let (handle_start, handle_finish) = pair(i.body_read, i.write_start);
    [
        ("rpc_start", i.read_start),
        ("read_start", i.read_start),
        ("read_finish", i.body_read),
        ("server_handle_start", handle_start),
        ("server_handle_finish", handle_finish),
        ("write_start", i.write_start),
        ("write_finish", i.write_finish),
        ("rpc_finish", finish(span)),
    ]
}

fn rpc_client(span: &Span) -> [Event; 10] {
    let i = &span.instants;
    let (wait_start, wait_finish) = match thrift::is_oneway(span) {
        true => (0, 0),
        false => pair(i.write_finish, i.read_start),
    };
    [
        ("rpc_start", span.start_ns),
        ("client_conn_start", i.connect_start),
        ("client_conn_finish", i.connect_end),
        ("write_start", i.write_start),
        ("write_finish", i.write_finish),
        ("wait_read_start", wait_start),
        ("wait_read_finish", wait_finish),
        ("read_start", i.read_start),
        ("read_finish", i.body_read),
        ("rpc_finish", finish(span)),
    ]
}

/// When a call was over: with its answer, with the question that wants none, or as its stream was
/// given up. Not known where it was cut off otherwise.
fn finish(span: &Span) -> u64 {
    let answered = match span.kind {
        Kind::Server => span.instants.write_finish,
        Kind::Client => span.instants.body_read,
    };
    match span.incomplete {
        _ if answered != 0 => answered,
        None | Some(Incomplete::StreamReset) => span.end_ns,
        Some(_) => 0,
    }
}

/// Whether messages went to and fro: more than one of a side, or a protocol for streams only.
fn is_stream(span: &Span) -> bool {
    let of_many = |streamed: &Streamed| streamed.requests > 1 || streamed.responses > 1;
    let head = span.request.as_ref().or(span.response.as_ref());
    span.streamed.as_deref().is_some_and(of_many)
        || head.and_then(Head::rpc).is_some_and(thrift::is_stream)
}

#[cold]
fn stream<'a>(span: &'a Span, level: Level, each: &mut impl FnMut(SpanEvent<'a>)) -> u64 {
    let i = &span.instants;
    let of = |(name, at): Event| SpanEvent {
        name,
        at,
        message: None,
    };
    let (start, receives) = match span.kind {
        Kind::Server => (i.read_start, Side::Request),
        Kind::Client => (span.start_ns, Side::Response),
    };
    let ends = [("stream_start", start), ("stream_finish", finish(span))].map(of);
    let streamed = match level {
        Level::Disabled => return 0,
        Level::Base => {
            ends.into_iter()
                .filter(|event| event.at != 0)
                .for_each(each);
            return 0;
        }
        Level::Detailed => span.streamed.as_deref(),
    };
    let messages = streamed.map_or(&[][..], |streamed| &streamed.messages);
    let mut list = Vec::with_capacity(messages.len() + BESIDE_MESSAGES);
    let begin = [
        ("client_conn_start", i.connect_start),
        ("client_conn_finish", i.connect_end),
        ("stream_recv_header", i.header_read),
    ];
    list.push(ends[0]);
    list.extend(begin.map(of));
    list.extend(messages.iter().map(|message| SpanEvent {
        name: match message.side == receives {
            true => "stream_recv",
            false => "stream_send",
        },
        at: message.at_ns,
        message: Some(message),
    }));
    list.push(ends[1]);
    list.retain(|event| event.at != 0);
    // As in [`events`]; the two sides' messages were seen on two processors.
    list.sort_by_key(|event| event.at);
    list.into_iter().for_each(each);
    streamed.map_or(0, |streamed| streamed.not_kept)
}

/// What lies between the end of one message and the begin of its answer: nothing, if the answer
/// began first.
fn pair(end: u64, begin: u64) -> (u64, u64) {
    match begin != 0 && begin < end {
        true => (0, 0),
        false => (end, begin),
    }
}
