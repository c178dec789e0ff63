//! Segments in any order, and what both ends are told.

use std::collections::BTreeMap;

use super::*;

const CLIENT: &str = "10.0.0.1:40000";
const SERVER: &str = "10.0.0.2:80";

/// What the client sends in most tests, in order.
const BYTES: &[u8] = b"abcdefghij";

/// Sequence numbers that wrap within the test.
const FIRST: u32 = u32::MAX - 4;

fn segment<'a>(from: &str, to: &str, sequence: u32, bytes: &'a [u8]) -> Segment<'a> {
    Segment {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        sequence,
        acknowledged: Some(500),
        syn: false,
        fin: false,
        reset: false,
        bytes,
        length: bytes.len() as u32,
    }
}

/// The client's bytes from `at` on.
fn asks(at: u32, bytes: &[u8]) -> Segment<'_> {
    segment(CLIENT, SERVER, FIRST.wrapping_add(1 + at), bytes)
}

fn syn() -> Segment<'static> {
    Segment {
        syn: true,
        acknowledged: None,
        ..segment(CLIENT, SERVER, FIRST, b"")
    }
}

fn answers_syn() -> Segment<'static> {
    Segment {
        syn: true,
        acknowledged: Some(FIRST.wrapping_add(1)),
        ..segment(SERVER, CLIENT, 499, b"")
    }
}

fn acknowledges(position: u32) -> Segment<'static> {
    Segment {
        acknowledged: Some(FIRST.wrapping_add(1 + position)),
        ..segment(SERVER, CLIENT, 500, b"")
    }
}

/// What each end was told, a word each, by the number of its connection.
#[derive(Default)]
struct Told(BTreeMap<u64, Vec<String>>);

impl Told {
    fn event(&mut self, event: &Event<'_>) {
        let (connection, word) = match event {
            Event::Connection(it) => (
                it.connection,
                format!("{:?}{}", it.role, if it.midway { " midway" } else { "" }),
            ),
            Event::Transfer(it) => {
                let way = match it.direction {
                    Direction::Sent => '>',
                    Direction::Received => '<',
                };
                let cut = it.length as usize - it.head.len();
                let dots = ".".repeat(cut);
                let text = String::from_utf8_lossy(it.head);
                (it.connection, format!("{}{way}{text}{dots}", it.position))
            }
            Event::Ended(it) => (it.connection, format!("{:?}", it.what)),
            other => panic!("{other:?}"),
        };
        self.0.entry(connection.0).or_default().push(word);
    }

    fn of(&self, connection: u64) -> String {
        self.0
            .get(&connection)
            .map_or(String::new(), |words| words.join(" "))
    }
}

/// All of the segments, a millisecond apart.
fn told(segments: &[Segment<'_>]) -> (Told, Counts) {
    let mut told = Told::default();
    let mut connections = Reassembly::new(|party| match party {
        Party::Client(_) => 1,
        Party::Server(_) => 2,
    });
    for (at, segment) in (1..).zip(segments) {
        connections.segment(segment, at * 1_000_000, |event| told.event(event));
    }
    connections.finish(|event| told.event(event));
    assert_eq!(connections.waiting, 0);
    (told, connections.counts())
}

#[test]
fn both_ends_see_a_connection_from_its_first_byte() {
    let fin = |segment: Segment<'static>| Segment {
        fin: true,
        ..segment
    };
    let (told, counts) = told(&[
        syn(),
        answers_syn(),
        asks(0, BYTES),
        Segment {
            acknowledged: Some(FIRST.wrapping_add(11)),
            ..segment(SERVER, CLIENT, 500, b"yes")
        },
        fin(asks(10, b"")),
        fin(segment(SERVER, CLIENT, 503, b"")),
    ]);
    assert_eq!(
        told.of(1),
        "Connected 0>abcdefghij 0<yes Sending Receiving All"
    );
    assert_eq!(
        told.of(2),
        "Accepted 0<abcdefghij 0>yes Receiving Sending All"
    );
    assert_eq!(
        counts,
        Counts {
            connections: 1,
            ..Counts::default()
        }
    );
}

/// Every order of three segments, some of which overlap, with one that comes twice.
#[test]
fn order_and_overlap_do_not_matter() {
    let parts = [asks(0, b"abcd"), asks(2, b"cdefg"), asks(7, b"hij")];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut segments = vec![syn(), answers_syn()];
        segments.extend(order.map(|part| parts[part]));
        segments.push(parts[order[0]]);
        let (told, counts) = told(&segments);
        let text: String = told.0[&2][1..]
            .iter()
            .map(|word| word.split_once('<').unwrap().1)
            .collect();
        assert_eq!(text.as_bytes(), BYTES, "{order:?}");
        assert_eq!((counts.repeated, counts.gaps), (1, 0), "{order:?}");
    }
}

#[test]
fn what_was_not_captured_is_a_hole_once_its_receiver_has_it() {
    let (told, counts) = told(&[
        syn(),
        answers_syn(),
        asks(0, b"abcd"),
        asks(6, b"gh"),
        acknowledges(8),
        asks(4, b"ef"),
        asks(9, b"j"),
        acknowledges(10),
        acknowledges(10),
        asks(10, b"k"),
    ]);
    // The first gap closes in time.
    assert_eq!(told.of(2), "Accepted 0<abcd 4<ef 6<gh 9<j 10<k");
    assert_eq!((counts.gaps, counts.missing), (1, 1));
}

