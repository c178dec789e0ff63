//! What real processes are called, and what is known of them: several services under one agent, each
//! in its own way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::agent::Family;
use tests::load::{self, get};
use tests::process::Process;
use tests::servers::{self, Kind, Server};
use tests::span::{Attributes, Value};

use crate::Test;
use crate::common::{OK, Traced};

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        (
            "resource_of_each_by_its_environment",
            by_environment as Test,
        ),
        ("resource_by_what_it_runs", by_what_it_runs),
        ("resource_by_its_cgroup", by_cgroup),
    ]
}

/// Serves something with each, and returns their resources in that order.
fn resources(family: Family, servers: &[&Server], options: &[&str]) -> Vec<Attributes> {
    let pids: Vec<u32> = servers.iter().map(|server| server.pid()).collect();
    let traced = Traced::attach_with(family, &pids, options);
    for server in servers {
        load::run(server.address, 1, 1, |number| get(format!("/{number}")));
    }
    let (spans, _) = traced.finish();
    let of = |pid: &u32| {
        let span = spans
            .iter()
            .find(|span| span.pid() == Some(i64::from(*pid)));
        span.unwrap_or_else(|| panic!("no span of {pid}: {spans:#?}"))
            .resource
            .clone()
    };
    pids.iter().map(of).collect()
}

fn text<'a>(resource: &'a Attributes, name: &str) -> &'a str {
    match resource.get(name) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// A peer that answers, with that environment.
fn peer(environment: &[(&str, &str)]) -> Server {
    let mut command = servers::ours("peer");
    command.args(["listen", "127.0.0.1:0", "head", OK, "again"]);
    Server::announced(command.envs(environment.iter().copied()))
}

fn by_environment(family: Family) {
    let orders = peer(&[("OTEL_SERVICE_NAME", "orders")]);
    let prices = peer(&[(
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=prices,service.version=1.4,team=a%20b",
    )]);
    let plain = peer(&[]);
    let servers = [&orders, &prices, &plain];
    let told = resources(family, &servers, &[]);
    let names: Vec<_> = told.iter().map(|of| text(of, "service.name")).collect();
    assert_eq!(names, ["orders", "prices", "peer"]);
    assert_eq!(text(&told[1], "service.version"), "1.4");
    assert_eq!(text(&told[1], "team"), "a b");
    let ids = told.iter().map(|of| text(of, "service.instance.id"));
    let ids: std::collections::HashSet<_> = ids.collect();
    assert_eq!(ids.len(), 3);
    // The same process, another run of the agent; and the flag names them all.
    let again = resources(family, &servers, &["--service-name", "all"]);
    for (first, second) in told.iter().zip(&again) {
        assert_eq!(text(second, "service.name"), "all");
        let id = "service.instance.id";
        assert_eq!(text(first, id), text(second, id));
    }
}

fn by_what_it_runs(family: Family) {
    let python = Server::start(Kind::Python);
    let go = Server::start(Kind::Go);
    let files = tempfile::tempdir().expect("a folder");
    let node = package(files.path());
    let jar = jar(files.path());
    // Relative to where it is started, as in most containers.
    let mut java = Command::new("java");
    java.args(["-XX:+UseSerialGC", "-jar", "shop-2.1.0.jar"]);
    let java = Server::announced(java.current_dir(jar.parent().expect("a folder")));
    let told = resources(family, &[&python, &go, &node, &java], &[]);
    let expected = [
        ["http.server", "cpython", ""],
        // The module's name, which the file has not.
        ["fixture", "go", ""],
        ["checkout", "nodejs", "3.1.4"],
        ["shop", "java", "2.1.0"],
    ];
    for (of, expected) in told.iter().zip(expected) {
        let names = ["service.name", "process.runtime.name", "service.version"];
        assert_eq!(names.map(|name| text(of, name)), expected);
    }
    assert!(text(&told[1], "process.runtime.version").starts_with("go1."));
}

/// The Node server as a package's.
fn package(dir: &Path) -> Server {
    let package = r#"{"name": "@acme/checkout", "version": "3.1.4"}"#;
    fs::write(dir.join("package.json"), package).expect("written");
    let script = dir.join("server.js");
    fs::copy(servers::fixture("node/server.js"), script).expect("copied");
    Server::announced(Command::new("node").arg("server.js").current_dir(dir))
}

/// The Java server as a jar, with its version in the manifest.
fn jar(dir: &Path) -> PathBuf {
    let run = |command: &mut Command| {
        let status = command.current_dir(dir).status().expect("a JDK");
        assert!(status.success(), "{status}");
    };
    let manifest = "Main-Class: Server\nImplementation-Version: 2.1.0\n";
    fs::write(dir.join("manifest"), manifest).expect("written");
    run(Command::new("javac")
        .args(["-d", "classes"])
        .arg(servers::fixture("java/Server.java")));
    let mut command = Command::new("jar");
    run(command.args([
        "-c",
        "-f",
        "shop-2.1.0.jar",
        "-m",
        "manifest",
        "-C",
        "classes",
        ".",
    ]));
    dir.join("shop-2.1.0.jar")
}

/// A cgroup below the first hierarchy that lets us make one; removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    /// None where no hierarchy is writable.
    fn make(path: &str) -> Option<Cgroup> {
        let top = Path::new("/sys/fs/cgroup");
        ["unified", "systemd", "pids", ""]
            .into_iter()
            .find_map(|hierarchy| {
                let path = top.join(hierarchy).join(path);
                let whole = fs::create_dir_all(&path).is_ok() && path.join("cgroup.procs").exists();
                whole.then_some(Cgroup(path))
            })
    }

    fn add(&self, process: &Process) {
        let pid = process.pid().to_string();
        fs::write(self.0.join("cgroup.procs"), pid).expect("moved");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The folders above it are others', unless they are empty now.
        for folder in self.0.ancestors().take(2) {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn by_cgroup(family: Family) {
    let id = "3f2a1b9c".repeat(8);
    let groups = [
        format!("docker/{id}"),
        "system.slice/tracertest@1.service".to_owned(),
    ];
    let Some(groups) = groups
        .iter()
        .map(|path| Cgroup::make(path))
        .collect::<Option<Vec<_>>>()
    else {
        eprintln!("no cgroup can be made here: skipped");
        return;
    };
    let contained = peer(&[]);
    let unit = peer(&[]);
    let own = peer(&[("OTEL_SERVICE_NAME", "own")]);
    groups[0].add(&contained.process);
    groups[1].add(&unit.process);
    groups[1].add(&own.process);
    let told = resources(family, &[&contained, &unit, &own], &[]);
    drop((contained, unit, own));
    let names: Vec<_> = told.iter().map(|of| text(of, "service.name")).collect();
    assert_eq!(names, ["peer", "tracertest", "own"]);
    let ids: Vec<_> = told.iter().map(|of| text(of, "container.id")).collect();
    assert_eq!(ids, [id.as_str(), "", ""]);
}
