//! The writer of the log.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::LogOptions;
use super::files::{LogFile, Preparation, Prepared, Shape, Store, write_zeros};
use super::frame::{Frame, group_bytes};
use super::header::Header;
use crate::env::Random;
use crate::error::io_words;
use crate::format::{Encoder, wide};
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, SEQUENCE_MAX};
use crate::{Error, ErrorKind, Result};

/// Prepared files that are kept; what is released beyond them is removed.
const SPARES_MAX: usize = 2;
/// Least zeros written to the next spare with each group, so that no group waits for a whole file.
const PREPARE_BYTES_MIN: u64 = 256 << 10;

/// The writer of the log; [`Log::recover`] opens it.
///
/// Space for the next file is prepared while this one fills, so that changing files does not wait
/// for it. After a failed write or sync every further call that writes answers `ReadOnly`.
pub struct Log {
    pub(super) store: Store,
    random: Arc<dyn Random>,
    options: LogOptions,
    /// The file that is written to; none while the disk has no room for one.
    active: Option<Used>,
    /// Files that hold frames not yet released, oldest first.
    pub(super) live: Vec<Used>,
    pub(super) spares: Vec<LogFile>,
    preparation: Option<Preparation>,
    last: u64,
    /// The last sequence with a payload.
    data: u64,
    released: u64,
    /// Of the last header written.
    number: u64,
    /// Whether the disk says that all frames up to the last with a payload were synced.
    marked: bool,
    broken: Option<Error>,
    buffer: Encoder,
}

/// A log file with frames.
pub(super) struct Used {
    pub file: LogFile,
    pub id: u64,
    /// Bytes written, in whole blocks.
    pub end: u64,
    /// The last sequence in it with a payload; 0 where there is none.
    pub data: u64,
}

impl Used {
    /// The file, to be written anew.
    fn into_spare(self) -> LogFile {
        LogFile { fresh: false, ..self.file }
    }
}

/// Where the log stands when writing begins.
pub(super) struct Standing {
    pub last: u64,
    pub data: u64,
    pub released: u64,
    pub number: u64,
}

/// What a file begins with.
pub(super) struct Start<'a> {
    /// The last sequence before it.
    pub after: u64,
    /// The last of those with a payload.
    pub data: u64,
    /// Frames that are written, under their own sequences, before the header makes them count.
    pub carried: &'a [(u64, Vec<u8>)],
}

impl Log {
    /// A log that has no file to write to yet.
    pub(super) fn new(store: Store, random: Arc<dyn Random>, options: LogOptions, standing: Standing) -> Log {
        let Standing { last, data, released, number } = standing;
        Log {
            store,
            random,
            options,
            active: None,
            live: Vec::new(),
            spares: Vec::new(),
            preparation: None,
            last,
            data,
            released,
            number,
            marked: true,
            broken: None,
            buffer: Encoder::new(),
        }
    }

    /// Writes a group of payloads as consecutive frames, syncs once and returns the sequence of the
    /// first. All are durable when it returns.
    ///
    /// Errors: `InvalidInput` for a group that is empty, has an empty or too long payload or is
    /// longer than a file: nothing was written. `Exhausted` while the disk or the log's budget has
    /// no room: nothing was written, and the same call works once there is room. `Io` when writing
    /// failed: whether the frames are in the log is unknown until it is recovered, and from then
    /// on every call answers `ReadOnly`.
    pub fn append(&mut self, payloads: &[&[u8]]) -> Result<u64> {
        self.check_usable()?;
        self.check_group(payloads)?;
        self.check_sequence(payloads.len())?;
        let bytes = wide(group_bytes(payloads));
        self.make_room(bytes)?;
        let first = self.last + 1;
        self.write_group(payloads)?;
        self.data = self.last;
        if let Some(active) = &mut self.active {
            active.data = self.last;
        }
        self.marked = false;
        self.prepare_later(PREPARE_BYTES_MIN.max(2 * bytes));
        Ok(first)
    }

