//! Page headers: Thrift's compact protocol, as far as Parquet pages use it.

use parquet::basic::Encoding;

use super::{DecodeResult, Padded, put_zigzag};

/// What a page holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageKind {
    /// Values of the column, with their definition levels where it is nullable.
    Data,
    /// The dictionary of a column chunk.
    Dictionary,
}

/// The header of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageHeader {
    /// What the page holds.
    pub kind: PageKind,
    /// Bytes of the page before compression, without the header.
    pub plain_bytes: u32,
    /// Bytes of the page as it is stored, without the header.
    pub stored_bytes: u32,
    /// Values of the page, NULLs included.
    pub values: u32,
    /// How the values are encoded.
    pub encoding: Encoding,
}

const I32: u8 = 5;
const STRUCT: u8 = 12;

impl PageHeader {
    /// Appends the header.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (kind, field) = match self.kind {
            PageKind::Data => (0, 5),
            PageKind::Dictionary => (2, 7),
        };
        for value in [kind, i64::from(self.plain_bytes), i64::from(self.stored_bytes)] {
            put_field(out, 1, I32);
            put_zigzag(out, value);
        }
        put_field(out, field - 3, STRUCT);
        for value in [i64::from(self.values), number_of(self.encoding)] {
            put_field(out, 1, I32);
            put_zigzag(out, value);
        }
        if self.kind == PageKind::Data {
            for _definition_then_repetition in 0..2 {
                put_field(out, 1, I32);
                put_zigzag(out, number_of(Encoding::RLE));
            }
        }
        // Ends the inner struct, then the outer.
        out.extend_from_slice(&[0, 0]);
    }

    /// Reads a header and takes its bytes off.
    pub fn read(source: &mut Padded<'_>) -> DecodeResult<PageHeader> {
        let mut numbers = [0i64; 3];
        let mut inner = None;
        let mut field = 0;
        while let Some(kind) = next_field(source, &mut field)? {
            match (kind, field) {
                (I32, 1..=3) => numbers[field as usize - 1] = source.zigzag()?,
                (STRUCT, 5 | 7) => inner = Some((field, read_inner(source)?)),
                _ => skip(source, kind, 0)?,
            }
        }
        let [page_type, plain, stored] = numbers;
        let kind = match (page_type, inner) {
            (0, Some((5, _))) => PageKind::Data,
            (2, Some((7, _))) => PageKind::Dictionary,
            _ => return Err("a page is of an unknown kind"),
        };
        let (values, encoding) = inner.map(|(_, inner)| inner).ok_or("a page header is incomplete")?;
        let size = |n: i64| u32::try_from(n).map_err(|_| "a page has an impossible size");
        Ok(PageHeader {
            kind,
            plain_bytes: size(plain)?,
            stored_bytes: size(stored)?,
            values: size(values)?,
            encoding: encoding_of(encoding)?,
        })
    }
}

/// The number of values and of the encoding, which both kinds of header begin with.
fn read_inner(source: &mut Padded<'_>) -> DecodeResult<(i64, i64)> {
    let mut numbers = [0i64; 2];
    let mut field = 0;
    while let Some(kind) = next_field(source, &mut field)? {
        match (kind, field) {
            (I32, 1..=2) => numbers[field as usize - 1] = source.zigzag()?,
            _ => skip(source, kind, 0)?,
        }
    }
    Ok((numbers[0], numbers[1]))
}

fn put_field(out: &mut Vec<u8>, step: u8, kind: u8) {
    out.push(step << 4 | kind);
}

/// The type of the next field, whose number is kept in `field`; none at the end of the struct.
fn next_field(source: &mut Padded<'_>, field: &mut u8) -> DecodeResult<Option<u8>> {
    let byte = source.take_byte()?;
    if byte == 0 {
        return Ok(None);
    }
    *field = match byte >> 4 {
        0 => u8::try_from(source.zigzag()?).map_err(|_| "a page header has an impossible field")?,
        step => field.checked_add(step).ok_or("a page header has an impossible field")?,
    };
    Ok(Some(byte & 15))
}

/// Passes over a field of any type; structs within structs end at a fixed depth.
fn skip(source: &mut Padded<'_>, kind: u8, depth: u8) -> DecodeResult<()> {
    match kind {
        1 | 2 => {}
        3 => drop(source.take_byte()?),
        4..=6 => drop(source.varint()?),
        7 => drop(source.take(8)?),
        8 => {
            let length = usize::try_from(source.varint()?).map_err(|_| "a page header is too long")?;
            source.take(length)?;
        }
        STRUCT if depth < 4 => {
            let mut field = 0;
            while let Some(kind) = next_field(source, &mut field)? {
                skip(source, kind, depth + 1)?;
            }
        }
        _ => return Err("a page header has a field of an unknown type"),
    }
    Ok(())
}

const ENCODINGS: [(Encoding, i64); 5] = [
    (Encoding::PLAIN, 0),
    (Encoding::RLE, 3),
    (Encoding::DELTA_BINARY_PACKED, 5),
    (Encoding::RLE_DICTIONARY, 8),
    (Encoding::BYTE_STREAM_SPLIT, 9),
];

fn number_of(encoding: Encoding) -> i64 {
    ENCODINGS.iter().find(|(known, _)| *known == encoding).map_or(0, |(_, number)| *number)
}

fn encoding_of(number: i64) -> DecodeResult<Encoding> {
    let known = ENCODINGS.iter().find(|(_, known)| *known == number);
    known.map(|(encoding, _)| *encoding).ok_or("a page has an unknown encoding")
}
