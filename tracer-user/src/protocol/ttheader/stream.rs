//! TTHeader streaming (kitex, pkg/remote/trans/ttstream): frames whose sequence id is that of their
//! stream.
//!
//! A stream is one exchange. The client's header frame opens it, data frames carry one message each,
//! a trailer ends its sender's side, and a reset ends it all and may say why, by an exception. Stream ids count upwards in the client's
//! process, and so may be negative; a connection never sees one twice.

use hashbrown::HashMap;

use super::FRAME_TYPE;
use crate::protocol::rpc::{self, Failure, Key};
use crate::protocol::thrift::begin::{Read, Short};
use crate::protocol::{Cause, Event, ExchangeId, Head, Incomplete, Side, Sizes};

/// What a frame is of, and for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Frame {
    pub stream: i32,
    pub kind: FrameKind,
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum FrameKind {
    /// For those in between.
    Meta,
    Header,
    Data,
    Trailer,
    Reset,
}

impl Frame {
    /// It ends its sender's side, and may say why.
    pub(in crate::protocol) fn ends(&self) -> bool {
        matches!(self.kind, FrameKind::Trailer | FrameKind::Reset)
    }
}

/// The frame of that stream with these fields.
pub(in crate::protocol) fn frame(stream: i32, fields: &[(Key, Vec<u8>)]) -> Read<Frame> {
    let kind = fields
        .iter()
        .find(|(key, _)| *key == Key::Number(FRAME_TYPE))
        .map(|(_, value)| &value[..]);
    let kind = match kind {
        Some(b"1") => FrameKind::Meta,
        Some(b"2") => FrameKind::Header,
        Some(b"3") => FrameKind::Data,
        Some(b"4") => FrameKind::Trailer,
        Some(b"5") => FrameKind::Reset,
        _ => return Err(Short::Bad),
    };
    Ok(Frame { stream, kind })
}

/// Streams of one connection at once. Kitex multiplexes a client's streams to a server over few
/// connections.
const STREAM_LIMIT: usize = 1024;

/// One stream.
#[derive(Debug)]
struct Stream {
    exchange: ExchangeId,
    /// What was seen of the client's side, and of the server's.
    ways: [Way; 2],
}

/// One side of a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// Its first frame was seen.
    begun: bool,
    /// Nothing more is said of it.
    over: bool,
    /// Bytes of its frames.
    wire: u64,
    /// Why frames of it may be missing.
    torn: Option<Incomplete>,
}

/// The streams of one connection.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Streams {
    open: HashMap<i32, Stream>,
    /// Why a stream may not be known.
    missed: Option<Incomplete>,
    /// Bytes of the content of each side's frame being read.
    content: [u64; 2],
    /// What it says that went wrong.
    failure: [Option<Failure>; 2],
}

impl Streams {
    /// Nothing was seen yet. `midway`: streams may have begun before.
    pub(in crate::protocol) fn new(midway: bool) -> Streams {
        Streams {
            missed: midway.then_some(Incomplete::AttachedMidway),
            ..Streams::default()
        }
    }

