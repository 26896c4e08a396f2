//! Reads times as they stand in files and on command lines.
//!
//! RFC 3339 with its offset; the same without one, taken as UTC; a date alone, its midnight; an
//! integer where its unit was told. Everything is checked by hand: a file of samples has one time
//! in each line.

use std::fmt;

use clap::ValueEnum;
use tagus_engine::limits::{TIME_MAX, TIME_MIN};

/// The unit of times that come as integers since 1970 UTC.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeUnit {
    /// Seconds
    S,
    /// Milliseconds
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

/// Why a time cannot be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadTime {
    /// Not one of the shapes.
    Unreadable,
    /// An integer, and nobody told its unit.
    NoUnit,
    /// Before 1900 or not before 2262.
    OutOfRange,
    /// Nothing there.
    Missing,
}

/// Reads times of one source.
#[derive(Clone, Copy, Debug)]
pub struct TimeReader {
    unit: Option<TimeUnit>,
    /// The last date read with its days since 1970: most neighbours share it.
    date: [u8; 10],
    days: i64,
}

const SECONDS_A_DAY: i64 = 86_400;
const NANOS: i64 = 1_000_000_000;

impl fmt::Display for BadTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadTime::Unreadable => "the time is neither RFC 3339 nor YYYY-MM-DD HH:MM:SS",
            BadTime::NoUnit => "an integer time needs --time-unit s, ms, us or ns",
            BadTime::OutOfRange => "the time is outside of 1900 to 2262",
            BadTime::Missing => "the time is missing",
        })
    }
}

impl TimeUnit {
    /// Nanoseconds of one unit.
    pub const fn nanos(self) -> i64 {
        match self {
            TimeUnit::S => NANOS,
            TimeUnit::Ms => 1_000_000,
            TimeUnit::Us => 1000,
            TimeUnit::Ns => 1,
        }
    }

    /// An integer of this unit as nanoseconds since 1970 UTC.
    pub fn scale(self, number: i64) -> Result<i64, BadTime> {
        number.checked_mul(self.nanos()).ok_or(BadTime::OutOfRange).and_then(in_range)
    }
}

impl TimeReader {
    /// A reader that takes integers as `unit`.
    pub fn new(unit: Option<TimeUnit>) -> TimeReader {
        TimeReader { unit, date: *b"1970-01-01", days: 0 }
    }

    /// An integer as nanoseconds since 1970 UTC.
    pub fn integer(&self, number: i64) -> Result<i64, BadTime> {
        self.unit.ok_or(BadTime::NoUnit)?.scale(number)
    }

    /// A text as nanoseconds since 1970 UTC.
    pub fn text(&mut self, text: &[u8]) -> Result<i64, BadTime> {
        let text = text.trim_ascii();
        if text.get(4) == Some(&b'-') && text.len() >= 10 {
            return self.calendar(text);
        }
        match std::str::from_utf8(text).ok().and_then(|t| t.parse::<i64>().ok()) {
            Some(number) => self.integer(number),
            None if text.is_empty() => Err(BadTime::Missing),
            None if is_integer(text) && self.unit.is_some() => Err(BadTime::OutOfRange),
            None => Err(BadTime::Unreadable),
        }
    }

    fn calendar(&mut self, text: &[u8]) -> Result<i64, BadTime> {
        let (date, rest) = text.split_at(10);
        if date != self.date {
            self.days = days_of(date).ok_or(BadTime::Unreadable)?;
            self.date.copy_from_slice(date);
        }
        let (seconds, fraction, offset) = match rest.split_first() {
            None => (0, 0, 0),
            Some((b'T' | b't' | b' ', clock)) => clock_of(clock).ok_or(BadTime::Unreadable)?,
            Some(_) => return Err(BadTime::Unreadable),
        };
        let seconds = self.days * SECONDS_A_DAY + seconds - offset;
        let nanos = seconds.checked_mul(NANOS).and_then(|n| n.checked_add(fraction));
        nanos.ok_or(BadTime::OutOfRange).and_then(in_range)
    }
}

fn in_range(nanos: i64) -> Result<i64, BadTime> {
    if (TIME_MIN..=TIME_MAX).contains(&nanos) { Ok(nanos) } else { Err(BadTime::OutOfRange) }
}

fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Days since 1970 of `YYYY-MM-DD`.
fn days_of(date: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    let year = pair(*y1, *y2)? * 100 + pair(*y3, *y4)?;
    let (month, day) = (pair(*m1, *m2)?, pair(*d1, *d2)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date of the Gregorian calendar. Years are counted from March, so that the
/// leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Seconds of the day, nanoseconds and offset in seconds of `HH:MM[:SS[.fraction]][zone]`.
fn clock_of(text: &[u8]) -> Option<(i64, i64, i64)> {
    let [h1, h2, b':', m1, m2, rest @ ..] = text else { return None };
    let (hour, minute) = (pair(*h1, *h2)?, pair(*m1, *m2)?);
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (pair(*s1, *s2)?, rest),
        _ => (0, rest),
    };
    // 60 is a leap second; as in POSIX time it is the first second of the next day.
    let leap = second == 60 && minute == 59;
    if hour > 23 || minute > 59 || (second > 59 && !leap) {
        return None;
    }
    let (fraction, rest) = match rest {
        [b'.' | b',', rest @ ..] => fraction_of(rest)?,
        _ => (0, rest),
    };
    Some((hour * 3600 + minute * 60 + second, fraction, offset_of(rest)?))
}

/// Nanoseconds of the digits after the point, and what follows them. Digits beyond the ninth are
/// below the resolution and are cut.
fn fraction_of(text: &[u8]) -> Option<(i64, &[u8])> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let padded = text[..digits].iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanos = padded.fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0'));
    Some((nanos, &text[digits..]))
}

