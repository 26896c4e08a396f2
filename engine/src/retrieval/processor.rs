//! One aggregate of one tag, whichever machine answers it.

use super::sample::INVALID_INPUTS;
use super::{Aggregate, Answers, Area, Grid, Machine, Points, Rules, Samples, Simple, Span};

/// Answers an aggregate of each interval of a grid, ascending in time.
pub enum Processor {
    /// See [`Points`].
    Points(Points),
    /// See [`Area`].
    Area(Area),
    /// See [`Simple`].
    Simple(Box<Simple>),
    /// The aggregate has no meaning for the tag.
    Refused(Refused),
}

/// Answers each interval that its input is not valid.
pub struct Refused {
    grid: Grid,
    done: u64,
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

    /// For a tag that has no values of the kind that the aggregate takes.
    pub fn refused(grid: Grid) -> Processor {
        Processor::Refused(Refused { grid, done: 0 })
    }

    /// Takes samples from `at` on, until all are taken or `out` has `room` answers; answers how far
    /// it came.
    pub fn feed(&mut self, samples: Samples<'_>, at: usize, out: &mut Answers, room: usize) -> usize {
        match self {
            Processor::Points(points) => points.feed(samples, at, out, room),
            Processor::Area(area) => area.feed(samples, at, out, room),
            Processor::Simple(simple) => simple.feed(samples, at, std::slice::from_mut(out), room),
            Processor::Refused(_) => samples.len(),
        }
    }

    /// Answers what is left, with nothing known after it, until `out` has `room` answers; says whether
    /// that was all.
    pub fn finish(&mut self, out: &mut Answers, room: usize) -> bool {
        match self {
            Processor::Points(points) => points.finish(out, room),
            Processor::Area(area) => area.finish(out, room),
            Processor::Simple(simple) => simple.finish(std::slice::from_mut(out), room),
            Processor::Refused(refused) => refused.finish(out, room),
        }
    }
}

impl Refused {
    fn finish(&mut self, out: &mut Answers, room: usize) -> bool {
        while self.done < self.grid.len() && out.len() < room {
            out.push(self.grid.start_of(self.grid.interval(self.done)), None, INVALID_INPUTS, 0);
            self.done += 1;
        }
        self.done == self.grid.len()
    }
}
