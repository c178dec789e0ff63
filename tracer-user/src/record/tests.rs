//! What is put into a tap comes out of the file, as far as that goes.

use std::fs::{self, File};
use std::io::{BufReader, Cursor};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;
use crate::event::{Direction, Transfer};
use crate::resource::{Resource, Value};

/// Longer than a writer takes.
const LONG: Duration = Duration::from_secs(20);

const HEAD: &[u8] = b"GET /a?token=s3cr3t HTTP/1.1\r\nAuthorization: Bearer s3cr3t\r\n\r\n";

fn event(position: u64, bytes: &[u8]) -> Event<'_> {
    Event::Transfer(Transfer::of_bytes(Direction::Received, position, bytes))
}

/// Records a process, so many requests, and the end.
fn recorded(path: &Path, secrets: Secrets, requests: u64) {
    let recording = Recording::create(path, secrets).unwrap();
    let mut tap = recording.start("no probes", 5, [7; 32]).unwrap();
    let resource = Resource {
        pid: 1,
        service_name: "shop".to_owned(),
        attributes: vec![("a".to_owned(), Value::Int(-1))],
        go: true,
    };
    tap.process(&resource);
    for request in 0..requests {
        tap.event(&event(request * HEAD.len() as u64, HEAD));
        tap.clock(request, 5);
    }
    let kernel = KernelCounters {
        transfers_seen: requests,
        ..KernelCounters::default()
    };
    assert_eq!(tap.finish(kernel, LONG), 0);
}

/// All inputs, as they are shown, and how it ends.
fn read(bytes: &[u8]) -> Result<(Vec<String>, End), Error> {
    let mut reader = Reader::new(Cursor::new(bytes))?;
    let mut inputs = Vec::new();
    loop {
        match reader.input() {
            Ok(input) => inputs.push(format!("{input:?}")),
            Err(end) => return Ok((inputs, end)),
        }
    }
}

#[test]
fn what_is_recorded_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    // One that was there is as closed as a new one.
    fs::write(&path, "old").unwrap();
    recorded(&path, Secrets::Kept, 3);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bytes = fs::read(&path).unwrap();
    let mut reader = Reader::new(Cursor::new(&bytes)).unwrap();
    let header = reader.header();
    assert_eq!(
        (header.boot_to_unix, header.seed, header.secrets),
        (5, [7; 32], true)
    );
    match reader.input().unwrap() {
        Input::Process(process) => {
            assert_eq!((process.pid, process.go), (1, true));
            assert_eq!(process.attributes, [("a".to_owned(), Value::Int(-1))]);
        }
        other => panic!("{other:?}"),
    }
    let (inputs, end) = read(&bytes).unwrap();
    assert_eq!(end, End::Whole);
    assert_eq!(inputs.len(), 1 + 2 * 3 + 1);
    assert_eq!(inputs[1], format!("{:?}", Input::Event(event(0, HEAD))));
    assert!(inputs[7].starts_with("Stopped(KernelCounters { transfers_seen: 3,"));
}

#[test]
fn what_a_file_does_not_take_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    let recording = Recording::create(&path, Secrets::Kept).unwrap();
    let mut tap = recording.start("no probes", 5, [7; 32]).unwrap();
    fs::remove_file(&path).unwrap();
    for request in 0..3 {
        tap.event(&event(request, HEAD));
        tap.clock(request, 5);
    }
    tap.event(&event(3, HEAD));
    assert_eq!(tap.finish(KernelCounters::default(), LONG), 4);
}

#[test]
fn secrets_are_overwritten_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    recorded(&path, Secrets::Redacted, 2);
    let (inputs, end) = read(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(end, End::Whole);
    let hidden = b"GET /a?token=****** HTTP/1.1\r\nAuthorization: ****** ******\r\n\r\n";
    assert_eq!(inputs[1], format!("{:?}", Input::Event(event(0, hidden))));
}

