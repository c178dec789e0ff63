//! One side's stream of messages: where each begins, its head, where it ends.
//!
//! Knows nothing of the other side; what depends on it (whether a response has a body) is told by
//! [`Reader::body`]. Bias: after a hole a message is only taken to begin where a transfer begins, and
//! only with a whole and proper start line.

use memchr::{memchr, memchr_iter, memrchr};

use super::body::{Body, Chunked, Progress, Tail};
use super::head::{self, Framing, HEAD_LIMIT, Parsed};
use crate::protocol::http::Head;
use crate::protocol::{Incomplete, Side, Sizes};

/// What came of a step.
#[derive(Debug)]
pub(super) enum Step {
    /// The input is used up.
    More,
    /// A message begins with the next byte (or, found again after a hole, has just begun).
    Started,
    /// Its head is complete; [`Reader::body`] is to be told.
    Head(Box<Head>, Framing),
    /// Its last byte was read.
    Ended(Sizes),
    /// It can't be followed.
    Broken {
        /// Its head was not complete.
        in_head: bool,
        reason: Incomplete,
    },
    /// Bytes of unknown content passed where a message might have begun.
    Hole(Incomplete),
    /// Bytes passed in which no message was found, the input's last.
    Passed,
}

#[derive(Debug)]
enum State {
    /// Between messages.
    Idle,
    /// In a head.
    Head,
    Fixed(u64),
    Chunked(Chunked),
    /// In a chunked body, its chunks unknown.
    Tail(Tail),
    UntilClose,
    /// After a hole. `fresh`: the next byte begins a transfer. In [`Reader::buffer`]: what may be
    /// the begin of a start line.
    Hunting {
        fresh: bool,
    },
    /// What comes is no message.
    Deaf,
}

/// One side of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    side: Side,
    state: State,
    /// The head so far, if it did not come in one input.
    buffer: Vec<u8>,
    /// Start of the last line in `buffer`.
    line: usize,
    /// Bytes of this message.
    wire: u64,
    /// Bytes of its body.
    body: u64,
    /// The message's chunk heads were not all seen.
    uncounted: bool,
    /// Bytes since the hole.
    passed: u64,
}

impl Reader {
    /// `midway`: the first byte may be any of a message.
    pub(super) fn new(side: Side, midway: bool) -> Reader {
        Reader {
            side,
            state: match midway {
                true => State::Hunting { fresh: true },
                false => State::Idle,
            },
            buffer: Vec::new(),
            line: 0,
            wire: 0,
            body: 0,
            uncounted: false,
            passed: 0,
        }
    }

    /// Reads on, taking what it used from `input`; to be called until it says [`Step::More`].
    pub(super) fn bytes(&mut self, input: &mut &[u8]) -> Step {
        if input.is_empty() {
            return Step::More;
        }
        match &mut self.state {
            State::Idle => {
                // Empty lines before a message are to be ignored (section 2.2).
                *input = strip_line_ends(input);
                if input.is_empty() {
                    return Step::More;
                }
                self.begin()
            }
            State::Head => self.head(input),
            State::Fixed(left) => {
                let n = input
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= n as u64;
                let ended = *left == 0;
                *input = &input[n..];
                self.wire = self.wire.saturating_add(n as u64);
                self.body = self.body.saturating_add(n as u64);
                if ended { self.ended() } else { Step::More }
            }
            State::Chunked(chunked) => {
                let before = input.len();
                let progress = chunked.bytes(input, &mut self.body);
                self.wire = self.wire.saturating_add((before - input.len()) as u64);
                match progress {
                    Progress::More => Step::More,
                    Progress::Done => self.ended(),
                    Progress::Bad => self.broken(Incomplete::Malformed, false, 0),
                }
            }
            State::Tail(tail) => {
                tail.bytes(input);
                self.wire = self.wire.saturating_add(input.len() as u64);
                *input = &[];
                Step::More
            }
            State::UntilClose => {
                self.wire = self.wire.saturating_add(input.len() as u64);
                self.body = self.body.saturating_add(input.len() as u64);
                *input = &[];
                Step::More
            }
            State::Hunting { .. } => self.hunt_on(input),
            State::Deaf => {
                *input = &[];
                Step::More
            }
        }
    }

