//! Sets of samples, and segments made of them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::env::{Disk, OsDisk};
use crate::sample::{Cell, Rows};
use crate::segment::{Columns, NewSegment, ReadMetrics, Segment, SegmentWriter};
use crate::status::Status;
use crate::tag::{TagId, TagType};

/// Rows of several tags, ascending.
pub type Set = Vec<(TagId, TagType, Rows)>;

pub struct Written {
    pub dir: TempDir,
    pub segment: Segment,
}

/// Writes a set, each tag in pieces of at most `piece` rows.
pub fn write(set: &Set, piece: usize) -> Written {
    let dir = TempDir::new().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let meta = write_to(&disk, dir.path(), set, piece);
    let segment = Segment::new(disk, dir.path(), meta);
    Written { dir, segment }
}

pub fn write_to(disk: &Arc<dyn Disk>, dir: &Path, set: &Set, piece: usize) -> crate::segment::SegmentMeta {
    let plan = NewSegment {
        id: 7,
        name: "7.parquet".into(),
        first_sequence: 3,
        last_sequence: 9,
        deleted_through: 9,
        zstd_level: 1,
    };
    let mut writer = SegmentWriter::create(disk, dir, plan).unwrap();
    for (tag, tag_type, rows) in set {
        for start in (0..rows.len()).step_by(piece) {
            let mut part = Rows::default();
            part.extend_from(rows, start..(start + piece).min(rows.len()));
            writer.write(*tag, *tag_type, &part).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// All rows of a set, one after another.
pub fn flat(set: &Set) -> Vec<(i64, Cell)> {
    set.iter().flat_map(|(_, _, rows)| cells(rows)).collect()
}

/// Rows as times and cells.
pub fn cells(rows: &Rows) -> Vec<(i64, Cell)> {
    (0..rows.len()).map(|i| (rows.times[i], rows.cell(i))).collect()
}

/// Reads ranges of rows to the end, `max` at a time.
pub fn read(segment: &Segment, ranges: Vec<Range<u64>>, max: usize) -> crate::Result<Vec<(i64, Cell)>> {
    let mut reader = segment.read(ranges, Columns::ALL, &Arc::new(ReadMetrics::default()))?;
    let mut all = Vec::new();
    while let Some(rows) = reader.next(max)? {
        assert!((1..=max).contains(&rows.len()));
        all.extend(cells(&rows));
    }
    Ok(all)
}

/// Reads everything there is.
pub fn read_all(segment: &Segment) -> crate::Result<Vec<(i64, Cell)>> {
    read(segment, vec![0..segment.meta().rows], 8192)
}

/// Doubles as instruments, computers and devils make them.
pub fn double() -> impl Strategy<Value = f64> {
    let decimal = (-1_000_000_000i64..1_000_000_000, 0u8..=15).prop_map(|(m, s)| crate::segment::decimal::join(m, s));
    let special = prop::sample::select(vec![
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        9_007_199_254_740_992.0,
        9_007_199_254_740_993e2,
        0.1 + 0.2,
    ]);
    prop_oneof![
        6 => decimal,
        2 => (-100_000i64..100_000).prop_map(|m| m as f64 / 100.0),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => special,
    ]
}

fn value_of(tag_type: TagType) -> BoxedStrategy<Cell> {
    let bits = match tag_type {
        TagType::Float64 | TagType::Float32 => double().prop_map(f64::to_bits).boxed(),
        TagType::Int64 => prop_oneof![any::<i64>(), -100i64..100].prop_map(i64::cast_unsigned).boxed(),
        TagType::Bool => (0u64..2).boxed(),
        TagType::Digital => (0u64..5).boxed(),
        TagType::Text => {
            return ("[a-z\u{e4}]{0,6}", status())
                .prop_map(|(text, status)| Cell { value: None, text: Some(text.into()), status })
                .boxed();
        }
    };
    let good = bits.clone().prop_map(Cell::good);
    let flagged = (bits, status()).prop_map(|(bits, status)| Cell { value: Some(bits), text: None, status });
    let state = prop::sample::select(vec!["Bad", "Scan Timeout", "Inp OutRange"]).prop_map(|word| Cell {
        value: None,
        text: Some(word.into()),
        status: Status::BAD,
    });
    let empty = Just(Cell { value: None, text: None, status: Status::BAD_NO_DATA });
    prop_oneof![30 => good, 2 => flagged, 1 => state, 1 => empty].boxed()
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![3 => Just(Status::GOOD), 1 => any::<u32>().prop_map(Status), 1 => Just(Status::UNCERTAIN)]
}

/// Steps of time of one tag: whole seconds, jittered, or any.
fn step() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(1_000_000_000i64), 2 => (900i64..1100).prop_map(|ms| ms * 1_000_000), 2 => 1i64..3_000_000]
}

fn rows_of(tag_type: TagType, rows_max: usize) -> impl Strategy<Value = Rows> {
    let start = prop_oneof![Just(1_767_225_600_000_000_000i64), -2_000_000_000i64..2_000_000_000];
    (start, prop::collection::vec((step(), value_of(tag_type)), 1..rows_max)).prop_map(|(start, samples)| {
        let mut rows = Rows::default();
        let mut time = start;
        for (step, cell) in samples {
            rows.push(time, &cell);
            time += step;
        }
        rows
    })
}

/// Sets of up to twelve tags of all types, with gaps between their numbers.
pub fn sets(rows_max: usize) -> impl Strategy<Value = Set> {
    let tag = (1u32..40, prop::sample::select(TagType::ALL.to_vec()))
        .prop_flat_map(move |(gap, tag_type)| (Just(gap), Just(tag_type), rows_of(tag_type, rows_max)));
    prop::collection::vec(tag, 1..12).prop_map(|tags| {
        let mut id = 0;
        let mut set = Set::new();
        for (gap, tag_type, rows) in tags {
            id += gap;
            set.push((TagId(id), tag_type, rows));
        }
        set
    })
}

/// A set of noisy decimals: `tags` tags of `rows` samples, one a second.
pub fn plant(tags: u32, rows: usize) -> Set {
    let series = |tag: u32| {
        let mut series = Rows::default();
        for i in 0..rows {
            let time = 1_767_225_600_000_000_000 + i as i64 * 1_000_000_000;
            let mixed = (i as u64 + u64::from(tag) * 1_000_003).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let noise = (mixed ^ mixed >> 32).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 44;
            let value = noise as f64 / 100.0;
            series.push(time, &Cell::good(value.to_bits()));
        }
        series
    };
    (1..=tags).map(|tag| (TagId(tag), TagType::Float64, series(tag))).collect()
}
