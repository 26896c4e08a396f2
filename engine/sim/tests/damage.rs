//! A damaged segment costs what is in its damaged part, and nothing else.

use std::cell::Cell;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use tagus_engine::env::{Disk, OpenMode};
use tagus_engine::ingest::{Batch, Block, Counts, Shape, TagRef, Values};
use tagus_engine::scan::{ScanRequest, TagSelection};
use tagus_engine::segment::{Columns, ReadMetrics};
use tagus_engine::tag::TagId;
use tagus_engine::{Config, Engine, ErrorKind, Result};
use tagus_sim::{Operation, Sim};

const DIR: &str = "/archive";
/// 2026-01-01T00:00:00Z, where the simulated clock stands.
const NOW: i64 = 1_767_225_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
/// Rows that each flush has of each of its tags: several pages, each longer than a checksum block.
const ROWS: i64 = 50_000;
const FOREVER: RangeInclusive<i64> = i64::MIN..=i64::MAX;

struct Plant {
    sim: Sim,
    engine: Engine,
}

impl Plant {
    fn open(sim: &Sim) -> Plant {
        // All but the first find it installed.
        let _ = tracing::subscriber::set_global_default(Log);
        let (engine, _) = Engine::open(sim.env(), Path::new(DIR), Config::default()).expect("an archive");
        Plant { sim: sim.clone(), engine }
    }

    /// The archive as it is now on a machine of its own, opened.
    fn fork(&self) -> Plant {
        Plant::open(&Sim { disk: self.sim.disk.fork(), ..self.sim.clone() })
    }

    /// Writes doubles that no codec makes small: `rows` of a tag, the first at `start`, each
    /// `step` after the one before.
    fn write(&self, tag: &str, start: i64, step: i64, rows: i64) -> Result<Counts> {
        let times = (0..rows).map(|i| start + i * step).collect();
        let values = Values::Doubles((0..rows).map(|i| value(tag, start + i * step)).collect());
        let block = Block { shape: Shape::Series { tag: TagRef::Name(tag.into()), times }, values, statuses: vec![] };
        let source = self.engine.open_source(tag, "", 1)?;
        let (send, receive) = mpsc::channel();
        let batch = Batch { blocks: vec![block] };
        source.submit(source.last_sequence() + 1, batch, move |done| drop(send.send(done)))?;
        while self.engine.commit_step() {}
        Ok(receive.recv().expect("a step answers what waits")?.counts())
    }

    fn id(&self, tag: &str) -> TagId {
        self.engine.tags().find(tag).expect("a known tag").id
    }

    fn rows(&self, tag: &str, times: RangeInclusive<i64>, columns: Columns) -> Result<i64> {
        let tags = TagSelection::Ids(vec![self.id(tag)]);
        let request = ScanRequest { from: *times.start(), to: *times.end(), columns, ..ScanRequest::of(tags) };
        let view = self.engine.view();
        let spec = view.plan(&request, 2)?;
        let mut rows = 0;
        for partition in 0..spec.partitions() {
            for batch in view.open(&spec, partition, Arc::new(ReadMetrics::default()))? {
                let batch = batch?;
                if columns == Columns::ALL {
                    let right = |(time, bits): (&i64, &u64)| f64::from_bits(*bits) == value(tag, *time);
                    assert!(batch.rows.times.iter().zip(&batch.rows.values).all(right), "a wrong value of {tag}");
                }
                rows += i64::try_from(batch.len).expect("few rows");
            }
        }
        Ok(rows)
    }

    /// How many samples of a tag read back, each with its value.
    fn read(&self, tag: &str, times: RangeInclusive<i64>) -> Result<i64> {
        self.rows(tag, times, Columns::ALL)
    }

    /// How many samples a tag has, as directories say.
    fn count(&self, tag: &str) -> Result<i64> {
        self.rows(tag, FOREVER, Columns::NONE)
    }

    fn path(&self, segment: usize) -> PathBuf {
        self.engine.segment_path(&self.engine.segments()[segment])
    }

    /// Files that are known to be damaged.
    fn damaged(&self) -> Vec<PathBuf> {
        self.engine.status().damaged.into_iter().map(|segment| segment.path).collect()
    }

    fn current_values_are_served(&self) {
        for tag in self.engine.tags().iter() {
            assert!(self.engine.current(tag.id).expect("the manifest knows them").is_some());
        }
    }
}

