//! Installs what the tasks need, and nothing that is there already.
//!
//! As root on Debian it runs apt-get and cargo; elsewhere it names what is missing and fails. Bias:
//! a thing counts as there when its program is, wherever it came from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::run;

/// The linker of the BPF object, which must be built for rustc's LLVM.
const BPF_LINKER: &str = "0.13.0";
/// Go that the fixtures' libraries want. Debian 12 has 1.19; from 1.21 on Go fetches by itself what a
/// module asks for.
const GO: &str = "go1.25.5";
/// Debian's LLVM of the version that its `rustc-web` is built with.
const LLVM: &str = "/usr/lib/llvm-22";

/// What the set-up is for: each purpose has needs of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Building the BPF object.
    Ebpf,
    /// `demo`.
    Demo,
    /// `test`.
    Test,
    /// `bench`.
    Bench,
    /// The machine that `vm` boots; what its tests need is that of `test`.
    Vm,
    /// All of them.
    Everything,
}

/// One thing that must be there.
struct Need {
    what: &'static str,
    /// Asked whenever a task starts: must be quick.
    there: fn() -> bool,
    source: Source,
    purposes: &'static [Purpose],
}

enum Source {
    /// Packages of Debian.
    Apt(&'static [&'static str]),
    /// A crate: arguments of `cargo install`, variables of its environment.
    Cargo(
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
    ),
    /// [`GO`], by way of Debian's.
    Go,
}

/// In the order in which they must be installed.
const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler and linker",
        there: || run::find("cc").is_some(),
        source: Source::Apt(&["gcc", "libc6-dev"]),
        purposes: &[Purpose::Ebpf, Purpose::Demo, Purpose::Test, Purpose::Bench],
    },
    Need {
        what: "rustc with the BPF target's core library",
        there: bpf_core,
        source: Source::Apt(&["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"]),
        purposes: &[Purpose::Ebpf, Purpose::Test],
    },
    Need {
        what: "LLVM 22 to build bpf-linker with",
        there: || {
            run::find("bpf-linker").is_some() || Path::new(LLVM).join("include/llvm").exists()
        },
        source: Source::Apt(&[
            "llvm-22-dev",
            "libpolly-22-dev",
            "g++",
            "zlib1g-dev",
            "libzstd-dev",
        ]),
        purposes: &[Purpose::Ebpf, Purpose::Test],
    },
    Need {
        what: "bpf-linker",
        there: || run::find("bpf-linker").is_some(),
        source: Source::Cargo(
            &[
                "bpf-linker",
                "--version",
                BPF_LINKER,
                "--no-default-features",
                "--features",
                "llvm-22",
            ],
            &[("LLVM_PREFIX", LLVM)],
        ),
        purposes: &[Purpose::Ebpf, Purpose::Test],
    },
    Need {
        what: "python3",
        there: || run::find("python3").is_some(),
        source: Source::Apt(&["python3"]),
        purposes: &[Purpose::Demo, Purpose::Test],
    },
    Need {
        what: "python3's venv",
        there: || succeeds("python3", &["-c", "import ensurepip"]),
        source: Source::Apt(&["python3-venv"]),
        purposes: &[Purpose::Test],
    },
    Need {
        what: "nginx",
        there: || run::find("nginx").is_some(),
        source: Source::Apt(&["nginx"]),
        purposes: &[Purpose::Test, Purpose::Bench],
    },
    Need {
        what: "node",
        there: || run::find("node").is_some(),
        source: Source::Apt(&["nodejs"]),
        purposes: &[Purpose::Test],
    },
    Need {
        what: "npm",
        there: || run::find("npm").is_some(),
        source: Source::Apt(&["npm"]),
        purposes: &[Purpose::Test],
    },
    Need {
        what: "java and javac",
        there: || run::find("java").is_some() && run::find("javac").is_some(),
        source: Source::Apt(&["default-jdk-headless"]),
        purposes: &[Purpose::Test],
    },
    Need {
        what: "go 1.21 or newer",
        there: recent_go,
        source: Source::Go,
        purposes: &[Purpose::Test, Purpose::Bench],
    },
    Need {
        what: "curl",
        there: || run::find("curl").is_some(),
        source: Source::Apt(&["curl"]),
        purposes: &[Purpose::Test],
    },
    Need {
        what: "prometheus",
        there: || run::find("prometheus").is_some(),
        source: Source::Apt(&["prometheus"]),
        purposes: &[Purpose::Test],
    },
    Need {
        what: "bpftool",
        there: || run::find("bpftool").is_some(),
        source: Source::Apt(&["bpftool"]),
        purposes: &[Purpose::Test],
    },
    Need {
        what: "wrk",
        there: || run::find("wrk").is_some(),
        source: Source::Apt(&["wrk"]),
        purposes: &[Purpose::Bench],
    },
    Need {
        what: "qemu",
        there: || run::find("qemu-system-x86_64").is_some(),
        source: Source::Apt(&["qemu-system-x86"]),
        purposes: &[Purpose::Vm],
    },
    Need {
        what: "busybox, which a guest starts with",
        there: || run::find("busybox").is_some(),
        source: Source::Apt(&["busybox-static"]),
        purposes: &[Purpose::Vm],
    },
    Need {
        what: "depmod",
        there: || run::find("depmod").is_some(),
        source: Source::Apt(&["kmod"]),
        purposes: &[Purpose::Vm],
    },
    Need {
        what: "ip",
        there: || run::find("ip").is_some(),
        source: Source::Apt(&["iproute2"]),
        purposes: &[Purpose::Vm],
    },
];

