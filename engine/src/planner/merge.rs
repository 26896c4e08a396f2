//! Which segments to merge next: a pure decision over what the manifest says of them.
//!
//! Time is cut into aligned windows of 1, 16, 256 and 4,096 days. A *run* is what one merge, or one
//! flush, has written of a window: one segment, or several of different tags. Runs are merged
//!
//! 1. where they lie across windows: a flush writes one file whatever its times, and the merge of
//!    several of them is cut at windows, coarse ones for old times, so that late samples of many
//!    days do not become many files;
//! 2. where a window has many of about the same size: a sample is rewritten once for each power
//!    of [`FAN_IN`] that its run grows by;
//! 3. where a window has ended, into one, if what came after its largest run is worth rewriting it;
//! 4. where a larger window has ended and all of it fits into one file.
//!
//! Invariant: a merge leaves out no segment that shares tags and times with it and whose sequences
//! lie between those of its inputs. Its output counts as written at the last of them, and would
//! otherwise hide what is newer. Nor does it have an input that is said to be unusable.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::segment::SegmentMeta;

/// Runs of about one size that are merged at once.
pub const FAN_IN: usize = 12;
/// As [`FAN_IN`], in a window that has ended: what comes there is little, and not to be many files.
const LATE_FAN_IN: usize = 4;
/// Runs of a window that are left beside each other at most, where they can be merged.
const RUNS_MAX: usize = 2 * FAN_IN;
/// Segments that one merge reads at most, and more where they are small: it holds [`INPUT_BYTES`] of
/// each, or all of it.
pub const INPUTS_MAX: usize = 32;
/// Small segments that one merge reads at most: each is an open file.
pub const SMALL_INPUTS_MAX: usize = 128;
const INPUT_BYTES: u64 = 1 << 20;
const DAY: i64 = 86_400_000_000_000;
/// Widths of windows, in days.
const WIDTHS: [i64; 4] = [1, 16, 256, 4096];
/// How long after its end a window counts as ended: most late samples have arrived.
const GRACE: i64 = 6 * 3_600_000_000_000;
/// A run of a window that has ended is rewritten once what was added is more than this part of it.
const WORTH: u64 = 8;

/// Segments to merge, and how to cut the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergePlan {
    /// Ids of the segments, ascending in their sequences.
    pub inputs: Vec<u64>,
    /// Times of each output, ascending; together they hold every row of the inputs.
    pub windows: Vec<RangeInclusive<i64>>,
}

/// The next merge; none where nothing is worth it. With `all`, every window that has several runs
/// is worth it, and every larger one that smaller ones lie in. `unusable` are ids of segments that cannot be read; segments have about `file_bytes`
/// at most. `now` is in nanoseconds since 1970 UTC.
pub fn next_merge(
    segments: &[SegmentMeta],
    unusable: &BTreeSet<u64>,
    file_bytes: u64,
    now: i64,
    all: bool,
) -> Option<MergePlan> {
    let live = Live { segments, unusable };
    crossing(live, now, all).or_else(|| within_windows(live, now, all)).or_else(|| promoted(live, file_bytes, now, all))
}

/// What there is to merge.
#[derive(Clone, Copy)]
struct Live<'a> {
    segments: &'a [SegmentMeta],
    unusable: &'a BTreeSet<u64>,
}

impl<'a> Live<'a> {
    fn is_usable(self, segment: &SegmentMeta) -> bool {
        !self.unusable.contains(&segment.id)
    }

    fn usable(self) -> impl Iterator<Item = &'a SegmentMeta> {
        self.segments.iter().filter(move |segment| self.is_usable(segment))
    }
}

impl MergePlan {
    fn new(inputs: &[&SegmentMeta], windows: Vec<RangeInclusive<i64>>) -> MergePlan {
        MergePlan { inputs: inputs.iter().map(|s| s.id).collect(), windows }
    }
}

/// The window of a level that holds a time.
fn window(level: usize, time: i64) -> RangeInclusive<i64> {
    let width = WIDTHS[level] * DAY;
    let from = time.div_euclid(width).saturating_mul(width);
    from..=from.saturating_add(width - 1)
}

/// The level of the smallest window that holds both times; none where only all of time does.
fn home(first: i64, last: i64) -> Option<usize> {
    (0..WIDTHS.len()).find(|level| window(*level, first).contains(&last))
}

fn has_ended(window: &RangeInclusive<i64>, now: i64) -> bool {
    window.end().saturating_add(GRACE) < now
}

/// Whether a window has ended, or lies ahead as a whole, as those of forecasts do. A clock that is far
/// behind sees the archive so.
fn is_apart(window: &RangeInclusive<i64>, now: i64) -> bool {
    has_ended(window, now) || *window.start() > now.saturating_add(GRACE)
}

