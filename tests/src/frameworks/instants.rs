//! Which instant of ours stands for which of a framework's, and what must hold between the two.
//!
//! The kernel stamps a transfer inside the system call, the framework before or after it. So whatever
//! the scheduler does, one of the two comes first; how far apart they are depends on the machine and is
//! measured by the benchmark `events`.

use super::Record;
use crate::span::Span;

/// The clocks' readings may differ by so much (ns): both are the machine's, but ours is boot time plus
/// an offset that was read in user space. A tenth of a scheduler's turn: more would hide a wrong instant.
pub const READING: u64 = 100_000;

/// Which of two instants comes first, whatever the scheduler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// What we saw lets the framework go on.
    Ours,
    /// The framework goes on to what we saw.
    Theirs,
    /// Two goroutines: either.
    Either,
}

/// An instant as we name it and as the framework names it.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Event of our span.
    pub ours: &'static str,
    /// Event of the framework's tracer.
    pub theirs: &'static str,
    /// Which comes first.
    pub first: First,
}

const fn ours(name: &'static str) -> Pair {
    named(name, name, First::Ours)
}

const fn theirs(name: &'static str) -> Pair {
    named(name, name, First::Theirs)
}

const fn named(ours: &'static str, theirs: &'static str, first: First) -> Pair {
    Pair {
        ours,
        theirs,
        first,
    }
}

/// Hertz' server.
pub const HERTZ: [Pair; 10] = [
    ours("http_start"),
    ours("read_header_start"),
    ours("read_header_finish"),
    ours("read_body_start"),
    ours("read_body_finish"),
    ours("server_handle_start"),
    theirs("server_handle_finish"),
    theirs("write_start"),
    ours("write_finish"),
    ours("http_finish"),
];

/// Kitex' server of Thrift and Protobuf.
pub const KITEX_SERVER: [Pair; 8] = [
    ours("rpc_start"),
    ours("read_start"),
    ours("read_finish"),
    ours("server_handle_start"),
    theirs("server_handle_finish"),
    theirs("write_start"),
    ours("write_finish"),
    ours("rpc_finish"),
];

/// Kitex' client of the same. It begins to read when it has written, and to wait when the first bytes of
/// the answer are there; we the other way round, as all our clients do.
pub const KITEX_CLIENT: [Pair; 9] = [
    theirs("rpc_start"),
    theirs("client_conn_start"),
    ours("client_conn_finish"),
    theirs("write_start"),
    ours("write_finish"),
    named("wait_read_start", "read_start", First::Ours),
    named("read_start", "wait_read_start", First::Ours),
    ours("read_finish"),
    ours("rpc_finish"),
];

/// Kitex' gRPC server: it starts with the header frame, and writes by a goroutine that may be done
/// before the handler's own says so.
pub const KITEX_GRPC_SERVER: [Pair; 4] = [
    ours("rpc_start"),
    named("server_handle_start", "server_handle_start", First::Either),
    named(
        "server_handle_finish",
        "server_handle_finish",
        First::Either,
    ),
    named("rpc_finish", "rpc_finish", First::Either),
];

/// Kitex' gRPC client.
pub const KITEX_GRPC_CLIENT: [Pair; 2] = [theirs("rpc_start"), ours("rpc_finish")];

/// A server's span of the OpenTelemetry SDK, whose handler answers once it is done.
pub const SDK_SERVER: [Pair; 2] = [ours("server_handle_start"), theirs("server_handle_finish")];

/// A client's.
pub const SDK_CLIENT: [Pair; 2] = [theirs("rpc_start"), ours("rpc_finish")];

/// Those instants of a pair that both sides know: the pair, ours, theirs.
pub fn known<'a>(
    pairs: &'a [Pair],
    span: &'a Span,
    record: &'a Record,
) -> impl Iterator<Item = (&'a Pair, u64, u64)> {
    pairs.iter().filter_map(|pair| {
        let (ours, theirs) = (span.event(pair.ours)?, record.event(pair.theirs)?);
        Some((pair, ours, theirs))
    })
}

/// Which instants are on the wrong side of the framework's.
pub fn wrong(pairs: &[Pair], span: &Span, record: &Record) -> Vec<String> {
    known(pairs, span, record)
        .filter(|(pair, ours, theirs)| match pair.first {
            First::Ours => *ours > theirs + READING,
            First::Theirs => *theirs > ours + READING,
            First::Either => false,
        })
        .map(|(pair, ours, theirs)| {
            let by = ours as i64 - theirs as i64;
            format!("ours of {pair:?} is {by} ns after theirs")
        })
        .collect()
}