/// Seconds east of UTC of `Z`, `+HH`, `+HHMM` or `+HH:MM`; nothing means UTC.
fn offset_of(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b' ', rest @ ..] => return if rest.is_empty() { None } else { offset_of(rest) },
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [h1, h2] => (pair(*h1, *h2)?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (pair(*h1, *h2)?, pair(*m1, *m2)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(sign * (hours * 3600 + minutes * 60))
}

fn pair(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens < 10 && ones < 10 { Some(i64::from(tens) * 10 + i64::from(ones)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<i64, BadTime> {
        TimeReader::new(None).text(text.as_bytes())
    }

    #[test]
    fn all_shapes_of_one_instant_agree() {
        let instant = 1_767_268_815_000_000_000;
        for text in [
            "2026-01-01T12:00:15Z",
            "2026-01-01T12:00:15z",
            "2026-01-01t12:00:15",
            "2026-01-01 12:00:15",
            " 2026-01-01 12:00:15.000 ",
            "2026-01-01T13:30:15+01:30",
            "2026-01-01T13:30:15+0130",
            "2026-01-01 13:00:15+01",
            "2026-01-01 12:00:15 +00:00",
            "2025-12-31T23:00:15.0-13:00",
        ] {
            assert_eq!(read(text), Ok(instant), "{text}");
        }
        assert_eq!(read("2026-01-01"), Ok(1_767_225_600_000_000_000));
        assert_eq!(read("2026-01-01 12:00"), Ok(instant - 15 * NANOS));
    }

    #[test]
    fn fractions_have_any_number_of_digits() {
        let base = read("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(read("2026-01-01T00:00:00.5Z"), Ok(base + 500_000_000));
        assert_eq!(read("2026-01-01T00:00:00,999"), Ok(base + 999_000_000));
        assert_eq!(read("2026-01-01T00:00:00.123456789Z"), Ok(base + 123_456_789));
        assert_eq!(read("2026-01-01T00:00:00.1234567899999Z"), Ok(base + 123_456_789));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "yesterday",
            "2026-13-01",
            "2026-02-29",
            "2026-04-31",
            "2026-00-10",
            "2026-01-00",
            "2026-01-01T24:00:00",
            "2026-01-01T12:60:00",
            "2026-01-01T12:00:61",
            "2026-01-01T12:30:60",
            "2026-01-01T12:00:15.",
            "2026-01-01T",
            "2026-01-01x",
            "2026-01-01T12:00:15 ",
            "2026-1-1",
            "2026/01/01",
            "2026-01-01T12:00:15+1",
            "2026-01-01T12:00:15Q",
            "2026-01-01T12:00:15+24:00",
            "12:00:15",
            "1.5",
            "２026-01-01",
        ] {
            let trimmed = text.trim() == text;
            assert_eq!(read(text).is_err(), trimmed, "{text}");
        }
        assert_eq!(read(""), Err(BadTime::Missing));
        assert_eq!(read("1767268815"), Err(BadTime::NoUnit));
    }

    #[test]
    fn leap_days_and_seconds_are_known() {
        assert!(read("2024-02-29").is_ok());
        assert!(read("2000-02-29").is_ok());
        assert_eq!(read("2100-02-29"), Err(BadTime::Unreadable));
        assert_eq!(read("2016-12-31T23:59:60Z"), read("2017-01-01T00:00:00Z"));
    }

    #[test]
    fn times_lie_between_1900_and_2262() {
        assert_eq!(read("1900-01-01T00:00:00Z"), Ok(TIME_MIN));
        assert_eq!(read("2261-12-31T23:59:59.999999999Z"), Ok(TIME_MAX));
        for text in ["1899-12-31T23:59:59.999999999Z", "2262-01-01T00:00:00Z", "0000-01-01", "9999-12-31"] {
            assert_eq!(read(text), Err(BadTime::OutOfRange), "{text}");
        }
    }

    #[test]
    fn integers_have_the_unit_that_was_told() {
        for (unit, number) in [
            (TimeUnit::S, 1_767_268_815_i64),
            (TimeUnit::Ms, 1_767_268_815_000),
            (TimeUnit::Us, 1_767_268_815_000_000),
            (TimeUnit::Ns, 1_767_268_815_000_000_000),
        ] {
            let read = TimeReader::new(Some(unit)).text(number.to_string().as_bytes());
            assert_eq!(read, Ok(1_767_268_815_000_000_000), "{unit:?}");
        }
        assert_eq!(TimeReader::new(Some(TimeUnit::S)).text(b"-1"), Ok(-NANOS));
        assert_eq!(TimeReader::new(Some(TimeUnit::S)).text(b"99999999999"), Err(BadTime::OutOfRange));
        let long = TimeReader::new(Some(TimeUnit::Ns)).text(b"99999999999999999999999");
        assert_eq!(long, Err(BadTime::OutOfRange));
        assert!(TimeReader::new(Some(TimeUnit::S)).text(b"2026-01-01").is_ok());
    }

    #[test]
    fn every_day_of_the_range_counts_on_by_one() {
        let mut expected = days_from_civil(1900, 1, 1);
        assert_eq!(expected, TIME_MIN / NANOS / SECONDS_A_DAY);
        for year in 1900..2262 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(days_from_civil(year, month, day), expected);
                    expected += 1;
                }
            }
        }
    }
}
