//! The wire forms, each in both directions.

use super::build::*;
use super::*;
use crate::protocol::rpc::Kind::{Call, Exception, Oneway, Reply};

/// `1: "hi"`, and `0: "hi"`.
const ARGUMENTS: &[u8] = b"\x0b\x00\x01\x00\x00\x00\x02hi\x00";
const RESULT: &[u8] = b"\x0b\x00\x00\x00\x00\x00\x02hi\x00";

#[test]
fn strict_binary_behind_its_length() {
    let mut wire = Wire::of(Thrift::framed(false));
    let call = b"\x00\x00\x00\x1a\x80\x01\x00\x01\x00\x00\x00\x04echo\x00\x00\x00\x07\
        \x0b\x00\x01\x00\x00\x00\x02hi\x00";
    assert_eq!(
        wire.ask(call),
        ["q0+0", "q0 Framed/Binary Call echo #7", "q0. 30"]
    );
    let reply = b"\x00\x00\x00\x1a\x80\x01\x00\x02\x00\x00\x00\x04echo\x00\x00\x00\x07\
        \x0b\x00\x00\x00\x00\x00\x02hi\x00";
    assert_eq!(
        wire.answer(reply),
        ["r0+", "r0 Framed/Binary Reply echo #7", "r0. 30"]
    );
    assert_eq!(wire.protocol.framing(), Some(Framing::LengthPrefixed));
    assert!(wire.close().is_empty());
}

#[test]
fn strict_binary_bare() {
    let mut wire = Wire::of(Thrift::bare(false));
    assert_eq!(
        wire.ask(strict(Call, "echo", 7, ARGUMENTS)),
        ["q0+0", "q0 Buffered/Binary Call echo #7", "q0. 26"]
    );
    assert_eq!(
        wire.answer(strict(Reply, "echo", 7, RESULT)),
        ["r0+", "r0 Buffered/Binary Reply echo #7", "r0. 26"]
    );
    assert_eq!(wire.protocol.framing(), None);
    assert!(wire.close().is_empty());
}

#[test]
fn an_exception_has_type_and_text() {
    let content = exception("no such method", 1);
    for (thrift, frame, word, size) in [
        (Thrift::framed(false), true, "Framed", 49),
        (Thrift::bare(false), false, "Buffered", 45),
    ] {
        let mut wire = Wire::of(thrift);
        let wrap = |bytes: Vec<u8>| if frame { framed(&bytes) } else { bytes };
        wire.ask(wrap(strict(Call, "echo", 7, ARGUMENTS)));
        assert_eq!(
            wire.answer(wrap(strict(Exception, "echo", 7, &content))),
            [
                "r0+".to_owned(),
                format!("r0 {word}/Binary Exception echo #7 exception 1 no such method"),
                format!("r0. {size}"),
            ]
        );
    }
}

#[test]
fn a_declared_exception_is_a_field_of_the_result() {
    let mut wire = Wire::of(Thrift::framed(false));
    wire.ask(framed(&strict(Call, "echo", 7, ARGUMENTS)));
    let result = b"\x0c\x00\x02\x0b\x00\x01\x00\x00\x00\x01x\x00\x00";
    assert_eq!(
        wire.answer(framed(&strict(Reply, "echo", 7, result)))[1],
        "r0 Framed/Binary Reply echo #7 declared 2"
    );
    // Of nothing, and of void.
    wire.ask(framed(&strict(Call, "echo", 8, ARGUMENTS)));
    assert_eq!(
        wire.answer(framed(&strict(Reply, "echo", 8, b"\x00")))[1],
        "r1 Framed/Binary Reply echo #8"
    );
}

#[test]
fn a_oneway_call_has_no_reply() {
    let mut wire = Wire::of(Thrift::framed(false));
    assert_eq!(
        wire.ask(framed(&strict(Oneway, "log", 7, ARGUMENTS))),
        ["q0+0", "q0 Framed/Binary Oneway log #7", "q0. 29", "r0-"]
    );
    assert!(wire.close().is_empty());
}

