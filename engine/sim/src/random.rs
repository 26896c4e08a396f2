//! Numbers that follow from a seed.

use std::sync::Arc;

use parking_lot::Mutex;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use tagus_engine::env::Random;

/// Random numbers that follow from a seed. Clones draw from the same row of numbers.
#[derive(Clone)]
pub struct SimRandom(Arc<Mutex<Dice>>);

impl SimRandom {
    /// The row of numbers of `seed`.
    pub fn new(seed: u64) -> SimRandom {
        SimRandom(Arc::new(Mutex::new(Dice::new(seed))))
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.lock().below(bound)
    }

    /// True `numerator` times out of `denominator`.
    pub fn chance(&self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }
}

impl Random for SimRandom {
    fn next(&self) -> u64 {
        self.0.lock().next()
    }
}

/// The generator itself, for those who own one.
pub(crate) struct Dice(Pcg64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(Pcg64::seed_from_u64(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, 0 where that is 0. The bias of the remainder, below 2^-32 for the
    /// small bounds of tests, does not matter here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    pub(crate) fn fill(&mut self, buf: &mut [u8]) {
        self.0.fill_bytes(buf);
    }
}
