//! Single rows: a tag's newest at a time, and those of given tags and times.

use std::ops::Range;
use std::sync::Arc;

use super::ReadView;
use super::batch::BatchBuilder;
use super::inventory::{NEAR, TagSource};
use super::merge::Merge;
use super::source::{Reading, Sizes};
use super::spec::{Order, QualitySet, ScanRequest, TagSelection};
use crate::delete::Deletes;
use crate::error::Result;
use crate::memtable::{Flushed, Memtable};
use crate::sample::{Cell, Row, Rows};
use crate::segment::{Columns, Segment, TagRun};
use crate::tag::TagId;

impl ReadView {
    /// A tag's newest row at or before `time`, whatever its status.
    pub fn newest_at(&self, tag: TagId, time: i64) -> Result<Option<Row>> {
        let reading = Reading {
            columns: Columns::ALL,
            qualities: QualitySet::ALL,
            order: Order::Descending,
            rows_hint: 1,
            sizes: Sizes::USUAL,
            metrics: Arc::default(),
        };
        let mut found = BatchBuilder::new(Columns::ALL, 1, 1);
        Merge::new(tag, &self.sources_of(tag, i64::MIN, time)?, &reading, 1).fill(&mut found)?;
        let rows = found.finish().rows;
        Ok(rows.times.first().map(|time| Row { time: *time, cell: rows.cell(0) }))
    }

    /// The newest row of each of these tags that has one, by tag.
    pub(crate) fn newest_of(&self, tags: &[TagId]) -> Result<Vec<(TagId, Row)>> {
        let request = ScanRequest {
            order: Order::Descending,
            limit_per_tag: Some(1),
            ..ScanRequest::of(TagSelection::Ids(tags.to_vec()))
        };
        let spec = self.plan(&request, 1)?;
        let mut newest = Vec::new();
        for batch in self.open(&spec, 0, Arc::default())? {
            let batch = batch?;
            let row = |i: usize| Row { time: batch.rows.times[i], cell: batch.rows.cell(i) };
            newest.extend(batch.runs.iter().map(|(tag, range)| (*tag, row(range.start))));
        }
        Ok(newest)
    }

    /// What a tag's rows at `times` say, which must ascend; None where there is no row of that
    /// time. The answer has as many entries as `times`.
    pub fn cells_at(&self, tag: TagId, times: &[i64]) -> Result<Vec<Option<Cell>>> {
        let wanted: Vec<(TagId, i64)> = times.iter().map(|time| (tag, *time)).collect();
        self.cells_of(&wanted)
    }

    /// What the rows of these tags and times say, which must ascend; None where there is no such
    /// row. The answer has as many entries as `wanted`.
    ///
    /// Only pages that can hold one of the times are read, each once for all tags: first their
    /// times and then, where there are such rows, the rest of those. Memory for rows does not
    /// depend on how many are asked for or how long the runs are.
    pub fn cells_of(&self, wanted: &[(TagId, i64)]) -> Result<Vec<Option<Cell>>> {
        self.cells_of_by(wanted, Sizes::USUAL)
    }

    pub(super) fn cells_of_by(&self, wanted: &[(TagId, i64)], sizes: Sizes) -> Result<Vec<Option<Cell>>> {
        assert!(wanted.is_sorted(), "cells are looked up by ascending tags and times");
        let mut lookup = Lookup { wanted, found: vec![None; wanted.len()], sizes };
        if let Some(memtable) = &self.held {
            lookup.look_into_held(memtable, &self.deletes_of_memtable(memtable));
        }
        for memtable in self.memtables.iter().rev() {
            let deletes = self.deletes_of_memtable(memtable);
            if let Err(Flushed(segment)) = lookup.look_into_memory(memtable, &deletes) {
                lookup.look_into_segment(&segment, &deletes)?;
            }
        }
        for segment in self.segments.iter().rev() {
            lookup.look_into_segment(segment, &self.deletes_of_segment(segment.meta()))?;
        }
        Ok(lookup.found)
    }

