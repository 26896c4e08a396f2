//! Tags: named points, their types and metadata.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;
use crate::reduction::Reduction;
use crate::sample::text_bytes;

/// A tag's number within one archive, from 1. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TagId(pub u32);

impl TagId {
    /// The last number that a tag can have. Those above are of the series of summaries: so many for each
    /// tag, in the order of the tags.
    pub const LAST: TagId = TagId((1 << 30) - 1);
    /// Series of summaries of a tag.
    pub const FIELDS: u32 = 32;
    /// The last series that there can be.
    pub const LAST_SERIES: TagId = TagId(TagId::LAST.0 + (limits::TAGS_MAX as u32 + 1) * TagId::FIELDS);

    /// Whether it is a series of summaries.
    pub fn is_summary(self) -> bool {
        self > TagId::LAST
    }

    /// The tag whose summaries are in a series; a tag itself.
    pub fn owner(self) -> TagId {
        if self.is_summary() { TagId((self.0 - TagId::LAST.0 - 1) / TagId::FIELDS) } else { self }
    }
}

/// What values a tag holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum TagType {
    /// 64-bit floating point.
    Float64 = 1,
    /// 32-bit floating point, kept as the double of its shortest decimal form.
    Float32 = 2,
    /// 64-bit signed integer, exact.
    Int64 = 3,
    /// 0 or 1.
    Bool = 4,
    /// An integer code with a named state.
    Digital = 5,
    /// Strings.
    Text = 6,
}

/// What happens between two samples.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Interpolation {
    /// A straight line.
    Linear = 1,
    /// The earlier value holds.
    Step = 2,
}

/// A tag as it is stored: its number, its name and its metadata.
#[derive(Clone, PartialEq, Debug)]
pub struct Tag {
    /// The number.
    pub id: TagId,
    /// Nanoseconds since 1970 UTC at creation.
    pub created: i64,
    /// Everything users declare.
    pub spec: TagSpec,
}

/// What users declare of a tag.
#[derive(Clone, PartialEq, Debug)]
pub struct TagSpec {
    /// The name: 1 to 1024 bytes of UTF-8 without control characters.
    pub name: String,
    /// The type; fixed at creation.
    pub tag_type: TagType,
    /// The engineering unit.
    pub unit: String,
    /// What it measures.
    pub description: String,
    /// What happens between two samples.
    pub interpolation: Interpolation,
    /// The low end of the span, in engineering units.
    pub low: Option<f64>,
    /// The high end of the span, in engineering units.
    pub high: Option<f64>,
    /// Named states of a digital tag: code and name, sorted by code.
    pub states: Vec<(i64, Arc<str>)>,
    /// Whether samples may lie in the future without bound (forecasts, schedules).
    pub future: bool,
    /// What is left out on purpose; none where nothing ever was.
    pub reduction: Option<Reduction>,
}

impl TagSpec {
    /// Bytes of memory that its texts take.
    pub(crate) fn memory(&self) -> usize {
        let state = |(_, name): &(i64, Arc<str>)| size_of::<(i64, Arc<str>)>() + text_bytes(Some(name));
        let states: usize = self.states.iter().map(state).sum();
        self.name.len() + self.unit.len() + self.description.len() + states
    }
}

impl TagType {
    /// All six types.
    pub const ALL: [TagType; 6] =
        [TagType::Float64, TagType::Float32, TagType::Int64, TagType::Bool, TagType::Digital, TagType::Text];

    /// The standard word.
    pub const fn word(self) -> &'static str {
        match self {
            TagType::Float64 => "float64",
            TagType::Float32 => "float32",
            TagType::Int64 => "int64",
            TagType::Bool => "bool",
            TagType::Digital => "digital",
            TagType::Text => "text",
        }
    }

    /// Reads a type word; `float`, `int`, `string` and `enum` are accepted too.
    pub fn parse(word: &str) -> Option<TagType> {
        match word.trim().to_ascii_lowercase().as_str() {
            "float64" | "float" => Some(TagType::Float64),
            "float32" => Some(TagType::Float32),
            "int64" | "int" => Some(TagType::Int64),
            "bool" => Some(TagType::Bool),
            "digital" | "enum" => Some(TagType::Digital),
            "text" | "string" => Some(TagType::Text),
            _ => None,
        }
    }

    /// The type of a stored byte.
    pub fn from_byte(byte: u8) -> Option<TagType> {
        TagType::ALL.into_iter().find(|t| *t as u8 == byte)
    }

    /// Whether values are doubles (the others that have values are 64-bit integers).
    pub const fn is_float(self) -> bool {
        matches!(self, TagType::Float64 | TagType::Float32)
    }

    /// The interpolation where none is declared.
    pub const fn default_interpolation(self) -> Interpolation {
        if self.is_float() { Interpolation::Linear } else { Interpolation::Step }
    }
}

