//! The kernel side of `tracer`.
//!
//! This library exposes [`abi`] alone: the layout of what crosses the ring buffer and the maps. The
//! programs are the binary of this package and compile for the BPF target only
//! (`cargo xtask build-ebpf`).
#![no_std]

pub mod abi;
