//! A candidate: whether it fits, what it is expected to cost, and which of two is tried first.

use std::cmp::Ordering;
use std::fmt;

use pointsman_sdk::{Pool, Value};

use crate::need::Need;
use crate::{Config, Unpriced};

/// One candidate's row.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// Its place in the pool.
    row: usize,
    pub(crate) name: String,
    pub(crate) healthy: bool,
    /// Pico-dollars per input and per output token; none where either is unknown or negative.
    pub(crate) price: Option<(i64, i64)>,
    capabilities: Vec<String>,
    context_tokens: Option<i64>,
    max_output_tokens: Option<i64>,
    quality: Option<f64>,
    ttft_ms: Option<f64>,
}

impl Candidate {
    /// All candidates, in the policy's order. A column is copied and recorded, so only those are read that matter here.
    pub(crate) fn read(pool: &dyn Pool, config: &Config, need: &Need) -> Vec<Self> {
        let mut healthy = pool.flags("healthy").into_iter();
        let mut input = pool.integers("price-input-pico-usd").into_iter();
        let mut output = pool.integers("price-output-pico-usd").into_iter();
        let mut capabilities = pool.column("capabilities").into_iter();
        let mut context = pool.integers("context-tokens").into_iter();
        let most = need
            .asked_tokens
            .map(|_| pool.integers("max-output-tokens"));
        let mut most = most.into_iter().flatten();
        let quality = config.quality_min.map(|_| pool.numbers("quality"));
        let mut quality = quality.into_iter().flatten();
        pool.names()
            .into_iter()
            .enumerate()
            .map(|(row, name)| Self {
                row,
                name,
                // What is not known to be ill is healthy.
                healthy: healthy.next().flatten() != Some(false),
                price: input
                    .next()
                    .flatten()
                    .zip(output.next().flatten())
                    .filter(|(input, output)| *input >= 0 && *output >= 0),
                capabilities: capabilities.next().flatten().map_or_else(Vec::new, texts),
                context_tokens: context.next().flatten(),
                max_output_tokens: most.next().flatten(),
                quality: quality.next().flatten(),
                ttft_ms: None,
            })
            .collect()
    }

    /// How quick they are: asked only where it breaks a tie.
    pub(crate) fn read_ttft(pool: &dyn Pool, candidates: &mut [Self]) {
        let ttft = pool.numbers("ttft-p50-ms");
        for candidate in candidates {
            candidate.ttft_ms = ttft.get(candidate.row).copied().flatten();
        }
    }

    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }

    /// Expected cost in pico-dollars, exactly.
    pub(crate) fn cost(&self, need: &Need) -> Option<i128> {
        let (input, output) = self.price?;
        let input = i128::from(need.input_tokens) * i128::from(input);
        // Choices, tokens and price together may pass 128 bits; such a cost only has to stay the greatest.
        let output = need.output_tokens.saturating_mul(i128::from(output));
        Some(input.saturating_add(output))
    }

    /// Healthy before ill, priced before unpriced, cheap before dear, quick before slow, known before unknown.
    pub(crate) fn order(&self, other: &Self, need: &Need) -> Ordering {
        let known = |ttft: Option<f64>| ttft.unwrap_or(f64::INFINITY);
        other
            .healthy
            .cmp(&self.healthy)
            .then_with(|| match (self.cost(need), other.cost(need)) {
                (Some(one), Some(other)) => one.cmp(&other),
                (one, other) => other.is_some().cmp(&one.is_some()),
            })
            .then_with(|| known(self.ttft_ms).total_cmp(&known(other.ttft_ms)))
    }
}

fn texts(value: Value) -> Vec<String> {
    match value {
        Value::Texts(texts) => texts,
        Value::Text(_) | Value::Integer(_) | Value::Number(_) | Value::Flag(_) => Vec::new(),
    }
}

/// How many candidates do not fit, by the first reason found. Counts only: it stands in the decision's record.
#[derive(Debug, Default)]
pub(crate) struct Misfits {
    candidates: u32,
    capabilities: u32,
    context: u32,
    output: u32,
    quality: u32,
    price: u32,
}

impl Misfits {
    /// Whether a candidate fits; counts it.
    pub(crate) fn fits(&mut self, candidate: &Candidate, need: &Need, config: &Config) -> bool {
        self.candidates += 1;
        let wanted = need.input_tokens.saturating_add(need.room_tokens);
        let lacks = |capability: &String| !candidate.can(capability);
        let below = |room: Option<i64>, wanted: i64| room.is_some_and(|room| room < wanted);
        let poor = |least: f64| candidate.quality.is_none_or(|quality| quality < least);
        let reason = if need.capabilities.iter().any(lacks) {
            &mut self.capabilities
        } else if below(candidate.context_tokens, wanted) {
            &mut self.context
        } else if need
            .asked_tokens
            .is_some_and(|asked| below(candidate.max_output_tokens, asked))
        {
            &mut self.output
        } else if config.quality_min.is_some_and(poor) {
            &mut self.quality
        } else if candidate.price.is_none() && config.unpriced == Unpriced::Skip {
            &mut self.price
        } else {
            return true;
        };
        *reason += 1;
        false
    }
}

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.capabilities, "lack a capability"),
            (self.context, "have too small a context"),
            (self.output, "write less than is asked"),
            (self.quality, "are below quality-min"),
            (self.price, "have no price"),
        ];
        let misfits: u32 = reasons.iter().map(|(count, _)| count).sum();
        let fitting = self.candidates - misfits;
        write!(f, "{fitting} of {} candidates fit", self.candidates)?;
        for (count, reason) in reasons.iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {reason}")?;
        }
        Ok(())
    }
}
