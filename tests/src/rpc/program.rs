//! How the RPC programs are built and started.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Call, Done};
use crate::process::Process;
use crate::servers::{self, Server, fixture};

/// How long all calls of a client may take: only ever waited out by a test that fails.
const LONGEST: Duration = Duration::from_secs(120);

/// A framework that serves and calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// gRPC for Go.
    GrpcGo,
    /// gRPC for Python.
    GrpcPython,
    /// gRPC for Node, in JavaScript.
    GrpcNode,
    /// gRPC for Rust: tonic.
    Tonic,
    /// Go's net/http, HTTP/2 without TLS.
    Http2,
    /// Kitex for Go: the client's transport, and how it writes messages. One server takes them all, but
    /// for the transport `mux` and for JSON, which have one each.
    Kitex(&'static str, Form),
    /// Apache Thrift for Python: transport and protocol of both sides.
    Thrift(&'static str),
}

/// How Kitex writes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Form {
    Thrift,
    Protobuf,
    /// Thrift, by a client and a server that know the service by its IDL alone.
    Json,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Form::Thrift => "thrift",
            Form::Protobuf => "protobuf",
            Form::Json => "json",
        }
    }
}

impl Stack {
    /// Starts its server, on a port of its own choice.
    #[track_caller]
    pub fn serve(self) -> Server {
        Server::announced(&mut self.command("serve", &[]))
    }

    /// Likewise, on the port of one that has ended.
    #[track_caller]
    pub fn serve_again(self, port: u16) -> Server {
        Server::announced(&mut self.command("serve", &[&port.to_string()]))
    }

    /// Starts a server of HTTP/1 and HTTP/2 that lets clients change from one to the other.
    #[track_caller]
    pub fn serve_upgrading() -> Server {
        Server::announced(&mut Stack::Http2.command("serve", &["0", "upgrade"]))
    }

    /// Starts its client, which connects once it is told its first call, and makes so many at a time.
    #[track_caller]
    pub fn client(self, server: &Server, parallel: usize) -> Client {
        let arguments = [server.address.to_string(), parallel.to_string()];
        let arguments = arguments.each_ref().map(String::as_str);
        let mut command = self.command("call", &arguments);
        Client {
            process: Process::start(command.stdin(Stdio::piped())),
        }
    }

    fn command(self, role: &str, arguments: &[&str]) -> Command {
        let (program, script) = match self {
            Stack::GrpcGo | Stack::Http2 | Stack::Kitex(..) => (servers::go("go-rpc"), None),
            Stack::GrpcPython => (python(), Some(fixture("python/rpc_grpc.py"))),
            Stack::Thrift(_) => (python(), Some(fixture("python/rpc_thrift.py"))),
            Stack::GrpcNode => ("node".into(), Some(fixture("node-grpc/main.js"))),
            Stack::Tonic => (servers::ours("tonic").get_program().into(), None),
        };
        let mut command = Command::new(program);
        command.args(script);
        match self {
            Stack::GrpcGo => command.arg(format!("grpc-{role}")),
            Stack::Http2 => command.arg(format!("http-{role}")),
            Stack::Kitex(..) => command.arg(format!("kitex-{role}")),
            _ => command.arg(role),
        };
        match (self, role) {
            (Stack::Kitex(transport, form), "call") => {
                command.args(arguments).args([transport, form.name()])
            }
            (Stack::Kitex("mux", _), _) => command.args(["0", "mux"]),
            (Stack::Kitex(_, Form::Json), _) => command.args(["0", "json"]),
            (Stack::Thrift(form), "serve") => command.arg(form).args(arguments),
            (Stack::Thrift(form), _) => command.args(arguments).arg(form),
            _ => command.args(arguments),
        };
        if self == Stack::GrpcNode {
            command.env("NODE_PATH", node_modules());
        }
        command
    }
}

/// A client program that waits for calls, or makes them.
pub struct Client {
    /// The process to attach to.
    pub process: Process,
}

impl Client {
    /// Its process id: for `-p`.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Tells it further calls.
    #[track_caller]
    pub fn tell(&mut self, calls: &[Call]) {
        let mut lines = String::new();
        for call in calls {
            lines.push_str(&serde_json::to_string(call).expect("JSON"));
            lines.push('\n');
        }
        let input = self.process.child().stdin.as_mut().expect("piped");
        input.write_all(lines.as_bytes()).expect("it reads");
    }

    /// Awaits that so many of the calls it was told are done.
    #[track_caller]
    pub fn wait_done(&self, count: usize) {
        crate::wait::until("calls to be done", LONGEST, || {
            (self.process.stdout.count() >= count).then_some(())
        });
    }

    /// Awaits its end, which comes when all it was told is done: each call with what came of it, by
    /// the calls' ids.
    #[track_caller]
    pub fn finish(mut self) -> Vec<Done> {
        drop(self.process.child().stdin.take());
        let code = self.process.wait_code(LONGEST);
        assert_eq!(code, 0, "{:#?}", self.process.stderr.all());
        let lines = self.process.stdout.all();
        let mut done: Vec<Done> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect();
        done.sort_by_key(|done| done.id);
        done
    }
}

/// What came of a load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Calls that ended well.
    pub well: usize,
    /// How long all of them took.
    pub took: Duration,
}

/// Makes so many small unary calls to a gRPC server over one connection, `parallel` at a time, each
/// with a trace context made of its number, from 1.
#[track_caller]
pub fn load(server: &Server, parallel: usize, calls: usize) -> Load {
    let mut command = Command::new(servers::go("go-rpc"));
    command
        .arg("grpc-load")
        .arg(server.address.to_string())
        .args([parallel, calls].map(|number| number.to_string()));
    let mut process = Process::start(&mut command);
    let code = process.wait_code(LONGEST);
    let lines = process.stdout.all();
    let mut numbers = lines.iter().flat_map(|line| line.split(' '));
    let mut next = || numbers.next().and_then(|number| number.parse::<u64>().ok());
    match (code, next(), next()) {
        (0, Some(well), Some(took)) => Load {
            well: well as usize,
            took: Duration::from_nanos(took),
        },
        _ => panic!("{lines:#?} {:#?}", process.stderr.all()),
    }
}

/// What the scripted programs need.
pub fn build_all() {
    python();
    node_modules();
}

/// Python with the packages of `fixtures/python/requirements.txt`, in an environment of its own.
fn python() -> PathBuf {
    let dir = servers::built("python", |dir| {
        let mut command = Command::new("sh");
        let script = "cmp -s \"$1\" installed.txt && exit; \
                      python3 -m venv .; bin/python -m pip install --quiet --requirement \"$1\"; \
                      cp \"$1\" installed.txt";
        command.args(["-euc", script, "sh"]);
        command
            .arg(fixture("python/requirements.txt"))
            .current_dir(dir);
        command
    });
    dir.join("bin/python")
}

/// The packages of `fixtures/node-grpc/package.json`.
fn node_modules() -> PathBuf {
    let dir = servers::built("node-grpc", |dir| {
        let mut command = Command::new("sh");
        let script = "cmp -s \"$1/package-lock.json\" package-lock.json && exit; \
                      cp \"$1/package.json\" .; cp \"$1/package-lock.json\" npm-shrinkwrap.json; \
                      npm ci --silent --no-audit --no-fund --ignore-scripts; \
                      mv npm-shrinkwrap.json package-lock.json";
        command.args(["-euc", script, "sh"]);
        command.arg(fixture("node-grpc")).current_dir(dir);
        command
    });
    dir.join("node_modules")
}
