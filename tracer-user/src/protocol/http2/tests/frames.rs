//! Each type of frame, whole.

use super::*;

#[test]
fn a_request_and_its_response() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.ask(headers(WHOLE, 1, GET)),
        ["q0+", "q0 GET /", "q0. 12/0"]
    );
    assert_eq!(
        wire.answer([headers(END_HEADERS, 1, OK), data(END_STREAM, 1, "hello")].concat()),
        ["r0+", "r0 200", "r0. 24/5"]
    );
    assert!(wire.close().is_empty());
}

#[test]
fn a_grpc_call() {
    let mut wire = Wire::new();
    let message = b"\0\0\0\0\x03abc";
    assert_eq!(
        wire.ask([headers(END_HEADERS, 1, CALL), data(END_STREAM, 1, message)].concat()),
        ["q0+", "q0 POST /7", "q0 message 3", "q0. 51/8"]
    );
    let answer = [
        headers(END_HEADERS, 1, OK_GRPC),
        data(0, 1, message),
        headers(WHOLE, 1, STATUS),
    ];
    assert_eq!(
        wire.answer(answer.concat()),
        [
            "r0+",
            "r0 200",
            "r0 message 3",
            "r0 trailers grpc-status",
            "r0. 70/8"
        ]
    );
    assert!(wire.close().is_empty());
}
