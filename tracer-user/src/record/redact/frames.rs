//! Secrets in header blocks of HTTP/2.
//!
//! Goes from frame to frame, notes where the bytes of a header block lie, and has it redacted once it is
//! whole. What was lost hides what follows, until a transfer begins with a frame again.

use std::ops::Range;

use memchr::memmem;

use super::lines::{MASK, hide_credentials, hide_parameters};
use crate::protocol::http2::frame::{Frame, HEAD, PREFACE, Run, run};
use crate::protocol::http2::hpack::Decoder;
use crate::secrets;

/// In place of what can't be told: no field of HPACK begins so (index 0), so that a block that holds it is damaged
/// and nothing else.
const DAMAGED: u8 = 0x80;

/// In place of what no frame was found in: no frame begins so either.
const NO_FRAME: u8 = 0xff;

/// Longest header block that is gone through, bytes: what the tracker gives up as well.
const LONGEST_BLOCK: usize = 1 << 20;

/// One direction.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
    decoder: Decoder,
    /// Where the payloads of the frame at hand lie, if it is part of a header block.
    payload: Vec<Range<usize>>,
    /// Where the header block at hand lies, without padding.
    block: Vec<Range<usize>>,
    /// Part of the frame or block at hand is missing.
    broken: bool,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Nothing was found yet, or not any more.
    Nowhere,
    /// So many bytes of [`PREFACE`] were read, and no other.
    Preface(usize),
    /// So many bytes of a frame's head were read.
    Head([u8; HEAD], usize),
    /// In a frame's payload: so many bytes are left.
    Payload(Frame, usize),
}

impl Default for Frames {
    fn default() -> Frames {
        Frames {
            place: Place::Nowhere,
            decoder: Decoder::new(true),
            payload: Vec::new(),
            block: Vec::new(),
            broken: false,
        }
    }
}

impl Frames {
    /// Takes the next bytes, which begin a piece of a transfer or follow a hole in it. `known`: the
    /// connection is HTTP/2's, and what is no frame is overwritten.
    pub fn bytes(&mut self, known: bool, place: Range<usize>, held: &mut [u8]) {
        let mut at = place.start;
        if let Some(read) = self.preface(&held[place.clone()]) {
            at += read;
        } else if let Place::Nowhere = self.place {
            if run(&held[place.clone()], |_, _| true) != Run::Frames {
                if known {
                    held[place].fill(NO_FRAME);
                }
                return;
            }
            self.place = Place::Head([0; HEAD], 0);
        }
        while at < place.end {
            match &mut self.place {
                Place::Nowhere | Place::Preface(_) => return,
                Place::Head(head, read) => {
                    let some = (HEAD - *read).min(place.end - at);
                    head[*read..*read + some].copy_from_slice(&held[at..at + some]);
                    *read += some;
                    at += some;
                    if *read == HEAD {
                        let frame = Frame::parse(head);
                        self.place = Place::Payload(frame, frame.length as usize);
                    }
                }
                Place::Payload(frame, left) => {
                    let some = (*left).min(place.end - at);
                    if frame.has_block() && some > 0 {
                        self.payload.push(at..at + some);
                    }
                    *left -= some;
                    at += some;
                }
            }
            if let Place::Payload(frame, 0) = self.place {
                self.place = Place::Head([0; HEAD], 0);
                self.frame(frame, held);
            }
        }
        if self.waiting() > LONGEST_BLOCK {
            self.give_up(held);
        }
    }

    /// Where a head of HTTP/1, or the rest of one, ends that these bytes begin with, before the first frame;
    /// 0: there is none.
    pub fn behind_head(&self, bytes: &[u8]) -> usize {
        let end = memmem::find(bytes, b"\r\n\r\n").map_or(0, |at| at + 4);
        // A frame begins with its length, of which one that makes sense has a byte that is none of a text.
        let is_text = |byte: &u8| *byte >= b' ' || b"\t\r\n".contains(byte);
        let may_be = matches!(self.place, Place::Nowhere) && !bytes.starts_with(PREFACE);
        match may_be && bytes[..end].iter().all(is_text) {
            true => end,
            false => 0,
        }
    }

