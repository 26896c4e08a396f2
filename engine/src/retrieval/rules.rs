//! AggregateConfiguration: what counts as a value, and what share of good data is good.

use crate::error::{Error, Result};
use crate::retrieval::sample::SUBNORMAL;
use crate::status::{Quality, Status};

/// Part 13's AggregateConfiguration, and the variable's Stepped. The defaults are the standard's.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rules {
    /// Whether Uncertain samples count as Bad ones.
    pub treat_uncertain_as_bad: bool,
    /// An interval is Bad with at least this share of Bad data.
    pub percent_data_bad: u8,
    /// An interval is Good with at least this share of Good data.
    pub percent_data_good: u8,
    /// Whether the line of the last two values goes on beyond the data; else the last one holds.
    pub use_sloped_extrapolation: bool,
    /// Whether a value holds until the next; else a line leads there.
    pub stepped: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            treat_uncertain_as_bad: true,
            percent_data_bad: 100,
            percent_data_good: 100,
            use_sloped_extrapolation: false,
            stepped: false,
        }
    }
}

/// How much of an interval is good, and how much bad: samples, or time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub good: f64,
    pub bad: f64,
    pub all: f64,
}

impl Rules {
    /// Refuses percentages that contradict each other (Part 13, 4.2.1.2).
    pub fn check(&self) -> Result<()> {
        let (good, bad) = (self.percent_data_good, self.percent_data_bad);
        let refuse = |why: String, advice: &str| Err(Error::invalid("reading the options failed", why, advice));
        if good > 100 || bad > 100 {
            let why = format!("PercentDataGood is {good} and PercentDataBad is {bad}");
            return refuse(why, "give percentages from 0 to 100");
        }
        if u16::from(good) + u16::from(bad) < 100 {
            let why = format!("PercentDataGood={good} is less than 100 - PercentDataBad={bad}");
            return refuse(why, "an interval could be good and bad at once: raise one of them");
        }
        Ok(())
    }

    /// Whether a sample of this status counts as a value.
    pub(super) fn is_value(&self, status: Status) -> bool {
        match status.quality() {
            Quality::Good => true,
            Quality::Uncertain => !self.treat_uncertain_as_bad,
            Quality::Bad => false,
        }
    }

    /// The status of an interval, by the shares of good and bad data in it (Part 13, 5.4.3.2.1).
    pub(super) fn judge(&self, shares: Shares) -> Status {
        let Shares { good, bad, all } = shares;
        let reaches = |part: f64, percent: u8| part * 100.0 >= f64::from(percent) * all;
        let only_good_counts = self.percent_data_good == 100 - self.percent_data_bad;
        if !only_good_counts && bad > 0.0 && reaches(bad, self.percent_data_bad) {
            return Status::BAD;
        }
        if reaches(good, self.percent_data_good) { Status::GOOD } else { SUBNORMAL }
    }
}
