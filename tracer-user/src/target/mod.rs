//! Which processes are traced.
