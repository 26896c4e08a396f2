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
