//! Bytes as programs sent them: Kitex 0.16.3 (a handler that echoes, fails, has a business status, an
//! exception of the IDL, panics; a method that is not there), and Apache Thrift 0.25 for Python.

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A call and its answer, as they were sent, and what they are.
fn exchange(thrift: fn(bool) -> Thrift, call: (&str, &str), reply: (&str, &str)) {
    for midway in [false, true] {
        let mut wire = Wire::of(thrift(midway));
        let (asked, answered) = (bytes(call.0), bytes(reply.0));
        assert_eq!(
            wire.ask(&asked),
            [
                "q0+0".to_owned(),
                format!("q0 {}", call.1),
                format!("q0. {}", asked.len())
            ]
        );
        assert_eq!(
            wire.answer(&answered),
            [
                "r0+".to_owned(),
                format!("r0 {}", reply.1),
                format!("r0. {}", answered.len())
            ]
        );
        assert!(wire.close().is_empty());
    }
}

#[test]
fn kitex_buffered() {
    exchange(
        Thrift::bare,
        (
            "80010001000000046563686f000000010b0001000000036b6b6b00",
            "Buffered/Binary Call echo #1",
        ),
        (
            "80010002000000046563686f000000010b0000000000036b6b6b00",
            "Buffered/Binary Reply echo #1",
        ),
    );
    exchange(
        Thrift::bare,
        (
            "80010001000000086465636c61726564000000040b0001000000036b6b6b00",
            "Buffered/Binary Call declared #4",
        ),
        (
            "80010002000000086465636c61726564000000040c00010b0001000000086465636c617265640000",
            "Buffered/Binary Reply declared #4 declared 1",
        ),
    );
    exchange(
        Thrift::bare,
        (
            "80010001000000076d697373696e67000000060b0001000000036b6b6b00",
            "Buffered/Binary Call missing #6",
        ),
        (
            "80010003000000076d697373696e67000000060b000100000020756e6b6e6f776e2073657276696365202c206d6574686f64206d697373696e670800020000001400",
            "Buffered/Binary Exception missing #6 exception 20 unknown service , method missing",
        ),
    );
    let mut wire = Wire::of(Thrift::bare(false));
    let call = bytes("80010004000000066f6e65776179000000070b0001000000036b6b6b00");
    assert_eq!(
        wire.ask(call),
        [
            "q0+0",
            "q0 Buffered/Binary Oneway oneway #7",
            "q0. 29",
            "r0-"
        ]
    );
}

#[test]
fn kitex_framed() {
    exchange(
        Thrift::framed,
        (
            "0000001b80010001000000046661696c000000020b0001000000036b6b6b00",
            "Framed/Binary Call fail #2",
        ),
        (
            "0000003c80010003000000046661696c000000020b00010000001d62697a206572726f723a207468652068616e646c6572206661696c65640800020000000600",
            "Framed/Binary Exception fail #2 exception 6 biz error: the handler failed",
        ),
    );
    exchange(
        Thrift::framed,
        (
            "0000001a800100010000000362697a000000030b0001000000036b6b6b00",
            "Framed/Binary Call biz #3",
        ),
        (
            "00000017800100020000000362697a000000030b00000000000000",
            "Framed/Binary Reply biz #3",
        ),
    );
}

#[test]
fn kitex_ttheader() {
    exchange(
        Thrift::ttheader,
        (
            "000000c0100000000000000300270000010002000369736e00044563686f00175250435f5452414e5349545f7472616365706172656e74003730302d34626639326633353737623334646136613363653932396430653065343733362d303066303637616130626139303262372d3031100007000c00053230303030000300000014000000060009746573742e6563686f0009000362697a001600013100010008756e6672616d656400800100010000000362697a000000030b0001000000036b6b6b00",
            "Ttheader/Binary Call biz #3 isn=Echo RPC_TRANSIT_traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 12=20000 3= 20= 6=test.echo 9=biz 22=1 1=unframed",
        ),
        (
            "000000591000000000000003000e0000010002000b62697a2d6d65737361676500086e6f2073746f636b000a62697a2d73746174757300043130303110000100160001320000800100020000000362697a000000030b00000000000000",
            "Ttheader/Binary Reply biz #3 biz-message=no stock biz-status=1001 22=2",
        ),
    );
}

