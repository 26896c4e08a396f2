//! The server's settings: defaults, then a TOML file, then flags.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tagus_engine::reduction::Reduction;
use tagus_engine::{Error, ReductionRule, Result, Retention};

use crate::limits;

/// All settings of a server.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The folder that holds the data.
    pub data: PathBuf,
    /// Where gRPC and Flight SQL listen: a host or address, and a port.
    pub grpc_addr: String,
    /// Where HTTP listens.
    pub http_addr: String,
    /// Whether addresses beyond this machine are allowed without encryption and authentication.
    pub insecure: bool,
    /// Bytes for memtables, footers, queries and compaction; `None` is a quarter of the memory.
    pub memory_budget: Option<u64>,
    /// How far in the future samples of tags may lie that are not declared `future`.
    pub max_future: Duration,
    /// Whether an undeclared tag is created by its first sample.
    pub auto_create: bool,
    /// How long samples are kept, by patterns of tags.
    pub retention: Vec<Retention>,
    /// What is left out of new tags, by patterns.
    pub reduction: Vec<ReductionRule>,
}

/// The names of all settings as they stand in a file.
const KEYS: [&str; 9] = [
    "data",
    "grpc_addr",
    "http_addr",
    "insecure",
    "memory_budget",
    "max_future",
    "auto_create",
    "retention",
    "reduction",
];

impl Default for Config {
    fn default() -> Config {
        Config {
            data: PathBuf::from("./tagus-data"),
            grpc_addr: "127.0.0.1:8815".into(),
            http_addr: "127.0.0.1:8816".into(),
            insecure: false,
            memory_budget: None,
            max_future: Duration::from_secs(3600),
            auto_create: true,
            retention: Vec::new(),
            reduction: Vec::new(),
        }
    }
}

impl Config {
    /// The defaults, overridden by the file.
    ///
    /// # Errors
    /// The file cannot be read, is no TOML, or has an unknown or ill-typed setting.
    pub fn from_file(path: &Path) -> Result<Config> {
        let what = || format!("reading the configuration {} failed", path.display());
        let length = std::fs::metadata(path).map_err(|e| Error::io("reading", path, &e))?.len();
        if length > limits::CONFIG_BYTES_MAX {
            let why = format!("it has {length} bytes, at most {} are allowed", limits::CONFIG_BYTES_MAX);
            return Err(Error::invalid(what(), why, "shorten it"));
        }
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("reading", path, &e))?;
        Config::from_toml(&text).map_err(|(why, advice)| Error::invalid(what(), why, advice))
    }

    /// The defaults, overridden by TOML text; an error is why and what to do.
    fn from_toml(text: &str) -> std::result::Result<Config, (String, String)> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
            let line = e.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            (format!("line {line}: {}", one_line(e.message())), "correct the file".to_owned())
        })?;
        let mut config = Config::default();
        for (key, value) in table {
            config.set(&key, value)?;
        }
        Ok(config)
    }

    fn set(&mut self, key: &str, value: toml::Value) -> std::result::Result<(), (String, String)> {
        let wrong = |expected: &str| {
            let why = format!("{key} = {} is not {expected}", one_line(&value.to_string()));
            (why, "correct the value".to_owned())
        };
        let text = || value.as_str().map(str::to_owned).ok_or_else(|| wrong("a string"));
        let boolean = || value.as_bool().ok_or_else(|| wrong("true or false"));
        match key {
            "data" => self.data = text()?.into(),
            "grpc_addr" => self.grpc_addr = text()?,
            "http_addr" => self.http_addr = text()?,
            "insecure" => self.insecure = boolean()?,
            "auto_create" => self.auto_create = boolean()?,
            "memory_budget" => {
                let budget = bytes(&value).ok_or_else(|| wrong("a size such as \"512MiB\""))?;
                if budget < limits::MEMORY_BUDGET_MIN {
                    return Err(wrong("at least 16MiB"));
                }
                self.memory_budget = Some(budget);
            }
            "max_future" => {
                let duration = value.as_str().and_then(duration);
                self.max_future =
                    duration.ok_or_else(|| wrong("a duration such as \"90s\", \"30m\", \"1h\" or \"7d\""))?;
            }
            "retention" => self.retention = retention(&value)?,
            "reduction" => self.reduction = reduction(&value)?,
            _ => return Err(unknown(key)),
        }
        Ok(())
    }
}

