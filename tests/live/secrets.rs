//! Secrets in whatever is traced, and in none of what comes of it: spans, metrics, messages, recordings.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use tests::agent::{self, Agent, Family};
use tests::page::{self, OPEN_METRICS};
use tests::process::Process;
use tests::servers::{self, Server};
use tests::sink::Sink;
use tests::wait;

use crate::Test;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![("secrets_are_in_no_output", in_no_output)]
}

/// In everything that may hold one, the programs' arguments and environment included.
const SECRET: &str = "s3cr3tPLANTED";

/// On the metrics page, once an exchange was counted.
const COUNTED: &str = "http_server_request_duration_seconds_count";

/// Two programs and a connection on which one asks the other.
struct Pair {
    server: Server,
    client: Process,
}

impl Pair {
    /// `asks`: what the client sends, once it is told to, and what it then reads, step by step.
    fn start(asks: &[&str], answers: &[&str]) -> Pair {
        let mut command = servers::ours("peer");
        command.args(["listen", "127.0.0.1:0"]).args(answers);
        let server = Server::announced(command.env("API_TOKEN", SECRET));
        let mut command = servers::ours("peer");
        command.args(["connect", &server.address.to_string(), "wait"]);
        command.args(asks).args(["say:done", "wait"]);
        let client = Process::start(command.stdin(Stdio::piped()).env("API_TOKEN", SECRET));
        Pair { server, client }
    }

    fn run(&mut self) {
        let stdin = self.client.child().stdin.as_mut().expect("it is piped");
        stdin.write_all(b"go\n").expect("told");
        self.client
            .stdout
            .wait_for("all answers", |line| line == "done");
    }
}

fn write(bytes: &[u8]) -> String {
    format!("write:{}", bytes.escape_ascii())
}

/// HTTP/1.1: a target with all there is to it, fields, and fields behind a body.
fn http1() -> Pair {
    let fields = format!(
        "Authorization: Bearer {SECRET}\r\nProxy-Authorization: Basic {SECRET}\r\nCookie: a={SECRET}\r\n\
         X-Api-Key: {SECRET}\r\nReferer: https://user:{SECRET}@h/?sig={SECRET}\r\n"
    );
    let query =
        format!("n=1&token={SECRET}&X-Goog-Signature={SECRET};key={SECRET}&%74oken={SECRET}");
    let absolute =
        format!("GET http://user:{SECRET}@host/a?{query} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let session = format!(
        "GET /b;jsessionid={SECRET}/c?AWSAccessKeyId={SECRET} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"
    );
    let answer = format!(
        "HTTP/1.1 302 Found\r\nSet-Cookie: id={SECRET}\r\nLocation: http://user:{SECRET}@h/?token={SECRET}\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\nX-Auth-Token: {SECRET}\r\n\r\n"
    );
    // The answer ends with its second empty line.
    let asks = [
        &write(absolute.as_bytes()),
        "head",
        "head",
        &write(session.as_bytes()),
        "head",
        "head",
    ];
    Pair::start(&asks, &["head", &write(answer.as_bytes()), "again"])
}

/// A frame of HTTP/2 on stream 1, or, of settings, on 0.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let stream = u8::from(kind != 4);
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A field as it is, put into the table.
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    [vec![0x40], text(name), text(value)].concat()
}

/// gRPC: fields of both heads, and the trailers.
fn grpc() -> Pair {
    let settings = frame(4, 0, b"");
    let asked = [
        field(":method", "POST"),
        field(":scheme", "http"),
        field(":path", &format!("/a.B/C?token={SECRET}")),
        field(":authority", &format!("user:{SECRET}@host")),
        field("content-type", "application/grpc"),
        field("authorization", &format!("Bearer {SECRET}")),
        field("x-session-id", SECRET),
    ];
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        settings.clone(),
        frame(1, 4, &asked.concat()),
        frame(0, 1, b"\0\0\0\0\0"),
    ];
    let head = [
        field(":status", "200"),
        field("content-type", "application/grpc"),
    ];
    let trailers = [field("grpc-status", "0"), field("x-api-key", SECRET)];
    let answer = [
        settings,
        frame(
            1,
            4,
            &[&head.concat()[..], &field("set-cookie", SECRET)].concat(),
        ),
        frame(0, 0, b"\0\0\0\0\0"),
        frame(1, 5, &trailers.concat()),
    ];
    exchange(&request.concat(), &answer.concat())
}

