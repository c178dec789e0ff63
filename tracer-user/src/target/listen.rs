//! Who listens on a TCP port now, in whatever network namespace.
//!
//! The socket tables of `/proc/PID/net` are of the process' network namespace, and name sockets by
//! inode; the process' descriptors name theirs likewise.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use procfs::net::TcpState;
use procfs::process::FDTarget;

use super::Error;

/// Ids of the processes that listen on one of `ports`. A socket that several processes hold (nginx'
/// workers) is all of theirs.
///
/// # Errors
///
/// `/proc` cannot be read. A process that may not be looked into is passed over.
pub fn listeners(ports: &[u16]) -> Result<Vec<u32>, Error> {
    let mut namespaces: HashMap<PathBuf, HashSet<u64>> = HashMap::new();
    let mut found = Vec::new();
    for entry in procfs::process::all_processes().map_err(Error::Proc)? {
        let Ok(process) = entry else { continue };
        let Ok(namespace) = std::fs::read_link(format!("/proc/{}/ns/net", process.pid)) else {
            continue;
        };
        let sockets = namespaces
            .entry(namespace)
            .or_insert_with(|| listening(&process, ports));
        if sockets.is_empty() {
            continue;
        }
        let Ok(descriptors) = process.fd() else {
            continue;
        };
        let mut targets = descriptors.filter_map(|fd| Some(fd.ok()?.target));
        if targets
            .any(|target| matches!(target, FDTarget::Socket(inode) if sockets.contains(&inode)))
        {
            found.push(process.pid as u32);
        }
    }
    Ok(found)
}

/// Inodes of the sockets that listen on one of `ports` in the network namespace of `process`.
fn listening(process: &procfs::process::Process, ports: &[u16]) -> HashSet<u64> {
    // Without IPv6 there is no tcp6.
    let tables = [process.tcp(), process.tcp6()];
    let sockets = tables.into_iter().flatten().flatten();
    sockets
        .filter(|socket| socket.state == TcpState::Listen)
        .filter(|socket| ports.contains(&socket.local_address.port()))
        .map(|socket| socket.inode)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn finds_who_listens_over_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert_eq!(
                listeners(&[port]).unwrap(),
                [std::process::id()],
                "{address}"
            );
            // A connected client's port is not one that is listened on.
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert!(
                listeners(&[client.local_addr().unwrap().port()])
                    .unwrap()
                    .is_empty()
            );
        }
    }

    #[test]
    fn nobody_listens() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        assert!(listeners(&[port]).unwrap().is_empty());
    }
}