#[test]
fn ttheader_with_its_infos() {
    let mut wire = Wire::of(Thrift::ttheader(false));
    let words = infos(
        0,
        &[("isn", "Echo"), ("RPC_TRANSIT_traceparent", "00-1-2-01")],
        &[(3, "gateway"), (9, "echo")],
    );
    let payload = strict(Call, "echo", 7, ARGUMENTS);
    assert_eq!(
        wire.ask(ttheader(1, 7, &words, &payload)),
        [
            "q0+0",
            "q0 Ttheader/Binary Call echo #7 isn=Echo RPC_TRANSIT_traceparent=00-1-2-01 3=gateway 9=echo",
            "q0. 116",
        ]
    );
    let words = infos(0, &[("biz-status", "404")], &[(22, "2")]);
    let payload = framed(&strict(Reply, "echo", 7, RESULT));
    assert_eq!(
        wire.answer(ttheader(0, 7, &words, &payload)),
        [
            "r0+",
            "r0 TtheaderFramed/Binary Reply echo #7 biz-status=404 22=2",
            "r0. 76",
        ]
    );
    assert_eq!(wire.protocol.framing(), Some(Framing::LengthPrefixed));
    assert!(wire.close().is_empty());
}

#[test]
fn several_calls_in_flight() {
    let mut wire = Wire::of(Thrift::framed(false));
    let call = |seq_id| framed(&strict(Call, "echo", seq_id, ARGUMENTS));
    let reply = |seq_id| framed(&strict(Reply, "echo", seq_id, RESULT));
    let words = wire.ask([call(1), call(2), call(3)].concat());
    assert_eq!(
        [&words[0], &words[3], &words[6]],
        ["q0+0", "q1+30", "q2+60"]
    );
    let words = wire.answer([reply(2), reply(3), reply(1)].concat());
    assert_eq!([&words[0], &words[3], &words[6]], ["r1+", "r2+", "r0+"]);
    // The same id for all: in their order.
    let words = wire.ask([call(3), call(3)].concat());
    assert_eq!([&words[0], &words[3]], ["q3+90", "q4+120"]);
    let words = wire.answer([reply(3), reply(3)].concat());
    assert_eq!([&words[0], &words[3]], ["r3+", "r4+"]);
}

#[test]
fn the_old_encoding() {
    let call = b"\x00\x00\x00\x04echo\x01\x00\x00\x00\x07\x0b\x00\x01\x00\x00\x00\x02hi\x00";
    let reply = b"\x00\x00\x00\x04echo\x02\x00\x00\x00\x07\x0b\x00\x00\x00\x00\x00\x02hi\x00";
    let mut wire = Wire::of(Thrift::bare(false));
    assert_eq!(
        wire.ask(call),
        ["q0+0", "q0 Buffered/BinaryOld Call echo #7", "q0. 23"]
    );
    assert_eq!(
        wire.answer(reply),
        ["r0+", "r0 Buffered/BinaryOld Reply echo #7", "r0. 23"]
    );
    let mut wire = Wire::of(Thrift::framed(false));
    assert_eq!(
        wire.ask(framed(call))[1],
        "q0 Framed/BinaryOld Call echo #7"
    );
    assert_eq!(wire.answer(framed(reply))[2], "r0. 27");
}

#[test]
fn compact() {
    // i32 field 1, then binary field 2; a result's field 0 needs its id written out.
    let call = b"\x82\x21\xac\x02\x04echo\x15\x04\x18\x02hi\x00";
    let reply = b"\x82\x41\xac\x02\x04echo\x08\x00\x02hi\x00";
    let failure = b"\x82\x61\xac\x02\x04echo\x18\x04oops\x15\x0c\x00";
    let declared = b"\x82\x41\xac\x02\x04echo\x2c\x18\x01x\x00\x00";
    for (thrift, wrap, word) in [
        (Thrift::bare(false), false, "Buffered"),
        (Thrift::framed(false), true, "Framed"),
    ] {
        let wrap = |bytes: &[u8]| match wrap {
            true => framed(bytes),
            false => bytes.to_vec(),
        };
        let mut wire = Wire::of(thrift);
        assert_eq!(
            wire.ask(wrap(call)),
            [
                "q0+0".to_owned(),
                format!("q0 {word}/Compact Call echo #300"),
                format!("q0. {}", wrap(call).len())
            ]
        );
        assert_eq!(
            wire.answer(wrap(reply)),
            [
                "r0+".to_owned(),
                format!("r0 {word}/Compact Reply echo #300"),
                format!("r0. {}", wrap(reply).len())
            ]
        );
        wire.ask(wrap(call));
        assert_eq!(
            wire.answer(wrap(failure))[1],
            format!("r1 {word}/Compact Exception echo #300 exception 6 oops")
        );
        wire.ask(wrap(call));
        assert_eq!(
            wire.answer(wrap(declared))[1],
            format!("r2 {word}/Compact Reply echo #300 declared 2")
        );
    }
}

