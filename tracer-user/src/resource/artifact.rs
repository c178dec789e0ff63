//! What the file that a process runs says of itself: the build information of a Go binary, the
//! manifest of a jar.

use std::fs::File;
use std::io::{BufReader, Read};

use object::read::ReadCache;
use object::{Object, ObjectSection};

/// Go's build information, as far as it is used here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Go {
    /// Of the toolchain, `go1.26.8`; where it is told plainly (Go >= 1.18), as all else is.
    pub version: Option<String>,
    /// What the program is called by its main package: `checkout` of `example.com/shop/cmd/checkout`.
    pub name: Option<String>,
    /// Of the main module.
    pub module_version: Option<String>,
}

/// As many bytes of the section as hold the header, the version, and the lines of the main package
/// and module, which come before those of the dependencies.
const GO_HEAD: u64 = 4096;

/// Longest manifest that is read: signed jars of thousands of files have larger ones, whose main
/// section is at the beginning all the same.
const MANIFEST_HEAD: u64 = 64 << 10;

/// If process `pid` runs a Go program: what is known of it.
pub fn go(pid: u32) -> Option<Go> {
    // Through the link of the kernel: it leads to the very file, also in a container, also deleted.
    let file = File::open(format!("/proc/{pid}/exe")).ok()?;
    let cache = ReadCache::new(file);
    let binary = object::File::parse(&cache).ok()?;
    let section = binary.section_by_name(".go.buildinfo")?;
    let size = section.size().min(GO_HEAD);
    let start = section.data_range(section.address(), size).ok()??;
    Some(build_info(start).unwrap_or_default())
}

/// debug/buildinfo: 14 bytes of magic, pointer size, flags; with flag 2, strings behind their varint
/// length follow at 32: the version, then the module's lines between 16 bytes of marks.
fn build_info(section: &[u8]) -> Option<Go> {
    if section.get(15)? & 2 == 0 {
        return None;
    }
    let (version, rest) = string(section.get(32..)?)?;
    let version = String::from_utf8(version.to_vec()).ok();
    let mut go = Go {
        version: version.filter(|text| text.starts_with("go")),
        ..Go::default()
    };
    let (lines, _) = string(rest).unwrap_or_default();
    let lines = String::from_utf8_lossy(lines.get(16..).unwrap_or_default());
    // The last one may be cut, and is a dependency's.
    for line in lines.lines() {
        let mut fields = line.split('\t');
        match (fields.next(), fields.next(), fields.next()) {
            (Some("path"), Some(path), _) => go.name = main_package(path),
            (Some("mod"), Some(_), version) => {
                let version = version.filter(|version| version.starts_with('v'));
                go.module_version = version.map(str::to_owned);
            }
            _ => {}
        }
    }
    Some(go)
}

/// A string behind its length, as much of it as there is, and what follows.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let rest = &bytes[index + 1..];
            return Some(rest.split_at(length.min(rest.len())));
        }
    }
    None
}

/// The last part of a package's path that is a name, neither a major version nor the mere place where
/// Go programs lie. None of what was built from files.
fn main_package(path: &str) -> Option<String> {
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    if path == "command-line-arguments" {
        return None;
    }
    let mut parts = path.rsplit('/');
    let name = parts.find(|part| !is_version(part) && !matches!(*part, "cmd" | "main" | ""))?;
    Some(name.to_owned())
}

/// The version that a jar's manifest gives its program.
pub fn jar_version(jar: File) -> Option<String> {
    let mut archive = zip::ZipArchive::new(BufReader::new(jar)).ok()?;
    let manifest = archive.by_name("META-INF/MANIFEST.MF").ok()?;
    let mut text = Vec::new();
    manifest.take(MANIFEST_HEAD).read_to_end(&mut text).ok()?;
    version_in_manifest(&String::from_utf8_lossy(&text))
}

/// The main section ends at the first empty line; a value goes on behind a blank.
fn version_in_manifest(text: &str) -> Option<String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let main = text.split("\n\n").next().unwrap_or_default();
    let main = main.replace("\n ", "");
    let value = |name: &str| {
        let values = main.lines().filter_map(|line| line.split_once(':'));
        let mut values = values.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = values.next()?.1.trim().to_owned();
        (!value.is_empty()).then_some(value)
    };
    value("Implementation-Version").or_else(|| value("Bundle-Version"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn section(lines: &str) -> Vec<u8> {
        let mut section = b"\xff Go buildinf:\x08\x02".to_vec();
        section.resize(32, 0);
        section.extend(b"\x08go1.26.8");
        let length = lines.len() + 32;
        section.extend([length as u8 | 0x80, (length >> 7) as u8]);
        section.extend([0x30; 16]);
        section.extend(lines.bytes());
        section.extend([0xf9; 16]);
        section
    }

    #[test]
    fn a_go_binary_by_its_build_information() {
        let lines = "path\texample.com/shop/cmd/checkout\nmod\texample.com/shop\tv1.4.2\t\n\
                     dep\tgolang.org/x/net\tv0.1.0\th1:x\nbuild\t-compiler=gc\n";
        let whole = section(lines);
        let text = |text: &str| Some(text.to_owned());
        let go = Go {
            version: text("go1.26.8"),
            name: text("checkout"),
            module_version: text("v1.4.2"),
        };
        assert_eq!(build_info(&whole), Some(go));
        // As it is when only its head was read.
        let cut = build_info(&whole[..140]).unwrap();
        assert_eq!(cut.module_version, text("v1.4.2"));
        let unversioned = build_info(&section("path\tx\nmod\tx\t(devel)\t\n")).unwrap();
        assert_eq!(
            (unversioned.name, unversioned.module_version),
            (text("x"), None)
        );
        let mut old = whole;
        old[15] = 0;
        assert_eq!(build_info(&old), None);
        assert_eq!(build_info(b""), None);
    }

    #[test]
    fn programs_by_their_main_package() {
        for (path, name) in [
            ("example.com/shop", Some("shop")),
            ("example.com/shop/v2", Some("shop")),
            ("example.com/shop/cmd/api", Some("api")),
            ("example.com/shop/cmd", Some("shop")),
            ("shop/main", Some("shop")),
            ("command-line-arguments", None),
            ("", None),
        ] {
            assert_eq!(main_package(path).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn a_jar_by_its_manifest() {
        let mut jar = tempfile::tempfile().unwrap();
        let mut writer = zip::ZipWriter::new(&mut jar);
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file("META-INF/MANIFEST.MF", options).unwrap();
        let manifest = "Manifest-Version: 1.0\r\nImplementation-Version: 2.1.0-RC\r\n 1\r\n\r\n\
                        Name: other/\r\nImplementation-Version: 9\r\n";
        writer.write_all(manifest.as_bytes()).unwrap();
        writer.finish().unwrap();
        assert_eq!(jar_version(jar).as_deref(), Some("2.1.0-RC1"));
        assert_eq!(jar_version(tempfile::tempfile().unwrap()), None);
    }

    #[test]
    fn manifests_without_a_version_give_none() {
        assert_eq!(version_in_manifest("Manifest-Version: 1.0\n"), None);
        assert_eq!(version_in_manifest("Implementation-Version: \n"), None);
        let bundle = "Bundle-Version: 3.0\nMain-Class: x\n";
        assert_eq!(version_in_manifest(bundle).as_deref(), Some("3.0"));
    }

    #[test]
    fn this_test_is_not_go() {
        assert_eq!(go(std::process::id()), None);
        assert_eq!(go(999_999_999), None);
    }
}
