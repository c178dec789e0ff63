//! Stage durations and stage events: what a span's instants come to.
//!
//! The names are those that frameworks' own tracers use for the same moments. An instant that is not
//! known makes no event, and a stage with one end not known makes no duration.

use super::Level;
use crate::span::{Instants, Kind, Span};

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

/// The span's stages, in the order they happen; they never overlap. Where an answer begins before
/// the message it answers has ended, the stage of that message ends there, and nothing lies between.
pub fn stages(span: &Span) -> impl Iterator<Item = Stage> {
    let i = &span.instants;
    let stages = match span.kind {
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
    };
    stages.into_iter().flatten()
}

/// The end of a stage that the next one may cut short; 0 = not known.
fn earlier(end: u64, next: u64) -> u64 {
    match next {
        0 => end,
        next => end.min(next),
    }
}

/// Tells every event of the span with its time, in time order.
pub fn events(span: &Span, level: Level, each: impl FnMut(&'static str, u64)) {
    match span.kind {
        Kind::Server => tell(server(&span.instants), level, each),
        Kind::Client => tell(client(span), level, each),
    }
}

/// An event's name and time; 0 = not known.
type Event = (&'static str, u64);

/// Tells those of a span's list that are known and wanted. The first and the last are its start and
/// finish.
fn tell<const N: usize>(
    mut list: [Event; N],
    level: Level,
    mut each: impl FnMut(&'static str, u64),
) {
    let mut known = |(name, at): Event| {
        if at != 0 {
            each(name, at);
        }
    };
    match level {
        Level::Disabled => {}
        Level::Base => [list[0], list[N - 1]].into_iter().for_each(known),
        Level::Detailed => {
            // Stable, and nearly always in order already: equal instants keep the list's order.
            list.sort_by_key(|(_, at)| *at);
            list.into_iter().for_each(&mut known);
        }
    }
}

fn server(i: &Instants) -> [Event; 10] {
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

fn client(span: &Span) -> [Event; 12] {
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

/// What lies between the end of one message and the begin of its answer: nothing, if the answer
/// began first.
fn pair(end: u64, begin: u64) -> (u64, u64) {
    match begin != 0 && begin < end {
        true => (0, 0),
        false => (end, begin),
    }
}
