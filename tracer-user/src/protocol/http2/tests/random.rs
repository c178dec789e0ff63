//! Random connections: cut anywhere, captured in part, with transfers lost, and plain garbage.

use httlib_hpack::Encoder;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::protocol::http2::HEAD_LIMIT;
use crate::protocol::tests::anything::{account, anything};
use crate::protocol::tests::ledger::{Ledger, Progress};
use crate::protocol::tests::line::{ALL, Line, cut};

/// A message to be made up: its DATA, and what follows.
#[derive(Clone, Debug)]
struct Shape {
    /// Fields besides those every message has.
    fields: Vec<(u8, u8)>,
    /// Payloads' lengths, and padding.
    data: Vec<(usize, Option<u8>)>,
    trailers: bool,
    /// The DATA is gRPC's: a message of each length, cut anywhere.
    grpc: bool,
    /// The header block is cut into so many frames.
    frames: usize,
    interim: bool,
}

fn shape(most: usize) -> impl Strategy<Value = Shape> {
    (
        proptest::collection::vec((0..12u8, 0..40u8), 0..6),
        proptest::collection::vec((0..most, proptest::option::weighted(0.2, 0..9u8)), 0..4),
        any::<bool>(),
        any::<bool>(),
        1..4usize,
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(fields, data, trailers, grpc, frames, interim)| Shape {
            fields,
            data,
            trailers,
            grpc,
            frames,
            interim,
        })
}

/// Every form a field can be sent in.
const FORMS: [u8; 5] = [
    0,
    Encoder::HUFFMAN_NAME | Encoder::HUFFMAN_VALUE,
    Encoder::WITH_INDEXING | Encoder::BEST_FORMAT,
    Encoder::WITH_INDEXING | Encoder::BEST_FORMAT | Encoder::HUFFMAN_VALUE,
    Encoder::NEVER_INDEXED | Encoder::HUFFMAN_NAME,
];

/// One side of a connection, as it is sent: the messages' frames, mixed.
struct Sender {
    side: Side,
    encoder: Encoder<'static>,
    /// What each message is to send yet.
    left: Vec<Vec<Piece>>,
    sizes: Vec<(u64, u64)>,
}

/// What goes out at once.
#[derive(Clone, Debug)]
enum Piece {
    /// A header block's fields, in so many frames; whether the stream ends.
    Block(Vec<(Vec<u8>, Vec<u8>, u8)>, usize, bool, bool),
    Data(Vec<u8>, bool, u64),
}

impl Sender {
    fn new(side: Side, shapes: &[Shape]) -> Sender {
        let left = shapes.iter().enumerate();
        Sender {
            side,
            encoder: Encoder::default(),
            left: left.map(|(n, shape)| pieces(side, n, shape)).collect(),
            sizes: vec![(0, 0); shapes.len()],
        }
    }

    /// The next frames of message `n`; empty: there are no more.
    fn next(&mut self, n: usize) -> Vec<u8> {
        if self.left[n].is_empty() {
            return Vec::new();
        }
        let stream = 2 * n as u32 + 1;
        let (bytes, body, counts) = match self.left[n].remove(0) {
            Piece::Block(fields, frames, ends, counts) => {
                let mut block = Vec::new();
                for field in fields {
                    self.encoder.encode(field, &mut block).expect("a field");
                }
                (blocks(stream, &block, frames, ends), 0, counts)
            }
            Piece::Data(payload, ends, body) => {
                let flags = if body < payload.len() as u64 {
                    PADDED
                } else {
                    0
                };
                (data(flags | u8::from(ends), stream, payload), body, true)
            }
        };
        if counts {
            self.sizes[n].0 += bytes.len() as u64;
            self.sizes[n].1 += body;
        }
        bytes
    }
}

