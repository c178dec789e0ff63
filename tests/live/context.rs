//! Every propagation format with random ids, mixed on one connection: each span says exactly what was
//! sent; damaged ones never give a wrong id.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tests::agent::{Agent, Family, Stats};
use tests::rpc::{Plain, Stack};
use tests::servers::{Kind, Server};
use tests::sink::Sink;
use tests::span::{self, Span};
use tests::{load, wait};
use tonic::metadata::{AsciiMetadataKey, BinaryMetadataKey, MetadataMap, MetadataValue};

use crate::Test;
use crate::common::{Traced, listening_peer};

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("context_http", http as Test),
        ("context_grpc", grpc),
        ("context_ttheader", ttheader),
    ]
}

/// Of these, what is made of a context that was read.
pub fn choices() -> Vec<(&'static str, Test)> {
    vec![
        ("context_damaged", damaged as Test),
        ("context_order", order),
        ("context_sampling", sampling),
    ]
}

/// By `tracer.context.format`.
const FORMATS: [&str; 12] = [
    "w3c",
    "b3",
    "b3multi",
    "jaeger",
    "ot",
    "go-zero",
    "kratos",
    "xray",
    "datadog",
    "sw8",
    "grpc-trace-bin",
    "kitex-jaeger",
];

/// Requests of each format over HTTP.
const EACH: usize = 1000;
/// Over gRPC and TTHeader.
const CALLS_EACH: usize = 100;

/// A context as it is sent, and what the span must say.
#[derive(Debug)]
struct Sent {
    format: &'static str,
    fields: Vec<(&'static str, String)>,
    trace: String,
    parent: String,
    sampled: bool,
    /// The ids as sent, where they are not the digits of ours.
    texts: [String; 2],
}

/// xorshift64*: ids that differ from run to run would be findings that do not come back.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1
    }

    /// Context number `n`, of the format whose turn it is.
    fn context(&mut self, n: usize) -> Sent {
        let format = FORMATS[n % FORMATS.len()];
        let (high, low, span) = (self.next(), self.next(), self.next());
        let (trace, parent) = (format!("{high:016x}{low:016x}"), format!("{span:016x}"));
        let half = format!("{low:016x}");
        let sampled = self.next() & 2 == 0;
        let flag = u8::from(sampled);
        let mut sent = Sent {
            format,
            fields: vec![],
            trace: trace.clone(),
            parent: parent.clone(),
            sampled,
            texts: Default::default(),
        };
        let mut halved = || {
            sent.trace = format!("{:032x}", u128::from(low));
            sent.texts[0] = half.clone();
        };
        let fields = match format {
            "w3c" => vec![("traceparent", format!("00-{trace}-{parent}-0{flag}"))],
            "b3" => vec![("b3", format!("{trace}-{parent}-{flag}-{half}"))],
            "b3multi" => vec![
                ("x-b3-traceid", trace),
                ("x-b3-spanid", parent),
                ("x-b3-sampled", flag.to_string()),
            ],
            "jaeger" if n.is_multiple_of(2) => {
                vec![("uber-trace-id", format!("{trace}:{parent}:0:{flag}"))]
            }
            "jaeger" => vec![("uber-trace-id", format!("{trace}%3A{parent}%3A0%3A{flag}"))],
            "ot" => {
                halved();
                vec![
                    ("ot-tracer-traceid", half),
                    ("ot-tracer-spanid", parent),
                    ("ot-tracer-sampled", sampled.to_string()),
                ]
            }
            "go-zero" => {
                halved();
                let path = format!("0.{}", span % 1_000_000 + 1);
                sent.parent = hashed(&format!("{half}-{path}"), 8);
                sent.sampled = true;
                let path = format!("{path}.{}", n + 1);
                sent.texts[1] = path.clone();
                vec![("x-trace-id", half), ("x-span-id", path)]
            }
            "kratos" => {
                halved();
                let [trace, span] = [low, span].map(|id| format!("{id:x}"));
                let texts = [&trace, &span].map(String::clone);
                sent.texts = std::array::from_fn(|at| match texts[at].len() {
                    16 if at == 1 => String::new(),
                    _ => texts[at].clone(),
                });
                vec![("kratos-trace-id", format!("{trace}:{span}:0:{flag}"))]
            }
            "xray" => {
                let root = format!("1-{}-{}", &trace[..8], &trace[8..]);
                let value = format!("Root={root};Parent={parent};Sampled={flag}");
                sent.texts[0] = root;
                vec![("x-amzn-trace-id", value)]
            }
            "datadog" => {
                sent.texts = [low, span].map(|id| id.to_string());
                vec![
                    ("x-datadog-trace-id", low.to_string()),
                    ("x-datadog-parent-id", span.to_string()),
                    ("x-datadog-sampling-priority", flag.to_string()),
                    (
                        "x-datadog-tags",
                        format!("_dd.p.dm=-1,_dd.p.tid={high:016x}"),
                    ),
                ]
            }
            "sw8" => {
                let name = format!("{trace}.74.{n}");
                let id = format!("{parent}-{n}");
                sent.trace = hashed(&name, 16);
                sent.parent = hashed(&id, 8);
                let text = |text: &str| STANDARD.encode(text);
                let value = [
                    flag.to_string(),
                    text(&name),
                    text(&parent),
                    n.to_string(),
                    text("shop"),
                    text("shop-1"),
                    text("/buy"),
                    text("10.0.0.2:80"),
                ];
                sent.texts = [name, id];
                vec![("sw8", value.join("-"))]
            }
            "grpc-trace-bin" => {
                let ids = [&[0, 0], &bytes(high, low)[..], &[1], &span.to_be_bytes()].concat();
                let value = [&ids[..], &[2, flag]].concat();
                vec![("grpc-trace-bin", STANDARD_NO_PAD.encode(value))]
            }
            _ => {
                let ids = [&bytes(high, low)[..], &span.to_be_bytes(), &[0; 8]].concat();
                let value = [&ids[..], &[flag], &[0; 4]].concat();
                vec![("rpc-transit-jaegerspancontext", STANDARD.encode(value))]
            }
        };
        sent.fields = fields;
        sent
    }
}