#[test]
fn what_waits_at_the_end_is_handed_out() {
    let (told, counts) = told(&[syn(), answers_syn(), asks(6, b"gh"), asks(9, b"j")]);
    assert_eq!(told.of(1), "Connected 6>gh 9>j");
    assert_eq!((counts.gaps, counts.missing), (2, 7));
}

#[test]
fn met_midway_the_lower_port_serves() {
    let answer = Segment {
        bytes: b"yes",
        length: 3,
        ..acknowledges(0)
    };
    let (told, _) = told(&[answer, asks(0, b"ab")]);
    assert_eq!(told.of(1), "Unknown midway 0<yes 0>ab");
}

#[test]
fn a_cut_packet_has_bytes_that_are_not_there() {
    let cut = Segment {
        length: 6,
        ..asks(0, b"ab")
    };
    let (told, _) = told(&[syn(), answers_syn(), cut, asks(6, b"gh"), asks(4, b"efgh")]);
    assert_eq!(told.of(2), "Accepted 0<ab.... 6<gh");
}

#[test]
fn a_reset_ends_and_the_addresses_may_be_used_again() {
    let reset = Segment {
        reset: true,
        ..asks(2, b"")
    };
    let again = Segment {
        sequence: 7,
        ..syn()
    };
    let (told, counts) = told(&[
        syn(),
        answers_syn(),
        asks(0, b"ab"),
        reset,
        asks(2, b"late"),
        again,
        segment(CLIENT, SERVER, 8, b"new"),
    ]);
    assert_eq!(told.of(1), "Connected 0>ab All");
    assert_eq!(told.of(3), "Connected 0>new");
    assert_eq!(counts.connections, 2);
}

/// An orderly end, then another connection: seen from its SYN, or from the answer to that alone.
#[test]
fn after_its_end_the_addresses_may_be_used_again() {
    let fin = |segment: Segment<'static>| Segment {
        fin: true,
        ..segment
    };
    for all in [true, false] {
        let mut segments = vec![
            syn(),
            answers_syn(),
            fin(asks(0, b"ab")),
            fin(segment(SERVER, CLIENT, 500, b"yes")),
            // The last word comes once more.
            fin(segment(SERVER, CLIENT, 500, b"yes")),
        ];
        if all {
            segments.push(Segment {
                sequence: 7,
                ..syn()
            });
        }
        segments.push(Segment {
            sequence: 70,
            acknowledged: Some(8),
            ..answers_syn()
        });
        segments.push(Segment {
            acknowledged: Some(71),
            ..segment(CLIENT, SERVER, 8, b"new")
        });
        let (told, counts) = told(&segments);
        assert_eq!(told.of(1), "Connected 0>ab Sending 0<yes Receiving All");
        assert_eq!(told.of(3), "Connected 0>new", "with its SYN: {all}");
        assert_eq!((counts.connections, counts.repeated), (2, 0));
    }
}

/// Of bytes that come again with other content, the first ones count: in order and ahead.
#[test]
fn an_overlap_with_other_content_changes_nothing() {
    let (told, _) = told(&[
        syn(),
        answers_syn(),
        asks(0, b"abcd"),
        asks(2, b"XXef"),
        asks(8, b"ij"),
        asks(6, b"ghYY"),
        asks(8, b"Z"),
    ]);
    assert_eq!(told.of(2), "Accepted 0<abcd 4<ef 6<ghYY");
}

/// With TCP Fast Open a request comes with the SYN, and again where the server did not take it.
#[test]
fn bytes_may_come_with_the_syn() {
    let with_bytes = Segment {
        bytes: b"abcd",
        length: 4,
        ..syn()
    };
    let (told, counts) = told(&[with_bytes, answers_syn(), asks(0, b"abcd"), asks(4, b"ef")]);
    assert_eq!(told.of(2), "Accepted 0<abcd 4<ef");
    assert_eq!((counts.repeated, counts.gaps), (1, 0));
}

/// Probes of a window that is closed, or of an end that is silent: a byte that is yet to be taken, or was long ago.
#[test]
fn probes_are_nothing_new() {
    let (told, counts) = told(&[
        syn(),
        answers_syn(),
        asks(0, b"abcd"),
        // The receiver has no room: one byte at a time, again and again.
        asks(4, b"e"),
        asks(4, b"e"),
        acknowledges(4),
        // Keep-alive, without a byte and with one.
        asks(3, b""),
        asks(3, b"\0"),
        acknowledges(5),
        asks(4, b"efgh"),
    ]);
    assert_eq!(told.of(2), "Accepted 0<abcd 4<e 5<fgh");
    assert_eq!((counts.repeated, counts.gaps), (2, 0));
}

#[test]
fn connections_are_bounded() {
    let mut told = Told::default();
    let mut connections = Reassembly::new(|_| 1);
    for port in 0..=MAX_CONNECTIONS as u32 {
        let client = SocketAddr::from(([10, 1, (port >> 8) as u8, port as u8], 40000));
        let opens = Segment {
            from: client,
            ..asks(0, b"a")
        };
        connections.segment(&opens, u64::from(port), |event| told.event(event));
    }
    let evicted = MAX_CONNECTIONS / EVICTED_PART;
    assert_eq!(connections.counts().evicted, evicted as u64);
    assert_eq!(connections.flows.len(), MAX_CONNECTIONS + 1 - evicted);
    assert_eq!(told.of(1), "Unknown midway 0>a All");
}
