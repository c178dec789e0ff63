//! Sizes that lie, and structures without end: bounded, and named.

use super::build::*;
use super::*;
use crate::protocol::rpc::Kind::{Call, Exception, Reply};
use crate::protocol::thrift::message::HEAD_LIMIT;
use Side::Request;

#[test]
fn lengths_that_can_not_be() {
    let name = |length: u32| {
        let mut bytes = b"\x80\x01\x00\x01".to_vec();
        bytes.extend(length.to_be_bytes());
        bytes.extend([b'a'; 300]);
        bytes
    };
    let bad = [
        // A name of none, of too many, of negative bytes; of none that a name is made of.
        name(0),
        name(257),
        name(0xffff_ffff),
        b"\x80\x01\x00\x01\x00\x00\x00\x03a\x00b\x00\x00\x00\x01\x00".to_vec(),
        // No kind of message.
        b"\x80\x01\x00\x05\x00\x00\x00\x01a\x00\x00\x00\x01\x00".to_vec(),
        b"\x80\x01\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x01\x00".to_vec(),
        // A varint without end.
        b"\x82\x21\xff\xff\xff\xff\xff\xff\xff\x01a\x00".to_vec(),
        b"\x90\x01\x00\x01\x00\x00\x00\x01a\x00\x00\x00\x01".to_vec(),
    ];
    for bytes in &bad {
        let mut wire = Wire::of(Thrift::bare(false));
        assert_eq!(
            wire.ask(bytes),
            ["q0+0", "q0! malformed", "r0! malformed"],
            "{}",
            bytes.escape_ascii()
        );
        // Another transfer may be fine.
        assert_eq!(wire.ask(strict(Call, "a", 1, b"\x00")).len(), 4);
    }
}