    /// How many of these bytes begin a connection, or go on with its begin; none: they do not.
    fn preface(&mut self, bytes: &[u8]) -> Option<usize> {
        let read = match self.place {
            Place::Nowhere => 0,
            Place::Preface(read) => read,
            Place::Head(..) | Place::Payload(..) => return None,
        };
        let some = bytes.len().min(PREFACE.len() - read);
        if bytes[..some] != PREFACE[read..read + some] {
            self.place = Place::Nowhere;
            return None;
        }
        self.place = Place::Preface(read + some);
        if read + some == PREFACE.len() {
            // From its first byte on: the table is known to be empty.
            self.decoder = Decoder::new(false);
            self.place = Place::Head([0; HEAD], 0);
        }
        Some(some)
    }

    /// So many bytes are missing; None: it goes on somewhere else.
    pub fn hole(&mut self, length: Option<u64>, held: &mut [u8]) {
        let length = length.and_then(|length| usize::try_from(length).ok());
        match (&mut self.place, length) {
            (Place::Payload(frame, left), Some(length)) if length <= *left => {
                *left -= length;
                let (frame, over) = (*frame, *left == 0);
                self.broken |= frame.has_block();
                if over {
                    self.place = Place::Head([0; HEAD], 0);
                    self.frame(frame, held);
                }
            }
            (Place::Nowhere, _) => {}
            _ => {
                self.give_up(held);
                self.place = Place::Nowhere;
            }
        }
    }

    /// Where the bytes begin that wait for the rest of their header block.
    pub fn waits_from(&self) -> Option<usize> {
        let ranges = self.block.iter().chain(&self.payload);
        ranges.map(|range| range.start).min()
    }

    /// What was held lies so much further at the front.
    pub fn moved(&mut self, by: usize) {
        for range in self.block.iter_mut().chain(&mut self.payload) {
            *range = range.start - by..range.end - by;
        }
    }

    /// Overwrites what waits; its rest will be, too.
    pub fn give_up(&mut self, held: &mut [u8]) {
        if self.waits_from().is_some() {
            self.broken = true;
        }
        for range in self.block.drain(..).chain(self.payload.drain(..)) {
            held[range].fill(DAMAGED);
        }
    }

    fn waiting(&self) -> usize {
        let ranges = self.block.iter().chain(&self.payload);
        ranges.map(|range| range.len()).sum()
    }

    /// A frame is over.
    fn frame(&mut self, frame: Frame, held: &mut [u8]) {
        if !frame.has_block() {
            return;
        }
        let mut before = frame.prefix() as usize;
        let first = self.payload.first().filter(|_| frame.is_padded());
        let mut behind = first.map_or(0, |range| usize::from(held[range.start]));
        let mut payload = std::mem::take(&mut self.payload);
        let length: usize = payload.iter().map(|range| range.len()).sum();
        if self.broken || before + behind > length {
            self.broken = true;
            before = 0;
            behind = 0;
        }
        trim_start(&mut payload, before);
        trim_end(&mut payload, behind);
        self.block.append(&mut payload);
        if frame.ends_block() {
            self.header_block(held);
        }
    }

    /// A header block is over.
    fn header_block(&mut self, held: &mut [u8]) {
        if self.broken {
            self.decoder.lose();
            self.give_up(held);
            self.broken = false;
            return;
        }
        let ranges = std::mem::take(&mut self.block);
        let mut block: Vec<u8> = Vec::new();
        for range in &ranges {
            block.extend_from_slice(&held[range.clone()]);
        }
        if let Err(at) = self.decoder.redact(&mut block, hide) {
            block[at..].fill(DAMAGED);
        }
        let mut rest = &block[..];
        for range in ranges {
            let (part, more) = rest.split_at(range.len());
            held[range].copy_from_slice(part);
            rest = more;
        }
    }
}

/// Hides of a field's value what is secret. One whose name is not known may be.
fn hide(name: Option<&[u8]>, value: &mut [u8]) {
    match name {
        None => value.fill(MASK),
        Some(name) if secrets::is_field(name) => value.fill(MASK),
        Some(b":authority" | b"host") => hide_credentials(value),
        Some(_) => hide_parameters(value),
    }
}

fn trim_start(ranges: &mut [Range<usize>], mut by: usize) {
    for range in ranges {
        let some = by.min(range.len());
        range.start += some;
        by -= some;
    }
}

