//! Ring records to spans, and to OTLP bytes: what an exchange costs the agent, on one core.
//!
//! The records are those of 64 keep-alive connections of a server, one read and one write per
//! exchange, interleaved as an event loop would; and of one HTTP/2 connection with as many gRPC calls
//! open at once. Goal: 500,000 exchanges per second, encoding included; nothing listens at the
//! endpoint, so the encoded batches only pile up. With metrics asked for, they are counted besides; a
//! recording is made by itself. Times are CPU time.

use std::hint::black_box;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tracer::counters::KernelCounters;
use tracer::event::{self, ConnectionId, Event};
use tracer::export::{Endpoint, Exporter, Otlp, Protocol, Settings};
use tracer::metrics::{Exemplars, Recorder};
use tracer::protocol::Framing;
use tracer::record::{Recording, Secrets};
use tracer::resource::{self, SharedResource};
use tracer::semconv::{self, Paths};
use tracer::span::{Host, Span, Tracker, any_seed};

const CONNECTIONS: u64 = 64;
const ROUNDS: u64 = 200;

/// As nginx sees a load generator, and a browser behind a proxy.
const SMALL: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
const USUAL: &[u8] = b"GET /shop/items/4711?color=red&size=xl HTTP/1.1\r\nHost: shop.example.com\r\n\
    Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\
    Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\n\
    Content-Type: text/html\r\nContent-Length: 615\r\nLast-Modified: Sat, 21 Nov 2026 07:00:00 GMT\r\n\
    Connection: keep-alive\r\nETag: \"655c6f3e-267\"\r\nAccept-Ranges: bytes\r\n\r\n";
/// The body behind [`ANSWER`], which sendfile moved: not seen.
const BODY: u32 = 615;

/// What an HTTP/2 client, and a server, send first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// A frame of HTTP/2 behind the others.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// Fields as they stand, after what the static table has (RFC 7541).
fn block(of_table: &[u8], fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = of_table.to_vec();
    for (name, value) in fields {
        block.extend([0, name.len() as u8]);
        block.extend(name.bytes());
        block.push(value.len() as u8);
        block.extend(value.bytes());
    }
    block
}

