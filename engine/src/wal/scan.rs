//! Which frames of one log file count: pure, over the bytes of the file.

use std::ops::{Range, RangeInclusive};

use super::frame::{ALIGNMENT, Frame, HEAD_BYTES};
use super::header::Header;
use super::survey::is_zero;
use crate::limits::BLOCK_BYTES;

/// One finding, in the order of sequences.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A frame that counts.
    Frame(Frame<'a>),
    /// Frames that were synced and cannot be read.
    Lost(RangeInclusive<u64>),
}

/// Walks through the frames of one file.
///
/// Unsynced frames reach the disk in any order, so an invalid frame n alone proves nothing. It was
/// synced if a later frame of this file says so, or if the next file began after it; then the walk
/// goes on behind it. Otherwise the file ends before n.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    file_id: u64,
    /// The last sequence that can count here.
    limit: u64,
    /// Whether all up to `limit` are known to have been synced.
    limit_is_durable: bool,
    /// Where the next frame is expected.
    at: usize,
    /// Its sequence.
    next: u64,
    ended: bool,
    /// The highest durable-through of all valid frames behind the first damage.
    proven: Option<u64>,
    /// The highest durable-through of the frames that counted.
    durable: u64,
    /// The frames above `durable`, with the places of their payloads.
    unproven: Vec<(u64, Range<usize>)>,
    /// The last sequence with a payload.
    data: u64,
    /// The same among those up to `durable`.
    durable_data: u64,
}

impl<'a> Scan<'a> {
    /// A walk through `bytes`, a whole file with that header; `next_start` is the `start_after` of
    /// the file that follows.
    pub fn new(bytes: &'a [u8], header: &Header, next_start: Option<u64>) -> Scan<'a> {
        Scan {
            bytes,
            file_id: header.file_id,
            limit: next_start.unwrap_or(u64::MAX),
            limit_is_durable: next_start.is_some(),
            at: BLOCK_BYTES,
            next: header.start_after.saturating_add(1),
            ended: false,
            proven: None,
            durable: header.start_after,
            unproven: Vec::new(),
            data: header.data_through,
            durable_data: header.data_through,
        }
    }

    /// Where the last frame that counted ends.
    pub fn end(&self) -> usize {
        self.at
    }

    /// All frames up to the first sequence are known to have been synced; the second is the last
    /// of them with a payload.
    pub fn durable_through(&self) -> (u64, u64) {
        (self.durable, self.durable_data)
    }

    /// The frames above those, with their payloads: at most one group.
    pub fn unproven(&self) -> impl Iterator<Item = (u64, &'a [u8])> + '_ {
        self.unproven.iter().map(|(sequence, payload)| (*sequence, &self.bytes[payload.clone()]))
    }

    fn frame_at(&self, at: usize) -> Option<Frame<'a>> {
        Frame::parse(self.bytes.get(at..)?, Some(self.file_id))
    }

    /// The expected frame: next to the one before, or at the beginning of the next group.
    fn expected(&self) -> Option<(usize, Frame<'a>)> {
        let places = [self.at, self.at.next_multiple_of(BLOCK_BYTES)];
        places.into_iter().find_map(|at| {
            let frame = self.frame_at(at)?;
            (frame.sequence == self.next).then_some((at, frame))
        })
    }

    /// The valid frames above the expected one, from the place reached on.
    fn later(&self) -> impl Iterator<Item = (usize, Frame<'a>)> + '_ {
        let mut at = self.at;
        std::iter::from_fn(move || {
            while at < self.bytes.len() {
                let here = at;
                match self.frame_at(here) {
                    Some(frame) => {
                        at += frame.bytes();
                        if frame.sequence > self.next && frame.sequence <= self.limit {
                            return Some((here, frame));
                        }
                    }
                    // Most of a file is zeros, in which no frame begins.
                    None if self.is_zero_block(here) => at += BLOCK_BYTES,
                    None => at += ALIGNMENT,
                }
            }
            None
        })
    }

    fn is_zero_block(&self, at: usize) -> bool {
        at.is_multiple_of(BLOCK_BYTES) && self.bytes.get(at..at + BLOCK_BYTES).is_some_and(is_zero)
    }

    fn accept(&mut self, at: usize, frame: Frame<'a>) -> Step<'a> {
        if frame.durable_through > self.durable {
            self.durable = frame.durable_through;
            self.durable_data = self.data;
            self.unproven.clear();
        }
        let payload = at + HEAD_BYTES;
        self.unproven.push((frame.sequence, payload..payload + frame.payload.len()));
        if !frame.payload.is_empty() {
            self.data = frame.sequence;
        }
        self.at = at + frame.bytes();
        self.next = frame.sequence.saturating_add(1);
        Step::Frame(frame)
    }

    /// Where to go on behind an invalid frame, if it was synced.
    fn behind_damage(&mut self) -> Option<(usize, u64)> {
        if self.proven.is_none() {
            self.proven = self.later().map(|(_, frame)| frame.durable_through).max();
        }
        let synced = self.limit_is_durable || self.proven.is_some_and(|proven| proven >= self.next);
        if !synced {
            return None;
        }
        self.later().next().map(|(at, frame)| (at, frame.sequence))
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        if self.ended || self.next > self.limit {
            return None;
        }
        if let Some((at, frame)) = self.expected() {
            return Some(self.accept(at, frame));
        }
        let Some((at, sequence)) = self.behind_damage() else {
            self.ended = true;
            return None;
        };
        let lost = self.next..=sequence - 1;
        self.at = at;
        self.next = sequence;
        Some(Step::Lost(lost))
    }
}
