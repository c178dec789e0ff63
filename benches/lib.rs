//! Criterion benchmarks of the pure core; see the files in `benches/`.
