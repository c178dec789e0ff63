//! Many exchanges at once on one connection, as HTTP/2 has them: which is which, and whose.

use proptest::prelude::*;

use super::*;
use crate::context::SpanId;
use crate::protocol::Side;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field as it stands, without a table (RFC 7541, section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.bytes());
    bytes
}

fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let block: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect();
    frame(1, flags | END_HEADERS, stream, &block)
}

/// Call number `n`, from 0, with its own parent.
fn call(n: u32) -> Vec<Vec<u8>> {
    let path = format!("/s/{n}");
    let parent = format!("00-{:032x}-{:016x}-01", sent_trace(n), sent_span(n));
    let stream = 2 * n + 1;
    let head = headers(
        0,
        stream,
        &[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", &path),
            ("content-type", "application/grpc"),
            ("traceparent", &parent),
        ],
    );
    let mut message = vec![0, 0, 0, 0, (n % 100) as u8];
    message.extend(vec![b'q'; (n % 100) as usize]);
    vec![head, frame(0, END_STREAM, stream, &message)]
}

/// Its answer.
fn answer(n: u32) -> Vec<Vec<u8>> {
    let stream = 2 * n + 1;
    let head = headers(
        0,
        stream,
        &[(":status", "200"), ("content-type", "application/grpc")],
    );
    let code = (n % 17).to_string();
    vec![
        head,
        frame(0, 0, stream, &[0, 0, 0, 0, 1, b'a']),
        headers(END_STREAM, stream, &[("grpc-status", &code)]),
    ]
}

fn sent_trace(n: u32) -> u128 {
    0xabc_0000 + u128::from(n)
}

fn sent_span(n: u32) -> u64 {
    0xdef_0000 + u64::from(n)
}

/// A frame and who sends it.
type Sent = (Side, Vec<u8>);

/// What the frames of that many calls may come to, in any order of streams: frames of one stream stay
/// in order, and requests begin in the order of their numbers.
fn interleaved(calls: u32, mut pick: impl FnMut(usize) -> usize) -> Vec<Sent> {
    let mut ready: Vec<Vec<Sent>> = Vec::new();
    let mut next = 0;
    let mut order = Vec::new();
    loop {
        let choices = ready.len() + usize::from(next < calls);
        if choices == 0 {
            return order;
        }
        let choice = pick(choices);
        if choice == ready.len() {
            let asked = call(next).into_iter().map(|frame| (Side::Request, frame));
            let answered = answer(next)
                .into_iter()
                .map(|frame| (Side::Response, frame));
            let mut frames: Vec<_> = asked.chain(answered).collect();
            order.push(frames.remove(0));
            ready.push(frames);
            next += 1;
        } else {
            let frames = &mut ready[choice];
            order.push(frames.remove(0));
            if frames.is_empty() {
                ready.remove(choice);
            }
        }
    }
}

/// Both ends of one connection: the client's is 1 (process 1), the server's 2 (process 2).
const CALLER: On = On {
    connection: 1,
    pid: 1,
    tid: 1,
    goid: 0,
    lineage: 0,
};
const SERVER: On = On {
    connection: 2,
    pid: 2,
    tid: 2,
    goid: 0,
    lineage: 0,
};

fn two_ends() -> Bed {
    let mut bed = Bed::new();
    bed.tracker.keep_messages(8);
    bed.connection_with(
        1,
        Role::Connected,
        "127.0.0.1:4001",
        "127.0.0.1:80",
        (900, 700),
    );
    bed.connection_with(
        2,
        Role::Accepted,
        "127.0.0.1:80",
        "127.0.0.1:4001",
        (700, 900),
    );
    let begin = [PREFACE, SETTINGS].concat();
    bed.sent(CALLER, (1, 2), &begin);
    bed.received(SERVER, (3, 4), &begin);
    bed.sent(SERVER, (5, 6), SETTINGS);
    bed.received(CALLER, (7, 8), SETTINGS);
    bed
}

/// Moves bytes of a side through both ends.
fn moved(bed: &mut Bed, side: Side, now: u64, bytes: &[u8]) {
    match side {
        Side::Request => {
            bed.sent(CALLER, (now, now + 1), bytes);
            bed.received(SERVER, (now + 2, now + 3), bytes);
        }
        Side::Response => {
            bed.sent(SERVER, (now, now + 1), bytes);
            bed.received(CALLER, (now + 2, now + 3), bytes);
        }
    }
}

