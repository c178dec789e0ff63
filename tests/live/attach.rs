//! Attaching and detaching: what exists already, what comes later, what must not stay behind.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::agent::Agent;
use tests::load::{self, Connection, Exchange, get};
use tests::servers::{self, Kind, Server};
use tests::sink::Sink;
use tests::span::Value;
use tests::{check, process, wait};

use crate::Test;
use crate::common::{OK, Traced, listening_peer, plain_peer, traceparent};
use tests::agent::Family;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("attach_existing_connections", existing_connections),
        ("attach_within_a_body", within_a_body),
        ("attach_new_workers", new_workers),
        ("attach_without_following", no_follow),
        ("attach_command_from_its_first_byte", command),
        ("attach_command_exit_codes", command_exit_codes),
        ("attach_32_bit_program", program_32_bit),
        ("attach_by_port_and_exe_later", selected_later),
        ("attach_all", all),
        ("attach_two_agents", two_agents),
        ("attach_ipv6_and_unix", ipv6_and_unix),
        ("attach_detach_leaves_nothing", leaves_nothing),
        ("attach_agent_killed_under_load", agent_killed),
        ("attach_target_killed_mid_request", target_killed),
    ]
}

/// Connections opened and used before the agent came: their next request is an exact span.
fn existing_connections(family: Family) {
    for kind in [Kind::Nginx, Kind::Node, Kind::Java, Kind::Go] {
        let server = Server::start(kind);
        let mut connections: Vec<Connection> = (0..20)
            .map(|_| Connection::open(server.address).expect("it listens"))
            .collect();
        for (number, connection) in connections.iter_mut().enumerate() {
            request(connection, 1000 + number);
        }
        let traced = Traced::attach(family, &[server.pid()]);
        let mut exchanges = Vec::new();
        for round in 0..3 {
            for (number, connection) in connections.iter_mut().enumerate() {
                exchanges.push(request(connection, round * 100 + number));
            }
        }
        let (spans, _) = traced.finish();
        check::exact(&spans, &exchanges);
    }
}

/// One small request on a connection, its ids made of `number`.
fn request(connection: &mut Connection, number: usize) -> Exchange {
    let request = get(format!("/bytes/9/{number}"));
    let (_, trace_id, parent) = traceparent(number);
    let (bytes, request_body) = load::encode(&request, &trace_id, &parent);
    let began = load::now();
    connection.write(&bytes).expect("it reads");
    Exchange {
        response: connection.read("GET").expect("an answer"),
        method: "GET",
        target: request.target,
        trace_id,
        parent,
        request_wire: bytes.len() as u64,
        request_body,
        began,
        ended: load::now(),
    }
}

/// The agent comes while a request's body is under way: that exchange is not known whole, and says
/// so if there is a span of it; the next is exact.
fn within_a_body(family: Family) {
    let server = Server::start(Kind::Go);
    let mut connection = Connection::open(server.address).expect("it listens");
    let head = "POST /echo/midway HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
    connection.write(head.as_bytes()).expect("it reads");
    connection.write(&[b'x'; 50_000]).expect("it reads");
    let traced = Traced::attach(family, &[server.pid()]);
    connection.write(&[b'x'; 50_000]).expect("it reads");
    assert_eq!(connection.read("POST").expect("an answer").body, 100_000);
    let exchanges: Vec<Exchange> = (0..5).map(|n| request(&mut connection, n)).collect();
    let (spans, _) = traced.finish();
    let (whole, partial): (Vec<_>, Vec<_>) = spans
        .into_iter()
        .partition(|span| span.text("tracer.incomplete").is_empty());
    check::exact(&whole, &exchanges);
    assert!(partial.len() <= 1, "{partial:#?}");
    for span in partial {
        assert_eq!(
            span.text("tracer.incomplete"),
            "attached_midway",
            "{span:?}"
        );
    }
}

/// Workers that the traced master forks later are traced from their first byte.
fn new_workers(family: Family) {
    let server = Server::start(Kind::Nginx);
    let traced = Traced::attach(family, &[server.pid()]);
    let mut exchanges = load::run(server.address, 4, 200, |n| Kind::Nginx.request(n));
    renew_workers(&server);
    exchanges.extend(load::run(server.address, 20, wait::fewer(2_000), |n| {
        Kind::Nginx.request(n)
    }));
    let (spans, _) = traced.finish();
    check::exact(&spans, &exchanges);
}

