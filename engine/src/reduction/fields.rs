//! Summaries as samples: each of their numbers is a series of its own, which is stored as the samples of
//! tags are, at the time where the summary begins and with its status.

use super::summary::{Extreme, MINUTE, Start, Summary, minute_of};
use crate::sample::Rows;
use crate::tag::TagId;

/// A number of a summary. One that says nothing new is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Field {
    /// Samples that were left out; always there.
    Count = 0,
    /// How long the stretch is, in seconds; none where it ends with its minute.
    Length = 1,
    /// The sum of the values that were left out.
    Sum = 2,
    /// The sum of the squares of their distances from their mean; none where 0.
    Squares = 3,
    /// The area under straight lines.
    Sloped = 4,
    /// By how much the area where values hold is greater.
    Stepped = 5,
    /// The least value; none where only one was left out.
    Least = 6,
    /// When it first was, in seconds from the beginning.
    LeastAt = 7,
    /// How often; none where once.
    LeastCount = 8,
    /// The greatest value; none where it is the least.
    Greatest = 9,
    /// When it first was.
    GreatestAt = 10,
    /// How often; none where once.
    GreatestCount = 11,
    /// The value of the sample that stays at the beginning; none where none does.
    Start = 12,
    /// Where none does, the value there on the line between samples.
    Line = 13,
    /// The value of the last sample before; none where it is that on the line.
    Held = 14,
    /// The value of the sample that stays at the end; none where none does.
    End = 15,
    /// Samples that stay; none where there are none.
    Kept = 16,
    /// The sum of their values, each times its place among them.
    KeptSum = 17,
    /// 1 at the start of a minute in part of which samples were deleted.
    Inexact = 18,
}

const FIELDS: [Field; 19] = [
    Field::Count,
    Field::Length,
    Field::Sum,
    Field::Squares,
    Field::Sloped,
    Field::Stepped,
    Field::Least,
    Field::LeastAt,
    Field::LeastCount,
    Field::Greatest,
    Field::GreatestAt,
    Field::GreatestCount,
    Field::Start,
    Field::Line,
    Field::Held,
    Field::End,
    Field::Kept,
    Field::KeptSum,
    Field::Inexact,
];

/// What is known of samples that were left out.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct LeftOut {
    /// Summaries, ascending.
    pub summaries: Vec<Summary>,
    /// Starts of minutes in part of which samples were deleted, ascending.
    pub inexact: Vec<i64>,
}

impl Field {
    /// The series of a tag's summaries that this number is in.
    pub fn of(self, tag: TagId) -> TagId {
        TagId(TagId::LAST.0 + 1 + tag.0 * TagId::FIELDS + u32::from(self as u8))
    }

    /// All series of a tag's summaries.
    pub fn all_of(tag: TagId) -> impl Iterator<Item = TagId> {
        FIELDS.iter().map(move |field| field.of(tag))
    }

    /// The number that is in a series of summaries, if a version knows it.
    fn in_series(series: TagId) -> Option<Field> {
        let at = (series.0 - TagId::LAST.0 - 1) % TagId::FIELDS;
        FIELDS.get(at as usize).copied()
    }
}

impl Summary {
    /// Its numbers.
    pub fn numbers(&self) -> impl Iterator<Item = (Field, f64)> {
        // What doubles cannot hold is not told, and then no samples are those that stay.
        let sums = [self.sum, self.squares, self.sloped, self.stepped, self.kept_sum];
        let kept = if sums.iter().all(|sum| sum.is_finite()) { self.kept as f64 } else { f64::from(u32::MAX) };
        let unless_bad = |value: f64| (!self.status.is_bad()).then_some(value);
        let at = |extreme: &Extreme| seconds(extreme.time.saturating_sub(self.from));
        let often = |extreme: &Extreme| Some(extreme.count as f64).filter(|_| extreme.count > 1);
        let least = self.least.filter(|_| !self.status.is_bad());
        let is_other = |greatest: &Extreme| least.is_some_and(|least| least.value != greatest.value);
        let greatest = self.greatest.filter(is_other);
        let (start, line, held) = match self.start {
            Start::Sample(value) => (Some(value), None, None),
            Start::Between { line, held } => {
                (None, unless_bad(line), unless_bad(held).filter(|held| held.to_bits() != line.to_bits()))
            }
        };
        [
            (Field::Count, Some(self.count as f64)),
            (Field::Length, Some(seconds(self.to - self.from)).filter(|_| self.to != self.minute_end())),
            (Field::Sum, unless_bad(decimal(self.sum)).filter(|_| self.count > 0)),
            (Field::Squares, unless_bad(coarse(self.squares)).filter(|squares| *squares != 0.0)),
            (Field::Sloped, unless_bad(rounded(self.sloped))),
            (Field::Stepped, unless_bad(beyond(self.stepped, self.sloped))),
            (Field::Least, least.map(|extreme| extreme.value).filter(|_| self.count > 1)),
            (Field::LeastAt, least.as_ref().map(at)),
            (Field::LeastCount, least.as_ref().and_then(often)),
            (Field::Greatest, greatest.map(|extreme| extreme.value)),
            (Field::GreatestAt, greatest.as_ref().map(at)),
            (Field::GreatestCount, greatest.as_ref().and_then(often)),
            (Field::Start, start),
            (Field::Line, line.map(rounded)),
            (Field::Held, held),
            (Field::End, self.end),
            (Field::Kept, Some(kept).filter(|kept| *kept > 0.0)),
            (Field::KeptSum, unless_bad(rounded(self.kept_sum)).filter(|_| self.kept > 0)),
        ]
        .into_iter()
        .filter_map(|(field, value)| value.filter(|value| value.is_finite()).map(|value| (field, value)))
    }

