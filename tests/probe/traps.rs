//! The traps: what is reported of each act, over both families.

use std::net::IpAddr;

use tracer::event::{Direction::Received, Direction::Sent, End, ProcessChange, Role};
use tracer::probe::{Family, Options};

use crate::acts;
use crate::watch::{Seen, watch, watch_with};

pub type Test = fn(Family);

/// All of them.
pub const TESTS: &[(&str, Test)] = &[
    ("every_call_is_seen_with_its_bytes", every_call),
    ("a_connection_is_told_with_addresses_and_role", ipv6),
    ("unix_streams_are_seen", unix),
    ("a_call_for_several_messages_may_get_some", some_of_several),
    ("a_peek_is_no_transfer", peek),
    ("thrown_away_bytes_are_counted_not_shown", trunc),
    ("sendfile_has_a_length_and_no_bytes", sendfile),
    ("splice_into_a_socket_has_a_length_and_no_bytes", splice_in),
    ("splice_out_of_a_socket_is_counted", splice_out),
    ("io_uring_is_counted", uring),
    ("files_and_pipes_are_none_of_ours", files),
    ("a_duplicate_is_the_same_connection", dup),
    ("a_child_is_traced_and_shares_the_connection", fork),
    ("a_child_is_not_traced_when_not_followed", no_follow),
    ("a_passed_descriptor_is_the_same_connection", pass),
    ("of_a_large_transfer_head_and_tail_are_copied", large),
    (
        "an_ignored_connection_is_neither_copied_nor_counted",
        ignored,
    ),
    ("ends_are_told_by_direction", ends),
    ("fork_exec_and_exit_are_told", exec),
    ("arrival_is_when_bytes_became_readable", late),
    ("a_32_bit_program_is_seen", compat),
    ("two_agents_see_the_same", two_agents),
];

fn every_call(family: Family) {
    let seen = watch(family, "every_call");
    assert_eq!(seen.connections.len(), 2, "{seen:?}");
    // In pieces: one per buffer; the last of each call says so.
    let ends = |n, direction| {
        let mut ends = Vec::new();
        for piece in seen.of(n, direction) {
            if piece.last {
                ends.push(piece.position + u64::from(piece.length));
            }
        }
        ends
    };
    assert_eq!(seen.bytes(0, Sent), acts::WORDS);
    assert_eq!(ends(0, Sent), [4, 14, 24, 28, 40, 45]);
    assert_eq!(seen.of(0, Sent).len(), 9);
    assert_eq!(seen.bytes(1, Received), acts::WORDS);
    assert_eq!(ends(1, Received), [4, 14, 24, 28, 40, 45]);
    assert_eq!(seen.counters.transfers_unseen, 0);
    for piece in &seen.pieces {
        assert_eq!(piece.pid, seen.pid);
        assert!(piece.start_ns <= piece.end_ns, "{piece:?}");
    }
    // A message's write has a beginning.
    let first = seen.of(0, Sent)[0];
    assert!(first.start_ns > 0, "{first:?}");
}

fn ipv6(family: Family) {
    let seen = watch(family, "ipv6");
    assert_eq!(seen.connections.len(), 2, "{seen:?}");
    let (client, server) = (&seen.connections[0], &seen.connections[1]);
    let (at_client, at_server) = (client.addresses.unwrap(), server.addresses.unwrap());
    let localhost: IpAddr = "::1".parse().unwrap();
    assert_eq!(at_client.local.ip(), localhost);
    assert_eq!(at_client.remote.ip(), localhost);
    assert_eq!(at_client.local, at_server.remote);
    assert_eq!(at_client.remote, at_server.local);
    assert_eq!(
        (client.role, server.role),
        (Role::Connected, Role::Accepted)
    );
    assert!(!client.midway && !server.midway);
    // The same byte has the same number at both ends.
    assert_eq!(client.sequence.1, server.sequence.0);
    assert_eq!(client.sequence.0, server.sequence.1);
    assert_ne!(client.sequence, (0, 0));
    let (begun, done) = client.connect_ns.expect("the client saw itself connect");
    assert!(begun < done && done < seen.of(0, Sent)[0].end_ns);
    assert_eq!(server.connect_ns, None);
    assert_eq!(seen.bytes(0, Sent), b"ping");
    assert_eq!(seen.bytes(0, Received), b"pong");
}

fn unix(family: Family) {
    let seen = watch(family, "unix");
    assert_eq!(seen.connections.len(), 2, "{seen:?}");
    assert_eq!(seen.connections[0].addresses, None);
    assert_eq!(seen.connections[1].role, Role::Accepted);
    assert_eq!(seen.bytes(0, Sent), b"ping");
    assert_eq!(seen.bytes(1, Received), b"ping");
    assert_eq!(seen.bytes(1, Sent), b"pong");
    assert_eq!(seen.bytes(0, Received), b"pong");
}

