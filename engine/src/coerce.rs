//! What a value becomes when it is written to a tag: a cell, or a refusal with its reason.
//!
//! Pure: no clock, no table of tags. The rules are those of the outside contract:
//!
//! - A value that fits the tag is stored whatever its status.
//! - A number that the type cannot hold is refused. Rounding to the nearest double or float is
//!   no refusal; overflow is.
//! - A non-number in a float, int or bool tag is a system state: no value, the word as text.
//! - A sample without a value never keeps a good or uncertain status.
//! - NaN and the infinities, as numbers or as words, become no value with BadOutOfRange. In a
//!   text tag the words are strings like any other.
//!
//! White space around a word counts in text tags only.

use std::sync::Arc;

use crate::limits;
use crate::sample::Cell;
use crate::status::Status;
use crate::tag::{TagSpec, TagType, quoted};

/// A value as it came.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Input<'a> {
    /// Nothing: an empty cell.
    Empty,
    /// A double.
    Number(f64),
    /// An integer, exact.
    Integer(i64),
    /// A truth value; in a float or int tag it is the word `true` or `false`, in a digital tag
    /// the code 1 or 0 unless that word is a declared state.
    Boolean(bool),
    /// A string, which may read as one of the others. An empty one is a value for text tags only.
    Word(&'a str),
}

/// What a value became.
#[derive(Clone, PartialEq, Debug)]
pub struct Coerced {
    /// What is stored.
    pub cell: Cell,
    /// Whether it counts as coerced: the status had to change, or the value was not finite.
    pub changed: bool,
}

/// Gives the code of a word that a digital tag has no state for. Asked with `true` it may append
/// the word to the tag's states, and `None` means that the tag takes no more; asked with `false`
/// it knows only the words that were appended just before.
pub type NewState<'a> = dyn FnMut(&str, bool) -> Option<i64> + 'a;

/// Makes a value that came with `status` fit `tag`.
///
///
/// # Errors
/// The reason for the refusal, as a phrase, where the type cannot hold the value.
#[inline]
pub fn coerce(
    tag: &TagSpec,
    input: Input<'_>,
    status: Status,
    new_state: &mut NewState<'_>,
) -> Result<Coerced, String> {
    match (tag.tag_type, input) {
        (TagType::Float64, Input::Number(x)) if x.is_finite() => Ok(value(x.to_bits(), status)),
        (TagType::Int64 | TagType::Digital, Input::Integer(i)) => Ok(value(i.cast_unsigned(), status)),
        (TagType::Bool, Input::Boolean(b)) => Ok(value(u64::from(b), status)),
        (_, Input::Empty) => Ok(empty(status)),
        (TagType::Float64, _) => float(tag, input, status, Some),
        (TagType::Float32, _) => float(tag, input, status, shortest_of_float32),
        (TagType::Int64, _) => int64(tag, input, status),
        (TagType::Bool, _) => boolean(tag, input, status),
        (TagType::Digital, _) => digital(tag, input, status, new_state),
        (TagType::Text, _) => text(tag, input, status),
    }
}

/// The type that an undeclared tag gets from a value; `None` where the value is empty, so that
/// a later one decides. The caller leaves out values that came with a Bad status.
pub fn type_of(input: &Input<'_>) -> Option<TagType> {
    match input {
        Input::Empty => None,
        Input::Number(_) | Input::Integer(_) => Some(TagType::Float64),
        Input::Boolean(_) => Some(TagType::Bool),
        Input::Word(word) => match word.trim() {
            "" => None,
            word if truth(word).is_some() => Some(TagType::Bool),
            word if number(word).is_some() => Some(TagType::Float64),
            _ => Some(TagType::Text),
        },
    }
}

fn value(bits: u64, status: Status) -> Coerced {
    Coerced { cell: Cell { value: Some(bits), text: None, status }, changed: false }
}

/// An empty cell: its status stays where it is Bad already.
fn empty(status: Status) -> Coerced {
    without_value(None, status, Status::BAD_NO_DATA)
}

/// NaN or an infinity: whatever status came, BadOutOfRange says why there is no value.
fn not_finite() -> Coerced {
    Coerced { cell: Cell { value: None, text: None, status: Status::BAD_OUT_OF_RANGE }, changed: true }
}

fn system_state(tag: &TagSpec, word: &str, status: Status) -> Result<Coerced, String> {
    check_text(tag, word)?;
    Ok(without_value(Some(Arc::from(word)), status, Status::BAD))
}

fn without_value(text: Option<Arc<str>>, status: Status, otherwise: Status) -> Coerced {
    let changed = !status.is_bad();
    Coerced { cell: Cell { value: None, text, status: if changed { otherwise } else { status } }, changed }
}

/// What an input is to a tag that holds numbers.
enum Numeric<'a> {
    Integer(i64),
    Finite(f64),
    NotFinite,
    /// A decimal too large for a double.
    Overflow,
    /// No number, and not empty.
    Word(&'a str),
    Blank,
}