impl Interpolation {
    /// `linear` or `step`.
    pub const fn word(self) -> &'static str {
        match self {
            Interpolation::Linear => "linear",
            Interpolation::Step => "step",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Interpolation> {
        match word.trim().to_ascii_lowercase().as_str() {
            "linear" => Some(Interpolation::Linear),
            "step" => Some(Interpolation::Step),
            _ => None,
        }
    }

    /// The interpolation of a stored byte.
    pub fn from_byte(byte: u8) -> Option<Interpolation> {
        [Interpolation::Linear, Interpolation::Step].into_iter().find(|i| *i as u8 == byte)
    }
}

impl TagSpec {
    /// A tag of this name and type with nothing else declared.
    pub fn new(name: impl Into<String>, tag_type: TagType) -> TagSpec {
        TagSpec {
            name: name.into(),
            tag_type,
            unit: String::new(),
            description: String::new(),
            interpolation: tag_type.default_interpolation(),
            low: None,
            high: None,
            states: Vec::new(),
            future: false,
            reduction: None,
        }
    }

    /// Checks everything that can be checked without the other tags.
    pub fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        let refuse =
            |why: String| Err(Error::invalid(format!("tag {}", quoted(&self.name)), why, "correct its metadata"));
        for (what, text) in [("unit", &self.unit), ("description", &self.description)] {
            if text.len() > limits::METADATA_BYTES_MAX {
                return refuse(format!(
                    "its {what} has {} bytes, at most {} are allowed",
                    text.len(),
                    limits::METADATA_BYTES_MAX
                ));
            }
        }
        if self.interpolation == Interpolation::Linear && !self.tag_type.is_float() && self.tag_type != TagType::Int64 {
            return refuse(format!("interpolation linear does not fit type {}", self.tag_type.word()));
        }
        if [self.low, self.high].into_iter().flatten().any(|v| !v.is_finite()) {
            return refuse("low and high must be finite numbers".into());
        }
        if let (Some(low), Some(high)) = (self.low, self.high)
            && low >= high
        {
            return refuse(format!("low {low} is not below high {high}"));
        }
        if let Some(reduction) = &self.reduction {
            reduction.check(self)?;
        }
        if !self.states.is_empty() && self.tag_type != TagType::Digital {
            return refuse(format!("states belong to digital tags, not to type {}", self.tag_type.word()));
        }
        if self.states.len() > limits::STATES_MAX {
            return refuse(format!("it has {} states, at most {} are allowed", self.states.len(), limits::STATES_MAX));
        }
        let bytes: usize = self.states.iter().map(|(_, name)| name.len()).sum();
        if bytes > limits::STATES_BYTES_MAX {
            let most = limits::STATES_BYTES_MAX;
            return refuse(format!("the names of its states have {bytes} bytes, at most {most} are allowed"));
        }
        if !self.states.windows(2).all(|w| w[0].0 < w[1].0) {
            return refuse("state codes must be different and ascending".into());
        }
        for (i, (_, name)) in self.states.iter().enumerate() {
            if name.is_empty() || name.len() > limits::TEXT_BYTES_MAX || name.chars().any(char::is_control) {
                return refuse("state names must have 1 or more characters and no control characters".into());
            }
            if self.states[..i].iter().any(|(_, other)| other == name) {
                return refuse(format!("state {} is named twice", quoted(name)));
            }
        }
        Ok(())
    }

    /// The name of a state code.
    pub fn state_name(&self, code: i64) -> Option<&Arc<str>> {
        self.states.binary_search_by_key(&code, |(c, _)| *c).ok().map(|i| &self.states[i].1)
    }

    /// The code of a state name, which is compared exactly.
    pub fn state_code(&self, name: &str) -> Option<i64> {
        self.states.iter().find(|(_, n)| &**n == name).map(|(c, _)| *c)
    }

    /// The states as users write them: `0=Closed,1=Open`.
    pub fn states_text(&self) -> String {
        states_text(self.states.iter().map(|(code, name)| (*code, &**name)))
    }

    /// Reads states as users write them: `0=Closed,1=Open`, or names alone, which count from 0. A
    /// backslash takes its meaning from the character behind it, as [`states_text`] writes it.
    pub fn parse_states(text: &str) -> Result<Vec<(i64, Arc<str>)>> {
        let mut states = Vec::new();
        let mut rest = text;
        let mut index = 0;
        while !rest.is_empty() {
            let part = trimmed(taken(&mut rest, [',', ';']));
            if part.is_empty() {
                continue;
            }
            let mut name = part;
            let code = match taken(&mut name, ['=', '=']) {
                code if code.len() < part.len() => code.trim().parse::<i64>().ok(),
                _ => {
                    name = part;
                    Some(index)
                }
            };
            let name = unescaped(trimmed(name));
            index += 1;
            let code = code.ok_or_else(|| {
                Error::invalid(
                    format!("states {}", quoted(text)),
                    format!("{} has no integer code", quoted(part)),
                    "write them as 0=Closed,1=Open",
                )
            })?;
            states.push((code, Arc::from(name.as_str())));
        }
        states.sort_by_key(|(code, _)| *code);
        Ok(states)
    }
}

