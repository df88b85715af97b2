//! What a request sets aside before its attempts, and how it is settled: exactly once, on every way out.
//!
//! Promises: the balance moves when the request's `closed` record is in the log, by what that record says. A
//! reservation that is dropped before `opened` is written is given back; one that is dropped after it, because no
//! `closed` could be written, is charged whole, as the next start will charge it.

use std::sync::Arc;

use pointsman_domain::Picos;
use pointsman_traffic::budget::Reserved;
use pointsman_traffic::rate::Short;

use super::admission::{Admission, least};
use super::refusal::Refusal;
use super::scope::{Left, ScopeMeter};
use super::{Meters, Now};

/// The most that a request may come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Tokens in and out of its dearest attempt.
    pub(crate) tokens: u64,
    /// Money of all attempts that may be billed; none where nobody can say.
    pub(crate) money: Option<Picos>,
    /// Whether the money is not the whole.
    pub(crate) unpriced: bool,
    /// Whether anything prices its usage: otherwise nothing will ever be charged.
    pub(crate) is_accounted: bool,
}

/// What one scope has set aside.
#[derive(Debug)]
struct Part {
    meter: Arc<ScopeMeter>,
    /// Tokens, where they are limited.
    tokens: Option<u64>,
    money: Option<Reserved>,
}

/// What a request has set aside.
pub(crate) struct Reservation {
    meters: Arc<Meters>,
    parts: Vec<Part>,
    /// Whether `opened` is in the log, which binds the reservation.
    bound: bool,
}

impl Reservation {
    /// Sets aside in every scope that the policy draws on, or in none.
    pub(crate) fn new(
        meters: &Arc<Meters>,
        admission: &mut Admission,
        wanted: Wanted,
        epoch_ms: u64,
    ) -> Result<Self, Refusal> {
        let now = Now {
            epoch_ms,
            ..meters.now()
        };
        // Filled as it goes: what is refused midway gives back what was set aside before.
        let mut this = Self {
            meters: Arc::clone(meters),
            parts: Vec::with_capacity(2),
            bound: false,
        };
        let scopes = admission.scopes;
        let both = [
            (&admission.key, scopes.limits.key, scopes.budget.key),
            (
                &admission.tenant,
                scopes.limits.tenant,
                scopes.budget.tenant,
            ),
        ];
        for (meter, limited, budgeted) in both {
            if budgeted && wanted.unpriced && scopes.deny_unpriced && meter.has_budget() {
                return Err(Refusal::unpriced(meter.id()));
            }
            let mut part = Part {
                meter: Arc::clone(meter),
                tokens: None,
                money: None,
            };
            if limited {
                let left = part.take_tokens(wanted.tokens, now)?;
                admission.rates.tokens = least(admission.rates.tokens, left);
            }
            this.parts.push(part);
            let part = this.parts.last_mut().expect("pushed above");
            if budgeted && wanted.is_accounted {
                part.take_money(wanted.money.unwrap_or_default(), now)?;
            }
        }
        Ok(this)
    }

    /// The windows that it counts in, as records name them.
    pub(crate) fn windows(&self) -> Vec<String> {
        let named = |part: &Part| {
            let windows = part.money.iter().flat_map(Reserved::windows);
            windows
                .map(|window| part.meter.window_name(window))
                .collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(named).collect()
    }

    /// `opened` is in the log.
    pub(crate) fn bind(&mut self) {
        self.bound = true;
    }

    /// `closed` is in the log, with this charge.
    pub(crate) fn settle(mut self, charged: Picos, tokens: u64) {
        let now = self.meters.now();
        for part in self.parts.drain(..) {
            part.settle(charged, tokens, now);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.parts.is_empty() {
            return;
        }
        let now = self.meters.now();
        for part in self.parts.drain(..) {
            let (charged, tokens) = if self.bound {
                let reserved = part.money.as_ref().map(Reserved::amount);
                (reserved.unwrap_or_default(), part.tokens.unwrap_or(0))
            } else {
                (Picos(0), 0)
            };
            part.settle(charged, tokens, now);
        }
    }
}

impl Part {
    fn take_tokens(&mut self, tokens: u64, now: Now) -> Result<Option<Left>, Refusal> {
        let mut purse = self.meter.purse();
        let Some(bucket) = &mut purse.bucket else {
            return Ok(None);
        };
        let limit = bucket.limit();
        if let Err(short) = bucket.take(tokens, now.monotonic_ms) {
            let may = format!("may use {limit} tokens a minute");
            let (next, again) = match short {
                Short::Later { wait_ms } => (
                    format!(
                        "this request may use {tokens}, prompt and answer together; try again in {} s",
                        wait_ms.div_ceil(1000)
                    ),
                    Some(wait_ms),
                ),
                Short::Never => (
                    format!(
                        "this request alone may use {tokens}, prompt and answer together; ask for fewer with `max_tokens`"
                    ),
                    None,
                ),
            };
            let id = self.meter.id();
            return Err(Refusal::rate("tokens-per-minute", id, &may, &next, again));
        }
        self.tokens = Some(tokens);
        Ok(Some(Left {
            limit,
            remaining: bucket.left(now.monotonic_ms),
            reset_ms: bucket.full_in_ms(now.monotonic_ms),
        }))
    }

    fn take_money(&mut self, amount: Picos, now: Now) -> Result<(), Refusal> {
        let reserved = self.meter.purse().ledger.reserve(amount, now.epoch_ms);
        let id = self.meter.id();
        let reserved =
            reserved.map_err(|exceeded| Refusal::budget(id, amount, &exceeded, now.epoch_ms))?;
        self.money = Some(reserved);
        Ok(())
    }

    fn settle(self, charged: Picos, used: u64, now: Now) {
        let mut purse = self.meter.purse();
        if let (Some(taken), Some(bucket)) = (self.tokens, &mut purse.bucket) {
            bucket.settle(taken, used, now.monotonic_ms);
        }
        if let Some(reserved) = self.money {
            purse.ledger.settle(reserved, charged);
        }
    }
}
