//! What is asked of each tag, as a plain value.

use std::fmt;

use serde::{Deserialize, Serialize};
use tagus_engine::retrieval::{Aggregate, Grid, Rules};
use tagus_engine::tag::{Interpolation, TagSpec, TagType};

/// A function that answers for each tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Function {
    Interpolated,
    AtTime,
    Processed,
    Plot,
}

/// A call of one, without its tags. Times are nanoseconds since 1970 UTC.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// Values at `start`, `start + step`, ... before `end`.
    Interpolated { start: i64, end: i64, step: u64 },
    /// Values at these times, which ascend.
    AtTimes(Vec<i64>),
    /// An aggregate of each interval.
    Processed { aggregate: String, start: i64, end: i64, interval: u64, options: Options },
    /// What a trend has to draw.
    Plot { start: i64, end: i64, pixels: u64 },
}

/// Part 13's AggregateConfiguration; what is not given is the standard's, and the tag's own Stepped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) treat_uncertain_as_bad: bool,
    pub(crate) percent_data_bad: u8,
    pub(crate) percent_data_good: u8,
    pub(crate) use_sloped_extrapolation: bool,
    pub(crate) stepped: Option<bool>,
}

impl Function {
    pub(crate) const ALL: [Function; 4] =
        [Function::Interpolated, Function::AtTime, Function::Processed, Function::Plot];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Function::Interpolated => "interpolated",
            Function::AtTime => "at_time",
            Function::Processed => "processed",
            Function::Plot => "plot",
        }
    }

    /// How it is called.
    pub(crate) fn usage(self) -> &'static str {
        match self {
            Function::Interpolated => "interpolated(tags, start, end, step)",
            Function::AtTime => "at_time(tags, times)",
            Function::Processed => "processed(tags, aggregate, start, end, interval [, options])",
            Function::Plot => "plot(tags, start, end, pixels)",
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        let rules = Rules::default();
        Options {
            treat_uncertain_as_bad: rules.treat_uncertain_as_bad,
            percent_data_bad: rules.percent_data_bad,
            percent_data_good: rules.percent_data_good,
            use_sloped_extrapolation: rules.use_sloped_extrapolation,
            stepped: None,
        }
    }
}

impl Options {
    /// The rules for a tag. What is no number never lies on a line.
    pub(crate) fn rules(&self, tag: &TagSpec) -> Rules {
        let steps_always = matches!(tag.tag_type, TagType::Bool | TagType::Digital | TagType::Text);
        Rules {
            treat_uncertain_as_bad: self.treat_uncertain_as_bad,
            percent_data_bad: self.percent_data_bad,
            percent_data_good: self.percent_data_good,
            use_sloped_extrapolation: self.use_sloped_extrapolation,
            stepped: steps_always || self.stepped.unwrap_or(tag.interpolation == Interpolation::Step),
        }
    }
}

impl Question {
    /// The rules for a tag.
    pub(crate) fn rules(&self, tag: &TagSpec) -> Rules {
        match self {
            Question::Processed { options, .. } => options.rules(tag),
            // Interpolated values use what there is.
            _ => Options { treat_uncertain_as_bad: false, ..Options::default() }.rules(tag),
        }
    }

    /// The rows of one tag at most.
    pub(crate) fn rows_a_tag(&self) -> u64 {
        match self {
            Question::Interpolated { start, end, step } => Grid::new(*start, *end, *step).len(),
            Question::AtTimes(times) => times.len() as u64,
            Question::Processed { start, end, interval, .. } => Grid::new(*start, *end, *interval).len(),
            Question::Plot { pixels, .. } => pixels.saturating_mul(5),
        }
    }

    /// Whether the texts of text tags matter, and not only that there are samples.
    pub(crate) fn takes_texts(&self) -> bool {
        use Aggregate::{End, Interpolative, NumberOfTransitions, Start};
        match self.aggregate() {
            Some(aggregate) => matches!(aggregate, Interpolative | Start | End | NumberOfTransitions),
            None => true,
        }
    }

    /// The aggregate that is asked for.
    pub(crate) fn aggregate(&self) -> Option<Aggregate> {
        match self {
            Question::Processed { aggregate, .. } => Aggregate::parse(aggregate).ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Interpolated { .. } => f.write_str("interpolated")?,
            Question::AtTimes(_) => f.write_str("at_time")?,
            Question::Processed { aggregate, .. } => write!(f, "processed {aggregate}")?,
            Question::Plot { .. } => f.write_str("plot")?,
        }
        write!(f, ", rows_a_tag={}", self.rows_a_tag())
    }
}