    /// Bytes held.
    pub(in crate::protocol) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<(i32, Stream)>()
    }

    /// Whether that frame of the client's begins a stream.
    pub(in crate::protocol) fn opens(&self, frame: Frame) -> bool {
        matches!(frame.kind, FrameKind::Meta | FrameKind::Header)
            && !self.open.contains_key(&frame.stream)
    }

    /// A stream begins. One too many is not followed.
    pub(in crate::protocol) fn open(
        &mut self,
        stream: i32,
        exchange: ExchangeId,
        out: &mut Vec<Event>,
    ) {
        if self.open.len() >= STREAM_LIMIT {
            for side in [Side::Request, Side::Response] {
                out.push(incomplete(exchange, side, Incomplete::Evicted));
            }
            return;
        }
        let ways = [Way::default(); 2];
        self.open.insert(stream, Stream { exchange, ways });
    }

    /// How long the content of the frame is that this side sends now.
    pub(in crate::protocol) fn content(&mut self, side: Side, bytes: u64) {
        self.content[side as usize] = bytes;
    }

    /// A frame's head is complete.
    pub(in crate::protocol) fn head(
        &mut self,
        frame: Frame,
        side: Side,
        head: Box<rpc::Head>,
        out: &mut Vec<Event>,
    ) {
        self.failure[side as usize] = head.failure.clone();
        let Some(stream) = self.open.get_mut(&frame.stream) else {
            return;
        };
        let (exchange, way) = (stream.exchange, &mut stream.ways[side as usize]);
        if way.over {
            return;
        }
        let first = !std::mem::replace(&mut way.begun, true);
        match side {
            Side::Request if first => {
                out.push(Event::RequestHead(exchange, Head::Rpc(head)));
            }
            Side::Request => {}
            Side::Response => {
                if first {
                    out.push(Event::ResponseStarted(exchange));
                }
                let tells = frame.kind == FrameKind::Trailer
                    && (head.failure.is_some() || head.text("biz-status").is_some());
                if first || tells {
                    out.push(Event::ResponseHead(exchange, Head::Rpc(head)));
                }
            }
        }
    }

    /// A frame's last byte was read.
    pub(in crate::protocol) fn ended(
        &mut self,
        frame: Frame,
        side: Side,
        sizes: Sizes,
        out: &mut Vec<Event>,
    ) {
        let Some(stream) = self.open.get_mut(&frame.stream) else {
            if let (FrameKind::Trailer, Side::Response, Some(reason)) =
                (frame.kind, side, self.missed)
            {
                out.push(Event::Incomplete {
                    exchange: None,
                    side,
                    reason,
                });
            }
            return;
        };
        let exchange = stream.exchange;
        let way = &mut stream.ways[side as usize];
        way.wire = way.wire.saturating_add(sizes.wire);
        // Who has sent all may still give up the answer.
        if way.over && frame.kind != FrameKind::Reset {
            return;
        }
        if !way.begun {
            // Its head came before the client's first frame did: the begin of this side was not seen.
            let reason = self.missed.unwrap_or(Incomplete::Malformed);
            way.torn = way.torn.or(Some(reason));
            if !matches!(frame.kind, FrameKind::Trailer | FrameKind::Reset) {
                return;
            }
        }
        match frame.kind {
            FrameKind::Meta | FrameKind::Header => {}
            FrameKind::Data => out.push(Event::Message {
                exchange,
                side,
                size: self.content[side as usize],
            }),
            FrameKind::Trailer => {
                way.over = true;
                let sizes = Sizes {
                    wire: way.wire,
                    body: None,
                };
                out.push(match (way.torn, side) {
                    (Some(reason), side) => incomplete(exchange, side, reason),
                    (None, Side::Request) => Event::RequestEnded(exchange, sizes),
                    (None, Side::Response) => Event::ResponseEnded(exchange, sizes),
                });
            }
            FrameKind::Reset => {
                let failure = self.failure[side as usize].take();
                out.push(Event::Reset {
                    exchange,
                    side,
                    cause: Cause::Failure(failure.map(Box::new)),
                });
                for side in [Side::Request, Side::Response] {
                    let way = &mut stream.ways[side as usize];
                    if !std::mem::replace(&mut way.over, true) {
                        out.push(incomplete(exchange, side, Incomplete::StreamReset));
                    }
                }
            }
        }
        if stream.ways.iter().all(|way| way.over) {
            self.open.remove(&frame.stream);
        }
    }

    /// Frames of that side may be missing, of any stream.
    pub(in crate::protocol) fn tear(&mut self, side: Side, reason: Incomplete) {
        self.missed = self.missed.or(Some(reason));
        for stream in self.open.values_mut() {
            let torn = &mut stream.ways[side as usize].torn;
            *torn = torn.or(Some(reason));
        }
    }

    /// That side's stream of bytes is over.
    pub(in crate::protocol) fn end(
        &mut self,
        side: Side,
        reason: Incomplete,
        out: &mut Vec<Event>,
    ) {
        let mut cut: Vec<_> = self
            .open
            .values_mut()
            .filter(|stream| !stream.ways[side as usize].over)
            .map(|stream| {
                let way = &mut stream.ways[side as usize];
                way.over = true;
                (stream.exchange, way.torn.unwrap_or(reason))
            })
            .collect();
        cut.sort_unstable_by_key(|(exchange, _)| *exchange);
        let cut = cut.into_iter();
        out.extend(cut.map(|(exchange, reason)| incomplete(exchange, side, reason)));
        self.open
            .retain(|_, stream| stream.ways.iter().any(|way| !way.over));
    }
}

fn incomplete(exchange: ExchangeId, side: Side, reason: Incomplete) -> Event {
    Event::Incomplete {
        exchange: Some(exchange),
        side,
        reason,
    }
}
