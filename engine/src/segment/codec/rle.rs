//! The hybrid of runs and packed groups that Parquet uses for levels and dictionary indexes.

use super::bits::{pack, unpack};
use super::{DecodeResult, Padded, put_varint};

/// A series of values as runs of equal ones.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    runs: Vec<(u64, u32)>,
}

impl Runs {
    /// Appends `count` times the same value.
    #[inline]
    pub fn push(&mut self, value: u64, count: u32) {
        match self.runs.last_mut() {
            Some((last, so_far)) if *last == value => *so_far += count,
            _ if count == 0 => {}
            _ => self.runs.push((value, count)),
        }
    }

    /// The runs: value and count, neighbours of different values.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> + Clone {
        self.runs.iter().copied()
    }

    /// The values one by one.
    pub fn values(&self) -> impl Iterator<Item = u64> {
        self.runs.iter().flat_map(|(value, count)| std::iter::repeat_n(*value, *count as usize))
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Removes all runs.
    pub fn clear(&mut self) {
        self.runs.clear();
    }
}

/// A decoded column of a page.
#[derive(Clone, Debug, PartialEq)]
pub enum Series<T> {
    /// All values are the same.
    Same(T),
    /// One entry a value.
    Each(Vec<T>),
}

impl<T: Copy> Series<T> {
    /// Value `i`.
    #[inline]
    pub fn at(&self, i: usize) -> T {
        match self {
            Series::Same(value) => *value,
            Series::Each(values) => values[i],
        }
    }
}

/// Appends the runs, each value packed to `width` bits: runs of 8 and more as such, what lies
/// between them as packed groups of 8.
pub fn encode_hybrid(out: &mut Vec<u8>, width: u32, runs: impl Iterator<Item = (u64, u32)>) {
    let mut writer = HybridWriter { out, width, literals: Vec::new() };
    for (value, count) in runs {
        writer.run(value, count);
    }
    writer.flush();
}

struct HybridWriter<'a> {
    out: &'a mut Vec<u8>,
    width: u32,
    /// Values to be packed; a multiple of 8 whenever a run follows.
    literals: Vec<u64>,
}

impl HybridWriter<'_> {
    fn run(&mut self, value: u64, count: u32) {
        if count == 1 {
            return self.literals.push(value);
        }
        let mut count = count as usize;
        // A packed group holds 8 values, so the open one is filled up before a run starts.
        let missing = (8 - self.literals.len() % 8) % 8;
        if count < missing + 8 {
            self.literals.extend(std::iter::repeat_n(value, count));
            return;
        }
        self.literals.extend(std::iter::repeat_n(value, missing));
        count -= missing;
        self.flush();
        put_varint(self.out, (count as u64) << 1);
        self.out.extend_from_slice(&value.to_le_bytes()[..self.width.div_ceil(8) as usize]);
    }

    fn flush(&mut self) {
        if self.literals.is_empty() {
            return;
        }
        self.literals.resize(self.literals.len().next_multiple_of(8), 0);
        put_varint(self.out, ((self.literals.len() / 8) as u64) << 1 | 1);
        pack(self.out, self.width, self.literals.drain(..));
    }
}

/// Decodes the first `count` values of `width` bits, at most 32.
pub fn decode_hybrid(mut source: Padded<'_>, width: u32, count: usize) -> DecodeResult<Series<u32>> {
    if width > 32 {
        return Err("a dictionary index is wider than 32 bits");
    }
    let mut values: Vec<u32> = Vec::new();
    while values.len() < count {
        let left = count - values.len();
        let header = source.varint()?;
        let length = usize::try_from(header >> 1).map_err(|_| "a run is too long")?;
        if length == 0 {
            return Err("a run is empty");
        }
        if header & 1 == 0 {
            let value = run_value(&mut source, width)?;
            if length >= count && values.is_empty() {
                return Ok(Series::Same(value));
            }
            values.resize(values.len() + length.min(left), value);
        } else {
            unpack_groups(&mut source, width, length, left, &mut values)?;
        }
    }
    Ok(Series::Each(values))
}

fn run_value(source: &mut Padded<'_>, width: u32) -> DecodeResult<u32> {
    let bytes = source.take(width.div_ceil(8) as usize)?;
    let mut value = [0; 4];
    value[..bytes.len()].copy_from_slice(bytes.as_slice());
    Ok(u32::from_le_bytes(value))
}

/// Appends the values of `groups` packed groups of 8, at most `left`.
fn unpack_groups(
    source: &mut Padded<'_>,
    width: u32,
    groups: usize,
    left: usize,
    values: &mut Vec<u32>,
) -> DecodeResult<()> {
    let bytes = groups.checked_mul(width as usize).ok_or("a packed run is too long")?;
    let packed = source.take(bytes)?;
    let n = groups.saturating_mul(8).min(left);
    if width == 0 {
        values.resize(values.len() + n, 0);
    } else {
        values.extend((0..n).map(|i| unpack(&packed, width, i) as u32));
    }
    Ok(())
}
