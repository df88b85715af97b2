//! Small operations on rows of activations: normalisation, rotary positions, gating, softmax.

use crate::Kernels;
use crate::scatter::Scatter;

impl Kernels {
    /// Root-mean-square normalisation of each row, scaled by `weight`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn rms_norm(&self, input: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        assert_eq!(input.len(), out.len(), "output does not fit");
        assert!(
            input.len().is_multiple_of(weight.len()),
            "input is not whole rows"
        );
        let rows = input.chunks_exact(weight.len());
        for (input, out) in rows.zip(out.chunks_exact_mut(weight.len())) {
            // f64: 576 squares of similar size lose bits in f32, and this sum scales everything after it.
            let squares: f64 = input.iter().map(|value| f64::from(*value).powi(2)).sum();
            let scale = 1.0 / (squares / input.len() as f64 + f64::from(epsilon)).sqrt();
            for ((out, value), weight) in out.iter_mut().zip(input).zip(weight) {
                *out = value * scale as f32 * weight;
            }
        }
    }

    /// Rotates neighbouring pairs `(2i, 2i + 1)` of each head by the token's angles, as GGUF files of the Llama
    /// family want it. `rotation` holds `(cos, sin)` per pair for each token; elements of a head beyond its pairs
    /// stay as they are.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn rope(
        &self,
        values: &mut [f32],
        head_elements: usize,
        rotation: &[(f32, f32)],
        tokens: usize,
    ) {
        if tokens == 0 {
            return;
        }
        assert!(
            rotation.len().is_multiple_of(tokens),
            "rotation is not whole tokens"
        );
        assert!(
            values.len().is_multiple_of(tokens * head_elements),
            "values are not whole heads"
        );
        let (pairs, row) = (rotation.len() / tokens, values.len() / tokens);
        for (values, rotation) in values
            .chunks_exact_mut(row)
            .zip(rotation.chunks_exact(pairs))
        {
            for head in values.chunks_exact_mut(head_elements) {
                for ([even, odd], (cos, sin)) in head.as_chunks_mut().0.iter_mut().zip(rotation) {
                    (*even, *odd) = (*even * cos - *odd * sin, *even * sin + *odd * cos);
                }
            }
        }
    }

    /// `gate = silu(gate) * up`, the middle of a gated feed-forward.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn silu_mul(&self, gate: &mut [f32], up: &[f32]) {
        const PART: usize = 2048;
        assert_eq!(gate.len(), up.len(), "gate and up differ in length");
        let length = gate.len();
        let gate = Scatter::new(gate);
        self.pool.run(length.div_ceil(PART), &|chunk| {
            let at = chunk * PART;
            let part = PART.min(length - at);
            #[expect(unsafe_code, reason = "each chunk is its own part of the output")]
            // SAFETY: parts of different chunks do not overlap.
            let gate = unsafe { gate.part(at, part) };
            for (gate, up) in gate.iter_mut().zip(&up[at..at + part]) {
                *gate = *gate / (1.0 + exp(-*gate)) * up;
            }
        });
    }
}

/// In place: non-negative, summing to one.
#[inline(always)]
pub(crate) fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut lanes = [0.0f32; 8];
    let (eights, rest) = scores.as_chunks_mut::<8>();
    for eight in eights {
        for (score, lane) in eight.iter_mut().zip(&mut lanes) {
            *score = exp(*score - largest);
            *lane += *score;
        }
    }
    for (score, lane) in rest.iter_mut().zip(&mut lanes) {
        *score = exp(*score - largest);
        *lane += *score;
    }
    let scale = 1.0 / lanes.iter().sum::<f32>();
    for score in scores {
        *score *= scale;
    }
}

/// `e^x` by range reduction and a polynomial: relative error below 3e-7, zero below -87, and a loop over it
/// becomes vector code, which a call into the system's `expf` does not.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // ln 2 in two parts, so that the reduction is exact to f32.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let power = rounded - ROUND;
    let rest = clamped - power * LN2_HIGH - power * LN2_LOW;
    let mut series = 1.987_569_1e-4;
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        series = series * rest + coefficient;
    }
    let mantissa = series * rest * rest + rest + 1.0;
    let exponent = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let scaled = f32::from_bits((mantissa.to_bits() as i32).wrapping_add(exponent << 23) as u32);
    if x < -87.0 { 0.0 } else { scaled }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exp_is_the_exponential(x in -86.9f32..87.9) {
            let exact = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact, "exp({x}) = {}", exp(x));
        }

        #[test]
        fn softmax_is_a_distribution_in_the_order_of_its_scores(
            scores in proptest::collection::vec(-40.0f32..40.0, 1..50),
        ) {
            let mut chances = scores.clone();
            softmax(&mut chances);
            prop_assert!((chances.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = scores.iter().map(|score| f64::from(score - largest).exp()).sum();
            for (score, chance) in scores.iter().zip(chances) {
                let exact = f64::from(score - largest).exp() / sum;
                prop_assert!((f64::from(chance) - exact).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn exp_ends_at_zero_and_stays_finite() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(1e9).is_finite());
    }

    #[test]
    fn silu_gates() {
        let kernels = Kernels::new(2);
        let mut gate: Vec<f32> = (0..5000).map(|at| at as f32 / 500.0 - 5.0).collect();
        let expected: Vec<f64> = gate
            .iter()
            .map(|x| f64::from(*x) / (1.0 + (-f64::from(*x)).exp()) * 2.0)
            .collect();
        kernels.silu_mul(&mut gate, &vec![2.0; 5000]);
        for (found, expected) in gate.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn rms_norm_makes_the_mean_square_one() {
        let kernels = Kernels::new(1);
        let mut out = [0.0; 4];
        kernels.rms_norm(&[3.0, 4.0, 0.0, 5.0], &[1.0, 2.0], 0.0, &mut out);
        let expected = [
            3.0 / 12.5f32.sqrt(),
            8.0 / 12.5f32.sqrt(),
            0.0,
            2.0 * 2f32.sqrt(),
        ];
        for (found, expected) in out.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{out:?}");
        }
    }

    #[test]
    fn rope_turns_neighbouring_pairs() {
        let kernels = Kernels::new(1);
        let mut values = [1.0, 0.0, 5.0, 6.0, 0.0, 1.0, 7.0, 8.0];
        // One pair per head of four: a quarter turn for token 0, none for token 1.
        kernels.rope(&mut values, 4, &[(0.0, 1.0), (1.0, 0.0)], 2);
        assert_eq!(values, [0.0, 1.0, 5.0, 6.0, 0.0, 1.0, 7.0, 8.0]);
    }
}
