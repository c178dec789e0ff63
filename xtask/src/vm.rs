//! The live and trap tests on another kernel: one of Debian's, or any, booted in a virtual machine.
//!
//! The guest's file system is this machine's, read-only; what it writes stays in its memory. So all that the
//! tests run is built here before. Left out: other distributions, whose programs would have to come along.
//! Bias: a kernel package is unpacked into the target folder and not installed, since installing one would
//! change what this machine boots.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::test::Counts;
use crate::{run, setup};

/// Of virtme-ng, which Debian 12 has no package of.
const VIRTME: &str = "virtme-ng==1.42";
/// Room for Java, Node and Go servers, and for what tests write, which lies in memory as well.
const MEMORY: &str = "4G";
/// How much longer tests wait for what should come soon where the processor is emulated: it is 10 to 30
/// times as slow as the machine's own, and the agent's programs are verified by it before they run.
const PATIENCE: u32 = 15;

/// Runs the tests whose name contains `filter` on a kernel: a version of Debian's, or a `vmlinuz`.
pub fn run(kernel: &str, filter: Option<&str>) -> Result<()> {
    setup::ensure(setup::Purpose::Test)?;
    setup::ensure(setup::Purpose::Vm)?;
    let kernel = kernel_image(kernel)?;
    let vng = virtme()?;
    let tests = with_tests(test_programs()?, filter)?;
    let agent = run::agent()?;
    println!("==> programs that the tests run");
    run::run(run::cargo().args(["run", "--package", "tests", "--bin", "fixtures"]))?;

    let emulated = !kvm_works()?;
    let script = folder()?.join("guest.sh");
    std::fs::write(&script, guest(&agent, &tests, filter, emulated))?;
    println!(
        "==> tests on {}{}",
        kernel.display(),
        if emulated { ", emulated: slow" } else { "" }
    );
    let cpus = std::thread::available_parallelism()?.to_string();
    let mut command = Command::new(vng);
    command.arg("--run").arg(&kernel);
    command.args(["--cpus", &cpus, "--memory", MEMORY, "--user", "root"]);
    command.args(emulated.then_some("--disable-kvm"));
    command.arg("--").arg(format!("sh '{}'", script.display()));
    // Through a pipe: qemu would open anew, and empty, a file that this program writes to.
    let (output, input) = std::io::pipe()?;
    command.stdout(input.try_clone()?).stderr(input);
    let mut guest = command.stdin(Stdio::null()).spawn()?;
    // It keeps the pipe open.
    drop(command);
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        counts.add(&line);
    }
    let status = guest.wait()?;
    println!("\n{counts}");
    ensure!(
        status.success(),
        "the tests in the guest ended with {status}"
    );
    ensure!(counts.any(), "the guest ended before any test ran");
    Ok(())
}

