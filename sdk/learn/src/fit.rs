//! Logistic regression by L-BFGS: no randomness, the same sums in the same order each time.

use std::collections::VecDeque;

use crate::features::{FORM_SLOTS, FORM_WEIGHT, Features};
use crate::math::{loss, sigmoid};

/// Steps that the curvature is reckoned from.
const MEMORY: usize = 8;
/// Steps at most.
const STEPS_MAX: u32 = 60;
/// Halvings of a step that does not lower the loss enough.
const HALVINGS_MAX: u32 = 20;
/// A gradient this much smaller than the first ends it.
const GRADIENT_RATIO: f64 = 1e-4;
/// How much of the promised decrease a step must bring.
const ARMIJO: f64 = 1e-4;

/// One row as numbers.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) features: Features,
    pub(crate) word_weight: f64,
    pub(crate) needs_strong: bool,
}

/// Weights of words, of form tokens, and the bias at the end.
pub(crate) type Weights = Vec<f64>;

struct Problem<'a> {
    samples: &'a [&'a Sample],
    words: usize,
    /// How strongly weights are held to 0, each alike but the bias.
    decay: f64,
}

/// Weights that tell samples that need the strong model from others; `strength` is the inverse of the penalty.
pub(crate) fn fit(samples: &[&Sample], bits: u32, strength: f64) -> Weights {
    let words = 1 << bits;
    let problem = Problem {
        samples,
        words,
        decay: 1.0 / strength,
    };
    problem.solve()
}

/// The score of a sample.
pub(crate) fn score(weights: &[f64], sample: &Sample, words: usize) -> f64 {
    let sum = |slots: &[u32], offset: usize| -> f64 {
        slots
            .iter()
            .map(|slot| weights[offset + *slot as usize])
            .sum()
    };
    let features = &sample.features;
    sum(&features.words, 0) * sample.word_weight
        + sum(&features.form, words) * FORM_WEIGHT
        + weights[words + FORM_SLOTS]
}

impl Problem<'_> {
    fn solve(&self) -> Weights {
        let mut weights = vec![0.0; self.words + FORM_SLOTS + 1];
        let (mut value, mut gradient) = self.at(&weights);
        let enough = norm(&gradient) * GRADIENT_RATIO;
        let mut past: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::new();
        for _ in 0..STEPS_MAX {
            if norm(&gradient) <= enough {
                break;
            }
            let direction = direction(&gradient, &past);
            let slope = dot(&direction, &gradient);
            // Without a past the gradient's length says nothing of how far to go.
            let mut length = if past.is_empty() {
                1.0 / norm(&gradient)
            } else {
                1.0
            };
            let mut found = None;
            for _ in 0..HALVINGS_MAX {
                let next = along(&weights, &direction, length);
                let (lower, slant) = self.at(&next);
                if lower <= value + ARMIJO * length * slope {
                    found = Some((next, lower, slant));
                    break;
                }
                length /= 2.0;
            }
            let Some((next, lower, slant)) = found else {
                break;
            };
            let moved = along(&next, &weights, -1.0);
            let turned = along(&slant, &gradient, -1.0);
            if dot(&moved, &turned) > 0.0 {
                if past.len() == MEMORY {
                    past.pop_front();
                }
                past.push_back((moved, turned));
            }
            (weights, value, gradient) = (next, lower, slant);
        }
        weights
    }

    /// Loss and gradient.
    fn at(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let mut gradient: Vec<f64> = weights.iter().map(|weight| weight * self.decay).collect();
        let bias = self.words + FORM_SLOTS;
        gradient[bias] = 0.0;
        let mut value: f64 = weights[..bias].iter().map(|weight| weight * weight).sum();
        value *= self.decay / 2.0;
        for sample in self.samples {
            let score = score(weights, sample, self.words);
            let target = f64::from(u8::from(sample.needs_strong));
            value += loss(if sample.needs_strong { score } else { -score });
            let error = sigmoid(score) - target;
            let pull = error * sample.word_weight;
            for slot in &sample.features.words {
                gradient[*slot as usize] += pull;
            }
            for slot in &sample.features.form {
                gradient[self.words + *slot as usize] += error * FORM_WEIGHT;
            }
            gradient[bias] += error;
        }
        (value, gradient)
    }
}

/// Downhill, as far as the past steps tell the curvature.
fn direction(gradient: &[f64], past: &VecDeque<(Vec<f64>, Vec<f64>)>) -> Vec<f64> {
    let mut direction = gradient.to_vec();
    let mut taken = Vec::with_capacity(past.len());
    for (moved, turned) in past.iter().rev() {
        let amount = dot(moved, &direction) / dot(moved, turned);
        add(&mut direction, turned, -amount);
        taken.push(amount);
    }
    if let Some((moved, turned)) = past.back() {
        let scale = dot(moved, turned) / dot(turned, turned);
        direction.iter_mut().for_each(|part| *part *= scale);
    }
    for ((moved, turned), amount) in past.iter().zip(taken.into_iter().rev()) {
        let other = dot(turned, &direction) / dot(moved, turned);
        add(&mut direction, moved, amount - other);
    }
    direction.iter_mut().for_each(|part| *part = -*part);
    direction
}

fn along(from: &[f64], direction: &[f64], length: f64) -> Vec<f64> {
    from.iter()
        .zip(direction)
        .map(|(from, part)| from + part * length)
        .collect()
}

fn add(to: &mut [f64], what: &[f64], times: f64) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += what * times;
    }
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

fn norm(of: &[f64]) -> f64 {
    dot(of, of).sqrt()
}
