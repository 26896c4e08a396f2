//! One aggregate of one tag, whichever machine answers it.

use super::{Aggregate, Answers, Area, Context, Grid, Machine, Points, Rules, Samples, Simple, Span};

/// Answers an aggregate of each interval of a grid, ascending in time.
pub enum Processor {
    /// See [`Points`].
    Points(Points),
    /// See [`Area`].
    Area(Area),
    /// See [`Simple`].
    Simple(Box<Simple>),
}

impl Processor {
    /// For samples of a tag whose data lies in `span`.
    pub fn new(aggregate: Aggregate, rules: Rules, grid: Grid, span: Span) -> Processor {
        match aggregate.machine() {
            Machine::Points => Processor::Points(Points::at_starts(rules, grid)),
            Machine::Area => Processor::Area(Area::new(aggregate, rules, grid, span)),
            Machine::Simple => Processor::Simple(Box::new(Simple::new(vec![aggregate], rules, grid, span))),
        }
    }

    /// Which samples around the range it has to be fed.
    pub fn context(&self) -> Context {
        match self {
            Processor::Points(_) | Processor::Area(_) => Context { values_before: 2, value_after: true },
            Processor::Simple(_) => Context { values_before: 1, value_after: false },
        }
    }

    /// Takes samples from `at` on, until all are taken or `out` has `room` answers; answers how far
    /// it came.
    pub fn feed(&mut self, samples: Samples<'_>, at: usize, out: &mut Answers, room: usize) -> usize {
        match self {
            Processor::Points(points) => points.feed(samples, at, out, room),
            Processor::Area(area) => area.feed(samples, at, out, room),
            Processor::Simple(simple) => simple.feed(samples, at, std::slice::from_mut(out), room),
        }
    }

    /// Answers what is left, with nothing known after it, until `out` has `room` answers; says whether
    /// that was all.
    pub fn finish(&mut self, out: &mut Answers, room: usize) -> bool {
        match self {
            Processor::Points(points) => points.finish(out, room),
            Processor::Area(area) => area.finish(out, room),
            Processor::Simple(simple) => simple.finish(std::slice::from_mut(out), room),
        }
    }
}
