//! Service tiers (batch, flexible, priority): which one an attempt was served in, and which rate that means.

use pointsman_sdk::{Attribute, Rate, Usage, Value};

use crate::MissingRate;
use crate::rate::{self, Price, Tier, Unknown};

/// The view's field and the attribute of usages and lines.
pub(crate) const SERVICE_TIER: &str = "service-tier";
/// How providers and callers name the tier that costs the standard rates.
const STANDARD: [&str; 5] = ["", "auto", "default", "standard", "on_demand"];

/// A service tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Standard,
    Named(String),
}

impl Service {
    pub(crate) fn named(name: &str) -> Self {
        if STANDARD.contains(&name) {
            Self::Standard
        } else {
            Self::Named(name.to_owned())
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Standard => None,
            Self::Named(name) => Some(name),
        }
    }
}

/// The tier that the provider says it served in.
pub(crate) fn told(usage: &Usage) -> Option<Service> {
    let mut attributes = usage.attributes.iter();
    let told = attributes.find(|attribute| attribute.key == SERVICE_TIER)?;
    told.value.as_text().map(Service::named)
}

/// What one target charges in one service tier at one time.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) service: Service,
    /// None where the target is not known.
    pub(crate) standard: Option<Vec<Rate>>,
    /// Those of the service tier; none where it has none or is the standard one.
    pub(crate) special: Option<Vec<Rate>>,
}

/// A price and whether it is of the service tier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) price: Price<'a>,
    /// The tier has no rate of the unit: it is the standard one.
    stands_in: bool,
}

impl Book {
    /// The price of a unit: the tier's own, or one of the tier that bounds it, or the standard rate, which says that it
    /// stands in.
    pub(crate) fn price(
        &self,
        unit: &str,
        tier: Tier,
        missing: MissingRate,
    ) -> Result<Found<'_>, Unknown> {
        let standard = self.standard.as_deref();
        if self.service == Service::Standard {
            let price = priced(unit, standard.ok_or(Unknown::Target)?, &[], tier, missing)?;
            return Ok(Found {
                price,
                stands_in: false,
            });
        }
        let beside = standard.unwrap_or_default();
        let special = self.special.as_deref().unwrap_or_default();
        match priced(unit, special, beside, tier, missing) {
            Ok(mut price) => {
                // A bound of the tier's for a unit that has a price of its own elsewhere is a guess.
                price.estimated |=
                    price.rate.unit != unit && beside.iter().any(|rate| rate.unit == unit);
                Ok(Found {
                    price,
                    stands_in: false,
                })
            }
            Err(Unknown::Unit) if missing == MissingRate::Unpriced => {
                Err(standard.map_or(Unknown::Target, |_| Unknown::Service))
            }
            Err(Unknown::Unit) => {
                let mut price = priced(unit, standard.ok_or(Unknown::Target)?, &[], tier, missing)?;
                price.estimated = true;
                Ok(Found {
                    price,
                    stands_in: true,
                })
            }
            Err(other) => Err(other),
        }
    }

    /// `service-tier` of a line that is not of the standard one, and `rate-tier` where its rate is.
    pub(crate) fn attributes(&self, found: Option<Found<'_>>) -> Vec<Attribute> {
        let Some(name) = self.service.name() else {
            return Vec::new();
        };
        let mut attributes = vec![Attribute::new(SERVICE_TIER, name)];
        if found.is_some_and(|found| found.stands_in) {
            attributes.push(Attribute::new("rate-tier", Value::from("standard")));
        }
        attributes
    }
}

/// The unit's own rate, or where there is none that of the unit that bounds it.
fn priced<'a>(
    unit: &str,
    rates: &'a [Rate],
    beside: &'a [Rate],
    tier: Tier,
    missing: MissingRate,
) -> Result<Price<'a>, Unknown> {
    match (rate::of_unit(unit, rates, beside, tier), missing) {
        (Err(Unknown::Unit), MissingRate::Fallback) => rate::of_bound(unit, rates, beside, tier),
        (found, _) => found,
    }
}
