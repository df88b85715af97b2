//! What the operator knows of prices that the catalogue does not: rates of a contract or of a way to call, a percentage
//! of all rates, a fee for each request.

use std::collections::BTreeMap;

use pointsman_sdk::{Attribute, Rate};
use serde::Deserialize;

/// Decimals of a dollar that are a pico-dollar.
const FEE_DECIMALS: usize = 12;
/// Decimals of a dollar a million units that are a pico-dollar a unit.
const RATE_DECIMALS: usize = 6;
/// Rates of one configuration.
const RATES_MAX: usize = 1024;
/// The highest percentage.
const PERCENT_MAX: u32 = 10_000;

/// A rate as the operator writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RateConfig {
    target: String,
    unit: String,
    usd_per_million: String,
    #[serde(default)]
    above_input_tokens: u64,
}

/// Rates by target.
#[derive(Debug, Default)]
pub(crate) struct Own(BTreeMap<String, Vec<Rate>>);

impl Own {
    /// Checks what the operator wrote.
    pub(crate) fn new(configs: Vec<RateConfig>) -> Result<Self, String> {
        if configs.len() > RATES_MAX {
            return Err(format!("rates: at most {RATES_MAX}"));
        }
        let mut own: BTreeMap<String, Vec<Rate>> = BTreeMap::new();
        for (index, config) in configs.into_iter().enumerate() {
            let pico_usd = picos(&config.usd_per_million, RATE_DECIMALS).ok_or_else(|| {
                format!("rates[{index}].usd-per-million: write dollars such as \"1.25\", {RATE_DECIMALS} decimals at most")
            })?;
            if config.target.is_empty() || config.unit.is_empty() {
                return Err(format!("rates[{index}]: name target and unit"));
            }
            let rates = own.entry(config.target).or_default();
            let twice = |rate: &Rate| {
                rate.unit == config.unit && rate.above_input_tokens == config.above_input_tokens
            };
            if rates.iter().any(twice) {
                return Err(format!(
                    "rates[{index}]: the target has a rate of this unit and tier already"
                ));
            }
            rates.push(Rate {
                unit: config.unit,
                pico_usd,
                above_input_tokens: config.above_input_tokens,
                attributes: vec![Attribute::new("source", "config")],
            });
        }
        Ok(Self(own))
    }

    /// The rates that hold for a target: of each unit either the operator's or the catalogue's.
    pub(crate) fn over(&self, target: &str, catalogue: Option<Vec<Rate>>) -> Option<Vec<Rate>> {
        let Some(own) = self.0.get(target) else {
            return catalogue;
        };
        let mut rates = own.clone();
        let others = catalogue.into_iter().flatten();
        rates.extend(others.filter(|rate| own.iter().all(|known| known.unit != rate.unit)));
        Some(rates)
    }
}

/// Checks percentages by target.
pub(crate) fn percents(percents: BTreeMap<String, u32>) -> Result<BTreeMap<String, u32>, String> {
    match percents
        .iter()
        .find(|(_, percent)| !(1..=PERCENT_MAX).contains(*percent))
    {
        Some((target, _)) => Err(format!("percent.{target}: write 1 to {PERCENT_MAX}")),
        None => Ok(percents),
    }
}

/// Fees by target, in pico-dollars.
pub(crate) fn fees(fees: BTreeMap<String, String>) -> Result<BTreeMap<String, i64>, String> {
    fees.into_iter()
        .map(|(target, text)| match picos(&text, FEE_DECIMALS) {
            Some(fee) => Ok((target, fee)),
            None => Err(format!(
                "fees.{target}: write dollars such as \"0.005\", {FEE_DECIMALS} decimals at most"
            )),
        })
        .collect()
}

/// A plain decimal as a whole number of its `decimals`th part; none where it is no such number.
fn picos(text: &str, decimals: usize) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > decimals {
        return None;
    }
    format!("{whole}{part:0<decimals$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::picos;

    #[test]
    fn plain_decimals_are_read_exactly() {
        for (text, decimals, wanted) in [
            ("1.25", 6, Some(1_250_000)),
            ("0.000001", 6, Some(1)),
            ("3", 6, Some(3_000_000)),
            ("0.005", 12, Some(5_000_000_000)),
            ("9223372.036854775807", 12, Some(i64::MAX)),
            ("9223373", 12, None),
            ("0.0000001", 6, None),
            ("-1", 6, None),
            ("1e3", 6, None),
            (".5", 6, None),
            ("1.", 6, None),
            ("", 6, None),
        ] {
            assert_eq!(picos(text, decimals), wanted, "{text}");
        }
    }
}
