//! The price catalogue: `prices.jsonl`, one model a line, US dollars per million tokens.
//!
//! Promises: decimals are read exactly, to whole pico-dollars a token, or refused with their line; each rate carries
//! source and date; what a row charges under a name that is not known here refuses the file. A price of zero means
//! free only where the row charges nothing at all; beside other prices it means that nobody knows, and the unit has no
//! rate. Refuses to know: which target uses which key, discounts, other currencies.
//!
//! Batch, priority, flexible and one-hour cache-write prices are read and not used: no meter tells them apart.

mod decimal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pointsman_domain::usage::{
    AUDIO_INPUT_TOKENS, AUDIO_OUTPUT_TOKENS, CACHE_WRITE_TOKENS, CACHED_INPUT_TOKENS, INPUT_TOKENS,
    OUTPUT_TOKENS, REASONING_TOKENS, Rate,
};
use pointsman_domain::{Attribute, Digest};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::digest;
use crate::document::{self, DocumentError};
use crate::nearest::did_you_mean;

/// Prices that a meter of ours has a unit for.
const METERED: [(&str, &str); 7] = [
    ("in", INPUT_TOKENS),
    ("out", OUTPUT_TOKENS),
    ("reasoning_out", REASONING_TOKENS),
    ("cache_read", CACHED_INPUT_TOKENS),
    ("cache_write", CACHE_WRITE_TOKENS),
    ("audio_in", AUDIO_INPUT_TOKENS),
    ("audio_out", AUDIO_OUTPUT_TOKENS),
];
/// Prices of ways to call that are not metered apart.
const UNMETERED: [&str; 7] = [
    "cache_write_1h",
    "batch_in",
    "batch_out",
    "priority_in",
    "priority_out",
    "flex_in",
    "flex_out",
];
/// The key of a tier's border.
const ABOVE: &str = "above_input_tokens";
/// Tiers of a row.
const TIERS_MAX: usize = 16;

/// All prices in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    rates: BTreeMap<String, Vec<Rate>>,
}

type Prices = BTreeMap<String, Box<RawValue>>;

/// A line as it is written. What is not about money is known, so that a slip in a key is noticed, and not kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "known keys that are not about money")]
struct Row {
    provider: String,
    model: String,
    usd_per_mtok: Prices,
    #[serde(default)]
    tiers: Vec<Prices>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    date: Option<String>,
    #[serde(default)]
    litellm_provider: IgnoredAny,
    #[serde(default)]
    context: IgnoredAny,
    #[serde(default)]
    max_output: IgnoredAny,
    #[serde(default)]
    cache_min_tokens: IgnoredAny,
    #[serde(default)]
    caps: IgnoredAny,
    #[serde(default)]
    deprecation: IgnoredAny,
}

impl Catalogue {
    /// Reads a catalogue; `name` is what errors call it, and the source of rows that name none.
    ///
    /// # Errors
    /// A line that is no row, a price that is no whole number of pico-dollars a token, an unknown price, a model twice.
    pub fn parse(name: &str, text: &str) -> Result<Self, DocumentError> {
        let rows: Vec<(usize, Row)> = document::parse_lines(name, text)?;
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for (line, row) in &rows {
            if let Some(earlier) = lines.insert(row.literal_key(), *line) {
                let message = format!(
                    "`{}` is there twice: first in line {earlier}",
                    row.literal_key()
                );
                return Err(DocumentError::at_line(name, text, *line, &message));
            }
        }
        let mut rates = BTreeMap::new();
        for (line, row) in &rows {
            let found = row
                .rates(name)
                .map_err(|message| DocumentError::at_line(name, text, *line, &message))?;
            // Many models are named with their provider already; such a key is short unless it means another row.
            let named = row
                .model
                .strip_prefix(&row.provider)
                .is_some_and(|rest| rest.starts_with('/'));
            let short = named && !lines.contains_key(&row.model);
            rates.insert(
                if short {
                    row.model.clone()
                } else {
                    row.literal_key()
                },
                found,
            );
        }
        Ok(Self { rates })
    }