/// A header block in that many frames.
fn blocks(stream: u32, block: &[u8], frames: usize, ends: bool) -> Vec<u8> {
    let size = block.len().div_ceil(frames).max(1);
    let mut parts = block.chunks(size).peekable();
    let mut bytes = Vec::new();
    let mut first = true;
    while let Some(part) = parts.next() {
        let last = if parts.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        let end = u8::from(first && ends);
        bytes.extend(frame(if first { 1 } else { 9 }, last | end, stream, part));
        first = false;
    }
    bytes
}

fn pieces(side: Side, n: usize, shape: &Shape) -> Vec<Piece> {
    let field = |name: &str, value: &str, form: u8| {
        (name.as_bytes().to_vec(), value.as_bytes().to_vec(), form)
    };
    let number = n.to_string();
    let best = Encoder::BEST_FORMAT | Encoder::WITH_INDEXING;
    let mut head = match side {
        Side::Request => vec![
            field(":method", "POST", best),
            field(":scheme", "http", best),
            field(":path", &format!("/{number}"), FORMS[n % FORMS.len()]),
        ],
        Side::Response => vec![field(":status", "200", best)],
    };
    if shape.grpc {
        head.push(field("content-type", "application/grpc+proto", best));
    }
    if side == Side::Response {
        head.push(field("number", &number, FORMS[n % FORMS.len()]));
    }
    for (name, value) in &shape.fields {
        let form = FORMS[usize::from(*value) % FORMS.len()];
        head.push(field(
            &format!("name-{name}"),
            &format!("value {value}"),
            form,
        ));
    }
    let ends = shape.data.is_empty() && !shape.trailers;
    let mut pieces = Vec::new();
    if shape.interim && side == Side::Response {
        let interim = vec![field(":status", "103", best), field("link", "</x>", best)];
        pieces.push(Piece::Block(interim, 1, false, false));
    }
    pieces.push(Piece::Block(head, shape.frames, ends, true));
    let contents = contents(shape);
    for (at, (content, padding)) in contents.iter().enumerate() {
        let last = at + 1 == shape.data.len() && !shape.trailers;
        let mut payload: Vec<u8> = padding.iter().copied().collect();
        payload.extend(content);
        payload.extend(std::iter::repeat_n(0, padding.unwrap_or(0).into()));
        pieces.push(Piece::Data(payload, last, content.len() as u64));
    }
    if shape.trailers {
        let trailers = vec![
            field("grpc-status", "0", best),
            field("trailer", &number, best),
        ];
        pieces.push(Piece::Block(trailers, 1, true, true));
    }
    pieces
}

/// What each DATA frame carries, and its padding.
fn contents(shape: &Shape) -> Vec<(Vec<u8>, Option<u8>)> {
    if !shape.grpc {
        let content = |(length, padding): &(usize, _)| (vec![b'x'; *length], *padding);
        return shape.data.iter().map(content).collect();
    }
    let mut all = Vec::new();
    for (length, _) in &shape.data {
        all.push(0);
        all.extend((*length as u32).to_be_bytes());
        all.extend(vec![b'x'; *length]);
    }
    let frames = shape.data.len();
    let part = |n: usize| all[all.len() * n / frames..all.len() * (n + 1) / frames].to_vec();
    let paddings = shape.data.iter().map(|(_, padding)| *padding);
    paddings
        .enumerate()
        .map(|(n, padding)| (part(n), padding))
        .collect()
}

/// The sizes of the messages there are.
fn messages(shape: &Shape) -> Vec<u64> {
    match shape.grpc {
        true => shape
            .data
            .iter()
            .map(|(length, _)| *length as u64)
            .collect(),
        false => Vec::new(),
    }
}

