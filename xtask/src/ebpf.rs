//! Builds the BPF object, and tells whether the committed one is what its sources build to.
//!
//! The object is in the tree so that users need stable Rust only. Beside it lies a record of what it
//! was built with and from: with the same toolchain the check builds it anew and compares what the
//! kernel gets to see (programs, relocations, maps, constants, license), not paths and debug
//! information; with another toolchain, whose code would differ, it compares the sources' digest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use object::build::elf::{Builder, SectionData};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::run;

/// The committed object, which the agent includes.
const OBJECT: &str = "tracer-ebpf/tracer.o";
/// What it was built with and from.
const RECORD: &str = "tracer-ebpf/tracer.o.json";
/// What it is built from, besides the versions in Cargo.lock of the crates it uses.
const SOURCES: [&str; 2] = ["tracer-ebpf/src", "tracer-ebpf/Cargo.toml"];
/// Compiled into the object.
const CRATES: [&str; 5] = [
    "aya-ebpf",
    "aya-ebpf-bindings",
    "aya-ebpf-cty",
    "aya-ebpf-macros",
    "aya-log-ebpf",
];
const TARGET: &str = "bpfel-unknown-none";

/// How an object came about.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    rustc: String,
    llvm: String,
    bpf_linker: String,
    /// SHA-256 of all sources.
    sources: String,
}

/// Builds the object into the tree.
pub fn build() -> Result<()> {
    let toolchain = Toolchain::find()?;
    let object = toolchain.compile()?;
    let record = serde_json::to_string_pretty(&toolchain.record()?)?;
    write(OBJECT, &object)?;
    write(RECORD, format!("{record}\n").as_bytes())?;
    println!("{OBJECT}: {} bytes", object.len());
    Ok(())
}

/// Fails unless the committed object is what its sources build to.
pub fn check() -> Result<()> {
    const ADVICE: &str = "run `cargo xtask build-ebpf` and commit what it writes";
    let committed = read(OBJECT)?;
    let record: Record = serde_json::from_slice(&read(RECORD)?)
        .with_context(|| format!("{RECORD} is damaged: {ADVICE}"))?;
    let toolchain = Toolchain::find()?;
    let here = toolchain.record()?;
    let built = toolchain.compile()?;

    let same_toolchain = (&record.rustc, &record.llvm, &record.bpf_linker)
        == (&here.rustc, &here.llvm, &here.bpf_linker);
    if same_toolchain {
        if let Some(difference) = difference(&committed, &built)? {
            bail!("{OBJECT} is stale ({difference}): {ADVICE}");
        }
        println!("{OBJECT} is what its sources build to");
    } else {
        ensure!(
            record.sources == here.sources,
            "{OBJECT} is stale: its sources changed since it was built with {} and {}; {ADVICE}",
            record.rustc,
            record.bpf_linker,
        );
        println!(
            "{OBJECT} was built with {} (LLVM {}, {}), here are {} (LLVM {}, {}): not compared; its sources are unchanged and build",
            record.rustc, record.llvm, record.bpf_linker, here.rustc, here.llvm, here.bpf_linker,
        );
    }
    Ok(())
}

/// A compiler that has, or can build, `core` for the BPF target.
enum Toolchain {
    /// Debian's `rustc-web`, with a prebuilt `core`.
    Debian,
    /// rustup's nightly with `rust-src`.
    Nightly,
}

impl Toolchain {
    fn find() -> Result<Toolchain> {
        ensure!(
            run::find("bpf-linker").is_some(),
            "bpf-linker is missing; `cargo xtask setup` says how to get it"
        );
        if Path::new("/usr/lib/rustlib").join(TARGET).exists()
            && Path::new("/usr/bin/cargo").exists()
        {
            return Ok(Toolchain::Debian);
        }
        let nightly = Command::new("rustup")
            .args(["run", "nightly", "rustc", "--version"])
            .output();
        ensure!(
            nightly.is_ok_and(|output| output.status.success()),
            "no compiler for {TARGET}: on Debian install rustc-web, cargo-web and libstd-rust-web-dev-bpf; elsewhere `rustup toolchain install nightly --component rust-src`"
        );
        Ok(Toolchain::Nightly)
    }

    /// A program of the toolchain, free of what the cargo that runs this task left in the
    /// environment for its own.
    fn program(&self, name: &str) -> Command {
        let mut command = match self {
            Toolchain::Debian => Command::new(format!("/usr/bin/{name}")),
            Toolchain::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", name]);
                command
            }
        };
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("CARGO_PROFILE_")
                || text.starts_with("CARGO_BUILD_")
                || text.starts_with("RUST")
                || text == "CARGO_ENCODED_RUSTFLAGS"
            {
                if text == "RUSTUP_HOME" {
                    continue;
                }
                command.env_remove(&variable);
            }
        }
        command.current_dir(run::root());
        command
    }

    /// Compiles the programs; returns the object without its debug sections.
    fn compile(&self) -> Result<Vec<u8>> {
        let target_dir = run::target().join("ebpf");
        let mut cargo = self.program("cargo");
        cargo
            .args(["build", "--quiet", "--locked", "--release"])
            .args(["--package", "tracer-ebpf", "--bin", "tracer-ebpf"])
            .args(["--features", "programs", "--target", TARGET])
            .arg("--target-dir")
            .arg(&target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\x1f"))
            .env("CARGO_PROFILE_RELEASE_LTO", "false")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort");
        match self {
            // aya-ebpf uses the assembler for BPF, which stable Rust does not have.
            Toolchain::Debian => cargo
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1"),
            Toolchain::Nightly => cargo.args(["-Z", "build-std=core"]),
        };
        run::run(&mut cargo)?;
        let built = target_dir.join(TARGET).join("release/tracer-ebpf");
        let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
        strip(&bytes)
    }

    fn record(&self) -> Result<Record> {
        let version = output(self.program("rustc").arg("-vV"))?;
        let field = |name: &str| {
            version
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
                .with_context(|| format!("rustc does not say its {name}"))
        };
        let linker = run::find("bpf-linker").context("bpf-linker is gone")?;
        Ok(Record {
            rustc: format!("rustc {}", field("release:")?),
            llvm: field("LLVM version:")?,
            bpf_linker: output(Command::new(linker).arg("--version"))?
                .trim()
                .to_owned(),
            sources: sources()?,
        })
    }
}

