//! Client spans, and how the two ends of one connection, and the two sides of one process, meet.

use std::collections::HashSet;
use std::io::Write;

use tests::agent::{Agent, Family};
use tests::load::{self, Exchange, get};
use tests::process::Process;
use tests::servers::{self, Kind, Server};
use tests::sink::Sink;
use tests::span::{CLIENT, SERVER, Span};
use tests::witness::{Seen, Witness};
use tests::{check, wait};

use crate::Test;
use crate::common::{Traced, listening_peer};

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("client_python_urllib", python),
        ("client_curl", curl),
        ("client_go", go),
        ("client_node", node),
        ("client_connection_refused_or_cut", cut),
        ("client_and_server_meet", both_ends),
        ("client_parent_as_the_sole_candidate", sole_candidate),
        ("client_parent_is_never_a_guess", never_a_guess),
    ]
}

/// The client events of the `detailed` level where the connection was there already.
const EVENTS: [&str; 10] = [
    "http_start",
    "write_start",
    "write_finish",
    "wait_read_start",
    "wait_read_finish",
    "read_header_start",
    "read_header_finish",
    "read_body_start",
    "read_body_finish",
    "http_finish",
];

/// Runs a client under `-- CMD` against the witness; its spans must be what the witness saw.
#[track_caller]
fn client(family: Family, command: impl FnOnce(&str) -> Vec<String>) {
    let witness = Witness::start();
    let sink = Sink::start();
    let url = format!("http://{}", witness.address);
    let mut arguments: Vec<String> = [
        "--otlp-endpoint",
        &sink.endpoint(),
        "--probes",
        family.name(),
    ]
    .map(String::from)
    .to_vec();
    arguments.push("--".into());
    arguments.extend(command(&url));
    let ended = Agent::spawn(arguments).wait();
    assert_eq!(ended.code, 0, "{:#?}", ended.stderr);
    let stats = ended.stats.expect("--stats");
    stats.assert_nothing_lost();
    let seen = witness.seen();
    assert!(
        !seen.is_empty(),
        "the client asked nothing: {:#?}",
        ended.stderr
    );
    let spans = sink.spans();
    let mut wrong = Vec::new();
    for one in &seen {
        let of_it: Vec<&Span> = spans
            .iter()
            .filter(|span| span.text("url.full").ends_with(&one.target))
            .collect();
        match of_it[..] {
            [span] => {
                let differences = differences(span, one, &url);
                if !differences.is_empty() {
                    wrong.push(format!("{differences:#?} in {span:?} of {one:?}"));
                }
            }
            _ => wrong.push(format!("{} spans of {one:?}", of_it.len())),
        }
    }
    assert_eq!(spans.len(), seen.len(), "{spans:#?}");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(4)].join("\n")
    );
    // How many connections a client opens is its own affair: Go gives one up that was slow.
    let opened: HashSet<usize> = seen.iter().map(|one| one.connection).collect();
    let connected = spans
        .iter()
        .filter(|span| span.double("tracer.stage.connect").is_some());
    let connected = connected.count();
    assert_eq!(connected, opened.len(), "spans that opened a connection");
}