    /// Records in an empty frame that all frames were synced, unless the log says so already. For
    /// a writer that is idle, and at shutdown. It also prepares the next file.
    ///
    /// A disk without room is no error here: the record is an aid to recovery. Other errors are
    /// those of [`Log::append`].
    pub fn mark_idle(&mut self) -> Result<()> {
        self.check_usable()?;
        if !self.marked {
            self.check_sequence(1)?;
            match self.make_room(wide(BLOCK_BYTES)) {
                Err(error) if error.kind() == ErrorKind::Exhausted => return Ok(()),
                other => other?,
            }
            self.write_group(&[&[]])?;
            self.marked = true;
        }
        self.prepare_later(u64::MAX);
        Ok(())
    }

    /// Takes note that all frames up to and including `through` are in segments that the manifest
    /// names: files that hold nothing newer are kept for further use, or removed.
    pub fn release(&mut self, through: u64) -> Result<()> {
        self.released = self.released.max(through);
        if self.broken.is_some() {
            return Ok(());
        }
        let released = self.released;
        self.spares.extend(self.live.extract_if(.., |used| used.data <= released).map(Used::into_spare));
        self.trim()
    }

    /// Closes the log in order. Where all frames are released, nothing but zeros and a header that
    /// says so remains in it, so that every byte can be verified; otherwise it is as after
    /// [`Log::mark_idle`].
    pub fn close(mut self) -> Result<()> {
        self.check_usable()?;
        if self.data > self.released {
            return self.mark_idle();
        }
        if let Some(preparation) = self.preparation.take() {
            self.store.abandon(preparation)?;
        }
        let (fresh, stale): (Vec<_>, Vec<_>) = self.spares.drain(..).partition(|file| file.fresh);
        for file in stale.iter().chain(fresh.iter().skip(1)) {
            self.store.remove(file)?;
        }
        self.store.sync()?;
        let Some(Used { file, end, .. }) = self.active.take() else { return Ok(()) };
        let zeros_to = if file.fresh { end } else { file.bytes };
        let start = Start { after: self.last, data: self.data, carried: &[] };
        // The new header comes first: under the old one zeros would look like damage.
        self.start(file.clone(), &start)?;
        let zeroed = write_zeros(&file.file, wide(BLOCK_BYTES), zeros_to).and_then(|()| file.file.sync_data());
        zeroed.map_err(|error| failed(&file.path, &error))?;
        self.write_header(&file, self.next_header(&start, true))
    }

    /// The sequence of the last frame; the next one's is one more.
    pub fn last_sequence(&self) -> u64 {
        self.last
    }

    /// The sequence of the last frame with a payload, or the last that segments held.
    pub(super) fn data_sequence(&self) -> u64 {
        self.data
    }

    /// Bytes written to files that hold frames not yet released.
    pub fn bytes(&self) -> u64 {
        let files = self.live.iter().chain(&self.active);
        files.filter(|used| used.data > self.released).map(|used| used.end).sum()
    }

    fn check_usable(&self) -> Result<()> {
        match &self.broken {
            None => Ok(()),
            Some(error) => Err(Error::new(
                ErrorKind::ReadOnly,
                "writing to the log failed",
                format!("an earlier write failed ({error})"),
                "check the disk, then start again",
            )),
        }
    }

    fn check_group(&self, payloads: &[&[u8]]) -> Result<()> {
        let refuse = |why: String| Err(Error::invalid("writing to the log", why, "write smaller batches"));
        if payloads.is_empty() || payloads.iter().any(|payload| payload.is_empty()) {
            return refuse("a frame has no payload".into());
        }
        if let Some(long) = payloads.iter().map(|payload| payload.len()).find(|length| *length > FRAME_BYTES_MAX) {
            return refuse(format!("a frame has {long} bytes where at most {FRAME_BYTES_MAX} may be"));
        }
        let (bytes, room) = (wide(group_bytes(payloads)), self.options.file_bytes - wide(BLOCK_BYTES));
        if bytes > room {
            return refuse(format!("the frames take {bytes} bytes where {room} fit in a file"));
        }
        Ok(())
    }

