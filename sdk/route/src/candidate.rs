//! A candidate: whether it can do the job, and what it is expected to cost.

use std::cmp::Ordering;

use pointsman_sdk::{Pool, Value};

use crate::misfit::Misfit;
use crate::need::Need;

/// Columns that matter to a router, besides those that say who can do the job.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reads {
    /// Input and output prices.
    pub prices: bool,
    /// Quality.
    pub quality: bool,
}

/// One candidate's row.
#[derive(Debug)]
pub struct Candidate {
    /// Its place in the pool.
    pub row: usize,
    /// The target's name.
    pub name: String,
    /// Whether it is not known to be ill.
    pub healthy: bool,
    /// Pico-dollars per input and per output token; none where either is unknown or negative.
    pub price: Option<(i64, i64)>,
    /// What the policy says of its quality.
    pub quality: Option<f64>,
    capabilities: Vec<String>,
    context_tokens: Option<i64>,
    max_output_tokens: Option<i64>,
}

impl Candidate {
    /// All candidates, in the policy's order.
    pub(crate) fn read(pool: &dyn Pool, reads: Reads, need: &Need) -> Vec<Self> {
        let integers = |wanted: bool, key: &str| {
            let column = wanted.then(|| pool.integers(key));
            column.into_iter().flatten()
        };
        let mut healthy = pool.flags("healthy").into_iter();
        let mut input = integers(reads.prices, "price-input-pico-usd");
        let mut output = integers(reads.prices, "price-output-pico-usd");
        let mut capabilities = pool.column("capabilities").into_iter();
        let mut context = integers(true, "context-tokens");
        let mut most = integers(need.asked_tokens.is_some(), "max-output-tokens");
        let quality = reads.quality.then(|| pool.numbers("quality"));
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
            })
            .collect()
    }

    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }

    /// Why it cannot do the job; none where it can.
    pub(crate) fn misfit(&self, need: &Need) -> Option<Misfit> {
        let lacks = |capability: &String| !self.can(capability);
        let below = |room: Option<i64>, wanted: i64| room.is_some_and(|room| room < wanted);
        let wanted = need.input_tokens.saturating_add(need.room_tokens);
        let asked = need.asked_tokens;
        if need.capabilities.iter().any(lacks) {
            Some(Misfit::Capability)
        } else if below(self.context_tokens, wanted) {
            Some(Misfit::Context)
        } else if asked.is_some_and(|asked| below(self.max_output_tokens, asked)) {
            Some(Misfit::Output)
        } else {
            None
        }
    }

    /// Expected cost in pico-dollars, exactly.
    #[must_use]
    pub fn cost(&self, need: &Need) -> Option<i128> {
        let (input, output) = self.price?;
        let input = i128::from(need.input_tokens) * i128::from(input);
        // Choices, tokens and price together may pass 128 bits; such a cost only has to stay the greatest.
        let output = need.output_tokens.saturating_mul(i128::from(output));
        Some(input.saturating_add(output))
    }

    /// Healthy before ill.
    #[must_use]
    pub fn by_health(&self, other: &Self) -> Ordering {
        other.healthy.cmp(&self.healthy)
    }

    /// Priced before unpriced, cheap before dear.
    #[must_use]
    pub fn by_cost(&self, other: &Self, need: &Need) -> Ordering {
        match (self.cost(need), other.cost(need)) {
            (Some(one), Some(other)) => one.cmp(&other),
            (one, other) => other.is_some().cmp(&one.is_some()),
        }
    }
}

fn texts(value: Value) -> Vec<String> {
    match value {
        Value::Texts(texts) => texts,
        Value::Text(_) | Value::Integer(_) | Value::Number(_) | Value::Flag(_) => Vec::new(),
    }
}
