//! Starts an actor, traces it, and gathers what the probes report of it.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tests::wait;
use tracer::counters::KernelCounters;
use tracer::event::{
    self, Connection, ConnectionId, Direction, Ended, Event, Process, ProcessChange,
};
use tracer::probe::{Family, Options, Probes};
use tracer::protocol::Framing;

/// One reported piece of a transfer.
#[derive(Clone, Debug)]
pub struct Piece {
    pub connection: ConnectionId,
    pub direction: Direction,
    pub position: u64,
    pub length: u32,
    pub last: bool,
    pub unseen: bool,
    pub start_ns: u64,
    pub end_ns: u64,
    pub pid: u32,
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
}

/// All that was reported.
#[derive(Debug)]
pub struct Seen {
    /// The actor.
    pub pid: u32,
    pub pieces: Vec<Piece>,
    pub connections: Vec<Connection>,
    pub ended: Vec<Ended>,
    pub processes: Vec<Process>,
    pub counters: KernelCounters,
}

impl Seen {
    /// The pieces of one direction of the `n`th connection, in the order of the ring.
    pub fn of(&self, n: usize, direction: Direction) -> Vec<&Piece> {
        let connection = self.connections[n].connection;
        self.pieces
            .iter()
            .filter(|p| p.connection == connection && p.direction == direction)
            .collect()
    }

    /// The same as bytes, where all were captured; positions must follow each other.
    pub fn bytes(&self, n: usize, direction: Direction) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in self.of(n, direction) {
            assert_eq!(piece.position, bytes.len() as u64, "position of {piece:?}");
            assert_eq!(
                piece.head.len(),
                piece.length as usize,
                "capture of {piece:?}"
            );
            bytes.extend_from_slice(&piece.head);
        }
        bytes
    }

    /// (position, length, unseen) of each piece of a direction.
    pub fn shape(&self, n: usize, direction: Direction) -> Vec<(u64, u32, bool)> {
        self.of(n, direction)
            .iter()
            .map(|p| (p.position, p.length, p.unseen))
            .collect()
    }
}

/// What the programs are told of connections.
#[derive(Default)]
pub struct Verdicts {
    pub ignore: Vec<ConnectionId>,
    pub frame: Vec<(ConnectionId, Framing)>,
}

/// Runs an act to its end under the probes.
pub fn watch(family: Family, act: &str) -> Seen {
    watch_with(family, act, None, &Options::default(), |_, _| {})
}

/// The same with an argument for the act, with other options than the default ones, and with
/// something to do for each piece as it is reported.
pub fn watch_with(
    family: Family,
    act: &str,
    argument: Option<&str>,
    options: &Options,
    mut each: impl FnMut(&mut Verdicts, &Piece),
) -> Seen {
    let mut probes = Probes::attach(&Options {
        family: Some(family),
        ..options.clone()
    })
    .expect("attach");
    let mut actor = Actor::start(act, argument);
    if !options.all {
        probes.trace(actor.child.id()).expect("trace");
    }
    actor.go();
    let mut seen = Seen {
        pid: actor.child.id(),
        pieces: Vec::new(),
        connections: Vec::new(),
        ended: Vec::new(),
        processes: Vec::new(),
        counters: KernelCounters::default(),
    };
    let mut verdicts = Verdicts::default();
    let deadline = Instant::now() + wait::patiently(wait::SOON);
    let mut gone = false;
    while !gone {
        assert!(Instant::now() < deadline, "the actor hangs: {seen:?}");
        probes.wait(Duration::from_millis(50));
        gone = actor.has_ended();
        probes.drain(|record| {
            let piece = seen.add(record);
            if let Some(piece) = piece {
                each(&mut verdicts, &piece);
            }
        });
        for &connection in &verdicts.ignore {
            probes.ignore(connection).expect("ignore");
        }
        for &(connection, framing) in &verdicts.frame {
            probes.frame(connection, framing).expect("frame");
        }
    }
    // Once more after its end was seen: its last records are in the ring by then.
    probes.detach();
    probes.drain(|record| {
        seen.add(record);
    });
    seen.counters = probes.counters();
    let delivered = seen.pieces.iter().filter(|p| p.last).count() as u64;
    assert_eq!(
        seen.counters.transfers_seen,
        delivered + seen.counters.transfers_ring_full
    );
    seen
}

impl Seen {
    fn add(&mut self, record: &[u8]) -> Option<Piece> {
        match event::decode(record).expect("a record of the ABI") {
            Event::Transfer(t) => {
                let piece = Piece {
                    connection: t.connection,
                    direction: t.direction,
                    position: t.position,
                    length: t.length,
                    last: t.last_piece,
                    unseen: t.unseen,
                    start_ns: t.start_ns,
                    end_ns: t.end_ns,
                    pid: t.task.pid,
                    head: t.head.to_vec(),
                    tail: t.tail.to_vec(),
                };
                self.pieces.push(piece.clone());
                return Some(piece);
            }
            Event::Connection(c) => self.connections.push(c),
            Event::Ended(e) => self.ended.push(e),
            Event::Process(p) => self.processes.push(p),
            Event::Listening { .. } | Event::Goroutine(_) => {}
        }
        None
    }

    /// What happened to a process.
    pub fn changes(&self, pid: u32) -> Vec<ProcessChange> {
        self.processes
            .iter()
            .filter(|p| p.pid == pid)
            .map(|p| p.what)
            .collect()
    }
}

struct Actor {
    child: Child,
}

impl Actor {
    /// Started, it waits for [`Actor::go`].
    fn start(act: &str, argument: Option<&str>) -> Actor {
        let child = Command::new("/proc/self/exe")
            .args(["--act", act])
            .args(argument)
            .stdin(Stdio::piped())
            .spawn()
            .expect("start the actor");
        Actor { child }
    }

    fn go(&mut self) {
        let mut stdin = self.child.stdin.take().expect("piped");
        stdin.write_all(b"go\n").expect("tell the actor");
    }

    fn has_ended(&mut self) -> bool {
        match self.child.try_wait().expect("wait for the actor") {
            None => false,
            Some(status) => {
                assert!(status.success(), "the actor failed: {status}");
                true
            }
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