/// What a tag has at a time.
fn value(tag: &str, time: i64) -> f64 {
    let seed = tag.bytes().fold(time.cast_unsigned(), |hash, byte| hash.rotate_left(5) ^ u64::from(byte));
    let mixed = (seed ^ (seed >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 11) as f64 / 7.0
}

/// Two segments of tags `a` and `b`, the second an hour after the first, and one of tag `c`.
fn plant() -> Plant {
    let plant = Plant::open(&Sim::new(5));
    for start in [NOW - 5 * HOUR, NOW - 4 * HOUR] {
        for tag in ["a", "b"] {
            plant.write(tag, start, SECOND / 100, ROWS).expect("a healthy disk");
        }
        plant.engine.flush().expect("a healthy disk");
    }
    plant.write("c", NOW - 3 * HOUR, SECOND, ROWS / 10).expect("a healthy disk");
    plant.engine.flush().expect("a healthy disk");
    assert_eq!(plant.engine.segments().len(), 3);
    plant
}

/// The error of a read that met damage: it names the file.
#[track_caller]
fn assert_damaged<T>(result: Result<T>, path: &Path) {
    let error = result.err().expect("this part of the file is damaged");
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

/// The times of the first segment's third page or so: 200 s and more after its start.
fn late_in_first() -> RangeInclusive<i64> {
    NOW - 5 * HOUR + 420 * SECOND..=NOW - 5 * HOUR + 421 * SECOND
}

fn early_in_first() -> RangeInclusive<i64> {
    NOW - 5 * HOUR..=NOW - 5 * HOUR + SECOND
}

fn second() -> RangeInclusive<i64> {
    NOW - 4 * HOUR..=NOW
}

/// Where in the first segment nothing but tag `a`'s early rows lie: it comes first, its values are
/// what is longest.
const EARLY: u64 = 70_000;

/// Everything but the early rows of `a` in the first segment is served.
#[track_caller]
fn assert_only_early_rows_of_a_are_missing(plant: &Plant) {
    let path = plant.path(0);
    assert_damaged(plant.read("a", FOREVER), &path);
    assert_damaged(plant.read("a", early_in_first()), &path);
    assert_eq!(plant.read("a", late_in_first()).expect("another page"), 101);
    assert_eq!(plant.read("a", second()).expect("another file"), ROWS);
    assert_eq!(plant.count("a").expect("the directory is whole"), 2 * ROWS);
    assert_eq!(plant.read("b", FOREVER).expect("other pages"), 2 * ROWS);
    assert_eq!(plant.read("c", FOREVER).expect("another file"), ROWS / 10);
    plant.current_values_are_served();
    assert_eq!(plant.damaged(), [path]);
}

#[test]
fn a_flipped_bit_costs_the_rows_of_its_block() {
    let plant = plant();
    let path = plant.path(0);
    plant.sim.disk.flip(&path, EARLY, 3).expect("a byte that is there");
    assert!(plant.damaged().is_empty(), "nobody has looked yet");
    assert_only_early_rows_of_a_are_missing(&plant);
    let found = &plant.engine.status().damaged[0];
    assert_eq!((found.offset, found.since), (65_536, NOW));
    assert_eq!(found.why, "a checksum does not match");

    // Reading something else proves nothing, reading the block again does.
    plant.sim.disk.flip(&path, EARLY, 3).expect("a byte that is there");
    plant.read("b", FOREVER).expect("a sound part");
    assert_eq!(plant.damaged(), [path]);
    assert_eq!(plant.read("a", FOREVER).expect("a file that is whole again"), 2 * ROWS);
    assert!(plant.damaged().is_empty());
}

#[test]
fn an_unreadable_sector_costs_the_rows_of_its_block() {
    let plant = plant();
    let path = plant.path(0);
    plant.sim.disk.make_unreadable(&path, EARLY..EARLY + 512).expect("a file that is there");
    assert_only_early_rows_of_a_are_missing(&plant);
    let found = &plant.engine.status().damaged[0];
    assert_eq!(found.offset, 65_536, "the block is found in a request of many");
    assert!(found.why.contains("the disk cannot read it"), "{}", found.why);
    plant.sim.disk.make_readable(&path).expect("a file that is there");
    assert_eq!(plant.read("a", FOREVER).expect("a file that is whole again"), 2 * ROWS);
    assert!(plant.damaged().is_empty());
}

/// Changes the file's bytes in place, as copying over it does.
fn overwrite(plant: &Plant, path: &Path, bytes: &[u8]) {
    let disk = &plant.sim.disk;
    disk.remove(path).expect("a file that is there");
    let file = disk.open(path, OpenMode::CreateNew).expect("no file is there");
    file.write_all_at(bytes, 0).expect("a healthy disk");
}

/// Every tag range of the first segment fails, and nothing else.
#[track_caller]
fn assert_first_segment_is_missing(plant: &Plant) {
    let path = plant.path(0);
    for tag in ["a", "b"] {
        assert_damaged(plant.read(tag, FOREVER), &path);
        assert_damaged(plant.read(tag, late_in_first()), &path);
        assert_damaged(plant.count(tag), &path);
        assert_eq!(plant.read(tag, second()).expect("another file"), ROWS);
    }
    assert_eq!(plant.read("c", FOREVER).expect("another file"), ROWS / 10);
    plant.current_values_are_served();
    assert_eq!(plant.damaged(), [path]);
}

#[test]
fn a_segment_without_its_tail_or_its_file_costs_all_of_it() {
    let whole = plant();
    let path = whole.path(0);
    let bytes = whole.sim.disk.read(&path).expect("a file that is there");
    let tail = whole.engine.segments()[0].tail_offset;
    type Harm<'a> = &'a dyn Fn(&Plant);
    let flipped: Harm<'_> = &|plant| plant.sim.disk.flip(&path, tail + 9, 1).expect("a byte that is there");
    let unreadable: Harm<'_> = &|plant| {
        plant.sim.disk.make_unreadable(&path, tail..tail + 1).expect("a file that is there");
    };
    let missing: Harm<'_> = &|plant| plant.sim.disk.remove(&path).expect("a file that is there");
    let cut: Harm<'_> = &|plant| overwrite(plant, &path, &bytes[..bytes.len() / 2]);
    let empty: Harm<'_> = &|plant| overwrite(plant, &path, &[]);
    for (name, harm) in
        [("flipped", flipped), ("unreadable", unreadable), ("missing", missing), ("cut", cut), ("empty", empty)]
    {
        // Nothing of the file is in memory yet: opening the archive has read no segment.
        let plant = whole.fork();
        harm(&plant);
        assert_first_segment_is_missing(&plant);
        let again = plant.fork();
        assert_first_segment_is_missing(&again);

        // A person copies the file back while the engine runs.
        if plant.sim.disk.files().contains(&path) {
            plant.sim.disk.remove(&path).expect("a file that is there");
        }
        let file = plant.sim.disk.open(&path, OpenMode::CreateNew).expect("no file is there");
        file.write_all_at(&bytes, 0).expect("a healthy disk");
        for tag in ["a", "b"] {
            assert_eq!(plant.read(tag, FOREVER).unwrap_or_else(|e| panic!("{name}: {e}")), 2 * ROWS);
        }
        assert!(plant.damaged().is_empty(), "{name}");
    }
}

#[test]
fn a_file_that_vanishes_or_shrinks_after_it_was_read_is_noticed() {
    for length in [None, Some(1000)] {
        let plant = plant();
        let path = plant.path(0);
        assert_eq!(plant.read("a", FOREVER).expect("a sound archive"), 2 * ROWS);
        match length {
            None => plant.sim.disk.remove(&path).expect("a file that is there"),
            Some(length) => {
                let bytes = plant.sim.disk.read(&path).expect("a file that is there");
                overwrite(&plant, &path, &bytes[..length]);
            }
        }
        assert_damaged(plant.read("a", FOREVER), &path);
        assert_damaged(plant.read("b", FOREVER), &path);
        assert_eq!(plant.damaged(), [path]);
    }
}

#[test]
fn an_error_that_passes_is_no_damage() {
    let plant = plant();
    plant.sim.disk.fail(Operation::Read, 1, std::io::ErrorKind::Other);
    let error = plant.read("a", FOREVER).expect_err("the first read fails");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains(&plant.path(0).display().to_string()), "{error}");
    assert!(plant.damaged().is_empty());
    assert_eq!(plant.read("a", FOREVER).expect("the second does not"), 2 * ROWS);
}

