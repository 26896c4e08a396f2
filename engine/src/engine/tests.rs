use crate::ingest::{Batch, Block, Shape, TagRef, Values};
use crate::scan::{ScanRequest, TagSelection};

use super::*;

/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600_000_000_000;

fn sample(time: i64) -> Batch {
    let shape = Shape::Series { tag: TagRef::Name("tag".into()), times: vec![time] };
    Batch { blocks: vec![Block { shape, values: Values::Doubles(vec![1.0]), statuses: Vec::new() }] }
}

/// An archive of 60 segments with little memory for their footers.
fn many_segments(dir: &Path) -> Engine {
    let config = Config { memory_budget: 1 << 17, ..Config::default() };
    let (engine, _) = Engine::open(Env::os(), dir, config).unwrap();
    let source = engine.open_source("", "", 0).unwrap();
    for sequence in 1..=60 {
        source.submit(sequence, sample(NOW + i64::try_from(sequence).unwrap()), |done| drop(done.unwrap())).unwrap();
        while engine.commit_step() {}
        engine.flush().unwrap();
    }
    engine
}

#[test]
fn footers_keep_within_their_share_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let engine = many_segments(folder.path());
    for _ in 0..3 {
        let view = engine.view();
        let spec = view.plan(&ScanRequest::of(TagSelection::All), 1).unwrap();
        let rows: usize = view.open(&spec, 0, Arc::default()).unwrap().map(|batch| batch.unwrap().len).sum();
        assert_eq!(rows, 60);
        let held: usize = engine.shared.published.read().segments.iter().map(|segment| segment.memory()).sum();
        assert!((4096..=8192).contains(&held), "{held} bytes of footers");
        assert_eq!(engine.status().footer_bytes, held);
    }
}

#[test]
fn a_footer_in_use_stays() {
    let folder = tempfile::tempdir().unwrap();
    let engine = many_segments(folder.path());
    let segments = engine.shared.published.read().segments.clone();
    let (often, others) = segments.split_first().unwrap();
    for segment in others {
        assert!(often.run(TagId(1)).unwrap().is_some());
        assert!(segment.run(TagId(1)).unwrap().is_some());
        assert!(often.memory() > 0, "it was used just now");
    }
    assert_eq!(others[0].memory(), 0, "it was not used for long");
}