fn number(span: &Span) -> u32 {
    path(span).strip_prefix("/s/").unwrap().parse().unwrap()
}

/// Exactly one span of each kind per call, each with the ids of its own.
fn assert_each_once(spans: &[Span], calls: u32) {
    for kind in [Kind::Client, Kind::Server] {
        let mut of: Vec<&Span> = spans.iter().filter(|span| span.kind == kind).collect();
        of.sort_by_key(|span| number(span));
        let numbers: Vec<u32> = of.iter().map(|span| number(span)).collect();
        assert_eq!(numbers, (0..calls).collect::<Vec<_>>(), "{kind:?}");
        for (n, span) in (0..calls).zip(of) {
            assert_eq!(span.incomplete, None, "{n}");
            assert_eq!(span.trace_id.0, sent_trace(n).to_be_bytes());
            let streamed = span.streamed.as_ref().unwrap();
            let status = streamed.trailers.as_ref().unwrap().field("grpc-status");
            assert_eq!(status, Some((n % 17).to_string().as_bytes()));
            assert_eq!((streamed.requests, streamed.responses), (1, 1));
            let sizes: Vec<u64> = streamed
                .messages
                .iter()
                .map(|message| message.size)
                .collect();
            assert_eq!(sizes, [u64::from(n % 100), 1]);
            let (parent, source) = span.parent.unwrap();
            let propagated = SpanId(sent_span(n).to_be_bytes());
            match kind {
                Kind::Client => {
                    assert_eq!((parent, source), (propagated, ParentSource::Propagated));
                }
                Kind::Server => {
                    let client = spans
                        .iter()
                        .find(|span| span.kind == Kind::Client && number(span) == n)
                        .unwrap();
                    assert_eq!((parent, source), (client.span_id, ParentSource::Connection));
                }
            }
        }
    }
}

#[test]
fn two_hundred_open_at_once_are_told_apart() {
    let mut bed = two_ends();
    let calls = 200;
    let mut now = 100;
    // All asked, then all answered, the last one first; two frames of different streams per transfer.
    let asked: Vec<u8> = (0..calls)
        .map(|n| call(n).concat())
        .collect::<Vec<_>>()
        .concat();
    for part in asked.chunks(1000) {
        moved(&mut bed, Side::Request, now, part);
        now += 10;
    }
    for n in (0..calls).rev() {
        moved(&mut bed, Side::Response, now, &answer(n).concat());
        now += 10;
    }
    let spans = bed.spans();
    assert_each_once(&spans, calls);
    let whole = u64::from(4 * calls);
    assert_eq!(bed.messages(), (whole, whole, vec![]));
    bed.stop();
    bed.assert_empty();
}

/// The reader of many gives no evidence: with several in flight, no call has a parent from it.
#[test]
fn a_thread_that_reads_for_all_is_nobodys_parent() {
    let mut bed = Bed::new();
    bed.accepted(1);
    bed.received(on(1), (1, 2), &[PREFACE, SETTINGS].concat());
    // No trace of their own, so that a parent would be made of evidence.
    let plain = |stream: u32| {
        headers(
            END_STREAM,
            stream,
            &[(":method", "GET"), (":scheme", "http"), (":path", "/in")],
        )
    };
    bed.received(on(1), (10, 11), &[plain(1), plain(3), plain(5)].concat());
    bed.connected(2);
    bed.sent(on(2), (20, 21), &get("/out"));
    bed.received(on(2), (30, 31), OK);
    assert_eq!(bed.span().parent, None, "which of the three?");
    let end = |stream| headers(END_STREAM, stream, &[(":status", "200")]);
    bed.sent(on(1), (40, 41), &[end(1), end(3)].concat());
    bed.sent(on(2), (50, 51), &get("/out"));
    bed.received(on(2), (60, 61), OK);
    let mut spans = bed.spans();
    let out = spans.pop().unwrap();
    assert_eq!(
        (path(&out).as_str(), out.parent),
        ("/out", None),
        "they ran side by side"
    );
    bed.sent(on(1), (70, 71), &end(5));
    bed.spans();
    // Alone, it is certain.
    bed.received(on(1), (80, 81), &plain(7));
    bed.sent(on(2), (90, 91), &get("/out"));
    bed.received(on(2), (100, 101), OK);
    let out = bed.span();
    bed.sent(on(1), (110, 111), &end(7));
    let server = bed.span();
    assert_eq!(out.parent, Some((server.span_id, ParentSource::Execution)));
}