/// Bytes of a segment are flipped under a running engine, a prime number apart: the segment's own
/// tests flip every one.
#[test]
fn no_flipped_byte_gives_a_wrong_row_or_stops_another_tag() {
    let small = Plant::open(&Sim::new(6));
    for tag in ["a", "b"] {
        small.write(tag, NOW - 2 * HOUR, SECOND, 200).expect("a healthy disk");
    }
    small.engine.flush().expect("a healthy disk");
    small.write("c", NOW - HOUR, SECOND, 200).expect("a healthy disk");
    small.engine.flush().expect("a healthy disk");
    let path = small.path(0);
    let length = small.sim.disk.read(&path).expect("a file that is there").len() as u64;
    for offset in (0..length).step_by(13) {
        let plant = small.fork();
        plant.sim.disk.flip(&path, offset, u8::try_from(offset % 8).expect("below 8")).expect("a byte that is there");
        assert_eq!(plant.read("c", FOREVER).expect("another file"), 200, "byte {offset}");
        let failed = ["a", "b"].into_iter().filter(|tag| match plant.read(tag, FOREVER) {
            Ok(rows) => {
                assert_eq!(rows, 200, "byte {offset}");
                false
            }
            read => {
                assert_damaged(read, &path);
                true
            }
        });
        let failed = failed.count();
        assert!(failed > 0, "byte {offset}: nobody has noticed");
        assert_eq!(plant.damaged(), std::slice::from_ref(&path), "byte {offset}");
    }
}