    /// Refuses frames with sequences that nobody could read again.
    fn check_sequence(&self, frames: usize) -> Result<()> {
        if wide(frames) <= SEQUENCE_MAX.saturating_sub(self.last) {
            return Ok(());
        }
        let why = format!("its sequences have come to {}, near the last of all", self.last);
        Err(Error::new(ErrorKind::Exhausted, "writing to the log failed", why, "begin another archive"))
    }

    /// Makes sure that `bytes` fit in the active file.
    fn make_room(&mut self, bytes: u64) -> Result<()> {
        match &self.active {
            Some(active) if active.end + bytes <= self.options.file_bytes => Ok(()),
            _ => self.rotate(),
        }
    }

    fn rotate(&mut self) -> Result<()> {
        let held = wide(self.live.len()) + u64::from(self.active.as_ref().is_some_and(|it| it.data > self.released));
        let (bytes, max) = ((held + 1) * self.options.file_bytes, self.options.bytes_max);
        if bytes > max {
            return Err(Error::new(
                ErrorKind::Exhausted,
                "writing to the log failed",
                format!("{held} files wait to be flushed and {max} bytes may be used"),
                "wait for the flush; writing resumes by itself",
            ));
        }
        let file = self.next_file().inspect_err(|error| self.latch(error))?;
        let start = Start { after: self.last, data: self.data, carried: &[] };
        let full = self.active.take();
        self.start(file, &start).inspect_err(|error| self.latch(error))?;
        match full {
            Some(full) if full.data > self.released => self.live.push(full),
            Some(full) => self.spares.push(full.into_spare()),
            None => {}
        }
        Ok(())
    }

    /// A file to begin; `Exhausted` while there is no room for one.
    pub(super) fn next_file(&mut self) -> Result<LogFile> {
        if self.spares.is_empty() {
            self.prepare(u64::MAX)?;
        }
        self.spares.pop().ok_or_else(|| {
            Error::new(
                ErrorKind::Exhausted,
                format!("adding a log file in {} failed", self.store.folder().display()),
                format!("the disk has no room for {} bytes", self.options.file_bytes),
                "free some space; writing resumes by itself",
            )
        })
    }

    /// Makes `file` the active one. Its frames count from the moment its header is durable.
    pub(super) fn start(&mut self, file: LogFile, start: &Start<'_>) -> Result<()> {
        self.number += 1;
        let header = self.next_header(start, false);
        let mut used = Used { file, id: header.file_id, end: wide(BLOCK_BYTES), data: 0 };
        self.clean(&mut used.file)?;
        if !start.carried.is_empty() {
            if !used.file.fresh {
                self.write_block(&used.file, 0, &[0; BLOCK_BYTES])?;
            }
            self.buffer.clear();
            for (sequence, payload) in start.carried {
                self.encode(used.id, *sequence, start.after, payload);
                if !payload.is_empty() {
                    used.data = *sequence;
                }
            }
            self.write_buffer(&mut used)?;
            self.marked = false;
        }
        self.write_header(&used.file, header)?;
        self.active = Some(used);
        Ok(())
    }

    /// Gives a file a sound shape, one step after the other.
    fn clean(&self, file: &mut LogFile) -> Result<()> {
        if file.shape.header_damaged {
            self.write_block(file, 0, &[0; BLOCK_BYTES])?;
        }
        if file.shape.frames_torn {
            self.write_block(file, wide(BLOCK_BYTES), &[0; BLOCK_BYTES])?;
        }
        file.shape = Shape::SOUND;
        Ok(())
    }

    fn next_header(&self, start: &Start<'_>, closed: bool) -> Header {
        Header {
            file_id: self.random.next(),
            number: self.number,
            start_after: start.after,
            data_through: start.data,
            file_bytes: self.options.file_bytes,
            closed,
        }
    }

    fn write_header(&self, file: &LogFile, header: Header) -> Result<()> {
        self.write_block(file, 0, &header.encode())
    }

