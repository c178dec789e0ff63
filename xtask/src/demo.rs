//! Shows the tracer on a small real service: a shop of two Python processes and its customers.
//!
//! The shop knows nothing of tracing and is attached to by PID, like any service. Everything that
//! was started ends with the demo, also when the demo itself is killed: each child reads its
//! standard input and leaves when that closes.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{run, setup};

/// A child that leaves when its standard input closes.
struct Part {
    child: Child,
    _stdin: ChildStdin,
    /// What it said when it was ready: the port it listens on.
    ready: String,
}

impl Drop for Part {
    fn drop(&mut self) {
        // Fails only if it is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the shop, traces it until Ctrl-C or for `duration`.
pub fn run(duration: Option<Duration>) -> Result<()> {
    ensure!(
        run::is_root(),
        "tracing needs root: run `sudo -E cargo xtask demo` (or as root)"
    );
    setup::ensure(setup::Purpose::Demo)?;
    let agent = run::agent()?;

    let stock = part("stock", &[])?;
    let shop = part("shop", &[&stock.ready])?;
    let _customers = part("customers", &[&shop.ready])?;

    eprintln!(
        "A shop (process {}) that asks a stock service (process {}), both plain Python; \
         its customers send what they like.\nTracing both by PID{}:\n",
        shop.child.id(),
        stock.child.id(),
        match duration {
            Some(time) => format!(" for {time:?}"),
            None => " until Ctrl-C".into(),
        }
    );
    let mut command = Command::new(agent);
    command
        .arg("-p")
        .arg(format!("{},{}", shop.child.id(), stock.child.id()))
        .args(["-o", "pretty"]);
    if let Some(time) = duration {
        command.arg("--duration");
        command.arg(format!("{}ms", time.as_millis()));
    }
    outlive_interrupts();
    run::run(&mut command)
}

/// Starts one role of the demo's service and awaits its first line.
fn part(role: &str, arguments: &[&str]) -> Result<Part> {
    let mut command = Command::new(run::find("python3").context("python3 is gone")?);
    command
        .arg(run::root().join("xtask/demo/shop.py"))
        .arg(role)
        .args(arguments)
        .env("OTEL_SERVICE_NAME", role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    // Its own group: Ctrl-C is for the tracer, the service must live until that has flushed.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run `{}`", run::shown(&command)))?;
    let stdin = child.stdin.take().context("no standard input")?;
    let stdout = child.stdout.take().context("no standard output")?;
    let mut part = Part {
        child,
        _stdin: stdin,
        ready: String::new(),
    };
    BufReader::new(stdout).read_line(&mut part.ready)?;
    part.ready.truncate(part.ready.trim_end().len());
    ensure!(!part.ready.is_empty(), "the demo's `{role}` did not start");
    Ok(part)
}

/// Ctrl-C reaches the tracer as well, which ends in good order; this process must still be there then
/// to end the rest. Until the tracer starts, a Ctrl-C ends this process, and so the service, at once.
/// A handler, unlike `SIG_IGN`, is not handed on to children.
fn outlive_interrupts() {
    extern "C" fn nothing(_signal: libc::c_int) {}
    let handler = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler does nothing at all, so it is async-signal-safe.
    unsafe {
        libc::signal(libc::SIGINT, handler);
    }
}