/// Makes sure that everything for `purpose` is there, and is silent and quick if it is.
pub fn ensure(purpose: Purpose) -> Result<()> {
    let missing: Vec<&Need> = NEEDS
        .iter()
        .filter(|need| purpose == Purpose::Everything || need.purposes.contains(&purpose))
        .filter(|need| !(need.there)())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if run::find("apt-get").is_none() || !run::is_root() {
        for need in &missing {
            eprintln!("missing: {} ({})", need.what, advice(&need.source));
        }
        bail!(
            "{} needed; install the above, or run this as root on Debian, where it installs them",
            match missing.len() {
                1 => "one thing is".to_string(),
                n => format!("{n} things are"),
            }
        );
    }
    install(&missing)?;
    for need in &missing {
        ensure!(
            (need.there)(),
            "{} is still missing after its installation ({})",
            need.what,
            advice(&need.source)
        );
    }
    Ok(())
}

/// What a person would type to get it.
fn advice(source: &Source) -> String {
    match source {
        Source::Apt(packages) => format!("Debian: apt-get install {}", packages.join(" ")),
        Source::Cargo(arguments, environment) => {
            let mut text = String::new();
            for (name, value) in *environment {
                text.push_str(&format!("{name}={value} "));
            }
            format!("{text}cargo install {}", arguments.join(" "))
        }
        Source::Go => "see https://go.dev/doc/install".into(),
    }
}

fn install(missing: &[&Need]) -> Result<()> {
    let packages: Vec<&str> = missing
        .iter()
        .filter_map(|need| match need.source {
            Source::Apt(packages) => Some(packages),
            Source::Go => Some(&["golang-go", "ca-certificates"][..]),
            Source::Cargo(..) => None,
        })
        .flatten()
        .copied()
        .collect();
    if !packages.is_empty() {
        eprintln!("installing: {}", packages.join(" "));
        run::run(apt().args(["update", "-qq"]))?;
        run::run(
            apt()
                .args(["install", "-y", "-qq", "--no-install-recommends"])
                .args(&packages),
        )?;
    }
    for need in missing {
        match need.source {
            Source::Apt(_) => {}
            Source::Cargo(arguments, environment) => {
                eprintln!("installing: {}", need.what);
                run::run(
                    run::cargo()
                        .arg("install")
                        .args(["--locked", "--quiet"])
                        .args(arguments)
                        .envs(environment.iter().copied()),
                )?;
            }
            Source::Go => {
                eprintln!("installing: {GO}");
                install_go()?;
            }
        }
    }
    Ok(())
}

/// Fetches [`GO`] as a module, checksum and all, which is how Go replaces itself since 1.21, and
/// makes it the machine's.
fn install_go() -> Result<()> {
    let home = format!("/usr/local/lib/{GO}");
    let script = format!(
        "set -e; cache=$(mktemp -d); export GOMODCACHE=$cache GOFLAGS=-mod=mod
         go mod download golang.org/toolchain@v0.0.1-{GO}.linux-amd64
         rm -rf {home}; cp -r $cache/golang.org/toolchain@* {home}
         chmod -R u+w $cache {home}; rm -rf $cache
         chmod +x {home}/bin/* {home}/pkg/tool/*/*
         ln -sf {home}/bin/go {home}/bin/gofmt /usr/local/bin/"
    );
    run::run(Command::new("sh").args(["-c", &script]).current_dir("/"))
}

/// Whether the `go` there is one that fetches the version that a module wants.
fn recent_go() -> bool {
    let version = Command::new("go").args(["env", "GOVERSION"]).output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    version.is_ok_and(|version| {
        let minor = version.trim().strip_prefix("go1.");
        let minor = minor.and_then(|rest| rest.split(['.', 'r', 'b']).next());
        minor.is_some_and(|minor| minor.parse().is_ok_and(|minor: u32| minor >= 21))
    })
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// apt-get that asks nothing, and waits for another one to end.
fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .stdin(std::process::Stdio::null());
    command
}

/// Debian's rustc, or rustup's nightly with the sources of `core`: either builds the object.
fn bpf_core() -> bool {
    Path::new("/usr/lib/rustlib/bpfel-unknown-none/lib").exists() || nightly_source()
}

fn nightly_source() -> bool {
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".rustup")));
    let Some(Ok(toolchains)) = home.map(|home| std::fs::read_dir(home.join("toolchains"))) else {
        return false;
    };
    toolchains
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("nightly"))
        .any(|entry| {
            entry
                .path()
                .join("lib/rustlib/src/rust/library/core")
                .exists()
        })
}
