//! A simulated machine for the engine: disk, clock and randomness, all from one seed.
//!
//! A test runs the engine on a [`Sim`], crashes its disk at any sync, and starts it again with
//! whatever a real disk might have kept:
//!
//! ```
//! use std::path::Path;
//! use tagus_engine::env::{Disk, OpenMode};
//! use tagus_sim::{Fate, Sim};
//!
//! let sim = Sim::new(7);
//! let path = Path::new("/note");
//! let file = sim.disk.open(path, OpenMode::CreateNew)?;
//! sim.disk.sync_dir(Path::new("/"))?;
//! file.write_all_at(b"never synced", 0)?;
//! sim.disk.crash_at_sync(1);
//! assert!(file.sync_data().is_err());
//!
//! // One history, two of its possible ends.
//! let other = sim.disk.fork();
//! sim.disk.restart(Fate::Lost);
//! other.restart(Fate::Kept);
//! assert_eq!(sim.disk.read(path)?, b"");
//! assert_eq!(other.read(path)?, b"never synced");
//! # Ok::<(), std::io::Error>(())
//! ```

mod clock;
pub mod conformance;
mod content;
mod control;
mod digest;
mod disk;
mod fate;
mod fault;
mod inode;
mod journal;
mod random;
mod ranges;
mod state;

use std::sync::Arc;

use tagus_engine::env::Env;

pub use clock::SimClock;
pub use digest::Digest;
pub use disk::SimDisk;
pub use fate::Fate;
pub use fault::Operation;
pub use random::SimRandom;
pub use state::Counters;

/// A simulated machine. Clones are the same machine.
#[derive(Clone)]
pub struct Sim {
    /// An empty disk.
    pub disk: SimDisk,
    /// A clock that stands at 2026-01-01T00:00:00Z until it is moved.
    pub clock: SimClock,
    /// Numbers that follow from the seed.
    pub random: SimRandom,
}

impl Sim {
    /// A machine whose every run is the same for the same seed and the same calls.
    pub fn new(seed: u64) -> Sim {
        Sim { disk: SimDisk::new(), clock: SimClock::default(), random: SimRandom::new(seed) }
    }

    /// What the engine is opened with.
    pub fn env(&self) -> Env {
        Env {
            disk: Arc::new(self.disk.clone()),
            clock: Arc::new(self.clock.clone()),
            random: Arc::new(self.random.clone()),
        }
    }
}
