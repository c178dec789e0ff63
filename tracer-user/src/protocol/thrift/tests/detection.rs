//! Known by their first bytes, and nothing else taken for them.

use super::build::*;
use super::*;
use crate::event::{Direction, Transfer};
use crate::protocol::detect::{Detector, Found};
use crate::protocol::rpc::Kind::{Call, Oneway, Reply};
use Direction::{Received, Sent};

/// What came of a connection's transfers: who asks, and the events up to where it was decided.
#[derive(Debug, PartialEq, Eq)]
enum Is {
    Undecided,
    Nothing,
    Ours(Direction, Vec<String>),
}

fn detect(midway: bool, transfers: &[(Direction, &[u8])]) -> Is {
    let mut detector = Detector::new(midway);
    let mut positions = [0; 2];
    for &(direction, head) in transfers {
        let position = &mut positions[direction as usize];
        let transfer = Transfer::of_bytes(direction, *position, head);
        *position += head.len() as u64;
        match detector.push(&transfer) {
            Found::Undecided => {}
            Found::Nothing => return Is::Nothing,
            Found::Protocol(mut protocol, requests) => {
                let mut events = Vec::new();
                for transfer in detector.held().chain([transfer]) {
                    let side = match transfer.direction == requests {
                        true => Side::Request,
                        false => Side::Response,
                    };
                    protocol.push(side, Input::Bytes(transfer.head), &mut events);
                    protocol.push(side, Input::EndOfTransfer, &mut events);
                }
                let rpc = |event: &Event| !matches!(event, Event::RequestHead(_, Head::Http(_)));
                let words = events.iter().filter(|event| rpc(event)).map(word);
                return Is::Ours(requests, words.collect());
            }
        }
    }
    Is::Undecided
}

/// Every form with a mark: a call and its reply.
fn marked() -> Vec<(Vec<u8>, Vec<u8>)> {
    let both = |write: fn(rpc::Kind, &str, i32, &[u8]) -> Vec<u8>| {
        (
            write(Call, "echo", 7, b"\x00"),
            write(Reply, "echo", 7, b"\x00"),
        )
    };
    let map = |(call, reply): (Vec<u8>, Vec<u8>), wrap: &dyn Fn(&[u8]) -> Vec<u8>| {
        (wrap(&call), wrap(&reply))
    };
    let words = infos(0, &[("isn", "Echo")], &[(9, "echo")]);
    vec![
        both(strict),
        both(compact),
        map(both(strict), &framed),
        map(both(compact), &framed),
        map(both(protobuf), &framed),
        map(both(strict), &|bytes| theader(0, &[], 7, &[], bytes)),
        map(both(compact), &|bytes| theader(2, &[], 7, &[], bytes)),
        map(both(strict), &|bytes| ttheader(0, 7, &words, bytes)),
        map(both(strict), &|bytes| {
            ttheader(0, 7, &words, &framed(bytes))
        }),
        map(both(protobuf), &|bytes| {
            ttheader(0, 7, &words, &framed(bytes))
        }),
        map(both(strict), &|bytes| {
            [mesh(&[("a", "b")]), framed(bytes)].concat()
        }),
        map(both(strict), &|bytes| {
            [mesh(&[("a", "b")]), ttheader(0, 7, &words, bytes)].concat()
        }),
    ]
}

#[test]
fn either_side_tells_who_asks() {
    for (call, reply) in marked() {
        for midway in [false, true] {
            let is = detect(midway, &[(Received, &call)]);
            assert!(
                matches!(is, Is::Ours(Received, words) if words[0] == "q0+0" && words.len() == 3)
            );
            let is = detect(midway, &[(Sent, &call)]);
            assert!(matches!(is, Is::Ours(Sent, words) if words.len() == 3));
            assert!(matches!(
                detect(midway, &[(Received, &reply)]),
                Is::Ours(Sent, _)
            ));
            assert!(matches!(
                detect(midway, &[(Sent, &reply)]),
                Is::Ours(Received, _)
            ));
        }
    }
}

#[test]
fn one_byte_at_a_time() {
    for (call, reply) in marked() {
        for midway in [false, true] {
            for (bytes, requests) in [(&call, Received), (&reply, Sent)] {
                let pieces: Vec<_> = bytes.chunks(1).map(|byte| (Received, byte)).collect();
                let is = detect(midway, &pieces);
                assert!(
                    matches!(is, Is::Ours(by, _) if by == requests),
                    "{}",
                    bytes.escape_ascii()
                );
            }
        }
    }
}

#[test]
fn midway_after_the_rest_of_something() {
    for (call, _) in marked() {
        let body: &[u8] = b"\xee\xee the rest of a message";
        let is = detect(
            true,
            &[
                (Received, body),
                (Sent, b"\xee\xee an answer"),
                (Received, &call),
            ],
        );
        assert!(
            matches!(is, Is::Ours(Received, _)),
            "{}",
            call.escape_ascii()
        );
    }
}

#[test]
fn streams_by_their_first_frame() {
    let frame = |kind, texts: &[(&str, &str)]| {
        ttheader(2, 5, &infos(0x10, texts, &[(9, "chat"), (27, kind)]), b"")
    };
    let open = frame("2", &[("isn", "Chat")]);
    assert!(
        matches!(detect(false, &[(Received, &open)]), Is::Ours(Received, words) if words.len() == 2)
    );
    // Who sends the others can't be told.
    let is = detect(
        true,
        &[
            (Sent, &frame("3", &[])),
            (Received, &frame("4", &[])),
            (Received, &open),
        ],
    );
    assert!(matches!(is, Is::Ours(Received, _)));
}