    /// Passes over `n` bytes that were not captured or, `lost`, whose event was; takes what it
    /// accounted for from `n`, to be called until that is 0.
    pub(super) fn gap(&mut self, n: &mut u64, lost: bool) -> Step {
        let reason = Incomplete::of_gap(lost);
        match &mut self.state {
            State::Idle => {
                self.hunt(lost);
                self.passed = std::mem::take(n);
                Step::Hole(reason)
            }
            State::Head => {
                let large = n.saturating_add(self.buffer.len() as u64) > HEAD_LIMIT as u64;
                let reason = match !lost && large {
                    true => Incomplete::HeadTooLarge,
                    false => reason,
                };
                self.broken(reason, lost, std::mem::take(n))
            }
            State::Fixed(left) if *n < *left || (!lost && *n == *left) => {
                *left -= *n;
                let ended = *left == 0;
                self.wire = self.wire.saturating_add(*n);
                self.body = self.body.saturating_add(std::mem::take(n));
                if ended { self.ended() } else { Step::More }
            }
            State::Fixed(left) => {
                let rest = *left;
                *n -= rest;
                if lost {
                    // Its last byte moved at a time that is not known.
                    self.state = State::Idle;
                    self.passed = 0;
                    return Step::Broken {
                        in_head: false,
                        reason,
                    };
                }
                self.wire = self.wire.saturating_add(rest);
                self.body = self.body.saturating_add(rest);
                self.ended()
            }
            State::Chunked(chunked) => {
                let passed = std::mem::take(n);
                self.wire = self.wire.saturating_add(passed);
                if chunked.skip(passed, &mut self.body) {
                    return Step::More;
                }
                if lost {
                    return self.broken(reason, lost, passed);
                }
                self.uncounted = true;
                self.state = State::Tail(Tail::after(*chunked));
                Step::More
            }
            State::Tail(tail) => {
                let passed = std::mem::take(n);
                if lost {
                    return self.broken(reason, lost, passed);
                }
                tail.skip();
                self.wire = self.wire.saturating_add(passed);
                Step::More
            }
            State::UntilClose => {
                self.wire = self.wire.saturating_add(*n);
                self.body = self.body.saturating_add(std::mem::take(n));
                Step::More
            }
            State::Hunting { fresh } => {
                let hole = lost || *fresh;
                let buffered = self.buffer.len() as u64;
                let passed = self
                    .passed
                    .saturating_add(buffered)
                    .saturating_add(std::mem::take(n));
                self.hunt(lost);
                self.passed = passed;
                match hole {
                    true => Step::Hole(reason),
                    false => Step::Passed,
                }
            }
            State::Deaf => {
                *n = 0;
                Step::More
            }
        }
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// The transfer ends here.
    pub(super) fn end_of_transfer(&mut self) -> Step {
        match &mut self.state {
            State::Tail(tail) => match tail.end_of_transfer() {
                true => self.ended(),
                false => Step::More,
            },
            State::Hunting { fresh } if self.buffer.is_empty() => {
                *fresh = true;
                Step::More
            }
            _ => Step::More,
        }
    }

    /// What follows the head just read. Some(sizes): nothing, the message has ended.
    pub(super) fn body(&mut self, body: Body) -> Option<Sizes> {
        self.state = match body {
            Body::Fixed(0) => {
                self.state = State::Idle;
                return Some(self.sizes());
            }
            Body::Fixed(n) => State::Fixed(n),
            Body::Chunked => State::Chunked(Chunked::START),
            Body::UntilClose => State::UntilClose,
        };
        None
    }

    /// Looks for a message's begin, from here on or (`fresh`) where the next transfer begins.
    pub(super) fn hunt(&mut self, fresh: bool) {
        self.buffer = Vec::new();
        self.passed = 0;
        self.state = State::Hunting { fresh };
    }

    /// Takes back the begin of the message just begun; false if its first byte is gone.
    pub(super) fn rewind(&mut self) -> bool {
        let whole = self.buffer.is_empty();
        if whole {
            self.state = State::Idle;
        }
        whole
    }

    /// Reads no more.
    pub(super) fn deafen(&mut self) {
        self.buffer = Vec::new();
        self.state = State::Deaf;
    }

    /// The stream is over: what has become of the message under way, if there is one.
    pub(super) fn end(&mut self, reason: Incomplete) -> Option<Result<Sizes, Incomplete>> {
        let outcome = match self.state {
            State::Idle | State::Hunting { .. } | State::Deaf => None,
            State::UntilClose if reason == Incomplete::ConnectionClosed => Some(Ok(self.sizes())),
            _ => Some(Err(reason)),
        };
        self.deafen();
        outcome
    }

    /// What was read of a head that is not complete.
    pub(super) fn partial_head(&self) -> &[u8] {
        &self.buffer
    }

    /// The same, of a head that broke off; to be called after [`Step::Broken`].
    pub(super) fn take_broken_head(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// How many bytes of the message just begun are used up already.
    pub(super) fn begun(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// Bytes of unknown content between the last message known and the one begun now.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Reading a head.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.state, State::Head)
    }

    /// Reading a chunked body whose chunk heads are not known.
    pub(super) fn in_tail(&self) -> bool {
        matches!(self.state, State::Tail(_))
    }

    /// Between messages.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Looking for a message's begin after a hole.
    pub(super) fn is_hunting(&self) -> bool {
        matches!(self.state, State::Hunting { .. })
    }

    fn begin(&mut self) -> Step {
        self.state = State::Head;
        self.wire = 0;
        self.body = 0;
        self.uncounted = false;
        Step::Started
    }

    fn ended(&mut self) -> Step {
        self.state = State::Idle;
        Step::Ended(self.sizes())
    }

    /// The head so far is kept for [`Reader::take_broken_head`].
    fn broken(&mut self, reason: Incomplete, fresh: bool, passed: u64) -> Step {
        let in_head = self.in_head();
        self.passed = passed;
        self.state = State::Hunting { fresh };
        Step::Broken { in_head, reason }
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            wire: self.wire,
            body: (!self.uncounted).then_some(self.body),
        }
    }

    fn head(&mut self, input: &mut &[u8]) -> Step {
        if self.buffer.is_empty() {
            let parsed = head::parse(self.side, input);
            if let Parsed::Partial = parsed {
                let kept = input.len().min(HEAD_LIMIT);
                self.buffer.extend_from_slice(&input[..kept]);
                self.line = memrchr(b'\n', &self.buffer).map_or(0, |at| at + 1);
                *input = &input[kept..];
            }
            return self.parsed(parsed, input);
        }
        let before = self.buffer.len();
        let kept = input.len().min(HEAD_LIMIT - before);
        self.buffer.extend_from_slice(&input[..kept]);
        // Nothing of what was searched before is searched again.
        for at in memchr_iter(b'\n', &self.buffer[before..]).map(|at| before + at) {
            let line = &self.buffer[self.line..at];
            if self.line == 0 && head::start_line(self.side, line).is_none() {
                return self.parsed(Parsed::Bad, input);
            }
            if line.is_empty() || line == b"\r" {
                let parsed = head::parse(self.side, &self.buffer[..=at]);
                self.buffer = Vec::new();
                *input = &input[at + 1 - before..];
                // The bytes before this input count; those of it are taken already.
                return self.parsed(parsed, &mut &[][..]);
            }
            self.line = at + 1;
        }
        *input = &input[kept..];
        self.parsed(Parsed::Partial, input)
    }

    fn parsed(&mut self, parsed: Parsed, input: &mut &[u8]) -> Step {
        match parsed {
            Parsed::Complete(head, framing, length) => {
                self.wire = length as u64;
                *input = input.get(length..).unwrap_or_default();
                Step::Head(head, framing)
            }
            Parsed::Bad => self.broken(Incomplete::Malformed, false, 0),
            Parsed::Partial if self.buffer.len() >= HEAD_LIMIT => {
                self.broken(Incomplete::HeadTooLarge, false, 0)
            }
            Parsed::Partial => Step::More,
        }
    }

    fn hunt_on(&mut self, input: &mut &[u8]) -> Step {
        let before = self.buffer.len();
        let end = memchr(b'\n', input);
        let kept = end.map_or(input.len(), |at| at + 1);
        let may_begin = before > 0 || matches!(self.state, State::Hunting { fresh: true });
        if may_begin && kept <= HEAD_LIMIT - before {
            if before == 0 && end.is_some() {
                // The head is read from the input itself, if all of it is there.
                if head::resumes(self.side, &input[..kept]) {
                    return self.begin();
                }
            } else {
                self.buffer.extend_from_slice(&input[..kept]);
                if head::resumes(self.side, &self.buffer) {
                    *input = &input[kept..];
                    self.line = self.buffer.len();
                    return match end {
                        Some(_) => self.begin(),
                        None => Step::More,
                    };
                }
            }
        }
        let passed = (before + input.len()) as u64;
        let passed = self.passed.saturating_add(passed);
        self.hunt(false);
        self.passed = passed;
        *input = &[];
        Step::Passed
    }
}

fn strip_line_ends(mut input: &[u8]) -> &[u8] {
    while let [b'\r' | b'\n', rest @ ..] = input {
        input = rest;
    }
    input
}
