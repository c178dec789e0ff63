//! Who holds a connection: descriptors that are replaced, used again, closed beneath a reader; processes
//! that come about by other ways than `fork`, or take over what others accepted.

use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use tests::wait;
use tracer::event::{Direction::Received, Direction::Sent, End, ProcessChange, Role};
use tracer::probe::Family;

use crate::socket::{self, Pair, done, read, write};
use crate::traps::{Test, written_by_a_child};
use crate::watch::watch;

/// The traps of this module.
pub const TESTS: &[(&str, Test)] = &[
    ("a_descriptor_is_another_connection_after_dup2", replaced),
    (
        "a_descriptor_used_again_at_once_is_another_connection",
        reused,
    ),
    ("a_child_of_vfork_shares_the_connection", lent),
    ("a_thread_that_executes_a_program_is_the_process", executed),
    ("who_reads_need_not_have_accepted", handed),
    ("a_descriptor_closed_beneath_its_reader", closed),
    ("a_socketpair_is_seen", paired),
];

/// How often [`reused`] opens and closes.
const TIMES: usize = 20;

/// Does what the test of that name looks at.
pub fn act(name: &str) {
    match name {
        "replaced" => {
            let (mut one, mut other) = (socket::tcp("127.0.0.1"), socket::tcp("127.0.0.1"));
            write(&mut one.client, b"one");
            // SAFETY: descriptors of ours; the first one's connection is closed by it.
            let fd = unsafe { libc::dup2(other.client.as_raw_fd(), one.client.as_raw_fd()) };
            assert_eq!(fd, one.client.as_raw_fd());
            write(&mut one.client, b"other");
            read(&mut one.server, 3);
            assert_eq!(socket::recv(&one.server, &mut [0; 1], 0), 0, "it is closed");
            read(&mut other.server, 5);
        }
        "reused" => {
            let mut descriptors = Vec::new();
            for i in 0..TIMES {
                let fd = if i / 2 % 2 == 0 {
                    reuse(socket::tcp("127.0.0.1"), i)
                } else {
                    let (client, server) = UnixStream::pair().expect("a pair");
                    reuse(Pair { client, server }, i)
                };
                descriptors.push(fd);
            }
            assert!(descriptors.windows(2).any(|two| two[0] == two[1]));
        }
        "lent" => lend(&mut socket::tcp("127.0.0.1")),
        "executed" => {
            let mut pair = socket::tcp("127.0.0.1");
            write(&mut pair.client, b"before");
            read(&mut pair.server, 6);
            let thread = std::thread::spawn(|| {
                use std::os::unix::process::CommandExt;
                let error = Command::new("/proc/self/exe")
                    .args(["--act", "after"])
                    .exec();
                panic!("not executed: {error}");
            });
            let _ = thread.join();
        }
        "after" => {
            let mut pair = socket::tcp("127.0.0.1");
            write(&mut pair.client, b"after");
            read(&mut pair.server, 5);
        }
        "handed" => {
            let mut pair = socket::tcp("127.0.0.1");
            // SAFETY: this process has one thread.
            let child = unsafe { libc::fork() };
            if child == 0 {
                read(&mut pair.server, 4);
                write(&mut pair.server, b"pong");
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) };
            }
            drop(pair.server);
            write(&mut pair.client, b"ping");
            read(&mut pair.client, 4);
            socket::wait(child);
        }
        "closed" => close_beneath(socket::tcp("127.0.0.1")),
        "paired" => {
            let (mut client, mut server) = UnixStream::pair().expect("a pair");
            write(&mut client, b"ping");
            read(&mut server, 4);
            write(&mut server, b"pong");
            read(&mut client, 4);
        }
        other => panic!("no act `{other}`"),
    }
}

/// One word there, then both ends closed. The client's descriptor.
fn reuse<S: std::io::Read + std::io::Write + AsRawFd>(mut pair: Pair<S>, i: usize) -> RawFd {
    write(&mut pair.client, format!("{i:02}").as_bytes());
    read(&mut pair.server, 2);
    pair.client.as_raw_fd()
}

/// A child that runs in its parent's memory, while that waits, writes on its connection.
fn lend(pair: &mut Pair<TcpStream>) {
    extern "C" fn child(fd: *mut libc::c_void) -> libc::c_int {
        let word = b"child ";
        // SAFETY: bytes of ours.
        let sent = unsafe { libc::write(fd as RawFd, word.as_ptr().cast(), word.len()) };
        libc::c_int::from(sent != word.len() as isize)
    }
    write(&mut pair.client, b"parent ");
    let mut stack = vec![0u8; 64 * 1024];
    let fd = pair.client.as_raw_fd() as usize as *mut libc::c_void;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is the child's alone, and outlives it, since this thread waits for its end. It
    // makes one system call.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast();
        libc::clone(child, top, flags, fd)
    };
    socket::wait(pid);
    write(&mut pair.client, b"again");
    read(&mut pair.server, 18);
}

