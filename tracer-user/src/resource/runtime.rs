//! The language runtime of a process, where it is certain.
//!
//! Go is told by the build information that every Go binary carries, stripped or not; interpreters
//! by their executable's name.

use std::fs::File;

use object::read::ReadCache;
use object::{Object, ObjectSection};

use super::name::{Interpreter, interpreter};

/// `process.runtime.*`.
#[derive(Debug, PartialEq, Eq)]
pub struct Runtime {
    pub name: &'static str,
    pub version: Option<String>,
}

/// Of process `pid`, whose executable's file is called `exe`.
pub fn of(pid: u32, exe: Option<&str>) -> Option<Runtime> {
    let name = match exe.and_then(interpreter) {
        Some(Interpreter::Python) => "cpython",
        Some(Interpreter::Node) => "nodejs",
        Some(Interpreter::Java) => "java",
        None => {
            return go(pid).map(|version| Runtime {
                name: "go",
                version,
            });
        }
    };
    Some(Runtime {
        name,
        version: None,
    })
}

/// Whether process `pid` runs a Go program. Its goroutines move between threads, so a thread says
/// nothing of who caused what. A process that is gone or may not be looked into is taken for none.
pub fn is_go(pid: u32) -> bool {
    go(pid).is_some()
}

/// If it is Go: its version, where it is told plainly (Go >= 1.18).
fn go(pid: u32) -> Option<Option<String>> {
    // Through the link of the kernel: it leads to the very file, also in a container, also deleted.
    let file = File::open(format!("/proc/{pid}/exe")).ok()?;
    let cache = ReadCache::new(file);
    let binary = object::File::parse(&cache).ok()?;
    let section = binary.section_by_name(".go.buildinfo")?;
    let start = section
        .data_range(section.address(), section.size().min(HEAD))
        .ok()??;
    Some(go_version(start))
}

/// As many bytes of the section as hold the header and the version.
const HEAD: u64 = 128;

/// debug/buildinfo: 14 bytes of magic, pointer size, flags; with flag 2, strings of varint length
/// follow at 32, the version first.
fn go_version(section: &[u8]) -> Option<String> {
    let flags = *section.get(15)?;
    let length = usize::from(*section.get(32)?);
    // A version of 128 bytes or more, whose length would be two bytes, there is none.
    if flags & 2 == 0 || length >= 0x80 {
        return None;
    }
    let text = section.get(33..33 + length)?;
    String::from_utf8(text.to_vec())
        .ok()
        .filter(|text| text.starts_with("go"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_of_a_go_binary() {
        let mut section = b"\xff Go buildinf:\x08\x02".to_vec();
        section.resize(32, 0);
        section.extend(b"\x08go1.26.8\x02ab");
        assert_eq!(go_version(&section), Some("go1.26.8".to_owned()));
        section[15] = 0;
        assert_eq!(go_version(&section), None);
        assert_eq!(go_version(b""), None);
    }

    #[test]
    fn this_test_is_not_go() {
        assert!(!is_go(std::process::id()));
        assert!(!is_go(999_999_999));
    }
}
