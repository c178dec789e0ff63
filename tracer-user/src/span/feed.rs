//! What flows through one connection: its two streams, what they carry, and when each byte of
//! interest was moved.
//!
//! The protocol knows no clock; here each event it speaks of is stamped with the latest transfer of
//! the event's own side.

use super::Kind;
use super::stage::Moment;
use crate::event::{Direction, End, Task, Transfer};
use crate::protocol::detect::{Detector, Found};
use crate::protocol::{Event, Framing, Incomplete, Protocol, Side};
use crate::stream::Stream;

/// When, and by whom, the events of a batch were brought about.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The latest transfer of the request's side, and of the response's.
    request: Moment,
    response: Moment,
    /// Who made the transfer at hand; None: the connection ended.
    pub task: Option<Task>,
    /// When the connection ended, boot-time ns; 0 = it did not.
    pub closed: u64,
}

impl At {
    /// The latest transfer of that side.
    pub fn moment(&self, side: Side) -> Moment {
        match side {
            Side::Request => self.request,
            Side::Response => self.response,
        }
    }
}

/// One direction.
#[derive(Default)]
struct Lane {
    stream: Stream,
    /// The last transfer.
    last: Moment,
}

/// Both directions of a connection.
pub struct Feed {
    kind: Option<Kind>,
    received: Lane,
    sent: Lane,
    carries: Carries,
    /// How it is cut into frames, as far as that was told.
    framing: Option<Framing>,
    /// Position of the first byte that the protocol was shown of the requests.
    asked_from: u64,
    /// A transfer was seen.
    flowed: bool,
}

/// What was found out about a connection.
pub enum Detected {
    /// Nothing yet.
    Undecided,
    /// It is ours: what the detector holds back is to be carried first, then the transfer.
    Ours(Detector),
    /// It carries nothing that we know.
    NotOurs,
}

/// What is known of what flows.
enum Carries {
    /// Nothing yet.
    Unknown(Detector),
    /// A protocol of ours.
    Known(Box<dyn Protocol>),
}

impl Feed {
    /// Nothing has flowed yet. `midway`: something had before the agent looked.
    pub fn new(midway: bool) -> Feed {
        Feed {
            kind: None,
            received: Lane::default(),
            sent: Lane::default(),
            carries: Carries::Unknown(Detector::new(midway)),
            framing: None,
            asked_from: 0,
            flowed: false,
        }
    }

    /// What flows is known to be of that protocol.
    #[cfg(test)]
    pub fn of(kind: Kind, protocol: Box<dyn Protocol>) -> Feed {
        Feed {
            kind: Some(kind),
            carries: Carries::Known(protocol),
            ..Feed::new(false)
        }
    }

    /// Pieces that came behind their place, see [`Stream::late`].
    pub fn late(&self) -> u64 {
        self.received.stream.late() + self.sent.stream.late()
    }

    /// Which end the process is: the one that is asked, or that asks. The bytes tell, not who accepted
    /// the connection; None until they do.
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// Position, in its direction, of the byte of the requests that the protocol numbers so.
    pub fn position(&self, of_requests: u64) -> u64 {
        self.asked_from.saturating_add(of_requests)
    }

    /// Whether nothing has flowed yet.
    pub fn is_fresh(&self) -> bool {
        !self.flowed
    }

    /// Whether the protocol is known already; if not, see [`Feed::detect`].
    pub fn is_known(&self) -> bool {
        matches!(self.carries, Carries::Known(_))
    }

    /// Looks for the protocol in another transfer.
    pub fn detect(&mut self, transfer: &Transfer<'_>) -> Detected {
        self.flowed = true;
        let Carries::Unknown(detector) = &mut self.carries else {
            return Detected::Undecided;
        };
        match detector.push(transfer) {
            Found::Undecided => Detected::Undecided,
            Found::Nothing => Detected::NotOurs,
            Found::Protocol(protocol, requests) => {
                self.kind = Some(match requests {
                    Direction::Received => Kind::Server,
                    Direction::Sent => Kind::Client,
                });
                match std::mem::replace(&mut self.carries, Carries::Known(protocol)) {
                    Carries::Unknown(detector) => {
                        let start = |direction| Stream::starting_at(detector.resumes_at(direction));
                        self.received.stream = start(Direction::Received);
                        self.sent.stream = start(Direction::Sent);
                        self.asked_from = detector.resumes_at(requests);
                        Detected::Ours(detector)
                    }
                    Carries::Known(_) => Detected::Undecided,
                }
            }
        }
    }

    /// Takes a transfer of a connection whose protocol is known; appends what it brought about.
    pub fn carry(&mut self, transfer: &Transfer<'_>, events: &mut Vec<Event>) -> At {
        let side = side(self.kind, transfer.direction);
        let lane = match transfer.direction {
            Direction::Received => &mut self.received,
            Direction::Sent => &mut self.sent,
        };
        lane.last = Moment {
            begin: transfer.start_ns,
            end: transfer.end_ns,
        };
        if let Carries::Known(protocol) = &mut self.carries {
            lane.stream
                .push(transfer, |input| protocol.push(side, input, events));
        }
        self.at(Some(transfer.task), 0)
    }

    /// How the connection is cut into frames: once, when that is known. It need not be from the start
    /// (an upgrade).
    pub fn newly_framed(&mut self) -> Option<Framing> {
        if self.framing.is_some() {
            return None;
        }
        if let Carries::Known(protocol) = &self.carries {
            self.framing = protocol.framing();
        }
        self.framing
    }

    /// What is open on a multiplexed connection, by stream and by exchange.
    pub fn protocol(&self) -> Option<&dyn Protocol> {
        match &self.carries {
            Carries::Known(protocol) => Some(protocol.as_ref()),
            Carries::Unknown(_) => None,
        }
    }

    /// Bytes of memory behind it.
    pub fn memory(&self) -> usize {
        match &self.carries {
            Carries::Known(protocol) => protocol.memory(),
            Carries::Unknown(detector) => detector.memory(),
        }
    }

    /// It is cut into frames: one writer may put frames of several callers on it.
    pub fn is_framed(&self) -> bool {
        self.framing.is_some()
    }

    /// Many exchanges at once share the connection, in any order.
    pub fn is_multiplexed(&self) -> bool {
        self.framing == Some(Framing::Http2)
    }

    /// A direction, or all, is over; appends what that brought about. What is open there ends for that
    /// reason.
    pub fn end(
        &mut self,
        what: End,
        reason: Incomplete,
        at_ns: u64,
        events: &mut Vec<Event>,
    ) -> At {
        let ends: &[Direction] = match what {
            End::Receiving => &[Direction::Received],
            End::Sending => &[Direction::Sent],
            End::All => &[Direction::Received, Direction::Sent],
        };
        if let Carries::Known(protocol) = &mut self.carries {
            for &direction in ends {
                let ended = side(self.kind, direction);
                protocol.end(ended, reason, events);
            }
        }
        self.at(None, at_ns)
    }

    fn at(&self, task: Option<Task>, closed: u64) -> At {
        let (request, response) = match side(self.kind, Direction::Received) {
            Side::Request => (self.received.last, self.sent.last),
            Side::Response => (self.sent.last, self.received.last),
        };
        At {
            request,
            response,
            task,
            closed,
        }
    }
}

/// A server receives requests; who is not known to be a client is taken for one.
fn side(kind: Option<Kind>, direction: Direction) -> Side {
    let requests = match kind {
        Some(Kind::Client) => Direction::Sent,
        Some(Kind::Server) | None => Direction::Received,
    };
    if direction == requests {
        Side::Request
    } else {
        Side::Response
    }
}
