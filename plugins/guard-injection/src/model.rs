//! A linear model whose weights are single bytes.
//!
//! The file: `PMI1`, then little-endian f32s: bias, scale; then one i8 for each feature. A score is the logistic of
//! `bias + scale * sum(weight * value)`.

use crate::features::FEATURES;

const MAGIC: &[u8; 4] = b"PMI1";
const HEAD: usize = 12;

/// The weights.
#[derive(Debug)]
pub struct Model {
    bias: f32,
    scale: f32,
    weights: Vec<i8>,
}

impl Model {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let body = bytes
            .strip_prefix(MAGIC)
            .ok_or("it is no file of weights")?;
        if body.len() != HEAD - MAGIC.len() + FEATURES {
            return Err(format!(
                "it has {} bytes, {} are expected: it belongs to another version",
                bytes.len(),
                HEAD + FEATURES
            ));
        }
        let number =
            |at: usize| f32::from_le_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        Ok(Self {
            bias: number(0),
            scale: number(4),
            weights: body[HEAD - MAGIC.len()..]
                .iter()
                .map(|byte| byte.cast_signed())
                .collect(),
        })
    }

    /// The file of trained weights: `FEATURES` of them.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the largest weight is scaled to 127"
    )]
    pub fn write(weights: &[f32], bias: f32) -> Vec<u8> {
        let largest = weights
            .iter()
            .fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
        let scale = (largest / 127.0).max(f32::MIN_POSITIVE);
        let mut bytes = MAGIC.to_vec();
        bytes.extend(bias.to_le_bytes());
        bytes.extend(scale.to_le_bytes());
        bytes.extend(
            weights
                .iter()
                .map(|weight| ((weight / scale).round() as i8).cast_unsigned()),
        );
        bytes
    }

    /// The sum before the logistic, of features by their places.
    #[must_use]
    pub fn logit(&self, features: impl IntoIterator<Item = (usize, f32)>) -> f32 {
        let mut sum = 0.0;
        for (place, value) in features {
            sum += f32::from(self.weights[place]) * value;
        }
        self.bias + self.scale * sum
    }
}

/// From a sum to 0 to 1.
#[must_use]
pub fn logistic(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
