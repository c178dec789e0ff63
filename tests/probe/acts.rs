//! What actors do: one function per act, between plain sockets of their own.
//!
//! Both ends belong to the actor, so a test sees each transfer twice: sent by the client's end,
//! received by the server's.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use tests::wait;

use crate::socket::{self, Pair, done, iovecs, message, read, recv, write};
use crate::{frames, holders};

/// What [`every_call`] sends.
pub const WORDS: &[u8] = b"one-two-three-four-five-six-seven-eight-nine-";
/// What [`large`] sends at once.
pub const LARGE: usize = 100_000;
/// How often [`chatter`] goes back and forth.
pub const ROUNDS: usize = 20_000;
/// How long [`late`] lets bytes wait.
pub const WAITED: Duration = Duration::from_millis(3);

/// Waits for the word to go, acts, ends.
pub fn run(name: &str, argument: Option<String>) {
    let mut go = String::new();
    io::stdin().read_line(&mut go).expect("the word to go");
    match name {
        "every_call" => every_call(&mut socket::tcp("127.0.0.1")),
        "ipv6" => exchange(&mut socket::tcp("::1")),
        "unix" => {
            let mut pair = socket::unix();
            write(&mut pair.client, b"ping");
            read(&mut pair.server, 4);
            write(&mut pair.server, b"pong");
            read(&mut pair.client, 4);
        }
        "some_of_several" => some_of_several(),
        "peek" => peek(),
        "trunc" => trunc(),
        "sendfile" => sendfile(),
        "splice_in" => splice_in(),
        "splice_out" => splice_out(),
        "uring" => uring(),
        "files" => files(),
        "dup" => dup(),
        "fork" => fork(),
        "pass" => pass(),
        "large" => large(),
        "chatter" => chatter(),
        "ends" => ends(),
        "exec" => exec(),
        "late" => late(),
        "run" => {
            let program = argument.expect("a program");
            let status = Command::new(program).status().expect("run it");
            assert!(status.success());
        }
        frames if frames.starts_with("frames_") => frames::act(name, &argument.unwrap_or_default()),
        _ => holders::act(name),
    }
}

fn exchange(pair: &mut Pair<TcpStream>) {
    write(&mut pair.client, b"ping");
    read(&mut pair.server, 4);
    write(&mut pair.server, b"pong");
    read(&mut pair.client, 4);
}

/// Each call that sends, then each that receives.
fn every_call(pair: &mut Pair<TcpStream>) {
    let client = pair.client.as_raw_fd();
    write(&mut pair.client, b"one-");
    let mut words = [b"two-".to_vec(), b"three-".to_vec()];
    let vector = iovecs(&mut words);
    // SAFETY: iovecs over buffers of ours, here and below.
    let sent = done(unsafe { libc::writev(client, vector.as_ptr(), 2) });
    assert_eq!(sent, 10);
    let mut words = [b"four-".to_vec(), b"five-".to_vec()];
    let mut vector = iovecs(&mut words);
    // SAFETY: as above.
    let sent = done(unsafe { libc::sendmsg(client, &message(&mut vector), 0) });
    assert_eq!(sent, 10);
    let (mut first, mut second) = ([b"six-".to_vec()], [b"seven-".to_vec(), b"eight-".to_vec()]);
    let (mut first, mut second) = (iovecs(&mut first), iovecs(&mut second));
    let mut messages = [&mut first, &mut second].map(|vector| libc::mmsghdr {
        msg_hdr: message(vector),
        msg_len: 0,
    });
    // SAFETY: as above.
    let sent = unsafe { libc::sendmmsg(client, messages.as_mut_ptr(), 2, 0) };
    assert_eq!(sent, 2);
    let word = b"nine-";
    // SAFETY: as above.
    let sent = unsafe {
        libc::sendto(
            client,
            word.as_ptr().cast(),
            word.len(),
            0,
            std::ptr::null(),
            0,
        )
    };
    assert_eq!(done(sent), 5);

    let server = pair.server.as_raw_fd();
    await_bytes(&pair.server, WORDS.len());
    read(&mut pair.server, 4);
    let mut words = [vec![0; 4], vec![0; 6]];
    let vector = iovecs(&mut words);
    // SAFETY: as above.
    let received = done(unsafe { libc::readv(server, vector.as_ptr(), 2) });
    assert_eq!(received, 10);
    let mut words = [vec![0; 5], vec![0; 5]];
    let mut vector = iovecs(&mut words);
    // SAFETY: as above.
    let received = done(unsafe { libc::recvmsg(server, &mut message(&mut vector), 0) });
    assert_eq!(received, 10);
    let (mut first, mut second) = ([vec![0; 4]], [vec![0; 6], vec![0; 6]]);
    let (mut first, mut second) = (iovecs(&mut first), iovecs(&mut second));
    let mut messages = [&mut first, &mut second].map(|vector| libc::mmsghdr {
        msg_hdr: message(vector),
        msg_len: 0,
    });
    // SAFETY: as above.
    let received =
        unsafe { libc::recvmmsg(server, messages.as_mut_ptr(), 2, 0, std::ptr::null_mut()) };
    assert_eq!(received, 2);
    assert_eq!(recv(&pair.server, &mut [0; 100], 0), 5);
}