/// What is sent, in order: whose message goes on in each step.
fn transfers(
    requests: &mut Sender,
    responses: &mut Sender,
    count: usize,
    order: &[(bool, Index)],
) -> Vec<(Side, Vec<u8>)> {
    let mut transfers = vec![
        (Side::Request, [PREFACE, SETTINGS].concat()),
        (Side::Response, SETTINGS.to_vec()),
    ];
    // Streams open in order; a response follows its request's begin.
    let (mut opened, mut started) = (0, vec![false; count]);
    for (answers, which) in order {
        let sender = if *answers {
            &mut *responses
        } else {
            &mut *requests
        };
        let n = match answers {
            false => which.index((opened + 1).min(count)),
            true if opened == 0 => continue,
            true => which.index(opened),
        };
        if !*answers && n == opened {
            opened += 1;
            started[n] = true;
        }
        let bytes = sender.next(n);
        if !bytes.is_empty() {
            transfers.push((sender.side, bytes));
        }
    }
    for n in 0..count {
        for sender in [&mut *requests, &mut *responses] {
            loop {
                let bytes = sender.next(n);
                if bytes.is_empty() {
                    break;
                }
                transfers.push((sender.side, bytes));
            }
        }
    }
    transfers
}

fn order() -> impl Strategy<Value = Vec<(bool, Index)>> {
    proptest::collection::vec((any::<bool>(), any::<Index>()), 0..60)
}

/// Carries the transfers, of which some are lost.
fn carry(
    transfers: &[(Side, Vec<u8>)],
    cuts: &[u16],
    captured: (usize, usize),
    midway: bool,
    lose: impl Fn(usize) -> bool,
) -> (Ledger, Http2) {
    let mut wire = Http2::new(midway);
    let mut ledger = Ledger::default();
    let (mut asks, mut answers) = (Line::new(Side::Request), Line::new(Side::Response));
    let mut count = 0;
    for (side, bytes) in transfers {
        let line = match side {
            Side::Request => &mut asks,
            Side::Response => &mut answers,
        };
        for piece in cut(bytes, cuts) {
            let lost = lose(count);
            let what = if lost { "lost" } else { "" };
            ledger
                .log
                .push(format!("{side:?} {what} {}", piece.escape_ascii()));
            ledger.enter(line.transfer(piece, captured, lost, &mut wire));
            count += 1;
        }
    }
    let mut events = Vec::new();
    for side in [Side::Request, Side::Response] {
        wire.end(side, Incomplete::ConnectionClosed, &mut events);
    }
    ledger.enter(events);
    ledger.close();
    (ledger, wire)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// With nothing lost every exchange is whole, its sizes exact, wherever the streams are cut.
    #[test]
    fn sizes_are_exact(
        shapes in proptest::collection::vec((shape(300), shape(300)), 1..8),
        order in order(),
        cuts in proptest::collection::vec(0..1000u16, 0..5),
    ) {
        let (asked, answered): (Vec<_>, Vec<_>) = shapes.iter().cloned().unzip();
        let mut requests = Sender::new(Side::Request, &asked);
        let mut responses = Sender::new(Side::Response, &answered);
        let transfers = transfers(&mut requests, &mut responses, shapes.len(), &order);
        let (ledger, wire) = carry(&transfers, &cuts, ALL, false, |_| false);
        prop_assert_eq!(ledger.exchanges.len(), shapes.len());
        for (n, exchange) in &ledger.exchanges {
            let sizes = |progress| match progress {
                Progress::Ended(sizes) => (sizes.wire, sizes.body.unwrap_or(u64::MAX)),
                other => panic!("{other:?}"),
            };
            let n = *n as usize;
            prop_assert_eq!(exchange.asked, Some(n as u32));
            prop_assert_eq!(exchange.answered, Some(n as u32));
            prop_assert_eq!(sizes(exchange.request), requests.sizes[n]);
            prop_assert_eq!(sizes(exchange.response), responses.sizes[n]);
            prop_assert_eq!(exchange.trailers, shapes[n].1.trailers);
            let expected = [messages(&shapes[n].0), messages(&shapes[n].1)];
            prop_assert_eq!(&exchange.messages, &expected);
        }
        prop_assert_eq!(wire.streams.len(), 0);
    }

    /// Whatever is lost: no wrong pair, no wrong size, every message accounted for.
    #[test]
    fn losses_make_no_wrong_pair(
        shapes in proptest::collection::vec((shape(3000), shape(3000)), 1..8),
        order in order(),
        cuts in proptest::collection::vec(0..1000u16, 0..3),
        lost in proptest::collection::vec(proptest::bool::weighted(0.1), 400),
        whole in any::<bool>(),
        skip in 0..10usize,
    ) {
        let (asked, answered): (Vec<_>, Vec<_>) = shapes.iter().cloned().unzip();
        let mut requests = Sender::new(Side::Request, &asked);
        let mut responses = Sender::new(Side::Response, &answered);
        let transfers = transfers(&mut requests, &mut responses, shapes.len(), &order);
        let skip = skip.min(transfers.len() - 1);
        let captured = if whole { ALL } else { (256, 1024) };
        let midway = skip > 0;
        let lose = |n: usize| lost[n % lost.len()];
        let (ledger, _) = carry(&transfers[skip..], &cuts, captured, midway, lose);
        for exchange in ledger.exchanges.values() {
            // Messages are counted until one is hidden.
            if let Some(n) = exchange.asked {
                let expected = messages(&shapes[n as usize].0);
                prop_assert!(expected.starts_with(&exchange.messages[0]), "{:#?}", ledger.log);
            }
            if let Some(n) = exchange.answered {
                let expected = messages(&shapes[n as usize].1);
                prop_assert!(expected.starts_with(&exchange.messages[1]), "{:#?}", ledger.log);
            }
            if let (Some(n), Progress::Ended(sizes)) = (exchange.asked, exchange.request) {
                prop_assert_eq!(sizes.wire, requests.sizes[n as usize].0, "{:#?}", ledger.log);
                prop_assert!(sizes.body.is_none_or(|body| body == requests.sizes[n as usize].1));
            }
            if let (Some(n), Progress::Ended(sizes)) = (exchange.answered, exchange.response) {
                prop_assert_eq!(sizes.wire, responses.sizes[n as usize].0, "{:#?}", ledger.log);
                prop_assert!(sizes.body.is_none_or(|body| body == responses.sizes[n as usize].1));
            }
        }
    }

    /// Anything at all, in any order: no panic, every message accounted for, memory bounded.
    #[test]
    fn garbage_is_accounted_for(
        inputs in proptest::collection::vec(anything(30, bytes()), 0..200),
        midway in any::<bool>(),
    ) {
        let wire = Http2::new(midway);
        account(wire, &inputs, |wire| {
            assert!(wire.requests.memory() + wire.responses.memory() <= 6 * HEAD_LIMIT);
        });
    }
}