/// One record after the other, as the ring hands them out.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Records {
    /// `CONNECTIONS` connections, `ROUNDS` exchanges on each.
    fn new(request: &[u8]) -> Records {
        let mut records = Records::default();
        for connection in 1..=CONNECTIONS {
            records.connection(connection);
        }
        let mut now = 1_000_000_000;
        for round in 0..ROUNDS {
            for connection in 1..=CONNECTIONS {
                let position = round * request.len() as u64;
                let length = request.len() as u32;
                records.transfer(connection, 0, position, length, now, request);
            }
            for connection in 1..=CONNECTIONS {
                let both = ANSWER.len() as u64 + u64::from(BODY);
                let position = round * both;
                let head = ANSWER.len() as u32;
                records.transfer(connection, 1, position, head, now + 20_000, ANSWER);
                let position = position + u64::from(head);
                records.transfer(connection, 1, position, BODY, now + 30_000, b"");
            }
            now += 1_000_000;
        }
        records
    }

    /// One HTTP/2 connection, `ROUNDS` times `CONNECTIONS` calls on it, those of a round open at once;
    /// each message in a transfer of its own.
    fn grpc() -> Records {
        let ask = block(
            // POST, http
            b"\x83\x86",
            &[
                (":path", "/shop.Prices/Get"),
                (":authority", "prices.example:9000"),
                ("content-type", "application/grpc"),
                ("user-agent", "grpc-go/1.83.1"),
                ("te", "trailers"),
                ("grpc-timeout", "999m"),
                (
                    "traceparent",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                ),
            ],
        );
        // 200
        let answer = block(b"\x88", &[("content-type", "application/grpc")]);
        let trailers = block(b"", &[("grpc-status", "0"), ("grpc-message", "")]);
        let message = [&[0, 0, 0, 0, 95][..], &[b'm'; 95]].concat();

        let mut records = Records::default();
        records.connection(1);
        let mut positions = [0, 0];
        let mut now = 1_000_000_000;
        let mut bytes = Vec::new();
        let mut moved = |direction: usize, now, bytes: &mut Vec<u8>, records: &mut Records| {
            let length = bytes.len() as u32;
            records.transfer(1, direction as u8, positions[direction], length, now, bytes);
            positions[direction] += u64::from(length);
            bytes.clear();
        };
        bytes.extend(PREFACE);
        moved(0, now, &mut bytes, &mut records);
        bytes.extend(SETTINGS);
        moved(1, now, &mut bytes, &mut records);
        for round in 0..ROUNDS {
            let streams = (0..CONNECTIONS).map(|n| ((round * CONNECTIONS + n) * 2 + 1) as u32);
            for stream in streams.clone() {
                frame(1, 0x4, stream, &ask, &mut bytes);
                frame(0, 0x1, stream, &message, &mut bytes);
                moved(0, now, &mut bytes, &mut records);
            }
            for stream in streams {
                frame(1, 0x4, stream, &answer, &mut bytes);
                frame(0, 0, stream, &message, &mut bytes);
                frame(1, 0x5, stream, &trailers, &mut bytes);
                moved(1, now + 20_000, &mut bytes, &mut records);
            }
            now += 1_000_000;
        }
        records
    }

    /// `abi::Connection`: accepted, IPv4.
    fn connection(&mut self, connection: u64) {
        let b = &mut self.bytes;
        b.extend([2, 1, 2, 0]);
        b.extend(1u32.to_ne_bytes());
        b.extend(connection.to_ne_bytes());
        b.extend([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        b.extend([10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        b.extend(80u16.to_ne_bytes());
        b.extend((40_000 + connection as u16).to_ne_bytes());
        b.extend(7u32.to_ne_bytes());
        b.extend(9u32.to_ne_bytes());
        b.extend([0; 4 + 8 + 8]);
        self.ends.push(self.bytes.len());
    }

    /// `abi::Transfer`, whole.
    fn transfer(
        &mut self,
        connection: u64,
        direction: u8,
        position: u64,
        length: u32,
        now: u64,
        head: &[u8],
    ) {
        let area = [0, 256, 1024].into_iter().find(|area| *area >= head.len());
        let b = &mut self.bytes;
        b.extend([1, direction]);
        b.extend(1u16.to_ne_bytes());
        b.extend((head.len() as u32).to_ne_bytes());
        b.extend(connection.to_ne_bytes());
        b.extend(position.to_ne_bytes());
        b.extend(length.to_ne_bytes());
        b.extend(0u32.to_ne_bytes());
        b.extend(now.to_ne_bytes());
        b.extend((now + 5_000).to_ne_bytes());
        b.extend(((100u64 << 32) | 100).to_ne_bytes());
        b.extend([0; 8 + 8]);
        b.extend(head);
        let padding = area.expect("heads of this bench are small") - head.len();
        b.resize(b.len() + padding, 0);
        self.ends.push(self.bytes.len());
    }

    fn feed(&self, tracker: &mut Tracker, host: &mut impl Host) {
        self.each(|event| tracker.event(event, host));
    }

    fn each(&self, mut each: impl FnMut(&Event<'_>)) {
        let mut start = 0;
        for &end in &self.ends {
            match event::decode(&self.bytes[start..end]) {
                Ok(event) => each(&event),
                Err(error) => panic!("{error}"),
            }
            start = end;
        }
    }
}

struct Outlet<S> {
    each: S,
    resource: SharedResource,
    spans: u64,
}

impl<S: FnMut(Span)> Host for Outlet<S> {
    fn span(&mut self, span: Span) {
        self.spans += 1;
        (self.each)(span);
    }

    fn ignore(&mut self, _: ConnectionId) {}

    fn framed(&mut self, _: ConnectionId, _: Framing) {}

    fn describe(&mut self, _: u32) -> SharedResource {
        self.resource.clone()
    }

    fn tell_goroutines(&mut self, _: u32, _: bool) {}
}

/// What this thread has used: what others on the machine do meanwhile does not count.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writes.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn run(records: &Records, resource: &SharedResource, each: impl FnMut(Span)) -> u64 {
    let mut outlet = Outlet {
        each,
        resource: resource.clone(),
        spans: 0,
    };
    let mut tracker = Tracker::new(0);
    records.feed(&mut tracker, &mut outlet);
    outlet.spans
}

/// What `--record` costs the pipeline's thread. The writer's packs meanwhile.
fn recorded(records: &Records) -> Duration {
    let path = std::env::temp_dir().join(format!("tracer-bench-{}", std::process::id()));
    let recording = Recording::create(&path, Secrets::Redacted).expect("a file");
    let mut tap = recording.start("sock", 0, any_seed()).expect("a thread");
    let start = cpu_time();
    records.each(|event| tap.event(event));
    let took = cpu_time() - start;
    assert_eq!(tap.finish(KernelCounters::default(), PATIENCE), 0, "lost");
    std::fs::remove_file(&path).expect("ours");
    took
}

/// For the writer to end.
const PATIENCE: Duration = Duration::from_secs(60);

fn pipeline(criterion: &mut Criterion) {
    let own = resource::describe(std::process::id(), &resource::Options::default());
    let own = Arc::new(own);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}/v1/traces", silent.local_addr().expect("bound"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let exporter = || {
        let mut settings = Settings {
            otlp: Some(Otlp::new(
                Endpoint::OfSignal(endpoint.clone()),
                Protocol::HttpProtobuf,
            )),
            ..Settings::default()
        };
        settings.batching.max_queue_size = usize::MAX;
        Exporter::start(settings, runtime.handle()).expect("an exporter")
    };

    let mut group = criterion.benchmark_group("exchanges");
    group.throughput(Throughput::Elements(CONNECTIONS * ROUNDS));
    for (name, records) in [
        ("small", Records::new(SMALL)),
        ("usual", Records::new(USUAL)),
        ("grpc", Records::grpc()),
    ] {
        assert_eq!(run(&records, &own, drop), CONNECTIONS * ROUNDS);
        group.bench_function(format!("{name} to spans"), |bencher| {
            bencher.iter_custom(|count| {
                let start = cpu_time();
                for _ in 0..count {
                    run(&records, &own, |span| drop(black_box(span)));
                }
                cpu_time() - start
            });
        });
        group.bench_function(format!("{name} to OTLP"), |bencher| {
            bencher.iter_custom(|count| {
                (0..count)
                    .map(|_| {
                        let (mut exporter, mut paths) = (exporter(), Paths::default());
                        let start = cpu_time();
                        run(&records, &own, |span| {
                            _ = exporter.span(&span, paths.name(&span));
                        });
                        cpu_time() - start
                    })
                    .sum()
            });
        });
        group.bench_function(format!("{name} into a recording"), |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| recorded(&records)).sum())
        });
        group.bench_function(format!("{name} to OTLP and metrics"), |bencher| {
            bencher.iter_custom(|count| {
                (0..count)
                    .map(|_| {
                        let (mut exporter, mut paths) = (exporter(), Paths::default());
                        let mut recorder =
                            Recorder::new(semconv::Options::default(), Exemplars::default());
                        let start = cpu_time();
                        run(&records, &own, |span| {
                            let path = paths.name(&span);
                            let kept = exporter.span(&span, path);
                            recorder.record(&span, path, kept);
                        });
                        cpu_time() - start
                    })
                    .sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
