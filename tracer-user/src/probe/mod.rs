//! Loads and attaches the BPF programs; the only place that knows aya.
