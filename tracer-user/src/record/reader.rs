//! A file back to inputs, up to where it is whole.
//!
//! Memory is that of a block, [`LONGEST_BLOCK`] at most, whatever the file says.

use std::io::{self, BufRead, BufReader, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::{BLOCK, FORMAT, Header, Input, LONGEST_BLOCK, MAGIC};
use crate::event::Event;

/// Longest first line: a few fields, and what the probes are called.
const LONGEST_HEADER: u64 = 4096;

/// Room for a block and what is before it, in most cases: with less, the decoder would ask a pipe for more
/// while it still holds what it was given.
const ROOM: usize = 4 * BLOCK;

/// Longest of what a process is called: a variable of its environment has 128 KiB at most (Linux,
/// `MAX_ARG_STRLEN`), all else some KB.
const LONGEST_RESOURCE: usize = 256 << 10;

/// Why a file cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not begin as one.
    #[error("neither a recording of tracer's nor a pcap or pcapng capture")]
    NotARecording,
    /// Of another version.
    #[error(
        "a recording of format {0}, and this tracer reads {FORMAT}: replay it with the version that wrote it"
    )]
    Format(u64),
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With its run.
    Whole,
    /// Before its run: it was cut, or its writer was.
    Cut,
    /// What follows is not what was written.
    Damaged,
}

/// Reads a recording.
pub struct Reader<R> {
    from: BufReader<DeflateDecoder<R>>,
    header: Header,
    block: Vec<u8>,
    /// How far the block was read.
    at: usize,
    /// Nothing follows the block, since that happened.
    end: Option<End>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// It is none, or of another format.
    pub fn new(mut from: R) -> Result<Reader<R>, Error> {
        let mut line = Vec::new();
        (&mut from)
            .take(LONGEST_HEADER)
            .read_until(b'\n', &mut line)?;
        let json = line
            .strip_prefix(MAGIC.as_bytes())
            .ok_or(Error::NotARecording)?;
        let version: serde_json::Value =
            serde_json::from_slice(json).map_err(|_| Error::NotARecording)?;
        match version["format"].as_u64() {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(other) => return Err(Error::Format(other)),
            None => return Err(Error::NotARecording),
        }
        let header = serde_json::from_value(version).map_err(|_| Error::NotARecording)?;
        Ok(Reader {
            from: BufReader::with_capacity(ROOM, DeflateDecoder::new(from)),
            header,
            block: Vec::new(),
            at: 0,
            end: None,
        })
    }

    /// Its first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next input; or how the recording ends.
    ///
    /// # Errors
    /// [`End`], which is not always an error.
    pub fn input(&mut self) -> Result<Input<'_>, End> {
        if self.at == self.block.len() {
            if self.end.is_none() {
                self.end = self.fill().err();
            }
            if let Some(end) = self.end {
                return Err(end);
            }
        }
        let rest = &self.block[self.at..];
        match postcard::take_from_bytes::<Input<'_>>(rest) {
            Ok((input, behind)) if is_sound(&input, rest.len() - behind.len()) => {
                self.at += rest.len() - behind.len();
                if matches!(input, Input::Stopped(_)) {
                    self.end = Some(End::Whole);
                    self.at = self.block.len();
                }
                Ok(input)
            }
            _ => Err(End::Damaged),
        }
    }

    /// Reads the next block. One that is not all there is none: what was cut can't be told from what was
    /// damaged.
    fn fill(&mut self) -> Result<(), End> {
        self.block.clear();
        self.at = 0;
        let mut head = [0; 8];
        read_whole(&mut self.from, &mut head)?;
        let [a, b, c, d, crc @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length == 0 || length > LONGEST_BLOCK {
            return Err(End::Damaged);
        }
        self.block.resize(length, 0);
        let mut sum = Crc::new();
        let read = read_whole(&mut self.from, &mut self.block);
        sum.update(&self.block);
        let read = match sum.sum() == u32::from_le_bytes(crc) {
            true => read,
            false => read.and(Err(End::Damaged)),
        };
        read.inspect_err(|_| self.block.clear())
    }
}

/// Fills the bytes.
fn read_whole(from: &mut impl Read, into: &mut [u8]) -> Result<(), End> {
    let mut read = 0;
    while read < into.len() {
        match from.read(&mut into[read..]) {
            Ok(0) => return Err(End::Cut),
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(End::Cut),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(End::Damaged),
        }
    }
    Ok(())
}

/// What [`crate::event::decode`] promises of its events, and [`LONGEST_RESOURCE`]. `length`: of the input.
fn is_sound(input: &Input<'_>, length: usize) -> bool {
    match input {
        Input::Process(_) => length <= LONGEST_RESOURCE,
        Input::Event(Event::Transfer(transfer)) => {
            transfer.head.len() + transfer.tail.len() <= transfer.length as usize
        }
        _ => true,
    }
}
