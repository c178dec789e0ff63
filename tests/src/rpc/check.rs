//! Compares spans with the calls they are of: each call one client span and one server span, every
//! fact exact.

use std::collections::{HashMap, HashSet};

use super::{Call, Done};
use crate::check::{CLOCK, SHOWN};
use crate::span::{CLIENT, SERVER, Span, Value};

/// The processes that were traced.
#[derive(Clone, Copy, Debug)]
pub struct Pids {
    /// None: the client was not.
    pub client: Option<u32>,
    /// None: the server was not.
    pub server: Option<u32>,
}

/// What the spans of a call must say.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The spans' name.
    pub name: String,
    /// Attributes of both.
    pub both: Vec<(&'static str, Value)>,
    /// Attributes of the client's, besides; its `error.type` tells whether its status is an error.
    pub client: Vec<(&'static str, Value)>,
    /// Attributes of the server's, likewise.
    pub server: Vec<(&'static str, Value)>,
    /// Which events there must be.
    pub events: Events,
}

/// The events of a call's spans, at the `detailed` level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Events {
    /// A request, an answer.
    #[default]
    Rpc,
    /// The same, of a client that ends its request in a write of its own: the answer may come first, and
    /// then nothing shows when the request was done.
    EndsLater,
    /// The same, where the server answers without reading the request: the answer may even come before the
    /// client has sent it whole. Then the client resets the stream and nothing shows how far it came.
    Unread,
    /// A request that is not answered.
    Oneway,
    /// Messages to and fro, as many and as large as the call says.
    Stream,
    /// HTTP's.
    Http,
    /// Any: one side gave the call up, and nobody can say how far it came.
    GivenUp,
}

impl Events {
    /// What became of it, where that is not the same each time.
    fn of(self, span: &Span) -> Events {
        match self {
            Events::Unread if span.text("tracer.incomplete") == "stream_reset" => Events::GivenUp,
            Events::Unread => Events::EndsLater,
            events => events,
        }
    }
}

impl Facts {
    /// The value of a text attribute.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }
}

const RPC_SERVER: [&str; 8] = [
    "rpc_start",
    "read_start",
    "read_finish",
    "server_handle_start",
    "server_handle_finish",
    "write_start",
    "write_finish",
    "rpc_finish",
];
const RPC_CLIENT: [&str; 8] = [
    "rpc_start",
    "write_start",
    "write_finish",
    "wait_read_start",
    "wait_read_finish",
    "read_start",
    "read_finish",
    "rpc_finish",
];
const EARLY_SERVER: [&str; 6] = [
    "rpc_start",
    "read_start",
    "server_handle_finish",
    "write_start",
    "write_finish",
    "rpc_finish",
];
const EARLY_CLIENT: [&str; 6] = [
    "rpc_start",
    "write_start",
    "wait_read_finish",
    "read_start",
    "read_finish",
    "rpc_finish",
];
/// When it is handled, nothing shows.
const ONEWAY_SERVER: [&str; 5] = [
    "rpc_start",
    "read_start",
    "read_finish",
    "server_handle_start",
    "rpc_finish",
];
const ONEWAY_CLIENT: [&str; 4] = ["rpc_start", "write_start", "write_finish", "rpc_finish"];

/// Panics unless `spans` are exactly those of `calls`: every call once on each traced side, nothing
/// else, each with its ids, its parent, its facts and its events. Calls without a trace context must
/// have been made one after the other: their order tells which is which.
#[track_caller]
pub fn exact(
    spans: &[Span],
    calls: &[Call],
    done: &[Done],
    pids: Pids,
    facts: impl Fn(&Call, &Done) -> Facts,
) {
    assert_eq!(calls.len(), done.len(), "calls that came to an end");
    let mut wrong = Vec::new();
    let clients = of_calls(
        spans,
        CLIENT,
        pids.client,
        calls,
        &HashMap::new(),
        &mut wrong,
    );
    let parents = clients.iter().map(|(id, span)| (&span.span_id[..], *id));
    let parents = parents.collect();
    let servers = of_calls(spans, SERVER, pids.server, calls, &parents, &mut wrong);
    for (call, done) in std::iter::zip(calls, done) {
        assert_eq!(
            call.id, done.id,
            "calls and what came of them, in one order"
        );
        let facts = facts(call, done);
        let client = clients.get(&call.id).copied();
        let server = servers.get(&call.id).copied();
        let mut differences = Vec::new();
        if let Some(span) = client {
            differences.extend(self::client(span, call, done, &facts));
        }
        if let Some(span) = server {
            differences.extend(self::server(span, client, (call, done), &facts));
        }
        if !differences.is_empty() {
            wrong.push(format!(
                "{differences:#?} in {client:?} and {server:?} of {call:?}, {done:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} calls ({} spans) are wrong, such as:\n{}",
        wrong.len(),
        calls.len(),
        spans.len(),
        wrong[..wrong.len().min(SHOWN)].join("\n")
    );
}

/// The one span of that kind of each call, by the call's id; `parents`: the call of each span that is
/// known to be of one.
fn of_calls<'a>(
    spans: &'a [Span],
    kind: i32,
    pid: Option<u32>,
    calls: &[Call],
    parents: &HashMap<&str, usize>,
    wrong: &mut Vec<String>,
) -> HashMap<usize, &'a Span> {
    let mut found = HashMap::new();
    let mut spans: Vec<&Span> = spans.iter().filter(|span| span.kind == kind).collect();
    spans.sort_by_key(|span| span.start);
    let Some(pid) = pid else {
        wrong.extend(
            spans
                .iter()
                .map(|span| format!("of nobody traced: {span:?}")),
        );
        return found;
    };
    let ids: HashMap<String, usize> = calls
        .iter()
        .filter(|call| !call.traceparent.is_empty())
        .map(|call| (call.trace_id(), call.id))
        .collect();
    let mut nameless = calls.iter().filter(|call| call.traceparent.is_empty());
    for span in spans {
        let id = ids.get(&span.trace_id).copied();
        // A oneway call may begin to be served after the next.
        let id = id.or_else(|| match parents.is_empty() {
            true => nameless.next().map(|call| call.id),
            false => parents.get(&span.parent[..]).copied(),
        });
        match id {
            _ if span.pid() != Some(pid.into()) => wrong.push(format!("not of {pid}: {span:?}")),
            None => wrong.push(format!("of no call: {span:?}")),
            Some(id) => {
                if let Some(other) = found.insert(id, span) {
                    wrong.push(format!("two of call {id}: {span:?} {other:?}"));
                }
            }
        }
    }
    for call in calls.iter().filter(|call| !found.contains_key(&call.id)) {
        wrong.push(format!("no span of kind {kind} of {call:?}"));
    }
    found
}

/// What a client's span says of its call that is not so.
fn client(span: &Span, call: &Call, done: &Done, facts: &Facts) -> Vec<String> {
    let mut wrong = Differences::default();
    propagated(span, call, &mut wrong);
    common(span, facts, &facts.client, &mut wrong);
    events(span, call, done, facts.events.of(span), &mut wrong);
    if span.start + CLOCK < done.began {
        wrong.add(format!("it starts before {}", done.began));
    }
    // What was given up may go on for a while on the wire; nobody waits for it.
    let nobody_waits = matches!(facts.events.of(span), Events::GivenUp | Events::Oneway);
    if !nobody_waits && span.end > done.ended + CLOCK {
        wrong.add(format!("it ends after {}", done.ended));
    }
    wrong.0
}

/// What a server's span says of its call that is not so.
fn server(
    span: &Span,
    client: Option<&Span>,
    (call, done): (&Call, &Done),
    facts: &Facts,
) -> Vec<String> {
    let mut wrong = Differences::default();
    match client {
        None => propagated(span, call, &mut wrong),
        Some(client) => {
            wrong.compare("trace id", &span.trace_id, &client.trace_id);
            wrong.compare("parent", &span.parent, &client.span_id);
            let source = span.text("tracer.parent.source");
            wrong.compare("parent source", source, "connection");
            if span.start + CLOCK < client.start {
                wrong
                    .0
                    .push("the server's starts before the client's".into());
            }
        }
    }
    common(span, facts, &facts.server, &mut wrong);
    events(span, call, done, facts.events.of(span), &mut wrong);
    wrong.0
}

/// The parent is what the call carried; none where it carried nothing.
fn propagated(span: &Span, call: &Call, wrong: &mut Differences) {
    let source = span.text("tracer.parent.source");
    if call.traceparent.is_empty() {
        wrong.compare("parent", &span.parent, "");
        wrong.compare("parent source", source, "");
    } else {
        wrong.compare("trace id", &span.trace_id, &call.trace_id());
        wrong.compare("parent", &span.parent, &call.parent());
        wrong.compare("parent source", source, "propagated");
        let format = span.text("tracer.context.format");
        wrong.compare("context format", format, "w3c");
    }
}

fn common(span: &Span, facts: &Facts, own: &[(&str, Value)], wrong: &mut Differences) {
    wrong.compare("name", &span.name, &facts.name);
    for (name, value) in facts.both.iter().chain(own) {
        let is = format!("{:?}", span.attributes.get(*name));
        wrong.compare(name, &is, &format!("{:?}", Some(value)));
    }
    let says = |name| own.iter().any(|(known, _)| *known == name);
    // Of a call that was given up, whoever was first to say so decides how it ended.
    let open = facts.events.of(span) == Events::GivenUp;
    if !says("error.type") && !open {
        wrong.compare("error.type", span.text("error.type"), "");
    }
    let well = span.text("error.type").is_empty();
    let status = if well { "0" } else { "2" };
    wrong.compare("span status", &span.status.to_string(), status);
    let incomplete = span.text("tracer.incomplete");
    if !(says("tracer.incomplete") || open && CUT_OFF.contains(&incomplete)) {
        wrong.compare("incomplete", incomplete, "");
    }
}

/// How a call that was given up may have ended: the client may be gone before it says so.
const CUT_OFF: [&str; 2] = ["stream_reset", "connection_closed"];

fn events(span: &Span, call: &Call, done: &Done, events: Events, wrong: &mut Differences) {
    if !span.events.is_sorted_by_key(|(_, time)| time) {
        wrong.add("events are not in time order");
    }
    // Connecting comes before what is sent.
    let own = |(name, _): &&(String, u64)| !name.starts_with("client_conn_");
    let own: Vec<&(String, u64)> = span.events.iter().filter(own).collect();
    let times = (
        own.first().map(|event| event.1),
        own.last().map(|event| event.1),
    );
    if times.0 != Some(span.start) {
        wrong.add("the first event is not the span's start");
    }
    if times.1 != Some(span.end) && events != Events::GivenUp {
        wrong.add("the last event is not the span's end");
    }
    let names: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
    let is_server = span.kind == SERVER;
    // Nothing lies between the two messages: the stage that would is not told either.
    let between = if is_server { "handle" } else { "wait" };
    let early = span.double(&format!("tracer.stage.{between}")).is_none();
    let wanted: &[&str] = match events {
        Events::EndsLater if early && is_server => &EARLY_SERVER,
        Events::EndsLater if early => &EARLY_CLIENT,
        Events::Rpc | Events::EndsLater if is_server => &RPC_SERVER,
        Events::Rpc | Events::EndsLater => &RPC_CLIENT,
        Events::Oneway if is_server => &ONEWAY_SERVER,
        Events::Oneway => &ONEWAY_CLIENT,
        Events::Stream => return messages(span, call, done, &names, wrong),
        Events::Http | Events::GivenUp | Events::Unread => return,
    };
    wrong.compare("events", &format!("{names:?}"), &format!("{wanted:?}"));
}

/// The messages of a stream: each once, in its side's order, with its number and size.
fn messages(span: &Span, call: &Call, done: &Done, names: &[&str], wrong: &mut Differences) {
    let (sent, received) = match span.kind {
        CLIENT => (&call.send, &done.got),
        _ => (&done.got, &call.send),
    };
    for (name, sizes) in [("stream_send", sent), ("stream_recv", received)] {
        let told: Vec<(i64, i64)> = std::iter::zip(&span.events, &span.details)
            .filter(|((event, _), _)| event == name)
            .map(|(_, details)| {
                let int = |name| match details.get(name) {
                    Some(Value::Int(int)) => *int,
                    _ => -1,
                };
                (int("rpc.message.id"), int("rpc.message.compressed_size"))
            })
            .collect();
        let wanted: Vec<(i64, i64)> = (1..).zip(sizes.iter().map(|size| *size as i64)).collect();
        wrong.compare(name, &format!("{told:?}"), &format!("{wanted:?}"));
    }
    wrong.compare("first event", names.first().unwrap_or(&""), "stream_start");
    wrong.compare("last event", names.last().unwrap_or(&""), "stream_finish");
    let headers = names.iter().filter(|name| **name == "stream_recv_header");
    wrong.compare("stream_recv_header", &headers.count().to_string(), "1");
}

/// Panics unless `spans` are exactly the server spans of a load of so many calls, each with the
/// trace context made of its number.
#[track_caller]
pub fn load(spans: &[Span], calls: usize) {
    let mut numbers = HashSet::new();
    let mut wrong = Vec::new();
    for span in spans {
        let number = usize::from_str_radix(&span.trace_id, 16).unwrap_or(0);
        let right = (1..=calls).contains(&number)
            && numbers.insert(number)
            && span.kind == SERVER
            && span.parent == format!("{number:016x}")
            && span.name == "test.Echo/Unary"
            && span.text("rpc.response.status_code") == "OK"
            && span.text("tracer.incomplete").is_empty();
        if !right {
            wrong.push(format!("{span:?}"));
        }
    }
    assert!(
        wrong.is_empty() && numbers.len() == calls,
        "{} calls have a right span of {calls}; {} are wrong, such as:\n{}",
        numbers.len(),
        wrong.len(),
        wrong[..wrong.len().min(SHOWN)].join("\n")
    );
}

#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, what: &str, is: &str, should: &str) {
        if is != should {
            self.add(format!("{what} is {is}, should be {should}"));
        }
    }

    fn add(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }
}
