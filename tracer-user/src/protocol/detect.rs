//! What a connection carries, and which of its directions asks.
//!
//! A protocol is one line of [`PROTOCOLS`]: how it is made, and how what each of its sides sends
//! begins. The bytes decide, not the role: who accepted a connection need not be the one who answers,
//! and on `AF_UNIX`, or after attaching late, the role is not known anyway.
//!
//! Bias: a connection seen from its first byte is given up as soon as these bytes fit no protocol.
//! One met midway may be in the middle of a body: it has [`TURNS`] changes of direction to show
//! where a message begins.

use super::http1::{self, Http1};
use super::http2::{self, Http2};
use super::thrift::{self, Thrift};
use super::{Match, Protocol, Side};
use crate::event::{Direction, Transfer};

/// How a protocol is told from others.
struct Signature {
    /// Its state on a connection, met midway or not.
    new: fn(midway: bool) -> Box<dyn Protocol>,
    /// Whether that side begins with these bytes or, met midway, a transfer does in which a message
    /// of that side begins.
    begins: fn(Side, &[u8], midway: bool) -> Match,
}

/// The protocols there are; the first that says yes has it.
const PROTOCOLS: &[Signature] = &[
    Signature {
        new: |midway| Box::new(Http2::new(midway)),
        begins: http2::begins,
    },
    Signature {
        new: |midway| Box::new(Http1::new(midway)),
        begins: |side, bytes, _| http1::begins(side, bytes),
    },
    Signature {
        new: |midway| Box::new(Thrift::ttheader(midway)),
        begins: |side, bytes, _| thrift::begins_ttheader(side, bytes),
    },
    Signature {
        new: |midway| Box::new(Thrift::framed(midway)),
        begins: |side, bytes, _| thrift::begins_framed(side, bytes),
    },
    Signature {
        new: |midway| Box::new(Thrift::bare(midway)),
        begins: |side, bytes, _| thrift::begins_bare(side, bytes),
    },
];

/// Most bytes looked at of a direction before it is given up: a request line of an uncommon method
/// must end within them. Common methods are known by their first 6 bytes or so.
const PREFIX_LIMIT: usize = 4096;

/// Most transfers held back until a connection is decided: those of one byte each that
/// [`PREFIX_LIMIT`] would allow would cost more than they are worth.
const HELD_LIMIT: usize = 256;

/// Changes of direction after which a connection met midway, none of whose transfers began like a
/// message, is given up. HTTP/1 turns twice an exchange, four times with `100 Continue`.
/// The frames of one long stream of HTTP/2 count as begins, so it is not given up.
const TURNS: u32 = 8;

/// Bytes that fit a protocol's begin and so count as one, met midway: a frame head of HTTP/2. Fewer
/// may begin like anything: many protocols read a length of 4 bytes by itself.
const EVIDENCE: usize = 9;

/// What a connection carries.
pub enum Found {
    /// Not known yet.
    Undecided,
    /// Nothing that we know.
    Nothing,
    /// This, asked in that direction. The transfers in [`Detector::held`] are to be fed first, then
    /// the one that decided.
    Protocol(Box<dyn Protocol>, Direction),
}

/// A transfer held back: what [`Transfer`] borrows, owned.
struct Held {
    transfer: Transfer<'static>,
    bytes: Box<[u8]>,
}

/// Decides what one connection carries.
pub struct Detector {
    midway: bool,
    received: Prefix,
    sent: Prefix,
    held: Vec<Held>,
    /// Direction of the last transfer, and how often that changed.
    last: Option<Direction>,
    turns: u32,
}

/// The begin of a direction, or of a turn of it.
#[derive(Default)]
struct Prefix {
    bytes: Vec<u8>,
    /// Position behind them.
    next: u64,
}

impl Detector {
    /// Nothing was seen yet. `midway`: bytes had gone through before.
    pub fn new(midway: bool) -> Detector {
        Detector {
            midway,
            received: Prefix::default(),
            sent: Prefix::default(),
            held: Vec::new(),
            last: None,
            turns: 0,
        }
    }

