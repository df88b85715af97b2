//! `exp` and `ln` out of additions and multiplications: system libraries differ in the last bit, IEEE arithmetic does
//! not.

use std::f64::consts::{LN_2, SQRT_2};

/// Where `exp` ends: beyond it, a probability is 0 or 1 to the last bit anyway.
const EXP_MAX: f64 = 40.0;
/// Terms of the series of `exp` within half an octave: the next one is below 2^-54.
const EXP_TERMS: u32 = 14;
/// Terms of the series of `ln` within half an octave.
const LN_TERMS: u32 = 15;

/// e^x for -40 ≤ x ≤ 40; beyond, of the border.
fn exp(x: f64) -> f64 {
    let x = x.clamp(-EXP_MAX, EXP_MAX);
    let octaves = (x / LN_2).round();
    let rest = x - octaves * LN_2;
    let mut sum = 1.0;
    for term in (1..=EXP_TERMS).rev() {
        sum = 1.0 + sum * rest / f64::from(term);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number between -58 and 58"
    )]
    let octaves = octaves as i32;
    sum * 2.0_f64.powi(octaves)
}

/// ln(x) for normal x above 0.
fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let exponent = (x.to_bits() >> 52) & 0x7FF;
    let mut octaves = f64::from(u32::try_from(exponent).unwrap_or(0)) - 1023.0;
    let mut rest = f64::from_bits((x.to_bits() & MANTISSA) | (1023 << 52));
    if rest > SQRT_2 {
        rest /= 2.0;
        octaves += 1.0;
    }
    let ratio = (rest - 1.0) / (rest + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    for term in (0..LN_TERMS).rev() {
        sum = sum * square + 1.0 / f64::from(2 * term + 1);
    }
    octaves * LN_2 + 2.0 * ratio * sum
}

/// The probability that a score stands for.
pub(crate) fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + exp(-score))
}

/// The score that a probability stands for.
pub(crate) fn logit(probability: f64) -> f64 {
    let probability = probability.clamp(1e-15, 1.0 - 1e-15);
    ln(probability / (1.0 - probability))
}

/// ln(1 + e^-x), what a score of x on the right side costs.
pub(crate) fn loss(x: f64) -> f64 {
    if x < -EXP_MAX {
        return -x;
    }
    ln(1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_agree_with_the_library(x in -39.0_f64..39.0) {
            prop_assert!((exp(x) / x.exp() - 1.0).abs() < 1e-14);
            prop_assert!((ln(x.exp()) - x).abs() < 1e-13);
            prop_assert!((logit(sigmoid(x.clamp(-10.0, 10.0))) - x.clamp(-10.0, 10.0)).abs() < 1e-9);
            prop_assert!((loss(x) - (-x).exp().ln_1p()).abs() < 1e-13);
        }
    }

    #[test]
    fn far_scores_are_certain_and_finite() {
        assert!(sigmoid(1e9) > 1.0 - 1e-15 && sigmoid(-1e9) < 1e-15);
        assert!((loss(-1e6) - 1e6).abs() < 1e-6);
        assert!(logit(0.0).is_finite() && logit(1.0).is_finite());
    }
}