fn bytes(high: u64, low: u64) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

/// As `sha256sum` has it.
fn hashed(text: &str, bytes: usize) -> String {
    span::hex(&Sha256::digest(text)[..bytes])
}

impl Sent {
    /// A GET of that path.
    fn request(&self, path: &str) -> Vec<u8> {
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    #[track_caller]
    fn assert_said(&self, span: &Span) {
        let texts = [
            span.text("tracer.context.trace_id"),
            span.text("tracer.context.span_id"),
        ];
        assert_eq!(
            (
                span.text("tracer.context.format"),
                &span.trace_id,
                &span.parent,
                span.flags & 1,
                texts,
                span.text("tracer.parent.source"),
            ),
            (
                self.format,
                &self.trace,
                &self.parent,
                u32::from(self.sampled),
                [&self.texts[0][..], &self.texts[1]],
                "propagated",
            ),
            "{self:?} {span:?}"
        );
    }
}

/// An agent that keeps spans of traces that nobody records, too.
fn traced(family: Family, pid: u32, variables: &[(&str, &str)], more: &[&str]) -> Traced {
    let sink = Sink::start();
    let (pid, endpoint) = (pid.to_string(), sink.endpoint());
    let mut arguments = vec!["-p", &pid, "--otlp-endpoint", &endpoint];
    arguments.extend(["--probes", family.name()]);
    arguments.extend(more);
    let agent = Agent::spawn_with(arguments, |command| {
        command.env("OTEL_TRACES_SAMPLER", "always_on");
        command.envs(variables.iter().copied());
    });
    agent.wait_ready();
    Traced { agent, sink }
}

/// Each span by the number at the end of what `of` says of it.
fn by_number(spans: &[Span], of: impl Fn(&Span) -> String) -> HashMap<usize, &Span> {
    let number = |span| {
        let text = of(span);
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits
            .parse()
            .unwrap_or_else(|_| panic!("{text}: {span:?}"))
    };
    spans.iter().map(|span| (number(span), span)).collect()
}

#[track_caller]
fn assert_all_said(sent: &[Sent], spans: &HashMap<usize, &Span>, stats: &Stats) {
    assert_eq!(spans.len(), sent.len());
    for (n, sent) in sent.iter().enumerate() {
        sent.assert_said(spans[&n]);
    }
    let contexts = &stats.contexts;
    assert_eq!(
        (contexts.read, contexts.malformed, contexts.disagreeing),
        (sent.len() as u64, 0, 0)
    );
}

/// All formats in turn, on one kept connection.
fn http(family: Family) {
    let server = Server::start(Kind::Go);
    let traced = traced(family, server.pid(), &[], &[]);
    let mut connection = load::Connection::open(server.address).expect("it listens");
    let mut random = Random(1);
    let sent: Vec<Sent> = (0..wait::fewer(EACH) * FORMATS.len())
        .map(|n| random.context(n))
        .collect();
    for (n, sent) in sent.iter().enumerate() {
        let request = sent.request(&format!("/n/{n}"));
        connection.write(&request).expect("it reads");
        connection.read("GET").expect("an answer");
    }
    let (spans, stats) = traced.finish();
    let spans = by_number(&spans, |span| span.text("url.path").to_owned());
    assert_all_said(&sent, &spans, &stats);
}

/// As metadata of calls on one connection.
fn grpc(family: Family) {
    let server = Stack::GrpcGo.serve();
    let traced = traced(family, server.pid(), &[], &[]);
    let mut random = Random(2);
    let count = wait::fewer(CALLS_EACH) * FORMATS.len();
    let sent: Vec<Sent> = (0..count).map(|n| random.context(n)).collect();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let endpoint = format!("http://{}", server.address);
        let channel = tonic::transport::Endpoint::new(endpoint).expect("an address");
        let mut client = tonic::client::Grpc::new(channel.connect().await.expect("it listens"));
        for (n, sent) in sent.iter().enumerate() {
            client.ready().await.expect("it serves");
            let mut request = tonic::Request::new(Bytes::from_static(b"m"));
            sent.put(request.metadata_mut());
            let path = format!("/test.Echo/Call{n}").parse().expect("a path");
            // Whether the server knows the method is of no interest.
            _ = client.unary(request, path, Plain).await;
        }
    });
    let (spans, stats) = traced.finish();
    let spans = by_number(&spans, |span| span.text("rpc.method").to_owned());
    assert_all_said(&sent, &spans, &stats);
}

