//! Which rate holds for a unit: the tier by the attempt's whole prompt, and the units that bound one without a rate.

use pointsman_sdk::{Attribute, Meter, Rate, Value};

/// Units that make up the prompt whose length picks the tier.
const PROMPT_UNITS: [&str; 4] = [
    "input-tokens",
    "cached-input-tokens",
    "cache-write-tokens",
    "audio-input-tokens",
];

/// Units without a rate whose price another unit's rate bounds: unit, other unit, whether that is only a bound.
///
/// Reasoning is output and billed as such where no rate of its own is published. Cached input is never dearer than
/// input. Cache writes and audio are often dearer than their plain kin, so theirs would be a guess from below.
const BOUNDS: [(&str, &str, bool); 2] = [
    ("reasoning-tokens", "output-tokens", false),
    ("cached-input-tokens", "input-tokens", true),
];

/// Length of an attempt's prompt, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tier {
    prompt: u64,
    /// Some of it was reckoned, not counted by the provider.
    estimated: bool,
}

impl Tier {
    /// Input, cached, cache-write and audio tokens together.
    pub(crate) fn of(meters: &[Meter]) -> Self {
        let prompt = || {
            meters
                .iter()
                .filter(|meter| PROMPT_UNITS.contains(&meter.unit.as_str()))
        };
        Self {
            prompt: prompt().fold(0, |sum, meter| sum.saturating_add(meter.quantity)),
            estimated: prompt().any(|meter| meter.estimated),
        }
    }

    const fn reaches(self, rate: &Rate) -> bool {
        rate.above_input_tokens == 0 || self.prompt > rate.above_input_tokens
    }
}

/// Why there is no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The catalogue does not know the target.
    Target,
    /// It knows no rate of the unit.
    Unit,
    /// It holds two different rates of the unit in one tier.
    Conflict,
    /// It holds a negative rate.
    Negative,
    /// It knows no rate of the unit in the service tier.
    Service,
    /// Prices of the target change with time, and nobody says what time it is.
    Time,
}

impl Unknown {
    /// As a line's attribute `why`.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Target => "no-rates",
            Self::Unit => "no-rate",
            Self::Conflict => "rates-conflict",
            Self::Negative => "rate-negative",
            Self::Service => "no-tier-rate",
            Self::Time => "no-time",
        }
    }
}

/// A rate and how sure it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Price<'a> {
    pub(crate) rate: &'a Rate,
    /// A bound, or of a tier that may not be the right one.
    pub(crate) estimated: bool,
}

impl Price<'_> {
    /// `price` (pico-dollars a unit), `price-unit` where it is another unit's, `above-input-tokens` above the base
    /// tier, and the rate's `source` and `date`, `from` and `until`.
    pub(crate) fn attributes(&self, unit: &str) -> Vec<Attribute> {
        let rate = self.rate;
        let mut attributes = vec![Attribute::new("price", rate.pico_usd)];
        if rate.unit != unit {
            attributes.push(Attribute::new("price-unit", rate.unit.as_str()));
        }
        if rate.above_input_tokens > 0 {
            let above = i64::try_from(rate.above_input_tokens).unwrap_or(i64::MAX);
            attributes.push(Attribute::new("above-input-tokens", Value::Integer(above)));
        }
        let told = rate.attributes.iter().filter(|attribute| {
            matches!(attribute.key.as_str(), "source" | "date" | "from" | "until")
        });
        attributes.extend(told.cloned());
        attributes
    }
}

/// The unit's own rate. `beside` are rates that show how far the prompt has grown, and nothing else.
pub(crate) fn of_unit<'a>(
    unit: &str,
    rates: &'a [Rate],
    beside: &'a [Rate],
    tier: Tier,
) -> Result<Price<'a>, Unknown> {
    let own = || rates.iter().filter(|rate| rate.unit == unit);
    let rate = own()
        .filter(|rate| tier.reaches(rate))
        .max_by_key(|rate| rate.above_input_tokens)
        .ok_or(Unknown::Unit)?;
    let mut peers = own().filter(|peer| peer.above_input_tokens == rate.above_input_tokens);
    if peers.any(|peer| peer.pico_usd != rate.pico_usd) {
        return Err(Unknown::Conflict);
    }
    if rate.pico_usd < 0 {
        return Err(Unknown::Negative);
    }
    // The prompt has reached a tier that names other units but not this one: the base rate may have risen too.
    let outgrown = rates
        .iter()
        .chain(beside)
        .any(|other| tier.reaches(other) && other.above_input_tokens > rate.above_input_tokens);
    let tiered = own().chain(beside).any(|rate| rate.above_input_tokens > 0);
    Ok(Price {
        rate,
        estimated: outgrown || (tiered && tier.estimated),
    })
}

/// The rate of another unit that bounds this one's.
pub(crate) fn of_bound<'a>(
    unit: &str,
    rates: &'a [Rate],
    beside: &'a [Rate],
    tier: Tier,
) -> Result<Price<'a>, Unknown> {
    let (_, bound, only_bound) = BOUNDS
        .iter()
        .find(|(bounded, ..)| *bounded == unit)
        .ok_or(Unknown::Unit)?;
    let price = of_unit(bound, rates, beside, tier)?;
    Ok(Price {
        estimated: price.estimated || *only_bound,
        ..price
    })
}
