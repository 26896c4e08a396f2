//! Pages back into columns.

use std::sync::Arc;

use parquet::basic::Encoding;

use super::codec::{
    DecodeResult, PADDING, Padded, PageHeader, PageKind, Series, decode_delta, decode_hybrid, decode_plain_i64,
    decode_plain_texts, decode_split,
};
use super::schema::{NANOS, SCALE, TAG, TEXT, is_nullable};

/// The largest page that is decompressed: far above what a writer makes of long texts.
const PAGE_BYTES_MAX: usize = 1 << 28;

/// The dictionary of a column chunk.
pub enum Dictionary {
    /// Of a column of numbers.
    Numbers(Vec<i64>),
    /// Of the texts.
    Texts(Vec<Arc<str>>),
}

/// Which rows of a page have a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    /// All.
    All,
    /// None.
    None,
    /// One entry a row.
    Each(Vec<bool>),
}

impl Presence {
    /// Whether row `i` has a value.
    #[inline]
    pub fn at(&self, i: usize) -> bool {
        match self {
            Presence::All => true,
            Presence::None => false,
            Presence::Each(each) => each[i],
        }
    }
}

/// The values of a page.
pub enum Values {
    /// Numbers, one a row; where there is no value any number stands.
    Numbers(Series<i64>),
    /// Texts, one a row.
    Texts(Vec<Option<Arc<str>>>),
}

/// A decoded page of one column.
pub struct ColumnPage {
    /// Which rows have a value.
    pub presence: Presence,
    /// The values.
    pub values: Values,
}

/// Decodes pages; its buffer serves all.
pub struct Unpacker {
    decompressor: zstd::bulk::Decompressor<'static>,
    plain: Vec<u8>,
}

impl Unpacker {
    /// A decoder of pages.
    pub fn new() -> std::io::Result<Unpacker> {
        Ok(Unpacker { decompressor: zstd::bulk::Decompressor::new()?, plain: Vec::new() })
    }

    /// Decompresses a page into the buffer.
    fn open(&mut self, page: &[u8], kind: PageKind) -> DecodeResult<PageHeader> {
        // The header decoder may read words beyond its bytes, so it gets a padded copy.
        let mut head = [0; 64 + PADDING];
        let length = page.len().min(64);
        head[..length].copy_from_slice(&page[..length]);
        let mut source = Padded::new(&head[..length + PADDING]);
        let header = PageHeader::read(&mut source)?;
        let body = &page[length - source.len()..];
        let plain_bytes = header.plain_bytes as usize;
        if header.kind != kind || body.len() != header.stored_bytes as usize || plain_bytes > PAGE_BYTES_MAX {
            return Err("a page header does not fit its page");
        }
        self.plain.clear();
        self.plain.reserve(plain_bytes + PADDING);
        let written = self.decompressor.decompress_to_buffer(body, &mut self.plain);
        if written.map_err(|_| "a page does not decompress")? != plain_bytes {
            return Err("a page decompresses to another size");
        }
        self.plain.extend_from_slice(&[0; PADDING]);
        Ok(header)
    }

    /// Decodes the dictionary of a column.
    pub fn dictionary(&mut self, column: usize, page: &[u8]) -> DecodeResult<Dictionary> {
        let header = self.open(page, PageKind::Dictionary)?;
        let source = Padded::new(&self.plain);
        let count = header.values as usize;
        if column == TEXT {
            return decode_plain_texts(source, count).map(Dictionary::Texts);
        }
        let numbers = if is_narrow(column) {
            let (words, rest) = source.as_slice().as_chunks::<4>();
            if words.len() != count || !rest.is_empty() {
                return Err("a dictionary holds another number of entries than its header says");
            }
            words.iter().map(|word| i64::from(i32::from_le_bytes(*word))).collect()
        } else {
            decode_plain_i64(source, count)?.into_iter().map(u64::cast_signed).collect()
        };
        Ok(Dictionary::Numbers(numbers))
    }

