//! What a reader keeps of a segment: where its pages, checksums and directory blocks lie.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;

use super::SegmentMeta;
use super::checksums::BlockSums;
use super::directory::{BlockPlace, TagRun, decode_places};
use super::schema::{self, COLUMNS, TIME};
use crate::format::Decoder;
use crate::limits::{BLOCK_BYTES, PAGE_ROWS};
use crate::tag::TagId;
use crate::{Error, Result};

/// The verified tail of a segment.
pub struct Tail {
    /// Checksums of everything before the tail.
    pub sums: BlockSums,
    /// The blocks of the tag directory.
    pub blocks: Vec<BlockPlace>,
    /// Where the tag directory ends.
    pub directory_end: u64,
    /// The row groups.
    pub groups: Vec<Group>,
}

/// A row group.
pub struct Group {
    /// Its rows, counted from the start of the file.
    pub rows: Range<u64>,
    /// Its pages: the same rows in all columns.
    pub pages: Vec<PageRows>,
    /// Its columns.
    pub chunks: [Chunk; COLUMNS],
}

/// The rows of a page.
#[derive(Clone, Copy)]
pub struct PageRows {
    /// The first row, counted from the start of the row group.
    pub first: u32,
    /// The earliest and the latest millisecond.
    pub millis: (i64, i64),
}

/// One column of a row group.
pub struct Chunk {
    /// The dictionary page, if there is one.
    pub dictionary: Option<Place>,
    /// The data pages.
    pub pages: Vec<Place>,
}

/// Where bytes lie in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub bytes: u32,
}

impl Place {
    /// The bytes as a range.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.bytes)
    }
}

impl Group {
    /// The rows of page `i`, counted from the start of the file.
    pub fn page_rows(&self, i: usize) -> Range<u64> {
        let start = |page: &PageRows| self.rows.start + u64::from(page.first);
        start(&self.pages[i])..self.pages.get(i + 1).map_or(self.rows.end, start)
    }

    /// The page that holds a row of this group.
    pub fn page_of(&self, row: u64) -> usize {
        let row = row.saturating_sub(self.rows.start);
        self.pages.partition_point(|page| u64::from(page.first) <= row).saturating_sub(1)
    }
}

impl Tail {
    /// Reads the tail of a file from bytes whose checksum is right.
    pub fn parse(path: &Path, meta: &SegmentMeta, bytes: &Bytes) -> Result<Tail> {
        let damaged = |why: String| Error::damaged(path, meta.tail_offset, why);
        let mut reader = ParquetMetaDataReader::new()
            .with_column_index_policy(PageIndexPolicy::Optional)
            .with_offset_index_policy(PageIndexPolicy::Required);
        reader.try_parse_sized(bytes, meta.bytes).map_err(|e| damaged(format!("the Parquet footer: {e}")))?;
        let parquet = reader.finish().map_err(|e| damaged(format!("the Parquet footer: {e}")))?;
        let keys = Keys::of(&parquet).map_err(&damaged)?;
        if keys.checksums != meta.tail_offset || keys.directory > keys.checksums {
            return Err(damaged("the footer and the manifest name different offsets".into()));
        }
        let mut source = Decoder::new(bytes);
        let sums = BlockSums::decode(&mut source, meta.tail_offset);
        let sums = sums.map_err(|e| e.in_file(path, meta.tail_offset))?;
        let blocks = decode_places(&mut source, keys.blocks);
        let blocks = blocks.map_err(|e| e.in_file(path, meta.tail_offset))?;
        let tail = Tail { sums, blocks, directory_end: keys.checksums, groups: groups(&parquet).map_err(&damaged)? };
        tail.check(meta, keys.directory).map_err(&damaged)?;
        Ok(tail)
    }