#[test]
fn a_frame_whose_content_is_wrong_is_passed_over() {
    let bad = [
        // A name longer than the frame.
        b"\x00\x00\x00\x0c\x80\x01\x00\x01\x00\x00\x00\x20abcd".to_vec(),
        // Words beyond the message; infos beyond the words; no such info; no such protocol; a transform.
        ttheader(0, 1, b"\x00\x00\x01\x00\x05\x00\x01a", b""),
        ttheader(0, 1, b"\x00\x00\x01\xff\xff\x00\x01a", b""),
        ttheader(0, 1, b"\x00\x00\x10\x00\x01\x00\x09\xff\xff", b""),
        ttheader(0, 1, b"\x00\x00\x77\x00", b""),
        ttheader(0, 1, b"\x09\x00\x00\x00", b""),
        ttheader(0, 1, b"\x00\x01\x01\x00", b""),
        ttheader(
            0,
            1,
            b"\x00\x00\x00\x00",
            b"\x01\x02\x03\x04\x05\x06\x07\x08",
        ),
        ttheader(0, 1, b"\x00\x00\x00\x00", b"\x80\x01\x00"),
        theader(0, &[], 1, &[], b"\x82\x21\x01\x01a\x00"),
    ];
    for bytes in &bad {
        let mut wire = Wire::of(Thrift::framed(false));
        let next = framed(&strict(Call, "a", 1, b"\x00"));
        let words = wire.ask([&bytes[..], &next].concat());
        assert_eq!(
            words[..3],
            ["q0+0", "q0! malformed", "r0! malformed"],
            "{}",
            bytes.escape_ascii()
        );
        assert_eq!(
            words.get(3),
            Some(&format!("q1+{}", bytes.len())),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn a_header_beyond_its_message_or_any_limit() {
    let mut wire = Wire::of(Thrift::ttheader(false));
    let words = wire.ask(b"\x00\x00\x00\x20\x10\x00\x00\x00\x00\x00\x00\x01\xff\xff\x00\x00");
    assert_eq!(words, ["q0+0", "q0! malformed", "r0! malformed"]);
    // As large as a header may be: more than is read, and passed over.
    let mut wire = Wire::of(Thrift::ttheader(false));
    let bytes = ttheader(0, 1, &vec![0; 4 * 0xffff], &strict(Call, "a", 1, b"\x00"));
    let words = wire.ask(&bytes);
    assert_eq!(words[1], "q0! head_too_large");
    assert_eq!(
        wire.ask(ttheader(0, 1, &[0; 4], &strict(Call, "a", 1, b"\x00")))[0],
        format!("q1+{}", bytes.len())
    );
    // More fields than any head has.
    let fields: Vec<_> = (0..300).map(|n| (n, "")).collect();
    let words = wire.ask(ttheader(
        0,
        1,
        &infos(0, &[], &fields),
        &strict(Call, "a", 1, b"\x00"),
    ));
    assert_eq!(words[1], "q2! head_too_large");
}

#[test]
fn containers_without_end_take_no_memory() {
    let large = [
        // Strings of 2 GB, lists of 2^31 - 1 numbers, strings, structs; maps of them.
        b"\x0b\x00\x01\x7f\xff\xff\xff".to_vec(),
        b"\x0f\x00\x01\x0a\x7f\xff\xff\xff".to_vec(),
        b"\x0f\x00\x01\x0b\x7f\xff\xff\xff".to_vec(),
        b"\x0f\x00\x01\x0c\x7f\xff\xff\xff".to_vec(),
        b"\x0d\x00\x01\x0c\x0c\x7f\xff\xff\xff".to_vec(),
    ];
    for content in &large {
        let mut wire = Wire::of(Thrift::bare(false));
        assert_eq!(wire.ask(strict(Call, "a", 1, content)).len(), 2);
        for _ in 0..100 {
            assert!(wire.ask([0; 16_384]).is_empty());
        }
        assert!(wire.protocol.memory() < HEAD_LIMIT);
    }
    // A string that is not captured, to its last byte and the struct's end.
    let mut wire = Wire::of(Thrift::bare(false));
    wire.ask(strict(Call, "a", 1, &large[0]));
    assert_eq!(
        wire.long(Request, b"", 0x7fff_ffff, b"\x00"),
        [format!("q0. {}", 0x7fff_ffff_u64 + 21)]
    );
}

#[test]
fn containers_that_can_not_be() {
    let deep = [b"\x0c\x00\x01".repeat(64), vec![0; 65]].concat();
    let bad: [&[u8]; 6] = [
        b"\x0b\x00\x01\xff\xff\xff\xff",
        b"\x0f\x00\x01\x0b\xff\xff\xff\xff",
        b"\x0f\x00\x01\x00\x00\x00\x00\x01",
        b"\x0d\x00\x01\x0b\x05\x00\x00\x00\x01",
        b"\x07\x00\x01",
        &deep,
    ];
    for content in bad {
        let mut wire = Wire::of(Thrift::bare(false));
        let words = wire.ask(strict(Call, "a", 1, content));
        assert_eq!(words[2], "q0! malformed", "{}", content.escape_ascii());
        let mut wire = Wire::of(Thrift::framed(false));
        wire.ask(framed(&strict(Call, "a", 1, b"\x00")));
        // Its length is known, so it is a reply all the same.
        let words = wire.answer(framed(&strict(Reply, "a", 1, content)));
        assert_eq!(words.len(), 3, "{words:?}");
        let words = wire.answer(framed(&strict(Exception, "a", 1, content)));
        assert!(words.len() <= 3);
    }
}

#[test]
fn a_connection_of_nothing_sensible_is_given_up() {
    let mut wire = Wire::of(Thrift::framed(false));
    wire.ask(framed(&strict(Call, "a", 1, b"\x00")));
    let mut words = Vec::new();
    for _ in 0..100 {
        words.extend(wire.ask(framed(b"\x80\x01\x00\x09garbage")));
    }
    assert_eq!(words.iter().filter(|word| **word == "opaque").count(), 1);
    assert_eq!(words.last().unwrap(), "opaque");
    assert!(words.contains(&"r0! malformed".to_owned()));
    assert!(wire.close().is_empty());
}
