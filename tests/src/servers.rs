//! Real HTTP servers to trace, each a process of its own on a port of its own.
//!
//! What they serve lies in `tests/fixtures`. Those that are written for these tests (node, Java, Go,
//! axum) know the same targets, see [`application_request`].

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::load::{Body, Request, get};
use crate::process::{self, Process};
use crate::wait;

/// Workers of nginx: several, so that one connection's neighbour is served by another process.
const NGINX_WORKERS: usize = 3;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian's nginx, several workers, static files.
    Nginx,
    /// `python3 -m http.server`.
    Python,
    /// `http` of Node.
    Node,
    /// `com.sun.net.httpserver` on a thread pool.
    Java,
    /// `net/http` of Go.
    Go,
    /// axum (hyper, tokio) on two threads.
    Axum,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [
        Kind::Nginx,
        Kind::Python,
        Kind::Node,
        Kind::Java,
        Kind::Go,
        Kind::Axum,
    ];

    /// For a test's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx",
            Kind::Python => "python",
            Kind::Node => "node",
            Kind::Java => "java",
            Kind::Go => "go",
            Kind::Axum => "axum",
        }
    }

    /// A mixed load's request of that number, of what the server can answer.
    pub fn request(self, number: usize) -> Request {
        match self {
            Kind::Nginx => nginx_request(number),
            Kind::Python => python_request(number),
            _ => application_request(number),
        }
    }
}

/// A running server; ends, with its workers, when dropped.
pub struct Server {
    /// The process to attach to.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    _files: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts one and awaits that it listens.
    #[track_caller]
    pub fn start(kind: Kind) -> Server {
        match kind {
            Kind::Nginx => nginx(NGINX_WORKERS),
            Kind::Python => python(),
            Kind::Node => announced(Command::new("node").arg(fixture("node/server.js"))),
            Kind::Java => announced(&mut java()),
            Kind::Go => announced(Command::new(go("go")).arg("serve")),
            Kind::Axum => announced(&mut ours("axum-server")),
        }
    }

    /// Starts a command whose first line of output is the port it listens on.
    #[track_caller]
    pub fn announced(command: &mut Command) -> Server {
        announced(command)
    }

    /// Its process id: for `-p`.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// A program of this package (`src/bin`), as built beside the one that runs.
pub fn ours(name: &str) -> Command {
    let exe = std::env::current_exe().expect("it runs");
    let program = exe
        .ancestors()
        .skip(1)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is not built"));
    Command::new(program)
}

/// nginx's master, its workers ready, serving files.
#[track_caller]
pub fn nginx(workers: usize) -> Server {
    let files = tempfile::tempdir().expect("a folder");
    let html = files.path().join("html");
    std::fs::create_dir(&html).expect("made");
    for (name, size) in [
        ("page.html", 612),
        ("part.shtml", 3000),
        ("big.bin", 200_000),
    ] {
        std::fs::write(html.join(name), vec![b'n'; size]).expect("written");
    }
    let set = ("@workers@", workers.to_string());
    nginx_with("nginx.conf", files, workers, &[set])
}

/// nginx as a gateway to a gRPC server.
#[track_caller]
pub fn nginx_grpc(behind: SocketAddr) -> Server {
    let files = tempfile::tempdir().expect("a folder");
    let behind = ("@behind@", behind.to_string());
    nginx_with("nginx-grpc.conf", files, 1, &[behind])
}

/// nginx with so many workers, before two HTTP servers.
#[track_caller]
pub fn nginx_proxy(workers: usize, [one, other]: [SocketAddr; 2]) -> Server {
    let files = tempfile::tempdir().expect("a folder");
    let set = [
        ("@workers@", workers.to_string()),
        ("@one@", one.to_string()),
        ("@other@", other.to_string()),
    ];
    nginx_with("nginx-proxy.conf", files, workers, &set)
}

fn nginx_with(
    config: &str,
    files: tempfile::TempDir,
    workers: usize,
    more: &[(&str, String)],
) -> Server {
    let dir = files.path();
    // nginx cannot choose a port by itself: take one that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let mut config = std::fs::read_to_string(fixture(config))
        .expect("the fixture")
        .replace("@dir@", &dir.to_string_lossy())
        .replace("@address@", &address.to_string());
    for (name, value) in more {
        config = config.replace(name, value);
    }
    std::fs::write(dir.join("nginx.conf"), config).expect("written");
    let mut command = Command::new("nginx");
    // Debian has it in sbin, which is not in everyone's PATH.
    command.env("PATH", with_sbin());
    command
        .arg("-p")
        .arg(dir)
        .arg("-c")
        .arg(dir.join("nginx.conf"));
    let process = Process::start(&mut command);
    let pid = process.pid();
    wait::until("nginx's workers", wait::SOON, || {
        (process::children(pid).len() == workers && TcpStream::connect(address).is_ok())
            .then_some(())
    });
    Server {
        process,
        address,
        _files: Some(files),
    }
}

fn python() -> Server {
    let files = tempfile::tempdir().expect("a folder");
    for (name, size) in [("page.html", 612), ("big.bin", 200_000)] {
        std::fs::write(files.path().join(name), vec![b'p'; size]).expect("written");
    }
    let mut command = Command::new("python3");
    command
        .args(["-u", "-m", "http.server", "--protocol", "HTTP/1.1"])
        .args(["--bind", "127.0.0.1", "0", "--directory"])
        .arg(files.path());
    let process = Process::start(&mut command);
    let line = process
        .stdout
        .wait_for("port", |line| line.starts_with("Serving HTTP"));
    let port = line
        .split(" port ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no port in {line}"));
    Server {
        process,
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        _files: Some(files),
    }
}