/// Has nginx fork new workers, and awaits that the others are gone: those close kept connections as they
/// go, whatever comes over them.
#[track_caller]
fn renew_workers(server: &Server) {
    let workers = || process::children(server.pid());
    let before: BTreeSet<u32> = workers().into_iter().collect();
    server.process.signal(libc::SIGHUP);
    wait::until("only new workers", wait::SOON, || {
        let now: BTreeSet<u32> = workers().into_iter().collect();
        (!now.is_empty() && now.is_disjoint(&before)).then_some(())
    });
}

/// With `--no-follow` a child forked later is left alone.
fn no_follow(family: Family) {
    let server = servers::nginx(1);
    let workers = process::children(server.pid());
    let traced = Traced::attach_with(family, &workers, &["--no-follow"]);
    let exchanges = load::run(server.address, 4, 200, |n| Kind::Nginx.request(n));
    let (spans, _) = traced.finish();
    check::exact(&spans, &exchanges);
    // The master serves nothing itself, and nobody follows what it forks.
    let traced = Traced::attach_with(family, &[server.pid()], &["--no-follow"]);
    renew_workers(&server);
    load::run(server.address, 4, 200, |n| Kind::Nginx.request(n));
    assert!(traced.agent.stop_for_stats().spans.made == 0);
}

/// `-- CMD`: also the first exchange of the first connection, and its children's.
fn command(family: Family) {
    let sink = Sink::start();
    let peer = servers::ours("peer");
    let program = peer.get_program().to_string_lossy().into_owned();
    let agent = Agent::spawn([
        "--otlp-endpoint",
        &sink.endpoint(),
        "--probes",
        family.name(),
        "--",
        "sh",
        "-c",
        &format!("{program} listen 127.0.0.1:0 head '{OK}' again & wait"),
    ]);
    let port = agent
        .process
        .stdout
        .wait_for("port", |line| line.parse::<u16>().is_ok());
    let address = ([127, 0, 0, 1], port.parse().expect("checked")).into();
    let exchanges = load::run(address, 5, 100, |n| get(format!("/{n}")));
    let stats = agent.stop_for_stats();
    stats.assert_nothing_lost();
    check::exact(&sink.spans(), &exchanges);
}

/// The command's exit code is ours; a command that cannot be run is said.
fn command_exit_codes(family: Family) {
    let code = |command: &[&str]| {
        let mut arguments = vec!["-o", "none", "--probes", family.name(), "--"];
        arguments.extend(command);
        Agent::spawn(arguments).wait()
    };
    assert_eq!(code(&["true"]).code, 0);
    assert_eq!(code(&["sh", "-c", "exit 7"]).code, 7);
    let killed = code(&["sh", "-c", "kill -9 $$"]);
    assert_eq!(killed.code, 128 + libc::SIGKILL, "{killed:#?}");
    let missing = code(&["/no/such/program"]);
    assert_eq!(missing.code, 127, "{missing:#?}");
    assert!(
        missing
            .stderr
            .iter()
            .any(|line| line.contains("/no/such/program")),
        "{missing:#?}"
    );
    // Its standard input and output are its own.
    let mut agent = Agent::spawn_with(
        ["-o", "none", "--probes", family.name(), "--", "cat"],
        |command| {
            command.stdin(Stdio::piped());
        },
    );
    let mut stdin = agent.process.child().stdin.take().expect("piped");
    stdin.write_all(b"through\n").expect("it reads");
    drop(stdin);
    let ended = agent.wait();
    assert_eq!((ended.code, ended.stdout), (0, vec!["through".to_string()]));
}

/// A 32-bit program is traced, or it is said that it is not.
fn program_32_bit(family: Family) {
    let sink = Sink::start();
    let (endpoint, program) = (sink.endpoint(), servers::go_386());
    let program = program.to_str().expect("a path");
    let arguments = ["--otlp-endpoint", &endpoint, "--probes", family.name()];
    let mut agent = Agent::spawn_with(arguments.iter().chain(&["--", program]), |command| {
        command.stdin(Stdio::piped());
    });
    match family {
        Family::Sock => {
            let spans = sink.wait_for("both ends", |spans| spans.len() == 2);
            let paths: Vec<&str> = spans.iter().map(|span| span.text("url.path")).collect();
            assert!(paths.contains(&"/32"), "{paths:?}");
        }
        Family::Syscall => {
            let said = |line: &str| line.contains("is a 32-bit program");
            agent.process.stderr.wait_for("warning", said);
        }
    }
    drop(agent.process.child().stdin.take());
    let ended = agent.wait();
    assert_eq!(ended.code, 0, "{ended:#?}");
    ended.stats.expect("--stats").assert_add_up();
}

