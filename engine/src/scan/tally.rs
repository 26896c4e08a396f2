//! Counting the rows of one tag with few reads.

use std::ops::Range;

use super::batch::ScanStatistics;
use super::inventory::{Origin, TagSource};
use super::merge::Merge;
use super::source::{Reading, read_all};
use crate::error::Result;
use crate::segment::{Columns, Segment, TagRun};

/// Counts the rows of one tag and finds the oldest and the newest.
///
/// The times are cut into regions, each with the same sources throughout. Where a run is alone,
/// the directory counts it, and where a region cuts the run, the pages at the cut are read;
/// where sources meet, and where rows must be compared with the qualities asked for, the times
/// and statuses of that region are read. `reading` asks for no columns.
pub(super) fn tally(sources: &[TagSource], reading: &Reading) -> Result<ScanStatistics> {
    let mut found = ScanStatistics::default();
    for (from, to) in regions(sources) {
        let parts: Vec<TagSource> = sources.iter().filter_map(|source| source.narrowed(from, to)).collect();
        found.merge(match parts.as_slice() {
            [] => continue,
            [alone] if !alone.can_match(reading.qualities) => continue,
            [alone] if !alone.needs_filter(reading.qualities) => count_alone(alone, reading)?,
            _ => count_merged(&parts, reading)?,
        });
    }
    Ok(found)
}

/// Cuts time where sources begin or end, and joins neighbours in which several sources meet.
fn regions(sources: &[TagSource]) -> Vec<(i64, i64)> {
    let mut cuts: Vec<i64> = sources.iter().flat_map(|s| [Some(s.first), s.last.checked_add(1)]).flatten().collect();
    cuts.sort_unstable();
    cuts.dedup();
    let end = sources.iter().map(|source| source.last).max().unwrap_or(i64::MIN);
    let ends = cuts.iter().skip(1).map(|next| next - 1).chain([end]);
    let mut regions: Vec<(i64, i64, bool)> = Vec::new();
    for (from, to) in cuts.iter().copied().zip(ends).filter(|(from, to)| from <= to) {
        let several = sources.iter().filter(|s| s.first <= to && s.last >= from).count() > 1;
        match regions.last_mut() {
            Some((_, last, true)) if several => *last = to,
            _ => regions.push((from, to, several)),
        }
    }
    regions.into_iter().map(|(from, to, _)| (from, to)).collect()
}

fn count_merged(parts: &[TagSource], reading: &Reading) -> Result<ScanStatistics> {
    let mut found = ScanStatistics::default();
    let mut merge = Merge::new(parts[0].tag, parts, reading, u64::MAX);
    while merge.fill(&mut found)? {}
    Ok(found)
}

fn count_alone(part: &TagSource, reading: &Reading) -> Result<ScanStatistics> {
    let Origin::Segment(segment, run) = &part.origin else {
        return count_merged(std::slice::from_ref(part), reading);
    };
    let mut found = ScanStatistics::default();
    let (start, first) = match part.first <= run.first_time {
        true => (run.rows.start, run.first_time),
        false => first_at(segment, run, part.first, reading)?,
    };
    let (end, last) = match part.last >= run.last_time {
        true => (run.rows.end, run.last_time),
        false => last_at(segment, run, part.last, reading)?,
    };
    found.add(end.saturating_sub(start), first, last);
    Ok(found)
}

/// The first row of a run that is not older than `time`, and its time.
fn first_at(segment: &Segment, run: &TagRun, time: i64, reading: &Reading) -> Result<(u64, i64)> {
    let rows = segment.narrow(run, time, i64::MAX)?;
    let mut start = rows.start;
    while start < rows.end {
        let end = rows.end.min((start / reading.sizes.page + 1) * reading.sizes.page);
        let times = times_of(segment, start..end, reading)?;
        let i = times.partition_point(|t| *t < time);
        if let Some(found) = times.get(i) {
            return Ok((start + i as u64, *found));
        }
        start = end;
    }
    Ok((run.rows.end, i64::MAX))
}

/// One past the last row of a run that is not newer than `time`, and that row's time.
fn last_at(segment: &Segment, run: &TagRun, time: i64, reading: &Reading) -> Result<(u64, i64)> {
    let rows = segment.narrow(run, i64::MIN, time)?;
    let mut end = rows.end;
    while end > rows.start {
        let start = rows.start.max((end - 1) / reading.sizes.page * reading.sizes.page);
        let times = times_of(segment, start..end, reading)?;
        let i = times.partition_point(|t| *t <= time);
        if i > 0 {
            return Ok((start + i as u64, times[i - 1]));
        }
        end = start;
    }
    Ok((run.rows.start, i64::MIN))
}

fn times_of(segment: &Segment, rows: Range<u64>, reading: &Reading) -> Result<Vec<i64>> {
    let count = rows.end - rows.start;
    let mut reader = segment.read(vec![rows], Columns::TIME, &reading.metrics)?;
    Ok(read_all(&mut reader, count, Columns::TIME)?.times)
}
