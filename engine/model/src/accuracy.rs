//! How far the engine is from a reference implementation: divergence per token, and greedy answers.
//!
//! The reference is made by `engine/model/reference/generate.py` with another implementation in fp32 and lies beside it.
//! Used by the accuracy test and by `pointsman-engine kl`, so that both measure the same thing.

use std::path::Path;

use pointsman_kernels::Kernels;
use serde::Deserialize;

use crate::{Batch, ForwardError, KvCache, Model, Sampler, Sampling, Specials};

/// Tokens of one step while measuring.
const STEP_TOKENS: usize = 64;

/// Why a reference cannot be used. Completes "failed to measure: ...".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccuracyError {
    /// A file is missing or unreadable.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The description does not parse.
    #[error("reference.json is not a reference")]
    Parse(#[source] serde_json::Error),
    /// The two files contradict each other.
    #[error("reference.bin is {found} bytes where {expected} are described")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// Too many tokens for the model.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

/// The reference as it lies on disk.
#[derive(Debug)]
pub struct Reference {
    header: Header,
    /// `top` u16 token numbers, `top` f32 log-probabilities, one f32 tail mass, per position, little-endian.
    rows: Vec<u8>,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Header {
    model_sha256: String,
    text: String,
    top: usize,
    tokens: Vec<u32>,
    answer_tokens_max: usize,
    answers: Vec<Answer>,
}

/// A greedy answer of the reference.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// What was asked.
    pub prompt: String,
    /// The rendered prompt as tokens.
    pub prompt_tokens: Vec<u32>,
    /// The answer, its end token included.
    pub tokens: Vec<u32>,
    /// The answer as text.
    pub text: String,
}

/// Divergence from the reference, in nats per token: KL(reference || engine).
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Tokens measured.
    pub tokens: usize,
    /// Mean.
    pub mean: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
    /// Share of positions whose likeliest token is the reference's.
    pub same_top: f64,
}

impl Reference {
    /// Reads `reference.json`, `reference.bin` and the text from a folder.
    pub fn read(folder: &Path) -> Result<Self, AccuracyError> {
        let failed = |name: &str, source| AccuracyError::Read {
            path: folder.join(name).display().to_string(),
            source,
        };
        let read =
            |name: &str| std::fs::read(folder.join(name)).map_err(|error| failed(name, error));
        let header: Header =
            serde_json::from_slice(&read("reference.json")?).map_err(AccuracyError::Parse)?;
        let text = std::fs::read_to_string(folder.join(&header.text))
            .map_err(|error| failed(&header.text, error))?;
        let rows = read("reference.bin")?;
        let expected = header.tokens.len() * header.row_bytes();
        if rows.len() != expected {
            return Err(AccuracyError::Length {
                found: rows.len(),
                expected,
            });
        }
        Ok(Self { header, rows, text })
    }

    /// The text that was run.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its tokens by the reference's tokenizer.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.header.tokens
    }

    /// The greedy answers.
    #[must_use]
    pub fn answers(&self) -> &[Answer] {
        &self.header.answers
    }

    /// Hex SHA-256 of the model file the reference was made from.
    #[must_use]
    pub fn model_sha256(&self) -> &str {
        &self.header.model_sha256
    }

    /// Runs the reference's tokens through `model` and compares every next-token distribution.
    pub fn divergence(
        &self,
        model: &Model,
        kernels: &Kernels,
    ) -> Result<Divergence, AccuracyError> {
        let tokens = &self.header.tokens;
        let mut cache = KvCache::new(model.config(), 1, tokens.len());
        let slot = cache.open().ok_or(ForwardError::Slot)?;
        let mut rows = self.rows.chunks_exact(self.header.row_bytes());
        let (mut found, mut same_top) = (Vec::new(), 0usize);
        let positions: Vec<u32> = (0..tokens.len() as u32).collect();
        for (tokens, positions) in tokens
            .chunks(STEP_TOKENS)
            .zip(positions.chunks(STEP_TOKENS))
        {
            let logits = model.forward(
                kernels,
                &mut cache,
                &Batch {
                    tokens,
                    positions,
                    sequences: &vec![slot; tokens.len()],
                    logit_rows: &(0..tokens.len()).collect::<Vec<_>>(),
                },
            )?;
            for (logits, row) in logits.rows().zip(&mut rows) {
                let (divergence, same) = self.header.compare(row, logits);
                found.push(divergence);
                same_top += usize::from(same);
            }
        }
        found.sort_by(f64::total_cmp);
        let count = found.len().max(1);
        let p99 = (count * 99).div_ceil(100) - 1;
        Ok(Divergence {
            tokens: found.len(),
            mean: found.iter().sum::<f64>() / count as f64,
            p99: found.get(p99).copied().unwrap_or(f64::NAN),
            max: found.last().copied().unwrap_or(f64::NAN),
            same_top: same_top as f64 / count as f64,
        })
    }

    /// The engine's own greedy tokens for a prompt of the reference, at most as many as the reference made.
    pub fn answer(
        &self,
        model: &Model,
        kernels: &Kernels,
        prompt_tokens: &[u32],
    ) -> Result<Vec<u32>, AccuracyError> {
        greedy(model, kernels, prompt_tokens, self.header.answer_tokens_max)
    }
}

