//! What a crash leaves.

use std::sync::Arc;

use crate::journal::Change;
use crate::random::Dice;
use crate::state::State;

/// What becomes of everything that was not synced when the power went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// All of it reached the disk in time.
    Kept,
    /// None of it: files have the bytes and length of their last `sync_data`, directories the
    /// entries of their last `sync_dir`.
    Lost,
    /// Anything between, by the seed: each sector of 512 bytes by itself is new, old (zeros where
    /// there was none), garbage, or new up to some byte and old from there; each file has some
    /// length from the old to the new; each name leads to what it led to at some moment since the
    /// last `sync_dir`, by itself, except that the two names of a rename change together.
    Torn(u64),
}

impl State {
    /// Makes what `fate` leaves the durable and the visible state.
    pub(crate) fn settle(&mut self, fate: Fate) {
        let mut dice = Dice::new(match fate {
            Fate::Torn(seed) => seed,
            Fate::Kept | Fate::Lost => 0,
        });
        for group in self.journal.take_groups() {
            let survivors = match fate {
                Fate::Kept => group.len(),
                Fate::Lost => 0,
                Fate::Torn(_) => survivors(group.len(), &mut dice),
            };
            self.make_durable(group.into_iter().take(survivors));
        }
        for directory in self.directories.values_mut() {
            directory.entries = directory.durable.clone();
        }
        for file in self.files.values_mut().filter(|file| file.at_risk()) {
            let file = Arc::make_mut(file);
            match fate {
                Fate::Kept => file.keep(),
                Fate::Lost => file.lose(),
                Fate::Torn(_) => file.tear(&mut dice),
            }
        }
        self.forget_unreachable();
    }

    pub(crate) fn make_durable(&mut self, changes: impl Iterator<Item = Change>) {
        for ((dir, name), to) in changes.flatten() {
            let Some(directory) = self.directories.get_mut(&dir) else { continue };
            match to {
                Some(inode) => _ = directory.durable.insert(name, inode),
                None => _ = directory.durable.remove(&name),
            }
        }
    }
}

/// How many of a group's changes survive: none, all, or any number of the oldest.
fn survivors(len: usize, dice: &mut Dice) -> usize {
    match dice.below(3) {
        0 => 0,
        1 => len,
        _ => dice.below(len as u64 + 1) as usize,
    }
}
