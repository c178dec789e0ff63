//! One side of a connection, as a sequence of frames (RFC 9113, sections 4 and 6).
//!
//! Nothing of a payload is kept but the begin of a field that a header block breaks off in. A frame's
//! length is known, so bytes not seen inside it are no obstacle; those that hide a frame's head are a
//! [`Step::Hole`], after which frames are looked for where transfers begin.

use super::frame::{self, Frame, HEAD, Kind, PREFACE, Run};
use super::head::{Block, Draft};
use super::hpack::Decoder;
use crate::protocol::{Incomplete, Side};

/// Longest field, as sent, that is read. What exceeds that makes its head too large (see
/// [`super::HEAD_LIMIT`]); it is passed over, and with it the knowledge of the dynamic table.
const FIELD_LIMIT: usize = 64 * 1024;

/// How far ahead of the streams seen one can be beyond those that the bytes between have room for:
/// clients may pass over numbers, and answers come in any order.
const STREAMS_AHEAD: u64 = 1 << 16;

/// What was found.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// The input is used up.
    More,
    /// The head of a HEADERS, CONTINUATION or DATA frame, and its first byte's position.
    Frame(Frame, u64),
    /// So much of the DATA frame's payload is padding; None: not known.
    Padding(u32, Option<u32>),
    /// Content of a stream's DATA.
    Data(u32, &'a [u8]),
    /// The same, not seen.
    DataPassed(u32, u64),
    /// A header block has ended.
    Head {
        stream: u32,
        block: Result<Block, Incomplete>,
        /// With it, the stream's side.
        ends_stream: bool,
    },
    /// The stream's side ended with DATA.
    EndStream(u32),
    /// The same, but the byte that ended it was lost, and its time with it.
    CutStream(u32, Incomplete),
    /// RST_STREAM, with its error code if that was seen.
    Reset(u32, Option<u32>),
    /// GOAWAY, and the last stream that will be answered.
    GoAway(u32),
    /// Frames may have passed that were not seen.
    Hole(Incomplete),
    /// After a hole: here is a frame again.
    Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the client's preface.
    Preface,
    /// In a frame's head.
    Head,
    /// In what comes before a frame's content.
    Prefix,
    Content,
    Padding,
    /// At a frame's end.
    End,
    /// After a hole. `fresh`: the next byte begins a transfer, unless [`Reader::have`] says that some
    /// of them are in [`Reader::head`].
    Hunting {
        fresh: bool,
    },
    /// What comes is not looked at.
    Deaf,
}

/// A header block under way.
#[derive(Debug)]
struct Open {
    stream: u32,
    ends_stream: bool,
    /// A pushed request's: nothing is made of it.
    promised: bool,
    draft: Result<Draft, Incomplete>,
}

/// One side of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    /// Bytes used up.
    position: u64,
    /// The frame's head, and its prefix; `have` bytes of the one under way are there.
    head: [u8; HEAD],
    prefix: [u8; 8],
    have: usize,
    /// The frame under way, and where it begins.
    frame: Frame,
    at: u64,
    /// The highest stream so far, and where; None: streams went by before.
    highest: Option<(u32, u64)>,
    /// Bytes of content to come, and of padding.
    content: u32,
    padding: u32,
    block: Option<Open>,
    /// The begin of the block's next field.
    rest: Vec<u8>,
    hpack: Decoder,
}

impl Reader {
    /// `midway`: the first byte may be any.
    pub(super) fn new(side: Side, midway: bool) -> Reader {
        Reader {
            state: match (midway, side) {
                (true, _) => State::Hunting { fresh: true },
                (false, Side::Request) => State::Preface,
                (false, Side::Response) => State::Head,
            },
            position: 0,
            head: [0; HEAD],
            prefix: [0; 8],
            have: 0,
            frame: Frame::parse(&[0; HEAD]),
            at: 0,
            highest: (!midway).then_some((0, 0)),
            content: 0,
            padding: 0,
            block: None,
            rest: Vec::new(),
            hpack: Decoder::new(midway),
        }
    }