/// Merges go on without a damaged segment, and with it once its file is back.
#[test]
fn merges_go_round_a_damaged_segment() {
    let plant = Plant::open(&Sim::new(7));
    for day in 0..3 {
        for part in 0..3 {
            let start = NOW - (10 - day) * 24 * HOUR + part * HOUR;
            plant.write("a", start, SECOND, 1000).expect("a healthy disk");
            plant.engine.flush().expect("a healthy disk");
        }
    }
    let segments = plant.engine.segments();
    let path = plant.path(4);
    plant.sim.disk.flip(&path, 5, 0).expect("a byte that is there");
    let error = plant.engine.compact().expect_err("one segment is left out");
    assert_eq!(error.kind(), ErrorKind::Damaged);
    let text = error.to_string();
    assert!(text.contains(&format!("{} at byte 0 (a checksum does not match)", path.display())), "{text}");
    assert!(!text.contains('\n'), "{text}");

    let left = plant.engine.segments();
    assert!(left.contains(&segments[4]), "a damaged segment stays");
    assert!(left.len() < segments.len() - 3, "the others are merged: {} of {}", left.len(), segments.len());
    let files = plant.sim.disk.files().iter().filter(|path| path.starts_with("/archive/segments")).count();
    assert_eq!(files, left.len(), "what was given up leaves nothing behind");
    assert!(!plant.engine.merge_step().expect("no merge fails again"), "and none is due");
    for day in [0, 2] {
        let from = NOW - (10 - day) * 24 * HOUR;
        assert_eq!(plant.read("a", from..=from + 23 * HOUR).expect("other files"), 3000);
    }

    plant.sim.disk.flip(&path, 5, 0).expect("a byte that is there");
    assert_eq!(plant.read("a", FOREVER).expect("a file that is whole again"), 9000);
    plant.engine.compact().expect("nothing is damaged");
    assert!(plant.engine.segments().len() < left.len());
    assert_eq!(plant.read("a", FOREVER).expect("a sound archive"), 9000);
}

#[test]
fn a_missing_segment_is_left_out_of_merges_and_of_nothing_else() {
    let plant = Plant::open(&Sim::new(8));
    for part in 0..4 {
        plant.write("a", NOW - 72 * HOUR + part * HOUR, SECOND, 100).expect("a healthy disk");
        plant.engine.flush().expect("a healthy disk");
    }
    let path = plant.path(3);
    plant.sim.disk.remove(&path).expect("a file that is there");
    assert_damaged(plant.engine.compact(), &path);
    assert_eq!(plant.engine.segments().len(), 2, "three are one now");
    plant.write("a", NOW - HOUR, SECOND, 100).expect("writing goes on");
    plant.engine.flush().expect("flushing goes on");
    plant.engine.close().expect("so does a clean stop");
    assert_eq!(plant.fork().read("a", NOW - HOUR..=NOW).expect("another file"), 100);
}

