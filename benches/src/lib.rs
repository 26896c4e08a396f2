//! Benchmarks, and the loads that they are measured on.

pub mod plant;
