//! Sets of numbers that come in runs.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of numbers, kept as disjoint ranges that do not touch: start to end.
#[derive(Clone, Default)]
pub(crate) struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut merged = range;
        // Those that overlap or touch: the first may begin before, all others begin inside.
        while let Some((&start, &end)) = self.0.range(..=merged.end).next_back() {
            if end < merged.start {
                break;
            }
            self.0.remove(&start);
            merged = merged.start.min(start)..merged.end.max(end);
        }
        self.0.insert(merged.start, merged.end);
    }

    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&start, &end)) = self.0.range(..range.end).next_back() {
            if end <= range.start {
                break;
            }
            self.0.remove(&start);
            if start < range.start {
                self.0.insert(start, range.start);
            }
            if range.end < end {
                self.0.insert(range.end, end);
            }
        }
    }

    pub(crate) fn overlaps(&self, range: &Range<u64>) -> bool {
        !range.is_empty() && self.0.range(..range.end).next_back().is_some_and(|(_, &end)| end > range.start)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().map(|(&start, &end)| start..end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::Dice;

    #[test]
    fn behaves_as_a_set_of_numbers() {
        for seed in 0..200 {
            let mut dice = Dice::new(seed);
            let (mut ranges, mut model) = (RangeSet::default(), BTreeSet::new());
            for _ in 0..60 {
                let start = dice.below(50);
                let range = start..start + dice.below(8);
                match dice.below(3) {
                    0 => {
                        ranges.remove(range.clone());
                        model.retain(|number| !range.contains(number));
                    }
                    _ => {
                        ranges.insert(range.clone());
                        model.extend(range.clone());
                    }
                }
                let probe = dice.below(50)..dice.below(60);
                let expected = probe.clone().any(|number| model.contains(&number));
                assert_eq!(ranges.overlaps(&probe), expected, "seed {seed}");
            }
            let listed: Vec<u64> = ranges.iter().flatten().collect();
            assert_eq!(listed, model.into_iter().collect::<Vec<_>>(), "seed {seed}");
            let runs: Vec<_> = ranges.iter().collect();
            assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start), "seed {seed}: ranges touch");
        }
    }
}
