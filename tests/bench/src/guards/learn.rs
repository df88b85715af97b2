//! Logistic regression with an L2 penalty, by coordinate descent in the dual.
//!
//! Promises: the same rows give the same weights. Refuses to know: what a feature is.

/// Features that are not zero, by place.
pub(crate) type Sparse = Vec<(u32, f32)>;

/// Rounds over all rows; the weights hardly move after.
const ROUNDS: usize = 60;
/// Newton steps for one row.
const STEPS: usize = 40;

/// A row to learn from.
#[derive(Clone, Debug)]
pub(crate) struct Lesson {
    pub(crate) features: Sparse,
    pub(crate) positive: bool,
    /// How much it counts.
    pub(crate) weight: f64,
}

/// What was learnt.
#[derive(Clone, Debug)]
pub(crate) struct Learnt {
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: f32,
}

impl Learnt {
    pub(crate) fn logit(&self, features: &[(u32, f32)]) -> f32 {
        let sum = features
            .iter()
            .map(|&(place, value)| self.weights[place as usize] * value);
        self.bias + sum.sum::<f32>()
    }
}

/// Learns weights for `size` features; `cost` weighs errors against the size of weights. Both labels count alike.
#[expect(
    clippy::cast_possible_truncation,
    reason = "weights are of the size of features"
)]
pub(crate) fn learn(lessons: &[&Lesson], size: usize, cost: f64) -> Learnt {
    let total = |positive: bool| {
        let of_label = lessons.iter().filter(|lesson| lesson.positive == positive);
        of_label
            .map(|lesson| lesson.weight)
            .sum::<f64>()
            .max(f64::MIN_POSITIVE)
    };
    let (positives, negatives) = (total(true), total(false));
    let balance = |positive: bool| {
        (positives + negatives) / 2.0 / if positive { positives } else { negatives }
    };
    // The last weight is the bias, of a feature that is always 1.
    let mut weights = vec![0.0_f64; size + 1];
    let mut rows: Vec<Row<'_>> = lessons
        .iter()
        .map(|lesson| Row::new(lesson, cost * balance(lesson.positive)))
        .collect();
    for row in &rows {
        row.move_weights(&mut weights, row.sign * row.alpha);
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..ROUNDS {
        shuffle(&mut order, &mut seed);
        for &index in &order {
            rows[index].improve(&mut weights);
        }
    }
    let bias = weights.pop().unwrap_or_default() as f32;
    Learnt {
        weights: weights.into_iter().map(|weight| weight as f32).collect(),
        bias,
    }
}

/// A row with its place in the dual: `alpha` of `cost`.
struct Row<'a> {
    features: &'a [(u32, f32)],
    sign: f64,
    square: f64,
    cost: f64,
    alpha: f64,
}

impl<'a> Row<'a> {
    fn new(lesson: &'a Lesson, cost: f64) -> Self {
        let cost = cost * lesson.weight;
        let squares = lesson
            .features
            .iter()
            .map(|&(_, value)| f64::from(value) * f64::from(value));
        Self {
            features: &lesson.features,
            sign: if lesson.positive { 1.0 } else { -1.0 },
            square: 1.0 + squares.sum::<f64>(),
            cost,
            alpha: cost * 1e-3,
        }
    }

    fn sum(&self, weights: &[f64]) -> f64 {
        let sum = self
            .features
            .iter()
            .map(|&(place, value)| weights[place as usize] * f64::from(value));
        sum.sum::<f64>() + weights[weights.len() - 1]
    }

    fn move_weights(&self, weights: &mut [f64], by: f64) {
        for &(place, value) in self.features {
            weights[place as usize] += by * f64::from(value);
        }
        let last = weights.len() - 1;
        weights[last] += by;
    }

    /// The best `alpha` while all others stand: where the slope
    /// `square (z - alpha) + margin + ln(z / (cost - z))` is zero, which rises in z.
    fn improve(&mut self, weights: &mut [f64]) {
        let margin = self.sign * self.sum(weights);
        let old = self.alpha;
        let slope = |z: f64| self.square * (z - old) + margin + (z / (self.cost - z)).ln();
        let (mut low, mut high) = (0.0, self.cost);
        let mut z = old;
        for _ in 0..STEPS {
            let at = slope(z);
            if at.abs() < 1e-9 {
                break;
            }
            if at > 0.0 {
                high = z;
            } else {
                low = z;
            }
            let next = z - at / (self.square + self.cost / (z * (self.cost - z)));
            z = if next > low && next < high {
                next
            } else {
                f64::midpoint(low, high)
            };
        }
        let edge = self.cost * 1e-12;
        self.alpha = z.clamp(edge, self.cost - edge);
        self.move_weights(weights, self.sign * (self.alpha - old));
    }
}

fn shuffle(order: &mut [usize], seed: &mut u64) {
    for last in (1..order.len()).rev() {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        let other = usize::try_from(*seed % (last as u64 + 1)).unwrap_or(last);
        order.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_gets_the_weight() {
        let lesson = |positive: bool, noise: u32| Lesson {
            features: vec![(u32::from(positive), 1.0), (2 + noise, 1.0)],
            positive,
            weight: 1.0,
        };
        let lessons: Vec<Lesson> = (0..40)
            .map(|index| lesson(index % 2 == 0, index % 5))
            .collect();
        let lessons: Vec<&Lesson> = lessons.iter().collect();
        let learnt = learn(&lessons, 7, 1.0);
        assert!(
            learnt.weights[1] > 1.0 && learnt.weights[0] < -1.0,
            "{learnt:?}"
        );
        assert!(
            learnt.weights[2..].iter().all(|weight| weight.abs() < 0.2),
            "{learnt:?}"
        );
    }
}