#[test]
fn a_damaged_segment_can_be_deleted() {
    let plant = plant();
    let path = plant.path(0);
    plant.sim.disk.remove(&path).expect("a file that is there");
    assert_damaged(plant.read("a", FOREVER), &path);
    let (first, last) = (plant.engine.segments()[0].first_time, plant.engine.segments()[0].last_time);
    let delete = |to| plant.engine.delete(&[plant.id("a"), plant.id("b")], first, to);
    // As long as a row is left, its file is asked for.
    assert_damaged(delete(last - 1), &path);
    assert_damaged(plant.read("a", FOREVER), &path);
    assert_damaged(plant.engine.compact(), &path);
    let error = delete(last).expect_err("nobody can count them");
    assert!(error.to_string().contains("they are deleted all the same"), "{error}");
    assert_eq!(plant.read("a", FOREVER).expect("another file"), ROWS);
    plant.current_values_are_served();
    plant.engine.compact().expect("nothing is left to be read of it");
    assert!(plant.damaged().is_empty());
    assert_eq!(plant.read("b", FOREVER).expect("another file"), ROWS);
    assert_eq!(plant.read("c", FOREVER).expect("another file"), ROWS / 10);
    let reopened = plant.fork();
    assert_eq!(reopened.read("a", FOREVER).expect("another file"), ROWS);
}

thread_local! {
    /// Errors and warnings that this thread has told to the log.
    static TOLD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Counts them. The one subscriber of all tests: what is told on a thread is that of its test.
struct Log;

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let level = *event.metadata().level();
        let (errors, warnings) = TOLD.get();
        let is = |other| usize::from(level == other);
        TOLD.set((errors + is(tracing::Level::ERROR), warnings + is(tracing::Level::WARN)));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_damage_is_told_once_and_late_samples_count_as_stored() {
    let plant = plant();
    let path = plant.path(0);
    plant.sim.disk.flip(&path, EARLY, 0).expect("a byte that is there");
    assert_eq!(TOLD.get(), (0, 0));
    for _ in 0..5 {
        assert_damaged(plant.read("a", early_in_first()), &path);
    }
    assert_eq!(TOLD.get(), (1, 0));
    // The same samples once more: where the block can be read they are duplicates.
    for at in 0..5 {
        let start = NOW - 5 * HOUR + at * 10 * SECOND / 100;
        let counts = plant.write("a", start, SECOND / 100, 10).expect("writing goes on");
        assert_eq!((counts.stored, counts.duplicate), (10, 0));
    }
    let again = plant.write("b", NOW - 5 * HOUR, SECOND / 100, 10).expect("writing goes on");
    assert_eq!((again.stored, again.duplicate), (0, 10));
    assert_eq!(TOLD.get(), (1, 1));
}

/// What opening an archive of so many segments reads; no segment can be read meanwhile.
fn reads_at_start(segments: u64) -> u64 {
    let plant = Plant::open(&Sim::new(9));
    for segment in 0..segments {
        let start = NOW - 48 * HOUR + segment.cast_signed() * HOUR / 10;
        plant.write("a", start, SECOND, 10).expect("a healthy disk");
        plant.engine.flush().expect("a healthy disk");
    }
    assert_eq!(plant.engine.status().segments as u64, segments);
    plant.engine.close().expect("a healthy disk");
    let disk = plant.sim.disk.fork();
    for path in disk.files().into_iter().filter(|path| path.starts_with("/archive/segments")) {
        let everything: Range<u64> = 0..u64::MAX / 2;
        disk.make_unreadable(&path, everything).expect("a file that is there");
    }
    let before = disk.counters().reads;
    let opened = Plant::open(&Sim { disk: disk.clone(), ..plant.sim.clone() });
    opened.current_values_are_served();
    assert!(opened.damaged().is_empty());
    disk.counters().reads - before
}

/// A start reads the manifest since its last snapshot and the log, however many segments there are.
#[test]
fn a_start_reads_no_segment() {
    let few = reads_at_start(10);
    // As many edits after the last snapshot, and ten times as many segments.
    assert_eq!(reads_at_start(10 + 3 * 32), few);
}