fn some_of_several(family: Family) {
    let seen = watch(family, "some_of_several");
    assert_eq!(seen.bytes(1, Received), b"one-two-");
}

fn peek(family: Family) {
    let seen = watch(family, "peek");
    assert_eq!(seen.shape(1, Received), [(0, 5, false)]);
    assert_eq!(seen.bytes(1, Received), b"hello");
}

fn trunc(family: Family) {
    let seen = watch(family, "trunc");
    assert_eq!(seen.shape(1, Received), [(0, 6, true), (6, 5, false)]);
    assert_eq!(seen.of(1, Received)[1].head, b"world");
}

fn sendfile(family: Family) {
    let seen = watch(family, "sendfile");
    sent_around_unseen(&seen, 1000);
}

fn splice_in(family: Family) {
    let seen = watch(family, "splice_in");
    sent_around_unseen(&seen, 500);
}

/// `head`, so many bytes that were not seen, `tail`.
fn sent_around_unseen(seen: &Seen, unseen: u32) {
    let sent = seen.of(0, Sent);
    let (first, last) = (sent[0], sent[sent.len() - 1]);
    assert_eq!((first.position, &first.head[..]), (0, &b"head"[..]));
    assert_eq!(last.position, u64::from(4 + unseen));
    assert_eq!(last.head, b"tail");
    let between = &sent[1..sent.len() - 1];
    assert!(between.iter().all(|p| p.unseen && p.head.is_empty()));
    assert_eq!(between.iter().map(|p| p.length).sum::<u32>(), unseen);
}

fn splice_out(family: Family) {
    let seen = watch(family, "splice_out");
    let expected = [(0, 4, false), (4, 500, true), (504, 4, false)];
    assert_eq!(seen.shape(1, Received), expected);
    assert_eq!(seen.of(1, Received)[2].head, b"tail");
}

fn uring(family: Family) {
    let seen = watch(family, "uring");
    let expected = [(0, 4, false), (4, 5, true), (9, 4, false)];
    assert_eq!(seen.shape(0, Sent), expected);
    assert_eq!(seen.shape(1, Received), expected);
    assert_eq!(seen.of(1, Received)[2].head, b"tail");
}

fn files(family: Family) {
    let seen = watch(family, "files");
    assert!(seen.pieces.is_empty(), "{seen:?}");
    assert!(seen.connections.is_empty(), "{seen:?}");
    assert_eq!(seen.counters.transfers_seen, 0);
}

fn dup(family: Family) {
    let seen = watch(family, "dup");
    assert_eq!(seen.connections.len(), 2);
    assert_eq!(seen.bytes(0, Sent), b"hello world");
}

fn fork(family: Family) {
    written_by_a_child(&watch(family, "fork"));
}

/// Parent, child, and the parent again write on one connection; then the child is gone.
pub fn written_by_a_child(seen: &Seen) {
    assert_eq!(seen.connections.len(), 2, "{seen:?}");
    assert_eq!(seen.bytes(0, Sent), b"parent child again");
    let child = seen.of(0, Sent)[1].pid;
    assert_ne!(child, seen.pid);
    let expected = [
        ProcessChange::Forked { parent: seen.pid },
        ProcessChange::Exited,
    ];
    assert_eq!(seen.changes(child), expected);
}

fn no_follow(family: Family) {
    let options = Options {
        follow: false,
        ..Options::default()
    };
    let seen = watch_with(family, "fork", None, &options, |_, _| {});
    assert!(seen.pieces.iter().all(|p| p.pid == seen.pid), "{seen:?}");
    assert_eq!(seen.changes(seen.pid).last(), Some(&ProcessChange::Exited));
}

fn pass(family: Family) {
    let seen = watch(family, "pass");
    // Beside it the channel through which the descriptor went.
    let n = seen.connections.iter().position(|c| c.addresses.is_some());
    let n = n.expect("the TCP connection");
    assert_eq!(seen.bytes(n, Sent), b"hello world");
    assert_ne!(seen.of(n, Sent)[1].pid, seen.pid);
}

