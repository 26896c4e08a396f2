use proptest::prelude::*;

use super::support::double;
use crate::segment::decimal::*;

/// Splits values at a scale and joins them again; what has no mantissa must be told so.
fn check(values: &[f64], scale: u8) -> Result<usize, TestCaseError> {
    let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
    let (mut mantissas, mut exact) = (Vec::new(), Vec::new());
    let count = split(&bits, scale, &mut mantissas, &mut exact);
    prop_assert_eq!(mantissas.len(), values.len());
    prop_assert_eq!(exact.iter().filter(|exact| **exact).count(), count);
    for (i, value) in values.iter().enumerate() {
        prop_assert_eq!(exact[i], mantissa(*value, scale).is_some(), "{} at scale {}", value, scale);
        if exact[i] {
            prop_assert!(mantissas[i].abs() <= MANTISSA_MAX);
            prop_assert_eq!(join(mantissas[i], scale).to_bits(), bits[i], "{} at scale {}", value, scale);
        }
    }
    Ok(count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_double_comes_back_or_is_an_exception(values in prop::collection::vec(double(), 1..50), scale in 0u8..=15) {
        check(&values, scale)?;
    }

    #[test]
    fn decimals_have_mantissas(m in -(1i64 << 50)..1 << 50, scale in 0u8..=15) {
        prop_assume!(m != 0);
        let value = join(m, scale);
        prop_assert_eq!(mantissa(value, scale), Some(m));
        prop_assert_eq!(check(&[value], scale)?, 1);
    }

    #[test]
    fn large_mantissas_come_back(m in 1i64 << 51..=1 << 53, scale in 0u8..=15) {
        let value = join(m, scale);
        prop_assert!(mantissa(value, scale).is_some(), "{} at scale {}", m, scale);
        prop_assert_eq!(check(&[value, -value], scale)?, 2);
    }

    #[test]
    fn a_decimal_has_a_mantissa_at_larger_scales(m in -100_000i64..100_000, scale in 0u8..=9) {
        prop_assume!(m != 0);
        for larger in scale..=10 {
            prop_assert!(mantissa(join(m, scale), larger).is_some());
        }
    }

    #[test]
    fn chunks_of_decimals_get_their_scale(start in -10_000i64..10_000, steps in prop::collection::vec(-9i64..=9, 20..200), scale in 0u8..=6) {
        let mut m = start * 10 + 1;
        let bits: Vec<u64> = steps.iter().map(|step| { m += step; join(m, scale).to_bits() }).collect();
        let all_end_in_zero = bits.iter().all(|bits| scale > 0 && mantissa(f64::from_bits(*bits), scale - 1).is_some());
        prop_assume!(!all_end_in_zero);
        let chosen = choose(&bits);
        prop_assert!(chosen.is_some());
        let (mut mantissas, mut exact) = (Vec::new(), Vec::new());
        let count = split(&bits, chosen.unwrap(), &mut mantissas, &mut exact);
        prop_assert!(count * 2 > bits.len(), "{count} of {} at scale {chosen:?}, {scale} fits all", bits.len());
    }
}

#[test]
fn what_is_no_decimal_is_an_exception() {
    for value in [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX, 0.1 + 0.2, 1.0 / 3.0] {
        for scale in 0..=SCALE_MAX {
            assert_eq!(mantissa(value, scale), None, "{value} at scale {scale}");
        }
    }
    assert_eq!(mantissa(0.0, 3), Some(0));
    assert_eq!(mantissa(MANTISSA_MAX as f64, 0), Some(MANTISSA_MAX));
    assert_eq!(mantissa(MANTISSA_MAX as f64 * 2.0, 0), None);
}

#[test]
fn chunks_of_long_fractions_stay_doubles() {
    let mut value = 1.0f64;
    let bits: Vec<u64> = (0..1000)
        .map(|i| {
            value += (f64::from(i) * 0.7).sin() / 997.0;
            value.to_bits()
        })
        .collect();
    assert_eq!(choose(&bits), None);
    assert_eq!(choose(&[]), None);
    assert_eq!(choose(&[f64::NAN.to_bits(); 5]), None);
}

#[test]
fn one_odd_value_does_not_spoil_its_neighbours() {
    let mut bits: Vec<u64> = (0..3600).map(|i| (f64::from(i % 97) / 100.0).to_bits()).collect();
    bits[1700] = (0.1f64 + 0.2).to_bits();
    assert_eq!(choose(&bits), Some(2));
    let (mut mantissas, mut exact) = (Vec::new(), Vec::new());
    assert_eq!(split(&bits, 2, &mut mantissas, &mut exact), 3599);
    assert!(!exact[1700]);
}
