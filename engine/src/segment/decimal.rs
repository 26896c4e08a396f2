//! The decimal split: instruments report decimals, and a decimal is a small integer and a scale.
//!
//! A double `v` is stored as the integer `m` and the scale `s` where `m / 10^s == v` bit for bit,
//! `0 <= s <= 15` and `|m| <= 2^53`. Both `m` and `10^s` are then exact doubles, and a division
//! rounds correctly, so anyone who divides gets the same bits back; a multiplication by the
//! inverse would not. What does not come back (-0.0, NaN, infinities, long fractions) stays a
//! double. Pure functions over slices; nothing here knows of files.

/// The largest scale: a double has 15 to 17 significant decimal digits.
pub const SCALE_MAX: u8 = 15;
/// The largest mantissa: beyond it integers are no longer exact doubles.
pub const MANTISSA_MAX: i64 = 1 << 53;

const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Adding and subtracting it rounds a double below 2^51 to an integer, whose value then stands
/// in the low bits of the sum; unlike the processor's conversion this runs on vectors.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// Up to here the product `v * 10^s` is off by less than a half, so that the nearest integer is
/// the only mantissa that can be right.
const NEAREST_MAX: f64 = 2_251_799_813_685_248.0;

/// Values that the choice of a scale looks at, in groups of neighbours.
const SAMPLE_GROUPS: usize = 16;
const SAMPLE_GROUP: usize = 8;

/// Estimated bits of a double that is stored among mantissas, and where all are doubles.
const EXCEPTION_BITS: f64 = 58.0;
const DOUBLE_BITS: f64 = 53.0;

/// `10^scale`; a scale above 15 counts as 15.
pub fn power(scale: u8) -> f64 {
    POWERS[usize::from(scale.min(SCALE_MAX))]
}

/// The double that a mantissa and a scale stand for.
pub fn join(mantissa: i64, scale: u8) -> f64 {
    mantissa as f64 / power(scale)
}

/// The mantissa of `value` at `scale`, if there is one.
pub fn mantissa(value: f64, scale: u8) -> Option<i64> {
    let product = value * power(scale);
    if product.is_nan() || product.abs() > MANTISSA_MAX as f64 {
        return None;
    }
    let nearest = product.round_ties_even() as i64;
    let comes_back = |m: i64| m.abs() <= MANTISSA_MAX && join(m, scale).to_bits() == value.to_bits();
    if comes_back(nearest) {
        return Some(nearest);
    }
    // Beyond 2^51 the product itself is rounded by up to two units.
    let near = [nearest - 1, nearest + 1, nearest - 2, nearest + 2];
    if product.abs() < NEAREST_MAX { None } else { near.into_iter().find(|m| comes_back(*m)) }
}

/// Splits doubles, given as bits, at one scale. `mantissas` and `exact` are overwritten, one
/// entry a value; where `exact` is false the mantissa means nothing. Returns the number of
/// values that are exact.
pub fn split(values: &[u64], scale: u8, mantissas: &mut Vec<i64>, exact: &mut Vec<bool>) -> usize {
    let power = power(scale);
    mantissas.clear();
    exact.clear();
    mantissas.extend(values.iter().map(|bits| {
        let rounded = f64::from_bits(*bits) * power + ROUNDER;
        rounded.to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed()
    }));
    exact.extend(values.iter().map(|bits| {
        let product = f64::from_bits(*bits) * power;
        let nearest = (product + ROUNDER) - ROUNDER;
        (nearest / power).to_bits() == *bits && product.abs() < NEAREST_MAX
    }));
    let count = exact.iter().map(|exact| usize::from(*exact)).sum();
    if count == values.len() { count } else { count + split_large(values, scale, mantissas, exact) }
}

/// Gives the values beyond the reach of the fast way their mantissas; returns how many.
fn split_large(values: &[u64], scale: u8, mantissas: &mut [i64], exact: &mut [bool]) -> usize {
    let mut added = 0;
    for (i, bits) in values.iter().enumerate() {
        let value = f64::from_bits(*bits);
        if exact[i] || (value * power(scale)).abs() < NEAREST_MAX {
            continue;
        }
        if let Some(found) = mantissa(value, scale) {
            (mantissas[i], exact[i]) = (found, true);
            added += 1;
        }
    }
    added
}

/// The smallest scale at which `value` has a mantissa. `hint` is tried first.
fn digits(value: f64, hint: u8) -> Option<u8> {
    if let Some(found) = mantissa(value, hint) {
        return Some(shorten(found, hint));
    }
    // A value with a mantissa at one scale has one at every larger scale, as long as that
    // mantissa is not too large: the largest tells for all.
    let mut top = SCALE_MAX;
    while top > 0 && (value * power(top)).abs() > MANTISSA_MAX as f64 {
        top -= 1;
    }
    (top.saturating_sub(1)..=top).find_map(|scale| mantissa(value, scale).map(|found| shorten(found, scale)))
}

/// The scale without the mantissa's trailing zeros.
fn shorten(mut mantissa: i64, mut scale: u8) -> u8 {
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    scale
}

/// What the choice of a scale knows of a chunk.
struct Sample {
    values: usize,
    /// How many values need exactly this scale.
    needing: [usize; 16],
    /// The mean step between neighbours.
    step: f64,
}

impl Sample {
    fn of(values: &[u64]) -> Sample {
        let mut sample = Sample { values: 0, needing: [0; 16], step: 0.0 };
        let (mut steps, mut hint) = (0u32, 0);
        let groups = if values.len() <= SAMPLE_GROUPS * SAMPLE_GROUP { 1 } else { SAMPLE_GROUPS };
        for group in 0..groups {
            let part = match groups {
                1 => values,
                _ => &values[group * (values.len() - SAMPLE_GROUP) / (groups - 1)..][..SAMPLE_GROUP],
            };
            sample.values += part.len();
            for bits in part {
                if let Some(scale) = digits(f64::from_bits(*bits), hint) {
                    sample.needing[usize::from(scale)] += 1;
                    hint = hint.max(scale);
                }
            }
            for pair in part.windows(2) {
                let step = (f64::from_bits(pair[1]) - f64::from_bits(pair[0])).abs();
                if step.is_finite() {
                    sample.step += step;
                    steps += 1;
                }
            }
        }
        sample.step /= f64::from(steps.max(1));
        sample
    }

    /// Estimated bits a value at this scale.
    fn bits(&self, scale: u8) -> f64 {
        let exact: usize = self.needing[..=usize::from(scale)].iter().sum();
        let share = exact as f64 / self.values as f64;
        let mantissa_bits = (2.0 * self.step * power(scale) + 1.0).log2() + 0.5;
        share * mantissa_bits.min(64.0) + (1.0 - share) * EXCEPTION_BITS + 2.0 * entropy(share)
    }
}

/// Bits that it takes to say, a value, whether it is one of a share.
fn entropy(share: f64) -> f64 {
    let term = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    term(share) + term(1.0 - share)
}

/// The scale at which a chunk of doubles, given as bits, is estimated to be smallest; `None`
/// where it is smaller as plain doubles.
pub fn choose(values: &[u64]) -> Option<u8> {
    if values.is_empty() {
        return None;
    }
    let sample = Sample::of(values);
    let candidates = (0..=SCALE_MAX).filter(|scale| sample.needing[usize::from(*scale)] > 0);
    let best = candidates.map(|scale| (sample.bits(scale), scale)).min_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(bits, _)| *bits < DOUBLE_BITS).map(|(_, scale)| scale)
}
