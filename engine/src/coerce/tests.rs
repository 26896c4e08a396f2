//! Every sentence of "What a value becomes", one test each.

use super::*;
use proptest::prelude::*;

const NAN: Input<'static> = Input::Number(f64::NAN);
const UNCERTAIN_SUB: Status = Status(0x4094_0000);
const BAD_SUB: Status = Status(0x800A_0000);

fn spec(tag_type: TagType) -> TagSpec {
    let mut spec = TagSpec::new("T", tag_type);
    if tag_type == TagType::Digital {
        spec.states = TagSpec::parse_states("0=Closed,1=Open,7=9").unwrap();
    }
    spec
}

/// Coerces; a digital tag's new states get code 100.
fn with(tag_type: TagType, input: Input<'_>, status: Status) -> Result<Coerced, String> {
    coerce(&spec(tag_type), input, status, &mut |_, append| append.then_some(100))
}

fn good(tag_type: TagType, input: Input<'_>) -> Result<Coerced, String> {
    with(tag_type, input, Status::GOOD)
}

fn float(tag_type: TagType, input: Input<'_>) -> f64 {
    let coerced = good(tag_type, input).unwrap();
    assert!(!coerced.changed && coerced.cell.text.is_none() && coerced.cell.status == Status::GOOD);
    f64::from_bits(coerced.cell.value.unwrap())
}

fn int(tag_type: TagType, input: Input<'_>) -> i64 {
    let coerced = good(tag_type, input).unwrap();
    assert!(!coerced.changed && coerced.cell.text.is_none() && coerced.cell.status == Status::GOOD);
    coerced.cell.value.unwrap().cast_signed()
}

fn state(word: Option<&str>, status: Status) -> Cell {
    Cell { value: None, text: word.map(Arc::from), status }
}

#[track_caller]
fn refused(tag_type: TagType, input: Input<'_>, why: &str) {
    let reason = good(tag_type, input).unwrap_err();
    assert!(reason.contains(why) && !reason.contains('\n'), "{reason}");
    // A Bad status does not make a value fit.
    assert_eq!(with(tag_type, input, Status::BAD), Err(reason));
}

const NUMERIC: [TagType; 4] = [TagType::Float64, TagType::Float32, TagType::Int64, TagType::Bool];

#[test]
fn a_value_is_stored_whatever_its_status() {
    let inputs = [Input::Number(1.0), Input::Integer(1), Input::Word("1"), Input::Word("1.0"), Input::Word(" +1 ")];
    for tag_type in TagType::ALL {
        for status in [Status::GOOD, UNCERTAIN_SUB, BAD_SUB, Status(0x8000_0401)] {
            for input in inputs {
                let coerced = with(tag_type, input, status).unwrap();
                assert!(!coerced.changed, "{tag_type:?} {input:?} {status}");
                assert_eq!(coerced.cell.status, status);
                assert_eq!(coerced.cell.value.is_some(), tag_type != TagType::Text);
                assert_eq!(coerced.cell.text.is_some(), tag_type == TagType::Text);
            }
        }
    }
}

#[test]
fn floats_take_numbers_and_words_that_read_as_numbers() {
    for (word, number) in
        [("12.5", 12.5), ("1e3", 1e3), ("+5", 5.0), (" 7 ", 7.0), (".5", 0.5), ("5.", 5.0), ("-1.25E-2", -0.0125)]
    {
        assert_eq!(float(TagType::Float64, Input::Word(word)), number, "{word}");
        assert_eq!(float(TagType::Float32, Input::Word(word)), number, "{word}");
    }
    assert_eq!(float(TagType::Float64, Input::Word("-0")).to_bits(), (-0.0f64).to_bits());
    assert_eq!(float(TagType::Float64, Input::Word("-0.0")).to_bits(), (-0.0f64).to_bits());
    assert_eq!(float(TagType::Float64, Input::Number(-0.0)).to_bits(), (-0.0f64).to_bits());
    assert_eq!(float(TagType::Float64, Input::Integer(i64::MAX)), 9_223_372_036_854_775_808.0);
    assert_eq!(float(TagType::Float64, Input::Word("9007199254740993")), 9_007_199_254_740_992.0);
    refused(TagType::Float64, Input::Word("1e999"), "too large");
}

