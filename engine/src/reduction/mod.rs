//! Reduction: leaving samples out on purpose, so that those that stay say the same within a deviation.
//!
//! Two filters, one after the other, as PI and FactoryTalk Historian have them: *exception* drops what
//! differs little from what was passed on last; *compression* (the swinging door) drops what lies
//! near the straight line between its neighbours. What stays are samples that came. Pure: samples go
//! in one by one, in order of time.
//!
//! Source: the vendors' manuals on ExcDev, ExcMin, ExcMax and CompDev, CompMin, CompMax.

mod compression;
mod exception;
mod fields;
mod gap;
mod minutes;
mod preview;
mod reducer;
mod settings;
mod summary;

pub use compression::{Compression, CompressionSettings};
pub use exception::{Exception, ExceptionSettings};
pub(crate) use fields::cut_minutes;
pub use fields::{Field, LeftOut};
pub use gap::Gap;
pub use minutes::Minutes;
pub use preview::{Preview, Settings};
pub use reducer::{Decided, Held, Reducer, ReducerState, Tail};
pub use settings::{Deadband, Deviation, Reduction};
pub use summary::{Extreme, MINUTE, Start, Summary, minute_of};

use crate::status::Status;

/// A sample on its way.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Event {
    /// Nanoseconds since 1970 UTC.
    pub time: i64,
    /// None for a sample without a value, such as a system state.
    pub value: Option<f64>,
    /// How good it is.
    pub status: Status,
}

impl Event {
    /// Its value; 0 where it has none.
    fn number(&self) -> f64 {
        self.value.unwrap_or(0.0)
    }

    /// Nanoseconds from an earlier event to this one.
    fn since(&self, earlier: &Event) -> u64 {
        self.time.abs_diff(earlier.time)
    }
}

#[cfg(test)]
mod reducer_tests;
#[cfg(test)]
mod tests;
