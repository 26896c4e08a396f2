//! A clock that moves only when told.

use std::sync::Arc;

use parking_lot::Mutex;
use tagus_engine::env::Clock;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000_000_000;

/// A clock that moves only when told. Clones are the same clock.
#[derive(Clone)]
pub struct SimClock(Arc<Mutex<Times>>);

struct Times {
    now: i64,
    monotonic: u64,
}

impl SimClock {
    /// A clock that stands at `now`, in nanoseconds since 1970 UTC; its monotonic time is 0.
    pub fn new(now: i64) -> SimClock {
        SimClock(Arc::new(Mutex::new(Times { now, monotonic: 0 })))
    }

    /// Lets `nanos` pass.
    pub fn advance(&self, nanos: u64) {
        let mut times = self.0.lock();
        times.now = times.now.saturating_add_unsigned(nanos);
        times.monotonic = times.monotonic.saturating_add(nanos);
    }

    /// Sets the wall clock to `now`, as an operator or a time server does: no time passes.
    pub fn jump_to(&self, now: i64) {
        self.0.lock().now = now;
    }
}

impl Default for SimClock {
    fn default() -> SimClock {
        SimClock::new(START)
    }
}

impl Clock for SimClock {
    fn now(&self) -> i64 {
        self.0.lock().now
    }

    fn monotonic(&self) -> u64 {
        self.0.lock().monotonic
    }
}