    /// Whether so many samples with this sum are those that stay.
    pub(crate) fn has_kept(&self, kept: u64, kept_sum: f64) -> bool {
        self.kept == kept && (self.status.is_bad() || rounded(self.kept_sum) == rounded(kept_sum))
    }
}

/// Rounded to 13 digits: sums of decimals are decimals again, and areas take less room.
fn rounded(value: f64) -> f64 {
    format!("{value:.12e}").parse().unwrap_or(value)
}

/// Rounded to 15 digits: a decimal, where it was made of some, and nearly all of it where it was not.
fn decimal(value: f64) -> f64 {
    format!("{value:.14e}").parse().unwrap_or(value)
}

/// Rounded to 10 digits.
fn coarse(value: f64) -> f64 {
    format!("{value:.9e}").parse().unwrap_or(value)
}

/// A number minus another one, with the decimals that this one has 13 digits with.
fn beyond(value: f64, base: f64) -> f64 {
    let exponent = format!("{base:e}").split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok());
    let decimals = exponent.map_or(0, |exponent| (12 - exponent).clamp(0, 300));
    let difference = value - rounded(base);
    format!("{difference:.*}", decimals.unsigned_abs() as usize).parse().unwrap_or(difference)
}

impl LeftOut {
    /// Takes samples of a series of summaries; the series of a tag come in ascending order.
    pub(crate) fn take(&mut self, series: TagId, rows: &Rows, range: std::ops::Range<usize>) {
        let Some(field) = Field::in_series(series) else { return };
        for i in range {
            let (time, Some(bits)) = (rows.times[i], rows.value(i)) else { continue };
            let value = f64::from_bits(bits);
            match field {
                Field::Count => {
                    let mut summary = Summary::new(time, rows.status(i), Start::Between { line: 0.0, held: 0.0 });
                    (summary.to, summary.count) = (summary.minute_end(), count(value));
                    self.summaries.push(summary);
                }
                Field::Inexact => self.inexact.push(time),
                _ => {
                    if let Ok(at) = self.summaries.binary_search_by_key(&time, |summary| summary.from) {
                        self.summaries[at].set(field, value);
                    }
                }
            }
        }
    }

    /// Puts in place of the summaries from a time on those that are not settled.
    pub(crate) fn end_with<'a>(&mut self, from: i64, unsettled: impl Iterator<Item = &'a Summary>) {
        self.summaries.truncate(self.summaries.partition_point(|summary| summary.from < from));
        self.summaries.extend(unsettled);
    }
}

impl Summary {
    fn set(&mut self, field: Field, value: f64) {
        let from = self.from;
        let time = from.saturating_add(nanoseconds(value));
        match field {
            Field::Length => self.to = time,
            Field::Sum => self.sum = value,
            Field::Squares => self.squares = value,
            Field::Sloped => self.sloped = value,
            Field::Stepped => self.stepped = self.sloped + value,
            // It is the greatest, too, unless another one is told of.
            Field::Least => {
                self.least = Some(Extreme { value, time: from, count: 1 });
                self.greatest = self.least;
            }
            Field::LeastAt => {
                if self.least.is_none() {
                    self.set(Field::Least, self.sum);
                }
                for extreme in [&mut self.least, &mut self.greatest].into_iter().flatten() {
                    extreme.time = time;
                }
            }
            Field::LeastCount => {
                for extreme in [&mut self.least, &mut self.greatest].into_iter().flatten() {
                    extreme.count = count(value);
                }
            }
            Field::Greatest => self.greatest = Some(Extreme { value, time: from, count: 1 }),
            Field::GreatestAt => {
                if let Some(extreme) = &mut self.greatest {
                    extreme.time = time;
                }
            }
            Field::GreatestCount => {
                if let Some(extreme) = &mut self.greatest {
                    extreme.count = count(value);
                }
            }
            Field::Start => self.start = Start::Sample(value),
            Field::Line => self.start = Start::Between { line: value, held: value },
            Field::Held => {
                if let Start::Between { held, .. } = &mut self.start {
                    *held = value;
                }
            }
            Field::End => self.end = Some(value),
            Field::Kept => self.kept = count(value),
            Field::KeptSum => self.kept_sum = value,
            Field::Count | Field::Inexact => {}
        }
    }
}

