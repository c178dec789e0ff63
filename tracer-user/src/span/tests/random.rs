//! Whatever comes, in whatever order: counts add up, nothing is left behind, time runs forward.

use proptest::prelude::*;

use super::*;

/// What may happen to one of a few connections.
#[derive(Clone, Debug)]
enum Step {
    /// This many bytes of what the direction carries next.
    Move { received: bool, bytes: usize },
    /// As many are moved, and the record is lost.
    Lose { received: bool, bytes: usize },
    /// The kernel tells of the connection, perhaps again.
    Describe,
    /// A direction, or all, is over.
    End(u8),
    /// Time passes.
    Tick(u64),
    /// The clock is set.
    Clock(i64),
}

const REQUESTS: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n\
POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n\
GET /d HTTP/1.1\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
const ANSWERS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\
HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

/// (requests, answers) in the bytes above.
const EXCHANGES: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![1usize..8, 20usize..200];
    prop_oneof![
        20 => (any::<bool>(), bytes.clone()).prop_map(|(received, bytes)| Step::Move { received, bytes }),
        1 => (any::<bool>(), bytes).prop_map(|(received, bytes)| Step::Lose { received, bytes }),
        1 => Just(Step::Describe),
        1 => (0u8..3).prop_map(Step::End),
        2 => (1u64..200_000_000).prop_map(Step::Tick),
        1 => (-5_000_000_000i64..5_000_000_000).prop_map(Step::Clock),
    ]
}

/// The next `count` bytes of a direction that repeats `text` for ever.
fn next(text: &[u8], position: u64, count: usize) -> Vec<u8> {
    let start = (position % text.len() as u64) as usize;
    text.iter()
        .cycle()
        .skip(start)
        .take(count)
        .copied()
        .collect()
}

fn assert_in_order(span: &Span) {
    let i = span.instants;
    let order = match span.kind {
        Kind::Server => [
            i.arrived,
            i.read_start,
            i.header_read,
            i.body_read,
            i.write_start,
            i.write_finish,
        ],
        Kind::Client => [
            i.connect_end,
            i.write_start,
            i.write_finish,
            i.read_start,
            i.header_read,
            i.body_read,
        ],
    };
    let known: Vec<_> = order.into_iter().filter(|instant| *instant != 0).collect();
    assert!(known.is_sorted(), "{span:?}");
    assert!(span.start_ns <= span.end_ns, "{span:?}");
    assert!(
        known.iter().all(|instant| *instant <= span.end_ns),
        "{span:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn counts_add_up_and_nothing_is_left(steps in proptest::collection::vec((1u64..4, 1u32..3, step()), 1..150)) {
        let mut bed = Bed::new();
        let mut now = 1_000;
        let mut transfers = 0;
        for (connection, tid, step) in steps {
            now += 10;
            // Odd ones serve, even ones call.
            let serves = connection % 2 == 1;
            let who = by(connection, 100, tid);
            match step {
                Step::Move { received, bytes } | Step::Lose { received, bytes } => {
                    let lane = (connection, received);
                    let position = bed.positions.get(&lane).copied().unwrap_or(0);
                    let text = if received == serves { REQUESTS } else { ANSWERS };
                    let direction = if received { Direction::Received } else { Direction::Sent };
                    if matches!(step, Step::Lose { .. }) {
                        bed.lost(who, direction, bytes as u64);
                    } else {
                        let bytes = next(text, position, bytes);
                        bed.transfer(who, direction, (now - 5, now), &bytes, bytes.len());
                        transfers += 1;
                    }
                }
                Step::Describe => {
                    if serves { bed.accepted(connection) } else { bed.connected(connection) }
                }
                Step::End(what) => {
                    let what = [End::Receiving, End::Sending, End::All][usize::from(what)];
                    bed.ended(connection, what, now);
                }
                Step::Tick(time) => {
                    now += time;
                    bed.tick(now);
                }
                Step::Clock(shift) => bed.tracker.set_clock(5_000_000_000 + shift),
            }
        }
        bed.stop();
        bed.assert_empty();
        prop_assert_eq!(bed.tracker.counts().delivered, transfers);
        for span in bed.spans() {
            assert_in_order(&span);
        }
    }

    /// However the bytes are cut, and however the directions interleave (an answer never before its
    /// question): every exchange is one whole span.
    #[test]
    fn every_exchange_is_a_span(cuts in proptest::collection::vec(1usize..60, 1..60), serves in any::<bool>()) {
        let mut bed = Bed::new();
        if serves { bed.accepted(1) } else { bed.connected(1) }
        let mut now = 1_000;
        let mut cuts = cuts.into_iter().cycle();
        let rounds = 3;
        for _ in 0..rounds {
            for (text, asks) in [(REQUESTS, true), (ANSWERS, false)] {
                let mut rest = text;
                while !rest.is_empty() {
                    let (now_moved, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                    rest = later;
                    now += 10;
                    if asks == serves {
                        bed.received(on(1), (now - 5, now), now_moved);
                    } else {
                        bed.sent(on(1), (now - 5, now), now_moved);
                    }
                }
            }
        }
        bed.tick(now + 1_000_000_000);
        let spans = bed.spans();
        prop_assert_eq!(spans.len(), rounds * EXCHANGES);
        for span in &spans {
            assert_in_order(span);
            prop_assert_eq!(span.incomplete, None);
            prop_assert!(span.request_sizes.is_some() && span.response_sizes.is_some());
        }
        let whole = (2 * rounds * EXCHANGES) as u64;
        prop_assert_eq!(bed.messages(), (whole, whole, vec![]));
        bed.stop();
        bed.assert_empty();
    }
}
