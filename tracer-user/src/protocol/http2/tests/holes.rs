//! What was not seen: bytes skipped, transfers lost, a connection met midway.

use super::*;

#[test]
fn bytes_of_data_may_be_skipped() {
    let mut wire = Wire::new();
    wire.ask(headers(WHOLE, 1, GET));
    let body = data(END_STREAM, 1, vec![0; 100_000]);
    let head = [headers(END_HEADERS, 1, OK), body[..20].to_vec()].concat();
    assert_eq!(
        wire.input(Side::Response, Input::Bytes(&head)),
        ["r0+", "r0 200"]
    );
    assert_eq!(
        wire.long(Side::Response, &[], 99_980, &body[100_000..]),
        ["r0. 100019/100000"]
    );
}

#[test]
fn a_hole_that_hides_frames_ends_what_had_begun() {
    let mut wire = Wire::new();
    wire.ask([headers(WHOLE, 1, GET), headers(WHOLE, 3, GET)].concat());
    wire.answer(headers(END_HEADERS, 1, OK));
    assert_eq!(wire.lose(Side::Response, 30), ["r0! lost_events"]);
    // The other is still awaited, and what follows is read where a frame begins.
    assert_eq!(wire.answer("rubbish that is no frame"), [""; 0]);
    assert_eq!(
        wire.answer(headers(WHOLE, 3, OK)),
        ["r1+", "r1 200", "r1. 10/0"]
    );
}

#[test]
fn met_midway_a_request_with_unknown_fields() {
    let mut wire = Wire::midway();
    // POST, http, the path an entry of before; `a: b`, inserted; then that by its index.
    let block = b"\x83\x86\xbe\x40\x01a\x01b";
    assert_eq!(
        wire.ask(headers(WHOLE, 7, block)),
        ["q0+", "q0 POST ", "q0. 17/0"]
    );
    // The response to one of before; the one to ours.
    assert_eq!(wire.answer(headers(WHOLE, 5, OK)), ["r_! attached_midway"]);
    let block = b"\x88\x40\x01a\x01b\xbe\xbf";
    assert_eq!(
        wire.answer(headers(
            PRIORITY | WHOLE,
            7,
            [&[0, 0, 0, 0, 9], &block[..]].concat()
        )),
        ["r0+", "r0 200", "r0. 22/0"]
    );
    assert!(wire.close().is_empty());
}
