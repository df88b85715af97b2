//! Softmax attention of query rows over a sequence's past keys and values (f16), grouped heads included.

#![expect(
    unsafe_code,
    reason = "calls of kernels compiled for a detected instruction set, vector loads, disjoint writes"
)]

use std::cell::RefCell;

use half::f16;

use crate::Kernels;
use crate::level::Set;
use crate::rows::softmax;
use crate::scatter::Scatter;

/// How the heads lie in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; `heads` is a multiple.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_elements: usize,
}

/// What one query row may look at: the first `positions` rows of its sequence's keys and values, its own included.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Keys, a row of `kv_heads * head_elements` per position.
    pub keys: &'a [f16],
    /// Values, likewise.
    pub values: &'a [f16],
    /// Positions to look at.
    pub positions: usize,
}

thread_local! {
    /// Scores of the head at hand; grows to the longest sequence and stays.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Kernels {
    /// `out` = for each query row and head, the values of its past weighted by softmax of query times key.
    ///
    /// # Panics
    /// If a length does not fit the shape.
    pub fn attention(
        &self,
        shape: AttentionShape,
        queries: &[f32],
        past: &[Past<'_>],
        out: &mut [f32],
    ) {
        let AttentionShape {
            heads,
            kv_heads,
            head_elements,
        } = shape;
        assert!(
            kv_heads > 0 && heads.is_multiple_of(kv_heads),
            "heads are not whole groups"
        );
        assert_eq!(
            queries.len(),
            past.len() * heads * head_elements,
            "queries do not fit"
        );
        assert_eq!(out.len(), queries.len(), "output does not fit");
        let kv_row = kv_heads * head_elements;
        for past in past {
            let needed = past.positions * kv_row;
            assert!(
                past.positions > 0 && past.keys.len() >= needed && past.values.len() >= needed,
                "the past is shorter than its positions"
            );
        }
        let out = Scatter::new(out);
        self.pool.run(past.len() * heads, &|unit| {
            let (past, head) = (&past[unit / heads], unit % heads);
            let first = head / (heads / kv_heads) * head_elements;
            let at = unit * head_elements;
            let query = &queries[at..at + head_elements];
            // SAFETY: each unit has its own part of the output.
            let out = unsafe { out.part(at, head_elements) };
            SCORES.with_borrow_mut(|scores| {
                scores.resize(past.positions, 0.0);
                match self.level.set() {
                    #[cfg(target_arch = "x86_64")]
                    Set::Avx2 if head_elements.is_multiple_of(avx2::STEP) => {
                        // SAFETY: `Set::Avx2` exists only where the features were detected.
                        unsafe { avx2::one_head(query, past, kv_row, first, scores, out) }
                    }
                    _ => one_head(query, past, kv_row, first, scores, out),
                }
            });
        });
    }
}

fn one_head(
    query: &[f32],
    past: &Past<'_>,
    kv_row: usize,
    first: usize,
    scores: &mut [f32],
    out: &mut [f32],
) {
    let elements = query.len();
    let scale = 1.0 / (elements as f32).sqrt();
    for (score, key) in scores.iter_mut().zip(past.keys.chunks_exact(kv_row)) {
        let key = &key[first..first + elements];
        let dot: f32 = query
            .iter()
            .zip(key)
            .map(|(query, key)| query * key.to_f32())
            .sum();
        *score = dot * scale;
    }
    softmax(scores);
    out.fill(0.0);
    for (score, value) in scores.iter().zip(past.values.chunks_exact(kv_row)) {
        for (out, value) in out.iter_mut().zip(&value[first..first + elements]) {
            *out += score * value.to_f32();
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    //! The same with eight lanes at a time.

    use std::arch::x86_64::*;

    use half::f16;

    use super::{Past, softmax};

    /// Elements handled together: four vectors.
    pub(super) const STEP: usize = 32;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn load(from: &[f16; 8]) -> __m256 {
        // SAFETY: the array is 16 readable bytes.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn sum(lanes: __m256) -> f32 {
        let four = _mm_add_ps(
            _mm256_castps256_ps128(lanes),
            _mm256_extractf128_ps::<1>(lanes),
        );
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn one_head(
        query: &[f32],
        past: &Past<'_>,
        kv_row: usize,
        first: usize,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let elements = query.len();
        let scale = 1.0 / (elements as f32).sqrt();
        let (query, _) = query.as_chunks::<8>();
        for (score, key) in scores.iter_mut().zip(past.keys.chunks_exact(kv_row)) {
            let (key, _) = key[first..first + elements].as_chunks::<8>();
            let mut sums = [_mm256_setzero_ps(); 2];
            for (query, key) in query.as_chunks::<2>().0.iter().zip(key.as_chunks::<2>().0) {
                for ((sum, query), key) in sums.iter_mut().zip(query).zip(key) {
                    // SAFETY: the array is 32 readable bytes.
                    let query = unsafe { _mm256_loadu_ps(query.as_ptr()) };
                    *sum = _mm256_fmadd_ps(query, load(key), *sum);
                }
            }
            *score = sum(_mm256_add_ps(sums[0], sums[1])) * scale;
        }
        softmax(scores);
        let (parts, _) = out.as_chunks_mut::<STEP>();
        for (number, part) in parts.iter_mut().enumerate() {
            let at = first + number * STEP;
            let mut sums = [_mm256_setzero_ps(); STEP / 8];
            for (score, value) in scores.iter().zip(past.values.chunks_exact(kv_row)) {
                let score = _mm256_set1_ps(*score);
                let (value, _) = value[at..at + STEP].as_chunks::<8>();
                for (sum, value) in sums.iter_mut().zip(value) {
                    *sum = _mm256_fmadd_ps(score, load(value), *sum);
                }
            }
            for (eight, sum) in part.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
                // SAFETY: the array is 32 writable bytes.
                unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), sum) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Level;

    /// In f64, straight from the definition.
    fn exact(shape: AttentionShape, query: &[f32], past: &Past<'_>) -> Vec<f64> {
        let (width, row) = (shape.head_elements, shape.kv_heads * shape.head_elements);
        let mut out = Vec::new();
        for head in 0..shape.heads {
            let first = head / (shape.heads / shape.kv_heads) * width;
            let query = &query[head * width..][..width];
            let element = |rows: &[f16], position: usize, at: usize| {
                rows[position * row + first + at].to_f64()
            };
            let weights: Vec<f64> = (0..past.positions)
                .map(|position| {
                    let dot: f64 = (0..width)
                        .map(|at| f64::from(query[at]) * element(past.keys, position, at))
                        .sum();
                    (dot / (width as f64).sqrt()).exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            out.extend((0..width).map(|at| {
                let weighted = weights.iter().enumerate();
                weighted
                    .map(|(position, weight)| weight / total * element(past.values, position, at))
                    .sum::<f64>()
            }));
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn attention_is_its_definition(
            group in 1usize..4,
            kv_heads in 1usize..4,
            head_elements in prop_oneof![Just(8usize), Just(32), Just(64)],
            lengths in proptest::collection::vec(1usize..40, 1..5),
            values in proptest::collection::vec(-1.0f32..1.0, 4096),
        ) {
            let shape = AttentionShape { heads: group * kv_heads, kv_heads, head_elements };
            let row = kv_heads * head_elements;
            let halves: Vec<f16> = values.iter().cycle().take(40 * row + 13).copied().map(f16::from_f32).collect();
            let past: Vec<Past<'_>> = lengths
                .iter()
                .map(|&positions| Past { keys: &halves[..40 * row], values: &halves[13..], positions })
                .collect();
            let width = shape.heads * head_elements;
            let queries: Vec<f32> = values.iter().cycle().skip(5).take(past.len() * width).map(|x| x * 3.0).collect();
            for level in [Level::scalar(), Level::best()] {
                let mut out = vec![f32::NAN; queries.len()];
                Kernels::with_level(2, level).attention(shape, &queries, &past, &mut out);
                for (token, past) in past.iter().enumerate() {
                    let expected = exact(shape, &queries[token * width..][..width], past);
                    for (found, expected) in out[token * width..].iter().zip(expected) {
                        prop_assert!((f64::from(*found) - expected).abs() < 1e-5, "{}", level.name());
                    }
                }
            }
        }
    }
}