fn trim_end(ranges: &mut [Range<usize>], mut by: usize) {
    for range in ranges.iter_mut().rev() {
        let some = by.min(range.len());
        range.end -= some;
        by -= some;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A HEADERS frame with `authorization: <secret>` as it is, `x` bytes of padding before the block's end.
    fn headers(flags: u8, before: &[u8], secret: &str, behind: &[u8]) -> Vec<u8> {
        let literal = [b"\x57", &[secret.len() as u8][..], secret.as_bytes()].concat();
        let payload = [before, b"\x82", &literal, behind].concat();
        let mut frame = vec![0, 0, payload.len() as u8, 1, flags, 0, 0, 0, 1];
        frame.extend(payload);
        frame
    }

    fn hidden(known: bool, bytes: &[u8]) -> Vec<u8> {
        let mut whole = bytes.to_vec();
        Frames::default().bytes(known, 0..whole.len(), &mut whole);
        for cut in HEAD..bytes.len() {
            let mut held = bytes.to_vec();
            let mut frames = Frames::default();
            frames.bytes(known, 0..cut, &mut held);
            frames.bytes(known, cut..bytes.len(), &mut held);
            assert_eq!(held, whole, "cut at {cut}");
            assert_eq!(frames.waits_from(), None);
        }
        whole
    }

    #[test]
    fn a_connection_begins_wherever_its_begin_is_cut() {
        let behind = headers(4, b"", "s3cr3t", b"");
        let bytes = [&PREFACE[..], &behind].concat();
        let wanted = [&PREFACE[..], &headers(4, b"", "******", b"")].concat();
        for size in 1..bytes.len() {
            let mut held = bytes.clone();
            let mut frames = Frames::default();
            for at in (0..bytes.len()).step_by(size) {
                let end = bytes.len().min(at + size);
                // Once it is known is the decision of others.
                frames.bytes(at >= PREFACE.len() / 2, at..end, &mut held);
            }
            assert_eq!(held, wanted, "{size} bytes at once");
        }
    }

    #[test]
    fn header_blocks_are_redacted_wherever_they_are_cut() {
        let settings = b"\0\0\0\x04\0\0\0\0\0".to_vec();
        let padded = b"\x02\0\0\0\0\x10";
        let bytes = [
            settings.clone(),
            headers(0x4 | 0x8 | 0x20, padded, "s3cr3t", b"\0\0"),
        ]
        .concat();
        let wanted = [
            settings,
            headers(0x4 | 0x8 | 0x20, padded, "******", b"\0\0"),
        ]
        .concat();
        assert_eq!(hidden(true, &bytes), wanted);
        assert_eq!(hidden(false, &bytes), wanted);
    }

    #[test]
    fn a_block_goes_on_in_other_frames() {
        // It is none that bytes which may be anything are taken for: a frame comes before it.
        let settings = b"\0\0\0\x04\0\0\0\0\0".to_vec();
        let begin = headers(0, b"", "s3cr3t", b"\x04\x0b/?token");
        let rest = b"\0\0\x04\x09\x04\0\0\0\x01=abc";
        let wanted = [
            settings.clone(),
            headers(0, b"", "******", b"\x04\x0b/?token"),
            b"\0\0\x04\x09\x04\0\0\0\x01=***".to_vec(),
        ];
        assert_eq!(
            hidden(true, &[settings, begin, rest.to_vec()].concat()),
            wanted.concat()
        );
    }

    #[test]
    fn what_waits_is_told_and_can_be_given_up() {
        let bytes = headers(4, b"", "s3cr3t", b"");
        let mut held = bytes[..bytes.len() - 2].to_vec();
        let mut frames = Frames::default();
        let end = held.len();
        frames.bytes(true, 0..end, &mut held);
        assert_eq!(frames.waits_from(), Some(HEAD));
        frames.give_up(&mut held);
        assert_eq!(held[HEAD..], [DAMAGED; 7]);
        let mut rest = bytes[end..].to_vec();
        frames.bytes(true, 0..2, &mut rest);
        assert_eq!(rest, [DAMAGED; 2]);
    }

    #[test]
    fn behind_a_hole_nothing_is_kept_until_a_frame_begins() {
        let bytes = headers(4, b"", "s3cr3t", b"");
        let mut frames = Frames::default();
        let mut held = bytes.clone();
        frames.bytes(true, 0..bytes.len(), &mut held);
        frames.hole(Some(100), &mut held);
        let mut cut = bytes[HEAD..].to_vec();
        frames.bytes(true, 0..cut.len(), &mut cut);
        assert!(cut.iter().all(|byte| *byte == NO_FRAME));
        let mut again = bytes.clone();
        frames.bytes(true, 0..bytes.len(), &mut again);
        assert_eq!(again, headers(4, b"", "******", b""));
    }
}