impl Sent {
    fn put(&self, metadata: &mut MetadataMap) {
        for (name, value) in &self.fields {
            if name.ends_with("-bin") {
                let key = BinaryMetadataKey::from_static(name);
                let value = STANDARD_NO_PAD.decode(value).expect("base64");
                metadata.insert_bin(key, MetadataValue::from_bytes(&value));
            } else {
                let key = AsciiMetadataKey::from_static(name);
                metadata.insert(key, value.parse().expect("ASCII"));
            }
        }
    }
}

/// Bytes of a call's keys: the largest context fits, and some fill.
const INFOS: usize = 992;
/// Bytes of the Thrift message behind it.
const PAYLOAD: usize = 17;

/// As transient metainfo of Kitex' header, on one connection.
fn ttheader(family: Family) {
    let reply = message(&[], 2);
    let escaped: String = reply.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let read = 14 + INFOS + PAYLOAD;
    let steps = [
        format!("read:{read}"),
        format!("write:{escaped}"),
        "again".into(),
    ];
    let server = listening_peer("127.0.0.1:0", &steps);
    let traced = traced(family, server.pid(), &[], &[]);
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    let mut random = Random(3);
    let count = wait::fewer(CALLS_EACH) * FORMATS.len();
    let sent: Vec<Sent> = (0..count).map(|n| random.context(n)).collect();
    let mut answer = vec![0; reply.len()];
    for sent in &sent {
        let mut keys = vec![];
        for (name, value) in &sent.fields {
            let name = match *name {
                "rpc-transit-jaegerspancontext" => "JAEGERSPANCONTEXT",
                name => name,
            };
            keys.push((format!("RPC_TRANSIT_{name}"), value.clone()));
        }
        let call = message(&keys, 1);
        stream.write_all(&call).expect("it reads");
        stream.read_exact(&mut answer).expect("an answer");
    }
    drop(stream);
    let (spans, stats) = traced.finish();
    // In the order of the calls, which were made one after the other.
    let mut spans: Vec<&Span> = spans.iter().collect();
    spans.sort_by_key(|span| span.start);
    assert_all_said(&sent, &spans.into_iter().enumerate().collect(), &stats);
}

