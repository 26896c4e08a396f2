//! Batches of the ingest stream, from their bytes to samples in an archive.

use std::path::Path;
use std::sync::{Arc, mpsc};

use tagus_engine::ingest::Batch;
use tagus_engine::scan::{ScanRequest, TagSelection};
use tagus_engine::segment::ReadMetrics;
use tagus_engine::{Config, Engine};
use tagus_proto::{decode_write_request, v1};
use tagus_sim::Sim;
use v1::write_request::Request;

use crate::one_line;
use crate::rooms::machine;
use crate::server::convert;

const DIR: &str = "/archive";

/// A message of the ingest stream: each sample of its batch is counted once, and what is stored is
/// read after a restart as before it.
pub fn batch(data: &[u8]) {
    let request = match decode_write_request(data) {
        Ok(request) => request,
        Err(status) => return one_line(&status.message()),
    };
    let Some(Request::Batch(batch)) = request.request else { return };
    assert!(convert::weight(&batch) <= 64 * data.len(), "{} bytes for {}", convert::weight(&batch), data.len());
    match convert::batch(batch) {
        Ok(batch) => stored(batch),
        Err(why) => one_line(&why),
    }
}

fn stored(batch: Batch) {
    let samples: usize = batch.blocks.iter().map(|block| block.shape.len()).sum();
    let sim = machine([]);
    let engine = open(&sim);
    let source = engine.open_source("gateway", "", 1).expect("a new source");
    let (send, receive) = mpsc::channel();
    let submitted = match source.submit(1, batch, move |done| drop(send.send(done))) {
        Ok(submitted) => submitted.expect("the first batch is new"),
        Err(error) => return one_line(&error),
    };
    while engine.commit_step() {}
    let counts = receive.recv().expect("an answer").expect("a disk with room").counts();
    assert_eq!(counts.rows(), samples as u64, "samples are counted once");
    assert_eq!(counts.rejected, submitted.rejections.len() as u64);
    submitted.rejections.iter().for_each(|rejection| one_line(&rejection.reason));
    let before = read(&engine);
    assert_eq!(before.1, counts.stored, "what is stored is read");
    drop((source, engine));
    let engine = open(&sim);
    assert!(read(&engine) == before, "replay gives something else");
    engine.flush().expect("a disk with room");
    assert!(read(&engine) == before, "the segment says something else");
}

fn open(sim: &Sim) -> Engine {
    Engine::open(sim.env(), Path::new(DIR), Config::default()).expect("an archive").0
}

/// All samples as text, and how many.
fn read(engine: &Engine) -> (String, u64) {
    let request = ScanRequest::of(TagSelection::All);
    let view = engine.view();
    let spec = view.plan(&request, 1).expect("a plan");
    let (mut text, mut count) = (String::new(), 0);
    for partition in 0..spec.partitions() {
        for batch in view.open(&spec, partition, Arc::new(ReadMetrics::default())).expect("a scan") {
            let batch = batch.expect("samples");
            count += batch.len as u64;
            let rows = &batch.rows;
            let cells = (0..rows.len()).map(|i| format!("{} {:?}\n", rows.times[i], rows.cell(i)));
            text.extend(cells);
        }
    }
    (text, count)
}
