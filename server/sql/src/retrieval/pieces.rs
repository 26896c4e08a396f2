//! How the work for a tag is cut.
//!
//! A question is one piece as a rule, and the samples of its whole range are read. Times far apart
//! are pieces of their own: between them nothing is read. A request that runs backwards is cut so
//! that the answers of a piece can be held and turned round.

use tagus_engine::limits::PAGE_ROWS;
use tagus_engine::retrieval::{Grid, Machine, Plot, Points, Processor};
use tagus_engine::tag::{Tag, TagType};

use super::question::Question;

/// Answers of a piece that runs backwards.
const BACKWARDS: u64 = 1024;

/// The pieces of a question, in the order of its answers.
#[derive(Clone, Debug)]
pub(super) enum Pieces {
    /// All of it.
    Whole,
    /// Each time of a grid by itself.
    EachStart,
    /// Stretches of the list of times.
    Stretches(Vec<std::ops::Range<usize>>),
    /// So many intervals each, from the latest to the earliest.
    Backwards,
}

/// Part of a question.
pub(super) struct Piece {
    /// The first and the last time that are read.
    pub(super) low: i64,
    pub(super) high: i64,
    part: Part,
    /// Whether the answers come in the order of time and have to be turned round.
    pub(super) reverse: bool,
}

enum Part {
    Starts(Grid),
    Times(Vec<i64>),
    Intervals(Grid),
    Plot { start: i64, end: i64, pixels: u64 },
}

/// What answers a piece for a tag.
pub(super) enum Work {
    Processor(Processor),
    Plot(Plot),
}

impl Pieces {
    /// How to cut a question for tags that have about so many samples a second each.
    pub(super) fn of(question: &Question, samples_a_second: f64) -> Pieces {
        // What lies between two times is at most a page or two, or else it is not read.
        let is_far = |a: i64, b: i64| a.abs_diff(b) as f64 / 1e9 * samples_a_second > 2.0 * PAGE_ROWS as f64;
        match question {
            Question::Interpolated { start, end, step }
                if is_far(*start, start.saturating_add_unsigned(*step).min(*end)) =>
            {
                Pieces::EachStart
            }
            Question::AtTimes(times) => {
                let mut stretches = Vec::new();
                let mut first = 0;
                for i in 1..=times.len() {
                    if i == times.len() || is_far(times[i - 1], times[i]) {
                        stretches.push(first..i);
                        first = i;
                    }
                }
                if stretches.len() == 1 { Pieces::Whole } else { Pieces::Stretches(stretches) }
            }
            Question::Processed { start, end, .. } if start > end => Pieces::Backwards,
            _ => Pieces::Whole,
        }
    }

    /// Whether the pieces of a question matter for its plan: otherwise nobody has to count samples.
    pub(super) fn depend_on_samples(question: &Question) -> bool {
        matches!(question, Question::Interpolated { .. } | Question::AtTimes(_)) && question.rows_a_tag() > 1
    }

    /// The number of pieces.
    pub(super) fn len(&self, question: &Question) -> u64 {
        match self {
            Pieces::Whole => 1,
            Pieces::EachStart => question.rows_a_tag(),
            Pieces::Stretches(stretches) => stretches.len() as u64,
            Pieces::Backwards => question.rows_a_tag().div_ceil(BACKWARDS),
        }
    }

    /// Piece `index`.
    pub(super) fn get(&self, question: &Question, index: u64) -> Piece {
        match (question, self) {
            (Question::Interpolated { start, step, .. }, Pieces::EachStart) => {
                Piece::times(vec![start.saturating_add_unsigned(index.saturating_mul(*step))])
            }
            (Question::Interpolated { start, end, step }, _) => {
                let grid = Grid::new(*start, *end, *step);
                let last = start.saturating_add_unsigned((grid.len().saturating_sub(1)).saturating_mul(*step));
                Piece { low: *start, high: last, part: Part::Starts(grid), reverse: false }
            }
            (Question::AtTimes(times), Pieces::Stretches(stretches)) => {
                let stretch = usize::try_from(index).ok().and_then(|index| stretches.get(index));
                Piece::times(stretch.map_or(Vec::new(), |stretch| times[stretch.clone()].to_vec()))
            }
            (Question::AtTimes(times), _) => Piece::times(times.clone()),
            (Question::Processed { start, end, interval, .. }, Pieces::Backwards) => {
                let whole = Grid::new(*start, *end, *interval);
                let step = if *interval == 0 { start.abs_diff(*end) } else { (*interval).min(start.abs_diff(*end)) };
                let from = index * BACKWARDS;
                let to = (from + BACKWARDS).min(whole.len());
                let at = |place: u64| start.saturating_sub_unsigned(place.saturating_mul(step)).max(*end);
                Piece::intervals(Grid::new(at(from), at(to), step))
            }
            (Question::Processed { start, end, interval, .. }, _) => {
                Piece::intervals(Grid::new(*start, *end, *interval))
            }
            (Question::Plot { start, end, pixels }, _) => {
                let part = Part::Plot { start: *start, end: *end, pixels: *pixels };
                Piece { low: *start, high: end.saturating_sub(1), part, reverse: false }
            }
        }
    }
}

impl Piece {
    fn times(times: Vec<i64>) -> Piece {
        let (low, high) = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
        Piece { low, high, part: Part::Times(times), reverse: false }
    }

    fn intervals(grid: Grid) -> Piece {
        let (low, high) = grid.ends();
        Piece { low, high, part: Part::Intervals(grid), reverse: grid.is_reverse() }
    }

    /// Whether the ends of a tag's data matter.
    pub(super) fn needs_spans(&self, question: &Question) -> bool {
        matches!(self.part, Part::Intervals(_))
            && question.aggregate().is_some_and(|aggregate| aggregate.machine() != Machine::Points)
    }

    /// What answers it for a tag whose data lies in `span`.
    pub(super) fn work(&self, question: &Question, tag: &Tag, span: tagus_engine::retrieval::Span) -> Work {
        let rules = question.rules(&tag.spec);
        Work::Processor(match &self.part {
            Part::Plot { start, end, pixels } => return Work::Plot(Plot::new(*start, *end, *pixels)),
            Part::Starts(grid) => Processor::points(Points::at_starts(rules, *grid)),
            Part::Times(times) => Processor::points(Points::at_times(rules, times.clone())),
            Part::Intervals(grid) => match question.aggregate() {
                Some(aggregate) if tag.spec.tag_type != TagType::Text || aggregate.takes_texts() => {
                    Processor::new(aggregate, rules, *grid, span)
                }
                _ => Processor::refused(*grid),
            },
        })
    }
}
