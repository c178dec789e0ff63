//! Runs all stations on one thread.