/// A table of patterns of tags, each with how long their samples are kept.
fn retention(value: &toml::Value) -> std::result::Result<Vec<Retention>, (String, String)> {
    let wrong = |what: &str| {
        let why = format!("retention = {} is not {what}", one_line(&value.to_string()));
        (why, "write [retention] and below it lines such as \"site1.*\" = \"365d\"".to_owned())
    };
    let table = patterns(value).map_err(wrong)?;
    let rule = |(pattern, age): (&String, &toml::Value)| {
        // Who writes it means months.
        if age.as_str().is_some_and(|age| number_with_unit(age).is_some_and(|(_, unit)| unit == "m")) {
            return Err(wrong("made of durations: m may be minutes or months, write min or d"));
        }
        let age = age.as_str().and_then(duration).and_then(|age| i64::try_from(age.as_nanos()).ok());
        let age = age.filter(|age| *age > 0).ok_or_else(|| wrong("made of durations such as \"90d\" or \"10y\""))?;
        Ok(Retention { pattern: pattern.clone(), age })
    };
    table.iter().map(rule).collect()
}

/// A table of patterns of tags, each with what is left out of new tags.
fn reduction(value: &toml::Value) -> std::result::Result<Vec<ReductionRule>, (String, String)> {
    let advice = "write [reduction] and below it lines such as \"site1.*\" = \"ExcDev=0.5%,CompDev=1%\"";
    let wrong = |what: &str| (format!("reduction = {} is not {what}", one_line(&value.to_string())), advice.to_owned());
    let rule = |(pattern, settings): (&String, &toml::Value)| {
        let settings = settings.as_str().ok_or_else(|| wrong("made of settings such as \"CompDev=1%\" or \"off\""))?;
        let reduction = Reduction::parse(settings);
        let reduction = reduction.map_err(|error| (format!("in [reduction] {}", error.why()), advice.to_owned()))?;
        Ok(ReductionRule { pattern: pattern.clone(), reduction })
    };
    patterns(value).map_err(wrong)?.iter().map(rule).collect()
}

/// A table by patterns of tags; an error is what it is not.
fn patterns(value: &toml::Value) -> std::result::Result<&toml::Table, &'static str> {
    let table = value.as_table().ok_or("a table of tag patterns")?;
    let mut folded: Vec<String> = table.keys().map(|pattern| pattern.to_lowercase()).collect();
    folded.sort_unstable();
    if folded.iter().any(String::is_empty) || folded.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("made of different patterns that are not empty");
    }
    Ok(table)
}

fn unknown(key: &str) -> (String, String) {
    let why = format!("{} is no setting", tagus_engine::tag::quoted(key));
    let nearest = KEYS.into_iter().min_by_key(|known| distance(key, known));
    let advice = match nearest.filter(|known| distance(key, known) <= 3.max(known.len() / 3)) {
        Some(known) => format!("did you mean '{known}'?"),
        None => format!("the settings are {}", KEYS.join(", ")),
    };
    (why, advice)
}

/// How many characters have to be added, removed or changed to make one word the other.
/// Only as many characters as the longest setting could need are looked at.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let changed = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A size: bytes as an integer, or a string with a unit.
fn bytes(value: &toml::Value) -> Option<u64> {
    if let Some(number) = value.as_integer() {
        return u64::try_from(number).ok().filter(|n| *n > 0);
    }
    let (number, unit) = number_with_unit(value.as_str()?)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift).filter(|n| *n > 0)
}

