//! The 37 aggregates of Part 13 by name.

use super::sample::Context;

/// An aggregate, as Part 13 names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
pub enum Aggregate {
    Interpolative,
    Average,
    TimeAverage,
    TimeAverage2,
    Total,
    Total2,
    Minimum,
    Maximum,
    MinimumActualTime,
    MaximumActualTime,
    Range,
    Minimum2,
    Maximum2,
    MinimumActualTime2,
    MaximumActualTime2,
    Range2,
    AnnotationCount,
    Count,
    DurationInStateZero,
    DurationInStateNonZero,
    NumberOfTransitions,
    Start,
    End,
    Delta,
    StartBound,
    EndBound,
    DeltaBounds,
    DurationGood,
    DurationBad,
    PercentGood,
    PercentBad,
    WorstQuality,
    WorstQuality2,
    StandardDeviationSample,
    StandardDeviationPopulation,
    VarianceSample,
    VariancePopulation,
}

/// What answers an aggregate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// [`Points`](super::Points).
    Points,
    /// [`Area`](super::Area).
    Area,
    /// [`Simple`](super::Simple).
    Simple,
}

impl Machine {
    /// Which samples around the range it has to be fed.
    pub fn context(self) -> Context {
        match self {
            Machine::Points | Machine::Area => Context { values_before: 2, value_after: true },
            Machine::Simple => Context { values_before: 1, value_after: false },
        }
    }
}

/// What samples that reduction has left out are for an aggregate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeftOutIs {
    /// Nothing: it is made of times and qualities, or of the line between two samples.
    Nothing,
    /// Part of an area.
    Area,
    /// Samples like others: all that it takes of them is known.
    Counted,
    /// Values that hold: where they add to no area, they are those of the samples that stay.
    State,
    /// Missing: what it answers may be one of them.
    Missing,
}

/// What the values of an aggregate are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// A value of the tag: its type is the tag's.
    Source,
    /// A number of its own: an average, a count, milliseconds, a status code.
    Number,
}

use Aggregate::{
    AnnotationCount, Average, Count, Delta, DeltaBounds, DurationBad, DurationGood, DurationInStateNonZero,
    DurationInStateZero, End, EndBound, Interpolative, Maximum, Maximum2, MaximumActualTime, MaximumActualTime2,
    Minimum, Minimum2, MinimumActualTime, MinimumActualTime2, NumberOfTransitions, PercentBad, PercentGood, Range,
    Range2, StandardDeviationPopulation, StandardDeviationSample, Start, StartBound, TimeAverage, TimeAverage2, Total,
    Total2, VariancePopulation, VarianceSample, WorstQuality, WorstQuality2,
};

/// All of them with the standard's names, in its order.
const NAMES: [(Aggregate, &str); 37] = [
    (Interpolative, "Interpolative"),
    (Average, "Average"),
    (TimeAverage, "TimeAverage"),
    (TimeAverage2, "TimeAverage2"),
    (Total, "Total"),
    (Total2, "Total2"),
    (Minimum, "Minimum"),
    (Maximum, "Maximum"),
    (MinimumActualTime, "MinimumActualTime"),
    (MaximumActualTime, "MaximumActualTime"),
    (Range, "Range"),
    (Minimum2, "Minimum2"),
    (Maximum2, "Maximum2"),
    (MinimumActualTime2, "MinimumActualTime2"),
    (MaximumActualTime2, "MaximumActualTime2"),
    (Range2, "Range2"),
    (AnnotationCount, "AnnotationCount"),
    (Count, "Count"),
    (DurationInStateZero, "DurationInStateZero"),
    (DurationInStateNonZero, "DurationInStateNonZero"),
    (NumberOfTransitions, "NumberOfTransitions"),
    (Start, "Start"),
    (End, "End"),
    (Delta, "Delta"),
    (StartBound, "StartBound"),
    (EndBound, "EndBound"),
    (DeltaBounds, "DeltaBounds"),
    (DurationGood, "DurationGood"),
    (DurationBad, "DurationBad"),
    (PercentGood, "PercentGood"),
    (PercentBad, "PercentBad"),
    (WorstQuality, "WorstQuality"),
    (WorstQuality2, "WorstQuality2"),
    (StandardDeviationSample, "StandardDeviationSample"),
    (StandardDeviationPopulation, "StandardDeviationPopulation"),
    (VarianceSample, "VarianceSample"),
    (VariancePopulation, "VariancePopulation"),
];

impl Aggregate {
    /// All 37.
    pub fn all() -> impl Iterator<Item = Aggregate> {
        NAMES.iter().map(|(aggregate, _)| *aggregate)
    }

    /// The standard's name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    /// Reads a name, in any case. Otherwise the names that are most like it.
    pub fn parse(text: &str) -> Result<Aggregate, Vec<&'static str>> {
        let text = text.trim();
        if let Some((aggregate, _)) = NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            return Ok(*aggregate);
        }
        let wanted = text.to_lowercase();
        let likeness = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &wanted);
        let mut names: Vec<&str> = NAMES.iter().map(|(_, name)| *name).filter(|name| likeness(name) > 0.75).collect();
        names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
        names.truncate(3);
        Err(names)
    }

    /// What answers it.
    pub fn machine(self) -> Machine {
        match self {
            Interpolative => Machine::Points,
            TimeAverage | Total => Machine::Area,
            _ => Machine::Simple,
        }
    }

    /// What samples that reduction has left out are for it.
    pub fn left_out(self) -> LeftOutIs {
        match self {
            TimeAverage | TimeAverage2 | Total | Total2 => LeftOutIs::Area,
            Start | End | Delta => LeftOutIs::Missing,
            NumberOfTransitions | DurationInStateZero | DurationInStateNonZero => LeftOutIs::State,
            _ if self.takes_each_sample() => LeftOutIs::Counted,
            _ => LeftOutIs::Nothing,
        }
    }

    fn takes_each_sample(self) -> bool {
        matches!(
            self,
            Average
                | WorstQuality
                | WorstQuality2
                | Count
                | Minimum
                | Maximum
                | MinimumActualTime
                | MaximumActualTime
                | Range
                | Minimum2
                | Maximum2
                | MinimumActualTime2
                | MaximumActualTime2
                | Range2
                | StandardDeviationSample
                | StandardDeviationPopulation
                | VarianceSample
                | VariancePopulation
        )
    }

    /// What its values are.
    pub fn output(self) -> Output {
        match self {
            Interpolative | Minimum | Maximum | MinimumActualTime | MaximumActualTime | Minimum2 | Maximum2
            | MinimumActualTime2 | MaximumActualTime2 | Start | End | StartBound | EndBound => Output::Source,
            // The difference of two states is no state.
            _ => Output::Number,
        }
    }

    /// Whether it has a meaning for texts, which have no size and no sum.
    pub fn takes_texts(self) -> bool {
        matches!(
            self,
            Interpolative
                | Start
                | End
                | Count
                | NumberOfTransitions
                | DurationGood
                | DurationBad
                | PercentGood
                | PercentBad
                | WorstQuality
        )
    }
}
