//! The gate: what a request takes before anything expensive, and holds until it has ended.

use std::sync::Arc;

use super::refusal::Refusal;
use super::scope::{Claim, Left, Place, ScopeMeter};

/// Which of a request's two scopes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draws {
    pub(crate) key: bool,
    pub(crate) tenant: bool,
}

impl Default for Draws {
    fn default() -> Self {
        Self {
            key: true,
            tenant: true,
        }
    }
}

impl Draws {
    /// The scopes that count, the key first: a key over its own limits costs its tenant nothing.
    pub(super) fn of<'a>(
        self,
        key: &'a Arc<ScopeMeter>,
        tenant: &'a Arc<ScopeMeter>,
    ) -> impl Iterator<Item = &'a Arc<ScopeMeter>> {
        let key = self.key.then_some(key);
        key.into_iter().chain(self.tenant.then_some(tenant))
    }
}

/// What a policy draws on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes {
    /// Rates and concurrency.
    pub(crate) limits: Draws,
    /// Money.
    pub(crate) budget: Draws,
    /// Whether what has no price is refused under a budget.
    pub(crate) deny_unpriced: bool,
}

/// What is left for the caller, in the scope with the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) requests: Option<Left>,
    pub(crate) tokens: Option<Left>,
}

/// A request that passed the gate; dropping it gives back what it held.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(super) key: Arc<ScopeMeter>,
    pub(super) tenant: Arc<ScopeMeter>,
    pub(super) scopes: Scopes,
    pub(crate) rates: Rates,
    /// None before the request is decided.
    instances: Option<Claim>,
    _places: Vec<Place>,
}

impl Admission {
    /// Lets a request through, or says which limit it meets.
    pub(crate) fn new(
        key: &Arc<ScopeMeter>,
        tenant: &Arc<ScopeMeter>,
        scopes: Scopes,
    ) -> Result<Self, Refusal> {
        // What can be given back comes first: a rate cannot.
        let places = scopes.limits.of(key, tenant).map(ScopeMeter::enter);
        let places = places.collect::<Result<_, _>>()?;
        let mut rates = Rates::default();
        for scope in scopes.limits.of(key, tenant) {
            rates.requests = least(rates.requests, scope.begin()?);
        }
        Ok(Self {
            key: Arc::clone(key),
            tenant: Arc::clone(tenant),
            scopes,
            rates,
            instances: None,
            _places: places,
        })
    }

    /// From here on it may hold so many plugin instances at once, or the tenant has too many already.
    pub(crate) fn claim_instances(&mut self, count: u32) -> Result<(), Refusal> {
        self.instances = Some(self.tenant.claim(count)?);
        Ok(())
    }

    /// From here on it holds so many at most.
    pub(crate) fn keep_instances(&mut self, count: u32) {
        if let Some(claim) = &mut self.instances {
            claim.shrink_to(count);
        }
    }
}

pub(super) fn least(one: Option<Left>, other: Option<Left>) -> Option<Left> {
    one.into_iter()
        .chain(other)
        .min_by_key(|left| left.remaining)
}