/// `--port` and `--exe` find processes that are there and those that come later.
fn selected_later(family: Family) {
    let sink = Sink::start();
    let first = Server::start(Kind::Node);
    let port = first.address.port().to_string();
    let endpoint = sink.endpoint();
    let mut arguments = vec![
        "--port",
        &port,
        "--exe",
        "*/peer",
        "--otlp-endpoint",
        &endpoint,
    ];
    arguments.extend(["--probes", family.name()]);
    let agent = Agent::spawn_with(arguments, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "10");
    });
    agent.wait_ready();
    let mut exchanges = load::run(first.address, 3, 100, |n| Kind::Node.request(n));
    let later = plain_peer();
    // It is found as it starts, but nothing makes it wait for that.
    wait::until("a span of the later process", wait::SOON, || {
        load::run(later.address, 1, 1, |n| get(format!("/found/{n}")));
        let spans = sink.spans();
        spans
            .iter()
            .any(|span| span.pid() == Some(i64::from(later.pid())))
            .then_some(())
    });
    exchanges.extend(load::run(later.address, 3, 100, |n| get(format!("/{n}"))));
    let stats = agent.stop_for_stats();
    stats.assert_nothing_lost();
    let mut spans = sink.spans();
    spans.retain(|span| !span.text("url.path").starts_with("/found/"));
    check::exact(&spans, &exchanges);
}

/// `--all`: whoever is there, whatever else goes on.
fn all(family: Family) {
    let sink = Sink::start();
    let before = plain_peer();
    let endpoint = sink.endpoint();
    let agent = Agent::start([
        "--all",
        "--otlp-endpoint",
        &endpoint,
        "--probes",
        family.name(),
    ]);
    let later = plain_peer();
    let mut exchanges = load::run(before.address, 3, 100, |n| get(format!("/{n}")));
    exchanges.extend(load::run(later.address, 3, 100, |n| get(format!("/{n}"))));
    agent.stop();
    // The clients are this process' threads, traced as well: each server span is the child of a
    // client span, and that one is the child of what the message carries.
    let (mut servers, clients) = (Vec::new(), sink.spans());
    let pids = [before.pid(), later.pid()].map(|pid| Some(i64::from(pid)));
    for mut span in clients
        .iter()
        .filter(|span| pids.contains(&span.pid()))
        .cloned()
    {
        assert_eq!(span.text("tracer.parent.source"), "connection", "{span:?}");
        let client = clients
            .iter()
            .find(|client| client.span_id == span.parent)
            .unwrap_or_else(|| panic!("no client span of {span:?}"));
        assert_eq!(
            client.text("tracer.parent.source"),
            "propagated",
            "{client:?}"
        );
        // The rest must be as it is without the client span between.
        span.parent.clone_from(&client.parent);
        let source = Value::Text("propagated".into());
        span.attributes
            .insert("tracer.parent.source".into(), source);
        servers.push(span);
    }
    check::exact(&servers, &exchanges);
}

/// Two agents on one process: both see everything, neither disturbs the other.
fn two_agents(family: Family) {
    let server = Server::start(Kind::Nginx);
    let one = Traced::attach(family, &[server.pid()]);
    let mut seen_by_one = load::run(server.address, 10, 500, |n| Kind::Nginx.request(n));
    let two = Traced::attach(Family::here()[0], &[server.pid()]);
    let both = load::run(server.address, 10, 1_000, |n| Kind::Nginx.request(n));
    seen_by_one.extend_from_slice(&both);
    let (spans, _) = one.finish();
    check::exact(&spans, &seen_by_one);
    let mut seen_by_two = both;
    seen_by_two.extend(load::run(server.address, 10, 500, |n| {
        Kind::Nginx.request(n)
    }));
    let (spans, _) = two.finish();
    check::exact(&spans, &seen_by_two);
}

/// TCP over IPv6, and `AF_UNIX` streams, which have no addresses to show.
fn ipv6_and_unix(family: Family) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("socket");
    let mut six = listening_peer("[::1]:0", &["head", OK, "again"]);
    six.address = ([0, 0, 0, 0, 0, 0, 0, 1], six.address.port()).into();
    let unix = listening_peer(&format!("unix:{}", path.display()), &["head", OK, "again"]);
    let traced = Traced::attach(family, &[six.pid(), unix.pid()]);
    let exchanges = load::run(six.address, 2, 50, |n| get(format!("/{n}")));
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    let (line, unix_trace, _) = traceparent(7);
    for _ in 0..3 {
        let request = format!("GET /unix HTTP/1.1\r\nHost: x\r\n{line}\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut reader = std::io::BufReader::new(&stream);
        let response = tests::message::read_response(&mut reader, "GET").expect("an answer");
        assert_eq!(response.status, 200);
    }
    let (spans, _) = traced.finish();
    let (of_unix, of_six): (Vec<_>, Vec<_>) = spans
        .into_iter()
        .partition(|span| span.trace_id == unix_trace);
    check::exact(&of_six, &exchanges);
    for span in &of_six {
        assert_eq!(span.text("network.peer.address"), "::1", "{span:?}");
        assert_eq!(span.text("client.address"), "::1", "{span:?}");
    }
    assert_eq!(of_unix.len(), 3);
    for span in &of_unix {
        assert_eq!(check::stages(span), Vec::<String>::new(), "{span:?}");
        assert_eq!(span.int("http.response.status_code"), Some(200));
        assert_eq!(span.int("network.peer.port"), None);
    }
}

