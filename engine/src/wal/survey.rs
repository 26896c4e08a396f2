//! Which files the log has, and what each of them is.

use std::path::PathBuf;

use super::files::{LogFile, Shape, Store};
use super::frame::Frame;
use super::header::{Header, NoHeader};
use super::log::{Log, Used};
use crate::format::wide;
use crate::limits::BLOCK_BYTES;
use crate::{Error, ErrorKind, Result};

/// A file whose frames may count.
pub(super) struct Candidate {
    pub file: LogFile,
    pub header: Header,
    /// Whether the header is guessed from the frames, because it cannot be read.
    pub salvaged: bool,
    /// Where the frames that count end.
    pub end: u64,
    /// The last sequence with a payload that was taken from this file.
    pub data: u64,
    pub quarantined: bool,
    /// What was found damaged in it: where, and what.
    pub damages: Vec<(u64, String)>,
}

impl Candidate {
    fn new(file: LogFile, header: Header, salvaged: bool) -> Candidate {
        let end = wide(BLOCK_BYTES);
        Candidate { file, header, salvaged, end, data: 0, quarantined: false, damages: Vec::new() }
    }

    /// Gives the file to the log: as one that holds frames above `after`, or to be used again.
    pub fn hand_to(self, log: &mut Log, after: u64) {
        let Candidate { file, header, end, data, .. } = self;
        if data > after {
            log.live.push(Used { file, id: header.file_id, end, data });
        } else {
            log.spares.push(file);
        }
    }
}

/// The files of the log by what their headers say.
pub(super) struct Survey {
    /// In the order of the log.
    pub candidates: Vec<Candidate>,
    /// Files that hold nothing.
    pub free: Vec<LogFile>,
    /// Copies of damaged files.
    pub quarantined: Vec<PathBuf>,
    /// Files that are damaged as a whole.
    pub damaged: Vec<PathBuf>,
}

impl Survey {
    /// Looks at all files; `after` is the last sequence that segments hold.
    pub fn of(store: &mut Store, after: u64) -> Result<Survey> {
        let mut survey =
            Survey { candidates: Vec::new(), free: Vec::new(), quarantined: Vec::new(), damaged: Vec::new() };
        for file in store.files()? {
            survey.add(store, file, after)?;
        }
        survey.candidates.sort_by_key(|it| (it.header.start_after, it.header.number));
        Ok(survey)
    }

    fn add(&mut self, store: &Store, mut file: LogFile, after: u64) -> Result<()> {
        let block = store.read(&file, wide(BLOCK_BYTES))?;
        match Header::parse(&block.bytes) {
            Ok(header) if header.file_bytes <= store.read_bytes_max() => {
                self.candidates.push(Candidate::new(file, header, false));
                return Ok(());
            }
            Ok(header) => return Err(foreign(&file, format!("it has files of {} bytes", header.file_bytes))),
            Err(NoHeader::Version(version)) => return Err(foreign(&file, format!("it has version {version}"))),
            Err(NoHeader::Unused | NoHeader::Damaged(_)) => {}
        }
        let contents = store.read(&file, store.read_bytes_max())?;
        file.shape = shape_of(&contents.bytes);
        file.unreadable = contents.unreadable;
        if let Some(header) = salvage(&contents.bytes, after) {
            self.candidates.push(Candidate::new(file, header, true));
            return Ok(());
        }
        let fits = store.fits(&file);
        // Both at once is what no power cut leaves.
        let damaged = file.shape.header_damaged && file.shape.frames_torn;
        if damaged || !fits {
            self.quarantined.push(store.quarantine(&file)?);
        }
        if damaged || file.unreadable {
            self.damaged.push(file.path.clone());
        }
        if fits {
            file.fresh = is_zero(&contents.bytes);
            self.free.push(file);
        }
        Ok(())
    }
}

/// The shape of a file that has no header.
fn shape_of(bytes: &[u8]) -> Shape {
    let (header, frames) = bytes.split_at(bytes.len().min(BLOCK_BYTES));
    Shape { header_damaged: !is_zero(header), frames_torn: !begin_soundly(frames) }
}

/// Whether what follows a header begins with a valid frame or a block of zeros.
pub(super) fn begin_soundly(frames: &[u8]) -> bool {
    frames.get(..BLOCK_BYTES).is_some_and(is_zero) || Frame::parse(frames, None).is_some()
}

/// The header of a file as its frames tell it, if any of them is above `after`. Frames of several
/// ids are from earlier uses of the file; the highest sequence is of the last one.
///
/// Where the file does not begin with a frame of that id, its frames have to prove themselves:
/// what a power cut left behind a torn frame was never accepted.
fn salvage(bytes: &[u8], after: u64) -> Option<Header> {
    let newest = frames_of(bytes).max_by_key(|frame| frame.sequence)?;
    let first = frames_of(bytes).find(|frame| frame.file_id == newest.file_id)?;
    let proven = newest.durable_through >= first.sequence;
    let whole = bytes.get(BLOCK_BYTES..).and_then(|bytes| Frame::parse(bytes, Some(newest.file_id))).is_some();
    if newest.sequence <= after || !(proven || whole) {
        return None;
    }
    let start_after = first.sequence - 1;
    Some(Header {
        file_id: newest.file_id,
        number: u64::MAX,
        start_after,
        data_through: start_after,
        file_bytes: wide(bytes.len()),
        closed: false,
    })
}

/// The valid frames of any id: at the beginning of each block, and where another one ends. What
/// looks like a frame inside the payload of a valid one is passed over.
fn frames_of(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut at = BLOCK_BYTES;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            if let Some(frame) = Frame::parse(&bytes[at..], None) {
                at += frame.bytes();
                return Some(frame);
            }
            at = (at + 1).next_multiple_of(BLOCK_BYTES);
        }
        None
    })
}

/// Whether all bytes are zero: every start asks this of megabytes, and goes through them as fast as
/// memory allows.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(BLOCK_BYTES).all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
}

fn foreign(file: &LogFile, why: String) -> Error {
    let what = format!("opening {} failed", file.path.display());
    Error::new(ErrorKind::Unusable, what, why, "open the archive with the version that wrote it")
}
