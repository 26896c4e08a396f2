//! What a name leads to: a file's bytes or a directory's entries, as they are and as they are durable.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::content::{Content, SECTOR, sectors};
use crate::random::Dice;
use crate::ranges::RangeSet;

/// A file or a directory, for as long as the disk lives.
pub(crate) type InodeId = u64;

/// A directory, as seen and as a crash would leave it were no pending change to survive.
#[derive(Clone, Default)]
pub(crate) struct Directory {
    pub(crate) entries: BTreeMap<String, InodeId>,
    pub(crate) durable: BTreeMap<String, InodeId>,
}

/// A file.
#[derive(Clone, Default)]
pub(crate) struct FileNode {
    pub(crate) bytes: Content,
    durable: Content,
    /// Sectors that the next sync makes durable.
    unsynced: RangeSet,
    /// Sectors whose sync failed. The page cache holds them as clean: no later sync writes them,
    /// and only a crash shows what the disk has.
    given_up: RangeSet,
    /// Bytes that cannot be read.
    pub(crate) unreadable: RangeSet,
}

impl FileNode {
    pub(crate) fn write(&mut self, data: &[u8], offset: u64) {
        let touched = sectors(offset, data.len() as u64);
        self.bytes.write(data, offset);
        self.given_up.remove(touched.clone());
        self.unsynced.insert(touched);
    }

    pub(crate) fn sync(&mut self) {
        self.durable.set_len(self.bytes.len());
        for run in self.unsynced.iter() {
            self.durable.copy_sectors(&self.bytes, run);
        }
        self.unsynced.clear();
    }

    /// What Linux does when writing back fails: it reports the error once and forgets the pages.
    pub(crate) fn fail_sync(&mut self) {
        for run in self.unsynced.iter() {
            self.given_up.insert(run);
        }
        self.unsynced.clear();
    }

    /// Inverts one bit on the medium; `false` where the file does not reach so far.
    pub(crate) fn flip(&mut self, offset: u64, bit: u8) -> bool {
        for content in [&mut self.bytes, &mut self.durable] {
            if offset < content.len() {
                let mut byte = [0];
                content.read(&mut byte, offset);
                content.write(&[byte[0] ^ (1 << (bit % 8))], offset);
            }
        }
        offset < self.bytes.len()
    }

    /// Whether a crash can change the file.
    pub(crate) fn at_risk(&self) -> bool {
        self.unsynced.iter().chain(self.given_up.iter()).next().is_some() || self.bytes.len() != self.durable.len()
    }

    /// Ends with all that was written.
    pub(crate) fn keep(&mut self) {
        self.settle(self.bytes.clone());
    }

    /// Ends as at the last sync.
    pub(crate) fn lose(&mut self) {
        self.settle(self.durable.clone());
    }

    /// Ends with each sector at risk new, old, garbage or half written, and with any length
    /// between the old and the new.
    pub(crate) fn tear(&mut self, dice: &mut Dice) {
        let (old_len, new_len) = (self.durable.len(), self.bytes.len());
        let mut end = self.durable.clone();
        end.set_len(new_len.max(old_len));
        // Files differ in how much of them survives; at even odds no group of several sectors
        // would ever survive whole, nor with a single hole.
        let kept_in_16 = [2, 8, 14, 15][dice.below(4) as usize];
        for sector in self.unsynced.iter().chain(self.given_up.iter()).flatten() {
            if dice.below(16) < kept_in_16 {
                end.copy_sectors(&self.bytes, sector..sector + 1);
            } else {
                spoil(&mut end, &self.bytes, sector, dice);
            }
        }
        end.set_len(match dice.below(4) {
            0 => old_len,
            1 => old_len + dice.below(new_len.saturating_sub(old_len) + 1),
            _ => new_len.max(old_len),
        });
        self.settle(end);
    }

    fn settle(&mut self, end: Content) {
        self.bytes = end.clone();
        self.durable = end;
        self.unsynced.clear();
        self.given_up.clear();
    }
}

/// Leaves a sector of `end` old, fills it with garbage, or with the first bytes of `new`.
fn spoil(end: &mut Content, new: &Content, sector: u64, dice: &mut Dice) {
    let start = sector * SECTOR;
    let Range { start, end: stop } = start..(start + SECTOR).min(end.len());
    let mut bytes = vec![0; stop.saturating_sub(start) as usize];
    match dice.below(3) {
        0 => return,
        1 => dice.fill(&mut bytes),
        _ => {
            bytes.truncate(dice.below(SECTOR) as usize);
            new.read(&mut bytes, start);
        }
    }
    end.write(&bytes, start);
}