    /// Checks that everything lies where it can lie, so that readers need not.
    fn check(&self, meta: &SegmentMeta, directory: u64) -> std::result::Result<(), String> {
        let mut row = 0;
        for group in &self.groups {
            if group.rows.start != row {
                return Err("row groups do not follow each other".into());
            }
            row = group.rows.end;
            let mut all = group.chunks.iter().flat_map(|chunk| chunk.pages.iter().chain(&chunk.dictionary));
            if all.any(|place| place.range().end > directory) {
                return Err("a page lies beyond the pages".into());
            }
            if !(0..group.pages.len()).all(|i| (1..=PAGE_ROWS as u64).contains(&rows_of(&group.page_rows(i)))) {
                return Err("a page has an impossible number of rows".into());
            }
        }
        let ascending = self
            .blocks
            .windows(2)
            .all(|pair| pair[0].tag < pair[1].tag && pair[0].row < pair[1].row && pair[0].offset < pair[1].offset);
        if (0..self.blocks.len()).any(|i| {
            let block = self.block_range(i);
            block.end.saturating_sub(block.start) > BLOCK_BYTES as u64
        }) {
            return Err("a block of the tag directory is too long".into());
        }
        let starts = self.blocks.first().is_some_and(|block| block.offset == directory && block.row == 0);
        let ends = self.blocks.last().is_some_and(|block| block.offset < self.directory_end);
        if row != meta.rows || !ascending || !starts || !ends {
            return Err("the tag directory does not fit the rows".into());
        }
        Ok(())
    }

    /// The bytes of a directory block.
    pub fn block_range(&self, i: usize) -> Range<u64> {
        self.blocks[i].offset..self.blocks.get(i + 1).map_or(self.directory_end, |next| next.offset)
    }

    /// Whether these can be the runs of directory block `i`: they begin with its tag, and end where
    /// the rows and before the tags of the next begin. Readers take the rows of all blocks to follow
    /// each other.
    pub fn is_block(&self, i: usize, runs: &[TagRun]) -> bool {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return false };
        let rows = self.groups.last().map_or(0, |group| group.rows.end);
        let next = self.blocks.get(i + 1);
        first.tag == self.blocks[i].tag
            && last.rows.end == next.map_or(rows, |next| next.row)
            && next.is_none_or(|next| last.tag < next.tag)
    }

    /// The directory block that holds a tag, if any does.
    pub fn block_of_tag(&self, tag: TagId) -> Option<usize> {
        self.blocks.partition_point(|block| block.tag <= tag).checked_sub(1)
    }

    /// The directory block that holds the tag of a row.
    pub fn block_of_row(&self, row: u64) -> usize {
        self.blocks.partition_point(|block| block.row <= row).saturating_sub(1)
    }

    /// The row group that holds a row.
    pub fn group_of(&self, row: u64) -> usize {
        self.groups.partition_point(|group| group.rows.end <= row)
    }

    /// Data pages of all columns.
    pub fn page_count(&self) -> u64 {
        self.groups.iter().map(|group| (group.pages.len() * COLUMNS) as u64).sum()
    }

    /// Bytes of memory that this takes, about.
    pub fn memory(&self) -> usize {
        let pages: usize = self.groups.iter().map(|group| group.pages.len()).sum();
        let page = size_of::<PageRows>() + COLUMNS * size_of::<Place>();
        size_of::<Tail>()
            + pages * page
            + self.groups.len() * size_of::<Group>()
            + self.sums.len() * size_of::<u32>()
            + self.blocks.len() * size_of::<BlockPlace>()
    }
}

fn rows_of(rows: &Range<u64>) -> u64 {
    rows.end.saturating_sub(rows.start)
}

/// What a segment says in Parquet's key-value metadata.
struct Keys {
    directory: u64,
    blocks: usize,
    checksums: u64,
}

impl Keys {
    fn of(parquet: &ParquetMetaData) -> std::result::Result<Keys, String> {
        let all = parquet.file_metadata().key_value_metadata();
        let number = |key: &str| {
            let pair = all.into_iter().flatten().find(|pair| pair.key == key);
            let value = pair.and_then(|pair| pair.value.as_deref()).and_then(|value| value.parse::<u64>().ok());
            value.ok_or_else(|| format!("the footer does not say {key}"))
        };
        let version = number(schema::KEY_VERSION)?;
        if version != schema::VERSION {
            return Err(format!("it has format version {version}, this program reads {}", schema::VERSION));
        }
        let blocks = usize::try_from(number(schema::KEY_DIRECTORY_BLOCKS)?).map_err(|e| e.to_string())?;
        Ok(Keys { directory: number(schema::KEY_DIRECTORY)?, blocks, checksums: number(schema::KEY_CHECKSUMS)? })
    }
}

