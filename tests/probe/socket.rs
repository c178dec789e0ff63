//! Sockets as the acts need them: plain system calls, so that each act makes exactly those that it is
//! about.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// Two ends of a connection.
pub struct Pair<S> {
    /// It connected.
    pub client: S,
    /// It was accepted.
    pub server: S,
}

/// A TCP connection over the loopback device.
pub fn tcp(host: &str) -> Pair<TcpStream> {
    let host: IpAddr = host.parse().expect("an address");
    connection(&TcpListener::bind(SocketAddr::new(host, 0)).expect("bind"))
}

/// The next connection of a socket that listens.
pub fn connection(listener: &TcpListener) -> Pair<TcpStream> {
    let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let (server, _) = listener.accept().expect("accept");
    client.set_nodelay(true).expect("nodelay");
    server.set_nodelay(true).expect("nodelay");
    Pair { client, server }
}

/// A stream of `AF_UNIX`, through a listener.
pub fn unix() -> Pair<UnixStream> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).expect("bind");
    let client = UnixStream::connect(&path).expect("connect");
    let (server, _) = listener.accept().expect("accept");
    Pair { client, server }
}

/// `read`s exactly this many bytes, in as few calls as the socket gives.
pub fn read(stream: &mut impl Read, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("read");
    bytes
}

/// One `write` of all.
pub fn write(stream: &mut impl Write, bytes: &[u8]) {
    assert_eq!(stream.write(bytes).expect("write"), bytes.len());
}

/// The result of a system call as a number of bytes (or of whatever it counts).
pub fn done(result: isize) -> usize {
    usize::try_from(result).unwrap_or_else(|_| panic!("{}", io::Error::last_os_error()))
}

/// One `recv` with flags.
pub fn recv(stream: &impl AsRawFd, buffer: &mut [u8], flags: i32) -> usize {
    // SAFETY: a buffer of ours and its length.
    done(unsafe {
        libc::recv(
            stream.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            flags,
        )
    })
}

/// iovecs over buffers.
pub fn iovecs(buffers: &mut [Vec<u8>]) -> Vec<libc::iovec> {
    buffers
        .iter_mut()
        .map(|buffer| libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        })
        .collect()
}

/// A message of iovecs.
pub fn message(iovecs: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = iovecs.as_mut_ptr();
    message.msg_iovlen = iovecs.len();
    message
}

/// A pipe: read end, write end.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: an array of two ints.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: two new descriptors that nobody else owns.
    unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) }
}

/// Waits for a child; it must have ended well.
pub fn wait(child: libc::pid_t) {
    let mut status = 0;
    // SAFETY: an int of ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child failed");
}
