//! Flags and environment into one `Config`.