#[test]
fn cut_anywhere_it_is_read_up_to_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    recorded(&path, Secrets::Redacted, 20);
    let bytes = fs::read(&path).unwrap();
    let (whole, _) = read(&bytes).unwrap();
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut most = 0;
    for length in 0..bytes.len() {
        match read(&bytes[..length]) {
            Ok((inputs, end)) => {
                // Without the stream's own end it is whole all the same.
                let wanted = match inputs.len() == whole.len() {
                    true => End::Whole,
                    false => End::Cut,
                };
                assert_eq!(end, wanted, "cut at {length}");
                assert_eq!(inputs, whole[..inputs.len()], "cut at {length}");
                assert!(inputs.len() >= most, "cut at {length}");
                most = inputs.len();
            }
            Err(error) => assert!(length < header, "{error}"),
        }
    }
    assert_eq!(most, whole.len());
}

/// Who reads a pipe need not wait for the end.
#[test]
fn a_pipe_gives_out_what_was_recorded_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let (tell, told) = channel();
    let pipe = path.clone();
    let reading = std::thread::spawn(move || {
        let file = File::open(pipe).unwrap();
        let mut reader = Reader::new(BufReader::new(file)).unwrap();
        while let Ok(input) = reader.input() {
            tell.send(format!("{input:?}")).unwrap();
        }
    });
    let recording = Recording::create(&path, Secrets::Kept).unwrap();
    let mut tap = recording.start("no probes", 5, [7; 32]).unwrap();
    for position in [0, 100] {
        tap.event(&event(position, HEAD));
        tap.clock(5, 5);
        let wanted = format!("{:?}", Input::Event(event(position, HEAD)));
        assert_eq!(told.recv_timeout(LONG).unwrap(), wanted);
        assert!(told.recv_timeout(LONG).unwrap().starts_with("Clock"));
    }
    assert_eq!(tap.finish(KernelCounters::default(), LONG), 0);
    reading.join().unwrap();
}

/// What was damaged is not taken for what was seen.
#[test]
fn a_flipped_bit_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    recorded(&path, Secrets::Redacted, 4);
    let bytes = fs::read(&path).unwrap();
    let (whole, _) = read(&bytes).unwrap();
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let bits = bytes.len() * 8;
    for flip in 0..10_000 {
        let bit = flip * 7 % bits;
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match read(&bytes) {
            Ok((inputs, _)) => assert_eq!(inputs, whole[..inputs.len()], "bit {bit}"),
            Err(error) => assert!(bit / 8 < header, "bit {bit}: {error}"),
        }
    }
}

