//! Connections that were in use before the agent looked.

use super::*;

fn met_midway(bed: &mut Bed, connection: u64) {
    bed.event(Event::Connection(Connection {
        connection: ConnectionId(connection),
        pid: 100,
        role: Role::Unknown,
        addresses: None,
        midway: true,
        event_driven: false,
        sequence: (0, 0),
        connect_ns: None,
    }));
}

#[test]
fn what_follows_a_body_met_midway_is_exact() {
    let mut bed = Bed::new();
    met_midway(&mut bed, 1);
    bed.received(on(1), (1, 2), &[b'x'; 4096]);
    bed.transfer(on(1), Direction::Received, (3, 4), &[b'x'; 256], 46_000);
    bed.sent(on(1), (5, 6), OK);
    for path in ["/first", "/second"] {
        bed.received(on(1), (7, 8), &get(path));
        bed.sent(on(1), (9, 10), OK);
        let span = bed.span();
        assert_eq!(span.incomplete, None);
        assert_eq!(super::path(&span), path);
        assert_eq!(status(&span), 200);
    }
    assert_eq!(
        bed.messages().2,
        [(Incomplete::AttachedMidway, 1)],
        "the answer to the request that was not seen"
    );
    bed.stop();
    bed.assert_empty();
}
