//! What users declare of a tag's reduction, and what the filters take from it.

use std::fmt;

use super::{CompressionSettings, ExceptionSettings, Settings};
use crate::error::{Error, Result};
use crate::limits;
use crate::tag::{Interpolation, TagSpec, TagType, quoted};

/// A tag's reduction as it is declared. One without filters is off and has been on: what it has left
/// out is still accounted for.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Reduction {
    /// The first filter: ExcDev, ExcMin and ExcMax.
    pub exception: Option<Deadband>,
    /// The second, for what the first passes on: CompDev, CompMin and CompMax.
    pub compression: Option<Deadband>,
}

/// The parameters of a filter.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Deadband {
    /// How far a value may be off, to either side.
    pub deviation: Deviation,
    /// The shortest time between two samples that stay, in nanoseconds.
    pub min: u64,
    /// The longest, as far as samples come.
    pub max: u64,
}

/// How far a value may be off.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Deviation {
    /// In units of the value.
    Units(f64),
    /// In percent of the tag's span.
    Percent(f64),
}

impl Reduction {
    /// Whether it leaves anything out.
    pub fn is_on(&self) -> bool {
        self.exception.is_some() || self.compression.is_some()
    }

    /// Refuses what no filter could work with.
    pub(crate) fn check(&self, tag: &TagSpec) -> Result<()> {
        if self.is_on() && tag.tag_type == TagType::Text {
            return Err(refused(tag, "texts have no deviation".into(), "leave the reduction of text tags off"));
        }
        for (filter, words, longest) in [
            (self.exception, ["ExcDev", "ExcMin", "ExcMax"], limits::EXCEPTION_MAX),
            (self.compression, ["CompDev", "CompMin", "CompMax"], limits::COMPRESSION_MAX),
        ] {
            if let Some(filter) = filter {
                filter.check(tag, words, longest)?;
            }
        }
        Ok(())
    }

    /// What the filters of a tag work with; none where nothing is left out.
    pub fn settings(&self, tag: &TagSpec) -> Option<Settings> {
        let stepped = tag.interpolation == Interpolation::Step;
        let any_change = matches!(tag.tag_type, TagType::Digital | TagType::Bool);
        let exception = self.exception.map(|Deadband { deviation, min, max }| ExceptionSettings {
            deviation: deviation.in_units(tag),
            min,
            max,
            any_change,
        });
        let compression = self.compression.map(|Deadband { deviation, min, max }| CompressionSettings {
            deviation: deviation.in_units(tag),
            min,
            max,
            stepped,
        });
        self.is_on().then_some(Settings { exception, compression, stepped })
    }
}

/// ExcMax where none is given.
pub const EXC_MAX: u64 = 600_000_000_000;
/// CompMax where none is given.
pub const COMP_MAX: u64 = 28_800_000_000_000;

impl Reduction {
    /// Reads `ExcDev=0.5,ExcMin=0s,ExcMax=10m,CompDev=1%,CompMin=0s,CompMax=8h`, in any order and any
    /// case; `off` for none. A filter without its deviation is left out.
    pub fn parse(text: &str) -> Result<Reduction> {
        let wrong = |why: String| {
            let what = format!("reading the reduction {} failed", quoted(text));
            Err(Error::invalid(what, why, "write it as ExcDev=0.5,ExcMax=10m,CompDev=1%,CompMax=8h, or off"))
        };
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Reduction::default());
        }
        let (mut deviations, mut times) = ([None, None], [0, EXC_MAX, 0, COMP_MAX]);
        let mut given = [false; 4];
        for part in text.split(',') {
            let Some((name, value)) = part.split_once('=') else {
                return wrong(format!("{} has no value", quoted(part.trim())));
            };
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            let found = ["excdev", "compdev"].iter().position(|known| *known == name);
            if let Some(at) = found {
                let Some(deviation) = Deviation::parse(value) else {
                    return wrong(format!("{} is no deviation", quoted(value)));
                };
                deviations[at] = Some(deviation);
                continue;
            }
            let Some(at) = ["excmin", "excmax", "compmin", "compmax"].iter().position(|known| *known == name) else {
                return wrong(format!("there is no parameter {}", quoted(&name)));
            };
            let Some(time) = duration(value) else { return wrong(format!("{} is no duration", quoted(value))) };
            (times[at], given[at]) = (time, true);
        }
        for (filter, name) in [(0, "ExcDev"), (1, "CompDev")] {
            if deviations[filter].is_none() && (given[2 * filter] || given[2 * filter + 1]) {
                return wrong(format!("{name} is missing"));
            }
        }
        let filter = |at: usize| {
            deviations[at].map(|deviation| Deadband { deviation, min: times[2 * at], max: times[2 * at + 1] })
        };
        Ok(Reduction { exception: filter(0), compression: filter(1) })
    }
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_on() {
            return f.write_str("off");
        }
        let mut comma = "";
        for (filter, name) in [(self.exception, "Exc"), (self.compression, "Comp")] {
            let Some(Deadband { deviation, min, max }) = filter else { continue };
            let (min, max) = (min as f64 / 1e9, max as f64 / 1e9);
            match deviation {
                Deviation::Units(units) => write!(f, "{comma}{name}Dev={units}")?,
                Deviation::Percent(percent) => write!(f, "{comma}{name}Dev={percent}%")?,
            }
            write!(f, ",{name}Min={min}s,{name}Max={max}s")?;
            comma = ",";
        }
        Ok(())
    }
}