/// A Thrift call (1) or reply (2) in Kitex' header; a call's keys are filled up to [`INFOS`] bytes.
fn message(keys: &[(String, String)], kind: u8) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    let mut infos = vec![0, 0];
    if !keys.is_empty() {
        infos.push(1);
        infos.extend((keys.len() as u16 + 1).to_be_bytes());
        for (key, value) in keys {
            infos.extend(text(key));
            infos.extend(text(value));
        }
        infos.extend(text("fill"));
        infos.extend(text(&"f".repeat(INFOS - infos.len() - 2)));
    }
    infos.resize(infos.len().next_multiple_of(4), 0);
    let words = (infos.len() / 4) as u16;
    let payload = [
        &[0x80, 1, 0, kind, 0, 0, 0, 4][..],
        b"echo",
        &[0, 0, 0, 1, 0],
    ]
    .concat();
    let length = (10 + infos.len() + payload.len()) as u32;
    let head = [&length.to_be_bytes()[..], &[0x10, 0, 0, 0, 0, 0, 0, 1]].concat();
    [&head[..], &words.to_be_bytes(), &infos, &payload].concat()
}

/// Values that lost a digit, or won what is none: no context, and never a wrong one.
fn damaged(family: Family) {
    let server = Server::start(Kind::Go);
    let traced = traced(family, server.pid(), &[], &[]);
    let mut connection = load::Connection::open(server.address).expect("it listens");
    let mut random = Random(4);
    // Whose ids have a fixed length.
    let fixed = [
        "w3c",
        "b3",
        "b3multi",
        "xray",
        "grpc-trace-bin",
        "kitex-jaeger",
    ];
    let sent: Vec<Sent> = (0..100 * FORMATS.len())
        .map(|n| random.context(n))
        .collect();
    let mut sent: Vec<Sent> = sent
        .into_iter()
        .filter(|sent| fixed.contains(&sent.format))
        .collect();
    for (n, sent) in sent.iter_mut().enumerate() {
        let (_, value) = &mut sent.fields[0];
        let at = random.next() as usize % value.len();
        match n % 2 {
            0 => _ = value.remove(at),
            _ => value.insert(at, '!'),
        }
        connection
            .write(&sent.request(&format!("/n/{n}")))
            .expect("it reads");
        connection.read("GET").expect("an answer");
    }
    let (spans, stats) = traced.finish();
    let spans = by_number(&spans, |span| span.text("url.path").to_owned());
    assert_eq!(spans.len(), sent.len());
    let mut without = 0;
    for (n, sent) in sent.iter().enumerate() {
        let span = spans[&n];
        if span.text("tracer.context.format").is_empty() {
            without += 1;
            assert_eq!(span.parent, "");
            assert_ne!(span.trace_id, sent.trace);
        } else {
            // Damage to what is no id: a field's name within X-Ray's.
            assert_eq!(span.trace_id, sent.trace, "{sent:?} {span:?}");
            assert!(
                ["", &sent.parent].contains(&&span.parent[..]),
                "{sent:?} {span:?}"
            );
        }
    }
    assert_eq!(stats.contexts.malformed, without);
    assert!(
        without > sent.len() as u64 * 9 / 10,
        "{without} of {}",
        sent.len()
    );
}