#[test]
fn float32_is_kept_as_its_shortest_decimal() {
    assert_eq!(float(TagType::Float32, Input::Number(f64::from(12.3f32))), 12.3);
    assert_eq!(float(TagType::Float32, Input::Number(12.300_000_1)), 12.3);
    assert_eq!(float(TagType::Float32, Input::Number(f64::from(f32::MAX))), 3.402_823_5e38);
    assert_eq!(float(TagType::Float32, Input::Number(-0.0)).to_bits(), (-0.0f64).to_bits());
    assert_eq!(float(TagType::Float32, Input::Number(1e-60)), 0.0);
    assert_eq!(float(TagType::Float32, Input::Integer(16_777_217)), 16_777_216.0);
    refused(TagType::Float32, Input::Number(3.5e38), "too large");
    refused(TagType::Float32, Input::Word("-1e39"), "float32");
}

proptest! {
    #[test]
    fn every_float32_comes_back(bits: u32) {
        let x = f32::from_bits(bits);
        prop_assume!(x.is_finite());
        let kept = float(TagType::Float32, Input::Number(f64::from(x)));
        prop_assert_eq!((kept as f32).to_bits(), bits);
        prop_assert_eq!(kept.to_bits(), format!("{x:e}").parse::<f64>().unwrap().to_bits());
    }

    #[test]
    fn short_decimals_in_float32_stay_what_they_are(mantissa in -999_999i32..=999_999, scale in 0i32..=6) {
        let decimal = f64::from(mantissa) / 10f64.powi(scale);
        prop_assert_eq!(float(TagType::Float32, Input::Number(decimal)), decimal);
    }

    #[test]
    fn every_int64_comes_back_from_its_digits(i: i64, zeros in 0usize..4) {
        prop_assert_eq!(int(TagType::Int64, Input::Word(&i.to_string())), i);
        prop_assert_eq!(int(TagType::Int64, Input::Word(&format!("{i}.{}", "0".repeat(zeros)))), i);
        prop_assert_eq!(int(TagType::Int64, Input::Integer(i)), i);
    }

    #[test]
    fn no_word_breaks_it(word: String, tag_type in 0usize..6, status: u32) {
        let tag_type = TagType::ALL[tag_type];
        let came = Status(status);
        if let Ok(Coerced { cell, changed }) = with(tag_type, Input::Word(&word), came) {
            let has_value = cell.value.is_some() || (tag_type == TagType::Text && cell.text.is_some());
            prop_assert!(has_value || cell.status.is_bad());
            prop_assert_eq!(cell.status != came, changed && came != Status::BAD_OUT_OF_RANGE);
        }
    }
}

#[test]
fn ints_are_exact_and_refuse_what_they_cannot_hold() {
    assert_eq!(int(TagType::Int64, Input::Number(2.0)), 2);
    assert_eq!(int(TagType::Int64, Input::Word("2.0")), 2);
    assert_eq!(int(TagType::Int64, Input::Word("1e3")), 1000);
    assert_eq!(int(TagType::Int64, Input::Word("12.50e1")), 125);
    assert_eq!(int(TagType::Int64, Input::Word("1200e-2")), 12);
    assert_eq!(int(TagType::Int64, Input::Word("-0")), 0);
    assert_eq!(int(TagType::Int64, Input::Word("0.00")), 0);
    assert_eq!(int(TagType::Int64, Input::Word("9223372036854775807")), i64::MAX);
    assert_eq!(int(TagType::Int64, Input::Word("9223372036854775807.0")), i64::MAX);
    assert_eq!(int(TagType::Int64, Input::Word("9007199254740993.0")), 9_007_199_254_740_993);
    assert_eq!(int(TagType::Int64, Input::Number(-9_223_372_036_854_775_808.0)), i64::MIN);
    refused(TagType::Int64, Input::Number(2.5), "2.5 is no whole number, the tag's type is int64");
    refused(TagType::Int64, Input::Word("2.5"), "'2.5' is no whole number");
    refused(TagType::Int64, Input::Word("1e-3"), "no whole number");
    refused(TagType::Int64, Input::Number(9_223_372_036_854_775_808.0), "too large");
    refused(TagType::Int64, Input::Word("9223372036854775808"), "too large");
    refused(TagType::Int64, Input::Word("1e999"), "too large");
    refused(TagType::Int64, Input::Word("1e2147483648"), "too large");
}