#[test]
fn kitex_ttheader_framed() {
    exchange(
        Thrift::ttheader,
        (
            "000000c610000000000000050027000001000200175250435f5452414e5349545f7472616365706172656e74003730302d34626639326633353737623334646136613363653932396430653065343733362d303066303637616130626139303262372d3031000369736e00044563686f1000070009000570616e69630016000131000100066672616d6564000c00053230303030000300000014000000060009746573742e6563686f000000001c800100010000000570616e6963000000050b0001000000036b6b6b00",
            "TtheaderFramed/Binary Call panic #5 RPC_TRANSIT_traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 isn=Echo 9=panic 22=1 1=framed 12=20000 3= 20= 6=test.echo",
        ),
        (
            "000000ad1000000000000005000300001000010016000133000000000093800100030000000570616e6963000000050b00010000007370616e69633a205b68617070656e656420696e2062697a2068616e646c65722c206d6574686f643d4563686f2e70616e69632c20706c6561736520636865636b207468652070616e6963206174207468652073657276657220736964655d207468652068616e646c65722070616e69636b65640800020000000600",
            "TtheaderFramed/Binary Exception panic #5 22=3 exception 6 panic: [happened in biz handler, method=Echo.panic, please check the panic at the server side] the handler panicked",
        ),
    );
}

#[test]
fn kitex_protobuf() {
    exchange(
        Thrift::ttheader,
        (
            "000000bf10000000000000020027000001000200175250435f5452414e5349545f7472616365706172656e74003730302d34626639326633353737623334646136613363653932396430653065343733362d303066303637616130626139303262372d3031000369736e000650624563686f1000070016000131000100066672616d6564000c00053230303030000300000014000000060009746573742e6563686f000900044661696c0000001590010001000000044661696c000000020a036b6b6b",
            "TtheaderFramed/KitexProtobuf Call Fail #2 RPC_TRANSIT_traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 isn=PbEcho 22=1 1=framed 12=20000 3= 20= 6=test.echo 9=Fail",
        ),
        (
            "0000004b100000000000000200030000100001001600013300000000003190010003000000044661696c000000020806121d62697a206572726f723a207468652068616e646c6572206661696c6564",
            "TtheaderFramed/KitexProtobuf Exception Fail #2 22=3 exception 6 biz error: the handler failed",
        ),
    );
}

#[test]
fn apache_old_binary() {
    let call = "000000046563686f010000012c0b00010000000268690f0002080000000200000001fffffffe020003010d00280b0200000001000000016b0000";
    let reply = "000000046563686f030000012c0b000100000015556e6b6e6f776e2066756e6374696f6e206563686f0800020000000100";
    for (thrift, word, lengths) in [
        (Thrift::bare as fn(bool) -> Thrift, "Buffered", ["", ""]),
        (Thrift::framed, "Framed", ["0000003a", "00000031"]),
    ] {
        let mut wire = Wire::of(thrift(false));
        let words = wire.ask(bytes(&[lengths[0], call].concat()));
        assert_eq!(words[1], format!("q0 {word}/BinaryOld Call echo #300"));
        let words = wire.answer(bytes(&[lengths[1], reply].concat()));
        assert_eq!(
            words[1],
            format!("r0 {word}/BinaryOld Exception echo #300 exception 1 Unknown function echo")
        );
        assert_eq!(words.len(), 3);
    }
}

#[test]
fn apache_compact() {
    exchange(
        Thrift::bare,
        (
            "8221ac02046563686f1802686919250203110b500181016b0200",
            "Buffered/Compact Call echo #300",
        ),
        (
            "8261ac02046563686f1815556e6b6e6f776e2066756e6374696f6e206563686f150200",
            "Buffered/Compact Exception echo #300 exception 1 Unknown function echo",
        ),
    );
    exchange(
        Thrift::framed,
        (
            "0000001a8221ac02046563686f1802686919250203110b500181016b0200",
            "Framed/Compact Call echo #300",
        ),
        (
            "000000238261ac02046563686f1815556e6b6e6f776e2066756e6374696f6e206563686f150200",
            "Framed/Compact Exception echo #300 exception 1 Unknown function echo",
        ),
    );
}

#[test]
fn apache_theader() {
    let calls = [
        (
            "000000530fff00000000012c000300000101057472616365013180010001000000046563686f0000012c0b00010000000268690f0002080000000200000001fffffffe020003010d00280b0200000001000000016b0000",
            "Theader/Binary Call echo #300 trace=1",
        ),
        (
            "000000300fff00000000012c00030200010105747261636501318221ac02046563686f1802686919250203110b500181016b0200",
            "Theader/Compact Call echo #300 trace=1",
        ),
        // With zlib.
        (
            "000000530fff00000000012c000400010101010574726163650131000000789c6b60646064606060494dcec8676060d4e10673993232f9199838402c2066fcffffff3f260666465e060d6eb000086733300000ff4107fe",
            "Theader/Binary Call echo #300 trace=1",
        ),
        (
            "0000003c0fff00000000012c000402010101010574726163650131000000789c6b525cc3c4929a9c912fc1949129a9cac42cc81dc0d8c898cdc400005870057f",
            "Theader/Compact Call echo #300 trace=1",
        ),
    ];
    for (call, word) in calls {
        let mut wire = Wire::of(Thrift::framed(false));
        let call = bytes(call);
        assert_eq!(
            wire.ask(&call),
            [
                "q0+0".to_owned(),
                format!("q0 {word}"),
                format!("q0. {}", call.len())
            ]
        );
    }
}