impl Header {
    fn row_bytes(&self) -> usize {
        self.top * (size_of::<u16>() + size_of::<f32>()) + size_of::<f32>()
    }

    /// The tail counts as one more outcome: what lies beyond the reference's top tokens, together.
    fn compare(&self, row: &[u8], logits: &[f32]) -> (f64, bool) {
        let (tokens, rest) = row.split_at(self.top * size_of::<u16>());
        let mut floats = rest
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = logits
            .iter()
            .map(|logit| f64::from(logit - highest).exp())
            .sum();
        let normaliser = f64::from(highest) + total.ln();
        let (mut divergence, mut covered, mut same_top) = (0.0, 0.0, false);
        for (number, bytes) in tokens.as_chunks().0.iter().enumerate() {
            let expected = floats.next().unwrap_or(f64::NEG_INFINITY);
            let logit = logits
                .get(usize::from(u16::from_le_bytes(*bytes)))
                .copied()
                .unwrap_or(f32::NAN);
            let ours = f64::from(logit) - normaliser;
            divergence += expected.exp() * (expected - ours);
            covered += ours.exp();
            same_top |= number == 0 && logit == highest;
        }
        let tail = floats.next().unwrap_or_default();
        if tail > 0.0 {
            divergence += tail * (tail.ln() - (1.0 - covered).max(f64::MIN_POSITIVE).ln());
        }
        (divergence, same_top)
    }
}

/// Greedy tokens after `prompt`, up to and with the end token, at most `tokens_max`.
pub fn greedy(
    model: &Model,
    kernels: &Kernels,
    prompt: &[u32],
    tokens_max: usize,
) -> Result<Vec<u32>, AccuracyError> {
    let mut cache = KvCache::new(model.config(), 1, prompt.len() + tokens_max);
    let slot = cache.open().ok_or(ForwardError::Slot)?;
    let mut sampler = Sampler::new(Sampling {
        temperature: 0.0,
        top_p: 1.0,
        seed: 0,
    });
    let (mut answer, mut next) = (Vec::new(), prompt.to_vec());
    while answer.len() < tokens_max {
        let from = cache.tokens(slot).unwrap_or_default() as u32;
        let positions: Vec<u32> = (from..).take(next.len()).collect();
        let batch = Batch {
            tokens: &next,
            positions: &positions,
            sequences: &vec![slot; next.len()],
            logit_rows: &[next.len().saturating_sub(1)],
        };
        let logits = model.forward(kernels, &mut cache, &batch)?;
        let Some(row) = logits.rows().next() else {
            break;
        };
        let token = sampler.pick(row);
        answer.push(token);
        if token == model.tokenizer().end() {
            break;
        }
        next = vec![token];
    }
    Ok(answer)
}

/// The tokens of a rendered prompt, as the engine feeds them to the model.
#[must_use]
pub fn prompt_tokens(model: &Model, prompt: &str) -> Vec<u32> {
    let tokenizer = model.tokenizer();
    let mut tokens: Vec<u32> = tokenizer.begin_added().into_iter().collect();
    tokens.extend(tokenizer.encode(prompt, Specials::Parse));
    tokens
}