#[test]
fn bools_are_0_1_true_false_in_any_case() {
    let ones = [Input::Boolean(true), Input::Integer(1), Input::Number(1.0)];
    for input in ones.into_iter().chain(["1", "true", "TRUE", "True", " tRue ", "1.0"].map(Input::Word)) {
        assert_eq!(int(TagType::Bool, input), 1, "{input:?}");
    }
    let zeros = [Input::Boolean(false), Input::Integer(0), Input::Number(0.0), Input::Number(-0.0)];
    for input in zeros.into_iter().chain(["0", "false", "FALSE", "0.0", "-0"].map(Input::Word)) {
        assert_eq!(int(TagType::Bool, input), 0, "{input:?}");
    }
    for input in [Input::Integer(2), Input::Number(0.5), Input::Word("-1"), Input::Word("1e999")] {
        refused(TagType::Bool, input, "neither 0 nor 1");
    }
    assert_eq!(good(TagType::Bool, Input::Word("yes")).unwrap().cell, state(Some("yes"), Status::BAD));
}

#[test]
fn a_digital_integer_is_a_code_named_or_not() {
    assert_eq!(int(TagType::Digital, Input::Integer(1)), 1);
    assert_eq!(int(TagType::Digital, Input::Integer(55)), 55);
    assert_eq!(int(TagType::Digital, Input::Number(3.0)), 3);
    assert_eq!(int(TagType::Digital, Input::Word("5")), 5);
    assert_eq!(int(TagType::Digital, Input::Boolean(true)), 1);
    // A declared state comes before the number that its name reads as.
    assert_eq!(int(TagType::Digital, Input::Word("9")), 7);
    refused(TagType::Digital, Input::Number(2.5), "no whole number");
    refused(TagType::Digital, Input::Word("2.5"), "no whole number");
}

#[test]
fn a_digital_word_is_a_state_or_becomes_one() {
    let unasked = &mut |word: &str, _: bool| panic!("asked for {word}");
    for (word, code) in [("Open", 1), (" Open ", 1), ("Closed", 0)] {
        let coerced = coerce(&spec(TagType::Digital), Input::Word(word), Status::GOOD, unasked).unwrap();
        assert_eq!(coerced.cell, Cell::good(code));
    }
    let mut asked = Vec::new();
    let mut ask = |word: &str, append: bool| {
        asked.push(word.to_owned());
        append.then_some(8)
    };
    let coerced = coerce(&spec(TagType::Digital), Input::Word("Travelling"), UNCERTAIN_SUB, &mut ask).unwrap();
    assert_eq!(coerced, Coerced { cell: Cell { value: Some(8), text: None, status: UNCERTAIN_SUB }, changed: false });
    assert_eq!(asked, ["Travelling"]);
    let full = coerce(&spec(TagType::Digital), Input::Word("More"), Status::GOOD, &mut |_, _| None).unwrap_err();
    assert!(full.contains("one more"), "{full}");
    refused_good(TagType::Digital, Input::Word("a\u{7}b"), "control character");
}

/// Refused as a new state, although it may be a system state.
#[track_caller]
fn refused_good(tag_type: TagType, input: Input<'_>, why: &str) {
    let reason = good(tag_type, input).unwrap_err();
    assert!(reason.contains(why), "{reason}");
}

#[test]
fn a_digital_word_with_a_bad_status_is_a_system_state() {
    let coerced = with(TagType::Digital, Input::Word("Scan Timeout"), BAD_SUB).unwrap();
    assert_eq!(coerced, Coerced { cell: state(Some("Scan Timeout"), BAD_SUB), changed: false });
    // What was appended just before is a state already.
    let coerced = coerce(&spec(TagType::Digital), Input::Word("Scan Timeout"), BAD_SUB, &mut |_, _| Some(8)).unwrap();
    assert_eq!(coerced.cell.value, Some(8));
    let unasked = &mut |word: &str, _: bool| panic!("asked for {word}");
    // A declared state is a value that came: it stays one.
    let coerced = coerce(&spec(TagType::Digital), Input::Word("Open"), BAD_SUB, unasked).unwrap();
    assert_eq!(coerced.cell.value, Some(1));
}

