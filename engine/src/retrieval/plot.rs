//! What a trend has to draw: of each pixel's samples the first, the last and both extremes, and the
//! sample that begins a gap.

use super::sample::{Answers, Sample, Samples};
use crate::status::Quality;

/// Samples of one pixel at most.
const KEPT_MAX: usize = 5;

/// Answers the samples that a trend of so many pixels has to draw, each once and in order.
///
/// It has to be fed the sample before the range, so that it knows whether a gap goes on.
pub struct Plot {
    start: i64,
    range: u64,
    pixels: u64,
    /// The pixel that is open, if it has a sample.
    open: Option<Pixel>,
    /// Whether the sample before was Bad.
    in_gap: bool,
}

struct Pixel {
    /// The next one begins here.
    end: i64,
    first: Sample,
    last: Sample,
    /// Among samples that are not Bad.
    least: Option<Sample>,
    greatest: Option<Sample>,
    /// The first sample that begins a gap.
    gap: Option<Sample>,
}

impl Plot {
    /// `pixels` equal intervals from `start` to `end`, which is later and not included.
    pub fn new(start: i64, end: i64, pixels: u64) -> Plot {
        Plot { start, range: start.abs_diff(end), pixels: pixels.max(1), open: None, in_gap: false }
    }

    /// Takes samples from `at` on, until all are taken or `out` may get more than `room` answers;
    /// answers how far it came. Samples before the range are not answered, nor any after it.
    pub fn feed(&mut self, samples: Samples<'_>, mut at: usize, out: &mut Answers, room: usize) -> usize {
        while at < samples.len() {
            let sample = samples.get(at);
            let is_bad = sample.status.quality() == Quality::Bad;
            let begins_gap = is_bad && !self.in_gap;
            self.in_gap = is_bad;
            if sample.time >= self.start && sample.time.abs_diff(self.start) < self.range {
                match &mut self.open {
                    Some(pixel) if sample.time < pixel.end => pixel.take(sample, is_bad, begins_gap),
                    _ => {
                        self.close(out);
                        self.open = Some(self.pixel(sample, is_bad, begins_gap));
                    }
                }
            }
            at += 1;
            if out.len() + KEPT_MAX > room {
                break;
            }
        }
        at
    }

    /// Answers what is left.
    pub fn finish(&mut self, out: &mut Answers) {
        self.close(out);
    }

    /// The pixel of a sample, with nothing else in it.
    fn pixel(&self, sample: Sample, is_bad: bool, begins_gap: bool) -> Pixel {
        let (range, pixels) = (u128::from(self.range), u128::from(self.pixels));
        let index = u128::from(sample.time.abs_diff(self.start)) * pixels / range;
        // The first nanosecond that belongs to the next pixel; at most the end of the range.
        let next = u64::try_from(((index + 1) * range).div_ceil(pixels)).unwrap_or(self.range);
        let value = Some(sample).filter(|_| !is_bad);
        let gap = Some(sample).filter(|_| begins_gap);
        let end = self.start.saturating_add_unsigned(next);
        Pixel { end, first: sample, last: sample, least: value, greatest: value, gap }
    }

    fn close(&mut self, out: &mut Answers) {
        let Some(Pixel { first, last, least, greatest, gap, .. }) = self.open.take() else { return };
        let mut kept = [Some(first), least, greatest, gap, Some(last)];
        kept.sort_unstable_by_key(|sample| sample.map(|sample| sample.time));
        let mut before = None;
        for sample in kept.into_iter().flatten().filter(|sample| before.replace(sample.time) != Some(sample.time)) {
            let value = Some(sample.value).filter(|_| sample.status.quality() != Quality::Bad);
            out.push(sample.time, value, sample.status, 0);
        }
    }
}

impl Pixel {
    fn take(&mut self, sample: Sample, is_bad: bool, begins_gap: bool) {
        self.last = sample;
        if begins_gap && self.gap.is_none() {
            self.gap = Some(sample);
        }
        if is_bad {
            return;
        }
        if self.least.is_none_or(|least| sample.value < least.value) {
            self.least = Some(sample);
        }
        if self.greatest.is_none_or(|greatest| sample.value > greatest.value) {
            self.greatest = Some(sample);
        }
    }
}
