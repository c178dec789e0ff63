//! What a Go binary says of how it was built (debug/buildinfo): its version of Go, its modules. A leaf.
//!
//! Every Go binary has it, stripped or not. Bias: one from before Go 1.18, which told it otherwise,
//! says nothing.

use object::{Object, ObjectSection, ReadRef};

/// Marks around the modules' lines, bytes.
const MARK: usize = 16;

/// Build information.
#[derive(Debug, PartialEq, Eq)]
pub struct BuildInfo<'a> {
    /// Of the toolchain: `go1.26.8`.
    pub version: &'a str,
    /// Lines of the main package, the modules, the settings.
    modules: &'a [u8],
    /// The lines are all there: what was read is not only a part of them.
    pub whole: bool,
}

/// The first `most` bytes of the section that holds it. None of what is not Go; nothing, if it is, but
/// cannot be read.
pub fn section<'data>(
    binary: &object::File<'data, impl ReadRef<'data>>,
    most: u64,
) -> Option<&'data [u8]> {
    let section = binary.section_by_name(".go.buildinfo")?;
    let size = section.size().min(most);
    let data = section.data_range(section.address(), size);
    Some(data.ok().flatten().unwrap_or_default())
}

impl<'a> BuildInfo<'a> {
    /// 14 bytes of magic, the size of a pointer, flags (2: strings are inline); from byte 32 on two
    /// strings, each behind its length: the version, and between marks the lines of the modules.
    pub fn read(section: &'a [u8]) -> Option<BuildInfo<'a>> {
        if section.get(15)? & 2 == 0 {
            return None;
        }
        let (length, rest) = length(section.get(32..)?)?;
        let (version, rest) = rest.split_at_checked(length)?;
        let (modules, whole) = match self::length(rest) {
            Some((length, rest)) => (&rest[..length.min(rest.len())], length <= rest.len()),
            None => Default::default(),
        };
        Some(BuildInfo {
            version: str::from_utf8(version).ok()?,
            modules: modules.get(MARK..).unwrap_or_default(),
            whole,
        })
    }

    /// The first three fields of each line, such as `dep`, path, version; empty where there is none.
    /// Unless it is whole, the last line may be cut.
    pub fn lines(&self) -> impl Iterator<Item = [&'a str; 3]> {
        let lines = self.modules.split(|byte| *byte == b'\n');
        lines.filter_map(|line| {
            let mut fields = str::from_utf8(line).ok()?.split('\t');
            let fields = [fields.next(), fields.next(), fields.next()];
            Some(fields.map(Option::unwrap_or_default))
        })
    }
}

/// A varint, and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((length, &bytes[at + 1..]));
        }
    }
    None
}

/// A section as Go 1.26.8 writes it.
#[cfg(test)]
pub fn sample(lines: &str) -> Vec<u8> {
    let mut section = b"\xff Go buildinf:\x08\x02".to_vec();
    section.resize(32, 0);
    section.extend(b"\x08go1.26.8");
    let length = lines.len() + 2 * MARK;
    section.extend([length as u8 | 0x80, (length >> 7) as u8]);
    section.extend([0x30; MARK]);
    section.extend(lines.bytes());
    section.extend([0xf9; MARK]);
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str =
        "path\tx/cmd\nmod\tx\tv1.4.2\t\ndep\ty\tv0.1.0\th1:a=\nbuild\t-compiler=gc\n";

    #[test]
    fn version_and_lines() {
        let section = sample(LINES);
        let info = BuildInfo::read(&section).unwrap();
        assert_eq!((info.version, info.whole), ("go1.26.8", true));
        let lines: Vec<_> = info.lines().take(4).collect();
        let expected = [
            ["path", "x/cmd", ""],
            ["mod", "x", "v1.4.2"],
            ["dep", "y", "v0.1.0"],
            ["build", "-compiler=gc", ""],
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_is_cut_short_is_told_so_and_what_is_old_says_nothing() {
        let mut section = sample(LINES);
        for length in 0..section.len() {
            let info = BuildInfo::read(&section[..length]);
            assert_eq!(info.is_some(), length >= 41, "{length}");
            assert!(info.is_none_or(|info| !info.whole), "{length}");
        }
        section[15] = 0;
        assert_eq!(BuildInfo::read(&section), None);
    }

    #[test]
    fn this_test_is_not_go() {
        let exe = std::fs::read("/proc/self/exe").unwrap();
        let binary = object::File::parse(&exe[..]).unwrap();
        assert_eq!(section(&binary, 100), None);
    }
}
