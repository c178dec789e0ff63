//! Records as the kernel side writes them, byte for byte, and what can't be one.

use super::*;

/// A transfer's record: 5 bytes received at 7, of process 2, thread 3, in the class of 256 bytes.
pub(crate) fn transfer_record() -> Vec<u8> {
    let mut record = vec![1, 0]; // kind, direction
    record.extend(1u16.to_ne_bytes()); // flags: last piece
    record.extend(5u32.to_ne_bytes()); // captured
    record.extend(42u64.to_ne_bytes()); // connection
    record.extend(7u64.to_ne_bytes()); // position
    record.extend(5u32.to_ne_bytes()); // length
    record.extend(0u32.to_ne_bytes()); // captured of the tail
    record.extend(100u64.to_ne_bytes()); // start
    record.extend(200u64.to_ne_bytes()); // end
    record.extend((2u64 << 32 | 3).to_ne_bytes()); // process and thread
    record.extend(8u64.to_ne_bytes()); // goroutine
    record.extend(9u64.to_ne_bytes()); // the one that started it
    record.extend(b"hello");
    record.resize(72 + 256, 0xee);
    record
}

#[test]
fn a_transfer_is_read_in_place() {
    let record = transfer_record();
    let Ok(Event::Transfer(transfer)) = decode(&record) else {
        panic!("{:?}", decode(&record));
    };
    assert_eq!(transfer.connection, ConnectionId(42));
    assert_eq!(transfer.direction, Direction::Received);
    assert_eq!((transfer.position, transfer.length), (7, 5));
    assert!(transfer.last_piece && !transfer.unseen);
    assert_eq!((transfer.start_ns, transfer.end_ns), (100, 200));
    assert_eq!((transfer.task.pid, transfer.task.tid), (2, 3));
    assert_eq!((transfer.task.goid, transfer.task.lineage), (8, 9));
    assert_eq!((transfer.head, transfer.tail), (&b"hello"[..], &b""[..]));
}

#[test]
fn the_tail_has_an_area_of_its_own() {
    let mut record = transfer_record();
    record[4..8].copy_from_slice(&2u32.to_ne_bytes());
    record[28..32].copy_from_slice(&3u32.to_ne_bytes());
    // The class of 256 and 1,024 bytes.
    record.resize(72 + 256 + 1024, 0xee);
    record[72 + 256..72 + 259].copy_from_slice(b"llo");
    let Ok(Event::Transfer(transfer)) = decode(&record) else {
        panic!("{:?}", decode(&record));
    };
    assert_eq!((transfer.head, transfer.tail), (&b"he"[..], &b"llo"[..]));
}

#[test]
fn a_transfer_that_claims_more_than_it_holds_is_refused() {
    let length = |record: &[u8]| BadRecord::Length {
        kind: 1,
        length: record.len(),
    };
    let short = &transfer_record()[..71];
    assert_eq!(decode(short).unwrap_err(), length(short));
    // No class has this size.
    let odd = &transfer_record()[..72 + 255];
    assert_eq!(decode(odd).unwrap_err(), length(odd));
    // More captured than the area holds, than were moved.
    for captured in [257u32, 6] {
        let mut record = transfer_record();
        record[4..8].copy_from_slice(&captured.to_ne_bytes());
        assert_eq!(decode(&record).unwrap_err(), length(&record));
    }
    let mut record = transfer_record();
    record[1] = 2;
    let expected = BadRecord::Value { kind: 1, at: 1 };
    assert_eq!(decode(&record).unwrap_err(), expected);
}

#[test]
fn a_connection_has_addresses_by_its_family() {
    let mut record = vec![2, 1, 10, 1]; // kind, accepted, AF_INET6, midway
    record.extend(9u32.to_ne_bytes());
    record.extend(42u64.to_ne_bytes());
    record.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]);
    record.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    record.extend(80u16.to_ne_bytes());
    record.extend(50_000u16.to_ne_bytes());
    record.extend(1_000u32.to_ne_bytes());
    record.extend(2_000u32.to_ne_bytes());
    record.extend(0u32.to_ne_bytes());
    record.extend(0u64.to_ne_bytes());
    record.extend(0u64.to_ne_bytes());
    let Ok(Event::Connection(connection)) = decode(&record) else {
        panic!("{:?}", decode(&record));
    };
    let addresses = connection.addresses.unwrap();
    assert_eq!(addresses.local.to_string(), "127.0.0.1:80");
    assert_eq!(addresses.remote.to_string(), "[::1]:50000");
    assert_eq!((connection.pid, connection.role), (9, Role::Accepted));
    assert_eq!(
        (connection.midway, connection.sequence),
        (true, (1_000, 2_000))
    );
    assert_eq!(connection.connect_ns, None);

    record[2] = 1; // AF_UNIX
    let Ok(Event::Connection(connection)) = decode(&record) else {
        panic!("{:?}", decode(&record));
    };
    assert_eq!(connection.addresses, None);

    record[2] = 7;
    let expected = BadRecord::Value { kind: 2, at: 2 };
    assert_eq!(decode(&record).unwrap_err(), expected);
}

#[test]
fn what_is_no_record_is_refused() {
    assert_eq!(
        decode(&[]).unwrap_err(),
        BadRecord::Value { kind: 0, at: 0 }
    );
    assert_eq!(
        decode(&[9; 64]).unwrap_err(),
        BadRecord::Value { kind: 9, at: 0 }
    );
    for kind in 1..=6 {
        let expected = BadRecord::Length { kind, length: 1 };
        assert_eq!(decode(&[kind]).unwrap_err(), expected);
    }
}