/// BPF programs, maps and links that are there and that no living process but ours holds. Other
/// users of the machine may come and go meanwhile.
pub fn bpf_objects() -> BTreeSet<String> {
    let mut objects = BTreeSet::new();
    for kind in ["prog", "map", "link"] {
        let output = Command::new("/usr/sbin/bpftool")
            .args(["--json", kind, "list"])
            .output()
            .expect("bpftool");
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        for object in list.as_array().into_iter().flatten() {
            if object["pids"].as_array().is_none_or(Vec::is_empty) {
                objects.insert(format!("{kind} {} {}", object["id"], object["name"]));
            }
        }
    }
    objects
}

/// Awaits that nothing is there that was not there before: the kernel frees with a delay.
#[track_caller]
pub fn assert_nothing_left(before: &BTreeSet<String>) {
    let deadline = Instant::now() + wait::patiently(wait::SOON);
    loop {
        let left: Vec<String> = bpf_objects().difference(before).cloned().collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {left:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// After an end in good order, and after one by the second Ctrl-C, bpftool shows what it did before.
fn leaves_nothing(family: Family) {
    let server = Server::start(Kind::Nginx);
    let before = bpf_objects();
    let traced = Traced::attach(family, &[server.pid()]);
    load::run(server.address, 4, 100, |n| Kind::Nginx.request(n));
    traced.finish();
    assert_nothing_left(&before);
}

/// `kill -9` of the agent under load: no request fails, nothing stays in the kernel.
fn agent_killed(family: Family) {
    let server = Server::start(Kind::Nginx);
    let before = bpf_objects();
    let mut traced = Traced::attach(family, &[server.pid()]);
    std::thread::scope(|scope| {
        let load =
            scope.spawn(|| load::run(server.address, 20, 20_000, |n| Kind::Nginx.request(n)));
        traced.sink.wait_for("spans", |spans| !spans.is_empty());
        traced.agent.process.signal(libc::SIGKILL);
        traced.agent.process.wait(wait::SOON);
        // Panics if any request fails.
        assert_eq!(load.join().expect("no request fails").len(), 20_000);
    });
    assert_nothing_left(&before);
}

/// The target killed within a request: the agent ends by itself, and well; what was complete is out.
fn target_killed(family: Family) {
    let server = listening_peer("127.0.0.1:0", &["head", OK, "head", "say:half", "wait"]);
    let sink = Sink::start();
    let agent = Agent::start([
        "-p",
        &server.pid().to_string(),
        "--otlp-endpoint",
        &sink.endpoint(),
        "--probes",
        family.name(),
    ]);
    let mut connection = Connection::open(server.address).expect("it listens");
    let whole = request(&mut connection, 1);
    let (line, lost_trace, _) = traceparent(2);
    let bytes = format!("GET /never HTTP/1.1\r\nHost: x\r\n{line}\r\n");
    connection.write(bytes.as_bytes()).expect("it reads");
    server
        .process
        .stdout
        .wait_for("half", |line| line == "half");
    server.process.signal(libc::SIGKILL);
    let ended = agent.wait();
    assert_eq!(ended.code, 0, "{ended:#?}");
    let stats = ended.stats.expect("--stats");
    stats.assert_add_up();
    let (cut, complete): (Vec<_>, Vec<_>) = sink
        .spans()
        .into_iter()
        .partition(|span| span.trace_id == lost_trace);
    check::exact(&complete, &[whole]);
    let [cut] = &cut[..] else {
        panic!("the exchange that was cut: {cut:?}");
    };
    assert_eq!(cut.text("url.path"), "/never");
    assert_eq!(
        cut.text("tracer.incomplete"),
        "connection_closed",
        "{cut:?}"
    );
    assert_eq!(cut.int("http.response.status_code"), None);
}