    /// All sources of one tag from `from` to `to`, ascending in rank.
    fn sources_of(&self, tag: TagId, from: i64, to: i64) -> Result<Vec<TagSource>> {
        let rank = self.segments.len() + self.memtables.len();
        let held = self
            .held
            .as_ref()
            .and_then(|memtable| TagSource::held(rank, memtable, tag, (from, to), &self.deletes_of_memtable(memtable)));
        let mut sources = Vec::new();
        for (rank, segment) in self.segments.iter().enumerate() {
            let meta = segment.meta();
            let counts = meta.first_time <= to && meta.last_time >= from && !self.deletes.take_all_of(meta);
            if counts && (meta.first_tag..=meta.last_tag).contains(&tag) {
                let deletes = self.deletes_of_segment(meta);
                let run = segment.run(tag)?.into_iter();
                sources.extend(run.flat_map(|run| TagSource::visible_of_run(rank, segment, run, (from, to), &deletes)));
            }
        }
        for (rank, memtable) in (self.segments.len()..).zip(&self.memtables) {
            let deletes = self.deletes_of_memtable(memtable);
            sources.extend(TagSource::visible_of_memtable(rank, memtable, tag, (from, to), &deletes)?);
        }
        sources.extend(held);
        Ok(sources)
    }
}

/// Looks rows up in one source after the other, newest first.
struct Lookup<'a> {
    wanted: &'a [(TagId, i64)],
    found: Vec<Option<Cell>>,
    sizes: Sizes,
}

/// Rows of a file that can hold some of the rows looked up: places in a list of those.
struct Piece {
    rows: Range<u64>,
    missing: Range<usize>,
}

/// Pieces that are read together.
const PIECES: usize = 4096;