/// States as users write them: `0=Closed,1=Open`. A backslash stands before characters of a name
/// that have a meaning there, and before white space at its ends.
pub fn states_text<'a>(states: impl IntoIterator<Item = (i64, &'a str)>) -> String {
    let mut out = String::new();
    for (code, name) in states {
        if !out.is_empty() {
            out.push(',');
        }
        out += &format!("{code}=");
        let (start, end) = (name.len() - name.trim_start().len(), name.trim_end().len());
        for (at, character) in name.char_indices() {
            if matches!(character, ',' | ';' | '=' | '\\') || !(start..end).contains(&at) {
                out.push('\\');
            }
            out.push(character);
        }
    }
    out
}

/// Takes the text before the first of `ends` that has no backslash before it; all where none is.
fn taken<'a>(rest: &mut &'a str, ends: [char; 2]) -> &'a str {
    let mut escaped = false;
    let end = rest.find(|character| {
        let is_end = !escaped && ends.contains(&character);
        escaped = !escaped && character == '\\';
        is_end
    });
    let end = end.unwrap_or(rest.len());
    let part = &rest[..end];
    *rest = rest.get(end + 1..).unwrap_or_default();
    part
}

/// Without white space at the ends, but for what has a backslash before it.
fn trimmed(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.trim_end();
    let backslashes = end.len() - end.trim_end_matches('\\').len();
    let kept = text[end.len()..].chars().next().filter(|_| backslashes % 2 == 1);
    &text[..end.len() + kept.map_or(0, char::len_utf8)]
}

/// Without the backslashes that give the next character its own meaning. One at the end stays.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        out.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    out
}

/// Checks a tag name: 1 to 1024 bytes without control characters.
pub fn check_name(name: &str) -> Result<()> {
    let refuse = |why: String| Err(Error::invalid(format!("tag name {}", quoted(name)), why, "choose another name"));
    if name.is_empty() {
        return refuse("it is empty".into());
    }
    if name.len() > limits::TAG_NAME_BYTES_MAX {
        return refuse(format!("it has {} bytes, at most {} are allowed", name.len(), limits::TAG_NAME_BYTES_MAX));
    }
    if name.chars().any(char::is_control) {
        return refuse("it contains a control character".into());
    }
    Ok(())
}

/// A name as messages show it: quoted, control characters escaped, shortened where long.
pub fn quoted(name: &str) -> String {
    let short: String = name.chars().take(60).collect();
    let dots = if short.len() < name.len() { "..." } else { "" };
    format!("'{}{dots}'", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(check_name("site1.area2.FIC101.PV").is_ok());
        assert!(check_name(&"x".repeat(1024)).is_ok());
        for (bad, why) in [("", "empty"), ("a\nb", "control"), (&"x".repeat(1025), "at most 1024")] {
            let error = check_name(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn states_are_read_and_written() {
        let mut spec = TagSpec::new("V1", TagType::Digital);
        spec.states = TagSpec::parse_states("1=Open, 0=Closed").unwrap();
        assert_eq!(spec.states_text(), "0=Closed,1=Open");
        assert_eq!(spec.state_code("Open"), Some(1));
        assert_eq!(spec.state_name(0).map(|n| &**n), Some("Closed"));
        assert!(spec.check().is_ok());
        assert!(TagSpec::parse_states("x=Open").is_err());
        assert_eq!(TagSpec::parse_states("Closed,Open").unwrap(), spec.states);
        assert_eq!(TagSpec::parse_states(" , Closed ;Open,").unwrap(), spec.states);
    }

    #[test]
    fn any_state_name_survives_its_text() {
        let names = [
            "a,b",
            "a;b",
            "a=b",
            "\\",
            "a\\",
            "\\,",
            " lead",
            "trail ",
            " ",
            "\u{a0}",
            "\\ ",
            "=",
            "1=x",
            "Störung, A=1; \\n",
        ];
        let mut spec = TagSpec::new("V1", TagType::Digital);
        spec.states = (-3..).zip(names.map(Arc::from)).collect();
        assert!(spec.check().is_ok());
        assert_eq!(TagSpec::parse_states(&spec.states_text()).unwrap(), spec.states);
        spec.states.truncate(4);
        assert_eq!(spec.states_text(), r"-3=a\,b,-2=a\;b,-1=a\=b,0=\\");
        let alone = TagSpec::parse_states(r"Local \= hand,Auto\, fast").unwrap();
        assert_eq!(alone, [(0, Arc::from("Local = hand")), (1, Arc::from("Auto, fast"))]);
        assert_eq!(TagSpec::parse_states("3=Local = hand").unwrap(), [(3, Arc::from("Local = hand"))]);
    }

    #[test]
    fn metadata_that_does_not_fit_is_refused() {
        let mut spec = TagSpec::new("V1", TagType::Bool);
        spec.interpolation = Interpolation::Linear;
        assert!(spec.check().is_err());
        let mut spec = TagSpec::new("V1", TagType::Float64);
        (spec.low, spec.high) = (Some(1.0), Some(1.0));
        assert!(spec.check().is_err());
    }
}
