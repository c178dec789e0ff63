//! Stream reassembly: what a transfer costs before its bytes are looked at.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tracer::event::{Direction, Transfer};
use tracer::protocol::Input;
use tracer::stream::Stream;

fn transfers(c: &mut Criterion) {
    let bytes = [b'x'; 1280];
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(1));
    for (name, length, gap) in [
        ("whole", 256, 0),
        ("head and tail", 65_536, 0),
        ("after a loss", 256, 100),
    ] {
        let mut stream = Stream::default();
        let mut position = 0;
        let (head, tail) = match length {
            256 => (&bytes[..256], &bytes[..0]),
            _ => (&bytes[..256], &bytes[256..]),
        };
        group.bench_function(name, |b| {
            b.iter(|| {
                position += gap;
                let transfer = Transfer {
                    length,
                    tail,
                    ..Transfer::of_bytes(Direction::Received, position, head)
                };
                position += u64::from(length);
                let mut seen = 0;
                stream.push(black_box(&transfer), |input| {
                    seen += match input {
                        Input::Bytes(bytes) => bytes.len() as u64,
                        Input::Skipped(n) | Input::Lost(n) => n,
                        Input::EndOfTransfer => 0,
                    };
                });
                black_box(seen)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, transfers);
criterion_main!(benches);