    /// So many bytes went before.
    pub(super) fn begin_at(&mut self, position: u64) {
        self.position = position;
    }

    /// Reads on, taking what it used from `input`; to be called until it says [`Step::More`].
    pub(super) fn bytes<'a>(&mut self, input: &mut &'a [u8]) -> Step<'a> {
        loop {
            let step = match self.state {
                State::Head if self.have == HEAD => self.begin_frame(),
                State::End => self.end_frame(),
                _ => None,
            };
            if let Some(step) = step {
                return step;
            }
            if self.state == State::End {
                continue;
            }
            if input.is_empty() {
                return Step::More;
            }
            match self.state {
                State::Preface => {
                    let expected = &PREFACE[self.have..];
                    let n = expected.len().min(input.len());
                    if input[..n] != expected[..n] {
                        return self.hole(Incomplete::Malformed, false);
                    }
                    self.take(input, n);
                    self.have += n;
                    if self.have == PREFACE.len() {
                        self.expect_frame();
                    }
                }
                State::Head => {
                    if self.have == 0 {
                        self.at = self.position;
                    }
                    self.gather(input);
                }
                State::Prefix => {
                    let wanted = self.frame.prefix() as usize;
                    let n = (wanted - self.have).min(input.len());
                    let bytes = self.take(input, n);
                    self.prefix[self.have..self.have + n].copy_from_slice(bytes);
                    self.have += n;
                    if self.have == wanted
                        && let Some(step) = self.end_prefix()
                    {
                        return step;
                    }
                }
                State::Content => {
                    let n = input.len().min(self.content as usize);
                    let bytes = self.take(input, n);
                    self.content -= n as u32;
                    if self.content == 0 {
                        self.state = State::Padding;
                        self.skip_nothing();
                    }
                    if self.frame.kind == Kind::Data {
                        return Step::Data(self.frame.stream, bytes);
                    }
                    self.fragment(bytes);
                }
                State::Padding => {
                    let n = input.len().min(self.padding as usize);
                    self.take(input, n);
                    self.padding -= n as u32;
                    self.skip_nothing();
                }
                State::Hunting { fresh } => {
                    if let Some(step) = self.hunt_on(fresh, input) {
                        return step;
                    }
                }
                State::Deaf => {
                    self.take(input, input.len());
                }
                State::End => {}
            }
        }
    }

    /// Passes over `n` bytes that were not captured or, `lost`, whose event was. What it says is to be
    /// followed by [`Reader::bytes`], which may have more to say.
    pub(super) fn gap(&mut self, n: u64, lost: bool) -> Step<'static> {
        let reason = Incomplete::of_gap(lost);
        self.position = self.position.saturating_add(n);
        match self.state {
            State::Prefix | State::Content | State::Padding if n <= u64::from(self.left()) => {
                self.pass(n as u32, lost, reason)
            }
            State::Hunting { .. } => {
                self.state = State::Hunting { fresh: lost };
                self.have = 0;
                Step::More
            }
            State::Deaf => Step::More,
            _ => self.hole(reason, lost),
        }
    }

    /// The transfer ends here.
    pub(super) fn end_of_transfer(&mut self) {
        if let State::Hunting { fresh } = &mut self.state
            && self.have == 0
        {
            *fresh = true;
        }
    }

    /// Reads no more.
    pub(super) fn deafen(&mut self) {
        self.state = State::Deaf;
        self.block = None;
        self.rest = Vec::new();
    }

    /// Bytes held by the dynamic table.
    pub(super) fn table_memory(&self) -> usize {
        self.hpack.memory()
    }

    /// Bytes held apart from that.
    pub(super) fn memory(&self) -> usize {
        let draft = self.block.as_ref().map(|open| open.draft.as_ref());
        let draft = draft.and_then(Result::ok).map_or(0, Draft::memory);
        self.rest.capacity() + draft
    }

    fn take<'a>(&mut self, input: &mut &'a [u8], n: usize) -> &'a [u8] {
        let (taken, rest) = input.split_at(n);
        *input = rest;
        self.position = self.position.saturating_add(n as u64);
        taken
    }

    /// Fills up the frame's head.
    fn gather(&mut self, input: &mut &[u8]) {
        let n = input.len().min(HEAD - self.have);
        let bytes = self.take(input, n);
        self.head[self.have..self.have + n].copy_from_slice(bytes);
        self.have += n;
    }

    fn expect_frame(&mut self) {
        self.state = State::Head;
        self.have = 0;
    }

    /// Goes on where nothing is left of the part of the frame that is due.
    fn skip_nothing(&mut self) {
        if self.state == State::Content && self.content == 0 {
            self.state = State::Padding;
        }
        if self.state == State::Padding && self.padding == 0 {
            self.state = State::End;
        }
    }

    fn begin_frame<'a>(&mut self) -> Option<Step<'a>> {
        let frame = Frame::parse(&self.head);
        let in_place = match &self.block {
            Some(open) => frame.kind == Kind::Continuation && frame.stream == open.stream,
            None => frame.kind != Kind::Continuation,
        };
        if !frame.is_valid() || !in_place {
            return Some(self.hole(Incomplete::Malformed, false));
        }
        if let Some(highest) = &mut self.highest
            && frame.stream > highest.0
        {
            *highest = (frame.stream, self.at);
        }
        self.frame = frame;
        self.have = 0;
        self.content = frame.length - frame.prefix();
        self.padding = 0;
        self.state = State::Prefix;
        if frame.prefix() == 0 {
            self.state = State::Content;
            self.skip_nothing();
        }
        let promised = match frame.kind {
            Kind::Data => false,
            Kind::Headers | Kind::PushPromise => {
                let promised = frame.kind == Kind::PushPromise;
                self.hpack.begin();
                self.block = Some(Open {
                    stream: frame.stream,
                    ends_stream: frame.ends_stream(),
                    promised,
                    draft: Ok(Draft::new()),
                });
                promised
            }
            Kind::Continuation => self.block.as_ref().is_some_and(|open| open.promised),
            _ => return None,
        };
        (!promised).then_some(Step::Frame(frame, self.at))
    }

    fn end_prefix<'a>(&mut self) -> Option<Step<'a>> {
        let stream = self.frame.stream;
        let mut step = None;
        if self.frame.is_padded() {
            let padding = u32::from(self.prefix[0]);
            let Some(content) = self.content.checked_sub(padding) else {
                return Some(self.hole(Incomplete::Malformed, false));
            };
            self.content = content;
            self.padding = padding;
            if self.frame.kind == Kind::Data {
                step = Some(Step::Padding(stream, Some(1 + padding)));
            }
        }
        let [a, b, c, d, ..] = self.prefix;
        let number = u32::from_be_bytes([a, b, c, d]);
        match self.frame.kind {
            Kind::Reset => step = Some(Step::Reset(stream, Some(number))),
            Kind::GoAway => step = Some(Step::GoAway(number & 0x7fff_ffff)),
            _ => {}
        }
        self.state = State::Content;
        self.skip_nothing();
        step
    }

    fn end_frame<'a>(&mut self) -> Option<Step<'a>> {
        self.expect_frame();
        if self.frame.kind == Kind::Data && self.frame.ends_stream() {
            return Some(Step::EndStream(self.frame.stream));
        }
        if !self.frame.ends_block() {
            return None;
        }
        let open = self.block.take()?;
        let mut block = open.draft;
        if !self.rest.is_empty() {
            // It breaks off within a field.
            self.lose_block();
            block = Err(Incomplete::Malformed);
        }
        let step = Step::Head {
            stream: open.stream,
            block: block.and_then(Draft::finish),
            ends_stream: open.ends_stream,
        };
        (!open.promised).then_some(step)
    }

    /// More of the header block.
    fn fragment(&mut self, bytes: &[u8]) {
        let Some(Open {
            draft: Ok(draft), ..
        }) = &mut self.block
        else {
            return;
        };
        let outcome = if self.rest.is_empty() {
            let mut input = bytes;
            let outcome = draft.read(&mut self.hpack, &mut input);
            self.rest.extend_from_slice(input);
            outcome
        } else {
            self.rest.extend_from_slice(bytes);
            let mut input = &self.rest[..];
            let outcome = draft.read(&mut self.hpack, &mut input);
            let used = self.rest.len() - input.len();
            self.rest.drain(..used);
            outcome
        };
        if let Err(reason) = outcome {
            self.break_block(reason);
        } else if self.rest.len() > FIELD_LIMIT {
            self.break_block(Incomplete::HeadTooLarge);
        }
    }

    /// What is to come of the block can't be read.
    fn break_block(&mut self, reason: Incomplete) {
        if let Some(open) = &mut self.block {
            open.draft = Err(reason);
        }
        self.lose_block();
    }

    fn lose_block(&mut self) {
        self.rest = Vec::new();
        self.hpack.lose();
    }

    /// Bytes of the frame that are to come.
    fn left(&self) -> u32 {
        let prefix = match self.state {
            State::Prefix => self.frame.prefix() - self.have as u32,
            _ => 0,
        };
        prefix + self.content + self.padding
    }

    /// Passes over bytes of the frame.
    fn pass<'a>(&mut self, n: u32, lost: bool, reason: Incomplete) -> Step<'a> {
        let (stream, left) = (self.frame.stream, self.left());
        let in_prefix = self.state == State::Prefix;
        if in_prefix {
            // What the prefix was to tell is not known: what is left is content.
            self.content = left;
            self.padding = 0;
        }
        let content = n.min(self.content);
        self.content -= content;
        self.padding -= n - content;
        self.state = State::Content;
        self.skip_nothing();
        if lost && n == left && self.frame.kind == Kind::Data && self.frame.ends_stream() {
            self.expect_frame();
            return Step::CutStream(stream, reason);
        }
        if self.frame.has_block() && content > 0 {
            self.break_block(reason);
        }
        match self.frame.kind {
            Kind::Data if in_prefix => Step::Padding(stream, None),
            Kind::Data if content > 0 => Step::DataPassed(stream, u64::from(content)),
            Kind::Reset if in_prefix => Step::Reset(stream, None),
            _ => Step::More,
        }
    }

    fn hole<'a>(&mut self, reason: Incomplete, fresh: bool) -> Step<'a> {
        self.block = None;
        self.lose_block();
        self.state = State::Hunting { fresh };
        self.have = 0;
        Step::Hole(reason)
    }

    /// The highest stream that can be under way here: a client opens each with a frame of its own.
    fn most_streams(&self) -> u64 {
        let Some((stream, at)) = self.highest else {
            return u64::MAX;
        };
        let frames = self.position.saturating_sub(at) / HEAD as u64;
        u64::from(stream) + 2 * frames + STREAMS_AHEAD
    }

    fn hunt_on<'a>(&mut self, fresh: bool, input: &mut &[u8]) -> Option<Step<'a>> {
        if !fresh {
            self.take(input, input.len());
            return None;
        }
        if self.have == 0 && input.starts_with(PREFACE) {
            self.state = State::Preface;
            return Some(Step::Found);
        }
        let most = self.most_streams();
        let mut can_be = true;
        let mut each = |frame: Frame, _: &[u8]| {
            can_be &= u64::from(frame.stream) <= most;
            !can_be
        };
        let frames = if self.have == 0 && input.len() >= HEAD {
            frame::run(input, &mut each)
        } else {
            if self.have == 0 {
                self.at = self.position;
            }
            self.gather(input);
            frame::run(&self.head[..self.have], &mut each)
        };
        match frames {
            Run::Short => None,
            Run::Frames if can_be => {
                self.state = State::Head;
                Some(Step::Found)
            }
            Run::Frames | Run::No => {
                self.state = State::Hunting { fresh: false };
                self.have = 0;
                None
            }
        }
    }
}
