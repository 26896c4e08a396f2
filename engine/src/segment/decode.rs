//! Pages back into columns.

use std::sync::Arc;

use parking_lot::Mutex;
use parquet::basic::Encoding;

use super::codec::{
    DecodeResult, PADDING, Padded, PageHeader, PageKind, Series, decode_delta, decode_hybrid, decode_plain,
    decode_plain_texts, decode_split,
};
use super::schema::{NANOS, SCALE, TAG, TEXT, is_nullable};
use crate::limits::{DICTIONARY_ENTRIES_MAX, PAGE_BYTES_MAX};

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

/// Decodes pages; its buffers serve all.
pub struct Unpacker {
    decompressor: zstd::bulk::Decompressor<'static>,
    plain: Vec<u8>,
    /// Room of columns that nobody needs any more.
    spare: Vec<Vec<i64>>,
}

/// Rows of a page, and how many of them, from the first on, are wanted.
#[derive(Clone, Copy)]
pub struct PageSize {
    /// All rows.
    pub rows: usize,
    /// The rows that are decoded.
    pub wanted: usize,
}

/// Unpackers that no reader uses now. To make one takes as long as to decode a page, and so does
/// the kernel to find memory for its buffers.
static IDLE: Mutex<Vec<Unpacker>> = Mutex::new(Vec::new());
/// How many are kept, and how many bytes each may hold on to.
const IDLE_MAX: usize = 4;
const IDLE_BYTES_MAX: usize = 2 << 20;

impl Unpacker {
    /// A decoder of pages.
    pub fn new() -> std::io::Result<Unpacker> {
        if let Some(idle) = IDLE.lock().pop() {
            return Ok(idle);
        }
        Ok(Unpacker { decompressor: zstd::bulk::Decompressor::new()?, plain: Vec::new(), spare: Vec::new() })
    }

    /// Gives the unpacker to the next reader.
    pub fn retire(mut self) {
        let spare: usize = self.spare.iter().map(|column| column.capacity() * size_of::<i64>()).sum();
        if self.plain.capacity() + spare > IDLE_BYTES_MAX {
            (self.plain, self.spare) = (Vec::new(), Vec::new());
        }
        let mut idle = IDLE.lock();
        if idle.len() < IDLE_MAX {
            idle.push(self);
        }
    }

    /// Takes the room of a column that is read no more.
    pub fn recycle(&mut self, page: ColumnPage) {
        if let Values::Numbers(Series::Each(mut room)) = page.values {
            room.clear();
            self.spare.push(room);
        }
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
        if count > DICTIONARY_ENTRIES_MAX {
            return Err("a dictionary has more entries than there may be");
        }
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
            let mut numbers = Vec::new();
            if decode_plain(source, count, &mut numbers)? != count {
                return Err("a dictionary holds another number of entries than its header says");
            }
            numbers
        };
        Ok(Dictionary::Numbers(numbers))
    }

    /// Decodes the wanted rows of a page of a column.
    pub fn page(
        &mut self,
        column: usize,
        page: &[u8],
        size: PageSize,
        dictionary: Option<&Dictionary>,
    ) -> DecodeResult<ColumnPage> {
        let header = self.open(page, PageKind::Data)?;
        if header.values as usize != size.rows {
            return Err("a page holds another number of rows than the page index says");
        }
        let rows = size.wanted.min(size.rows);
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
        if count == 0 {
            return Ok(ColumnPage { values: Values::Numbers(Series::Same(0)), presence });
        }
        // What comes through a dictionary takes the room of its indexes.
        let direct = header.encoding != Encoding::RLE_DICTIONARY;
        let room = if direct { self.spare.pop().unwrap_or_default() } else { Vec::new() };
        let (mut numbers, total) = read_numbers(source, count, header.encoding, dictionary, room)?;
        if rows == size.rows && total.is_some_and(|total| total != count) {
            return Err("a page holds another number of values than its header says");
        }
        spread(&mut numbers, &presence);
        Ok(ColumnPage { values: Values::Numbers(numbers), presence })
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

/// The first `count` numbers, and how many there are in all, where the encoding tells. `room`
/// is used for them, if they need any.
fn read_numbers(
    mut source: Padded<'_>,
    count: usize,
    encoding: Encoding,
    dictionary: Option<&Dictionary>,
    mut room: Vec<i64>,
) -> DecodeResult<(Series<i64>, Option<usize>)> {
    let total = match (encoding, dictionary) {
        (Encoding::DELTA_BINARY_PACKED, _) => decode_delta(source, count, &mut room)?,
        (Encoding::PLAIN, _) => decode_plain(source, count, &mut room)?,
        (Encoding::BYTE_STREAM_SPLIT, _) => decode_split(source, count, &mut room)?,
        (Encoding::RLE_DICTIONARY, Some(Dictionary::Numbers(numbers))) => {
            let width = u32::from(source.take_byte()?);
            let look_up = |index: u32| numbers.get(index as usize).copied();
            let found = match decode_hybrid(source, width, count)? {
                Series::Same(index) => look_up(index).map(Series::Same),
                Series::Each(indexes) => indexes.into_iter().map(look_up).collect::<Option<_>>().map(Series::Each),
            };
            let found = found.ok_or("a page names an entry that its dictionary does not have")?;
            return Ok((found, None));
        }
        _ => return Err("a page has an encoding that its column does not use"),
    };
    Ok((Series::Each(room), Some(total)))
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
fn spread(numbers: &mut Series<i64>, presence: &Presence) {
    if let (Series::Each(values), Presence::Each(each)) = (numbers, presence) {
        let mut next = values.len();
        values.resize(each.len(), 0);
        // From the last row on, so that no value is overwritten before it is moved.
        for (row, there) in each.iter().enumerate().rev() {
            values[row] = if *there && next > 0 {
                next -= 1;
                values[next]
            } else {
                0
            };
        }
    }
}

fn spread_texts(texts: Vec<Arc<str>>, presence: &Presence, rows: usize) -> Vec<Option<Arc<str>>> {
    let mut texts = texts.into_iter();
    (0..rows).map(|i| if presence.at(i) { texts.next() } else { None }).collect()
}
