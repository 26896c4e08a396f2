//! One column of one row group: its pages, its dictionary and what the footer says of it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType, Type, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::codec::{PageHeader, PageKind, Runs, encode_delta, encode_hybrid, encode_split, width};

/// Compresses pages; its buffers serve all columns.
pub struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    level: i32,
    plain: Vec<u8>,
    stored: Vec<u8>,
    wide: Vec<i64>,
}

impl Packer {
    /// A packer for a zstd level.
    pub fn new(level: i32) -> io::Result<Packer> {
        let compressor = zstd::bulk::Compressor::new(level)?;
        Ok(Packer { compressor, level, plain: Vec::new(), stored: Vec::new(), wide: Vec::new() })
    }

    /// Compresses the page in `plain` into `stored`.
    fn compress(&mut self) -> io::Result<()> {
        self.stored.clear();
        self.stored.reserve(zstd::zstd_safe::compress_bound(self.plain.len()));
        self.compressor.compress_to_buffer(&self.plain, &mut self.stored).map(drop)
    }

    /// Bytes that `plain` takes once compressed.
    pub fn compressed_len(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.plain.clear();
        self.plain.extend_from_slice(plain);
        self.compress()?;
        Ok(self.stored.len())
    }
}

/// The values of a page as they come.
pub enum PageValues<'a> {
    /// Integers as runs of equal ones: through the dictionary, or as differences where it is
    /// full.
    Repeating(&'a Runs),
    /// Integers, as differences.
    Deltas(&'a [i64]),
    /// Texts: through the dictionary, or one after another where it is full.
    Texts(&'a [Arc<str>]),
    /// Bits of doubles, in this encoding; where the dictionary is full byte plane after plane.
    Doubles(&'a [u64], Encoding),
}

/// A column of a row group while it is written.
pub struct ChunkWriter {
    descr: ColumnDescPtr,
    /// Headers and bodies of the data pages so far.
    pages: Vec<u8>,
    places: Vec<PagePlace>,
    dictionary: Dictionary,
    plain_bytes: u64,
    /// The least and the largest value of each page, where the column has statistics.
    extremes: Vec<(i64, i64)>,
}

struct PagePlace {
    offset: usize,
    bytes: usize,
    rows: usize,
    encoding: Encoding,
}

impl ChunkWriter {
    /// A column without pages yet, whose dictionary takes `entries_max` entries of together
    /// `bytes_max` bytes.
    pub fn new(descr: ColumnDescPtr, entries_max: usize, bytes_max: usize) -> ChunkWriter {
        ChunkWriter {
            descr,
            pages: Vec::new(),
            places: Vec::new(),
            dictionary: Dictionary::new(entries_max, bytes_max),
            plain_bytes: 0,
            extremes: Vec::new(),
        }
    }

    /// Appends a page of `rows` rows; `levels` tells which of them have values, where the
    /// column is nullable.
    pub fn add_page(
        &mut self,
        rows: usize,
        levels: Option<&Runs>,
        values: &PageValues<'_>,
        packer: &mut Packer,
    ) -> io::Result<()> {
        packer.plain.clear();
        if let Some(levels) = levels {
            packer.plain.extend_from_slice(&[0; 4]);
            encode_hybrid(&mut packer.plain, 1, levels.iter());
            let length: u32 = narrow(packer.plain.len() - 4)?;
            packer.plain[..4].copy_from_slice(&length.to_le_bytes());
        }
        let encoding = self.encode(values, packer)?;
        packer.compress()?;
        let offset = self.pages.len();
        let header = PageHeader {
            kind: PageKind::Data,
            plain_bytes: narrow(packer.plain.len())?,
            stored_bytes: narrow(packer.stored.len())?,
            values: narrow(rows)?,
            encoding,
        };
        header.write(&mut self.pages);
        self.plain_bytes += (self.pages.len() - offset + packer.plain.len()) as u64;
        self.pages.extend_from_slice(&packer.stored);
        self.places.push(PagePlace { offset, bytes: self.pages.len() - offset, rows, encoding });
        Ok(())
    }

    /// Says between which values those of the page just added lie.
    pub fn set_extremes(&mut self, least: i64, largest: i64) {
        self.extremes.push((least, largest));
    }

    /// The column's place in the schema.
    pub fn descr(&self) -> ColumnDescPtr {
        self.descr.clone()
    }

    /// Whether all pages went through the dictionary.
    pub fn is_all_dictionary(&self) -> bool {
        self.places.iter().all(|place| place.encoding == Encoding::RLE_DICTIONARY)
    }

    /// Bytes that the column takes so far.
    pub fn bytes(&self) -> usize {
        self.pages.len() + self.dictionary.bytes
    }

    fn encode(&mut self, values: &PageValues<'_>, packer: &mut Packer) -> io::Result<Encoding> {
        let out = &mut packer.plain;
        Ok(match values {
            // Pages without values are plain: an empty page of differences is odd to some readers.
            PageValues::Repeating(runs) if runs.is_empty() => Encoding::PLAIN,
            PageValues::Deltas([]) => Encoding::PLAIN,
            PageValues::Repeating(runs) => {
                if let Some(indexes) = self.dictionary.indexes(runs.iter()) {
                    return Ok(encode_indexes(out, &indexes, self.dictionary.width()));
                }
                packer.wide.clear();
                packer.wide.extend(runs.values().map(u64::cast_signed));
                encode_delta(out, &packer.wide);
                Encoding::DELTA_BINARY_PACKED
            }
            PageValues::Deltas(values) => {
                encode_delta(out, values);
                Encoding::DELTA_BINARY_PACKED
            }
            PageValues::Texts(texts) => {
                if let Some(indexes) = self.dictionary.text_indexes(texts) {
                    return Ok(encode_indexes(out, &indexes, self.dictionary.width()));
                }
                texts.iter().try_for_each(|text| encode_text(out, text))?;
                Encoding::PLAIN
            }
            PageValues::Doubles(values, encoding) => self.encode_doubles(values, *encoding, out),
        })
    }

    fn encode_doubles(&mut self, values: &[u64], encoding: Encoding, out: &mut Vec<u8>) -> Encoding {
        if encoding == Encoding::RLE_DICTIONARY
            && let Some(indexes) = self.dictionary.indexes(values.iter().map(|bits| (*bits, 1)))
        {
            return encode_indexes(out, &indexes, self.dictionary.width());
        }
        if encoding == Encoding::PLAIN || values.is_empty() {
            out.extend(values.iter().flat_map(|bits| bits.to_le_bytes()));
            return Encoding::PLAIN;
        }
        encode_split(out, values);
        Encoding::BYTE_STREAM_SPLIT
    }

    /// Ends the column: its bytes, dictionary first, and what the footer says of them, with
    /// offsets from the start of these bytes.
    pub fn finish(mut self, packer: &mut Packer) -> io::Result<(Bytes, ColumnCloseResult)> {
        let mut bytes = Vec::new();
        let dictionary = self.dictionary.encode(self.descr.physical_type(), packer)?;
        if let Some(entries) = dictionary {
            packer.compress()?;
            let header = PageHeader {
                kind: PageKind::Dictionary,
                plain_bytes: narrow(packer.plain.len())?,
                stored_bytes: narrow(packer.stored.len())?,
                values: entries,
                encoding: Encoding::PLAIN,
            };
            header.write(&mut bytes);
            self.plain_bytes += (bytes.len() + packer.plain.len()) as u64;
            bytes.extend_from_slice(&packer.stored);
        }
        let start = bytes.len();
        bytes.append(&mut self.pages);
        let close = self.describe(packer.level, dictionary.is_some(), start, bytes.len())?;
        Ok((bytes.into(), close))
    }

    fn describe(&self, level: i32, has_dictionary: bool, start: usize, end: usize) -> io::Result<ColumnCloseResult> {
        let rows: usize = self.places.iter().map(|place| place.rows).sum();
        let mut offsets = OffsetIndexBuilder::new();
        for place in &self.places {
            offsets.append_row_count(narrow(place.rows)?);
            offsets.append_offset_and_size(narrow(start + place.offset)?, narrow(place.bytes)?);
        }
        let mut builder = ColumnChunkMetaData::builder(self.descr.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(level).map_err(io::Error::other)?))
            .set_encodings(self.encodings(has_dictionary))
            .set_page_encoding_stats(self.encoding_stats(has_dictionary))
            .set_num_values(narrow(rows)?)
            .set_total_compressed_size(narrow(end)?)
            .set_total_uncompressed_size(narrow(self.plain_bytes)?)
            .set_data_page_offset(narrow(start)?)
            .set_dictionary_page_offset(has_dictionary.then_some(0));
        if let Some(statistics) = self.statistics()? {
            builder = builder.set_statistics(statistics);
        }
        Ok(ColumnCloseResult {
            bytes_written: end as u64,
            rows_written: rows as u64,
            metadata: builder.build().map_err(io::Error::other)?,
            bloom_filter: None,
            column_index: self.column_index()?.map(ColumnIndexBuilder::build).transpose().map_err(io::Error::other)?,
            offset_index: Some(offsets.build()),
        })
    }

    fn encodings(&self, has_dictionary: bool) -> Vec<Encoding> {
        let mut all = vec![Encoding::RLE];
        let dictionary = has_dictionary.then_some(Encoding::PLAIN);
        for encoding in self.places.iter().map(|place| place.encoding).chain(dictionary) {
            if !all.contains(&encoding) {
                all.push(encoding);
            }
        }
        all
    }

    fn encoding_stats(&self, has_dictionary: bool) -> Vec<PageEncodingStats> {
        let mut stats: Vec<PageEncodingStats> = Vec::new();
        if has_dictionary {
            stats.push(PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 });
        }
        for place in &self.places {
            let same = |s: &&mut PageEncodingStats| s.page_type == PageType::DATA_PAGE && s.encoding == place.encoding;
            match stats.iter_mut().find(same) {
                Some(known) => known.count += 1,
                None => {
                    stats.push(PageEncodingStats {
                        page_type: PageType::DATA_PAGE,
                        encoding: place.encoding,
                        count: 1,
                    });
                }
            }
        }
        stats
    }

    /// Statistics serve the tag and the time alone: mantissas of different scales do not compare.
    fn statistics(&self) -> io::Result<Option<Statistics>> {
        let least = self.extremes.iter().map(|(least, _)| *least).min();
        let largest = self.extremes.iter().map(|(_, largest)| *largest).max();
        let (Some(least), Some(largest)) = (least, largest) else { return Ok(None) };
        Ok(Some(match self.descr.physical_type() {
            Type::INT32 => Statistics::int32(Some(narrow(least)?), Some(narrow(largest)?), None, Some(0), false),
            _ => Statistics::int64(Some(least), Some(largest), None, Some(0), false),
        }))
    }

    fn column_index(&self) -> io::Result<Option<ColumnIndexBuilder>> {
        if self.extremes.is_empty() {
            return Ok(None);
        }
        let physical = self.descr.physical_type();
        let mut index = ColumnIndexBuilder::new(physical);
        for (least, largest) in &self.extremes {
            index.append(false, number_bytes(physical, *least)?, number_bytes(physical, *largest)?, 0);
        }
        let ascending = self.extremes.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1);
        index.set_boundary_order(if ascending { BoundaryOrder::ASCENDING } else { BoundaryOrder::UNORDERED });
        Ok(Some(index))
    }
}

