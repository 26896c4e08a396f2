//! One aggregate of one tag, whichever machine answers it.

use super::left_out::{Part, Waiting};
use super::sample::INVALID_INPUTS;
use super::{Aggregate, Answers, Area, Grid, Machine, Points, Rules, Samples, Simple, Span};
use crate::reduction::LeftOut;

/// Answers an aggregate of each interval of a grid, ascending in time.
pub struct Processor {
    machine: Answering,
    waiting: Option<Box<Waiting>>,
}

enum Answering {
    Points(Points),
    Area(Area),
    Simple(Box<Simple>),
    /// The aggregate has no meaning for the tag.
    Refused(Refused),
}

/// Answers each interval that its input is not valid.
struct Refused {
    grid: Grid,
    done: u64,
}

impl Processor {
    /// For samples of a tag whose data lies in `span`.
    pub fn new(aggregate: Aggregate, rules: Rules, grid: Grid, span: Span) -> Processor {
        Processor::of(match aggregate.machine() {
            Machine::Points => Answering::Points(Points::at_starts(rules, grid)),
            Machine::Area => Answering::Area(Area::new(aggregate, rules, grid, span)),
            Machine::Simple => Answering::Simple(Box::new(Simple::new(vec![aggregate], rules, grid, span))),
        })
    }

    /// For values at times.
    pub fn points(points: Points) -> Processor {
        Processor::of(Answering::Points(points))
    }

    /// For a tag that has no values of the kind that the aggregate takes.
    pub fn refused(grid: Grid) -> Processor {
        Processor::of(Answering::Refused(Refused { grid, done: 0 }))
    }

    fn of(machine: Answering) -> Processor {
        Processor { machine, waiting: None }
    }

    /// Takes what reduction has left out, before the samples that follow it and after all that came
    /// before.
    pub fn leave_out(&mut self, left_out: &LeftOut) {
        self.waiting.get_or_insert_default().take(left_out);
    }

    /// Takes samples from `at` on, until all are taken or `out` has `room` answers; answers how far
    /// it came.
    pub fn feed(&mut self, samples: Samples<'_>, at: usize, out: &mut Answers, room: usize) -> usize {
        let Processor { machine, waiting } = self;
        let Some(waiting) = waiting else { return machine.feed(samples, at, out, room) };
        // What waits goes on before more is taken.
        if !machine.feed_ready(waiting, out, room) {
            return at;
        }
        waiting.hold(samples.slice(at..samples.len()));
        waiting.judge(false).into_iter().for_each(|part| machine.note(part));
        machine.feed_ready(waiting, out, room);
        samples.len()
    }

    /// Answers what is left, with nothing known after it, until `out` has `room` answers; says whether
    /// that was all.
    pub fn finish(&mut self, out: &mut Answers, room: usize) -> bool {
        let Processor { machine, waiting } = self;
        if let Some(waiting) = waiting {
            if !machine.feed_ready(waiting, out, room) {
                return false;
            }
            waiting.judge(true).into_iter().for_each(|part| machine.note(part));
            if !machine.feed_ready(waiting, out, room) {
                return false;
            }
        }
        match machine {
            Answering::Points(points) => points.finish(out, room),
            Answering::Area(area) => area.finish(out, room),
            Answering::Simple(simple) => simple.finish(std::slice::from_mut(out), room),
            Answering::Refused(refused) => refused.finish(out, room),
        }
    }
}

impl Answering {
    fn feed(&mut self, samples: Samples<'_>, at: usize, out: &mut Answers, room: usize) -> usize {
        match self {
            Answering::Points(points) => points.feed(samples, at, out, room),
            Answering::Area(area) => area.feed(samples, at, out, room),
            Answering::Simple(simple) => simple.feed(samples, at, std::slice::from_mut(out), room),
            Answering::Refused(_) => samples.len(),
        }
    }

    /// Takes the samples that are ready; says whether those are all.
    fn feed_ready(&mut self, waiting: &mut Waiting, out: &mut Answers, room: usize) -> bool {
        let ready = waiting.ready();
        if ready.is_empty() {
            return true;
        }
        let fed = self.feed(waiting.samples().slice(0..ready.end), ready.start, out, room);
        waiting.pass(fed);
        fed >= ready.end
    }

    fn note(&mut self, part: Part) {
        match self {
            Answering::Area(area) => area.note(part),
            Answering::Simple(simple) => simple.note(part),
            Answering::Points(_) | Answering::Refused(_) => {}
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
