//! Retrieval: what a process was doing between its samples, and how good that answer is.
//!
//! Pure: samples of one tag go in, in order of time and in pieces of any length; answers come out.
//! Nothing here reads a disk or a clock, and nothing is allocated for an interval.
//!
//! | machine | answers |
//! | --- | --- |
//! | [`Points`] | values at given times: `Interpolative` |
//! | [`Area`] | areas under straight lines between interpolated bounds: `TimeAverage`, `Total` |
//! | [`Simple`] | all other aggregates, several in one pass: of the samples of an interval, and of simple bounds |
//! | [`Plot`] | the samples that a trend has to draw |
//!
//! A machine is fed the samples of the asked range and a few around it, as [`Context`] says; it
//! answers an interval as soon as what comes after it is known.
//!
//! Source of the rules: OPC 10000-13 (OPC UA Part 13, Aggregates) 1.05, and where its prose and its
//! example file disagree, `docs/retrieval.md`.

mod aggregate;
mod area;
mod grid;
mod left_out;
mod plot;
mod points;
mod processor;
mod rules;
mod sample;
mod simple;

pub use aggregate::{Aggregate, LeftOutIs, Machine, Output};
pub use area::Area;
pub use grid::{Grid, Interval};
pub use plot::Plot;
pub use points::Points;
pub use processor::Processor;
pub use rules::Rules;
pub use sample::{Answers, Context, Sample, Samples, Span, is_marker};
pub use simple::Simple;

#[cfg(test)]
mod tests;
