//! Prices the meters of each attempt from the catalogue: one cost line a meter, in pico-dollars.
//!
//! Promises: whole numbers only; what is not known is `unpriced` or `estimated`, never zero; every line says which
//! price it used. Works alike at `reserve` (worst-case meters) and at `account` (real ones), by the prices of one and
//! the same time. Refuses to know: budgets, currencies, where rates come from.
#![forbid(unsafe_code)]

mod own;
mod rate;
mod service;
mod span;

use std::collections::BTreeMap;

use pointsman_sdk::{
    Accountant, Amount, Attribute, CostLine, Meter, Plugin, PluginError, Usage, View, host,
};
use serde::Deserialize;

use own::{FeeConfig, Own, PercentConfig, RateConfig};
use rate::{Price, Tier, Unknown};
use service::{Book, SERVICE_TIER, Service};
use span::Dated;

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
    /// Of every rate, by target: what a discount or a surcharge makes of it.
    #[serde(default)]
    percent: BTreeMap<String, PercentConfig>,
    /// Dollars for each request, by target.
    #[serde(default)]
    fees: BTreeMap<String, FeeConfig>,
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
    percent: BTreeMap<String, Dated<u32>>,
    /// Pico-dollars.
    fees: BTreeMap<String, Dated<i64>>,
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
    fn account(&self, request: &dyn View, usages: &[Usage]) -> Result<Vec<CostLine>, PluginError> {
        // What is read is recorded, so nothing is read that no usage needs.
        let dated = usages.iter().any(|usage| self.is_dated(&usage.target));
        let now_ms = dated.then(|| request.integer("time-ms")).flatten();
        let silent = usages.iter().any(|usage| service::told(usage).is_none());
        let asked = silent.then(|| request.text(SERVICE_TIER)).flatten();
        let asked = Service::named(asked.as_deref().unwrap_or_default());
        let mut books: Vec<(&str, Book)> = Vec::new();
        let mut lines = Vec::new();
        for usage in usages {
            let told = service::told(usage);
            let service = told.as_ref().unwrap_or(&asked);
            let at = books
                .iter()
                .position(|(target, book)| *target == usage.target && book.service == *service);
            let at = at.unwrap_or_else(|| {
                books.push((&usage.target, self.book(&usage.target, service, now_ms)));
                books.len() - 1
            });
            let attempt = Attempt {
                usage,
                book: &books[at].1,
                tier: Tier::of(&usage.meters),
                now_ms,
                // The tier is what was asked for, not what the provider says it served in.
                assumed: told.is_none() && asked != Service::Standard,
                timeless: now_ms.is_none() && self.is_dated(&usage.target),
            };
            lines.extend(usage.meters.iter().map(|meter| self.line(&attempt, meter)));
            lines.extend(self.fee(&attempt));
        }
        Ok(lines)
    }
}

/// One attempt with all that its price depends on.
struct Attempt<'a> {
    usage: &'a Usage,
    book: &'a Book,
    tier: Tier,
    now_ms: Option<i64>,
    assumed: bool,
    /// Its prices change with time, which is not known.
    timeless: bool,
}

impl AccountTokens {
    /// Whether anything of a target changes with time.
    fn is_dated(&self, target: &str) -> bool {
        self.own.is_dated(target)
            || self.percent.get(target).is_some_and(Dated::is_dated)
            || self.fees.get(target).is_some_and(Dated::is_dated)
    }

    fn book(&self, target: &str, service: &Service, now_ms: Option<i64>) -> Book {
        let over = |service: &Service, asked: &str| {
            self.own.over(target, service, now_ms, host::rates(asked))
        };
        Book {
            service: service.clone(),
            standard: over(&Service::Standard, target),
            special: service
                .name()
                .and_then(|name| over(service, &format!("{target}@{name}"))),
        }
    }

    fn line(&self, attempt: &Attempt<'_>, meter: &Meter) -> CostLine {
        let (usage, book) = (attempt.usage, attempt.book);
        let found = if attempt.timeless {
            Err(Unknown::Time)
        } else {
            book.price(&meter.unit, attempt.tier, self.missing_rate)
        };
        let (amount, mut attributes) = match found {
            Ok(found) => {
                let mut price = found.price;
                price.estimated |= attempt.assumed;
                let percent = self.percent.get(&usage.target);
                cost(
                    meter,
                    &price,
                    percent.and_then(|dated| dated.at(attempt.now_ms)),
                )
            }
            // None of a thing costs nothing at any price; an estimate of none is a guess like any other.
            Err(_) if meter.quantity == 0 && !meter.estimated => (Amount::Exact(0), Vec::new()),
            Err(why) => (Amount::Unpriced, vec![Attribute::new("why", why.code())]),
        };
        attributes.extend(book.attributes(found.ok()));
        CostLine {
            attempt: usage.attempt,
            unit: meter.unit.clone(),
            quantity: meter.quantity,
            amount,
            attributes,
        }
    }

    /// The fee of a request that is or will be answered; of one that broke off it is only reckoned.
    fn fee(&self, attempt: &Attempt<'_>) -> Option<CostLine> {
        let usage = attempt.usage;
        let fees = self.fees.get(&usage.target)?;
        if usage.outcome == "error" {
            return None;
        }
        let (amount, attributes) = if attempt.timeless && fees.is_dated() {
            let why = Attribute::new("why", Unknown::Time.code());
            (Amount::Unpriced, vec![why])
        } else {
            let fee = fees.at(attempt.now_ms)?;
            let amount = match usage.outcome.as_str() {
                "ok" | "planned" => Amount::Exact(fee),
                _ => Amount::Estimated(fee),
            };
            let told = [
                Attribute::new("price", fee),
                Attribute::new("source", "config"),
            ];
            (amount, told.into())
        };
        Some(CostLine {
            attempt: usage.attempt,
            unit: REQUESTS.to_owned(),
            quantity: 1,
            amount,
            attributes,
        })
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