fn numeric(input: Input<'_>) -> Numeric<'_> {
    match input {
        Input::Empty => Numeric::Blank,
        Input::Number(x) if x.is_finite() => Numeric::Finite(x),
        Input::Number(_) => Numeric::NotFinite,
        Input::Integer(i) => Numeric::Integer(i),
        Input::Boolean(b) => Numeric::Word(truth_word(b)),
        Input::Word(word) => match word.trim() {
            "" => Numeric::Blank,
            word => number(word).unwrap_or(Numeric::Word(word)),
        },
    }
}

/// Reads a trimmed word as a decimal number; integers come exact, also when written `2.0` or `1e3`.
fn number(word: &str) -> Option<Numeric<'static>> {
    if let Ok(i) = word.parse::<i64>() {
        // The integers have no negative zero, the doubles have.
        return Some(if i == 0 && word.starts_with('-') { Numeric::Finite(-0.0) } else { Numeric::Integer(i) });
    }
    let x: f64 = word.parse().ok()?;
    Some(match exact_integer(word) {
        _ if !x.is_finite() && word.bytes().any(|b| b.is_ascii_digit()) => Numeric::Overflow,
        _ if !x.is_finite() => Numeric::NotFinite,
        Some(i) if x != 0.0 => Numeric::Integer(i),
        _ => Numeric::Finite(x),
    })
}

/// The integer that a decimal with a point or an exponent stands for, exactly, if it fits.
/// The word has been read as a finite number before.
fn exact_integer(word: &str) -> Option<i64> {
    let (mantissa, exponent) = match word.find(['e', 'E']) {
        Some(at) => (&word[..at], word[at + 1..].parse::<i32>().ok()?),
        None => (word, 0),
    };
    let negative = mantissa.starts_with('-');
    let (whole, fraction) = mantissa.trim_start_matches(['+', '-']).split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let digits = whole.trim_start_matches(['+', '-']).bytes().chain(fraction.bytes());
    let mut sum: i128 = 0;
    for digit in digits {
        sum = sum.checked_mul(10)?.checked_add(i128::from(digit.checked_sub(b'0')?))?;
    }
    while sum != 0 && shift != 0 {
        sum = match shift > 0 {
            true => sum.checked_mul(10)?,
            false if sum % 10 == 0 => sum / 10,
            false => return None,
        };
        shift -= shift.signum();
    }
    i64::try_from(if negative { -sum } else { sum }).ok()
}

fn float(
    tag: &TagSpec,
    input: Input<'_>,
    status: Status,
    narrow: impl Fn(f64) -> Option<f64>,
) -> Result<Coerced, String> {
    let x = match numeric(input) {
        // Rounds to the nearest double, as every decimal does.
        Numeric::Integer(i) => i as f64,
        Numeric::Finite(x) => x,
        Numeric::NotFinite => return Ok(not_finite()),
        Numeric::Overflow => return Err(refusal(tag, input, "is too large")),
        Numeric::Word(word) => return system_state(tag, word, status),
        Numeric::Blank => return Ok(empty(status)),
    };
    narrow(x).map(|x| value(x.to_bits(), status)).ok_or_else(|| refusal(tag, input, "is too large"))
}

/// The double of the shortest decimal that reads back as the same float; `None` on overflow.
fn shortest_of_float32(x: f64) -> Option<f64> {
    let narrow = x as f32;
    if narrow.is_infinite() {
        return None;
    }
    // Distinct decimals of at most six digits are distinct floats, so one that reads back is the
    // shortest. Its quotient by a power of ten is the double that parsing would give.
    let wide = f64::from(narrow);
    for power in [1.0, 10.0, 100.0, 1000.0, 10_000.0] {
        let mantissa = (wide * power).round();
        if mantissa.abs() > 999_999.0 {
            break;
        }
        let decimal = mantissa / power;
        if (decimal as f32).to_bits() == narrow.to_bits() {
            return Some(decimal);
        }
    }
    format!("{narrow:e}").parse().ok()
}

fn int64(tag: &TagSpec, input: Input<'_>, status: Status) -> Result<Coerced, String> {
    match numeric(input) {
        Numeric::Integer(i) => Ok(value(i.cast_unsigned(), status)),
        Numeric::Finite(x) => whole(tag, input, x).map(|i| value(i.cast_unsigned(), status)),
        Numeric::NotFinite => Ok(not_finite()),
        Numeric::Overflow => Err(refusal(tag, input, "is too large")),
        Numeric::Word(word) => system_state(tag, word, status),
        Numeric::Blank => Ok(empty(status)),
    }
}

/// The integer that a finite double is.
fn whole(tag: &TagSpec, input: Input<'_>, x: f64) -> Result<i64, String> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if x.trunc() != x {
        return Err(refusal(tag, input, "is no whole number"));
    }
    // Within these ends the conversion is exact.
    if (-LIMIT..LIMIT).contains(&x) { Ok(x as i64) } else { Err(refusal(tag, input, "is too large")) }
}