fn differences(span: &Span, seen: &Seen, url: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, is: String, should: String| {
        if is != should {
            wrong.push(format!("{what} is {is}, should be {should}"));
        }
    };
    let int = |name| format!("{:?}", span.int(name));
    let some = |value: u64| format!("{:?}", Some(value as i64));
    let port: u64 = url
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    compare("kind", span.kind.to_string(), CLIENT.to_string());
    let name = check::http_name(&seen.method, &seen.target);
    compare("name", span.name.clone(), name);
    compare("parent", span.parent.clone(), String::new());
    compare(
        "method",
        span.text("http.request.method").into(),
        seen.method.clone(),
    );
    compare(
        "url",
        span.text("url.full").into(),
        format!("{url}{}", seen.target),
    );
    compare(
        "server address",
        span.text("server.address").into(),
        "127.0.0.1".into(),
    );
    compare("server port", int("server.port"), some(port));
    compare(
        "peer",
        span.text("network.peer.address").into(),
        "127.0.0.1".into(),
    );
    compare("peer port", int("network.peer.port"), some(port));
    compare(
        "status",
        int("http.response.status_code"),
        some(seen.status.into()),
    );
    let failed = seen.status >= 400;
    compare(
        "span status",
        span.status.to_string(),
        if failed { "2" } else { "0" }.into(),
    );
    compare(
        "request size",
        int("http.request.size"),
        some(seen.request_wire),
    );
    compare(
        "response size",
        int("http.response.size"),
        some(seen.response_wire),
    );
    compare(
        "response body",
        int("http.response.body.size"),
        some(seen.response_body),
    );
    compare(
        "incomplete",
        span.text("tracer.incomplete").into(),
        String::new(),
    );
    let events: Vec<&str> = span
        .events
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !name.starts_with("client_conn_"))
        .collect();
    compare("events", format!("{events:?}"), format!("{EVENTS:?}"));
    if !span.events.is_sorted_by_key(|(_, time)| time) {
        wrong.push("events are not in time order".into());
    }
    if !(span.start <= seen.at + check::CLOCK && seen.at <= span.end + check::CLOCK) {
        wrong.push(format!(
            "{} is not within {}..{}",
            seen.at, span.start, span.end
        ));
    }
    let stages: Option<f64> = ["write", "wait", "read"]
        .iter()
        .map(|stage| span.double(&format!("tracer.stage.{stage}")))
        .sum();
    let duration = (span.end - span.start) as f64;
    if stages.is_none_or(|sum| sum * 1e9 > duration + 3.0) {
        wrong.push(format!("stages of {stages:?} s in a span of {duration} ns"));
    }
    wrong
}

fn python(family: Family) {
    let script = servers::fixture("python/client.py")
        .to_string_lossy()
        .into_owned();
    let of = |url: &str| {
        vec![
            "python3".into(),
            script,
            format!("{url}/status/404"),
            "20".into(),
        ]
    };
    client(family, of);
}

fn curl(family: Family) {
    let of = |url: &str| {
        let mut command: Vec<String> = vec!["curl".into(), "-sS".into()];
        command.extend((0..5).map(|n| format!("{url}/{n}?q=%20")));
        command
    };
    client(family, of);
}

fn go(family: Family) {
    let program = servers::go("go").to_string_lossy().into_owned();
    let of = |url: &str| vec![program, "fetch".into(), format!("{url}/a"), "50".into()];
    client(family, of);
}

fn node(family: Family) {
    let script = servers::fixture("node/client.js")
        .to_string_lossy()
        .into_owned();
    let of = |url: &str| vec!["node".into(), script, format!("{url}/a"), "50".into()];
    client(family, of);
}

