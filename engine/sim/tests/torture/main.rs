//! Torture: an archive on a simulated machine lives through random histories of everything that
//! can happen to it, and is compared with a model at every step.
//!
//! A history follows from its seed alone: `TAGUS_TORTURE_SEEDS=7..8` runs one, and
//! `TAGUS_TORTURE_SEEDS=0..100000 cargo test --release -p tagus-sim --test torture` many. What fails
//! prints its seed and its last steps.
//!
//! What must hold:
//! 1. What is acknowledged is there after any stop. Frames that were sent after it and not answered
//!    may be there, in order, each as a whole; nothing else may.
//! 2. Every read is that of the model, at every step, also after writing has ended.
//! 3. An error has a reason: an ordered fault, a full disk, an end of writing before it.
//! 4. Damaged bytes give the right answer or an error that names the file, and `verify` finds them.
//! 5. What is restored from a backup is the archive at that moment.
//!
//! A history that never merges or never loses its power shows nothing: what histories come to is
//! counted, and all of them together have to come to each of it.

mod batches;
mod checks;
mod damage;
mod faults;
mod machine;
mod model;
mod steps;
mod values;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use machine::{Machine, Reached, Story};

const SEEDS: u64 = 200;
/// Failures after which no more seeds are tried.
const FAILURES: usize = 5;

/// The seeds to run: `first..last`, or how many.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("TAGUS_TORTURE_SEEDS") else { return 0..SEEDS };
    let number = |text: &str| text.trim().parse().expect("TAGUS_TORTURE_SEEDS is a number, or first..last");
    text.split_once("..").map_or_else(|| 0..number(&text), |(first, last)| number(first)..number(last))
}

/// What the histories of all seeds have to come to, each by one in twenty of them at least.
const EACH: [&str; 16] = [
    "a backup",
    "a clean stop",
    "a delete by retention",
    "a delete",
    "a fault of the disk",
    "a kill",
    "a merge",
    "a power cut that lost all that was not synced",
    "a power cut that lost nothing",
    "a power cut that tore",
    "a refusal after writing has ended",
    "a refusal for want of room",
    "a view that was held",
    "an answer that names the damaged file",
    "an error of the disk",
    "damage that verify finds",
];

/// What came of a history: digests of the disk and of what was observed, and what it came to.
type Life = (u64, u64, Reached);

/// Lives through the history of a seed.
fn live(seed: u64, story: &Story) -> Life {
    let mut machine = Machine::new(seed, Story::clone(story));
    let steps = 30 + machine.below(60);
    for _ in 0..steps {
        steps::step(&mut machine);
    }
    steps::end(&mut machine);
    (machine.sim.disk.digest(), machine.observed.value(), machine.reached)
}

/// The same; what fails is told with its seed and its story.
fn told(seed: u64) -> Result<Life, String> {
    let story = Story::default();
    catch_unwind(AssertUnwindSafe(|| live(seed, &story))).map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        let steps = match story.lock() {
            Ok(story) => story.iter().cloned().collect::<Vec<_>>().join("\n  "),
            Err(_) => String::new(),
        };
        format!("seed {seed}: {words}\nthe last steps:\n  {steps}\nagain: TAGUS_TORTURE_SEEDS={seed}..{}", seed + 1)
    })
}

#[test]
fn every_history_is_that_of_the_model() {
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let failures = Mutex::new(Vec::new());
    let reached = Mutex::new(Reached::new());
    let work = || loop {
        let seed = next.fetch_add(1, Relaxed);
        if seed >= seeds.end || failures.lock().expect("no panic holds it").len() >= FAILURES {
            break;
        }
        match told(seed) {
            Ok((_, _, life)) => {
                let mut reached = reached.lock().expect("no panic holds it");
                life.into_iter().for_each(|(what, _)| *reached.entry(what).or_default() += 1);
            }
            Err(failure) => failures.lock().expect("no panic holds it").push(failure),
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().expect("no panic holds it");
    assert!(failures.is_empty(), "{} of {seeds:?} failed\n{}", failures.len(), failures.join("\n\n"));
    let reached = reached.into_inner().expect("no panic holds it");
    println!("of {} histories: {reached:#?}", seeds.end - seeds.start);
    let least = (seeds.end - seeds.start) / 20;
    for what in EACH {
        let lives = reached.get(what).copied().unwrap_or(0);
        assert!(lives >= least, "only {lives} histories came to {what}");
    }
}

#[test]
fn the_same_seed_gives_the_same_digests() {
    let mut all = Vec::new();
    for seed in 0..12 {
        let (first, second) = (told(seed), told(seed));
        assert_eq!(first, second, "seed {seed}: two runs of it differ");
        assert!(!all.contains(&first), "seed {seed}: other seeds give the same");
        all.push(first);
    }
}