    fn write_block(&self, file: &LogFile, offset: u64, block: &[u8]) -> Result<()> {
        let written = file.file.write_all_at(block, offset).and_then(|()| file.file.sync_data());
        written.map_err(|error| failed(&file.path, &error))
    }

    fn encode(&mut self, file_id: u64, sequence: u64, durable_through: u64, payload: &[u8]) {
        Frame { sequence, file_id, durable_through, payload }.encode(&mut self.buffer);
    }

    /// Writes the frames in the buffer as a group, and syncs.
    fn write_buffer(&mut self, used: &mut Used) -> Result<()> {
        self.buffer.pad(BLOCK_BYTES);
        let written = used.file.file.write_all_at(self.buffer.as_slice(), used.end);
        written.and_then(|()| used.file.file.sync_data()).map_err(|error| failed(&used.file.path, &error))?;
        used.end += wide(self.buffer.len());
        Ok(())
    }

    /// Writes payloads as the next frames to the active file, which has room for them.
    fn write_group(&mut self, payloads: &[&[u8]]) -> Result<()> {
        let mut active = self.active.take().expect("make_room has left an active file");
        self.buffer.clear();
        let mut sequence = self.last;
        for payload in payloads {
            sequence += 1;
            self.encode(active.id, sequence, self.last, payload);
        }
        let written = self.write_buffer(&mut active);
        self.active = Some(active);
        written.inspect_err(|error| self.latch(error))?;
        self.last = sequence;
        Ok(())
    }

    /// Goes on preparing a spare where there is none, if the budget could use one.
    pub(super) fn prepare_spare(&mut self, bytes: u64) -> Result<()> {
        let held = wide(self.live.len()) + u64::from(self.active.is_some());
        if !self.spares.is_empty() || (held + 1) * self.options.file_bytes > self.options.bytes_max {
            return Ok(());
        }
        self.prepare(bytes)
    }

    fn prepare(&mut self, bytes: u64) -> Result<()> {
        let preparation = match self.preparation.take() {
            Some(preparation) => preparation,
            None => match self.store.begin()? {
                Some(preparation) => preparation,
                None => return Ok(()),
            },
        };
        match self.store.prepare(preparation, bytes)? {
            Prepared::Partly(preparation) => self.preparation = Some(preparation),
            Prepared::Done(file) => self.spares.push(file),
            Prepared::NoRoom => {}
        }
        Ok(())
    }

    /// Prepares behind a group that is durable already: an error concerns the next one.
    fn prepare_later(&mut self, bytes: u64) {
        if let Err(error) = self.prepare_spare(bytes) {
            self.latch(&error);
        }
    }

    /// Removes spares beyond those that are kept, and those of another length.
    pub(super) fn trim(&mut self) -> Result<()> {
        if let Some(preparation) = self.preparation.take_if(|_| !self.spares.is_empty()) {
            self.store.abandon(preparation)?;
        }
        let (mut kept, mut removed): (Vec<_>, Vec<_>) = self.spares.drain(..).partition(|file| self.store.fits(file));
        if kept.len() > SPARES_MAX {
            removed.extend(kept.drain(SPARES_MAX..));
        }
        self.spares = kept;
        removed.iter().try_for_each(|file| self.store.remove(file))
    }

    /// Remembers an error after which nothing is known about the disk. Being full is none.
    fn latch(&mut self, error: &Error) {
        if error.kind() != ErrorKind::Exhausted && self.broken.is_none() {
            self.broken = Some(error.clone());
        }
    }
}

/// An error while writing to a file that has its space: even a full disk is a failure then.
fn failed(path: &Path, error: &io::Error) -> Error {
    let why = Error::io("writing", path, error);
    if why.kind() != ErrorKind::Exhausted {
        return why;
    }
    let advice = "use a file system that keeps the space of files once written, then start again";
    Error::new(ErrorKind::Io, format!("writing {} failed", path.display()), io_words(error), advice)
}
