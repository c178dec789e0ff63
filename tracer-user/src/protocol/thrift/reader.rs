//! One side's stream of messages: where each begins, its head, where it ends.
//!
//! Knows nothing of the other side. Bias: after a hole a message is only taken to begin where a
//! transfer begins, and only with a begin that is proper to its last byte.

use super::begin::Short;
use super::content::Reading;
use super::message::{self, Form, HEAD_LIMIT, Opening};
use super::walk::Progress;
use crate::protocol::rpc::{Codec, Head, Kind};
use crate::protocol::ttheader::stream::Frame;
use crate::protocol::{Incomplete, Match, Side, Sizes};

/// What came of a step.
#[derive(Debug)]
pub(super) enum Step {
    /// The input is used up.
    More,
    /// A message began, `begun` bytes ago.
    Started { begun: u64 },
    /// What it is was read; its head follows when all of it is known.
    Opened(Opened),
    /// Its head is complete.
    Head(Box<Head>),
    /// Its last byte was read.
    Ended(Sizes),
    /// It can't be followed.
    Broken(Incomplete),
    /// Bytes of unknown content passed where a message might have begun.
    Hole(Incomplete),
}

/// What pairing needs to know of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub seq_id: i32,
    pub oneway: bool,
    /// It came behind its length.
    pub prefixed: bool,
    /// It is a frame of a stream.
    pub frame: Option<Frame>,
    /// Bytes up to its content.
    pub length: u64,
    /// Bytes of its content, where a length is given.
    pub content: u64,
}

#[derive(Debug)]
enum State {
    /// Between messages.
    Idle,
    /// Up to where a message's content begins; what came of it before is in [`Reader::buffer`].
    Head,
    /// In a message's content.
    Content(Body),
    /// In a message that can't be read, of which that many bytes are left.
    Passing(u64),
    /// After a hole. `fresh`: the next byte begins a transfer. In [`Reader::buffer`]: what may be
    /// the begin of a message.
    Hunting { fresh: bool, reason: Incomplete },
    /// What comes is no message.
    Deaf,
}

/// A message's content.
#[derive(Debug)]
struct Body {
    /// What is read of it.
    reading: Reading,
    /// Bytes left of it, if a length tells.
    left: Option<u64>,
    /// Its head, until what is read of it is known.
    head: Option<Box<Head>>,
}

/// One side of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    side: Side,
    state: State,
    /// The head so far, if it did not come in one input.
    buffer: Vec<u8>,
    /// After a hole: where transfers begin in it.
    begins: Vec<usize>,
    /// Bytes of this message.
    wire: u64,
    /// The message's begin was told.
    started: bool,
    /// What messages come in, as far as is known. In TTHeader one may be a stream's frame, which
    /// begins nothing; the last one was.
    form: Form,
    in_stream: bool,
    /// The encoding is the old one.
    old: bool,
}

impl Reader {
    /// The encoding is the old one, of which no message has a mark.
    pub(super) fn set_old(&mut self) {
        self.old = true;
    }

    /// Of a connection of that form. `midway`: the first byte may be any of a message.
    pub(super) fn new(side: Side, midway: bool, form: Form) -> Reader {
        Reader {
            side,
            state: match midway {
                true => State::Hunting {
                    fresh: true,
                    reason: Incomplete::AttachedMidway,
                },
                false => State::Idle,
            },
            buffer: Vec::new(),
            begins: Vec::new(),
            wire: 0,
            started: false,
            form,
            in_stream: false,
            old: false,
        }
    }

    /// Reads on, taking what it used from `input`; to be called until it says [`Step::More`].
    pub(super) fn bytes(&mut self, input: &mut &[u8]) -> Step {
        match &mut self.state {
            State::Content(_) => return self.content(input),
            // What is held of it may be enough to refuse it.
            State::Head => {}
            _ if input.is_empty() => return Step::More,
            State::Idle => {
                self.begin();
            }
            State::Passing(left) => {
                let n = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= n as u64;
                *input = &input[n..];
                if *left > 0 {
                    return Step::More;
                }
                self.state = State::Idle;
                return self.bytes(input);
            }
            State::Hunting { reason, .. } => {
                let reason = *reason;
                match self.found(input) {
                    Match::Yes => self.begin(),
                    Match::Perhaps => return Step::More,
                    Match::No => return Step::Hole(reason),
                }
            }
            State::Deaf => {
                *input = &[];
                return Step::More;
            }
        }
        self.head(input)
    }

