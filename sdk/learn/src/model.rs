//! The model and its file: a line that says what it is, a line of JSON, then a byte for each weight.

use serde::{Deserialize, Serialize};

use crate::features::{FORM_SLOTS, FORM_WEIGHT, Features};
use crate::math::{logit, sigmoid};

/// The first line of a model file.
const FIRST_LINE: &str = "pointsman-routing-model 1";
/// Word slots, as powers of two.
pub(crate) const BITS: std::ops::RangeInclusive<u32> = 8..=20;
/// Bytes of the JSON line.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Points of the calibration: none of the calls to the strong model, 1 %, … all.
pub(crate) const POINTS: usize = 101;

/// Why bytes are no model. Texts are for operators.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Another file, or another version of the format.
    #[error("not a model file of `pointsman train routing`: it does not begin with `{FIRST_LINE}`")]
    Kind,
    /// Its second line.
    #[error("the model's second line is no header: {0}; train it anew")]
    Header(String),
    /// Weights are missing or too many.
    #[error(
        "the model has {found} weights where its header promises {wanted}; it was cut or joined"
    )]
    Weights {
        /// What the header promises.
        wanted: usize,
        /// What is there.
        found: usize,
    },
}

/// What the file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Header {
    /// Word slots are `1 << bits`.
    pub(crate) bits: u32,
    pub(crate) bias: f64,
    /// What a weight of 1 is worth.
    pub(crate) word_scale: f64,
    pub(crate) form_scale: f64,
    /// Rows that it was trained on.
    pub(crate) rows: u64,
    /// Scores at or above which so many per cent of the training rows lie, out of fold; 101 of them, never rising.
    pub(crate) scores: Vec<f64>,
    /// Quality that is kept where those rows go to the strong model, against sending it everything, out of fold.
    pub(crate) kept: Vec<f64>,
}

/// A trained model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub(crate) header: Header,
    /// Of words, then of form tokens.
    pub(crate) weights: Vec<i8>,
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ModelError> {
        let rest = bytes
            .strip_prefix(FIRST_LINE.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"\n"))
            .ok_or(ModelError::Kind)?;
        let end = rest
            .iter()
            .take(HEADER_BYTES_MAX)
            .position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| ModelError::Header("it does not end".to_owned()))?;
        let header: Header = serde_json::from_slice(&rest[..end])
            .map_err(|error| ModelError::Header(error.to_string()))?;
        header
            .check()
            .map_err(|error| ModelError::Header(error.to_owned()))?;
        let weights: Vec<i8> = rest[end + 1..]
            .iter()
            .map(|byte| byte.cast_signed())
            .collect();
        let wanted = (1 << header.bits) + FORM_SLOTS;
        if weights.len() != wanted {
            let found = weights.len();
            return Err(ModelError::Weights { wanted, found });
        }
        Ok(Self { header, weights })
    }

    /// The model file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{FIRST_LINE}\n").into_bytes();
        // Finite numbers and lists of them are JSON.
        bytes.extend(serde_json::to_vec(&self.header).unwrap_or_default());
        bytes.push(b'\n');
        bytes.extend(self.weights.iter().map(|weight| weight.cast_unsigned()));
        bytes
    }

    /// How much speaks for the strong model: the logarithm of the odds that it is right where the weak one is wrong.
    #[must_use]
    pub fn score(&self, text: &str) -> f64 {
        let features = Features::of(text, self.header.bits);
        let sum = |slots: &[u32], offset: usize| -> i64 {
            slots
                .iter()
                .map(|slot| i64::from(self.weights[offset + *slot as usize]))
                .sum()
        };
        // Sums of at most a few thousand bytes: exact in a float.
        let float = |sum: i64| i32::try_from(sum).map_or(0.0, f64::from);
        let words =
            float(sum(&features.words, 0)) * self.header.word_scale * features.word_weight();
        let form = float(sum(&features.form, 1 << self.header.bits)) * self.header.form_scale;
        self.header.bias + words + form * FORM_WEIGHT
    }

    /// A score as a probability.
    #[must_use]
    pub fn probability(score: f64) -> f64 {
        sigmoid(score)
    }

    /// A probability as a score.
    #[must_use]
    pub fn score_of(probability: f64) -> f64 {
        logit(probability)
    }

    /// The least score of requests that go to the strong model where this share of requests like the training rows
    /// shall; 0 to 1.
    #[must_use]
    pub fn score_of_share(&self, share: f64) -> f64 {
        if share <= 0.0 {
            return f64::INFINITY;
        }
        if share >= 1.0 {
            return f64::NEG_INFINITY;
        }
        let point = share * f64::from(u32::try_from(POINTS - 1).unwrap_or(u32::MAX));
        let (below, rest) = (point.floor(), point.fract());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 99"
        )]
        let index = below as usize;
        let scores = &self.header.scores;
        scores[index] + (scores[index + 1] - scores[index]) * rest
    }

    /// The least share of calls to the strong model that keeps this part of its quality on requests like the training
    /// rows.
    #[must_use]
    pub fn share_of_quality(&self, kept: f64) -> f64 {
        let point = self.header.kept.iter().position(|found| *found >= kept);
        let point = point.unwrap_or(POINTS - 1);
        f64::from(u32::try_from(point).unwrap_or(u32::MAX)) / 100.0
    }

    /// Rows that it was trained on.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.header.rows
    }
}

