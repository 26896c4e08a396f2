//! The machine's own disk, clock and randomness.

/// The machine's file systems.
pub struct OsDisk;
/// The machine's clock.
pub struct OsClock;
/// The machine's randomness.
pub struct OsRandom;
