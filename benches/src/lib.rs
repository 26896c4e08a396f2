//! Benchmarks, and the loads that they are measured on.

pub mod life;
pub mod plant;