/// TTHeader: its token, one among its fields, and one of a user's.
fn ttheader() -> Pair {
    let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    let message = |kind: u8| {
        let mut words = b"\0\0\x10\0\x01\0\x09".to_vec();
        words.extend(text("echo"));
        words.extend(b"\x01\0\x02");
        for name in ["gdpr-token", "RPC_PERSIST_USER_TOKEN"] {
            words.extend([text(name), text(SECRET)].concat());
        }
        words.extend([&b"\x11"[..], &text(SECRET)].concat());
        words.resize(words.len().next_multiple_of(4), 0);
        let count = (words.len() / 4) as u8;
        let payload = [b"\x80\x01\0", &[kind][..], b"\0\0\0\x04echo\0\0\0\x01\0"].concat();
        let rest = [b"\x10\0\0\0\0\0\0\x01\0", &[count][..], &words, &payload].concat();
        [&(rest.len() as u32).to_be_bytes()[..], &rest].concat()
    };
    exchange(&message(1), &message(2))
}

/// One message each way.
fn exchange(request: &[u8], answer: &[u8]) -> Pair {
    let (asked, answered) = (request.len(), answer.len());
    Pair::start(
        &[&write(request), &format!("read:{answered}")],
        &[&format!("read:{asked}"), &write(answer)],
    )
}

fn in_no_output(family: Family) {
    let mut pairs = [http1(), grpc(), ttheader()];
    let pids = pairs
        .iter()
        .flat_map(|pair| [pair.server.pid(), pair.client.pid()]);
    let pids: Vec<String> = pids.map(|pid| pid.to_string()).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let recording = folder.path().join("recording");
    let recorded = recording.to_str().expect("a path");
    let sink = Sink::start();
    let mut arguments = vec!["-p".to_owned(), pids.join(",")];
    let endpoint = sink.endpoint();
    for argument in [
        "--probes",
        family.name(),
        "-o",
        "json",
        "--record",
        recorded,
        "--otlp-endpoint",
        &endpoint,
        "--otlp-protocol",
        "http/json",
        "--metrics-listen",
        "127.0.0.1:0",
        "-vv",
    ] {
        arguments.push(argument.to_owned());
    }
    let agent = Agent::spawn_with(&arguments, |command| {
        command.env(
            "OTEL_EXPORTER_OTLP_HEADERS",
            format!("authorization=Bearer%20{SECRET}"),
        );
    });
    agent.wait_ready();
    pairs.iter_mut().for_each(Pair::run);
    let url = page::url(&agent);
    let page = wait::until("the page to count them", wait::SOON, || {
        let page = page::fetch(&url, OPEN_METRICS);
        page.contains(COUNTED).then_some(page)
    });
    let ended = agent.stop();
    let stats = ended.stats.expect("checked by stop");
    stats.assert_nothing_lost();
    assert_eq!(stats.spans.exported, 8, "{stats:?} {:#?}", ended.stdout);

    let json = ended.stdout.join("\n");
    let bodies: Vec<String> = sink
        .json_bodies()
        .iter()
        .map(|body| String::from_utf8_lossy(body).into_owned())
        .collect();
    let sent = bodies.join("\n");
    let (code, pretty, said) = agent::run(&["replay", recorded, "-o", "pretty"]);
    assert_eq!(code, 0, "{said:#?}");
    let (_, replayed, _) = agent::run(&["replay", recorded, "-o", "json"]);
    assert!(replayed == ended.stdout, "the replay differs from the run");
    let plain = inflated(&recording);
    let outputs = [
        ("JSON", &json, "token=REDACTED"),
        ("OTLP", &sent, "REDACTED:REDACTED@host"),
        ("pretty", &pretty.join("\n"), "/a"),
        ("messages", &ended.stderr.join("\n"), "ready:"),
        ("messages of the replay", &said.join("\n"), "summary:"),
        ("the metrics page", &page, COUNTED),
        ("the recording", &plain, "Authorization: ******"),
    ];
    for (what, text, expected) in outputs {
        assert!(text.contains(expected), "{what} lack {expected}: {text}");
        let at = text
            .find(SECRET)
            .map(|at| text[..at].chars().rev().take(200).collect::<Vec<_>>());
        let before = at.map(|before| before.iter().rev().collect::<String>());
        assert_eq!(before, None, "{what} hold a secret behind this");
    }
}

/// What is in a recording, as text.
fn inflated(recording: &Path) -> String {
    let bytes = std::fs::read(recording).expect("it was written");
    let header = bytes.iter().position(|byte| *byte == b'\n').expect("one") + 1;
    let mut plain = bytes[..header].to_vec();
    flate2::bufread::DeflateDecoder::new(&bytes[header..])
        .read_to_end(&mut plain)
        .expect("one stream to its end");
    String::from_utf8_lossy(&plain).into_owned()
}
