//! The engine against power cuts: a short history is cut at every sync, with every fate.

mod support;

use support::{Plant, Seeds};
use tagus_sim::Fate;

/// Writes, tag changes and flushes; ends early where the machine does.
fn live(plant: &Plant) -> support::History {
    let Ok(mut history) = plant.open() else { return plant.nothing() };
    for step in 0..14 {
        match step % 5 {
            4 => drop(history.flush()),
            2 => history.change_a_tag(),
            _ => history.write(),
        }
    }
    history
}

fn cut_everywhere(fate: impl Fn(u64) -> Fate) {
    for seed in Seeds::from_env("TAGUS_CRASH_SEEDS", 3) {
        let whole = Plant::new(seed);
        let end = live(&whole);
        drop(end);
        let syncs = whole.sim.disk.syncs();
        assert!(syncs > 20, "seed {seed}: the history has {syncs} syncs only");
        for k in 1..=syncs {
            let plant = Plant::new(seed);
            plant.sim.disk.crash_at_sync(k);
            let promised = live(&plant).into_promises();
            assert!(plant.sim.disk.is_off(), "seed {seed}: sync {k} was not reached");
            plant.sim.disk.restart(fate(seed * 1000 + k));
            let context = format!("seed {seed}, sync {k} of {syncs}");
            let first = promised.check_recovered(&plant, &context);
            // Recovering again, after a clean or another hard stop, gives the same.
            plant.sim.disk.crash();
            plant.sim.disk.restart(Fate::Lost);
            let second = promised.check_recovered(&plant, &context);
            assert_eq!(first, second, "{context}: recovering twice");
        }
    }
}

#[test]
fn what_was_not_synced_is_kept() {
    cut_everywhere(|_| Fate::Kept);
}

#[test]
fn what_was_not_synced_is_lost() {
    cut_everywhere(|_| Fate::Lost);
}

#[test]
fn what_was_not_synced_is_torn() {
    cut_everywhere(Fate::Torn);
}