/// Both ends number their exchanges from where they were met.
#[test]
fn ends_that_were_met_at_different_moments_still_find_each_other() {
    let mut bed = two_ends();
    // The client's end was met from its begin; of the server's, the first five requests were lost.
    let mut now = 100;
    for n in 0..5 {
        let bytes = call(n).concat();
        bed.sent(CALLER, (now, now + 1), &bytes);
        bed.lost(SERVER, Direction::Received, bytes.len() as u64);
        now += 10;
    }
    for n in 5..40 {
        moved(&mut bed, Side::Request, now, &call(n).concat());
        now += 10;
    }
    for n in (5..40).rev() {
        moved(&mut bed, Side::Response, now, &answer(n).concat());
        now += 10;
    }
    bed.tick(now + 1_000_000_000);
    let spans = bed.spans();
    for n in 5..40 {
        let of = |kind| {
            let mut found = spans
                .iter()
                .filter(|span| span.kind == kind && span.request.is_some() && number(span) == n);
            let span = found.next().unwrap();
            assert!(found.next().is_none());
            span
        };
        let (client, server) = (of(Kind::Client), of(Kind::Server));
        assert_eq!(
            server.parent,
            Some((client.span_id, ParentSource::Connection)),
            "{n}"
        );
    }
    bed.stop();
    bed.assert_empty();
}

/// Which calls failed, and how: (kind, number, error.type).
fn failures(spans: &[Span]) -> Vec<(Kind, u32, String)> {
    let mut failures: Vec<_> = spans
        .iter()
        .filter(|span| crate::semconv::error(span).is_some())
        .map(|span| (span.kind, number(span), error_type(span)))
        .collect();
    failures.sort_by_key(|(kind, number, _)| (*kind == Kind::Server, *number));
    failures
}

fn error_type(span: &Span) -> String {
    #[derive(Default)]
    struct Picked(String);
    impl crate::semconv::AttributeSink for Picked {
        fn text(&mut self, name: &str, pieces: &[&str]) {
            if name == "error.type" {
                self.0 = pieces.concat();
            }
        }
        fn int(&mut self, _: &str, _: i64) {}
        fn double(&mut self, _: &str, _: f64) {}
        fn texts(&mut self, _: &str, _: &[&str]) {}
    }
    let mut picked = Picked::default();
    crate::semconv::attributes(span, None, &Default::default(), &mut picked);
    picked.0
}

fn reset(n: u32, code: u32) -> Vec<u8> {
    frame(3, 0, 2 * n + 1, &code.to_be_bytes())
}

#[test]
fn calls_given_up_on_either_side() {
    let mut bed = two_ends();
    for n in 0..3 {
        moved(
            &mut bed,
            Side::Request,
            100 + u64::from(n) * 10,
            &call(n).concat(),
        );
    }
    moved(&mut bed, Side::Request, 200, &reset(0, 8));
    moved(&mut bed, Side::Response, 300, &reset(1, 7));
    moved(&mut bed, Side::Response, 400, &answer(2)[..2].concat());
    moved(&mut bed, Side::Response, 500, &reset(2, 2));
    let spans = bed.spans();
    assert_eq!(spans.len(), 6);
    assert_eq!(
        failures(&spans),
        [
            (Kind::Client, 0, "CANCELLED".to_owned()),
            (Kind::Client, 1, "UNAVAILABLE".to_owned()),
            (Kind::Client, 2, "INTERNAL".to_owned()),
            (Kind::Server, 1, "UNAVAILABLE".to_owned()),
            (Kind::Server, 2, "INTERNAL".to_owned()),
        ]
    );
    assert!(
        spans
            .iter()
            .all(|span| span.incomplete == Some(Incomplete::StreamReset))
    );
    bed.stop();
    bed.assert_empty();
}