/// A duration: a whole number with a unit.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_with_unit(text)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        // As a plant counts them; a leap day more does no harm.
        "y" => 365 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn number_with_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

/// The first line of a message, without what would break a line.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let (why, advice) = Config::from_toml(text).unwrap_err();
        assert!(!why.contains('\n') && !advice.contains('\n'), "{why}; {advice}");
        format!("{why}; {advice}")
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(Config::from_toml("").unwrap(), Config::default());
    }

    #[test]
    fn every_setting_is_read() {
        let text = "data = '/d'\ngrpc_addr = '[::1]:1'\nhttp_addr = 'localhost:2'\ninsecure = true\n\
                    memory_budget = '2 GiB'\nmax_future = '7d'\nauto_create = false\n\
                    retention = { '*' = '10y', 'test.*' = '12h' }\n\
                    reduction = { 'site1.*' = 'CompDev=1%' }\n";
        let config = Config::from_toml(text).unwrap();
        let rule = |pattern: &str, hours: i64| Retention { pattern: pattern.into(), age: hours * 3_600_000_000_000 };
        let expected = Config {
            data: "/d".into(),
            grpc_addr: "[::1]:1".into(),
            http_addr: "localhost:2".into(),
            insecure: true,
            memory_budget: Some(2 << 30),
            max_future: Duration::from_secs(7 * 86_400),
            auto_create: false,
            retention: vec![rule("*", 3650 * 24), rule("test.*", 12)],
            reduction: vec![ReductionRule {
                pattern: "site1.*".into(),
                reduction: Reduction::parse("CompDev=1%").unwrap(),
            }],
        };
        assert_eq!(config, expected);
        assert_eq!(text.lines().count(), KEYS.len());
        assert!(KEYS.iter().all(|key| text.contains(&format!("{key} = "))));
        assert!(KEYS.len() <= 20);
    }

    #[test]
    fn unknown_settings_are_refused_with_the_nearest_name() {
        assert_eq!(refused("memry_budget = 1"), "'memry_budget' is no setting; did you mean 'memory_budget'?");
        assert_eq!(refused("autocreate = true"), "'autocreate' is no setting; did you mean 'auto_create'?");
        let far = refused("compression = 'zip'");
        assert!(far.contains("the settings are data, grpc_addr"), "{far}");
        assert!(refused(&format!("{} = 1", "x".repeat(100_000))).len() < 300);
    }

    #[test]
    fn wrong_values_are_refused_with_what_is_expected() {
        assert!(refused("insecure = 'yes'").contains("is not true or false"));
        assert!(refused("max_future = 3600").contains("is not a duration"));
        assert!(refused("max_future = '1 month'").contains("is not a duration"));
        assert!(refused("memory_budget = -1").contains("is not a size"));
        assert!(refused("memory_budget = '999999999999 TiB'").contains("is not a size"));
        assert!(refused("data = 1").contains("is not a string"));
        assert!(refused("retention = '30d'").contains("is not a table"));
        assert!(refused("[retention]\n'*' = '0d'\n").contains("is not made of durations"));
        assert!(refused("[retention]\n'*' = '1m'\n").contains("minutes or months"));
        assert!(refused("[retention]\n'' = '1d'\n").contains("not empty"));
        assert!(refused("[retention]\n'a*' = '1d'\n'A*' = '2d'\n").contains("different patterns"));
        assert!(refused("reduction = 'CompDev=1'").contains("is not a table"));
        assert!(refused("[reduction]\n'*' = 1\n").contains("is not made of settings"));
        assert!(refused("[reduction]\n'*' = 'Dev=1'\n").contains("there is no parameter 'dev'"));
        assert!(refused("[reduction]\n'a' = 'off'\n'A' = 'off'\n").contains("different patterns"));
        assert!(refused("memory_budget = '1MiB'").contains("at least 16MiB"));
        assert!(refused("[retention]\n'*' = 30\n").contains("is not made of durations"));
        assert!(refused("\n\ndata = ").starts_with("line 3: "));
    }
}