#[test]
fn what_is_no_recording_is_told() {
    for (bytes, said) in [
        (&b""[..], "neither a recording"),
        (b"GET / HTTP/1.1\r\n", "neither a recording"),
        (b"tracer-recording x\n", "neither a recording"),
        (b"tracer-recording {}\n", "neither a recording"),
        (b"tracer-recording {\"format\":99}\n", "format 99"),
        (b"tracer-recording {\"format\":1}\n", "neither a recording"),
    ] {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_a_stuck_disk_does_not_take_is_counted() {
    let (full, blocks) = std::sync::mpsc::sync_channel(1);
    let (_empties, empty) = std::sync::mpsc::channel();
    let (alive, ended) = std::sync::mpsc::channel();
    let mut tap = Tap::new(full, empty, ended, Arc::default());
    for position in 0..4 {
        tap.event(&event(position * 100, HEAD));
        tap.clock(position, 0);
    }
    assert_eq!(tap.lost(), 3, "one block waits");
    drop(blocks.recv().unwrap());
    tap.event(&event(500, HEAD));
    tap.clock(5, 0);
    let block = blocks.recv().unwrap();
    let (input, _) = postcard::take_from_bytes::<Input<'_>>(&block.bytes).unwrap();
    assert!(matches!(input, Input::Lost(3)), "{input:?}");
    drop((blocks, alive));
    assert_eq!(tap.finish(KernelCounters::default(), LONG), 3);
}

/// A header block of HTTP/2 that another block of the recording goes on with.
#[test]
fn what_is_cut_between_blocks_is_held_back() {
    let headers = b"\0\0\x0b\x01\x04\0\0\0\x01\x82\x57\x06s3cr3t\x84\x86";
    let input = |position: u64, bytes: &[u8]| {
        postcard::to_allocvec(&Input::Event(event(position, bytes))).unwrap()
    };
    let mut redactor = redact::Redactor::default();
    let plain = input(0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let one = input(24, &headers[..14]);
    let other = input(38, &headers[14..]);
    let written = redactor.block([plain.clone(), one.clone()].concat());
    assert_eq!(written, plain, "the rest waits");
    let written = redactor.block(other.clone());
    let hidden = b"\0\0\x0b\x01\x04\0\0\0\x01\x82\x57\x06******\x84\x86";
    let wanted = [input(24, &hidden[..14]), input(38, &hidden[14..])].concat();
    assert_eq!(written, wanted);
    // Nothing more came of this one.
    let mut redactor = redact::Redactor::default();
    assert_eq!(redactor.block([plain.clone(), one].concat()), plain);
    let rest = redactor.rest();
    assert!(!rest.windows(3).any(|part| part == b"s3c"), "{rest:?}");
}

/// What the redactor makes of these inputs, told as they are written.
fn redacted(inputs: &[Input<'_>]) -> String {
    let written = redact::Redactor::default().block(written(inputs));
    written.escape_ascii().to_string()
}

fn written(inputs: &[Input<'_>]) -> Vec<u8> {
    let bytes = |input| postcard::to_allocvec(input).unwrap();
    inputs.iter().flat_map(bytes).collect()
}

fn answer(position: u64, bytes: &[u8]) -> Input<'_> {
    let transfer = Transfer::of_bytes(Direction::Sent, position, bytes);
    Input::Event(Event::Transfer(transfer))
}

/// Whose bytes all these are.
fn connection() -> ConnectionId {
    Transfer::of_bytes(Direction::Sent, 0, b"").connection
}

const HIDDEN_HEAD: &[u8] = b"GET /a?token=****** HTTP/1.1\r\nAuthorization: ****** ******\r\n\r\n";

/// A connection that becomes a WebSocket: the verdict stands before the answer that shows it.
#[test]
fn what_nobody_reads_any_more_is_not_kept() {
    let turns = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    let conversation = |head, frame| {
        [
            Input::Event(event(0, head)),
            Input::Ignored(connection()),
            answer(0, turns),
            Input::Event(event(HEAD.len() as u64, frame)),
            answer(turns.len() as u64, frame),
        ]
    };
    assert_eq!(
        redacted(&conversation(HEAD, b"\x81\x06s3cr3t")),
        written(&conversation(HIDDEN_HEAD, &[0; 8]))
            .escape_ascii()
            .to_string()
    );
}

/// A connection that becomes HTTP/2's, likewise, in the midst of a transfer.
#[test]
fn frames_behind_an_upgrade_are_known() {
    let turns = |secret: &str| {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: {secret}\r\n\r\n");
        let frame = b"\0\0\x0b\x01\x04\0\0\0\x01\x88\x57\x06";
        [head.as_bytes(), frame, secret.as_bytes(), b"\x84\x86"].concat()
    };
    let (shown, hidden) = (turns("s3cr3t"), turns("******"));
    let conversation = |head, turns| {
        [
            Input::Event(event(0, head)),
            Input::Framed {
                connection: connection(),
                http2: true,
            },
            answer(0, turns),
        ]
    };
    assert_eq!(
        redacted(&conversation(HEAD, &shown)),
        written(&conversation(HIDDEN_HEAD, &hidden))
            .escape_ascii()
            .to_string()
    );
}

/// As Go's server reads it: the verdict stands before the second part.
#[test]
fn a_connection_s_begin_may_come_in_parts() {
    let parts: [&[u8]; 3] = [
        b"PRI * HTTP/2.0",
        b"\r\n\r\nSM\r\n\r\n",
        b"\0\0\x0b\x01\x04\0\0\0\x01\x82\x57\x06s3cr3t\x84\x86",
    ];
    let hidden = b"\0\0\x0b\x01\x04\0\0\0\x01\x82\x57\x06******\x84\x86";
    let framed = || Input::Framed {
        connection: connection(),
        http2: true,
    };
    let conversation = |last| {
        [
            Input::Event(event(0, parts[0])),
            framed(),
            Input::Event(event(14, parts[1])),
            Input::Event(event(24, last)),
        ]
    };
    assert_eq!(
        redacted(&conversation(parts[2])),
        written(&conversation(hidden)).escape_ascii().to_string()
    );
}