/// Bytes that look like messages, now and then, and others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let payloads: Vec<&[u8]> = vec![
        b"",
        GET,
        CALL,
        OK,
        OK_GRPC,
        STATUS,
        b"\x08\x03103",
        b"\x40\x01a\x01b\xbe",
        b"\x20\x3f\xe1\x1f\x82",
        b"\xff\xff\xff\xff\x0f",
        b"\0\0\0\0\x03abc\x01\0\0\0\0",
        b"\0\0\0\x08",
        b"\x7f\xff\xff\xff\0\0\0\0",
        b"\0\0\0\x01\0\0\0\0",
        b"\x02xx\0\0",
    ];
    let frames = (0..11u8, any::<u8>(), 0..8u32, select(payloads))
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags & 0x2d, stream, payload));
    let cut_off = (frames.clone(), 0..30usize).prop_map(|(mut bytes, n)| {
        bytes.truncate(n);
        bytes
    });
    let mixed = proptest::collection::vec(frames, 1..6).prop_map(|frames| frames.concat());
    let random = proptest::collection::vec(any::<u8>(), 0..40);
    let long =
        (select(b"x\0\x41\x40\xff".to_vec()), 1000..80_000usize).prop_map(|(b, n)| vec![b; n]);
    prop_oneof![
        20 => mixed,
        5 => cut_off,
        2 => random,
        1 => long,
        2 => Just(PREFACE.to_vec()),
    ]
}
