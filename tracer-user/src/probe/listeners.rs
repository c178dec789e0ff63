//! The listening sockets of a process that is traced from now on.
//!
//! A socket that is accepted inherits what the kernel side keeps with the listening one, if that has
//! something to inherit; then the arrival of its very first bytes is seen. Sockets that begin to
//! listen later get it from the programs; this gives it to those that listen already.
//!
//! Bias: a help, not a need. What can't be reached is left, and then only a connection's first
//! request lacks its time of arrival.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use aya::maps::{MapData, SkStorage};
use tracer_ebpf::abi::SOCKET_STATE;

/// What the kernel side keeps with sockets, by descriptor.
pub(super) type Sockets = SkStorage<MapData, [u8; SOCKET_STATE]>;

/// Descriptors that are looked at, lowest first: sockets that listen are opened early, and a process
/// with 10,000 connections must not be held up for them.
const MOST_DESCRIPTORS: usize = 256;

/// `BPF_NOEXIST`: leave what is there.
const NO_EXIST: u64 = 1;

/// Marks the listening sockets of a process.
pub(super) fn mark(sockets: &mut Sockets, pid: u32) {
    let Some(process) = pidfd_open(pid) else {
        return;
    };
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return;
    };
    for entry in entries.flatten().take(MOST_DESCRIPTORS) {
        let is_socket = fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_string_lossy().parse::<i32>();
        let (true, Ok(number)) = (is_socket, number) else {
            continue;
        };
        if let Some(socket) = pidfd_getfd(&process, number)
            && listens(&socket)
        {
            // Fails where it is marked already.
            let _ = sockets.insert(&socket, [0; SOCKET_STATE], NO_EXIST);
        }
    }
}

fn pidfd_open(pid: u32) -> Option<OwnedFd> {
    // SAFETY: takes numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// A duplicate of a descriptor of another process.
fn pidfd_getfd(process: &OwnedFd, number: i32) -> Option<OwnedFd> {
    // SAFETY: takes numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}

fn owned(descriptor: libc::c_long) -> Option<OwnedFd> {
    let descriptor = i32::try_from(descriptor).ok().filter(|&fd| fd >= 0)?;
    // SAFETY: a new descriptor that nobody else owns.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn listens(socket: &OwnedFd) -> bool {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: an int of ours and its size.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ACCEPTCONN,
            (&raw mut value).cast(),
            &mut length,
        )
    };
    done == 0 && value != 0
}