/// A number of milliseconds, seconds, minutes or hours, in nanoseconds; of seconds where there is no
/// unit.
fn duration(text: &str) -> Option<u64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let unit = match text[at..].trim() {
        "ms" => 1e6,
        "" | "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        _ => return None,
    };
    let number: f64 = text[..at].trim().parse().ok()?;
    let nanoseconds = (number * unit).round();
    // Below the greatest there is, and not negative.
    (0.0..1e18).contains(&nanoseconds).then_some(nanoseconds as u64)
}

impl Deadband {
    fn check(&self, tag: &TagSpec, [dev, min, max]: [&str; 3], longest: u64) -> Result<()> {
        let (Deviation::Units(number) | Deviation::Percent(number)) = self.deviation;
        if !number.is_finite() || number < 0.0 {
            return Err(refused(tag, format!("{dev} is {number}"), "give a deviation of 0 or more"));
        }
        if matches!(self.deviation, Deviation::Percent(_)) && (tag.low.is_none() || tag.high.is_none()) {
            let why = format!("{dev} is a percentage and the tag has no span");
            return Err(refused(tag, why, "give the deviation in units, or the tag a low and a high"));
        }
        if self.max == 0 || self.max > longest {
            let why = format!("{max} is {} s", self.max as f64 / 1e9);
            return Err(refused(tag, why, &format!("give more than 0 and at most {} s", longest / 1_000_000_000)));
        }
        if self.min > self.max {
            return Err(refused(tag, format!("{min} is longer than {max}"), "make it shorter"));
        }
        Ok(())
    }
}

impl Deviation {
    /// A number of 0 or more, or one with %.
    pub fn parse(text: &str) -> Option<Deviation> {
        let (number, of): (&str, fn(f64) -> Deviation) = match text.trim().strip_suffix('%') {
            Some(number) => (number, Deviation::Percent),
            None => (text, Deviation::Units),
        };
        let number: f64 = number.trim().parse().ok()?;
        (number.is_finite() && number >= 0.0).then(|| of(number))
    }

    /// In units of the value, for a tag that has a span if need be.
    fn in_units(self, tag: &TagSpec) -> f64 {
        match self {
            Deviation::Units(units) => units,
            Deviation::Percent(percent) => {
                tag.high.zip(tag.low).map_or(0.0, |(high, low)| (high - low) * percent / 100.0)
            }
        }
    }
}

fn refused(tag: &TagSpec, why: String, advice: &str) -> Error {
    Error::invalid(format!("reducing tag {} failed", quoted(&tag.name)), why, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_written() {
        let text = "ExcDev=0.5,ExcMin=0s,ExcMax=60s,CompDev=1%,CompMin=2.5s,CompMax=28800s";
        let reduction = Reduction::parse(text).unwrap();
        assert_eq!(reduction.to_string(), text);
        assert_eq!(Reduction::parse("compmin = 2500ms, CompDev=1%,ExcDev=0.5, excmax=1m").unwrap(), reduction);
        let alone = Reduction::parse("CompDev=2").unwrap();
        assert_eq!((alone.exception, alone.to_string().as_str()), (None, "CompDev=2,CompMin=0s,CompMax=28800s"));
        assert_eq!(Reduction::parse(" OFF").unwrap(), Reduction::default());
        assert_eq!(Reduction::default().to_string(), "off");
        for (bad, why) in [
            ("", "has no value"),
            ("ExcDev", "has no value"),
            ("ExcDev=-1", "no deviation"),
            ("ExcDev=inf", "no deviation"),
            ("Dev=1", "no parameter 'dev'"),
            ("ExcMax=60", "ExcDev is missing"),
            ("ExcDev=1,ExcMax=2 weeks", "no duration"),
            ("ExcDev=1,ExcMax=-2", "no duration"),
        ] {
            let error = Reduction::parse(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn what_no_filter_could_work_with_is_refused() {
        let mut spec = TagSpec::new("x", TagType::Float64);
        for (text, why) in [
            ("CompDev=1%", "no span"),
            ("CompDev=1,CompMax=25h", "at most 86400 s"),
            ("ExcDev=1,ExcMax=2h", "at most 3600 s"),
            ("ExcDev=1,ExcMax=0", "ExcMax is 0 s"),
            ("ExcDev=1,ExcMin=20,ExcMax=10", "longer than ExcMax"),
        ] {
            spec.reduction = Some(Reduction::parse(text).unwrap());
            let error = spec.check().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        (spec.low, spec.high) = (Some(-10.0), Some(40.0));
        spec.reduction = Some(Reduction::parse("CompDev=1%").unwrap());
        spec.check().unwrap();
        let settings = spec.reduction.unwrap().settings(&spec).unwrap();
        assert!(settings.exception.is_none() && settings.compression.unwrap().deviation == 0.5);
        let text = TagSpec { reduction: spec.reduction, ..TagSpec::new("y", TagType::Text) };
        assert!(text.check().unwrap_err().to_string().contains("texts have no deviation"));
    }
}