#[test]
fn a_server_that_goes_away_ends_each_of_its_open_calls_once() {
    let mut bed = two_ends();
    let calls = 50;
    for n in 0..calls {
        moved(
            &mut bed,
            Side::Request,
            100 + u64::from(n) * 10,
            &call(n).concat(),
        );
    }
    // It will answer the first forty, and does so with ten.
    let last = (2 * 39 + 1_u32).to_be_bytes();
    let goaway = frame(7, 0, 0, &[&last[..], &[0; 4]].concat());
    moved(&mut bed, Side::Response, 1000, &goaway);
    for n in 0..10 {
        moved(
            &mut bed,
            Side::Response,
            1100 + u64::from(n) * 10,
            &answer(n).concat(),
        );
    }
    bed.ended(1, End::All, 2000);
    bed.ended(2, End::All, 2000);
    bed.tick(1_000_000_000);
    let spans = bed.spans();
    for kind in [Kind::Client, Kind::Server] {
        let mut of: Vec<_> = spans.iter().filter(|span| span.kind == kind).collect();
        of.sort_by_key(|span| number(span));
        let numbers: Vec<_> = of.iter().map(|span| number(span)).collect();
        assert_eq!(numbers, (0..calls).collect::<Vec<_>>());
        let why: Vec<_> = of.iter().map(|span| span.incomplete).collect();
        let answered = vec![None; 10];
        let open = vec![Some(Incomplete::ConnectionClosed); 30];
        let refused = vec![Some(Incomplete::StreamReset); 10];
        assert_eq!(why, [answered, open, refused].concat(), "{kind:?}");
        assert!(
            of[10..]
                .iter()
                .all(|span| crate::semconv::error(span).is_some())
        );
    }
    bed.stop();
    bed.assert_empty();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_interleaving_gives_each_call_its_own_spans(
        calls in 1_u32..=200,
        seed in any::<u64>(),
        cuts in prop::collection::vec(1_usize..3000, 1..20),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        // Rarely turning to a stream that is open already keeps many of them open.
        let begins = random.f32();
        let frames = interleaved(calls, |choices| {
            match random.f32() < begins {
                true => choices - 1,
                false => random.usize(..choices),
            }
        });
        let mut bed = two_ends();
        let mut now = 100;
        let mut cuts = cuts.into_iter().cycle();
        // Transfers hold frames of many streams, and frames are cut anywhere.
        for run in frames.chunk_by(|(one, _), (other, _)| one == other) {
            let bytes: Vec<u8> = run.iter().flat_map(|(_, frame)| frame.clone()).collect();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (part, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                moved(&mut bed, run[0].0, now, part);
                rest = later;
                now += 10;
            }
        }
        bed.tick(now + 1_000_000_000);
        assert_each_once(&bed.spans(), calls);
        let whole = u64::from(4 * calls);
        prop_assert_eq!(bed.messages(), (whole, whole, vec![]));
        bed.stop();
        bed.assert_empty();
    }
    /// Whatever is lost, torn or closed: counts add up, nothing is left, and no call has two spans.
    #[test]
    fn holes_and_ends_anywhere(
        steps in prop::collection::vec((any::<bool>(), any::<bool>(), 1_usize..400, 0_u8..40), 1..120),
    ) {
        let asked: Vec<u8> = (0..60).flat_map(call).flatten().collect();
        let answered: Vec<u8> = (0..60).flat_map(answer).flatten().collect();
        let mut bed = two_ends();
        let mut now = 100;
        let mut at = [0; 4];
        for (asks, calls, bytes, what) in steps {
            now += 10;
            let text = if asks { &asked } else { &answered };
            let who = if calls { CALLER } else { SERVER };
            let at = &mut at[usize::from(asks) * 2 + usize::from(calls)];
            let end = (*at + bytes).min(text.len());
            let part = &text[*at..end];
            *at = end;
            let direction = match asks == calls {
                true => Direction::Sent,
                false => Direction::Received,
            };
            match what {
                0 => bed.lost(who, direction, part.len() as u64),
                1 => bed.ended(who.connection, End::Receiving, now),
                2 => bed.ended(who.connection, End::Sending, now),
                // Only its begin was captured.
                3 => bed.transfer(who, direction, (now, now + 1), &part[..part.len() / 2], part.len()),
                _ => bed.transfer(who, direction, (now, now + 1), part, part.len()),
            }
        }
        bed.ended(1, End::All, now);
        bed.tick(now + 1_000_000_000);
        bed.stop();
        bed.assert_empty();
        let mut seen: Vec<_> = bed
            .spans()
            .iter()
            .filter(|span| span.http_request().is_some_and(|head| !head.target().is_empty()))
            .map(|span| (span.kind == Kind::Server, number(span)))
            .collect();
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), all);
    }
}
