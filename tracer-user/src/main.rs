//! The `tracer` command: parse, run, exit code.

fn main() {}