/// What rustc is told: the BPF linker, types for the kernel, atomics (cpu v3), and no path of this
/// machine.
fn flags() -> Result<Vec<String>> {
    let linker = run::find("bpf-linker").context("bpf-linker is gone")?;
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("no home directory")?;
    let mut flags = vec![
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".into(),
        "-Ctarget-cpu=v3".into(),
        "-Cdebuginfo=2".into(),
        "--cfg=bpf_target_arch=\"x86_64\"".into(),
        format!("--remap-path-prefix={}=.", run::root().display()),
    ];
    // Each registry has a folder of its own.
    for registry in fs::read_dir(cargo_home.join("registry/src"))
        .into_iter()
        .flatten()
    {
        let crates = registry?.path();
        flags.push(format!("--remap-path-prefix={}=crates", crates.display()));
    }
    Ok(flags)
}

/// Without the debug sections, which no loader reads (BTF stays): a fifth of the size.
fn strip(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object).context("the linker's output")?;
    for section in builder.sections.iter_mut() {
        let name = section.name.to_string();
        if name.starts_with(".debug_") || name.starts_with(".rel.debug_") {
            section.delete = true;
        }
    }
    builder.delete_orphans();
    // LLVM keeps the names of sections and symbols in one table, the builder in two.
    let names = builder.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

/// What of two objects differs in the eyes of the kernel, in words; none if nothing does.
fn difference(committed: &[u8], built: &[u8]) -> Result<Option<String>> {
    if committed == built {
        return Ok(None);
    }
    let (committed, built) = (seen_by_kernel(committed)?, seen_by_kernel(built)?);
    for (name, content) in &built {
        match committed.get(name) {
            None => return Ok(Some(format!("{name} is new"))),
            Some(before) if before != content => return Ok(Some(format!("{name} differs"))),
            Some(_) => {}
        }
    }
    let gone = committed.keys().find(|name| !built.contains_key(*name));
    Ok(gone.map(|name| format!("{name} is gone")))
}

/// Sections with their relocations, and maps, by name.
fn seen_by_kernel(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let file = object::File::parse(bytes).context("not an object file")?;
    let mut seen = BTreeMap::new();
    for section in file.sections() {
        let name = section.name()?;
        let is_ours = name.starts_with("tp_btf/")
            || name.starts_with("tracepoint")
            || [".text", ".rodata", "license"].contains(&name);
        if !is_ours {
            continue;
        }
        let mut content = format!("{:02x?}", section.data()?);
        for (offset, relocation) in section.relocations() {
            let target = match relocation.target() {
                RelocationTarget::Symbol(index) => {
                    let symbol = file.symbol_by_index(index)?;
                    format!("{}+{}", plain(symbol.name()?), symbol.address())
                }
                other => format!("{other:?}"),
            };
            content.push_str(&format!("\n{offset} {target}"));
        }
        seen.insert(format!("section {name}"), content);
    }
    for (name, map) in &aya_obj::Object::parse(bytes)?.maps {
        let content = format!(
            "type {} key {} value {} entries {} flags {}",
            map.map_type(),
            map.key_size(),
            map.value_size(),
            map.max_entries(),
            map.map_flags(),
        );
        seen.insert(format!("map {name}"), content);
    }
    Ok(seen)
}

/// A symbol without the hash that rustc puts at its end, which depends on the tree's place.
fn plain(symbol: &str) -> &str {
    match symbol.rfind("17h") {
        Some(at) if symbol.len() == at + 20 => &symbol[..at],
        _ => symbol,
    }
}

/// SHA-256 of the sources and of the versions of the crates that are compiled in.
fn sources() -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&run::root().join(source), &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let name = file.strip_prefix(run::root()).unwrap_or(&file);
        digest.update(name.to_string_lossy().as_bytes());
        digest.update(fs::read(&file)?);
    }
    let lock = String::from_utf8(read("Cargo.lock")?)?;
    for package in lock.split("[[package]]") {
        if CRATES
            .iter()
            .any(|name| package.contains(&format!("\nname = \"{name}\"\n")))
        {
            digest.update(package.as_bytes());
        }
    }
    Ok(digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(run::root().join(path)).with_context(|| format!("cannot read {path}"))
}

fn write(path: &str, bytes: &[u8]) -> Result<()> {
    fs::write(run::root().join(path), bytes).with_context(|| format!("cannot write {path}"))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run `{}`", run::shown(command)))?;
    ensure!(
        output.status.success(),
        "`{}` failed: {}",
        run::shown(command),
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}