/// A server that hangs up instead of answering: the client's span says so, and is an error.
fn cut(family: Family) {
    let server = listening_peer("127.0.0.1:0", &["head"]);
    let sink = Sink::start();
    let url = format!("http://{}/cut", server.address);
    let ended = Agent::spawn([
        "--otlp-endpoint",
        &sink.endpoint(),
        "--probes",
        family.name(),
        "--",
        "curl",
        "-s",
        &url,
    ])
    .wait();
    // 52: the server returned nothing.
    assert_eq!(ended.code, 52, "{:#?}", ended.stderr);
    ended.stats.expect("--stats").assert_nothing_lost();
    let spans = sink.spans();
    let [span] = &spans[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!((span.kind, span.status), (CLIENT, 2), "{span:?}");
    assert_eq!(span.text("url.full"), url);
    assert_eq!(span.text("error.type"), "connection_closed", "{span:?}");
    assert_eq!(span.int("http.response.status_code"), None, "{span:?}");
}

/// Both ends of a connection traced: the server's span is the child of the client's, though no
/// header passes between them.
fn both_ends(family: Family) {
    let server = Server::start(Kind::Go);
    let mut fetch = servers::ours("peer");
    let request = "write:GET /bytes/7/x HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n";
    fetch.args(["connect", &server.address.to_string(), "wait"]);
    // Go's response: its length tells how much to await.
    let mut connection = load::Connection::open(server.address).expect("it listens");
    connection
        .write(b"GET /bytes/7/x HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("it reads");
    let size = connection.read("GET").expect("an answer").wire;
    for _ in 0..10 {
        fetch.arg(request).arg(format!("read:{size}"));
    }
    fetch
        .args(["say:done", "wait"])
        .stdin(std::process::Stdio::piped());
    let mut fetch = Process::start(&mut fetch);
    let traced = Traced::attach(family, &[server.pid(), fetch.pid()]);
    let stdin = fetch.child().stdin.as_mut().expect("piped");
    stdin.write_all(b"go\n").expect("it reads");
    fetch.stdout.wait_for("end", |line| line == "done");
    let (spans, _) = traced.finish();
    let of = |kind| spans.iter().filter(move |span| span.kind == kind);
    assert_eq!(
        (of(CLIENT).count(), of(SERVER).count()),
        (10, 10),
        "{spans:#?}"
    );
    for client in of(CLIENT) {
        assert_eq!(client.parent, "", "{client:?}");
        let children: Vec<&Span> = of(SERVER).filter(|s| s.parent == client.span_id).collect();
        let [child] = children[..] else {
            panic!("{} children of {client:?} among {spans:#?}", children.len());
        };
        assert_eq!(child.trace_id, client.trace_id);
        assert_eq!(child.text("tracer.parent.source"), "connection");
        // The server's write may return after the client has read what it wrote.
        let (wrote, read) = (child.event("write_start"), client.event("wait_read_finish"));
        assert!(
            client.start <= child.start && wrote.is_some() && wrote <= read,
            "{child:?} {client:?}"
        );
    }
}

/// One request at a time through a process that asks another: one chain, from the caller's context
/// to the last server. An event loop shows nothing but that no other request was in flight.
fn sole_candidate(family: Family) {
    let back = Server::start(Kind::Go);
    let front = Server::start(Kind::Node);
    let traced = Traced::attach(family, &[front.pid(), back.pid()]);
    let port = back.address.port();
    let exchanges = load::run(front.address, 1, 20, |n| get(format!("/fetch/{port}/{n}")));
    let (spans, _) = traced.finish();
    assert_eq!(spans.len(), 60, "{spans:#?}");
    for exchange in &exchanges {
        let chain: Vec<&Span> = spans
            .iter()
            .filter(|span| span.trace_id == exchange.trace_id)
            .collect();
        let of = |parent: &str| {
            let found: Vec<&&Span> = chain.iter().filter(|span| span.parent == parent).collect();
            assert_eq!(found.len(), 1, "children of {parent} in {chain:#?}");
            *found[0]
        };
        let server = of(&exchange.parent);
        let client = of(&server.span_id);
        let last = of(&client.span_id);
        assert_eq!(
            (server.kind, client.kind, last.kind),
            (SERVER, CLIENT, SERVER)
        );
        assert_eq!(server.text("tracer.parent.source"), "propagated");
        assert_eq!(
            client.text("tracer.parent.source"),
            "sole_candidate",
            "{client:?}"
        );
        assert_eq!(last.text("tracer.parent.source"), "connection");
        assert!(server.start <= client.start && client.end <= server.end);
        let number = exchange.target.rsplit('/').next().expect("a number");
        assert!(
            last.text("url.path")
                .starts_with(&format!("/bytes/5/{number}")),
            "{last:?}"
        );
    }
}

/// Many requests at a time on one event loop, and on Go's goroutines: a parent is right or absent.
fn never_a_guess(family: Family) {
    for kind in [Kind::Node, Kind::Go] {
        let back = Server::start(Kind::Go);
        let front = Server::start(kind);
        let traced = Traced::attach(family, &[front.pid(), back.pid()]);
        let port = back.address.port();
        let requests = wait::fewer(2_000);
        let exchanges = load::run(front.address, 20, requests, |n| {
            get(format!("/fetch/{port}/{n}"))
        });
        let (spans, _) = traced.finish();
        let servers: Vec<&Span> = spans.iter().filter(|span| span.kind == SERVER).collect();
        let clients: Vec<&Span> = spans.iter().filter(|span| span.kind == CLIENT).collect();
        assert_eq!((servers.len(), clients.len()), (2 * requests, requests));
        let by_trace: std::collections::HashMap<&str, &Exchange> = exchanges
            .iter()
            .map(|exchange| (exchange.trace_id.as_str(), exchange))
            .collect();
        for client in clients.iter().filter(|client| !client.parent.is_empty()) {
            // Its trace is the caller's, whose request carried the number that it asks for.
            let exchange = by_trace.get(client.trace_id.as_str()).unwrap_or_else(|| {
                panic!("a parent in a trace of nobody: {client:?}");
            });
            let number = exchange.target.rsplit('/').next().expect("a number");
            assert!(
                client
                    .text("url.full")
                    .contains(&format!("/bytes/5/{number}/"))
                    || client
                        .text("url.full")
                        .ends_with(&format!("/bytes/5/{number}")),
                "a wrong parent: {client:?} of {exchange:?}"
            );
        }
    }
}