    /// Passes over `n` bytes that were not captured or, `lost`, whose event was; takes what it
    /// accounted for from `n`, to be called until that is 0.
    pub(super) fn gap(&mut self, n: &mut u64, lost: bool) -> Step {
        let reason = Incomplete::of_gap(lost);
        match &mut self.state {
            State::Idle => {
                *n = 0;
                self.hunt(lost, reason);
                Step::Hole(reason)
            }
            State::Head => self.torn(n, lost),
            State::Content(body) => {
                let read_on = body.reading.skip(*n);
                if !read_on && body.left.is_some() {
                    // What went wrong stays unknown.
                    let reading = std::mem::replace(&mut body.reading, Reading::Nothing);
                    if let Some(head) = body.head.take() {
                        return Step::Head(reading.answered(head));
                    }
                }
                match &mut body.left {
                    None if read_on => {
                        self.wire = self.wire.saturating_add(std::mem::take(n));
                        Step::More
                    }
                    None => {
                        *n = 0;
                        self.hunt(lost, reason);
                        Step::Broken(reason)
                    }
                    Some(left) if *n < *left => {
                        *left -= *n;
                        self.wire = self.wire.saturating_add(std::mem::take(n));
                        Step::More
                    }
                    Some(left) => {
                        *n -= *left;
                        self.wire = self.wire.saturating_add(std::mem::take(left));
                        match lost {
                            // Its last byte moved at a time that is not known.
                            true => {
                                self.state = State::Idle;
                                Step::Broken(reason)
                            }
                            false => self.content(&mut &b""[..]),
                        }
                    }
                }
            }
            State::Passing(left) => {
                let passed = (*left).min(*n);
                *n -= passed;
                *left -= passed;
                if *left == 0 {
                    self.state = State::Idle;
                }
                Step::More
            }
            State::Hunting { .. } => {
                *n = 0;
                self.hunt(lost, reason);
                Step::Hole(reason)
            }
            State::Deaf => {
                *n = 0;
                Step::More
            }
        }
    }

    /// The transfer ends here.
    pub(super) fn end_of_transfer(&mut self) {
        if let State::Hunting { fresh, .. } = &mut self.state {
            *fresh = true;
        }
    }

    /// The stream is over: whether a message was under way whose begin was told.
    pub(super) fn end(&mut self) -> bool {
        let within = matches!(self.state, State::Head | State::Content(_));
        self.buffer = Vec::new();
        self.state = State::Deaf;
        within && self.started
    }

    /// Looking for a message's begin.
    pub(super) fn is_hunting(&self) -> bool {
        matches!(self.state, State::Hunting { .. })
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let walk = match &self.state {
            State::Content(Body {
                reading: Reading::Struct(walk),
                ..
            }) => walk.memory(),
            _ => 0,
        };
        self.buffer.capacity() + 8 * self.begins.capacity() + walk
    }

    fn begin(&mut self) {
        self.state = State::Head;
        self.wire = 0;
        self.started = false;
    }

    fn hunt(&mut self, fresh: bool, reason: Incomplete) {
        self.buffer = Vec::new();
        self.begins.clear();
        self.state = State::Hunting { fresh, reason };
    }

    /// Reads a head, of which nothing or a part is in the buffer.
    fn head(&mut self, input: &mut &[u8]) -> Step {
        let held = self.buffer.len();
        if !self.started && self.starts(input) {
            self.started = true;
            return Step::Started { begun: held as u64 };
        }
        if held == 0 {
            return match message::open(self.side, input) {
                Ok(opening) => {
                    *input = &input[opening.length..];
                    self.opened(opening)
                }
                Err(Short::Needs(_)) => {
                    self.buffer.extend_from_slice(input);
                    *input = &[];
                    Step::More
                }
                Err(Short::Bad) => self.refused(input, Incomplete::Malformed),
                Err(Short::Large) => self.refused(input, Incomplete::HeadTooLarge),
            };
        }
        loop {
            match message::open(self.side, &self.buffer) {
                Ok(opening) => {
                    self.buffer.clear();
                    return self.opened(opening);
                }
                // No more is taken than belongs to the head.
                Err(Short::Needs(needed)) => {
                    let missing = needed.saturating_sub(self.buffer.len()).max(1);
                    let n = missing.min(input.len());
                    if n == 0 {
                        return Step::More;
                    }
                    self.buffer.extend_from_slice(&input[..n]);
                    *input = &input[n..];
                }
                Err(Short::Bad) => return self.refused(input, Incomplete::Malformed),
                Err(Short::Large) => return self.refused(input, Incomplete::HeadTooLarge),
            }
        }
    }

    /// Whether what begins here is a message of its own, and no frame of a stream, as far as can be
    /// told.
    fn starts(&self, input: &[u8]) -> bool {
        if self.form != Form::Ttheader {
            return true;
        }
        let mut first = [0; 8];
        let held = self.buffer.len().min(8);
        let more = input.len().min(8 - held);
        first[..held].copy_from_slice(&self.buffer[..held]);
        first[held..held + more].copy_from_slice(&input[..more]);
        message::is_frame(&first[..held + more]) == Some(false)
    }

    fn opened(&mut self, opening: Opening) -> Step {
        let Opening {
            head,
            length,
            total,
            content,
            form,
            frame,
        } = opening;
        self.wire = length as u64;
        self.form = form;
        self.old = head.codec == Some(Codec::BinaryOld);
        self.in_stream = frame.is_some();
        let left = total.map(|total| total - length as u64);
        if let (true, Some(_), Some(left)) = (self.started, frame, left) {
            // It was taken for a message of its own, as those before it were.
            self.state = match left {
                0 => State::Idle,
                left => State::Passing(left),
            };
            return Step::Broken(Incomplete::Malformed);
        }
        let opened = Opened {
            seq_id: head.seq_id,
            oneway: head.kind == Kind::Oneway,
            prefixed: form != Form::Bare,
            frame,
            length: length as u64,
            content: left.unwrap_or(0),
        };
        self.state = State::Content(Body {
            reading: Reading::new(content),
            left,
            head: Some(head),
        });
        Step::Opened(opened)
    }