fn large(family: Family) {
    let seen = watch(family, "large");
    // Where the send has to wait, the first read is over before it.
    let client = usize::from(seen.connections[0].role != Role::Connected);
    let sent = seen.of(client, Sent);
    assert_eq!(seen.shape(client, Sent), [(0, acts::LARGE as u32, false)]);
    let piece = sent[0];
    assert_eq!(piece.head.len(), 16 * 1024);
    assert_eq!(piece.tail.len(), 1024);
    assert!(
        piece
            .head
            .iter()
            .enumerate()
            .all(|(i, &b)| b == acts::byte(i))
    );
    let from = acts::LARGE - piece.tail.len();
    assert!(
        piece
            .tail
            .iter()
            .enumerate()
            .all(|(i, &b)| b == acts::byte(from + i))
    );
    // Past the limit of this turn, each read shows its beginning and end.
    let mut position = 0;
    for piece in seen.of(1 - client, Received) {
        assert_eq!(piece.position, position);
        let at = position as usize;
        assert!(
            piece
                .head
                .iter()
                .enumerate()
                .all(|(i, &b)| b == acts::byte(at + i))
        );
        let from = at + piece.length as usize - piece.tail.len();
        assert!(
            piece
                .tail
                .iter()
                .enumerate()
                .all(|(i, &b)| b == acts::byte(from + i))
        );
        position += u64::from(piece.length);
    }
    assert_eq!(position, acts::LARGE as u64);
}

fn ignored(family: Family) {
    let options = Options::default();
    let seen = watch_with(family, "chatter", None, &options, |verdicts, piece| {
        if !verdicts.ignore.contains(&piece.connection) {
            verdicts.ignore.push(piece.connection);
        }
    });
    let all = 4 * acts::ROUNDS as u64;
    let counters = seen.counters;
    assert_eq!(counters.sockets_ignored, 2);
    assert_eq!(counters.transfers_seen + counters.transfers_ignored, all);
    assert!(counters.transfers_ignored > all / 2, "{counters:?}");
}

fn ends(family: Family) {
    let seen = watch(family, "ends");
    let told = |n: usize| {
        let connection = seen.connections[n].connection;
        let ended = seen.ended.iter().filter(|e| e.connection == connection);
        ended.map(|e| e.what).collect::<Vec<_>>()
    };
    assert_eq!(told(0), [End::Sending, End::Receiving, End::All]);
    assert_eq!(told(1), [End::Receiving, End::Sending, End::All]);
}

fn exec(family: Family) {
    let seen = watch(family, "exec");
    let child = seen.processes.iter().find(|p| p.pid != seen.pid);
    let expected = [
        ProcessChange::Forked { parent: seen.pid },
        ProcessChange::Execed,
        ProcessChange::Exited,
    ];
    assert_eq!(seen.changes(child.expect("a child").pid), expected);
    assert_eq!(seen.changes(seen.pid).last(), Some(&ProcessChange::Exited));
}

fn late(family: Family) {
    let seen = watch(family, "late");
    let sent = seen.of(0, Sent);
    let received = seen.of(1, Received);
    assert_eq!(received.len(), 4);
    for (i, piece) in received.iter().enumerate() {
        let known = piece.start_ns != 0;
        // The syscall family does not know a connection before its first read.
        assert!(known || (family == Family::Syscall && i < 2), "{piece:?}");
        if known {
            let waited = piece.end_ns - piece.start_ns;
            assert!(u128::from(waited) >= acts::WAITED.as_nanos(), "{piece:?}");
            // Loopback delivers within the call that sends.
            assert!(piece.start_ns <= sent[i / 2].end_ns, "{piece:?} {sent:?}");
        }
    }
    // When the connection before it came to the socket that listens says nothing of the next one's bytes.
    let (sent, received) = (seen.of(2, Sent)[0], seen.of(3, Received)[0]);
    assert_eq!(received.start_ns != 0, family == Family::Sock);
    if received.start_ns != 0 {
        assert!(received.start_ns >= sent.start_ns, "{received:?} {sent:?}");
    }
}

fn compat(family: Family) {
    let program = tests::servers::go_386();
    let options = Options::default();
    let seen = watch_with(family, "run", program.to_str(), &options, |_, _| {});
    if family == Family::Syscall {
        // x86-64's tracepoints do not fire for 32-bit calls.
        assert!(seen.pieces.is_empty(), "{seen:?}");
        return;
    }
    let server = usize::from(seen.connections[0].role == Role::Connected);
    let request = b"GET /32 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(seen.bytes(1 - server, Sent), request);
    assert_eq!(seen.bytes(server, Received), request);
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(seen.bytes(1 - server, Received), response);
}

fn two_agents(family: Family) {
    // The other one traces this process and so, by following, the actor.
    let mut other = tracer::probe::Probes::attach(&Options {
        family: Some(family),
        ..Options::default()
    })
    .expect("attach");
    other.trace(std::process::id()).expect("trace");
    every_call(family);
    let mut bytes = 0;
    other.drain(|record| {
        if let Ok(tracer::event::Event::Transfer(t)) = tracer::event::decode(record) {
            bytes += if t.head == b"nine-" { 1 } else { 0 };
        }
    });
    // Sent and received.
    assert_eq!(bytes, 2);
}
