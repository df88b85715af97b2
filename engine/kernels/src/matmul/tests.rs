//! The SIMD paths equal the scalar one within rounding, and a token alone equals the token in a batch exactly.

use half::f16;
use proptest::prelude::*;

use crate::{BLOCK_ELEMENTS, Kernels, Level, WeightFormat, Weights};

const FORMATS: [WeightFormat; 5] = [
    WeightFormat::F32,
    WeightFormat::F16,
    WeightFormat::Q4_0,
    WeightFormat::Q4_1,
    WeightFormat::Q8_0,
];

/// A small deterministic source: the case's seed decides everything.
struct Source(u64);

impl Source {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn float(&mut self) -> f32 {
        (self.next() % 2001) as f32 / 1000.0 - 1.0
    }
}

/// Random but finite weights of a format.
fn weight_bytes(format: WeightFormat, blocks: usize, source: &mut Source) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..blocks {
        let half = |source: &mut Source| f16::from_f32(source.float()).to_le_bytes();
        match format {
            WeightFormat::F32 => {
                (0..BLOCK_ELEMENTS).for_each(|_| bytes.extend(source.float().to_le_bytes()));
            }
            WeightFormat::F16 => (0..BLOCK_ELEMENTS).for_each(|_| bytes.extend(half(source))),
            WeightFormat::Q4_0 | WeightFormat::Q8_0 => bytes.extend(half(source)),
            WeightFormat::Q4_1 => bytes.extend([half(source), half(source)].concat()),
        }
        let packed = match format {
            WeightFormat::F32 | WeightFormat::F16 => 0,
            WeightFormat::Q4_0 | WeightFormat::Q4_1 => 16,
            WeightFormat::Q8_0 => 32,
        };
        (0..packed).for_each(|_| bytes.push(source.next() as u8));
    }
    bytes
}

fn product(kernels: &Kernels, weights: Weights<'_>, input: &[f32]) -> Vec<f32> {
    let tokens = input.len() / weights.columns();
    let mut out = vec![f32::NAN; tokens * weights.rows()];
    kernels.matmul(input, &mut [(weights, &mut out)]);
    out
}

/// In f64, with the sum of magnitudes that bounds what rounding may do.
fn exact(weights: Weights<'_>, input: &[f32]) -> Vec<(f64, f64)> {
    let mut row_values = vec![0.0; weights.columns()];
    let mut out = vec![(0.0, 0.0); input.len() / weights.columns() * weights.rows()];
    for row in 0..weights.rows() {
        weights.row_values(row, &mut row_values);
        for (token, input) in input.chunks_exact(weights.columns()).enumerate() {
            let terms = || {
                row_values
                    .iter()
                    .zip(input)
                    .map(|(w, x)| f64::from(*w) * f64::from(*x))
            };
            out[token * weights.rows() + row] = (terms().sum(), terms().map(f64::abs).sum());
        }
    }
    out
}

fn check(format: WeightFormat, rows: usize, blocks: usize, tokens: usize, seed: u64) {
    let mut source = Source(seed);
    let bytes = weight_bytes(format, rows * blocks, &mut source);
    let columns = blocks * BLOCK_ELEMENTS;
    let weights = Weights::new(format, rows, columns, &bytes).expect("a fitting shape");
    let input: Vec<f32> = (0..tokens * columns).map(|_| source.float()).collect();
    let expected = exact(weights, &input);
    for level in [Level::scalar(), Level::best()] {
        let kernels = Kernels::with_level(2, level);
        let found = product(&kernels, weights, &input);
        for (at, (found, (expected, magnitude))) in found.iter().zip(&expected).enumerate() {
            let bound = 1e-6 * (columns as f64).sqrt() * magnitude + 1e-6;
            assert!(
                (f64::from(*found) - expected).abs() <= bound,
                "{} {format:?} output {at}: {found} instead of {expected}, allowed {bound}",
                level.name(),
            );
        }
        let alone: Vec<f32> = (0..tokens)
            .flat_map(|token| product(&kernels, weights, &input[token * columns..][..columns]))
            .collect();
        assert_eq!(
            alone,
            found,
            "{} {format:?}: batched differs from alone",
            level.name()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn products_are_right_and_batch_invariant(
        rows in 1usize..40,
        blocks in 1usize..20,
        tokens in 1usize..9,
        seed in any::<u64>(),
    ) {
        for format in FORMATS {
            check(format, rows, blocks, tokens, seed);
        }
    }
}

#[test]
fn several_products_share_one_input() {
    let mut source = Source(7);
    let first = weight_bytes(WeightFormat::Q4_1, 70 * 2, &mut source);
    let second = weight_bytes(WeightFormat::Q8_0, 9 * 2, &mut source);
    let first = Weights::new(WeightFormat::Q4_1, 70, 64, &first).expect("fits");
    let second = Weights::new(WeightFormat::Q8_0, 9, 64, &second).expect("fits");
    let input: Vec<f32> = (0..5 * 64).map(|_| source.float()).collect();
    let kernels = Kernels::new(2);
    let (mut one, mut two) = (vec![0.0; 5 * 70], vec![0.0; 5 * 9]);
    kernels.matmul(&input, &mut [(first, &mut one), (second, &mut two)]);
    assert_eq!(one, product(&kernels, first, &input));
    assert_eq!(two, product(&kernels, second, &input));
}
