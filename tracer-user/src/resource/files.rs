//! Files as a traced process sees them, in its own mount namespace.
//!
//! What lies there is the process' own: a link may lead anywhere and a file may be a pipe that nobody
//! writes. So nothing is followed out of its root, nothing is waited for, and only regular files are
//! read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Opens a regular file by its absolute path within the root of process `pid`.
pub fn open(pid: u32, path: &Path) -> Option<File> {
    // Through the link of the kernel, which leads into the process' mount namespace.
    let root = File::open(format!("/proc/{pid}/root")).ok()?;
    let within = path.strip_prefix("/").unwrap_or(path);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(root, within, flags, Mode::empty(), resolve).ok()?;
    let file = File::from(file);
    file.metadata().ok()?.is_file().then_some(file)
}

/// A text of at most so many bytes; none if it is longer, or no text.
pub fn text(file: File, longest: u64) -> Option<String> {
    let mut text = String::new();
    let length = file.take(longest + 1).read_to_string(&mut text).ok()?;
    (length as u64 <= longest).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_files_alone_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plain");
        std::fs::write(&path, "shop\n").unwrap();
        let read = |path: &Path, longest| text(open(std::process::id(), path)?, longest);
        assert_eq!(read(&path, 100).as_deref(), Some("shop\n"));
        assert_eq!(read(&path, 4), None);
        assert_eq!(read(folder.path(), 100), None);
        assert_eq!(read(Path::new("/dev/null"), 100), None);
        assert_eq!(read(Path::new("/proc/self/exe"), 100), None);
        let pipe = folder.path().join("pipe");
        let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
        // SAFETY: the name is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert_eq!(read(&pipe, 100), None);
    }
}
