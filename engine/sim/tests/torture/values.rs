//! Values of every kind, and what each becomes in a tag of each type: written down a second time,
//! for the few values that are drawn here.

use std::sync::Arc;

use tagus_engine::ingest::Values;
use tagus_engine::sample::Cell;
use tagus_engine::status::Status;
use tagus_engine::tag::{TagSpec, TagType};
use tagus_sim::SimRandom;

/// Statuses as they come: good, good with bits, uncertain, bad, BadNoData, the reserved one.
pub const STATUSES: [u32; 6] = [0, 0x0000_0400, 0x4000_0000, 0x8000_0000, 0x809B_0000, 0xC000_0000];

/// One value as a writer sends it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Integer(i64),
    Truth(bool),
    Word(String),
    Nothing,
}

/// What a value says to a tag that holds numbers.
enum Said {
    Nothing,
    /// A number, and the integer that it is.
    Number(f64, Option<i64>),
    NotFinite,
    TooLarge,
    Word(String),
}

/// What becomes of a sample.
pub enum Outcome {
    Kept { cell: Cell, coerced: bool },
    Refused,
}

/// Draws `count` values of one kind.
pub fn draw(random: &SimRandom, count: usize) -> Vec<Value> {
    let kind = random.below(16);
    let value = |random: &SimRandom| match kind {
        0..=6 => Value::Number(number(random)),
        7 | 8 => Value::Integer(if random.chance(1, 20) { i64::MAX } else { random.below(6).cast_signed() - 2 }),
        9 | 10 => Value::Truth(random.chance(1, 2)),
        11..=14 => Value::Word(word(random)),
        _ => Value::Nothing,
    };
    (0..count).map(|_| value(random)).collect()
}

fn number(random: &SimRandom) -> f64 {
    match random.below(24) {
        0 => f64::NAN,
        1 => f64::NEG_INFINITY,
        2 => 1e39,
        3 => -0.0,
        4..=8 => random.below(3) as f64,
        _ => random.below(40) as f64 / 10.0,
    }
}

fn word(random: &SimRandom) -> String {
    match random.below(16) {
        0 => String::new(),
        1 => "Scan Timeout".into(),
        2 => "1e999".into(),
        3 => "TRUE".into(),
        4 => "7".into(),
        5 => "1.5".into(),
        6 => format!("long{}", "x".repeat(random.below(300) as usize)),
        7 | 8 => format!("new state {}", random.below(6)),
        9 | 10 => format!("state {}", random.below(4)),
        _ => format!("lot {}", random.below(5)),
    }
}

/// The column of values of one kind.
pub fn column(values: &[Value]) -> Values {
    let at = |i: usize| &values[i];
    let rows = 0..values.len();
    match values.first() {
        Some(Value::Number(_)) => {
            Values::Doubles(rows.map(|i| if let Value::Number(x) = at(i) { *x } else { 0.0 }).collect())
        }
        Some(Value::Integer(_)) => {
            Values::Integers(rows.map(|i| if let Value::Integer(x) = at(i) { *x } else { 0 }).collect())
        }
        Some(Value::Truth(_)) => Values::Booleans(rows.map(|i| *at(i) == Value::Truth(true)).collect()),
        Some(Value::Word(_)) => {
            Values::Texts(rows.map(|i| if let Value::Word(x) = at(i) { x.clone() } else { String::new() }).collect())
        }
        Some(Value::Nothing) | None => Values::None,
    }
}

/// The type that a new tag gets from a value; none where it is empty.
pub fn type_of(value: &Value) -> Option<TagType> {
    match value {
        Value::Nothing => None,
        Value::Number(_) | Value::Integer(_) => Some(TagType::Float64),
        Value::Truth(_) => Some(TagType::Bool),
        Value::Word(word) => match word.as_str() {
            "" => None,
            "TRUE" => Some(TagType::Bool),
            "7" | "1.5" | "1e999" => Some(TagType::Float64),
            _ => Some(TagType::Text),
        },
    }
}

