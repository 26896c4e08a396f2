use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::sync_channel;

use super::*;
use crate::env::{Disk, Env, File, OpenMode, OsDisk};
use crate::ingest::{Batch, Block, Shape, TagRef, Values};
use crate::{Config, Engine, OpenSource};

/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600_000_000_000;

/// The machine's disk, which counts the segments that are opened to be read.
#[derive(Default)]
struct CountingDisk {
    opened: AtomicUsize,
}

impl Disk for CountingDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if mode == OpenMode::Read && path.extension().is_some_and(|e| e == "parquet") {
            self.opened.fetch_add(1, Relaxed);
        }
        OsDisk.open(path, mode)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.link(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        OsDisk.lock(path)
    }
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        OsDisk.canonical(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        OsDisk.free_bytes(path)
    }
}

/// An archive in a folder that goes with it.
struct Fixture {
    engine: Engine,
    disk: Arc<CountingDisk>,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new(config: Config) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(CountingDisk::default());
        let engine = open(&disk, folder.path().into(), config);
        Fixture { engine, disk, folder }
    }
}

fn open(disk: &Arc<CountingDisk>, dir: PathBuf, config: Config) -> Engine {
    let env = Env { disk: Arc::clone(disk) as Arc<dyn Disk>, ..Env::os() };
    Engine::open(env, &dir, config).unwrap().0
}

/// One sample each of tags 0 to `tags` at `time`.
fn scan(time: i64, tags: usize, value: f64) -> Batch {
    let names = (0..tags).map(|i| format!("tag{i}")).collect();
    let shape = Shape::Scan { time, handles: Vec::new(), names };
    Batch { blocks: vec![Block { shape, values: Values::Doubles(vec![value; tags]), statuses: Vec::new() }] }
}

fn series(times: Vec<i64>, value: f64) -> Batch {
    let values = Values::Doubles(vec![value; times.len()]);
    let shape = Shape::Series { tag: TagRef::Name("tag0".into()), times };
    Batch { blocks: vec![Block { shape, values, statuses: Vec::new() }] }
}

fn write(engine: &Engine, source: &OpenSource, sequence: u64, batch: Batch) -> Committed {
    let (send, receive) = sync_channel(1);
    source.submit(sequence, batch, move |done| send.send(done).unwrap()).unwrap().unwrap();
    while engine.commit_step() {}
    receive.recv().unwrap().unwrap()
}

#[test]
fn accepted_samples_are_counted_once() {
    let Fixture { engine, disk, folder } = Fixture::new(Config::default());
    let source = engine.open_source("gateway", "", 1).unwrap();
    assert_eq!(write(&engine, &source, 1, scan(NOW, 3, 1.0)).counts().stored, 3);
    engine.flush().unwrap();
    let late = write(&engine, &source, 2, series(vec![NOW - 1, NOW - 2, i64::MAX], 1.0));
    let counts = late.counts();
    assert_eq!((counts.stored, counts.rejected), (2, 1));
    assert_eq!(engine.status().rows_written, 5, "late samples count, rejected ones do not");
    drop((source, engine));
    let engine = open(&disk, folder.path().into(), Config::default());
    assert_eq!(engine.status().rows_written, 0, "what is replayed was written before the start");
}

#[test]
fn late_samples_of_many_tags_are_looked_up_together() {
    let Fixture { engine, disk, folder: _folder } = Fixture::new(Config::default());
    let source = engine.open_source("gateway", "", 1).unwrap();
    write(&engine, &source, 1, scan(NOW - 5, 200, 1.0));
    write(&engine, &source, 2, scan(NOW, 200, 1.0));
    engine.flush().unwrap();
    let mut batch = scan(NOW - 5, 200, 2.0);
    batch.blocks.extend(scan(NOW - 3, 150, 2.0).blocks);
    batch.blocks.extend(scan(NOW, 100, 1.0).blocks);
    let committed = write(&engine, &source, 3, batch);
    let before = disk.opened.load(Relaxed);
    let counts = committed.counts();
    assert_eq!((counts.replaced, counts.stored, counts.duplicate), (200, 150, 100));
    let opened = disk.opened.load(Relaxed) - before;
    assert!(opened <= 4, "the segment was opened {opened} times");
}

#[test]
fn counted_frames_are_forgotten() {
    let Fixture { engine, folder: _folder, .. } = Fixture::new(Config::default());
    let source = engine.open_source("gateway", "", 1).unwrap();
    write(&engine, &source, 1, scan(NOW, 1, 1.0));
    engine.flush().unwrap();
    let late = |sequence: u64| {
        let base = NOW - 1000 * i64::try_from(sequence).unwrap();
        write(&engine, &source, sequence, series((0..1000).map(|i| base + i).collect(), 1.0))
    };
    let notes: Vec<_> = (2..12)
        .map(|sequence| {
            let committed = late(sequence);
            let notes = Arc::downgrade(committed.pending.as_ref().expect("they are late"));
            assert_eq!(committed.counts().stored, 1000);
            notes
        })
        .collect();
    assert!(notes.iter().all(|notes| notes.upgrade().is_none()), "the books keep what is counted");
    let unread = late(12);
    let with_notes = engine.status().memtable_bytes;
    assert_eq!(unread.counts().stored, 1000);
    let without = engine.status().memtable_bytes;
    assert!(with_notes >= without + 1000 * size_of::<Late>(), "{with_notes} bytes, then {without}");
    engine.flush().unwrap();
    drop(source);
    assert_eq!(engine.open_source("gateway", "", 1).unwrap().counts().stored, 11_001);
}

#[test]
fn a_flush_counts_what_nobody_has() {
    let Fixture { engine, folder: _folder, .. } = Fixture::new(Config::default());
    let source = engine.open_source("gateway", "", 1).unwrap();
    let nameless = engine.open_source("", "", 0).unwrap();
    write(&engine, &source, 1, scan(NOW, 2, 1.0));
    engine.flush().unwrap();
    for sequence in 2..20 {
        let time = NOW - i64::try_from(sequence).unwrap();
        drop(write(&engine, &source, sequence, scan(time, 2, 1.0)));
    }
    let kept = write(&engine, &nameless, 1, scan(NOW, 2, 1.0));
    drop(write(&engine, &nameless, 2, scan(NOW - 100, 2, 1.0)));
    engine.flush().unwrap();
    assert_eq!(kept.counts().duplicate, 2, "its view outlives the flush");
    drop(source);
    assert_eq!(engine.open_source("gateway", "", 1).unwrap().counts().stored, 38);
    assert_eq!(engine.status().memtable_bytes, 0);
}