    /// The rates of a key, `provider/model`; none where the catalogue does not know it, empty where it knows no price.
    #[must_use]
    pub fn rates(&self, key: &str) -> Option<&[Rate]> {
        self.rates.get(key).map(Vec::as_slice)
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.rates.keys().map(String::as_str)
    }

    /// How many models it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rates.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty()
    }

    /// The catalogue's identity: equal rates, sources and dates have equal digests, whatever their order in the file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest::of("prices", &self.rates)
    }
}

impl Row {
    fn literal_key(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }

    fn rates(&self, file: &str) -> Result<Vec<Rate>, String> {
        if self.provider.is_empty() || self.model.is_empty() {
            return Err("`provider` and `model` must not be empty".to_owned());
        }
        if self.tiers.len() > TIERS_MAX {
            return Err(format!("more than {TIERS_MAX} tiers"));
        }
        let mut tiers = vec![(0, read(&self.usd_per_mtok)?)];
        for tier in &self.tiers {
            let border = border(tier)?;
            if tiers.iter().any(|(known, _)| *known == border) {
                return Err(format!("two tiers above {border} input tokens"));
            }
            tiers.push((border, read(tier)?));
        }
        let charges = tiers
            .iter()
            .flat_map(|(_, prices)| prices)
            .any(|(_, pico_usd)| *pico_usd > 0);
        let mut rates = Vec::new();
        for (above_input_tokens, prices) in &tiers {
            for (key, unit) in METERED {
                let Some(&pico_usd) = prices.get(key) else {
                    continue;
                };
                if pico_usd > 0 || self.zero_is_free(key, charges) {
                    rates.push(Rate {
                        unit: unit.to_owned(),
                        pico_usd,
                        above_input_tokens: *above_input_tokens,
                        attributes: self.attributes(file),
                    });
                }
            }
        }
        Ok(rates)
    }

    /// Rerankers charge a query, which stands in no column: their zeros say nothing. Embeddings have no output.
    fn zero_is_free(&self, key: &str, charges: bool) -> bool {
        match self.mode.as_deref() {
            Some("rerank") => false,
            Some("embedding") if key == "out" => true,
            _ => !charges,
        }
    }

    fn attributes(&self, file: &str) -> Vec<Attribute> {
        let attribute = |key: &str, text: &str| Attribute {
            key: key.to_owned(),
            value: text.into(),
        };
        let mut attributes = vec![attribute("source", self.source.as_deref().unwrap_or(file))];
        attributes.extend(self.date.as_deref().map(|date| attribute("date", date)));
        attributes
    }
}

/// Every price of a tier in pico-dollars a unit.
fn read(prices: &Prices) -> Result<BTreeMap<&str, i64>, String> {
    let mut read = BTreeMap::new();
    for (key, raw) in prices {
        let metered = METERED.iter().any(|(known, _)| known == key);
        if metered || UNMETERED.contains(&key.as_str()) {
            let pico_usd =
                decimal::pico_usd(raw.get()).map_err(|error| format!("`{key}`: {error}"))?;
            read.insert(key.as_str(), pico_usd);
        } else if key != ABOVE {
            let known = METERED.iter().map(|(known, _)| *known).chain(UNMETERED);
            let help = did_you_mean(key, known.clone())
                .unwrap_or_else(|| format!("known: {}", known.collect::<Vec<_>>().join(", ")));
            return Err(format!(
                "unknown price `{key}`, which nothing would charge: {help}"
            ));
        }
    }
    Ok(read)
}

fn border(tier: &Prices) -> Result<u64, String> {
    let border = tier
        .get(ABOVE)
        .and_then(|raw| raw.get().parse().ok())
        .filter(|border| *border > 0);
    border.ok_or_else(|| format!("a tier needs `{ABOVE}`, a whole number above 0"))
}
