//! A candidate: whether it can do the job, and what it is expected to cost.

use std::cmp::Ordering;

use pointsman_sdk::{Pool, Value};

use crate::misfit::Misfit;
use crate::need::Need;

/// Columns that matter to a router, besides those that say who can do the job.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reads<'a> {
    /// Input and output prices.
    pub prices: bool,
    /// Quality.
    pub quality: bool,
    /// Columns of numbers.
    pub numbers: &'a [&'a str],
}

type Cells = std::vec::IntoIter<Option<Value>>;

fn cell(column: &mut Cells) -> Option<Value> {
    column.next().flatten()
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
    /// The numbers that were asked for, in that order.
    pub numbers: Vec<Option<f64>>,
    capabilities: Vec<String>,
    context_tokens: Option<i64>,
    max_output_tokens: Option<i64>,
}

impl Candidate {
    /// All candidates, in the policy's order.
    pub(crate) fn read(pool: &dyn Pool, reads: Reads<'_>, need: &Need) -> Vec<Self> {
        let asks = need.asked_tokens.is_some();
        let kinds = [
            (true, "healthy"),
            (true, "capabilities"),
            (true, "context-tokens"),
            (reads.prices, "price-input-pico-usd"),
            (reads.prices, "price-output-pico-usd"),
            (asks, "max-output-tokens"),
            (reads.quality, "quality"),
        ];
        let wanted = kinds.iter().filter(|(wanted, _)| *wanted);
        let mut keys: Vec<&str> = wanted.map(|(_, key)| *key).collect();
        keys.extend(reads.numbers);
        let mut columns = pool.columns(&keys).into_iter();
        let mut column = |wanted: bool| {
            let column = if wanted { columns.next() } else { None };
            column.unwrap_or_default().into_iter()
        };
        let [mut healthy, mut capabilities, mut context] = [true; 3].map(&mut column);
        let [mut input, mut output] = [reads.prices; 2].map(&mut column);
        let [mut most, mut quality] = [asks, reads.quality].map(&mut column);
        let mut numbers: Vec<_> = reads.numbers.iter().map(|_| column(true)).collect();
        let integer = |column: &mut Cells| cell(column).and_then(|value| value.as_integer());
        let number = |column: &mut Cells| cell(column).and_then(|value| value.as_number());
        pool.names()
            .into_iter()
            .enumerate()
            .map(|(row, name)| Self {
                row,
                name,
                // What is not known to be ill is healthy.
                healthy: cell(&mut healthy).and_then(|value| value.as_flag()) != Some(false),
                price: integer(&mut input)
                    .zip(integer(&mut output))
                    .filter(|(input, output)| *input >= 0 && *output >= 0),
                capabilities: cell(&mut capabilities).map_or_else(Vec::new, texts),
                context_tokens: integer(&mut context),
                max_output_tokens: integer(&mut most),
                quality: number(&mut quality),
                numbers: numbers.iter_mut().map(number).collect(),
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