fn boolean(tag: &TagSpec, input: Input<'_>, status: Status) -> Result<Coerced, String> {
    if let Input::Word(word) = input
        && let Some(b) = truth(word.trim())
    {
        return Ok(value(u64::from(b), status));
    }
    match numeric(input) {
        Numeric::Integer(0) => Ok(value(0, status)),
        Numeric::Integer(1) => Ok(value(1, status)),
        Numeric::Finite(x) if x == 0.0 || x == 1.0 => Ok(value(u64::from(x == 1.0), status)),
        Numeric::Integer(_) | Numeric::Finite(_) | Numeric::Overflow => Err(refusal(tag, input, "is neither 0 nor 1")),
        Numeric::NotFinite => Ok(not_finite()),
        Numeric::Word(word) => system_state(tag, word, status),
        Numeric::Blank => Ok(empty(status)),
    }
}

fn digital(tag: &TagSpec, input: Input<'_>, status: Status, new_state: &mut NewState<'_>) -> Result<Coerced, String> {
    let word = match input {
        Input::Word(word) => Some(word),
        Input::Boolean(b) => Some(truth_word(b)),
        _ => None,
    };
    // A declared state comes first, so that one may be named `5` or `true`.
    let declared = word.and_then(|word| tag.state_code(word).or_else(|| tag.state_code(word.trim())));
    if let Some(code) = declared {
        return Ok(value(code.cast_unsigned(), status));
    }
    if let Input::Boolean(b) = input {
        return Ok(value(u64::from(b), status));
    }
    match numeric(input) {
        Numeric::Integer(i) => Ok(value(i.cast_unsigned(), status)),
        Numeric::Finite(x) => whole(tag, input, x).map(|i| value(i.cast_unsigned(), status)),
        Numeric::NotFinite => Ok(not_finite()),
        Numeric::Overflow => Err(refusal(tag, input, "is too large")),
        Numeric::Word(word) if status.is_bad() => match new_state(word, false) {
            Some(code) => Ok(value(code.cast_unsigned(), status)),
            None => system_state(tag, word, status),
        },
        Numeric::Word(word) => append_state(tag, word, new_state).map(|code| value(code.cast_unsigned(), status)),
        Numeric::Blank => Ok(empty(status)),
    }
}

fn append_state(tag: &TagSpec, word: &str, new_state: &mut NewState<'_>) -> Result<i64, String> {
    check_text(tag, word)?;
    if word.chars().any(char::is_control) {
        return Err(format!("{} cannot name a new state of the tag: it contains a control character", quoted(word)));
    }
    new_state(word, true)
        .ok_or_else(|| format!("{} is no state of the tag, which has no room, or no code, for one more", quoted(word)))
}

fn text(tag: &TagSpec, input: Input<'_>, status: Status) -> Result<Coerced, String> {
    let text: Arc<str> = match input {
        Input::Empty => return Ok(empty(status)),
        Input::Number(x) if !x.is_finite() => return Ok(not_finite()),
        Input::Number(x) => shortest_text(x).into(),
        Input::Integer(i) => i.to_string().into(),
        Input::Boolean(b) => truth_word(b).into(),
        Input::Word(word) => {
            check_text(tag, word)?;
            word.into()
        }
    };
    Ok(Coerced { cell: Cell { value: None, text: Some(text), status }, changed: false })
}

/// The fewest digits that read back as the same double, with an exponent where zeros would pile up.
fn shortest_text(x: f64) -> String {
    if x == 0.0 || (1e-6..1e17).contains(&x.abs()) { x.to_string() } else { format!("{x:e}") }
}

fn check_text(tag: &TagSpec, text: &str) -> Result<(), String> {
    if text.len() <= limits::TEXT_BYTES_MAX {
        return Ok(());
    }
    let (kind, len, max) = (tag.tag_type.word(), text.len(), limits::TEXT_BYTES_MAX);
    Err(format!("the text for the {kind} tag has {len} bytes, at most {max} are allowed"))
}

/// `true` and `false` in any case.
fn truth(word: &str) -> Option<bool> {
    [true, false].into_iter().find(|b| word.eq_ignore_ascii_case(truth_word(*b)))
}

const fn truth_word(b: bool) -> &'static str {
    if b { "true" } else { "false" }
}

/// Why a value does not fit, as in `2.5 is no whole number, the tag's type is int64`.
fn refusal(tag: &TagSpec, input: Input<'_>, why: &str) -> String {
    let shown = match input {
        Input::Empty => "nothing".into(),
        Input::Number(x) => shortest_text(x),
        Input::Integer(i) => i.to_string(),
        Input::Boolean(b) => truth_word(b).into(),
        Input::Word(word) => quoted(word),
    };
    format!("{shown} {why}, the tag's type is {}", tag.tag_type.word())
}

#[cfg(test)]
mod tests;