/// Closes the server's descriptor while a thread waits in `read` on it, and only then sends.
fn close_beneath(pair: Pair<TcpStream>) {
    let Pair { mut client, server } = pair;
    let fd = server.into_raw_fd();
    let (tell, told) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        // SAFETY: no preconditions.
        tell.send(unsafe { libc::gettid() })
            .expect("somebody listens");
        let mut buffer = [0u8; 4];
        // SAFETY: a buffer of ours.
        done(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), 4) })
    });
    let running = format!("/proc/self/task/{}/syscall", told.recv().expect("its id"));
    wait::until("the thread to read", wait::SOON, || {
        let call = std::fs::read_to_string(&running).ok()?;
        call.starts_with("0 ").then_some(())
    });
    // SAFETY: the descriptor is this function's own.
    drop(unsafe { TcpStream::from_raw_fd(fd) });
    write(&mut client, b"late");
    assert_eq!(reader.join().expect("the reader"), 4);
}

fn replaced(family: Family) {
    let seen = watch(family, "replaced");
    assert_eq!(seen.connections.len(), 4, "{seen:?}");
    // In the order of their first transfers: each client, then each server.
    let bytes: Vec<_> = (0..2).map(|n| seen.bytes(n, Sent)).collect();
    assert_eq!(bytes, [b"one".to_vec(), b"other".to_vec()]);
    let bytes: Vec<_> = (2..4).map(|n| seen.bytes(n, Received)).collect();
    assert_eq!(bytes, [b"one".to_vec(), b"other".to_vec()]);
    let replaced = seen.connections[0].connection;
    let mut ends = seen.ended.iter().filter(|e| e.connection == replaced);
    assert!(ends.any(|e| e.what == End::Sending), "{seen:?}");
}

fn reused(family: Family) {
    let seen = watch(family, "reused");
    assert_eq!(seen.connections.len(), 2 * TIMES, "{seen:?}");
    for n in 0..TIMES {
        let word = format!("{n:02}").into_bytes();
        assert_eq!(seen.bytes(2 * n, Sent), word);
        assert_eq!(seen.bytes(2 * n + 1, Received), word);
    }
}

fn lent(family: Family) {
    written_by_a_child(&watch(family, "lent"));
}

fn executed(family: Family) {
    let seen = watch(family, "executed");
    assert_eq!(seen.connections.len(), 4, "{seen:?}");
    assert_eq!(seen.bytes(0, Sent), b"before");
    assert_eq!(seen.bytes(2, Sent), b"after");
    assert_eq!(seen.of(2, Sent)[0].pid, seen.pid);
    // The thread that began the process is gone with the exec; the process is not.
    let mut changes = seen.changes(seen.pid);
    if changes.len() > 2 {
        // The actor was traced just before its own start was told.
        assert_eq!(changes.remove(0), ProcessChange::Execed);
    }
    assert_eq!(changes, [ProcessChange::Execed, ProcessChange::Exited]);
}

fn handed(family: Family) {
    let seen = watch(family, "handed");
    assert_eq!(seen.connections.len(), 2, "{seen:?}");
    let server = usize::from(seen.connections[0].role == Role::Connected);
    assert_eq!(seen.connections[server].role, Role::Accepted);
    assert_eq!(seen.bytes(server, Received), b"ping");
    assert_eq!(seen.bytes(server, Sent), b"pong");
    let child = seen.of(server, Received)[0].pid;
    assert_ne!(child, seen.pid);
    assert_eq!(seen.of(server, Sent)[0].pid, child);
    assert_eq!(seen.bytes(1 - server, Received), b"pong");
}

fn closed(family: Family) {
    let seen = watch(family, "closed");
    let mut received: Vec<_> = (0..seen.connections.len())
        .map(|n| seen.bytes(n, Received))
        .collect();
    received.retain(|bytes| !bytes.is_empty());
    match family {
        Family::Sock => assert_eq!(received, [b"late"]),
        // When the call returns, the descriptor names nothing any more.
        Family::Syscall => assert!(received.is_empty(), "{seen:?}"),
    }
}

fn paired(family: Family) {
    let seen = watch(family, "paired");
    assert_eq!(seen.connections.len(), 2, "{seen:?}");
    assert!(seen.connections.iter().all(|c| c.addresses.is_none()));
    assert_eq!(seen.bytes(0, Sent), b"ping");
    assert_eq!(seen.bytes(1, Received), b"ping");
    assert_eq!(seen.bytes(1, Sent), b"pong");
    assert_eq!(seen.bytes(0, Received), b"pong");
}