/// The level at which samples of a time are kept apart from others when a merge is cut: the
/// largest whose window has ended, or lies ahead.
fn level_of(time: i64, now: i64) -> usize {
    (0..WIDTHS.len()).rev().find(|level| is_apart(&window(*level, time), now)).unwrap_or(0)
}

/// Whether a segment of these times needs no cut.
fn settled_at(first: i64, last: i64, now: i64) -> bool {
    window(level_of(first, now), first).contains(&last)
}

/// Windows that hold all times from `first` to `last`.
fn cut(first: i64, last: i64, now: i64) -> Vec<RangeInclusive<i64>> {
    let mut windows = Vec::new();
    let mut at = first;
    loop {
        let end = *window(level_of(at, now), at).end();
        windows.push(at..=end.min(last));
        match end.checked_add(1).filter(|next| *next <= last) {
            Some(next) => at = next,
            None => return windows,
        }
    }
}

/// Segments that lie across windows, the oldest first.
fn crossing(live: Live<'_>, now: i64, all: bool) -> Option<MergePlan> {
    let crosses = |s: &&SegmentMeta| !settled_at(s.first_time, s.last_time, now);
    let mut found: Vec<&SegmentMeta> = live.usable().filter(crosses).collect();
    if found.is_empty() || (found.len() < FAN_IN && !all) {
        return None;
    }
    found.sort_by_key(|s| (s.last_sequence, s.id));
    found.truncate(INPUTS_MAX);
    // Fewer inputs have fewer others between them; one alone has none.
    let inputs = (1..=found.len()).rev().find_map(|count| closed(live, &found[..count]))?;
    let first = inputs.iter().map(|s| s.first_time).min()?;
    let last = inputs.iter().map(|s| s.last_time).max()?;
    Some(MergePlan::new(&inputs, cut(first, last, now)))
}

/// A set of inputs with all that may not be left out; none where that is too much or unusable.
fn closed<'a>(live: Live<'a>, inputs: &[&'a SegmentMeta]) -> Option<Vec<&'a SegmentMeta>> {
    let mut inputs = inputs.to_vec();
    loop {
        let first = inputs.iter().map(|s| s.first_sequence).min()?;
        let last = inputs.iter().map(|s| s.last_sequence).max()?;
        let between = |s: &&SegmentMeta| s.last_sequence > first && s.first_sequence < last;
        let missing = |s: &&SegmentMeta| inputs.iter().all(|i| i.id != s.id) && inputs.iter().any(|i| overlap(i, s));
        let more: Vec<&SegmentMeta> = live.segments.iter().filter(between).filter(missing).collect();
        if !fit(&[&inputs[..], &more[..]].concat()) || !more.iter().all(|s| live.is_usable(s)) {
            return None;
        }
        if more.is_empty() {
            inputs.sort_by_key(|s| (s.last_sequence, s.id));
            return Some(inputs);
        }
        inputs.extend(more);
    }
}

/// Whether one merge can read all of these.
fn fit(inputs: &[&SegmentMeta]) -> bool {
    let held: u64 = inputs.iter().map(|s| s.bytes.min(INPUT_BYTES)).sum();
    inputs.len() <= SMALL_INPUTS_MAX && held <= INPUTS_MAX as u64 * INPUT_BYTES
}

/// Whether two segments can hold versions of the same row.
fn overlap(a: &SegmentMeta, b: &SegmentMeta) -> bool {
    a.first_time <= b.last_time && b.first_time <= a.last_time && a.first_tag <= b.last_tag && b.first_tag <= a.last_tag
}

/// The segments that one merge or flush has written of a window.
struct Run<'a> {
    segments: Vec<&'a SegmentMeta>,
    bytes: u64,
}