/// A number as the footer or a page has it.
fn narrow<N, T: TryFrom<N>>(number: N) -> io::Result<T> {
    T::try_from(number).map_err(|_| io::Error::other("a page or a column is too large for Parquet"))
}

/// The bytes of an integer of a column of this type.
fn number_bytes(physical: Type, number: i64) -> io::Result<Vec<u8>> {
    Ok(match physical {
        Type::INT32 => narrow::<_, i32>(number)?.to_le_bytes().to_vec(),
        _ => number.to_le_bytes().to_vec(),
    })
}

/// Appends a text after its length.
fn encode_text(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    out.extend_from_slice(&narrow::<_, u32>(text.len())?.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends dictionary indexes after their width.
fn encode_indexes(out: &mut Vec<u8>, indexes: &Runs, width: u32) -> Encoding {
    out.push(u8::try_from(width).expect("a dictionary index has at most 32 bits"));
    encode_hybrid(out, width, indexes.iter());
    Encoding::RLE_DICTIONARY
}

/// The different values of a column chunk, in the order of their first use.
struct Dictionary {
    entries_max: usize,
    bytes_max: usize,
    bytes: usize,
    numbers: HashMap<u64, u32>,
    number_list: Vec<u64>,
    texts: HashMap<Arc<str>, u32>,
    text_list: Vec<Arc<str>>,
}

impl Dictionary {
    fn new(entries_max: usize, bytes_max: usize) -> Dictionary {
        Dictionary {
            entries_max,
            bytes_max,
            bytes: 0,
            numbers: HashMap::new(),
            number_list: Vec::new(),
            texts: HashMap::new(),
            text_list: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.number_list.len() + self.text_list.len()
    }

    /// Bits of an index.
    fn width(&self) -> u32 {
        width((self.len() as u64).saturating_sub(1))
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.len() < self.entries_max && self.bytes + bytes <= self.bytes_max
    }

    /// The indexes of a page's values; none where the dictionary is full, or the page empty.
    fn indexes(&mut self, runs: impl Iterator<Item = (u64, u32)>) -> Option<Runs> {
        let mut indexes = Runs::default();
        let mut last = None;
        for (value, count) in runs {
            let index = match last {
                Some((known, index)) if known == value => index,
                _ => self.index(value)?,
            };
            last = Some((value, index));
            indexes.push(u64::from(index), count);
        }
        last.map(|_| indexes)
    }

    fn index(&mut self, value: u64) -> Option<u32> {
        if let Some(index) = self.numbers.get(&value) {
            return Some(*index);
        }
        if !self.has_room(8) {
            return None;
        }
        let index = u32::try_from(self.number_list.len()).ok()?;
        self.numbers.insert(value, index);
        self.number_list.push(value);
        self.bytes += 8;
        Some(index)
    }

    fn text_indexes(&mut self, texts: &[Arc<str>]) -> Option<Runs> {
        let mut indexes = Runs::default();
        let mut last: Option<(&Arc<str>, u32)> = None;
        for text in texts {
            let index = match last {
                Some((known, index)) if Arc::ptr_eq(known, text) || known == text => index,
                _ => self.text_index(text)?,
            };
            last = Some((text, index));
            indexes.push(u64::from(index), 1);
        }
        last.map(|_| indexes)
    }

    fn text_index(&mut self, text: &Arc<str>) -> Option<u32> {
        if let Some(index) = self.texts.get(text) {
            return Some(*index);
        }
        if !self.has_room(text.len() + 4) {
            return None;
        }
        let index = u32::try_from(self.text_list.len()).ok()?;
        self.texts.insert(text.clone(), index);
        self.text_list.push(text.clone());
        self.bytes += text.len() + 4;
        Some(index)
    }

    /// Puts the entries into the packer's plain buffer; their number, or none where there are
    /// none.
    fn encode(&self, physical: Type, packer: &mut Packer) -> io::Result<Option<u32>> {
        let out = &mut packer.plain;
        out.clear();
        for number in &self.number_list {
            match physical {
                Type::INT32 => out.extend_from_slice(&narrow::<_, i32>(number.cast_signed())?.to_le_bytes()),
                _ => out.extend_from_slice(&number.to_le_bytes()),
            }
        }
        self.text_list.iter().try_for_each(|text| encode_text(out, text))?;
        if self.len() == 0 {
            return Ok(None);
        }
        narrow(self.len()).map(Some)
    }
}