/// The minutes at the ends of a range of time, both included, that are in it in part only.
pub(crate) fn cut_minutes(from: i64, to: i64) -> impl Iterator<Item = i64> {
    let first = Some(minute_of(from)).filter(|minute| *minute != from);
    let last = Some(minute_of(to)).filter(|minute| to.saturating_sub(*minute) != MINUTE - 1);
    let last = last.filter(|last| first != Some(*last));
    first.into_iter().chain(last)
}

/// A count as it was stored.
fn count(value: f64) -> u64 {
    value as u64
}

fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn nanoseconds(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    #[test]
    fn a_summary_survives_its_numbers() {
        let extreme = |value: f64, time: i64, count: u64| Some(Extreme { value, time, count });
        let mut summary = Summary::new(3 * MINUTE + 5, Status::UNCERTAIN, Start::Sample(-2.5));
        summary.to = 4 * MINUTE;
        (summary.count, summary.sum, summary.squares) = (9, 4.25, 0.1);
        (summary.sloped, summary.stepped) = (0.3, -7.0);
        (summary.kept, summary.kept_sum, summary.end) = (2, 0.5, None);
        (summary.least, summary.greatest) =
            (extreme(-1.0, 3 * MINUTE + 1_000_000_005, 2), extreme(2.0, 4 * MINUTE - 1, 1));
        // A single value that was left out.
        let between = Summary {
            from: 4 * MINUTE,
            to: 4 * MINUTE + 7,
            count: 1,
            squares: 0.0,
            start: Start::Between { line: 0.5, held: 0.75 },
            end: Some(1.0),
            least: extreme(4.25, 4 * MINUTE, 1),
            greatest: extreme(4.25, 4 * MINUTE, 1),
            ..summary
        };
        let constant = Summary {
            from: 5 * MINUTE,
            to: 6 * MINUTE,
            squares: 0.0,
            start: Start::Between { line: 0.5, held: 0.5 },
            least: extreme(0.5, 5 * MINUTE, 9),
            greatest: extreme(0.5, 5 * MINUTE, 9),
            kept: 0,
            kept_sum: 0.0,
            ..summary
        };
        let empty =
            Summary { from: 6 * MINUTE, to: 7 * MINUTE, count: 0, sum: 0.0, least: None, greatest: None, ..constant };
        let all = [summary, between, constant, empty];
        let mut series: std::collections::BTreeMap<TagId, Rows> = std::collections::BTreeMap::new();
        for summary in &all {
            for (field, value) in summary.numbers() {
                let rows = series.entry(field.of(TagId(7))).or_default();
                rows.push_value(summary.from, value.to_bits(), summary.status);
            }
        }
        let mut read = LeftOut::default();
        series.iter().for_each(|(id, rows)| read.take(*id, rows, 0..rows.len()));
        assert_eq!(read.summaries, all);
        assert!(series.keys().all(|id| id.is_summary() && id.owner() == TagId(7)));
        read.end_with(5 * MINUTE, [&summary].into_iter());
        assert_eq!(read.summaries, [summary, between, summary]);
        assert!(summary.has_kept(2, 0.1 + 0.4) && !summary.has_kept(1, 0.5) && !summary.has_kept(2, 0.500001));
    }

    #[test]
    fn what_is_cut_at_its_ends_is_told() {
        let cut = |from, to| cut_minutes(from, to).collect::<Vec<i64>>();
        assert!(cut(MINUTE, 3 * MINUTE - 1).is_empty());
        assert_eq!(cut(MINUTE + 1, 3 * MINUTE - 1), [MINUTE]);
        assert_eq!(cut(MINUTE, 3 * MINUTE), [3 * MINUTE]);
        assert_eq!(cut(MINUTE + 1, MINUTE + 2), [MINUTE]);
        assert_eq!(cut(-1, -1), [-MINUTE]);
    }
}