/// What a value becomes in a tag. `appended` has the words that the tag's states grow by.
pub fn outcome(spec: &TagSpec, value: &Value, status: Status, appended: &mut Vec<String>) -> Outcome {
    match spec.tag_type {
        TagType::Float64 => numeric(value, status, |x, _| Some(x.to_bits())),
        TagType::Float32 => numeric(value, status, |x, _| single(x)),
        TagType::Int64 => numeric(value, status, |_, whole| whole.map(i64::cast_unsigned)),
        TagType::Bool => match value {
            Value::Truth(b) => kept(u64::from(*b), status),
            Value::Word(word) if word == "TRUE" => kept(1, status),
            _ => numeric(value, status, |_, whole| whole.filter(|x| [0, 1].contains(x)).map(i64::cast_unsigned)),
        },
        TagType::Digital => digital(spec, value, status, appended),
        TagType::Text => text(value, status),
    }
}

fn numeric(value: &Value, status: Status, bits: impl Fn(f64, Option<i64>) -> Option<u64>) -> Outcome {
    match said(value) {
        Said::Nothing => without_value(None, status, Status::BAD_NO_DATA),
        Said::Number(x, whole) => bits(x, whole).map_or(Outcome::Refused, |bits| kept(bits, status)),
        Said::NotFinite => not_finite(),
        Said::TooLarge => Outcome::Refused,
        Said::Word(word) => without_value(Some(&word), status, Status::BAD),
    }
}

/// The double of the shortest decimal of a float.
fn single(x: f64) -> Option<u64> {
    let single = x as f32;
    let decimal: f64 = single.to_string().parse().expect("a decimal");
    single.is_finite().then(|| decimal.to_bits())
}

fn digital(spec: &TagSpec, value: &Value, status: Status, appended: &mut Vec<String>) -> Outcome {
    let word = match value {
        Value::Word(word) => Some(word.clone()),
        Value::Truth(b) => Some(b.to_string()),
        _ => None,
    };
    if let Some((code, _)) = word.and_then(|word| spec.states.iter().find(|(_, name)| **name == *word)) {
        return kept(code.cast_unsigned(), status);
    }
    if let Value::Truth(b) = value {
        return kept(u64::from(*b), status);
    }
    let Said::Word(word) = said(value) else {
        return numeric(value, status, |_, whole| whole.map(i64::cast_unsigned));
    };
    let known = appended.iter().position(|known| *known == word);
    if known.is_none() && status.is_bad() {
        return without_value(Some(&word), status, Status::BAD);
    }
    let place = known.unwrap_or_else(|| {
        appended.push(word);
        appended.len() - 1
    });
    let first = spec.states.last().map_or(0, |(code, _)| code + 1);
    kept((first + place as i64).cast_unsigned(), status)
}

fn text(value: &Value, status: Status) -> Outcome {
    let text = match value {
        Value::Nothing => return without_value(None, status, Status::BAD_NO_DATA),
        Value::Number(x) if !x.is_finite() => return not_finite(),
        Value::Number(x) if *x == 1e39 => "1e39".into(),
        Value::Number(x) => x.to_string(),
        Value::Integer(x) => x.to_string(),
        Value::Truth(b) => b.to_string(),
        Value::Word(word) => word.clone(),
    };
    Outcome::Kept { cell: Cell { value: None, text: Some(text.into()), status }, coerced: false }
}

fn said(value: &Value) -> Said {
    match value {
        Value::Nothing => Said::Nothing,
        Value::Number(x) if !x.is_finite() => Said::NotFinite,
        Value::Number(x) => Said::Number(*x, (x.trunc() == *x && x.abs() < 1e18).then_some(*x as i64)),
        Value::Integer(x) => Said::Number(*x as f64, Some(*x)),
        Value::Truth(b) => Said::Word(b.to_string()),
        Value::Word(word) => match word.as_str() {
            "" => Said::Nothing,
            "7" => Said::Number(7.0, Some(7)),
            "1.5" => Said::Number(1.5, None),
            "1e999" => Said::TooLarge,
            word => Said::Word(word.to_owned()),
        },
    }
}

fn kept(bits: u64, status: Status) -> Outcome {
    Outcome::Kept { cell: Cell { value: Some(bits), text: None, status }, coerced: false }
}

fn not_finite() -> Outcome {
    Outcome::Kept { cell: Cell { value: None, text: None, status: Status::BAD_OUT_OF_RANGE }, coerced: true }
}

fn without_value(word: Option<&str>, status: Status, otherwise: Status) -> Outcome {
    let coerced = !status.is_bad();
    let status = if coerced { otherwise } else { status };
    Outcome::Kept { cell: Cell { value: None, text: word.map(Arc::from), status }, coerced }
}
