//! The BPF programs of `tracer`: they stamp each transfer of a traced socket, copy its head, and put
//! it in a ring.
//!
//! * [`socket`]: the `sock` family, one BTF tracepoint per transfer, state in the socket itself.
//! * [`syscall`]: the `syscall` family, the fallback: enter and exit of each I/O call.
//! * [`lifecycle`]: connect, listen and close of sockets; fork, exec and exit of processes.
//! * [`transfer`]: what both families do with a transfer once they found its socket.
//! * [`pieces`]: its buffers, one record each, and what is copied of them.
//! * [`frames`]: connections that are cut into frames, and are copied frame by frame.
//! * [`heads`]: what the frames' heads say.
//! * [`connection`]: what a socket is.
//! * [`task`]: who is calling, and where its buffers are.
//! * [`goroutine`]: which goroutine is calling; what probes in Go programs tell of them.
//! * [`emit`]: bounded copies into the ring, loss counters, waking the reader.
//! * [`maps`], [`kernel`]: every map; every kernel structure's field.
//!
//! Bias: the traced process comes first. A hook returns at the cheapest test that fails, takes no
//! lock but the ring's, and what it can't see it reports as unseen rather than look for it.
#![no_std]
#![no_main]
// The only way to the atomic instructions of BPF.
#![feature(asm_experimental_arch)]

mod connection;
mod emit;
mod frames;
mod goroutine;
mod heads;
mod kernel;
mod lifecycle;
mod maps;
mod pieces;
mod socket;
mod syscall;
mod task;
mod transfer;

/// The helpers that the programs call are GPL-only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
