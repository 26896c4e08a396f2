//! Which pages of which columns a read needs. Pure.

use std::collections::VecDeque;
use std::ops::Range;

use super::Columns;
use super::directory::{RunScale, TagRun};
use super::schema::{COLUMNS, MANTISSA, NANOS, SCALE, STATUS, TEXT, TIME, VALUE};
use super::tail::Tail;

/// Some rows of one page.
#[derive(Debug, PartialEq)]
pub struct Piece {
    /// The row group.
    pub group: usize,
    /// The page within it.
    pub page: usize,
    /// The first row of the page, counted from the start of the file.
    pub first_row: u64,
    /// Rows of the page.
    pub rows: usize,
    /// Wanted rows, counted from the start of the page: ascending, not empty, not overlapping.
    pub wanted: Vec<Range<usize>>,
}

/// Cuts the first page's share off ranges of rows of the file.
pub fn next_piece(tail: &Tail, ranges: &mut VecDeque<Range<u64>>) -> Option<Piece> {
    while ranges.front().is_some_and(Range::is_empty) {
        ranges.pop_front();
    }
    let start = ranges.front()?.start;
    let group = tail.group_of(start);
    let page = tail.groups.get(group)?.page_of(start);
    let rows = tail.groups[group].page_rows(page);
    let relative = |row: u64| (row - rows.start) as usize;
    let mut wanted = Vec::new();
    while let Some(range) = ranges.front_mut().filter(|range| range.start < rows.end) {
        let end = range.end.min(rows.end);
        if range.start < end {
            wanted.push(relative(range.start)..relative(end));
        }
        range.start = end;
        if range.start < range.end {
            break;
        }
        ranges.pop_front();
    }
    Some(Piece { group, page, first_row: rows.start, rows: relative(rows.end), wanted })
}

/// A set of the file's columns.
pub type ColumnSet = [bool; COLUMNS];

/// The file's columns that have to be decoded for rows of these runs: a column that says
/// nothing but its default is not read.
pub fn columns_for<'a>(asked: Columns, runs: impl Iterator<Item = &'a TagRun>) -> ColumnSet {
    let mut set = [false; COLUMNS];
    set[TIME] = asked.contains(Columns::TIME);
    for run in runs {
        set[NANOS] |= set[TIME] && run.stored.nanos;
        set[TEXT] |= asked.contains(Columns::TEXT) && run.has_text;
        set[STATUS] |= asked.contains(Columns::STATUS) && run.stored.statuses;
        if asked.contains(Columns::VALUE) {
            set[MANTISSA] |= run.stored.scale != RunScale::None;
            set[SCALE] |= run.stored.scale == RunScale::Several;
            set[VALUE] |= run.stored.doubles;
        }
    }
    set
}
