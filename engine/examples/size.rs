//! Writes samples into one segment, reads them back, and says how large and how fast that was.
//!
//! `size OUT.parquet [ZSTD_LEVEL [ROUNDS]] < samples.csv`, where each line is
//! `tag number,type,time in ns,value,text,status`, sorted by tag and time. Text may not hold
//! commas. Of all rounds the fastest counts.

#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(clippy::single_range_in_vec_init, reason = "a read of one range is meant")]

use std::io::{BufRead, Error, stdin};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tagus_engine::env::{Disk, OsDisk};
use tagus_engine::sample::{Cell, Rows};
use tagus_engine::segment::{Columns, NewSegment, ReadMetrics, Segment, SegmentMeta, SegmentWriter};
use tagus_engine::status::Status;
use tagus_engine::tag::{TagId, TagType};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Set = Vec<(TagId, TagType, Rows)>;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let path = PathBuf::from(args.next().ok_or("usage: size OUT.parquet [ZSTD_LEVEL [ROUNDS]] < samples.csv")?);
    let level = args.next().map_or(Ok(1), |level| level.parse())?;
    let rounds: u32 = args.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let set = read_csv()?;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let (meta, seconds) = write(&disk, &path, level, rounds, &set)?;
    println!("rows {} bytes {} bytes/row {:.3}", meta.rows, meta.bytes, meta.bytes as f64 / meta.rows as f64);
    println!("write {:.1} ns/row, {:.1} M rows/s", seconds * 1e9 / meta.rows as f64, meta.rows as f64 / seconds / 1e6);
    let segment = Segment::new(disk, folder(&path), meta);
    read_times(&segment, rounds, &set)
}

fn folder(path: &std::path::Path) -> &std::path::Path {
    path.parent().unwrap_or(std::path::Path::new("."))
}

fn read_csv() -> Result<Set> {
    let mut set = Set::new();
    for line in stdin().lock().lines() {
        let line = line?;
        let mut fields = line.split(',');
        let mut next = || fields.next().ok_or_else(|| Error::other(format!("too few fields: {line}")));
        let tag = TagId(next()?.parse()?);
        let tag_type = TagType::parse(next()?).ok_or("an unknown type")?;
        let time = next()?.parse()?;
        let value = match next()? {
            "" => None,
            word if tag_type.is_float() => Some(word.parse::<f64>()?.to_bits()),
            word => Some(word.parse::<i64>()?.cast_unsigned()),
        };
        let text = Some(next()?).filter(|text| !text.is_empty()).map(Arc::from);
        let cell = Cell { value, text, status: Status(next()?.parse()?) };
        if set.last().is_none_or(|(last, ..)| *last != tag) {
            set.push((tag, tag_type, Rows::default()));
        }
        if let Some((_, _, rows)) = set.last_mut() {
            rows.push(time, &cell);
        }
    }
    Ok(set)
}

fn write(
    disk: &Arc<dyn Disk>,
    path: &std::path::Path,
    level: i32,
    rounds: u32,
    set: &Set,
) -> Result<(SegmentMeta, f64)> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or("no file name")?;
    let mut best: Option<(SegmentMeta, f64)> = None;
    for _ in 0..rounds {
        let _ = disk.remove(path);
        let plan = NewSegment {
            id: 1,
            name: name.into(),
            first_sequence: 1,
            last_sequence: 1,
            deleted_through: 1,
            zstd_level: level,
        };
        let start = Instant::now();
        let mut writer = SegmentWriter::create(disk, folder(path), plan)?;
        for (tag, tag_type, rows) in set {
            writer.write(*tag, *tag_type, rows)?;
        }
        let meta = writer.finish()?;
        let seconds = start.elapsed().as_secs_f64();
        if best.as_ref().is_none_or(|(_, known)| seconds < *known) {
            best = Some((meta, seconds));
        }
    }
    best.ok_or_else(|| "nothing written".into())
}

fn read_times(segment: &Segment, rounds: u32, set: &Set) -> Result<()> {
    let rows = segment.meta().rows;
    let metrics = Arc::new(ReadMetrics::default());
    for columns in [Columns::ALL, Columns::TIME | Columns::VALUE, Columns::TIME] {
        let mut best = f64::INFINITY;
        for _ in 0..rounds {
            let start = Instant::now();
            let mut reader = segment.read(vec![0..rows], columns, &metrics)?;
            while reader.next(8192)?.is_some() {}
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("read {columns:?}: {:.1} ns/row, {:.1} M rows/s", best * 1e9 / rows as f64, rows as f64 / best / 1e6);
    }
    let start = Instant::now();
    for (tag, _, _) in (0..rounds).flat_map(|_| set) {
        let run = segment.run(*tag)?.ok_or("a tag is missing")?;
        let mut reader = segment.read(vec![run.rows], Columns::ALL, &metrics)?;
        while reader.next(8192)?.is_some() {}
    }
    let each = start.elapsed().as_secs_f64() / set.len() as f64 / f64::from(rounds);
    println!("one tag of {} rows: {:.1} us", rows / set.len() as u64, each * 1e6);
    Ok(())
}