    /// Takes the next transfer of the connection. One that leaves it undecided is held back.
    pub fn push(&mut self, transfer: &Transfer<'_>) -> Found {
        if self.last != Some(transfer.direction) {
            self.turns += u32::from(self.last.is_some());
            self.last = Some(transfer.direction);
        }
        let (prefix, other) = match transfer.direction {
            Direction::Received => (&mut self.received, &self.sent),
            Direction::Sent => (&mut self.sent, &self.received),
        };
        let unknown = transfer.position != prefix.next || transfer.head.is_empty();
        if unknown && transfer.length > 0 {
            // Bytes were lost or can't be seen: what comes next is the middle of something.
            self.midway = true;
            prefix.bytes.clear();
        }
        prefix.next = transfer.position;

        let joined;
        let bytes = if prefix.bytes.is_empty() {
            transfer.head
        } else {
            joined = [&prefix.bytes, transfer.head].concat();
            &joined[..]
        };
        let mut perhaps = false;
        for protocol in PROTOCOLS {
            for side in [Side::Request, Side::Response] {
                match (protocol.begins)(side, bytes, self.midway) {
                    Match::Yes => {
                        let requests = match side {
                            Side::Request => transfer.direction,
                            Side::Response => opposite(transfer.direction),
                        };
                        return Found::Protocol((protocol.new)(self.midway), requests);
                    }
                    Match::Perhaps => perhaps = true,
                    Match::No => {}
                }
            }
        }
        // What proves nothing by itself but does with its answer.
        match thrift::confirms(&other.bytes, bytes) {
            Match::Yes => {
                let protocol = Thrift::old(self.midway, &other.bytes);
                return Found::Protocol(Box::new(protocol), opposite(transfer.direction));
            }
            Match::Perhaps => perhaps = true,
            Match::No => {}
        }
        if perhaps && bytes.len() >= EVIDENCE {
            self.turns = 0;
        }
        prefix.next = prefix.next.saturating_add(u64::from(transfer.length));
        let whole = transfer.head.len() == transfer.length as usize;
        if perhaps && whole && bytes.len() < PREFIX_LIMIT && self.held.len() < HELD_LIMIT {
            prefix.bytes.extend_from_slice(transfer.head);
            self.held.push(Held {
                transfer: Transfer {
                    head: &[],
                    tail: &[],
                    ..*transfer
                },
                bytes: transfer.head.into(),
            });
            return Found::Undecided;
        }
        if !self.midway || self.turns >= TURNS {
            return Found::Nothing;
        }
        // The middle of a body: the next transfer may begin a message.
        prefix.bytes.clear();
        let direction = transfer.direction;
        self.held
            .retain(|held| held.transfer.direction != direction);
        Found::Undecided
    }

    /// Position of the first byte of a direction that is held back or still to come. What lies before
    /// it was the middle of something that had begun unseen.
    pub fn resumes_at(&self, direction: Direction) -> u64 {
        let held = self.held.iter().map(|held| &held.transfer);
        let mut held = held.filter(|transfer| transfer.direction == direction);
        match (held.next(), direction) {
            (Some(first), _) => first.position,
            (None, Direction::Received) => self.received.next,
            (None, Direction::Sent) => self.sent.next,
        }
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        let bytes = self.held.iter().map(|held| held.bytes.len());
        self.held.capacity() * size_of::<Held>()
            + bytes.sum::<usize>()
            + self.received.bytes.capacity()
            + self.sent.bytes.capacity()
    }

    /// The transfers held back, in their order.
    pub fn held(&self) -> impl Iterator<Item = Transfer<'_>> {
        self.held.iter().map(|held| Transfer {
            head: &held.bytes,
            ..held.transfer
        })
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Received => Direction::Sent,
        Direction::Sent => Direction::Received,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Framing;

    struct Connection {
        detector: Detector,
        positions: [u64; 2],
    }

    /// What was found, in words.
    #[derive(Debug, PartialEq, Eq)]
    enum Is {
        Undecided,
        Nothing,
        Http1(Direction),
        Http2(Direction),
    }

    use Direction::{Received, Sent};
    use Is::{Http1, Http2, Nothing, Undecided};

