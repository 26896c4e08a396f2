//! A disk that holds two log files and not a third.

use std::path::Path;
use std::sync::mpsc;

use tagus_engine::ingest::{Batch, Block, Shape, TagRef, Values};
use tagus_engine::{Config, Engine, Error, ErrorKind, OpenSource};
use tagus_sim::Sim;

const DISK_BYTES: u64 = 48 << 20;
const ROWS: i64 = 50_000;
/// Together more than the disk has room for as log.
const BATCHES: i64 = 90;

fn write(engine: &Engine, source: &OpenSource, batch: i64) -> Result<(), Error> {
    let times = (batch * ROWS..(batch + 1) * ROWS).map(|i| i * 1_000_000).collect();
    let shape = Shape::Series { tag: TagRef::Name("t".into()), times };
    let values = Values::Doubles(vec![1.5; ROWS as usize]);
    let batch = Batch { blocks: vec![Block { shape, values, statuses: Vec::new() }] };
    let (send, receive) = mpsc::channel();
    source.submit(source.last_sequence() + 1, batch, move |done| drop(send.send(done.map(drop))))?;
    while engine.commit_step() {}
    receive.recv().expect("a step answers what waits")
}

#[test]
fn a_full_log_makes_a_flush_due_and_writing_resumes() {
    let sim = Sim::new(5);
    sim.disk.set_capacity(DISK_BYTES);
    let (engine, _) = Engine::open(sim.env(), Path::new("/archive"), Config::default()).expect("room to begin");
    let mut refusals = 0;
    for batch in 0..BATCHES {
        let source = engine.open_source("", "", 0).expect("an open engine");
        if let Err(error) = write(&engine, &source, batch) {
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
            refusals += 1;
            assert!(engine.job_step().expect("room for a segment"), "a flush is due");
            let source = engine.open_source("", "", 0).expect("an open engine");
            write(&engine, &source, batch).expect("the flush has given back the log");
        }
    }
    assert!(refusals > 0, "the log has found room all the time");
    let status = engine.status();
    assert_eq!(status.segment_rows + status.memtable_rows as u64, (BATCHES * ROWS).cast_unsigned());
    while engine.job_step().expect("room for what the log holds") {}
    assert_eq!(engine.status().disk_full, None);
}
