//! What depends on versions: where Go's runtime and grpc-go keep what is read of them.
//!
//! Measured on binaries of those versions (`DW_AT_data_member_location`); patch releases do not change
//! these structures. Bias: a version that is not listed is not known, and its goroutines are not told.

use object::{Object, ObjectSection};

/// What a Go binary says of how it was built (debug/buildinfo).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Built {
    /// Minor version of Go 1.
    go: u32,
    /// Minor version of grpc-go 1, where it is part of the program.
    grpc: Option<u32>,
}

/// Most of `.go.buildinfo` that is read: it names a line of 100 bytes per module, and some programs
/// have a thousand.
const MOST_BUILD_INFO: u64 = 1 << 20;

/// Offsets of g.goid, g.parentGoid, g.startpc, g.m, m.p, m.oldp, p.goidcache.
type Offsets = [u32; 7];

impl Built {
    /// None: not Go, or before Go 1.18, which told it otherwise.
    pub(super) fn of<'data>(
        binary: &object::File<'data, impl object::ReadRef<'data>>,
    ) -> Option<Built> {
        let section = binary.section_by_name(".go.buildinfo")?;
        let size = section.size().min(MOST_BUILD_INFO);
        Built::read(section.data_range(section.address(), size).ok()??)
    }

    /// 14 bytes of magic, the size of a pointer, flags (2: strings are inline); from byte 32 on two
    /// strings, each behind its length: the version, and what it is built from.
    fn read(section: &[u8]) -> Option<Built> {
        if section.get(15)? & 2 == 0 {
            return None;
        }
        let (version, rest) = string(section.get(32..)?)?;
        let modules = string(rest).map(|(text, _)| text).unwrap_or_default();
        Some(Built {
            go: minor(version.strip_prefix(b"go1.")?)?,
            grpc: dependency(modules, b"google.golang.org/grpc"),
        })
    }

    /// Where the runtime keeps what tells a goroutine.
    pub(super) fn runtime(&self) -> Option<Offsets> {
        Some(match self.go {
            21 | 22 => [152, 272, 296, 48, 208, 224, 384],
            23 | 24 => [160, 280, 304, 48, 208, 224, 376],
            25 => [152, 272, 296, 48, 200, 216, 376],
            26 => [152, 280, 304, 48, 208, 224, 384],
            _ => return None,
        })
    }

    /// Where a server's stream keeps its number: distance, and whether a pointer leads to it.
    pub(super) fn grpc_stream(&self) -> Option<(u16, bool)> {
        Some(match self.grpc? {
            30..=68 => (0, false),
            69..=76 => (0, true),
            77..=83 => (0x6c, false),
            _ => return None,
        })
    }
}

/// A string behind its length (a varint), and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut shift) = (0usize, 0);
    for (at, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..)?.split_at_checked(length);
        }
    }
    None
}

/// The digits at the start.
fn minor(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

/// Minor version of a module that the program is built from: a line `dep PATH VERSION SUM` by tabs, and
/// if another one takes its place, `=> PATH VERSION SUM` below.
fn dependency(modules: &[u8], path: &[u8]) -> Option<u32> {
    let mut lines = modules.split(|byte| *byte == b'\n').map(|line| {
        let mut fields = line.split(|byte| *byte == b'\t');
        [fields.next(), fields.next(), fields.next()].map(Option::unwrap_or_default)
    });
    let [_, _, mut version] = lines.find(|[what, name, _]| *what == b"dep" && *name == path)?;
    if let Some([what, _, other]) = lines.next()
        && what == b"=>"
    {
        version = other;
    }
    minor(version.strip_prefix(b"v1.")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(modules: &str) -> Vec<u8> {
        let mut section = b"\xff Go buildinf:\x08\x02".to_vec();
        section.resize(32, 0);
        section.extend(b"\x08go1.26.8");
        section.extend([modules.len() as u8 | 0x80, (modules.len() >> 7) as u8]);
        section.extend(modules.as_bytes());
        section
    }

    #[test]
    fn versions_are_read_off_the_build_information() {
        let modules = "path\tx\nmod\tx\t(devel)\t\ndep\tgoogle.golang.org/grpc\tv1.83.1\th1:a=\nbuild\t-compiler=gc and some more to fill a length of two bytes\n";
        let built = Built::read(&section(modules)).unwrap();
        assert_eq!((built.go, built.grpc), (26, Some(83)));
        assert_eq!(built.runtime().unwrap()[1], 280);
        assert_eq!(built.grpc_stream(), Some((0x6c, false)));
        let replaced = modules.replace("\nbuild", "\n=>\tfork\tv1.70.0\th1:b=\nbuild");
        let built = Built::read(&section(&replaced)).unwrap();
        assert_eq!(built.grpc_stream(), Some((0, true)));
        let built = Built::read(&section(&modules.replace("/grpc\t", "/grpc2\t"))).unwrap();
        assert_eq!(built.grpc_stream(), None);
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_not_known() {
        let whole = section(&"x".repeat(200));
        for length in 0..whole.len() {
            let _ = Built::read(&whole[..length]);
        }
        let mut section = section("");
        section[33..41].copy_from_slice(b"go1.99.8");
        assert_eq!(Built::read(&section).unwrap().runtime(), None);
        section[33..41].copy_from_slice(b"devel +8");
        assert_eq!(Built::read(&section), None);
    }
}