#[track_caller]
fn announced(command: &mut Command) -> Server {
    let process = Process::start(command);
    let port = process
        .stdout
        .wait_for("port", |line| line.parse::<u16>().is_ok());
    Server {
        process,
        address: SocketAddr::from(([127, 0, 0, 1], port.parse().expect("checked"))),
        _files: None,
    }
}

/// The Java server's command, compiled if need be.
fn java() -> Command {
    let classes = built("java", |dir| {
        let mut command = Command::new("javac");
        command.arg("-d").arg(dir).arg(fixture("java/Server.java"));
        command
    });
    let mut command = Command::new("java");
    // Without nodelay, head and body, written apart, wait for each other's acknowledgement.
    command
        .args([
            "-XX:+UseSerialGC",
            "-Dsun.net.httpserver.nodelay=true",
            "-cp",
        ])
        .arg(classes)
        .arg("Server");
    command
}

/// A Go program of the fixtures, compiled if need be.
pub fn go(module: &str) -> PathBuf {
    built(module, |dir| {
        let mut command = Command::new("go");
        command
            .args(["build", "-o"])
            .arg(dir.join(module))
            .arg(".")
            .env("GOFLAGS", "-buildvcs=false -mod=mod")
            .current_dir(fixture(module));
        command
    })
    .join(module)
}

/// The Go program of the fixtures that sends and receives as a 32-bit one.
pub fn go_386() -> PathBuf {
    built("go-386", |dir| {
        let mut command = Command::new("go");
        command
            .args(["build", "-o"])
            .arg(dir.join("go-386"))
            .arg(fixture("go-386/main.go"))
            .env("GOARCH", "386")
            .env("CGO_ENABLED", "0")
            .env("GO111MODULE", "off");
        command
    })
    .join("go-386")
}

/// Runs a build into the target folder, once in this process: the compilers know themselves what is
/// up to date. With `TRACER_TEST_BUILT` set, as it is in guests, everything is built already: in one, a
/// compiler takes minutes to find that out.
#[track_caller]
pub(crate) fn built(name: &str, command: impl FnOnce(&Path) -> Command) -> PathBuf {
    static DONE: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut done = DONE.lock().expect("not poisoned");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/fixtures")
        .join(name);
    let there = std::env::var_os("TRACER_TEST_BUILT").is_some();
    assert!(!there || dir.is_dir(), "{name} is not built");
    if !there && !done.iter().any(|other| other == name) {
        std::fs::create_dir_all(&dir).expect("made");
        let dir = dir.canonicalize().expect("it is there");
        let output = command(&dir).output().expect("the compiler");
        assert!(
            output.status.success(),
            "{name} does not compile:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        done.push(name.to_string());
    }
    dir.canonicalize().expect("it is there")
}

/// Builds all there is to build, Jaeger and Zipkin too.
pub fn build_all() {
    java();
    go_386();
    for module in ["go", "go-rpc", "collector", "go-zero-legacy", "kratos-v1"] {
        go(module);
    }
    crate::frameworks::program("kitex");
    crate::rpc::build_all();
    crate::backends::build_all();
}

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn with_sbin() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Pages of several sizes (the large one by sendfile), chunks, errors, bodies that nginx discards.
fn nginx_request(number: usize) -> Request {
    match number % 10 {
        0 => get(format!("/missing/{number}")),
        1 => get(format!("/big/{number}?size=large")),
        2 => get(format!("/chunked/{number}")),
        3 => Request {
            method: "POST",
            body: Body::Length(number % 3000),
            ..get(format!("/page/{number}"))
        },
        4 => Request {
            method: "HEAD",
            ..get(format!("/page/{number}"))
        },
        5 => get(format!("/empty/{number}")),
        _ => get(format!("/page/{number}?n={number}")),
    }
}

/// Files; a missing one closes the connection, as that server does.
fn python_request(number: usize) -> Request {
    match number % 20 {
        0 => get(format!("/missing/{number}")),
        1 => get(format!("/big.bin?n={number}")),
        2 => Request {
            method: "HEAD",
            ..get(format!("/page.html?n={number}"))
        },
        _ => get(format!("/page.html?n={number}")),
    }
}

/// What the servers written for these tests answer: `/bytes/SIZE/..` so many bytes, `/chunked/..`
/// chunks, `/status/CODE/..` that status, `/echo/..` the request's body.
fn application_request(number: usize) -> Request {
    match number % 10 {
        0 => get(format!("/status/404/{number}")),
        1 => get(format!("/status/500/{number}")),
        2 => get(format!("/chunked/{number}")),
        3 => Request {
            method: "POST",
            body: Body::Length(number % 5000),
            ..get(format!("/echo/{number}?length"))
        },
        4 => Request {
            method: "PUT",
            body: Body::Chunked(vec![1 + number % 7, 1 + number % 3000]),
            ..get(format!("/echo/{number}?chunked"))
        },
        5 => Request {
            method: "HEAD",
            ..get(format!("/bytes/10/{number}"))
        },
        6 => get(format!("/status/204/{number}")),
        7 => get(format!("/bytes/100000/{number}")),
        _ => get(format!("/bytes/{}/{number}", number % 2000)),
    }
}
