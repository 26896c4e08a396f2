//! The engine against a map: random writes, replacements, flushes and reopenings.

mod support;

use support::{Plant, Seeds};
use tagus_engine::ingest::Counts;

#[test]
fn the_engine_equals_a_map() {
    for seed in Seeds::from_env("TAGUS_SEEDS", 60) {
        let plant = Plant::new(seed);
        let mut history = plant.open().expect("an empty disk");
        let steps = 30 + plant.below(60);
        for _ in 0..steps {
            match plant.below(12) {
                0 => history.flush().expect("a healthy disk"),
                1 => history = history.reopen(),
                2 => history.change_a_tag(),
                _ => history.write(),
            }
            if plant.below(4) == 0 {
                history.check();
            }
        }
        history.check();
        history = history.reopen();
        history.check();
        assert_ne!(history.counts(), Counts::default(), "seed {seed}");
    }
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    let digest = |seed| {
        let plant = Plant::new(seed);
        let mut history = plant.open().expect("an empty disk");
        for step in 0..40 {
            if step % 9 == 8 {
                history.flush().expect("a healthy disk");
            }
            history.write();
        }
        plant.digest()
    };
    assert_eq!(digest(7), digest(7));
    assert_ne!(digest(7), digest(8));
}