impl Lookup<'_> {
    /// The places that no newer source has, ascending.
    fn missing(&self, among: impl Fn(&(TagId, i64)) -> bool) -> Vec<usize> {
        (0..self.wanted.len()).filter(|i| self.found[*i].is_none() && among(&self.wanted[*i])).collect()
    }

    fn time(&self, place: usize) -> i64 {
        self.wanted[place].1
    }

    fn look_into_held(&mut self, memtable: &Memtable, deletes: &Deletes) {
        let mut start = 0;
        for of_tag in self.wanted.chunk_by(|a, b| a.0 == b.0) {
            let tag = of_tag[0].0;
            for row in memtable.held(tag).into_iter().filter(|row| !deletes.hide(0, tag, row.time)) {
                let from = of_tag.partition_point(|wanted| wanted.1 < row.time);
                let same = of_tag[from..].iter().take_while(|wanted| wanted.1 == row.time).count();
                self.found[start + from..start + from + same].fill(Some(row.cell));
            }
            start += of_tag.len();
        }
    }

    fn look_into_memory(&mut self, memtable: &Memtable, deletes: &Deletes) -> Result<(), Flushed> {
        let missing = self.missing(|(tag, time)| !deletes.hide(0, *tag, *time));
        for of_tag in missing.chunk_by(|a, b| self.wanted[*a].0 == self.wanted[*b].0).map(<[usize]>::to_vec) {
            let tag = self.wanted[of_tag[0]].0;
            let Some(extent) = memtable.extent(tag)? else { continue };
            let within = |place: &usize| (extent.first_time..=extent.last_time).contains(&self.time(*place));
            let of_tag: Vec<usize> = of_tag.into_iter().filter(within).collect();
            for stretch in of_tag.chunks(self.sizes.batch) {
                let cells = memtable.cells_at(tag, stretch.iter().map(|place| self.wanted[*place].1))?;
                for (place, cell) in stretch.iter().zip(cells) {
                    self.found[*place] = cell;
                }
            }
        }
        Ok(())
    }

    fn look_into_segment(&mut self, segment: &Segment, deletes: &Deletes) -> Result<()> {
        let meta = segment.meta();
        let (tags, times) = (meta.first_tag..=meta.last_tag, meta.first_time..=meta.last_time);
        let missing =
            self.missing(|(tag, time)| tags.contains(tag) && times.contains(time) && !deletes.hide(0, *tag, *time));
        let mut pieces: Vec<Piece> = Vec::new();
        let mut start = 0;
        for near in missing.chunk_by(|a, b| self.wanted[*b].0.0 - self.wanted[*a].0.0 < NEAR) {
            let (first, last) = (self.wanted[near[0]].0, self.wanted[near[near.len() - 1]].0);
            for run in segment.runs(first..=last)? {
                let of_run = |bound: i64, after: bool| {
                    near.partition_point(|place| {
                        let key = self.wanted[*place];
                        key < (run.tag, bound) || (after && key == (run.tag, bound))
                    })
                };
                let places = start + of_run(run.first_time, false)..start + of_run(run.last_time, true);
                self.add_pieces(&missing, places, segment, &run, &mut pieces)?;
            }
            start += near.len();
        }
        for pieces in pieces.chunks(PIECES) {
            let hits = self.find_rows(&missing, pieces, segment)?;
            self.read_cells(&hits, segment)?;
        }
        Ok(())
    }

    /// Finds the rows of a run that can have the times of these places, by halving the places
    /// until the rows lie on one or two pages.
    fn add_pieces(
        &self,
        missing: &[usize],
        places: Range<usize>,
        segment: &Segment,
        run: &TagRun,
        pieces: &mut Vec<Piece>,
    ) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        let (first, last) = (self.time(missing[places.start]), self.time(missing[places.end - 1]));
        let rows = segment.narrow(run, first, last)?;
        if rows.is_empty() {
            return Ok(());
        }
        if rows.end - rows.start > 2 * self.sizes.page && places.len() > 1 {
            let middle = places.start + places.len() / 2;
            self.add_pieces(missing, places.start..middle, segment, run, pieces)?;
            return self.add_pieces(missing, middle..places.end, segment, run, pieces);
        }
        match pieces.last_mut() {
            Some(before) if rows.start < before.rows.end => {
                before.rows.end = before.rows.end.max(rows.end);
                before.missing.end = places.end;
            }
            _ => pieces.push(Piece { rows, missing: places }),
        }
        Ok(())
    }

    /// Which rows of the file are looked for: row numbers and places, ascending.
    fn find_rows(&self, missing: &[usize], pieces: &[Piece], segment: &Segment) -> Result<Vec<(u64, usize)>> {
        let mut hits = Vec::new();
        let ranges = pieces.iter().map(|piece| piece.rows.clone()).collect();
        let mut reader = segment.read(ranges, Columns::TIME, &Arc::default())?;
        for piece in pieces {
            let mut missing = &missing[piece.missing.clone()];
            let mut at = piece.rows.start;
            while at < piece.rows.end {
                let step = usize::try_from(piece.rows.end - at).map_or(self.sizes.batch, |n| n.min(self.sizes.batch));
                let Some(rows) = reader.next(step)? else { return Ok(hits) };
                missing =
                    match_times(self.wanted, missing, &rows.times, |place, row| hits.push((at + row as u64, place)));
                at += rows.len() as u64;
            }
        }
        Ok(hits)
    }

    /// Reads what these rows of the file say.
    fn read_cells(&mut self, hits: &[(u64, usize)], segment: &Segment) -> Result<()> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (row, _) in hits {
            match ranges.last_mut() {
                Some(last) if last.end == *row => last.end += 1,
                Some(last) if last.end > *row => {}
                _ => ranges.push(*row..*row + 1),
            }
        }
        if ranges.is_empty() {
            return Ok(());
        }
        let mut reader = segment.read(ranges, Columns::ALL, &Arc::default())?;
        let mut rows = Rows::default();
        let mut at = 0;
        // The same row may be looked for more than once.
        for of_row in hits.chunk_by(|a, b| a.0 == b.0) {
            if at == rows.len() {
                let Some(more) = reader.next(self.sizes.batch)? else { return Ok(()) };
                (rows, at) = (more, 0);
            }
            for (_, place) in of_row {
                self.found[*place] = Some(rows.cell(at));
            }
            at += 1;
        }
        Ok(())
    }
}

/// Calls `hit` with each wanted place whose time is among `rows`, and with that row; answers the
/// wanted places that come after the last row. Both ascend, and all are of one tag.
fn match_times<'m>(
    wanted: &[(TagId, i64)],
    missing: &'m [usize],
    rows: &[i64],
    mut hit: impl FnMut(usize, usize),
) -> &'m [usize] {
    let mut at = 0;
    for (done, place) in missing.iter().enumerate() {
        let time = wanted[*place].1;
        let rest = &rows[at..];
        let near = rest.len().min(16);
        at += match rest[..near].iter().position(|t| *t >= time) {
            Some(row) => row,
            None => near + rest[near..].partition_point(|t| *t < time),
        };
        match rows.get(at) {
            Some(found) if *found == time => hit(*place, at),
            Some(_) => {}
            None => return &missing[done..],
        }
    }
    &[]
}