/// Whether KVM gives a processor: some hosts have the device and refuse what it is asked for.
fn kvm_works() -> Result<bool> {
    let mut machine = Command::new("qemu-system-x86_64")
        .args(["-accel", "kvm", "-cpu", "host", "-nodefaults"])
        .args(["-display", "none", "-S", "-monitor", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // Without a processor it may be gone already.
    _ = machine
        .stdin
        .take()
        .context("no input")?
        .write_all(b"quit\n");
    Ok(machine.wait()?.success())
}

/// Where everything of this task lies.
fn folder() -> Result<PathBuf> {
    let folder = run::target().join("vm");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The kernel's image: that path, or Debian's newest of that version, installed or unpacked.
fn kernel_image(kernel: &str) -> Result<PathBuf> {
    if kernel.contains('/') {
        let image = Path::new(kernel).canonicalize();
        return image.with_context(|| format!("no kernel at {kernel}"));
    }
    let is_version = kernel.split('.').all(|part| part.parse::<u32>().is_ok());
    ensure!(
        is_version,
        "`{kernel}` is neither a version such as 6.1 nor the path of a vmlinuz"
    );
    let package = kernel_package(kernel)?;
    let image = format!(
        "boot/vmlinuz-{}",
        package.trim_start_matches("linux-image-")
    );
    let (installed, unpacked) = (Path::new("/").join(&image), folder()?.join(&package));
    if installed.exists() {
        return Ok(installed);
    }
    if !unpacked.join(&image).exists() {
        println!("==> {package}");
        let downloads = folder()?.join("download");
        std::fs::create_dir_all(&downloads)?;
        run::run(
            Command::new("apt-get")
                .args(["download", &package])
                .current_dir(&downloads),
        )?;
        let script =
            "dpkg-deb --extract \"$1\"_*.deb part && rm -rf \"../$1\" && mv part \"../$1\"";
        run::run(
            Command::new("sh")
                .args(["-euc", script, "sh", &package])
                .current_dir(&downloads),
        )?;
        std::fs::remove_dir_all(&downloads)?;
    }
    Ok(unpacked.join(image))
}

/// The newest of Debian's packages of that version.
fn kernel_package(version: &str) -> Result<String> {
    let prefix = format!("linux-image-{version}.");
    let output = Command::new("apt-cache")
        .args(["pkgnames", &prefix])
        .output()
        .context("cannot run `apt-cache`: name the path of a vmlinuz instead")?;
    let names = String::from_utf8_lossy(&output.stdout);
    let newest = names
        .lines()
        .filter(|name| is_plain(name))
        .max_by_key(|name| numbers(name));
    let Some(newest) = newest else {
        bail!(
            "Debian's package sources have no Linux {version}: try `apt-get update`, or name the path of a vmlinuz"
        );
    };
    Ok(newest.to_string())
}

/// Whether a package is the kernel for any machine, and not one for clouds, real time or debugging.
fn is_plain(package: &str) -> bool {
    package
        .strip_suffix("-amd64")
        .is_some_and(|rest| !rest.ends_with("-cloud") && !rest.ends_with("-rt"))
}

/// All numbers of a name, by which versions are compared.
fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// virtme-ng's program: the machine's, or one in an environment of its own.
fn virtme() -> Result<PathBuf> {
    if let Some(vng) = run::find("vng") {
        return Ok(vng);
    }
    let environment = folder()?.join("virtme-ng");
    let vng = environment.join("bin/vng");
    if !vng.exists() {
        println!("==> {VIRTME}");
        run::run(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        )?;
        let pip = environment.join("bin/pip");
        run::run(Command::new(pip).args(["install", "--quiet", VIRTME]))?;
    }
    Ok(vng)
}

/// The tests that look at a kernel, built: the probes' traps, then those with the agent.
fn test_programs() -> Result<[PathBuf; 2]> {
    /// One of cargo's messages.
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }

    let mut command = run::cargo();
    command.args(["test", "--workspace", "--test", "*", "--no-run"]);
    command.arg("--message-format=json-render-diagnostics");
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "`{}` failed", run::shown(&command));
    let messages = String::from_utf8_lossy(&output.stdout);
    let built: Vec<(String, PathBuf)> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect();
    let find = |wanted: &str| {
        let found = built.iter().find(|(name, _)| name == wanted);
        found
            .map(|(_, program)| program.clone())
            .with_context(|| format!("cargo built no `{wanted}`"))
    };
    Ok([find("probe")?, find("live")?])
}

/// Those of the programs that have a test with `filter` in its name: a typing error is told before the
/// agent is built and a machine boots for it.
fn with_tests(programs: [PathBuf; 2], filter: Option<&str>) -> Result<Vec<PathBuf>> {
    let mut with = Vec::new();
    for program in programs {
        let mut command = Command::new(&program);
        let output = command.arg("--list").args(filter).output()?;
        let listed = String::from_utf8_lossy(&output.stdout);
        if listed.lines().any(|line| line.ends_with(": test")) {
            with.push(program);
        }
    }
    ensure!(
        !with.is_empty(),
        "no live or trap test has `{}` in its name",
        filter.unwrap_or_default()
    );
    Ok(with)
}

/// What the guest's shell runs: what a booted system has mounted, then each test program to its end. Debian's
/// default of `perf_event_paranoid` is one that forbids tracepoints to all but CAP_SYS_ADMIN.
fn guest(agent: &Path, tests: &[PathBuf], filter: Option<&str>, emulated: bool) -> String {
    let variable = |name| quoted(&std::env::var(name).unwrap_or_default());
    let mut script = format!(
        "exec 2>&1
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
ip link set lo up
echo 2 > /proc/sys/kernel/perf_event_paranoid
mkdir /run/tests
export TMPDIR=/run/tests HOME={} PATH={} TRACER_BIN={} TRACER_TEST_BUILT=1 TRACER_TEST_PATIENCE={}
cd {}
echo \"==> Linux $(uname -r)\"
code=0
",
        variable("HOME"),
        variable("PATH"),
        quoted(&agent.to_string_lossy()),
        if emulated { PATIENCE } else { 1 },
        quoted(&run::root().join("tests").to_string_lossy()),
    );
    for test in tests {
        let test = quoted(&test.to_string_lossy());
        let filter = filter.map(quoted).unwrap_or_default();
        script.push_str(&format!("{test} {filter} || code=$?\n"));
    }
    script + "exit $code\n"
}

/// A word for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_package_is_the_highest_by_its_numbers() {
        let names = [
            "linux-image-6.12.9+deb12-amd64",
            "linux-image-6.12.117+deb12-amd64",
            "linux-image-6.12.118+deb12-rt-amd64",
            "linux-image-6.12.118+deb12-cloud-amd64",
            "linux-image-6.12.118+deb12-amd64-unsigned",
            "linux-image-6.12.20+deb12-amd64",
        ];
        let newest = names
            .into_iter()
            .filter(|name| is_plain(name))
            .max_by_key(|name| numbers(name));
        assert_eq!(newest, Some("linux-image-6.12.117+deb12-amd64"));
    }
}
