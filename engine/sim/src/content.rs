//! The bytes of one file, in pages that copies share until they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// What a disk writes at once. Bytes of one sector share one fate in a crash.
pub(crate) const SECTOR: u64 = 512;
/// What copies of a file share: eight sectors.
const PAGE: usize = 4096;
const PAGE_BYTES: u64 = 4096;

type Page = [u8; PAGE];

/// The bytes of a file. A page that is not there is zeros, as is all beyond `len` in a page that
/// is there; a file zero-filled in advance therefore costs no memory.
#[derive(Clone, Default)]
pub(crate) struct Content {
    pages: BTreeMap<u64, Arc<Page>>,
    len: u64,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Cuts the file, or grows it with zeros.
    pub(crate) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE_BYTES));
            let tail = offset_in_page(len);
            if tail > 0
                && let Some(page) = self.pages.get_mut(&(len / PAGE_BYTES))
            {
                Arc::make_mut(page)[tail..].fill(0);
            }
        }
        self.len = len;
    }

    /// Fills `buf` from `offset`; zeros beyond the end.
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) {
        for (piece, index, within) in pieces(buf.len(), offset) {
            match self.pages.get(&index) {
                Some(page) => buf[piece].copy_from_slice(&page[within]),
                None => buf[piece].fill(0),
            }
        }
    }

    /// The pages that are not all zeros, ascending, each with its number.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().filter(|(_, page)| !is_zero(&page[..])).map(|(index, page)| (*index, &page[..]))
    }

    /// Writes `data` at `offset`, growing the file where needed; no bytes do not grow it.
    pub(crate) fn write(&mut self, data: &[u8], offset: u64) {
        if data.is_empty() {
            return;
        }
        let pages = offset / PAGE_BYTES..(offset + data.len() as u64).div_ceil(PAGE_BYTES);
        // Log files are filled with zeros in advance, megabytes at every start.
        let changes = self.pages.range(pages).next().is_some() || !is_zero(data);
        for (piece, index, within) in pieces(if changes { data.len() } else { 0 }, offset) {
            let data = &data[piece];
            let zeros = is_zero(data);
            if zeros && data.len() == PAGE {
                self.pages.remove(&index);
            } else if !zeros || self.pages.contains_key(&index) {
                let page = self.pages.entry(index).or_insert_with(|| Arc::new([0; PAGE]));
                Arc::make_mut(page)[within].copy_from_slice(data);
            }
        }
        self.len = self.len.max(offset + data.len() as u64);
    }

    /// Takes the bytes of `sectors` from `other`, growing to its length where that is more.
    pub(crate) fn copy_sectors(&mut self, other: &Content, sectors: Range<u64>) {
        // Set at the end, because a file's last sector may go beyond its length.
        let len = self.len.max(other.len);
        let (start, end) = (sectors.start * SECTOR, sectors.end * SECTOR);
        let touched = start / PAGE_BYTES..end.div_ceil(PAGE_BYTES);
        let here = self.pages.range(touched.clone()).map(|(index, _)| *index);
        // Where neither has a page, both are zeros.
        let differ: BTreeSet<u64> = other.pages.range(touched).map(|(index, _)| *index).chain(here).collect();
        for index in differ {
            let (at, page_end) = ((index * PAGE_BYTES).max(start), ((index + 1) * PAGE_BYTES).min(end));
            if page_end - at == PAGE_BYTES {
                match other.pages.get(&index) {
                    Some(page) => _ = self.pages.insert(index, page.clone()),
                    None => _ = self.pages.remove(&index),
                }
            } else {
                let mut sector = [0; SECTOR as usize];
                for start in (at..page_end).step_by(SECTOR as usize) {
                    other.read(&mut sector, start);
                    self.write(&sector, start);
                }
            }
        }
        self.len = len;
    }

    /// All bytes.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(&mut bytes, 0);
        bytes
    }
}

/// The sectors that hold bytes of `offset..offset + len`.
pub(crate) fn sectors(offset: u64, len: u64) -> Range<u64> {
    if len == 0 { 0..0 } else { offset / SECTOR..(offset + len).div_ceil(SECTOR) }
}

/// Whether a page, or less, is zeros; more than that page by page.
fn is_zero(data: &[u8]) -> bool {
    const ZEROS: Page = [0; PAGE];
    data.chunks(PAGE).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

fn offset_in_page(offset: u64) -> usize {
    (offset % PAGE_BYTES) as usize
}

/// Cuts `len` bytes at `offset` at page borders: for each piece its place among the bytes, the
/// page's number and its place in the page.
fn pieces(len: usize, offset: u64) -> impl Iterator<Item = (Range<usize>, u64, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = offset_in_page(at);
        let piece = (PAGE - within).min(len - done);
        let range = done..done + piece;
        done += piece;
        (piece > 0).then_some((range, at / PAGE_BYTES, within..within + piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Dice;

    #[test]
    fn behaves_as_a_vector_of_bytes() {
        for seed in 0..100 {
            let mut dice = Dice::new(seed);
            let (mut content, mut model) = (Content::default(), Vec::new());
            for _ in 0..40 {
                let offset = dice.below(20_000) as usize;
                if dice.below(6) == 0 {
                    content.set_len(offset as u64);
                    model.resize(offset, 0);
                } else {
                    let mut data = vec![0; dice.below(9_000) as usize + 1];
                    if dice.below(3) > 0 {
                        dice.fill(&mut data);
                    }
                    content.write(&data, offset as u64);
                    model.resize(model.len().max(offset + data.len()), 0);
                    model[offset..offset + data.len()].copy_from_slice(&data);
                }
                assert!(content.to_vec() == model, "seed {seed}");
            }
        }
    }

    #[test]
    fn zeros_take_no_pages() {
        let mut content = Content::default();
        content.write(&[0; 3 * PAGE], 100);
        assert_eq!((content.len(), content.pages.len()), (3 * PAGE_BYTES + 100, 0));
        content.write(&[1; PAGE], 0);
        content.write(&[0; PAGE], 0);
        assert_eq!(content.pages.len(), 0);
    }

    #[test]
    fn sectors_are_copied_without_their_neighbours() {
        let (mut old, mut new) = (Content::default(), Content::default());
        old.write(&[1; 3 * PAGE], 0);
        new.write(&[2; 3 * PAGE], 0);
        old.copy_sectors(&new, 7..17);
        let mut expected = vec![1; 3 * PAGE];
        expected[7 * 512..17 * 512].fill(2);
        assert!(old.to_vec() == expected);
    }
}
