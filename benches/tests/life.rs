//! A short life, so that the benchmark cannot rot, and what it must keep to.

use std::sync::Arc;

use tagus_benches::life::{Life, Options};
use tagus_engine::scan::{ScanRequest, TagSelection};

#[test]
fn a_short_life_keeps_every_sample_and_merges_now_and_then() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { tags: 100, days: 20, period_s: 600, late: 5, memory_budget: 256 << 20, seed: 5 };
    let mut life = Life::new(options, &dir.path().join("archive")).unwrap();
    let report = life.live().unwrap();
    let all = ScanRequest::of(TagSelection::All);
    let found = life.engine().view().statistics(&all, Arc::default()).unwrap();
    assert_eq!(found.rows, report.rows);
    let share = report.late as f64 / report.samples as f64;
    assert!((0.04..0.06).contains(&share), "{share} of the samples are late");
    assert!(report.merges > 0 && report.amplification() < 4.0, "{report}");
    assert!(report.segments.0 < 60, "{report}");
}
