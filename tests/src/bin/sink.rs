//! The benchmark's OTLP endpoint as a process of its own; says its port on standard output.

fn main() -> std::io::Result<()> {
    tests::bench::sink::serve()
}
