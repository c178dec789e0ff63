//! What depends on versions: where Go's runtime and grpc-go keep what is read of them.
//!
//! Measured on binaries of those versions (`DW_AT_data_member_location`); patch releases do not change
//! these structures. Bias: a version that is not listed is not known; of Go's, [`dwarf`](super::dwarf) may
//! tell.

use crate::go_build::{self, BuildInfo};

/// What a Go binary says of how it was built (debug/buildinfo).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Built {
    /// Minor version of Go 1; none of a development version, and where experiments may change structures.
    go: Option<u32>,
    /// Minor version of grpc-go 1, where it is part of the program.
    grpc: Option<u32>,
}

/// Most of `.go.buildinfo` that is read: it names a line of 100 bytes per module, and some programs
/// have a thousand.
const MOST_BUILD_INFO: u64 = 1 << 20;

/// Offsets of g.goid, g.parentGoid, g.startpc, g.m, m.p, m.oldp, p.goidcache.
pub(super) type Offsets = [u32; 7];

impl Built {
    /// None: not Go, or before Go 1.18, which told it otherwise.
    pub(super) fn of<'data>(
        binary: &object::File<'data, impl object::ReadRef<'data>>,
    ) -> Option<Built> {
        Built::read(go_build::section(binary, MOST_BUILD_INFO)?)
    }

    fn read(section: &[u8]) -> Option<Built> {
        let info = BuildInfo::read(section)?;
        let grpc = info
            .whole
            .then(|| dependency(&info, "google.golang.org/grpc"));
        Some(Built {
            go: released(info.version),
            grpc: grpc.flatten(),
        })
    }

    /// Where the runtime keeps what tells a goroutine.
    pub(super) fn runtime(&self) -> Option<Offsets> {
        Some(match self.go? {
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

/// Minor version of a release: `go1.26.8`, not `go1.26.8 X:experiment` or `devel go1.27-0f1e2d3`.
fn released(version: &str) -> Option<u32> {
    match version.contains(" X:") {
        true => None,
        false => minor(version.strip_prefix("go1.")?),
    }
}

/// The digits at the start.
fn minor(text: &str) -> Option<u32> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text[..text.len() - rest.len()].parse().ok()
}

/// Minor version of a module that the program is built from: a line `dep PATH VERSION SUM`, and if
/// another one takes its place, `=> PATH VERSION SUM` below.
fn dependency(info: &BuildInfo, path: &str) -> Option<u32> {
    let mut lines = info.lines();
    let [_, _, mut version] = lines.find(|[what, name, _]| *what == "dep" && *name == path)?;
    if let Some(["=>", _, other]) = lines.next() {
        version = other;
    }
    minor(version.strip_prefix("v1.")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go_build::sample;

    #[test]
    fn versions_are_read_off_the_build_information() {
        let modules = "path\tx\nmod\tx\t(devel)\t\ndep\tgoogle.golang.org/grpc\tv1.83.1\th1:a=\nbuild\t-compiler=gc and some more to fill a length of two bytes\n";
        let built = Built::read(&sample(modules)).unwrap();
        assert_eq!((built.go, built.grpc), (Some(26), Some(83)));
        assert_eq!(built.runtime().unwrap()[1], 280);
        assert_eq!(built.grpc_stream(), Some((0x6c, false)));
        let replaced = modules.replace("\nbuild", "\n=>\tfork\tv1.70.0\th1:b=\nbuild");
        let built = Built::read(&sample(&replaced)).unwrap();
        assert_eq!(built.grpc_stream(), Some((0, true)));
        let built = Built::read(&sample(&modules.replace("/grpc\t", "/grpc2\t"))).unwrap();
        assert_eq!(built.grpc_stream(), None);
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_not_known() {
        let whole = sample(&"x".repeat(200));
        for length in 0..whole.len() {
            let _ = Built::read(&whole[..length]);
        }
        let mut section = sample("");
        section[33..41].copy_from_slice(b"go1.99.8");
        assert_eq!(Built::read(&section).unwrap().runtime(), None);
        section[33..41].copy_from_slice(b"devel +8");
        assert_eq!(Built::read(&section).unwrap().runtime(), None);
        section[33..41].copy_from_slice(b"go1.2 X:");
        assert_eq!(Built::read(&section).unwrap().runtime(), None);
    }
}