    impl Connection {
        fn new(midway: bool) -> Self {
            Connection {
                detector: Detector::new(midway),
                positions: [0, 0],
            }
        }

        fn push(&mut self, direction: Direction, bytes: &[u8]) -> Is {
            self.push_long(direction, bytes, bytes.len() as u32)
        }

        fn push_long(&mut self, direction: Direction, head: &[u8], length: u32) -> Is {
            let position = &mut self.positions[direction as usize];
            let transfer = Transfer {
                length,
                ..Transfer::of_bytes(direction, *position, head)
            };
            *position += u64::from(length);
            match self.detector.push(&transfer) {
                Found::Undecided => Undecided,
                Found::Nothing => Nothing,
                Found::Protocol(protocol, direction) => match protocol.framing() {
                    Some(Framing::Http2) => Http2(direction),
                    _ => Http1(direction),
                },
            }
        }

        fn held(&self) -> Vec<(Direction, u64, Vec<u8>)> {
            self.detector
                .held()
                .map(|t| (t.direction, t.position, t.head.to_vec()))
                .collect()
        }
    }

    fn first(bytes: &[u8]) -> Is {
        Connection::new(false).push(Received, bytes)
    }

    #[test]
    fn a_request_tells_who_asks() {
        assert_eq!(first(b"GET / HTTP/1.1\r\n"), Http1(Received));
        assert_eq!(
            Connection::new(false).push(Sent, b"POST /x HTTP/1.0\r\n"),
            Http1(Sent)
        );
    }

    #[test]
    fn a_response_tells_who_asks() {
        assert_eq!(first(b"HTTP/1.1 200 OK\r\n"), Http1(Sent));
    }

    #[test]
    fn a_known_method_and_target_need_no_more() {
        assert_eq!(first(b"GET /"), Http1(Received));
        assert_eq!(first(b"GET http://a/"), Http1(Received));
        assert_eq!(first(b"GET "), Undecided);
    }

    #[test]
    fn other_methods_and_targets_need_the_version() {
        assert_eq!(first(b"OPTIONS * HTTP/1.1\r\n"), Http1(Received));
        assert_eq!(first(b"CONNECT a:443 HTTP/1.1\r\n"), Http1(Received));
        assert_eq!(first(b"FROBNICATE /x HTTP/1.1\r\n"), Http1(Received));
        assert_eq!(first(b"FROBNICATE /x"), Undecided);
        assert_eq!(first(b"OPTIONS rtsp://a/b RTSP/1.0\r\n"), Nothing);
        assert_eq!(first(b"SET key value\r\n"), Nothing);
    }

    #[test]
    fn empty_lines_before_a_request_are_passed_over() {
        assert_eq!(first(b"\r\n\r\nGET / HTTP/1.1\r\n"), Http1(Received));
    }

    #[test]
    fn one_byte_at_a_time_is_held_back() {
        let mut connection = Connection::new(false);
        for byte in b"GET " {
            assert_eq!(connection.push(Received, &[*byte]), Undecided);
        }
        assert_eq!(connection.push(Received, b"/"), Http1(Received));
        let held = connection.held();
        assert_eq!(held.len(), 4);
        assert_eq!(held[2], (Received, 2, b"T".to_vec()));
    }

