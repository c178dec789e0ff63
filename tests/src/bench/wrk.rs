//! Load: wrk, flat out over kept connections, and what it counted.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Enough to keep both of nginx's workers, or all of Go's threads, busy without a queue that hides
/// what a request costs.
pub const CONNECTIONS: u64 = 16;
const THREADS: u64 = 2;

/// How load is put on a service.
#[derive(Clone, Copy)]
pub struct Load {
    seconds: u64,
}

/// What wrk counted in one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Complete responses.
    pub requests: u64,
    /// Per second.
    pub rate: f64,
}

impl Load {
    /// For that long; wrk knows whole seconds only.
    pub fn of(length: Duration) -> Load {
        Load {
            seconds: length.as_millis().div_ceil(1000) as u64,
        }
    }

    /// Puts load on `url`.
    ///
    /// # Errors
    /// wrk is not there, or any request failed: then its rate means nothing.
    pub fn run(self, url: &str) -> Result<Run> {
        let output = Command::new("wrk")
            .args(["-t", &THREADS.to_string(), "-c", &CONNECTIONS.to_string()])
            .args(["-d", &format!("{}s", self.seconds), url])
            .stdin(Stdio::null())
            .output()
            .context("cannot run wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "wrk failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        read(&text).with_context(|| format!("wrk on {url}:\n{text}"))
    }
}

fn read(text: &str) -> Result<Run> {
    for failure in ["Socket errors:", "Non-2xx"] {
        ensure!(
            !text.contains(failure),
            "not every request was answered well"
        );
    }
    let before = |mark: &str| text.lines().find_map(|line| Some(line.split_once(mark)?.0));
    let after = |mark: &str| text.lines().find_map(|line| Some(line.split_once(mark)?.1));
    Ok(Run {
        requests: before(" requests in ")
            .and_then(|number| number.trim().parse().ok())
            .context("no number of requests")?,
        rate: after("Requests/sec:")
            .and_then(|number| number.trim().parse().ok())
            .context("no rate")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Run, read};

    const OUTPUT: &str = "\
Running 4s test @ http://127.0.0.1:8080/page.html
  2 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   255.61us  190.51us   8.05ms   97.10%
    Req/Sec    31.92k     1.82k   35.40k    76.83%
  260489 requests in 4.10s, 208.21MB read
Requests/sec:  63533.91
Transfer/sec:     50.78MB
";

    #[test]
    fn counts_are_read() {
        let run = Run {
            requests: 260_489,
            rate: 63533.91,
        };
        assert_eq!(read(OUTPUT).unwrap(), run);
    }

    #[test]
    fn failures_are_no_result() {
        let errors = "  Socket errors: connect 0, read 1, write 0, timeout 0\n";
        assert!(read(&OUTPUT.replace("Requests/sec", &format!("{errors}Requests/sec"))).is_err());
        let refused = "  Non-2xx or 3xx responses: 5\n";
        assert!(read(&OUTPUT.replace("Requests/sec", &format!("{refused}Requests/sec"))).is_err());
        assert!(read("").is_err());
    }
}
