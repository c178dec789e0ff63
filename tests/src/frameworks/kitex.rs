//! Kitex' server and client, each with its own tracer.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{program, serve};
use crate::process::Process;
use crate::servers::Server;

/// How long all calls may take: only ever waited out by a test that fails.
const LONGEST: Duration = Duration::from_secs(60);

/// A client of Kitex that makes calls one at a time as it is told.
pub struct Kitex {
    client: Process,
    told: usize,
}

impl Kitex {
    /// Starts a server of all transports that records each call.
    #[track_caller]
    pub fn serve(records: &Path) -> Server {
        serve("kitex", &["serve", "-record", &records.to_string_lossy()])
    }

    /// Starts a client of that transport that records each call; it connects with the first.
    #[track_caller]
    pub fn client(server: &Server, transport: &str, protobuf: bool, records: &Path) -> Kitex {
        let mut command = Command::new(program("kitex"));
        command
            .args(["call", "-behind", &server.address.to_string()])
            .args(["-transport", transport, "-record"])
            .arg(records)
            .args(protobuf.then_some("-protobuf"));
        Kitex {
            client: Process::start(command.stdin(Stdio::piped())),
            told: 0,
        }
    }

    /// Its process id: for `-p`.
    pub fn pid(&self) -> u32 {
        self.client.pid()
    }

    /// Has it call `method` with a request of that text: `ID MS SIZE ` and any padding.
    #[track_caller]
    pub fn tell(&mut self, method: &str, text: &str) {
        let input = self.client.child().stdin.as_mut().expect("piped");
        writeln!(input, "{method} {text}").expect("it reads");
        self.told += 1;
    }

    /// Awaits that all it was told is done.
    #[track_caller]
    pub fn wait(&self) {
        crate::wait::until("calls to be done", LONGEST, || {
            (self.client.stdout.all().len() >= self.told).then_some(())
        });
    }
}
