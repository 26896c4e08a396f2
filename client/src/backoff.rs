//! When to try again: exponential, with jitter so that gateways do not come back in step.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Longest wait that a server may ask for.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// Delays that double from `first` to `longest` until [`Backoff::reset`].
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest: longest.max(first), failures: 0 }
    }

    /// Something went well: the next delay is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The delay before the next try: what the server asked for and up to a fifth more, or else
    /// between half and all of the exponential delay.
    pub fn next(&mut self, asked: Option<Duration>, random: u64) -> Duration {
        let full = self.first.saturating_mul(1 << self.failures.min(20)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        match asked {
            Some(asked) => {
                let asked = asked.min(ASKED_MAX);
                asked + fraction(asked / 5, random)
            }
            None => full / 2 + fraction(full / 2, random),
        }
    }
}

/// `duration` times a number between 0 and 1 made of the top 16 bits of `random`.
fn fraction(duration: Duration, random: u64) -> Duration {
    let sixteenth_bits = u32::try_from(random >> 48).unwrap_or(0);
    duration.saturating_mul(sixteenth_bits) / (1 << 16)
}

/// 64 random bits. The standard library seeds each hasher from the system's randomness.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut backoff = Backoff::new(100 * MS, 1000 * MS);
        let most: Vec<Duration> = (0..6).map(|_| backoff.next(None, u64::MAX)).collect();
        for (delay, full) in most.iter().zip([100u32, 200, 400, 800, 1000, 1000]) {
            assert!(*delay > full * MS * 99 / 100 && *delay <= full * MS, "{delay:?} of {full} ms");
        }
        backoff.reset();
        assert_eq!(backoff.next(None, 0), 50 * MS);
    }

    #[test]
    fn a_delay_that_the_server_asks_for_is_kept_but_bounded() {
        let mut backoff = Backoff::new(MS, MS);
        assert_eq!(backoff.next(Some(500 * MS), 0), 500 * MS);
        assert!(backoff.next(Some(500 * MS), u64::MAX) <= 600 * MS);
        assert!(backoff.next(Some(Duration::MAX), u64::MAX) <= ASKED_MAX * 6 / 5);
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random(), random());
    }
}