#[test]
fn theader_in_binary_and_in_compact() {
    let mut wire = Wire::of(Thrift::framed(false));
    let payload = strict(Call, "echo", 0, ARGUMENTS);
    assert_eq!(
        wire.ask(theader(0, &[], 9, &[("trace", "1"), ("b", "2")], &payload)),
        [
            "q0+0",
            "q0 Theader/Binary Call echo #9 trace=1 b=2",
            "q0. 56"
        ]
    );
    let payload = build::compact(Reply, "echo", 0, b"\x00");
    assert_eq!(
        wire.answer(theader(2, &[], 9, &[], &payload))[1],
        "r0 Theader/Compact Reply echo #9"
    );
    assert_eq!(wire.protocol.framing(), Some(Framing::LengthPrefixed));
}

/// What zlib makes of a call of `echo` with the text `hi`, and of an exception of type 6, `oops!`.
const COMPRESSED: [&[u8]; 2] = [
    b"\x78\x9c\x6b\x60\x64\x60\x64\x60\x60\x60\x49\x4d\xce\xc8\x07\xd2\x0c\xdc\x60\x2e\x53\x46\x26\
      \x03\x00\x2a\xcc\x03\x05",
    b"\x78\x9c\x6b\x60\x64\x60\x66\x60\x60\x60\x49\x4d\xce\xc8\x07\xd2\x0c\xdc\x0c\x8c\x40\x92\x35\
      \x3f\xbf\xa0\x58\x91\x83\x81\x09\xc8\x66\x63\x00\x00\x54\xdc\x04\x2b",
];

#[test]
fn of_a_compressed_payload_is_read_what_names_it() {
    let call = theader(0, &[1], 9, &[("trace", "1")], COMPRESSED[0]);
    let failure = theader(0, &[1], 9, &[], COMPRESSED[1]);
    for chunk in [1, 7, 1000] {
        let mut wire = Wire::of(Thrift::framed(false));
        let mut words = Vec::new();
        for part in call.chunks(chunk) {
            words.extend(wire.ask(part));
        }
        for part in failure.chunks(chunk) {
            words.extend(wire.answer(part));
        }
        assert_eq!(words[1], "q0 Theader/Binary Call echo #9 trace=1");
        assert_eq!(
            words[4],
            "r0 Theader/Binary Exception echo #9 exception 6 oops!"
        );
        assert_eq!(words.len(), 6);
    }
}

#[test]
fn what_is_compressed_otherwise_or_badly_is_not_read() {
    for (transforms, payload) in [
        (&[1][..], &b"\x78\x9c\x80\x01"[..]),
        // Nothing, and something else than it says.
        (&[1], b""),
        (
            &[1],
            b"\x80\x01\x00\x01\x00\x00\x00\x01a\x00\x00\x00\x01\x00",
        ),
        (&[1], &COMPRESSED[0][..9]),
        (&[1, 1], COMPRESSED[0]),
        (&[3], COMPRESSED[0]),
    ] {
        let mut wire = Wire::of(Thrift::framed(false));
        let call = theader(0, transforms, 9, &[("trace", "1")], payload);
        assert_eq!(wire.ask(call)[1], "q0 Theader/? Call  #9 trace=1");
        assert_eq!(
            wire.answer(theader(0, transforms, 9, &[], payload))[1],
            "r0 Theader/? Reply  #9"
        );
    }
    // In binary, though its header says compact.
    let mut wire = Wire::of(Thrift::framed(false));
    let call = theader(2, &[1], 9, &[], COMPRESSED[0]);
    assert_eq!(wire.ask(call)[1], "q0 Theader/? Call  #9");
}

#[test]
fn a_bomb_is_inflated_so_far_only() {
    // A message whose text is a megabyte of zeroes: blocks of nothing but distance codes.
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let content = [
        b"\x0b\x00\x01\x00\x10\x00\x00",
        &vec![0; 1 << 20][..],
        b"\0",
    ]
    .concat();
    std::io::Write::write_all(&mut zlib, &strict(rpc::Kind::Reply, "a", 1, &content)).unwrap();
    let mut wire = Wire::of(Thrift::framed(false));
    wire.ask(theader(0, &[1], 1, &[], COMPRESSED[0]));
    let words = wire.answer(theader(0, &[1], 1, &[], &zlib.finish().unwrap()));
    assert_eq!(
        words[1], "r0 Theader/Binary Reply a #1 declared 1",
        "{words:?}"
    );
    assert!(wire.protocol.memory() < 1 << 15);
}