/// Several formats on each request: the user orders them, and is told that they differ.
fn order(family: Family) {
    let server = Server::start(Kind::Go);
    for (order, format) in [
        ("", "w3c"),
        ("tracecontext,baggage", "w3c"),
        ("jaeger,b3,tracecontext", "jaeger"),
        ("b3multi,sw8", "b3multi"),
        ("none", ""),
    ] {
        let traced = traced(family, server.pid(), &[("OTEL_PROPAGATORS", order)], &[]);
        let mut connection = load::Connection::open(server.address).expect("it listens");
        let mut random = Random(5);
        let all: Vec<Sent> = (0..FORMATS.len()).map(|n| random.context(n)).collect();
        let mut request = all[0].request("/n/1");
        request.truncate(request.len() - 2);
        for (name, value) in all[1..].iter().flat_map(|sent| &sent.fields) {
            request.extend(format!("{name}: {value}\r\n").bytes());
        }
        request.extend(b"\r\n");
        connection.write(&request).expect("it reads");
        connection.read("GET").expect("an answer");
        let (spans, stats) = traced.finish();
        let [span] = &spans[..] else {
            panic!("{spans:?}");
        };
        assert_eq!(span.text("tracer.context.format"), format, "{order}");
        if let Some(sent) = all.iter().find(|sent| sent.format == format) {
            sent.assert_said(span);
        }
        let several = !["tracecontext,baggage", "none"].contains(&order);
        assert_eq!(stats.contexts.disagreeing, u64::from(several), "{order}");
    }
}

/// What a sampler drops and rules keep: by the flag that came, by the end of the exchange, by number.
fn sampling(family: Family) {
    let server = listening_peer(
        "127.0.0.1:0",
        &[
            "head",
            "write:HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n",
            "head",
            "write:HTTP/1.1 500 Oh\\r\\nContent-Length: 0\\r\\n\\r\\n",
            "again",
        ],
    );
    // Every second one fails; the flag says sampled in the first half.
    let run = |variables: &[(&str, &str)], more: &[&str]| {
        let traced = traced(family, server.pid(), variables, more);
        let mut connection = load::Connection::open(server.address).expect("it listens");
        for n in 0..20 {
            let flag = u8::from(n < 10);
            let head = format!(
                "GET /n/{n} HTTP/1.1\r\nHost: x\r\nb3: {:032x}-{:016x}-{flag}\r\n\r\n",
                n + 1,
                n + 1
            );
            connection.write(head.as_bytes()).expect("it reads");
            connection.read("GET").expect("an answer");
        }
        let (spans, stats) = traced.finish();
        assert_eq!(
            stats.spans.unsampled,
            stats.spans.unsampled_by.values().sum::<u64>()
        );
        assert_eq!(stats.spans.made, 20);
        let spans = by_number(&spans, |span| span.text("url.path").to_owned());
        let mut numbers: Vec<usize> = spans.into_keys().collect();
        numbers.sort_unstable();
        (numbers, stats)
    };
    let sampler = |name| [("OTEL_TRACES_SAMPLER", name)];
    let all: Vec<usize> = (0..20).collect();
    let odd: Vec<usize> = all.iter().copied().filter(|n| n % 2 == 1).collect();
    assert_eq!(run(&sampler("always_on"), &[]).0, all);
    assert_eq!(run(&sampler("parentbased_always_off"), &[]).0, all[..10]);
    let (kept, stats) = run(&sampler("always_off"), &[]);
    assert_eq!((kept.len(), stats.spans.unsampled_by["sampler"]), (0, 20));
    // Without a sampler only what the rules keep.
    assert_eq!(run(&sampler(""), &["--keep", "errors"]).0, odd);
    assert!(run(&sampler(""), &["--keep", "slower=1h"]).0.is_empty());
    let both = ["--keep", "slower=1h", "--keep", "errors"];
    let mut expected = [&all[..10], &odd[5..]].concat();
    assert_eq!(run(&sampler("parentbased_always_on"), &both).0, expected);
    expected = all;
    assert_eq!(
        run(&sampler("always_off"), &["--keep", "slower=1ns"]).0,
        expected
    );
    let (kept, stats) = run(&sampler("always_on"), &["--max-spans-per-second", "1"]);
    // As many as seconds began.
    assert!(!kept.is_empty());
    assert_eq!(
        stats.spans.unsampled_by["max_spans_per_second"],
        20 - kept.len() as u64
    );
}
