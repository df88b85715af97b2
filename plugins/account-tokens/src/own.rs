//! What the operator knows of prices that the catalogue does not: rates of a contract or of a way to call, a percentage
//! of all rates, a fee for each request; each at all times, or from one date until another.

use std::collections::BTreeMap;

use pointsman_sdk::{Attribute, Rate};
use serde::Deserialize;

use crate::service::Service;
use crate::span::{self, Dated, Span};

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
    #[serde(default)]
    service_tier: Option<String>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    until: Option<String>,
}

/// A target's percentage as the operator writes it.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "write a whole percentage, or a list of { percent, from, until }"
)]
pub(crate) enum PercentConfig {
    Always(u32),
    Dated(Vec<DatedPercent>),
}

/// A percentage with its time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatedPercent {
    percent: u32,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    until: Option<String>,
}

/// A target's fee as the operator writes it.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "write dollars such as \"0.005\", or a list of { usd, from, until }"
)]
pub(crate) enum FeeConfig {
    Always(String),
    Dated(Vec<DatedFee>),
}

/// A fee with its time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatedFee {
    usd: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    until: Option<String>,
}

/// A rate of the operator's.
#[derive(Debug)]
struct OwnRate {
    /// Its place among what the operator wrote.
    index: usize,
    span: Span,
    service: Service,
    rate: Rate,
}

/// Rates by target.
#[derive(Debug, Default)]
pub(crate) struct Own(BTreeMap<String, Vec<OwnRate>>);

impl Own {
    /// Checks what the operator wrote.
    pub(crate) fn new(configs: Vec<RateConfig>) -> Result<Self, String> {
        if configs.len() > RATES_MAX {
            return Err(format!("rates: at most {RATES_MAX}"));
        }
        let mut own: BTreeMap<String, Vec<OwnRate>> = BTreeMap::new();
        for (index, config) in configs.into_iter().enumerate() {
            let at = format!("rates[{index}]");
            let pico_usd = picos(&config.usd_per_million, RATE_DECIMALS).ok_or_else(|| {
                format!("{at}.usd-per-million: write dollars such as \"1.25\", {RATE_DECIMALS} decimals at most")
            })?;
            if config.target.is_empty() || config.unit.is_empty() {
                return Err(format!("{at}: name target and unit"));
            }
            let (from, until) = (config.from.as_deref(), config.until.as_deref());
            let span = Span::new(&at, from, until)?;
            let service = Service::named(config.service_tier.as_deref().unwrap_or_default());
            let known = own.entry(config.target).or_default();
            let twice = known.iter().find(|known| {
                known.rate.unit == config.unit
                    && known.rate.above_input_tokens == config.above_input_tokens
                    && known.service == service
                    && known.span.meets(span)
            });
            if let Some(twice) = twice {
                return Err(format!(
                    "{at}: the target has a rate of this unit and tier already, which overlaps: rates[{}]",
                    twice.index
                ));
            }
            let mut attributes = vec![Attribute::new("source", "config")];
            attributes.extend(span::attributes(from, until));
            let rate = Rate {
                unit: config.unit,
                pico_usd,
                above_input_tokens: config.above_input_tokens,
                attributes,
            };
            known.push(OwnRate {
                index,
                span,
                service,
                rate,
            });
        }
        Ok(Self(own))
    }

    /// Whether a target's rates change with time.
    pub(crate) fn is_dated(&self, target: &str) -> bool {
        let own = self.0.get(target).into_iter().flatten();
        own.into_iter().any(|own| own.span.is_dated())
    }

    /// The rates that hold for a target in a service tier: of each unit that the operator names at that time, in
    /// whichever tier, the operator's alone; of others the catalogue's.
    pub(crate) fn over(
        &self,
        target: &str,
        service: &Service,
        now_ms: Option<i64>,
        catalogue: Option<Vec<Rate>>,
    ) -> Option<Vec<Rate>> {
        let own = self.0.get(target).into_iter().flatten();
        let own: Vec<&OwnRate> = own.filter(|own| own.span.holds(now_ms)).collect();
        if own.is_empty() {
            return catalogue;
        }
        let of_tier = own.iter().filter(|own| own.service == *service);
        let mut rates: Vec<Rate> = of_tier.map(|own| own.rate.clone()).collect();
        let is_known = catalogue.is_some();
        let others = catalogue.into_iter().flatten();
        rates.extend(others.filter(|rate| own.iter().all(|own| own.rate.unit != rate.unit)));
        (is_known || !rates.is_empty()).then_some(rates)
    }
}

/// Checks percentages by target.
pub(crate) fn percents(
    configs: BTreeMap<String, PercentConfig>,
) -> Result<BTreeMap<String, Dated<u32>>, String> {
    let one = |at: &str, percent: u32| match percent {
        1..=PERCENT_MAX => Ok(percent),
        _ => Err(format!("{at}: write 1 to {PERCENT_MAX}")),
    };
    let dated = configs.into_iter().map(|(target, config)| {
        let at = format!("percent.{target}");
        let dated = match config {
            PercentConfig::Always(percent) => Dated::always(one(&at, percent)?),
            PercentConfig::Dated(list) => {
                let mut dated = Vec::new();
                for (index, entry) in list.into_iter().enumerate() {
                    let at = format!("{at}[{index}]");
                    let span = Span::new(&at, entry.from.as_deref(), entry.until.as_deref())?;
                    dated.push((span, one(&format!("{at}.percent"), entry.percent)?));
                }
                Dated::new(&at, dated)?
            }
        };
        Ok((target, dated))
    });
    dated.collect()
}

/// Fees by target, in pico-dollars.
pub(crate) fn fees(
    configs: BTreeMap<String, FeeConfig>,
) -> Result<BTreeMap<String, Dated<i64>>, String> {
    let one = |at: &str, usd: &str| {
        picos(usd, FEE_DECIMALS).ok_or_else(|| {
            format!("{at}: write dollars such as \"0.005\", {FEE_DECIMALS} decimals at most")
        })
    };
    let dated = configs.into_iter().map(|(target, config)| {
        let at = format!("fees.{target}");
        let dated = match config {
            FeeConfig::Always(usd) => Dated::always(one(&at, &usd)?),
            FeeConfig::Dated(list) => {
                let mut dated = Vec::new();
                for (index, entry) in list.into_iter().enumerate() {
                    let at = format!("{at}[{index}]");
                    let span = Span::new(&at, entry.from.as_deref(), entry.until.as_deref())?;
                    dated.push((span, one(&format!("{at}.usd"), &entry.usd)?));
                }
                Dated::new(&at, dated)?
            }
        };
        Ok((target, dated))
    });
    dated.collect()
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