    #[test]
    fn other_protocols_are_given_up_at_once() {
        let others: [&[u8]; 6] = [
            b"\x16\x03\x01\x02\x00",
            b"SSH-2.0-OpenSSH\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
            b"220 mail ready\r\n",
            b"HTTP/2.0",
        ];
        for bytes in others {
            assert_eq!(first(bytes), Nothing, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn http2_is_known_by_its_preface() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        assert_eq!(first(preface), Http2(Received));
        // The server may speak first.
        let mut connection = Connection::new(false);
        assert_eq!(connection.push(Received, &preface[..14]), Undecided);
        assert_eq!(connection.push(Received, &preface[14..]), Http2(Received));
    }

    #[test]
    fn http2_is_known_by_a_servers_settings() {
        assert_eq!(first(b"\0\0\0\x04\0\0\0\0\0"), Http2(Sent));
        let six = b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0";
        assert_eq!(first(six), Http2(Sent));
        let mut connection = Connection::new(false);
        assert_eq!(connection.push(Sent, &six[..9]), Undecided);
        assert_eq!(connection.push(Sent, &six[9..]), Http2(Received));
    }

    #[test]
    fn http2_met_midway_is_known_by_a_message_among_its_frames() {
        let ping = b"\0\0\x08\x06\x01\0\0\0\0abcdefgh";
        let window = b"\0\0\x04\x08\0\0\0\0\0\0\0\x12\x34";
        let data = b"\0\0\x02\0\x01\0\0\0\x05hi";
        // An entry of the dynamic table, then `:method: POST`.
        let request = b"\0\0\x02\x01\x04\0\0\0\x07\xc0\x83";
        let response = b"\0\0\x01\x01\x04\0\0\0\x07\x88";
        let mut connection = Connection::new(true);
        for _ in 0..20 {
            assert_eq!(connection.push(Received, ping), Undecided);
            assert_eq!(connection.push(Sent, window), Undecided);
            assert_eq!(connection.push_long(Sent, &[7; 256], 20_000), Undecided);
            assert_eq!(connection.push_long(Received, &[7; 256], 20_000), Undecided);
        }
        let bytes = [&window[..], data, request].concat();
        assert_eq!(connection.push(Received, &bytes), Http2(Received));
        let mut connection = Connection::new(true);
        let bytes = [&ping[..], response].concat();
        assert_eq!(connection.push(Received, &bytes), Http2(Sent));
    }

    #[test]
    fn rpc_is_not_taken_for_http2() {
        let others: [&[u8]; 6] = [
            b"\0\0\0\x3b\x80\x01\0\x01\0\0\0\x04echo\0\0\0\x01",
            b"\0\0\0\x04ping\x01\0\0\0\0\0",
            b"\0\0\x06\x04\x10\0\0\0\0\0\0\x01\0\x03\0\0",
            b"\0\0\x01\x04\x10\0\0\0\0\0\0\x01\0\x03\0\0",
            b"\0\0\x01\x01\x90\x01\0\x01\0\0\0\x04echo",
            b"\x17\x03\x03\x01\0abcdefghijklmnop",
        ];
        for bytes in others {
            for side in [Side::Request, Side::Response] {
                for midway in [false, true] {
                    assert_eq!(http2::begins(side, bytes, midway), Match::No, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn garbage_is_held_within_bounds() {
        let mut connection = Connection::new(false);
        let mut pushed = 0;
        // A token that might be a method, then a target without end.
        while connection.push(Received, b"A /") == Undecided {
            pushed += 1;
            assert!(pushed < 10_000);
        }
        let mut connection = Connection::new(false);
        assert_eq!(connection.push(Received, b"A /"), Undecided);
        assert_eq!(connection.push(Received, &[b'x'; 16_384]), Nothing);
    }

    #[test]
    fn met_midway_a_body_decides_nothing() {
        let mut connection = Connection::new(true);
        for _ in 0..1000 {
            assert_eq!(connection.push_long(Sent, &[0; 256], 65_536), Undecided);
        }
        assert!(connection.held().is_empty());
        assert_eq!(
            connection.push(Received, b"GET / HTTP/1.1\r\n\r\n"),
            Http1(Received)
        );
    }

    #[test]
    fn met_midway_its_turns_are_counted() {
        let mut connection = Connection::new(true);
        let mut turns = 0;
        while connection.push(Received, b"\x01\x02") == Undecided
            && connection.push(Sent, b"\x03") == Undecided
        {
            turns += 1;
            assert!(turns < 100);
        }
        assert!(turns >= 3);
    }

    #[test]
    fn a_first_transfer_that_was_not_seen_is_midway() {
        let mut connection = Connection::new(false);
        assert_eq!(connection.push_long(Received, b"", 500), Undecided);
        assert_eq!(
            connection.push(Sent, b"HTTP/1.1 200 OK\r\n"),
            Http1(Received)
        );
    }
}
