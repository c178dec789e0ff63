//! What the file that a process runs says of itself: the build information of a Go binary, the
//! manifest of a jar, the package that a script of Node lies in.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use object::read::ReadCache;

use super::files;
use crate::go_build::{self, BuildInfo};

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

/// Largest `package.json` that is read: known ones of large applications have some 20 KiB.
const LARGEST_PACKAGE: u64 = 256 << 10;

/// Longest name of a package: npm takes no longer one.
const LONGEST_NAME: usize = 214;

/// Folders above a script that are looked into: more than any tree of sources is deep.
const MOST_FOLDERS: usize = 32;

/// If process `pid` runs a Go program: what is known of it.
pub fn go(pid: u32) -> Option<Go> {
    // Through the link of the kernel: it leads to the very file, also in a container, also deleted.
    let file = File::open(format!("/proc/{pid}/exe")).ok()?;
    let cache = ReadCache::new(file);
    let binary = object::File::parse(&cache).ok()?;
    let section = go_build::section(&binary, GO_HEAD)?;
    Some(BuildInfo::read(section).map_or_else(Go::default, told))
}

fn told(info: BuildInfo) -> Go {
    let version = Some(info.version).filter(|text| text.starts_with("go"));
    let mut go = Go {
        version: version.map(str::to_owned),
        ..Go::default()
    };
    // The last line may be cut, and is a dependency's.
    for [what, path, version] in info.lines() {
        match what {
            "path" => go.name = main_package(path),
            "mod" => {
                go.module_version = version.starts_with('v').then(|| version.to_owned());
            }
            _ => {}
        }
    }
    go
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

/// What a package of Node says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    /// Without its owner's: `shop` of `@acme/shop`.
    pub name: String,
    /// As it is published.
    pub version: Option<String>,
}

/// The package of a script, by its absolute path: that of the nearest `package.json` above it with a
/// name (those of what a build made have none). What lies in `node_modules` is installed for the
/// package above those.
pub fn package(script: &Path, open: impl Fn(&Path) -> Option<File>) -> Option<Package> {
    let mut whole = PathBuf::new();
    for part in script.components() {
        match part {
            Component::ParentDir => _ = whole.pop(),
            part if part.as_os_str() == "node_modules" => break,
            part => whole.push(part),
        }
    }
    whole.ancestors().take(MOST_FOLDERS).find_map(|folder| {
        let file = open(&folder.join("package.json"))?;
        package_named(&files::text(file, LARGEST_PACKAGE)?)
    })
}

fn package_named(text: &str) -> Option<Package> {
    let told: serde_json::Value = serde_json::from_str(text).ok()?;
    let text = |name: &str| {
        let text = told.get(name)?.as_str()?.trim();
        (!text.is_empty() && text.len() <= LONGEST_NAME).then(|| text.to_owned())
    };
    let name = text("name")?.rsplit('/').next()?.to_owned();
    (!name.is_empty()).then(|| Package {
        name,
        version: text("version"),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::go_build::sample;

    #[test]
    fn a_go_binary_by_its_build_information() {
        let lines = "path\texample.com/shop/cmd/checkout\nmod\texample.com/shop\tv1.4.2\t\n\
                     dep\tgolang.org/x/net\tv0.1.0\th1:x\nbuild\t-compiler=gc\n";
        let whole = sample(lines);
        let text = |text: &str| Some(text.to_owned());
        let go = Go {
            version: text("go1.26.8"),
            name: text("checkout"),
            module_version: text("v1.4.2"),
        };
        let read = |section: &[u8]| BuildInfo::read(section).map(told);
        assert_eq!(read(&whole), Some(go));
        // As it is when only its head was read.
        let cut = read(&whole[..140]).unwrap();
        assert_eq!(cut.module_version, text("v1.4.2"));
        let unversioned = read(&sample("path\tx\nmod\tx\t(devel)\t\n")).unwrap();
        assert_eq!(
            (unversioned.name, unversioned.module_version),
            (text("x"), None)
        );
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
    fn a_script_by_its_package() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "package.json",
            r#"{"name": "@acme/shop", "version": "3.1.4"}"#,
        );
        write("dist/package.json", r#"{"type": "module"}"#);
        write("node_modules/next/package.json", r#"{"name": "next"}"#);
        write("broken/package.json", "{");
        let of = |path: &str| package(&folder.path().join(path), |path| File::open(path).ok());
        for path in [
            "app.js",
            "dist/api/index.mjs",
            "node_modules/.bin/next",
            "node_modules/next/dist/bin/next",
            "broken/x.js",
            "elsewhere/../dist/api.js",
        ] {
            let package = of(path).unwrap();
            assert_eq!(package.name, "shop", "{path}");
            assert_eq!(package.version.as_deref(), Some("3.1.4"));
        }
        assert_eq!(of("../none/node_modules/npm/bin/npm.js"), None);
        for text in [
            "",
            "[]",
            r#"{"name": 1}"#,
            r#"{"name": " "}"#,
            r#"{"name": "@acme/"}"#,
        ] {
            assert_eq!(package_named(text), None, "{text}");
        }
        let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(LONGEST_NAME + 1));
        assert_eq!(package_named(&long), None);
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
