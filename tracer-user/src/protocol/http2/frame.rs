//! The head of a frame (RFC 9113, section 4.1), and which heads there can be.

/// Bytes of a frame's head.
pub(crate) const HEAD: usize = 9;

/// What a client sends first (section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Longest frame taken for one where nothing proves that a frame begins: 16 KiB is what every
/// endpoint allows and most stay at, 1 MiB the most that servers in use announce.
const PLAUSIBLE_LENGTH: u32 = 1 << 20;

/// What a frame carries (section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// An extension's: to be passed over.
    Other,
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Of its payload.
    pub length: u32,
    pub kind: Kind,
    flags: u8,
    pub stream: u32,
    /// The bit before the stream, to be ignored (section 4.1); nobody sets it.
    reserved: bool,
}

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

impl Frame {
    pub(crate) fn parse(head: &[u8; HEAD]) -> Frame {
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let stream = u32::from_be_bytes(stream);
        Frame {
            length: u32::from_be_bytes([0, a, b, c]),
            kind: match kind {
                0 => Kind::Data,
                1 => Kind::Headers,
                2 => Kind::Priority,
                3 => Kind::Reset,
                4 => Kind::Settings,
                5 => Kind::PushPromise,
                6 => Kind::Ping,
                7 => Kind::GoAway,
                8 => Kind::WindowUpdate,
                9 => Kind::Continuation,
                _ => Kind::Other,
            },
            flags,
            stream: stream & 0x7fff_ffff,
            reserved: stream >> 31 != 0,
        }
    }

    /// Bytes on the wire, head included.
    pub(crate) fn wire(&self) -> u64 {
        HEAD as u64 + u64::from(self.length)
    }

    /// The stream's side ends with it (and, of HEADERS, with its CONTINUATION frames).
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & END_STREAM != 0
    }

    /// It carries the begin, or more, of a header block.
    pub(crate) fn has_block(&self) -> bool {
        matches!(
            self.kind,
            Kind::Headers | Kind::PushPromise | Kind::Continuation
        )
    }

    /// The header block ends with it.
    pub(crate) fn ends_block(&self) -> bool {
        self.has_block() && self.flags & END_HEADERS != 0
    }

    /// Its first byte says how much of its end is padding.
    pub(crate) fn is_padded(&self) -> bool {
        let can = matches!(self.kind, Kind::Data | Kind::Headers | Kind::PushPromise);
        can && self.flags & PADDED != 0
    }

    /// Bytes of its payload before its content that are to be read: padding length, priority,
    /// promised stream, error code, last stream.
    pub(crate) fn prefix(&self) -> u32 {
        let padding = u32::from(self.is_padded());
        match self.kind {
            Kind::Headers if self.flags & PRIORITY != 0 => padding + 5,
            Kind::PushPromise => padding + 4,
            Kind::Data | Kind::Headers => padding,
            Kind::Reset => 4,
            Kind::GoAway => 8,
            _ => 0,
        }
    }

    /// Whether an endpoint would go on after it.
    pub(crate) fn is_valid(&self) -> bool {
        let on_stream = self.stream != 0;
        self.length >= self.prefix()
            && match self.kind {
                Kind::Data | Kind::Headers | Kind::PushPromise | Kind::Continuation => on_stream,
                Kind::Priority => on_stream,
                Kind::Reset => on_stream && self.length == 4,
                Kind::Settings if self.flags & ACK != 0 => !on_stream && self.length == 0,
                Kind::Settings => !on_stream && self.length.is_multiple_of(6),
                Kind::Ping => !on_stream && self.length == 8,
                Kind::GoAway => !on_stream,
                Kind::WindowUpdate => self.length == 4,
                Kind::Other => true,
            }
    }

    /// Whether bytes that may be anything are likely to be such a head: one that begins a message, or
    /// goes on between two. A header block that goes on in other frames is not: few are that long, and
    /// a stream's number of which bytes are missing looks like one.
    fn is_plausible(&self) -> bool {
        let flags = match self.kind {
            Kind::Data => END_STREAM | PADDED,
            Kind::Headers => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            Kind::Settings | Kind::Ping => ACK,
            Kind::Priority | Kind::Reset | Kind::GoAway | Kind::WindowUpdate => 0,
            Kind::PushPromise | Kind::Continuation | Kind::Other => return false,
        };
        let empty = match self.kind {
            Kind::Data => !self.ends_stream(),
            Kind::Headers => true,
            _ => false,
        };
        self.is_valid()
            && self.flags & !flags == 0
            && !self.reserved
            && self.length <= PLAUSIBLE_LENGTH
            && (self.stream == 0 || self.stream % 2 == 1)
            && (self.kind != Kind::Headers || self.ends_block())
            && !(empty && self.length == 0)
            && (self.kind != Kind::Priority || self.length == 5)
    }
}

/// What bytes of unknown meaning may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// Fewer than a frame's head has.
    Short,
    /// Frames, as far as they go.
    Frames,
    No,
}

/// Whether the bytes are a sequence of frames that begins a message, or goes on between two. Each
/// frame is shown, with what is there of its payload, until `each` says that it is enough.
pub(crate) fn run<'a>(mut bytes: &'a [u8], mut each: impl FnMut(Frame, &'a [u8]) -> bool) -> Run {
    let mut run = Run::Short;
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
        let frame = Frame::parse(head);
        let (payload, after) = rest.split_at(rest.len().min(frame.length as usize));
        if !frame.is_plausible() || frame.kind == Kind::WindowUpdate && !is_increment(payload) {
            return Run::No;
        }
        run = Run::Frames;
        if each(frame, payload) {
            return run;
        }
        bytes = after;
    }
    run
}

/// A window grows by 1 at least and 2^31 - 1 at most (section 6.9).
fn is_increment(payload: &[u8]) -> bool {
    match payload.first_chunk() {
        Some(bytes) => (1..1 << 31).contains(&u32::from_be_bytes(*bytes)),
        None => true,
    }
}