#[test]
fn kitex_protobuf_behind_its_length_and_in_ttheader() {
    let call = b"\x90\x01\x00\x01\x00\x00\x00\x04echo\x00\x00\x00\x07\x0a\x02hi";
    let failure = b"\x90\x01\x00\x03\x00\x00\x00\x04echo\x00\x00\x00\x07\x08\x06\x12\x05oops!";
    let mut wire = Wire::of(Thrift::framed(false));
    assert_eq!(
        wire.ask(framed(call)),
        ["q0+0", "q0 Framed/KitexProtobuf Call echo #7", "q0. 24"]
    );
    assert_eq!(
        wire.answer(framed(failure)),
        [
            "r0+",
            "r0 Framed/KitexProtobuf Exception echo #7 exception 6 oops!",
            "r0. 29"
        ]
    );
    let mut wire = Wire::of(Thrift::ttheader(false));
    let words = infos(0, &[], &[(9, "echo")]);
    assert_eq!(
        wire.ask(ttheader(0, 7, &words, &framed(call)))[1],
        "q0 TtheaderFramed/KitexProtobuf Call echo #7 9=echo"
    );
    assert_eq!(
        wire.answer(ttheader(0, 7, &words, failure))[1],
        "r0 Ttheader/KitexProtobuf Exception echo #7 9=echo exception 6 oops!"
    );
}

#[test]
fn a_mesh_header_before_any_of_them() {
    let mut wire = Wire::of(Thrift::bare(false));
    let inner = strict(Call, "echo", 7, ARGUMENTS);
    let fields = [("from", "gateway"), ("gdpr-token", "secret")];
    let call = [mesh(&fields), inner.clone()].concat();
    assert_eq!(
        wire.ask(&call),
        [
            "q0+0".to_owned(),
            "q0 Buffered/Binary Call echo #7 from=gateway".to_owned(),
            format!("q0. {}", call.len())
        ]
    );
    let call = [mesh(&fields), framed(&inner)].concat();
    let word = format!("q1. {}", call.len());
    assert_eq!(wire.ask(call)[2], word);
    let call = [
        mesh(&fields),
        ttheader(0, 8, &infos(0, &[], &[(3, "a")]), &inner),
    ]
    .concat();
    assert_eq!(
        wire.ask(call)[1],
        "q2 Ttheader/Binary Call echo #7 from=gateway 3=a"
    );
    assert_eq!(wire.protocol.framing(), None);
}

#[test]
fn an_access_token_is_not_kept() {
    let mut wire = Wire::of(Thrift::ttheader(false));
    let mut words = infos(0, &[("gdpr-token", "secret"), ("a", "b")], &[]);
    words.push(0x11);
    words.extend(b"\x00\x06secret");
    let payload = strict(Call, "echo", 7, ARGUMENTS);
    assert_eq!(
        wire.ask(ttheader(0, 7, &words, &payload))[1],
        "q0 Ttheader/Binary Call echo #7 a=b"
    );
}

#[test]
fn without_a_payload_the_infos_say_what_it_is() {
    let mut wire = Wire::of(Thrift::ttheader(false));
    let words = infos(0, &[], &[(9, "echo")]);
    assert_eq!(
        wire.ask(ttheader(0, 7, &words, b""))[1],
        "q0 Ttheader/? Call echo #7 9=echo"
    );
    // Another one in the same transfer is another one.
    let both = [ttheader(0, 8, &words, b""), ttheader(0, 9, &words, b"")].concat();
    let told = wire.ask(both);
    assert_eq!(told[1], "q1 Ttheader/? Call echo #8 9=echo");
    assert_eq!(told[4], "q2 Ttheader/? Call echo #9 9=echo");
}

#[test]
fn a_head_that_makes_no_sense_is_passed_over_wherever_it_is_cut() {
    // A frame without a kind, which is all of its message, then a call.
    let bad = ttheader(2, 1, &infos(0x10, &[], &[(9, "echo")]), b"");
    let call = ttheader(0, 7, &infos(0, &[], &[(9, "echo")]), b"");
    let both = [bad, call].concat();
    for size in [1, both.len()] {
        let mut wire = Wire::of(Thrift::ttheader(false));
        let mut told = Vec::new();
        for piece in both.chunks(size) {
            told.extend(wire.input(Side::Request, Input::Bytes(piece)));
        }
        assert!(
            told.contains(&"q1 Ttheader/? Call echo #7 9=echo".to_owned()),
            "{told:?}"
        );
    }
}

#[test]
fn a_long_text_is_kept_in_part() {
    let mut wire = Wire::of(Thrift::framed(false));
    wire.ask(framed(&strict(Call, "echo", 7, ARGUMENTS)));
    let text = "x".repeat(5000);
    let reply = framed(&strict(Exception, "echo", 7, &exception(&text, 6)));
    let word = wire.answer(reply)[1].clone();
    assert!(word.ends_with(&format!("exception 6 {}", &text[..1024])));
}
