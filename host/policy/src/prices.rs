//! The price catalogue: `prices.jsonl`, one model a line, US dollars per million tokens.
//!
//! Promises: decimals are read exactly, to whole pico-dollars a token, or refused with their line; each rate carries
//! source and date; what a row charges under a name that is not known here refuses the file. A price of zero means
//! free only where the row charges nothing at all; beside other prices it means that nobody knows, and the unit has no
//! rate. What a service tier costs (batch, flexible, priority) is kept apart from the standard rates, so that nobody
//! who does not ask for it takes it for one. Refuses to know: which target uses which key, discounts, other currencies.
//!
//! One-hour cache-write prices are read and not used: no meter tells them apart.

mod decimal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pointsman_domain::usage::{
    AUDIO_INPUT_TOKENS, AUDIO_OUTPUT_TOKENS, CACHE_WRITE_TOKENS, CACHED_INPUT_TOKENS, INPUT_TOKENS,
    OUTPUT_TOKENS, REASONING_TOKENS, Rate, SERVICE_TIER,
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
/// Service tiers and what they charge; a unit that is not named has no rate of the tier.
const SERVICES: [(&str, [(&str, &str); 2]); 3] = [
    (
        "batch",
        [("batch_in", INPUT_TOKENS), ("batch_out", OUTPUT_TOKENS)],
    ),
    (
        "flex",
        [("flex_in", INPUT_TOKENS), ("flex_out", OUTPUT_TOKENS)],
    ),
    (
        "priority",
        [
            ("priority_in", INPUT_TOKENS),
            ("priority_out", OUTPUT_TOKENS),
        ],
    ),
];
/// Prices of what is not metered apart.
const UNMETERED: [&str; 1] = ["cache_write_1h"];
/// The key of a tier's border.
const ABOVE: &str = "above_input_tokens";
/// Tiers of a row.
const TIERS_MAX: usize = 16;

/// All prices in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    rates: BTreeMap<String, Vec<Rate>>,
    /// By key and service tier; never empty ones.
    services: BTreeMap<String, Services>,
}

type Prices = BTreeMap<String, Box<RawValue>>;
type Services = BTreeMap<&'static str, Vec<Rate>>;

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
        let mut catalogue = Self::default();
        for (line, row) in &rows {
            let (rates, services) = row
                .rates(name)
                .map_err(|message| DocumentError::at_line(name, text, *line, &message))?;
            // Many models are named with their provider already; such a key is short unless it means another row.
            let named = row
                .model
                .strip_prefix(&row.provider)
                .is_some_and(|rest| rest.starts_with('/'));
            let short = named && !lines.contains_key(&row.model);
            let key = if short {
                row.model.clone()
            } else {
                row.literal_key()
            };
            if !services.is_empty() {
                catalogue.services.insert(key.clone(), services);
            }
            catalogue.rates.insert(key, rates);
        }
        Ok(catalogue)
    }

    /// The rates of a key, `provider/model`; none where the catalogue does not know it, empty where it knows no price.
    #[must_use]
    pub fn rates(&self, key: &str) -> Option<&[Rate]> {
        self.rates.get(key).map(Vec::as_slice)
    }

    /// The rates of a key in each service tier that it prices apart: `batch`, `flex`, `priority`.
    pub fn services(&self, key: &str) -> impl Iterator<Item = (&'static str, &[Rate])> {
        let services = self.services.get(key).into_iter().flatten();
        services.map(|(tier, rates)| (*tier, rates.as_slice()))
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
        // A catalogue without service tiers has the digest that it had before there were any.
        if self.services.is_empty() {
            return digest::of("prices", &self.rates);
        }
        digest::of("prices", &(&self.rates, &self.services))
    }
}

impl Row {
    fn literal_key(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }

    /// The standard rates, and those of each service tier.
    fn rates(&self, file: &str) -> Result<(Vec<Rate>, Services), String> {
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
        let attributes = self.attributes(file);
        let of = |keys: &[(&str, &str)], attributes: &[Attribute]| {
            let mut rates = Vec::new();
            for (above_input_tokens, prices) in &tiers {
                for (key, unit) in keys {
                    let Some(&pico_usd) = prices.get(key) else {
                        continue;
                    };
                    if pico_usd > 0 || self.zero_is_free(key, charges) {
                        rates.push(Rate {
                            unit: (*unit).to_owned(),
                            pico_usd,
                            above_input_tokens: *above_input_tokens,
                            attributes: attributes.to_vec(),
                        });
                    }
                }
            }
            rates
        };
        let services = SERVICES.iter().map(|(tier, keys)| {
            let mut attributes = attributes.clone();
            attributes.push(attribute(SERVICE_TIER, tier));
            (*tier, of(keys, &attributes))
        });
        let services = services.filter(|(_, rates)| !rates.is_empty()).collect();
        Ok((of(&METERED, &attributes), services))
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
        let mut attributes = vec![attribute("source", self.source.as_deref().unwrap_or(file))];
        attributes.extend(self.date.as_deref().map(|date| attribute("date", date)));
        attributes
    }
}

fn attribute(key: &str, text: &str) -> Attribute {
    Attribute {
        key: key.to_owned(),
        value: text.into(),
    }
}

/// Every price of a tier in pico-dollars a unit.
fn read(prices: &Prices) -> Result<BTreeMap<&str, i64>, String> {
    let known = || {
        let services = SERVICES.iter().flat_map(|(_, keys)| keys);
        let metered = METERED.iter().chain(services).map(|(key, _)| *key);
        metered.chain(UNMETERED)
    };
    let mut read = BTreeMap::new();
    for (key, raw) in prices {
        if known().any(|known| known == key) {
            let pico_usd =
                decimal::pico_usd(raw.get()).map_err(|error| format!("`{key}`: {error}"))?;
            read.insert(key.as_str(), pico_usd);
        } else if key != ABOVE {
            let help = did_you_mean(key, known())
                .unwrap_or_else(|| format!("known: {}", known().collect::<Vec<_>>().join(", ")));
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
