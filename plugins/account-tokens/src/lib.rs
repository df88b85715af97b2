//! Prices the meters of each attempt from the catalogue: one cost line a meter, in pico-dollars.
//!
//! Promises: whole numbers only; what is not known is `unpriced` or `estimated`, never zero; every line says which
//! price it used. Works alike at `reserve` (worst-case meters) and at `account` (real ones). Refuses to know:
//! budgets, currencies, where rates come from.
#![forbid(unsafe_code)]

mod own;
mod rate;

use std::collections::BTreeMap;

use pointsman_sdk::{
    Accountant, Amount, Attribute, CostLine, Meter, Plugin, PluginError, Rate, Usage, View, host,
};
use serde::Deserialize;

use own::{Own, RateConfig};
use rate::{Price, Tier, Unknown};

/// Unit of the lines that hold a fee.
const REQUESTS: &str = "requests";

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What a meter costs whose unit has no rate.
    #[serde(default)]
    missing_rate: MissingRate,
    /// Rates in place of the catalogue's.
    #[serde(default)]
    rates: Vec<RateConfig>,
    /// Of every rate, by target: what batches, priority or a discount make of it.
    #[serde(default)]
    percent: BTreeMap<String, u32>,
    /// Dollars for each request, by target.
    #[serde(default)]
    fees: BTreeMap<String, String>,
}

/// What a meter costs whose unit has no rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingRate {
    /// The rate of a unit that is known to bound it.
    #[default]
    Fallback,
    /// Unknown.
    Unpriced,
}

/// The configured accountant.
#[derive(Debug)]
pub struct AccountTokens {
    missing_rate: MissingRate,
    own: Own,
    percent: BTreeMap<String, u32>,
    /// Pico-dollars.
    fees: BTreeMap<String, i64>,
}

impl Plugin for AccountTokens {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
    const IMPORTS: &'static [&'static str] = &["prices"];

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self {
            missing_rate: config.missing_rate,
            own: Own::new(config.rates)?,
            percent: own::percents(config.percent)?,
            fees: own::fees(config.fees)?,
        })
    }
}

impl Accountant for AccountTokens {
    fn account(&self, _request: &dyn View, usages: &[Usage]) -> Result<Vec<CostLine>, PluginError> {
        // Every import is recorded, so each target's rates are asked for once.
        let mut books: Vec<(&str, Option<Vec<Rate>>)> = Vec::new();
        let mut lines = Vec::new();
        for usage in usages {
            if !books.iter().any(|(target, _)| *target == usage.target) {
                let rates = self.own.over(&usage.target, host::rates(&usage.target));
                books.push((&usage.target, rates));
            }
            let rates = books
                .iter()
                .find(|(target, _)| *target == usage.target)
                .and_then(|(_, rates)| rates.as_deref());
            let tier = Tier::of(&usage.meters);
            lines.extend(
                usage
                    .meters
                    .iter()
                    .map(|meter| self.line(usage, meter, rates, tier)),
            );
            lines.extend(self.fee(usage));
        }
        Ok(lines)
    }
}

impl AccountTokens {
    fn line(&self, usage: &Usage, meter: &Meter, rates: Option<&[Rate]>, tier: Tier) -> CostLine {
        let price = rates
            .ok_or(Unknown::Target)
            .and_then(|rates| self.price(&meter.unit, rates, tier));
        let (amount, attributes) = match price {
            Ok(price) => cost(meter, &price, self.percent.get(&usage.target).copied()),
            // None of a thing costs nothing at any price; an estimate of none is a guess like any other.
            Err(_) if meter.quantity == 0 && !meter.estimated => (Amount::Exact(0), Vec::new()),
            Err(why) => (Amount::Unpriced, vec![Attribute::new("why", why.code())]),
        };
        CostLine {
            attempt: usage.attempt,
            unit: meter.unit.clone(),
            quantity: meter.quantity,
            amount,
            attributes,
        }
    }

    /// The fee of a request that is or will be answered; of one that broke off it is only reckoned.
    fn fee(&self, usage: &Usage) -> Option<CostLine> {
        let fee = *self.fees.get(&usage.target)?;
        let amount = match usage.outcome.as_str() {
            "ok" | "planned" => Amount::Exact(fee),
            "error" => return None,
            _ => Amount::Estimated(fee),
        };
        Some(CostLine {
            attempt: usage.attempt,
            unit: REQUESTS.to_owned(),
            quantity: 1,
            amount,
            attributes: vec![
                Attribute::new("price", fee),
                Attribute::new("source", "config"),
            ],
        })
    }

    fn price<'a>(&self, unit: &str, rates: &'a [Rate], tier: Tier) -> Result<Price<'a>, Unknown> {
        match (rate::of_unit(unit, rates, tier), self.missing_rate) {
            (Err(Unknown::Unit), MissingRate::Fallback) => rate::of_bound(unit, rates, tier),
            (found, _) => found,
        }
    }
}

/// Quantity times rate. What does not fit the contract's 64 bits (nine million dollars) is said to be at least that,
/// so that a budget sees it: `unpriced` would let the dearest line of all pass as unknown.
fn cost(meter: &Meter, price: &Price<'_>, percent: Option<u32>) -> (Amount, Vec<Attribute>) {
    let mut attributes = price.attributes(&meter.unit);
    let mut exact = i128::from(meter.quantity) * i128::from(price.rate.pico_usd);
    if let Some(percent) = percent {
        // Up to a whole pico-dollar. What passes 128 bits only has to stay above the contract's 64.
        let hundredths = exact.saturating_mul(i128::from(percent));
        exact = hundredths / 100 + i128::from(hundredths % 100 > 0);
        attributes.push(Attribute::new("percent", i64::from(percent)));
    }
    let amount = match i64::try_from(exact) {
        Ok(amount) if meter.estimated || price.estimated => Amount::Estimated(amount),
        Ok(amount) => Amount::Exact(amount),
        Err(_) => {
            attributes.push(Attribute::new("at-least", true));
            Amount::Estimated(i64::MAX)
        }
    };
    (amount, attributes)
}

pointsman_sdk::export_plugin!(AccountTokens: accountant);

#[cfg(test)]
mod tests;