    /// Reads on in a message's content.
    fn content(&mut self, input: &mut &[u8]) -> Step {
        let State::Content(body) = &mut self.state else {
            return Step::More;
        };
        if let Some(head) = body
            .head
            .take_if(|_| body.reading.is_known() || body.left == Some(0))
        {
            let head = body.reading.answered(head);
            if body.left.is_some() {
                body.reading = Reading::Nothing;
            }
            return Step::Head(head);
        }
        if body.left == Some(0) {
            self.state = State::Idle;
            return Step::Ended(Sizes {
                wire: self.wire,
                body: None,
            });
        }
        let before = input.len();
        let n = body
            .left
            .and_then(|left| usize::try_from(left).ok())
            .map_or(before, |left| left.min(before));
        let mut part = &input[..n];
        let progress = body.reading.bytes(&mut part);
        let used = n - part.len();
        *input = &input[used..];
        self.wire = self.wire.saturating_add(used as u64);
        if let Some(left) = &mut body.left {
            *left -= used as u64;
        }
        match (progress, &mut body.left) {
            (Progress::More, Some(0)) | (Progress::Known, _) => self.content(input),
            (Progress::More, _) => Step::More,
            (Progress::Done, left @ None) => {
                *left = Some(0);
                self.content(input)
            }
            (Progress::Bad, None) => {
                self.hunt(false, Incomplete::Malformed);
                Step::Broken(Incomplete::Malformed)
            }
            // Whatever it is, its length is known.
            (Progress::Done | Progress::Bad, Some(_)) => match body.head.take() {
                Some(head) => {
                    let reading = std::mem::replace(&mut body.reading, Reading::Nothing);
                    Step::Head(reading.answered(head))
                }
                None => {
                    body.reading = Reading::Nothing;
                    self.content(input)
                }
            },
        }
    }

    /// Whether a message begins here, after a hole. Takes what does not.
    fn found(&mut self, input: &mut &[u8]) -> Match {
        let State::Hunting { fresh, reason } = &mut self.state else {
            return Match::No;
        };
        let reason = *reason;
        if std::mem::replace(fresh, false) {
            self.begins.push(self.buffer.len());
        }
        while let Some(&at) = self.begins.first() {
            // What was held before it was the end of something.
            self.buffer.drain(..at);
            self.begins.iter_mut().for_each(|begin| *begin -= at);
            let joined;
            let bytes = match self.buffer.is_empty() {
                true => *input,
                false => {
                    joined = [&self.buffer, *input].concat();
                    &joined[..]
                }
            };
            match message::goes_on(self.form, self.old, self.side, bytes) {
                Match::Yes => {
                    self.begins.clear();
                    return Match::Yes;
                }
                Match::Perhaps => {
                    self.buffer.extend_from_slice(input);
                    *input = &[];
                    return Match::Perhaps;
                }
                Match::No => self.begins.remove(0),
            };
        }
        self.hunt(false, reason);
        *input = &[];
        Match::No
    }

    /// What begins here can't be read: it is passed over if its length is known.
    fn refused(&mut self, input: &[u8], reason: Incomplete) -> Step {
        let held = self.buffer.len() as u64;
        if !self.started && !self.in_stream {
            self.started = true;
            return Step::Started { begun: held };
        }
        let bytes = match held {
            0 => input,
            _ => &self.buffer[..],
        };
        match message::total(bytes).filter(|&total| total >= held) {
            Some(total) => {
                self.buffer = Vec::new();
                self.state = State::Passing(total - held);
            }
            None => self.hunt(false, reason),
        }
        self.cut(reason)
    }

    /// The message can't be followed; a frame of which the stream is not known is none.
    fn cut(&self, reason: Incomplete) -> Step {
        match self.started {
            true => Step::Broken(reason),
            false => Step::Hole(reason),
        }
    }

    /// Bytes of a head are missing. Takes those of this message from `n`, if their end is known.
    fn torn(&mut self, n: &mut u64, lost: bool) -> Step {
        let held = self.buffer.len() as u64;
        if !self.started && !self.in_stream {
            self.started = true;
            return Step::Started { begun: held };
        }
        let large = n.saturating_add(held) > HEAD_LIMIT as u64;
        let reason = match (lost, large) {
            (true, _) => Incomplete::LostEvents,
            (false, true) => Incomplete::HeadTooLarge,
            (false, false) => Incomplete::BytesUnseen,
        };
        match message::total(&self.buffer).filter(|&total| total > held) {
            Some(total) => {
                self.buffer = Vec::new();
                self.state = State::Passing(total - held);
            }
            None => {
                *n = 0;
                self.hunt(lost, reason);
            }
        }
        self.cut(reason)
    }
}