/// Calls for two messages of which there is one: the second one's failure ends the call.
fn some_of_several() {
    let mut pair = socket::tcp("127.0.0.1");
    for word in [b"one-", b"two-"] {
        write(&mut pair.client, word);
        await_bytes(&pair.server, word.len());
        let (mut first, mut second) = ([vec![0; 4]], [vec![0; 4]]);
        let (mut first, mut second) = (iovecs(&mut first), iovecs(&mut second));
        let mut messages = [&mut first, &mut second].map(|vector| libc::mmsghdr {
            msg_hdr: message(vector),
            msg_len: 0,
        });
        let (server, none) = (pair.server.as_raw_fd(), std::ptr::null_mut());
        // SAFETY: iovecs over buffers of ours.
        let received =
            unsafe { libc::recvmmsg(server, messages.as_mut_ptr(), 2, libc::MSG_DONTWAIT, none) };
        assert_eq!(received, 1);
    }
}

/// Until so many bytes wait in the socket.
fn await_bytes(stream: &impl AsRawFd, wanted: usize) {
    let deadline = Instant::now() + wait::patiently(Duration::from_secs(5));
    loop {
        let mut waiting: libc::c_int = 0;
        // SAFETY: an int of ours.
        let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::FIONREAD, &mut waiting) };
        assert_eq!(result, 0);
        if waiting as usize >= wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{waiting} of {wanted} bytes came"
        );
        std::thread::yield_now();
    }
}

fn peek() {
    let mut pair = socket::tcp("127.0.0.1");
    write(&mut pair.client, b"hello");
    let mut buffer = [0; 3];
    assert_eq!(recv(&pair.server, &mut buffer, libc::MSG_PEEK), 3);
    assert_eq!(recv(&pair.server, &mut buffer, libc::MSG_PEEK), 3);
    read(&mut pair.server, 5);
}

fn trunc() {
    let mut pair = socket::tcp("127.0.0.1");
    write(&mut pair.client, b"hello world");
    // TCP throws the bytes away and leaves the buffer alone.
    await_bytes(&pair.server, 11);
    assert_eq!(recv(&pair.server, &mut [0; 6], libc::MSG_TRUNC), 6);
    read(&mut pair.server, 5);
}

fn sendfile() {
    let mut pair = socket::tcp("127.0.0.1");
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&[b'x'; 1000]).expect("fill it");
    write(&mut pair.client, b"head");
    let mut offset = 0;
    // SAFETY: descriptors and an offset of ours.
    let sent =
        unsafe { libc::sendfile(pair.client.as_raw_fd(), file.as_raw_fd(), &mut offset, 1000) };
    assert_eq!(done(sent), 1000);
    write(&mut pair.client, b"tail");
    read(&mut pair.server, 1008);
}

