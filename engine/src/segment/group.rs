//! A row group while it is written: the eight columns, page by page.

use std::io::Write;

use parquet::basic::Encoding;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;

use super::chunk::{ChunkWriter, Packer, PageValues};
use super::codec::{Runs, encode_split};
use super::page::{Nullable, PageBuffer};
use super::schema::{COLUMNS, MANTISSA, NANOS, SCALE, STATUS, TAG, TEXT, TIME, VALUE};
use crate::limits::{DICTIONARY_ENTRIES_MAX, ROW_GROUP_ROWS};

/// Bytes of a column from which on a row group takes no more pages: long texts.
const COLUMN_BYTES_MAX: usize = 16 << 20;
/// Nanoseconds that differ from row to row are not worth a dictionary long before it is full.
const NANOS_ENTRIES_MAX: usize = 1 << 12;
/// Bytes of a dictionary: whoever reads one page of the row group has to read it too.
const DICTIONARY_BYTES_MAX: usize = 1 << 20;
/// Doubles that the choice of their encoding looks at.
const TRIAL_VALUES: usize = 16 * 1024;

/// A row group in the making.
pub struct GroupWriter {
    chunks: [ChunkWriter; COLUMNS],
    /// The doubles wait for the end: only then is their best encoding known.
    doubles: Vec<DoublePage>,
    rows: usize,
}

struct DoublePage {
    rows: usize,
    column: Nullable<u64>,
}

impl GroupWriter {
    /// An empty row group.
    pub fn new(schema: &SchemaDescriptor) -> GroupWriter {
        let chunk = |column: usize| {
            let entries = if column == NANOS { NANOS_ENTRIES_MAX } else { DICTIONARY_ENTRIES_MAX };
            ChunkWriter::new(schema.column(column), entries, DICTIONARY_BYTES_MAX)
        };
        GroupWriter { chunks: std::array::from_fn(chunk), doubles: Vec::new(), rows: 0 }
    }

    /// The number of rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the pages so far, doubles apart.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(ChunkWriter::bytes).sum()
    }

    /// Whether another page might be too much.
    pub fn is_full(&self) -> bool {
        self.rows + crate::limits::PAGE_ROWS > ROW_GROUP_ROWS
            || self.chunks.iter().any(|chunk| chunk.bytes() > COLUMN_BYTES_MAX)
    }

    /// Encodes a page of rows and empties it.
    pub fn add_page(&mut self, page: &mut PageBuffer, packer: &mut Packer) -> std::io::Result<()> {
        let rows = page.rows;
        let mut add = |column: usize, levels: Option<&Runs>, values: PageValues<'_>| {
            self.chunks[column].add_page(rows, levels, &values, packer)
        };
        add(TAG, None, PageValues::Repeating(&page.tags))?;
        add(TIME, None, PageValues::Deltas(&page.millis))?;
        add(NANOS, None, PageValues::Repeating(&page.nanos))?;
        add(MANTISSA, Some(&page.mantissas.levels), PageValues::Deltas(&page.mantissas.values))?;
        add(SCALE, Some(&page.mantissas.levels), PageValues::Repeating(&page.scales))?;
        add(TEXT, Some(&page.texts.levels), PageValues::Texts(&page.texts.values))?;
        add(STATUS, None, PageValues::Repeating(&page.statuses))?;
        let tags = page.tags.iter().map(|(tag, _)| tag.cast_signed());
        if let (Some(first), Some(last)) = (tags.clone().min(), tags.max()) {
            self.chunks[TAG].set_extremes(first, last);
        }
        if let (Some(first), Some(last)) = (page.millis.iter().min(), page.millis.iter().max()) {
            self.chunks[TIME].set_extremes(*first, *last);
        }
        self.doubles.push(DoublePage { rows, column: std::mem::take(&mut page.doubles) });
        self.rows += rows;
        page.clear();
        Ok(())
    }

    /// Ends the row group and appends it to the file.
    pub fn finish<W: Write + Send>(
        mut self,
        file: &mut SerializedFileWriter<W>,
        packer: &mut Packer,
    ) -> parquet::errors::Result<()> {
        let encoding = self.best_encoding(packer)?;
        for page in &self.doubles {
            let values = PageValues::Doubles(&page.column.values, encoding);
            self.chunks[VALUE].add_page(page.rows, Some(&page.column.levels), &values, packer)?;
        }
        let mut group = file.next_row_group()?;
        for chunk in self.chunks {
            let (bytes, close) = chunk.finish(packer)?;
            group.append_column(&bytes, close)?;
        }
        group.close().map(drop)
    }

    /// Tries the encodings of doubles on some pages of this row group.
    fn best_encoding(&self, packer: &mut Packer) -> std::io::Result<Encoding> {
        let pages = self.doubles.iter().filter(|page| !page.column.values.is_empty());
        let count = pages.clone().count();
        if count == 0 {
            return Ok(Encoding::PLAIN);
        }
        let mut sample: Vec<u64> = Vec::new();
        for page in pages.step_by(count.div_ceil(4)) {
            let values = &page.column.values;
            let part = values.len().min(TRIAL_VALUES / 4);
            sample.extend_from_slice(&values[(values.len() - part) / 2..][..part]);
        }
        let mut split = Vec::new();
        encode_split(&mut split, &sample);
        let plain: Vec<u8> = sample.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let trials = [
            (packer.compressed_len(&split)?, Encoding::BYTE_STREAM_SPLIT),
            (packer.compressed_len(&plain)?, Encoding::PLAIN),
            (self.dictionary_len(&sample, packer)?, Encoding::RLE_DICTIONARY),
        ];
        Ok(trials.into_iter().min_by_key(|(bytes, _)| *bytes).map_or(Encoding::PLAIN, |(_, encoding)| encoding))
    }

    /// Bytes of the sample through a dictionary.
    fn dictionary_len(&self, sample: &[u64], packer: &mut Packer) -> std::io::Result<usize> {
        let mut trial = ChunkWriter::new(self.chunks[VALUE].descr(), sample.len() / 2, DICTIONARY_BYTES_MAX);
        trial.add_page(sample.len(), None, &PageValues::Doubles(sample, Encoding::RLE_DICTIONARY), packer)?;
        let all_indexes = trial.is_all_dictionary();
        let (bytes, _) = trial.finish(packer)?;
        Ok(if all_indexes { bytes.len() } else { usize::MAX })
    }
}