    /// Decodes a page of `rows` rows of a column.
    pub fn page(
        &mut self,
        column: usize,
        page: &[u8],
        rows: usize,
        dictionary: Option<&Dictionary>,
    ) -> DecodeResult<ColumnPage> {
        let header = self.open(page, PageKind::Data)?;
        if header.values as usize != rows {
            return Err("a page holds another number of rows than the page index says");
        }
        let mut source = Padded::new(&self.plain);
        let presence = if is_nullable(column) { read_levels(&mut source, rows)? } else { Presence::All };
        let count = match &presence {
            Presence::All => rows,
            Presence::None => 0,
            Presence::Each(each) => each.iter().filter(|there| **there).count(),
        };
        if column == TEXT {
            let texts = read_texts(source, count, header.encoding, dictionary)?;
            return Ok(ColumnPage { values: Values::Texts(spread_texts(texts, &presence, rows)), presence });
        }
        let numbers =
            if count == 0 { Series::Same(0) } else { read_numbers(source, count, header.encoding, dictionary)? };
        Ok(ColumnPage { values: Values::Numbers(spread(numbers, &presence)), presence })
    }
}

/// Whether a column has 32 bits.
fn is_narrow(column: usize) -> bool {
    matches!(column, TAG | NANOS | SCALE)
}

fn read_levels(source: &mut Padded<'_>, rows: usize) -> DecodeResult<Presence> {
    let length = source.u32()? as usize;
    let levels = decode_hybrid(source.head(length)?, 1, rows)?;
    *source = source.skip(length)?;
    Ok(match levels {
        Series::Same(0) => Presence::None,
        Series::Same(_) => Presence::All,
        Series::Each(each) => Presence::Each(each.into_iter().map(|level| level != 0).collect()),
    })
}

fn read_numbers(
    mut source: Padded<'_>,
    count: usize,
    encoding: Encoding,
    dictionary: Option<&Dictionary>,
) -> DecodeResult<Series<i64>> {
    let signed = |values: Vec<u64>| Series::Each(values.into_iter().map(u64::cast_signed).collect());
    match (encoding, dictionary) {
        (Encoding::DELTA_BINARY_PACKED, _) => {
            let mut values = Vec::new();
            decode_delta(source, count, &mut values)?;
            Ok(Series::Each(values))
        }
        (Encoding::PLAIN, _) => decode_plain_i64(source, count).map(signed),
        (Encoding::BYTE_STREAM_SPLIT, _) => decode_split(source, count).map(signed),
        (Encoding::RLE_DICTIONARY, Some(Dictionary::Numbers(numbers))) => {
            let width = u32::from(source.take_byte()?);
            let look_up = |index: u32| numbers.get(index as usize).copied();
            match decode_hybrid(source, width, count)? {
                Series::Same(index) => look_up(index).map(Series::Same),
                Series::Each(indexes) => indexes.into_iter().map(look_up).collect::<Option<_>>().map(Series::Each),
            }
            .ok_or("a page names an entry that its dictionary does not have")
        }
        _ => Err("a page has an encoding that its column does not use"),
    }
}

fn read_texts(
    mut source: Padded<'_>,
    count: usize,
    encoding: Encoding,
    dictionary: Option<&Dictionary>,
) -> DecodeResult<Vec<Arc<str>>> {
    match (encoding, dictionary) {
        (Encoding::PLAIN, _) => decode_plain_texts(source, count),
        (Encoding::RLE_DICTIONARY, Some(Dictionary::Texts(texts))) => {
            let width = u32::from(source.take_byte()?);
            let indexes = decode_hybrid(source, width, count)?;
            let look_up = |i: usize| texts.get(indexes.at(i) as usize).cloned();
            let found = (0..count).map(look_up).collect::<Option<_>>();
            found.ok_or("a page names a text that its dictionary does not have")
        }
        _ => Err("a page has an encoding that its column does not use"),
    }
}

/// Puts each value at its row.
fn spread(numbers: Series<i64>, presence: &Presence) -> Series<i64> {
    match (numbers, presence) {
        (Series::Each(values), Presence::Each(each)) => {
            let mut values = values.into_iter();
            Series::Each(each.iter().map(|there| if *there { values.next().unwrap_or(0) } else { 0 }).collect())
        }
        (numbers, _) => numbers,
    }
}

fn spread_texts(texts: Vec<Arc<str>>, presence: &Presence, rows: usize) -> Vec<Option<Arc<str>>> {
    let mut texts = texts.into_iter();
    (0..rows).map(|i| if presence.at(i) { texts.next() } else { None }).collect()
}
