//! Single rows of one tag: the newest at a time, and those of given times.

use std::ops::Range;
use std::sync::Arc;

use super::ReadView;
use super::batch::BatchBuilder;
use super::inventory::{Origin, TagSource};
use super::merge::Merge;
use super::source::{PAGE, Reading};
use super::spec::{Order, QualitySet};
use crate::error::Result;
use crate::limits::SCAN_BATCH_ROWS;
use crate::memtable::Memtable;
use crate::sample::{Cell, Row, Rows};
use crate::segment::{Columns, ReadMetrics, Segment, TagRun};
use crate::tag::TagId;

impl ReadView {
    /// A tag's newest row at or before `time`, whatever its status.
    pub fn newest_at(&self, tag: TagId, time: i64) -> Result<Option<Row>> {
        let reading = Reading {
            columns: Columns::ALL,
            qualities: QualitySet::ALL,
            order: Order::Descending,
            rows_hint: 1,
            metrics: Arc::new(ReadMetrics::default()),
        };
        let mut found = BatchBuilder::new(Columns::ALL, 1);
        Merge::new(tag, &self.sources_of(tag, i64::MIN, time)?, &reading, 1).fill(&mut found)?;
        let rows = found.finish().rows;
        Ok(rows.times.first().map(|time| Row { time: *time, cell: rows.cell(0) }))
    }

    /// What a tag's rows at `times` say, which must ascend; None where there is no row of that
    /// time. The answer has as many entries as `times`.
    ///
    /// Pages are read that can hold one of the times, each once. Memory for rows does not depend
    /// on how many times there are.
    pub fn cells_at(&self, tag: TagId, times: &[i64]) -> Result<Vec<Option<Cell>>> {
        assert!(times.is_sorted(), "cells_at is asked for ascending times");
        let mut found: Vec<Option<Cell>> = vec![None; times.len()];
        let (Some(from), Some(to)) = (times.first(), times.last()) else { return Ok(found) };
        for source in self.sources_of(tag, *from, *to)?.iter().rev() {
            let missing: Vec<usize> =
                (0..times.len()).filter(|i| found[*i].is_none() && (source.first..=source.last).contains(&times[*i])).collect();
            if missing.is_empty() {
                continue;
            }
            let mut wanted = Wanted { times, missing: &missing, found: &mut found };
            match &source.origin {
                Origin::Memtable(memtable, extent) => {
                    let span = extent.last_time.abs_diff(extent.first_time).max(1);
                    let density = extent.rows as f64 / span as f64;
                    wanted.look_up_in_memory(memtable, tag, density);
                }
                Origin::Segment(segment, run) => wanted.look_up_in_segment(segment, run)?,
            }
        }
        Ok(found)
    }

    /// All sources of one tag from `from` to `to`, ascending in rank.
    fn sources_of(&self, tag: TagId, from: i64, to: i64) -> Result<Vec<TagSource>> {
        let mut sources = Vec::new();
        for (rank, segment) in self.segments.iter().enumerate() {
            let meta = segment.meta();
            if (meta.first_tag..=meta.last_tag).contains(&tag) && meta.first_time <= to && meta.last_time >= from {
                sources.extend(segment.run(tag)?.and_then(|run| TagSource::of_run(rank, segment, run, from, to)));
            }
        }
        for (rank, memtable) in (self.segments.len()..).zip(&self.memtables) {
            sources.extend(TagSource::of_memtable(rank, memtable, tag, from, to));
        }
        Ok(sources)
    }
}

/// Times whose cells are to be found in one source.
struct Wanted<'a> {
    times: &'a [i64],
    /// Which of the times no newer source has; ascending, not empty.
    missing: &'a [usize],
    found: &'a mut [Option<Cell>],
}

impl Wanted<'_> {
    /// Looks them up in a memtable of so many rows a nanosecond: stretch by stretch where they
    /// are about as dense as its rows, else one by one.
    fn look_up_in_memory(&mut self, memtable: &Memtable, tag: TagId, density: f64) {
        let missing = self.missing;
        for stretch in missing.chunks(SCAN_BATCH_ROWS) {
            let (from, to) = (self.times[stretch[0]], self.times[stretch[stretch.len() - 1]]);
            let expected = to.abs_diff(from) as f64 * density;
            if expected <= 16.0 * stretch.len() as f64 {
                self.match_rows(stretch, &memtable.rows(tag, from, to));
            } else {
                for i in stretch {
                    let time = self.times[*i];
                    self.match_rows(&[*i], &memtable.rows(tag, time, time));
                }
            }
        }
    }

    /// Reads the pages of a run that can hold any of the times, in one go.
    fn look_up_in_segment(&mut self, segment: &Segment, run: &TagRun) -> Result<()> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        self.add_ranges(segment, run, self.missing, &mut ranges)?;
        if ranges.is_empty() {
            return Ok(());
        }
        let mut reader = segment.read(ranges, Columns::ALL, &ReadMetrics::default())?;
        let mut missing = self.missing;
        while let Some(rows) = reader.next(SCAN_BATCH_ROWS)? {
            missing = self.match_rows(missing, &rows);
            if missing.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Finds the ranges of rows that can hold these times, by halving them until they lie on one
    /// or two pages.
    fn add_ranges(&self, segment: &Segment, run: &TagRun, missing: &[usize], ranges: &mut Vec<Range<u64>>) -> Result<()> {
        let (Some(first), Some(last)) = (missing.first(), missing.last()) else { return Ok(()) };
        let rows = segment.narrow(run, self.times[*first], self.times[*last])?;
        if rows.is_empty() {
            return Ok(());
        }
        if rows.end - rows.start > 2 * PAGE && missing.len() > 1 {
            let (left, right) = missing.split_at(missing.len() / 2);
            self.add_ranges(segment, run, left, ranges)?;
            return self.add_ranges(segment, run, right, ranges);
        }
        match ranges.last_mut() {
            Some(before) if rows.start <= before.end => before.end = before.end.max(rows.end),
            _ => ranges.push(rows),
        }
        Ok(())
    }

    /// Notes the cells of those times that `rows` have, and answers the times that come after
    /// the last row.
    fn match_rows<'m>(&mut self, missing: &'m [usize], rows: &Rows) -> &'m [usize] {
        let mut at = 0;
        for (done, i) in missing.iter().enumerate() {
            let time = self.times[*i];
            let rest = &rows.times[at..];
            let near = rest.len().min(16);
            at += match rest[..near].iter().position(|t| *t >= time) {
                Some(place) => place,
                None => near + rest[near..].partition_point(|t| *t < time),
            };
            match rows.times.get(at) {
                Some(found) if *found == time => self.found[*i] = Some(rows.cell(at)),
                Some(_) => {}
                None => return &missing[done..],
            }
        }
        &[]
    }
}
