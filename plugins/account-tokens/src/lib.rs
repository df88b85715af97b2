//! Prices the meters of each attempt from the catalogue: one cost line a meter, in pico-dollars.
//!
//! Promises: whole numbers only; what is not known is `unpriced` or `estimated`, never zero; every line says which
//! price it used. Works alike at `reserve` (worst-case meters) and at `account` (real ones). Refuses to know:
//! budgets, currencies, where rates come from.
#![forbid(unsafe_code)]

mod rate;

use pointsman_sdk::{
    Accountant, Amount, Attribute, CostLine, Meter, Plugin, PluginError, Rate, Usage, View, host,
};
use serde::Deserialize;

use rate::{Price, Tier, Unknown};

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What a meter costs whose unit has no rate.
    #[serde(default)]
    missing_rate: MissingRate,
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
}

impl Plugin for AccountTokens {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
    const IMPORTS: &'static [&'static str] = &["prices"];

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self {
            missing_rate: config.missing_rate,
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
                books.push((&usage.target, host::rates(&usage.target)));
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
                    .map(|meter| self.line(usage.attempt, meter, rates, tier)),
            );
        }
        Ok(lines)
    }
}

impl AccountTokens {
    fn line(&self, attempt: u32, meter: &Meter, rates: Option<&[Rate]>, tier: Tier) -> CostLine {
        let price = rates
            .ok_or(Unknown::Target)
            .and_then(|rates| self.price(&meter.unit, rates, tier));
        let (amount, attributes) = match price {
            Ok(price) => cost(meter, &price),
            // None of a thing costs nothing at any price; an estimate of none is a guess like any other.
            Err(_) if meter.quantity == 0 && !meter.estimated => (Amount::Exact(0), Vec::new()),
            Err(why) => (Amount::Unpriced, vec![Attribute::new("why", why.code())]),
        };
        CostLine {
            attempt,
            unit: meter.unit.clone(),
            quantity: meter.quantity,
            amount,
            attributes,
        }
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
fn cost(meter: &Meter, price: &Price<'_>) -> (Amount, Vec<Attribute>) {
    let mut attributes = price.attributes(&meter.unit);
    let exact = i128::from(meter.quantity) * i128::from(price.rate.pico_usd);
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