/// Runs of each window, the oldest first; windows ascend in level, then in time.
fn runs_of_windows(live: Live<'_>) -> BTreeMap<(usize, i64), Vec<Run<'_>>> {
    let mut windows: BTreeMap<(usize, i64), BTreeMap<(u64, u64), Run<'_>>> = BTreeMap::new();
    for segment in live.usable() {
        let Some(level) = home(segment.first_time, segment.last_time) else { continue };
        let runs = windows.entry((level, *window(level, segment.first_time).start())).or_default();
        let run = runs
            .entry((segment.last_sequence, segment.first_sequence))
            .or_insert_with(|| Run { segments: Vec::new(), bytes: 0 });
        run.segments.push(segment);
        run.bytes += segment.bytes;
    }
    windows.into_iter().map(|(window, runs)| (window, runs.into_values().collect())).collect()
}

fn within_windows(live: Live<'_>, now: i64, all: bool) -> Option<MergePlan> {
    runs_of_windows(live).into_iter().find_map(|((level, start), runs)| {
        if runs.len() < 2 {
            return None;
        }
        let total: u64 = runs.iter().map(|run| run.bytes).sum();
        let largest = runs.iter().map(|run| run.bytes).max().unwrap_or(0);
        let window = window(level, start);
        let ended = has_ended(&window, now);
        let worth = ended && (total - largest) * WORTH >= largest;
        let inputs = match all {
            true => newest_runs(live, &runs, runs.len()),
            // Where the largest run cannot take part, what came after it would be worth it for ever.
            false => worth
                .then(|| all_runs(live, &runs))
                .flatten()
                .or_else(|| newest_runs(live, &runs, alike(&runs, if ended { LATE_FAN_IN } else { FAN_IN }))),
        };
        Some(MergePlan::new(&inputs?, vec![window]))
    })
}

/// The segments of all runs; none where that is too much.
fn all_runs<'a>(live: Live<'a>, runs: &[Run<'a>]) -> Option<Vec<&'a SegmentMeta>> {
    let inputs: Vec<_> = runs.iter().flat_map(|run| run.segments.iter().copied()).collect();
    if inputs.len() > INPUTS_MAX {
        return None;
    }
    closed(live, &inputs).filter(|closed| same_window(closed))
}

/// How many of the newest runs are of about the same size, where they are as many as are merged
/// at once; else 0. Runs of very different sizes are merged once they are too many all the same.
fn alike(runs: &[Run<'_>], fan_in: usize) -> usize {
    let mut largest = 0;
    let mut count = 0;
    for run in runs.iter().rev() {
        if count > 0 && run.bytes > 2 * largest {
            break;
        }
        largest = largest.max(run.bytes);
        count += 1;
    }
    match count {
        _ if count >= fan_in => count,
        _ if runs.len() > RUNS_MAX => FAN_IN,
        _ => 0,
    }
}

/// The segments of the newest `count` runs, or of fewer, at least two, where that is too much.
fn newest_runs<'a>(live: Live<'a>, runs: &[Run<'a>], count: usize) -> Option<Vec<&'a SegmentMeta>> {
    (2..=count.min(INPUTS_MAX)).rev().find_map(|count| {
        let inputs: Vec<_> = runs[runs.len() - count..].iter().flat_map(|run| run.segments.iter().copied()).collect();
        closed(live, &inputs).filter(|closed| same_window(closed))
    })
}

/// Whether all lie in one window: what is drawn in from others would be cut again for ever.
fn same_window(inputs: &[&SegmentMeta]) -> bool {
    let homes = inputs.iter().map(|s| home(s.first_time, s.last_time).map(|l| (l, *window(l, s.first_time).start())));
    let mut homes: Vec<_> = homes.collect();
    homes.dedup();
    homes.len() == 1
}

/// All runs of a larger window that has ended and whose samples fit into one file.
fn promoted(live: Live<'_>, file_bytes: u64, now: i64, all: bool) -> Option<MergePlan> {
    (1..WIDTHS.len()).find_map(|level| {
        let mut windows: BTreeMap<i64, Vec<&SegmentMeta>> = BTreeMap::new();
        for segment in live.usable() {
            let window = window(level, segment.first_time);
            if window.contains(&segment.last_time) && is_apart(&window, now) {
                windows.entry(*window.start()).or_default().push(segment);
            }
        }
        windows.into_iter().find_map(|(start, inputs)| {
            let bytes: u64 = inputs.iter().map(|s| s.bytes).sum();
            let is_smaller = |s: &&&SegmentMeta| home(s.first_time, s.last_time).is_some_and(|l| l < level);
            let smaller: Vec<u64> = inputs.iter().filter(is_smaller).map(|s| s.bytes).collect();
            let runs: BTreeSet<(u64, u64)> = inputs.iter().map(|s| (s.first_sequence, s.last_sequence)).collect();
            // One run of several segments stays as it is. Beside a run of the whole window a smaller one
            // may have versions of its rows.
            let worth = match all {
                true => !smaller.is_empty() && inputs.len() >= 2,
                false => smaller.len() >= 2 && smaller.iter().sum::<u64>() * WORTH >= bytes,
            };
            if runs.len() < 2 || !worth || bytes > file_bytes {
                return None;
            }
            let window = window(level, start);
            let inputs = closed(live, &inputs)?;
            let inside = inputs.iter().all(|s| window.contains(&s.first_time) && window.contains(&s.last_time));
            inside.then(|| MergePlan::new(&inputs, vec![window]))
        })
    })
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