fn groups(parquet: &ParquetMetaData) -> std::result::Result<Vec<Group>, String> {
    let offsets = parquet.offset_index().ok_or("the footer has no page index")?;
    let extremes = parquet.column_index().ok_or("the footer has no page index")?;
    if offsets.len() != parquet.num_row_groups() || extremes.len() != parquet.num_row_groups() {
        return Err("the footer has no page index of some row group".into());
    }
    let mut row = 0u64;
    let mut groups = Vec::with_capacity(parquet.num_row_groups());
    for ((group, offsets), extremes) in parquet.row_groups().iter().zip(offsets).zip(extremes) {
        let group = group_of(group, offsets, extremes, row)?;
        row = group.rows.end;
        groups.push(group);
    }
    Ok(groups)
}

fn group_of(
    group: &RowGroupMetaData,
    offsets: &[OffsetIndexMetaData],
    extremes: &[ColumnIndexMetaData],
    first_row: u64,
) -> std::result::Result<Group, String> {
    if group.num_columns() != COLUMNS || offsets.len() != COLUMNS || extremes.len() != COLUMNS {
        return Err("the footer has other columns than a segment".into());
    }
    let rows = u64::try_from(group.num_rows()).ok().and_then(|rows| first_row.checked_add(rows));
    let rows = first_row..rows.ok_or("a row group has an impossible number of rows")?;
    let starts: Vec<i64> = offsets[0].page_locations().iter().map(|page| page.first_row_index).collect();
    let ColumnIndexMetaData::INT64(times) = &extremes[TIME] else {
        return Err("the footer has no times of pages".into());
    };
    let mut pages = Vec::with_capacity(starts.len());
    for (i, start) in starts.iter().enumerate() {
        let first = u32::try_from(*start).map_err(|_| "a page starts at an impossible row")?;
        let (Some(least), Some(largest)) = (times.min_values().get(i), times.max_values().get(i)) else {
            return Err("the footer has no times of a page".into());
        };
        pages.push(PageRows { first, millis: (*least, *largest) });
    }
    if pages.first().is_none_or(|page| page.first != 0) {
        return Err("a row group has no first page".into());
    }
    let mut chunks = Vec::with_capacity(COLUMNS);
    for (chunk, offsets) in group.columns().iter().zip(offsets) {
        if !offsets.page_locations().iter().map(|page| page.first_row_index).eq(starts.iter().copied()) {
            return Err("pages are not cut at the same rows in all columns".into());
        }
        chunks.push(chunk_of(chunk, offsets)?);
    }
    let chunks = <[Chunk; COLUMNS]>::try_from(chunks).map_err(|_| "the footer has other columns than a segment")?;
    Ok(Group { rows, pages, chunks })
}

fn chunk_of(chunk: &ColumnChunkMetaData, offsets: &OffsetIndexMetaData) -> std::result::Result<Chunk, String> {
    let place = |offset: i64, bytes: i64| match (u64::try_from(offset), u32::try_from(bytes)) {
        (Ok(offset), Ok(bytes)) if offset.checked_add(u64::from(bytes)).is_some() => Ok(Place { offset, bytes }),
        _ => Err("a page lies at an impossible place"),
    };
    let pages = offsets.page_locations().iter();
    let pages = pages
        .map(|page| place(page.offset, page.compressed_page_size.into()))
        .collect::<std::result::Result<_, _>>()?;
    let dictionary = match chunk.dictionary_page_offset() {
        Some(start) => Some(place(start, chunk.data_page_offset().saturating_sub(start))?),
        None => None,
    };
    Ok(Chunk { dictionary, pages })
}