#[test]
fn other_words_in_numeric_tags_are_system_states() {
    for tag_type in NUMERIC {
        for word in ["Bad", "Scan Timeout", "#NUM!", "1.5 bar", "0x10", "1_000", "--5"] {
            for status in [Status::GOOD, UNCERTAIN_SUB] {
                let coerced = with(tag_type, Input::Word(word), status).unwrap();
                assert_eq!(coerced, Coerced { cell: state(Some(word), Status::BAD), changed: true });
            }
            let coerced = with(tag_type, Input::Word(word), BAD_SUB).unwrap();
            assert_eq!(coerced, Coerced { cell: state(Some(word), BAD_SUB), changed: false });
        }
        let long = "x".repeat(limits::TEXT_BYTES_MAX + 1);
        refused(tag_type, Input::Word(&long), "at most 32768");
    }
    let coerced = good(TagType::Float64, Input::Boolean(true)).unwrap();
    assert_eq!(coerced, good(TagType::Float64, Input::Word("true")).unwrap());
    assert_eq!(coerced.cell, state(Some("true"), Status::BAD));
}

#[test]
fn an_empty_cell_becomes_bad_no_data_unless_it_is_bad() {
    for tag_type in TagType::ALL {
        for status in [Status::GOOD, UNCERTAIN_SUB] {
            let coerced = with(tag_type, Input::Empty, status).unwrap();
            assert_eq!(coerced, Coerced { cell: state(None, Status::BAD_NO_DATA), changed: true });
        }
        let coerced = with(tag_type, Input::Empty, BAD_SUB).unwrap();
        assert_eq!(coerced, Coerced { cell: state(None, BAD_SUB), changed: false });
        if tag_type != TagType::Text {
            for word in ["", "  "] {
                assert_eq!(good(tag_type, Input::Word(word)), good(tag_type, Input::Empty), "{tag_type:?}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_becomes_bad_out_of_range() {
    let out_of_range = Coerced { cell: state(None, Status::BAD_OUT_OF_RANGE), changed: true };
    for status in [Status::GOOD, UNCERTAIN_SUB, BAD_SUB] {
        for tag_type in TagType::ALL {
            for input in [NAN, Input::Number(f64::INFINITY), Input::Number(f64::NEG_INFINITY)] {
                assert_eq!(with(tag_type, input, status), Ok(out_of_range.clone()), "{tag_type:?} {input:?}");
            }
            if tag_type != TagType::Text {
                for word in ["NaN", "nan", "inf", "-Infinity", " NAN "] {
                    assert_eq!(with(tag_type, Input::Word(word), status), Ok(out_of_range.clone()), "{word}");
                }
            }
        }
    }
}

#[test]
fn text_tags_take_everything_as_text() {
    let cases = [
        (Input::Word("NaN"), "NaN"),
        (Input::Word(""), ""),
        (Input::Word(" 12.50 "), " 12.50 "),
        (Input::Word("line\nbreak\u{0}"), "line\nbreak\u{0}"),
        (Input::Number(12.5), "12.5"),
        (Input::Number(3.0), "3"),
        (Input::Number(-0.0), "-0"),
        (Input::Number(1e300), "1e300"),
        (Input::Number(1.5e-9), "1.5e-9"),
        (Input::Integer(i64::MIN), "-9223372036854775808"),
        (Input::Boolean(true), "true"),
    ];
    for (input, text) in cases {
        let coerced = with(TagType::Text, input, UNCERTAIN_SUB).unwrap();
        assert_eq!(coerced, Coerced { cell: state(Some(text), UNCERTAIN_SUB), changed: false });
    }
    let longest = "x".repeat(limits::TEXT_BYTES_MAX);
    assert!(good(TagType::Text, Input::Word(&longest)).is_ok());
    refused(TagType::Text, Input::Word(&(longest + "x")), "32769 bytes, at most 32768");
}

#[test]
fn the_first_value_gives_an_undeclared_tag_its_type() {
    let float64 =
        [Input::Number(1.0), Input::Integer(1), Input::Word("1"), Input::Word("1e3"), NAN, Input::Word("nan")];
    for input in float64 {
        assert_eq!(type_of(&input), Some(TagType::Float64), "{input:?}");
    }
    for input in [Input::Boolean(false), Input::Word("TRUE"), Input::Word("false")] {
        assert_eq!(type_of(&input), Some(TagType::Bool), "{input:?}");
    }
    for input in [Input::Word("Open"), Input::Word("1 bar")] {
        assert_eq!(type_of(&input), Some(TagType::Text), "{input:?}");
    }
    for input in [Input::Empty, Input::Word(""), Input::Word(" ")] {
        assert_eq!(type_of(&input), None, "{input:?}");
    }
}