fn splice(from: &impl AsRawFd, to: &impl AsRawFd, length: usize) -> usize {
    let (none, from, to) = (std::ptr::null_mut(), from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: descriptors of ours, no offsets.
    done(unsafe { libc::splice(from, none, to, none, length, 0) })
}

fn splice_in() {
    let mut pair = socket::tcp("127.0.0.1");
    let (out, into) = socket::pipe();
    std::fs::File::from(into)
        .write_all(&[b'x'; 500])
        .expect("fill the pipe");
    write(&mut pair.client, b"head");
    assert_eq!(splice(&out, &pair.client, 500), 500);
    write(&mut pair.client, b"tail");
    read(&mut pair.server, 508);
}

fn splice_out() {
    let mut pair = socket::tcp("127.0.0.1");
    let (_out, into) = socket::pipe();
    write(&mut pair.client, b"head");
    read(&mut pair.server, 4);
    write(&mut pair.client, &[b'x'; 500]);
    await_bytes(&pair.server, 500);
    assert_eq!(splice(&pair.server, &into, 500), 500);
    write(&mut pair.client, b"tail");
    read(&mut pair.server, 4);
}

fn uring() {
    use io_uring::{IoUring, opcode, types};
    let mut pair = socket::tcp("127.0.0.1");
    let mut ring = IoUring::new(4).expect("io_uring");
    let mut submit = |entry: io_uring::squeue::Entry| {
        // SAFETY: the buffers outlive the call, which waits for its completion.
        unsafe { ring.submission().push(&entry) }.expect("room");
        ring.submit_and_wait(1).expect("submit");
        let result = ring.completion().next().expect("a completion").result();
        usize::try_from(result).unwrap_or_else(|_| panic!("io_uring: {result}"))
    };
    write(&mut pair.client, b"head");
    let sent = b"hello";
    let entry = opcode::Send::new(types::Fd(pair.client.as_raw_fd()), sent.as_ptr(), 5);
    assert_eq!(submit(entry.build()), 5);
    write(&mut pair.client, b"tail");

    await_bytes(&pair.server, 13);
    read(&mut pair.server, 4);
    let mut received = [0u8; 5];
    let server = types::Fd(pair.server.as_raw_fd());
    let entry = opcode::Recv::new(server, received.as_mut_ptr(), 5);
    assert_eq!(submit(entry.build()), 5);
    read(&mut pair.server, 4);
}

/// Input and output that is none of a socket.
fn files() {
    let mut file = tempfile::tempfile().expect("a file");
    let mut other = tempfile::tempfile().expect("a file");
    file.write_all(&[b'x'; 1000]).expect("write");
    let fd = file.as_raw_fd();
    let mut buffer = [0u8; 100];
    // SAFETY: descriptors and buffers of ours.
    unsafe {
        assert_eq!(done(libc::pwrite(fd, buffer.as_ptr().cast(), 100, 0)), 100);
        assert_eq!(
            done(libc::pread(fd, buffer.as_mut_ptr().cast(), 100, 0)),
            100
        );
        let mut offset = 0;
        assert_eq!(
            done(libc::sendfile(other.as_raw_fd(), fd, &mut offset, 500)),
            500
        );
    }
    other.read_to_end(&mut Vec::new()).expect("read");
    let (out, into) = socket::pipe();
    std::fs::File::from(into)
        .write_all(b"through a pipe")
        .expect("write");
    std::fs::File::from(out)
        .read_to_end(&mut Vec::new())
        .expect("read");
}

fn dup() {
    let mut pair = socket::tcp("127.0.0.1");
    write(&mut pair.client, b"hello ");
    let mut other = pair.client.try_clone().expect("dup");
    write(&mut other, b"world");
    read(&mut pair.server, 11);
}

fn fork() {
    let mut pair = socket::tcp("127.0.0.1");
    write(&mut pair.client, b"parent ");
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        write(&mut pair.client, b"child ");
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    socket::wait(child);
    write(&mut pair.client, b"again");
    read(&mut pair.server, 18);
}

/// A descriptor passed to another process, which did not inherit it.
fn pass() {
    let channel = socket::unix();
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut socket = TcpStream::from(receive_descriptor(&channel.client));
        write(&mut socket, b"world");
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    let mut pair = socket::tcp("127.0.0.1");
    write(&mut pair.client, b"hello ");
    send_descriptor(&channel.server, &pair.client);
    socket::wait(child);
    read(&mut pair.server, 11);
}

/// Room for one descriptor in a control message, aligned as one.
type Control = [u64; 4];

fn send_descriptor(channel: &impl AsRawFd, descriptor: &impl AsRawFd) {
    let mut byte = [b"!".to_vec()];
    let mut vector = iovecs(&mut byte);
    let mut message = message(&mut vector);
    let mut control: Control = [0; 4];
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: the control buffer has room for a header and an int.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(header)
            .cast::<i32>()
            .write_unaligned(descriptor.as_raw_fd());
        done(libc::sendmsg(channel.as_raw_fd(), &message, 0));
    }
}

fn receive_descriptor(channel: &impl AsRawFd) -> OwnedFd {
    let mut byte = [vec![0]];
    let mut vector = iovecs(&mut byte);
    let mut message = message(&mut vector);
    let mut control: Control = [0; 4];
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>();
    // SAFETY: the kernel fills the control buffer with a header and an int, a new descriptor.
    unsafe {
        done(libc::recvmsg(channel.as_raw_fd(), &mut message, 0));
        let header = libc::CMSG_FIRSTHDR(&message);
        assert!(!header.is_null());
        OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<i32>().read_unaligned())
    }
}

/// What byte `i` of [`large`] is.
pub fn byte(i: usize) -> u8 {
    (i % 251) as u8
}

fn large() {
    let mut pair = socket::tcp("127.0.0.1");
    let reader = std::thread::spawn(move || {
        read(&mut pair.server, LARGE);
    });
    let bytes: Vec<u8> = (0..LARGE).map(byte).collect();
    // The socket blocks, so one call moves all.
    write(&mut pair.client, &bytes);
    reader.join().expect("the reader");
}

fn chatter() {
    let mut pair = socket::tcp("127.0.0.1");
    for _ in 0..ROUNDS {
        exchange(&mut pair);
    }
}

fn ends() {
    let mut pair = socket::tcp("127.0.0.1");
    write(&mut pair.client, b"ping");
    pair.client
        .shutdown(std::net::Shutdown::Write)
        .expect("shutdown");
    let mut all = Vec::new();
    pair.server.read_to_end(&mut all).expect("read");
    write(&mut pair.server, b"pong");
    drop(pair.server);
    pair.client.read_to_end(&mut all).expect("read");
}

fn exec() {
    let status = Command::new("true").status().expect("run it");
    assert!(status.success());
}

fn late() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let mut pair = socket::connection(&listener);
    for _ in 0..2 {
        write(&mut pair.client, b"hello");
        await_bytes(&pair.server, 5);
        let arrived = Instant::now();
        while arrived.elapsed() < WAITED {
            std::hint::spin_loop();
        }
        // In two reads: the second one's bytes waited just as long.
        read(&mut pair.server, 2);
        read(&mut pair.server, 3);
    }
    let mut next = socket::connection(&listener);
    write(&mut next.client, b"hello");
    read(&mut next.server, 5);
}