#[test]
fn the_old_encoding_by_a_call_and_its_reply() {
    let call = old(Call, "echo", 7, b"\x00");
    let reply = old(Reply, "echo", 7, b"\x00");
    for frame in [false, true] {
        let wrap = |bytes: &[u8]| match frame {
            true => framed(bytes),
            false => bytes.to_vec(),
        };
        let (call, reply) = (wrap(&call), wrap(&reply));
        for midway in [false, true] {
            assert_eq!(detect(midway, &[(Received, &call)]), Is::Undecided);
            for pieces in [1, 3, 100] {
                let mut transfers: Vec<_> =
                    call.chunks(pieces).map(|piece| (Received, piece)).collect();
                transfers.extend(reply.chunks(pieces).map(|piece| (Sent, piece)));
                let is = detect(midway, &transfers);
                assert!(
                    matches!(&is, Is::Ours(Received, words) if words[0] == "q0+0" && words[2].starts_with("q0. ")),
                    "{is:?}"
                );
            }
            // Another name, another number, no answer.
            for other in [
                old(Reply, "ohce", 7, b"\x00"),
                old(Reply, "echo", 8, b"\x00"),
                old(Oneway, "echo", 7, b"\x00"),
            ] {
                let other = wrap(&other);
                assert!(!matches!(
                    detect(midway, &[(Received, &call), (Sent, &other)]),
                    Is::Ours(..)
                ));
            }
        }
    }
}

#[test]
fn other_protocols_are_not_ours() {
    let others: &[&[u8]] = &[
        // HTTP/1, HTTP/2, and what comes before TLS' and after it.
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x17\x03\x03\x00\x20\x80\x01\x00\x01",
        // SSLv2's hello, and one as long as compact's mark.
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
        b"\x82\x21\x01\x03\x01\x00\x15\x00\x00\x00\x10",
        // MySQL: a greeting, a query, one of 0x2182 bytes.
        b"\x4a\x00\x00\x00\x0a8.0.36\x00",
        b"\x21\x00\x00\x00\x03select @@version_comment limit 1",
        b"\x82\x21\x00\x00\x03select",
        // Postgres: start, TLS, a query.
        b"\x00\x00\x00\x54\x00\x03\x00\x00user\x00postgres\x00",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"Q\x00\x00\x00\x0dSELECT 1\x00",
        // Redis, memcached in binary, its answer.
        b"*1\r\n$4\r\nPING\r\n",
        b"\x80\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00",
        b"\x81\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x09",
        // Kafka: ApiVersions, Metadata, Produce; an answer.
        b"\x00\x00\x00\x23\x00\x12\x00\x03\x00\x00\x00\x01\x00\x07console",
        b"\x00\x00\x00\x2b\x00\x03\x00\x09\x00\x00\x00\x02\x00\x07console",
        b"\x00\x00\x00\x60\x00\x00\x00\x07\x00\x00\x00\x04\x00\x07console",
        b"\x00\x00\x00\x1c\x00\x00\x00\x01\x00\x00\x00\x00",
        // ZooKeeper, MongoDB, AMQP, MQTT, Cassandra, DNS, SSH, SMTP, NATS, Dubbo, bRPC, Memcached.
        b"\x00\x00\x00\x2d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00",
        b"AMQP\x00\x00\x09\x01",
        b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c",
        b"\x04\x00\x00\x00\x05\x00\x00\x00\x00",
        b"\x84\x00\x00\x00\x02\x00\x00\x00\x00",
        b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail ready\r\n",
        b"INFO {\"server_id\":\"x\"}\r\n",
        b"\xda\xbb\xc2\x00\x00\x00\x00\x00\x00\x00\x00\x01",
        b"PRPC\x00\x00\x00\x40\x00\x00\x00\x10",
        b"get key\r\n",
        // Ours, nearly.
        b"\x80\x01\x01\x01\x00\x00\x00\x01a\x00\x00\x00\x01\x00",
        b"\x00\x00\x00\x20\x10\x00\x00\x00\x00\x00\x00\x01\x00\x00",
        b"\x40\x00\x00\x20\x10\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00",
        b"\xff\xaf\x00\x04\x00\x09abGET / HTTP/1.1",
    ];
    for bytes in others {
        let ours = |is: Is| match is {
            Is::Ours(_, words) => words.iter().any(|word| word.contains('/')),
            _ => false,
        };
        for midway in [false, true] {
            assert!(
                !ours(detect(midway, &[(Received, bytes)])),
                "{}",
                bytes.escape_ascii()
            );
            let pieces: Vec<_> = bytes.chunks(1).map(|byte| (Received, byte)).collect();
            assert!(!ours(detect(midway, &pieces)), "{}", bytes.escape_ascii());
            // And however often.
            let often: Vec<_> = (0..20)
                .flat_map(|_| [(Received, *bytes), (Sent, *bytes)])
                .collect();
            assert!(!ours(detect(midway, &often)), "{}", bytes.escape_ascii());
        }
    }
}
