//! The file, and the thread that writes it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use super::redact::Redactor;
use super::tap::{self, Block};
use super::{FORMAT, Header, MAGIC, Tap};
use crate::files;
use crate::span::Seed;

/// What becomes of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Overwritten before they reach the file.
    Redacted,
    /// Kept, as the user asked.
    Kept,
}

/// A file that is to hold a recording: open since the start, so that a path that cannot be written
/// shows before anything is attached.
pub struct Recording {
    file: File,
    path: PathBuf,
    secrets: Secrets,
    /// It had a name when it was opened: without one, it was removed.
    named: bool,
}

impl Recording {
    /// Creates the file, or empties the one that is there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path, secrets: Secrets) -> io::Result<Recording> {
        let file = files::create(path, true)?;
        Ok(Recording {
            named: !files::is_nameless(&file),
            file,
            path: path.to_owned(),
            secrets,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins it. `probes`: which of them see what is recorded.
    ///
    /// # Errors
    /// The file cannot be written, or there is no thread to be had.
    pub fn start(mut self, probes: &str, boot_to_unix: i64, seed: Seed) -> io::Result<Tap> {
        let header = Header {
            format: FORMAT,
            tracer: env!("CARGO_PKG_VERSION").to_owned(),
            probes: probes.to_owned(),
            secrets: self.secrets == Secrets::Kept,
            boot_to_unix,
            seed,
        };
        let json = serde_json::to_string(&header)?;
        self.file
            .write_all(format!("{MAGIC} {json}\n").as_bytes())?;
        let (full, blocks) = sync_channel(tap::WAITING);
        let (empties, empty) = channel();
        let (alive, ended) = channel::<()>();
        let unwritten = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&unwritten);
        std::thread::Builder::new()
            .name("tracer-record".to_owned())
            .spawn(move || {
                let path = self.path.clone();
                if let Err((error, events)) = self.write(&blocks, &empties) {
                    log::error!(
                        "--record {}: {error}: the recording ends here, tracing goes on",
                        path.display()
                    );
                    let rest = blocks.iter().map(|block| block.events);
                    for events in std::iter::once(events).chain(rest) {
                        counted.fetch_add(events, Ordering::Relaxed);
                    }
                }
                drop(alive);
            })?;
        Ok(Tap::new(full, empty, ended, unwritten))
    }

    /// Writes block by block until the tap is gone, or the file takes no more: then it gives the events of
    /// the block that was not written, too.
    fn write(
        self,
        blocks: &Receiver<Block>,
        empties: &Sender<Vec<u8>>,
    ) -> Result<(), (io::Error, u64)> {
        let mut redactor = (self.secrets == Secrets::Redacted).then(Redactor::default);
        let mut out = DeflateEncoder::new(self.file, Compression::fast());
        while let Ok(Block { mut bytes, events }) = blocks.recv() {
            let failed = |error| (error, events);
            if self.named && files::is_nameless(out.get_ref()) {
                return Err(failed(io::Error::other("the file was removed")));
            }
            if let Some(redactor) = &mut redactor {
                bytes = redactor.block(bytes);
            }
            write_block(&mut out, &bytes).map_err(failed)?;
            bytes.clear();
            // The tap is gone at the end.
            _ = empties.send(bytes);
        }
        let rest = redactor.map(|mut redactor| redactor.rest());
        let written = write_block(&mut out, &rest.unwrap_or_default());
        written
            .and_then(|()| out.finish())
            .map_err(|error| (error, 0))?;
        Ok(())
    }
}

/// Writes what was put together at once, as blocks that a reader takes; all of it is in the file then,
/// however that ends.
fn write_block(out: &mut DeflateEncoder<File>, block: &[u8]) -> io::Result<()> {
    if block.is_empty() {
        return Ok(());
    }
    let mut crc = Crc::new();
    crc.update(block);
    out.write_all(&(block.len() as u32).to_le_bytes())?;
    out.write_all(&crc.sum().to_le_bytes())?;
    out.write_all(block)?;
    out.flush()
}