impl Header {
    fn check(&self) -> Result<(), &'static str> {
        if !BITS.contains(&self.bits) {
            return Err("bits is out of range");
        }
        if self.scores.len() != POINTS || self.kept.len() != POINTS {
            return Err("its calibration has not 101 points");
        }
        let scalars = [self.bias, self.word_scale, self.form_scale];
        let mut numbers = scalars.iter().chain(&self.scores).chain(&self.kept);
        if !numbers.all(|number| number.is_finite()) {
            return Err("a number is not finite");
        }
        if !self.scores.is_sorted_by(|one, next| one >= next) {
            return Err("its scores rise");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model() -> Model {
        let header = Header {
            bits: 8,
            bias: -0.5,
            word_scale: 0.01,
            form_scale: 0.02,
            rows: 9,
            scores: (0..101).map(|point| f64::from(50 - point) / 50.0).collect(),
            kept: (0..101).map(|point| f64::from(point) / 100.0).collect(),
        };
        let weights = (0..256 + FORM_SLOTS)
            .map(|slot| i8::try_from(slot % 255).unwrap_or(-100))
            .collect();
        Model { header, weights }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let model = model();
        assert_eq!(Model::parse(&model.to_bytes()).expect("a model"), model);
    }

    #[test]
    fn what_is_no_model_is_refused_with_what_is_wrong() {
        let whole = model().to_bytes();
        let cut = Model::parse(&whole[..whole.len() - 1]).expect_err("cut");
        assert_eq!(
            cut.to_string(),
            "the model has 1279 weights where its header promises 1280; it was cut or joined"
        );
        assert!(matches!(Model::parse(b"{}"), Err(ModelError::Kind)));
        let text = String::from_utf8_lossy(&whole).replace("\"bits\":8", "\"bits\":40");
        let error = Model::parse(text.as_bytes()).expect_err("40 bits");
        assert!(
            error.to_string().contains("bits is out of range"),
            "{error}"
        );
    }

    #[test]
    fn shares_lie_between_the_points_of_the_calibration() {
        let model = model();
        assert!((model.score_of_share(0.25) - 0.5).abs() < 1e-12);
        assert!((model.score_of_share(0.255) - 0.49).abs() < 1e-12);
        assert_eq!(model.score_of_share(0.0), f64::INFINITY);
        assert_eq!(model.score_of_share(1.0), f64::NEG_INFINITY);
        assert!((model.share_of_quality(0.95) - 0.95).abs() < 1e-12);
        assert!((model.share_of_quality(2.0) - 1.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut file = format!("{FIRST_LINE}\n").into_bytes();
            file.extend(&bytes);
            let _ = (Model::parse(&bytes).is_ok(), Model::parse(&file).is_ok());
        }
    }
}
