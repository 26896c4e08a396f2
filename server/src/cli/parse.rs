//! Readers of argument values. Each answers a short reason where it cannot read one.

use std::sync::Arc;
use std::time::Duration;

use tagus_engine::reduction::{Deviation, Reduction};
use tagus_engine::status::Status;
use tagus_engine::tag::{Interpolation, TagSpec, TagType};

use super::import::time::TimeReader;

/// Named states of a digital tag, by code.
#[derive(Clone, Debug, PartialEq)]
pub struct States(pub Vec<(i64, Arc<str>)>);

/// A time as nanoseconds since 1970 UTC.
pub fn time(text: &str) -> Result<i64, String> {
    TimeReader::new(None).text(text.trim().as_bytes()).map_err(|why| why.to_string())
}

/// An OPC UA status.
pub fn status(text: &str) -> Result<Status, String> {
    Status::parse(text).ok_or_else(|| "it is no number, 0x... or OPC UA status name".to_string())
}

/// A tag type.
pub fn tag_type(text: &str) -> Result<TagType, String> {
    TagType::parse(text).ok_or_else(|| "types are float64, float32, int64, bool, digital and text".to_string())
}

/// An interpolation.
pub fn interpolation(text: &str) -> Result<Interpolation, String> {
    Interpolation::parse(text).ok_or_else(|| "it is linear or step".to_string())
}

/// A finite number, or NaN for `none`.
pub fn limit(text: &str) -> Result<f64, String> {
    if text.trim().eq_ignore_ascii_case("none") {
        return Ok(f64::NAN);
    }
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("it is no number, and not none".to_string()),
    }
}

/// A deviation: a number, or one with %.
pub fn deviation(text: &str) -> Result<Deviation, String> {
    Deviation::parse(text).ok_or_else(|| "write it as 0.5 or 1%".to_string())
}

/// Settings of reduction.
pub fn reduction(text: &str) -> Result<Reduction, String> {
    Reduction::parse(text).map_err(|e| e.why().to_string())
}

/// Named states.
pub fn states(text: &str) -> Result<States, String> {
    TagSpec::parse_states(text).map(States).map_err(|e| e.why().to_string())
}

/// `true` or `false`, and what spreadsheets make of them.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("it is neither true nor false".to_string()),
    }
}

/// A duration: a whole number with its unit, or several of them (`90s`, `10m`, `1h30m`, `2d`).
pub fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || "write it as 90s, 10m, 2h or 1d".to_string();
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(refuse());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
        let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit_ms: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(refuse()),
        };
        let part = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(refuse)?;
        total = total.checked_add(part).ok_or_else(refuse)?;
        rest = rest[letters..].trim_start();
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250 ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "10", "m", "1 month", "-5s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_may_be_taken_away() {
        assert_eq!(limit("-1.5"), Ok(-1.5));
        assert!(limit("none").unwrap().is_nan());
        assert!(limit("inf").is_err());
        assert!(limit("x").is_err());
    }

    #[test]
    fn states_and_words_are_read() {
        assert_eq!(states("1=Open,0=Closed").unwrap().0, [(0, Arc::from("Closed")), (1, Arc::from("Open"))]);
        assert!(states("x=Open").unwrap_err().contains("integer code"));
        assert_eq!(status("BadNoData"), Ok(Status::BAD_NO_DATA));
        assert!(status("Splendid").is_err());
        assert_eq!(boolean("TRUE"), Ok(true));
        assert!(boolean("maybe").is_err());
    }
}
