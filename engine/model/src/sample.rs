//! Picking the next token: greedy at temperature 0, else from the tempered, truncated distribution.
//!
//! Promises: the same seed, options and logits give the same tokens on every machine with the same logits.

/// How to pick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 is greedy; larger is flatter.
    pub temperature: f32,
    /// Only the likeliest tokens whose chances reach this sum; 1 is all.
    pub top_p: f32,
    /// Decides every pick.
    pub seed: u64,
}

/// Picks tokens for one sequence.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    state: u64,
}

/// First try of how many of the likeliest tokens reach `top_p`; doubled until they do.
const CANDIDATES_FIRST: usize = 128;

impl Sampler {
    /// A sampler at the start of its random sequence.
    #[must_use]
    pub fn new(sampling: Sampling) -> Self {
        Self {
            sampling,
            state: sampling.seed,
        }
    }

    /// The next token. Ties go to the lowest number; an empty row gives token 0.
    pub fn pick(&mut self, logits: &[f32]) -> u32 {
        let best = likeliest(logits);
        // NaN and negative temperatures are refused at the edge; here they mean greedy.
        if self.sampling.temperature.is_nan() || self.sampling.temperature <= 0.0 {
            return best;
        }
        let highest = logits.get(best as usize).copied().unwrap_or_default();
        let temperature = self.sampling.temperature;
        let mut chances: Vec<(f32, u32)> = logits
            .iter()
            .zip(0..)
            .map(|(logit, token)| (((logit - highest) / temperature).exp(), token))
            .filter(|(chance, _)| *chance > 0.0)
            .collect();
        if self.sampling.top_p < 1.0 {
            truncate(&mut chances, self.sampling.top_p);
        }
        let total: f64 = chances.iter().map(|(chance, _)| f64::from(*chance)).sum();
        let mut left = self.unit() * total;
        for (chance, token) in &chances {
            left -= f64::from(*chance);
            if left < 0.0 {
                return *token;
            }
        }
        // Rounding may leave a crumb; non-finite logits may leave nothing.
        chances.last().map_or(best, |(_, token)| *token)
    }

    /// Uniform in [0, 1): SplitMix64, chosen for being short and fixed for ever.
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn likeliest(logits: &[f32]) -> u32 {
    let mut best = (f32::NEG_INFINITY, 0);
    for (&logit, token) in logits.iter().zip(0..) {
        if logit > best.0 {
            best = (logit, token);
        }
    }
    best.1
}

/// Keeps the likeliest tokens that together reach `top_p`, at least one. A full sort of a large vocabulary would
/// cost more than the forward pass of a small model, so ever larger heads are selected and sorted instead.
fn truncate(chances: &mut Vec<(f32, u32)>, top_p: f32) {
    let order = |left: &(f32, u32), right: &(f32, u32)| {
        right.0.total_cmp(&left.0).then(left.1.cmp(&right.1))
    };
    let total: f64 = chances.iter().map(|(chance, _)| f64::from(*chance)).sum();
    let enough = total * f64::from(top_p.max(0.0));
    let mut candidates = CANDIDATES_FIRST;
    loop {
        let head = candidates.min(chances.len());
        if head < chances.len() {
            chances.select_nth_unstable_by(head, order);
        }
        chances[..head].sort_unstable_by(order);
        let mut sum = 0.0;
        let reached = chances[..head].iter().position(|(chance, _)| {
            sum += f64::from(*chance);
            sum >= enough
        });
        match reached {
            Some(last) => return chances.truncate(last + 1),
            None if head == chances.len() => return,
            None => candidates *= 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picks(sampling: Sampling, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling);
        (0..count).map(|_| sampler.pick(logits)).collect()
    }

    const PLAIN: Sampling = Sampling {
        temperature: 1.0,
        top_p: 1.0,
        seed: 42,
    };

    #[test]
    fn zero_temperature_is_greedy_and_ties_go_to_the_first() {
        let greedy = Sampling {
            temperature: 0.0,
            ..PLAIN
        };
        assert_eq!(picks(greedy, &[1.0, 3.0, 3.0, f32::NAN], 3), [1, 1, 1]);
        assert_eq!(picks(greedy, &[], 1), [0]);
    }

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let logits: Vec<f32> = (0..100).map(|at| (at % 7) as f32).collect();
        assert_eq!(picks(PLAIN, &logits, 50), picks(PLAIN, &logits, 50));
        assert_ne!(
            picks(PLAIN, &logits, 50),
            picks(Sampling { seed: 43, ..PLAIN }, &logits, 50)
        );
    }

    #[test]
    fn frequencies_follow_the_chances() {
        let logits = [0.0, 4f32.ln(), f32::NEG_INFINITY, 5f32.ln()];
        let picked = picks(PLAIN, &logits, 20_000);
        for (token, expected) in [(0, 0.1), (1, 0.4), (2, 0.0), (3, 0.5)] {
            let share = picked.iter().filter(|pick| **pick == token).count() as f64 / 20_000.0;
            assert!((share - expected).abs() < 0.015, "token {token}: {share}");
        }
    }

    #[test]
    fn a_low_temperature_sharpens() {
        let cold = Sampling {
            temperature: 0.1,
            ..PLAIN
        };
        assert!(picks(cold, &[0.0, 2.0], 500).iter().all(|pick| *pick == 1));
    }

    proptest! {
        #[test]
        fn top_p_keeps_the_shortest_head_that_reaches_it(
            logits in proptest::collection::vec(-5.0f32..5.0, 1..600),
            top_p in 0.0f32..1.0,
        ) {
            let mut chances: Vec<(f32, u32)> = logits.iter().map(|logit| logit.exp()).zip(0..).collect();
            let mut expected = chances.clone();
            expected.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
            let total: f64 = chances.iter().map(|(chance, _)| f64::from(*chance)).sum();
            let mut sum = 0.0;
            let keep = expected.iter().take_while(|(chance, _)| {
                let before = sum;
                sum += f64::from(*chance);
                before < total * f64::from(top_p)
            }).count().max(1);
            truncate(&mut chances, top_p);
            prop_assert_eq!(&chances, &expected[..keep]);
        }
    }
}
