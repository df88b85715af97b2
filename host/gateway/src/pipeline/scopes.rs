//! What a request takes from its tenant and its key: at the gate, before its attempts, and what it is charged.
//!
//! Promises: every refusal is counted and says which limit of whom; a charge is the cost, or at least the reservation
//! where a part of the cost is not known.

use http::{HeaderMap, HeaderName, HeaderValue};
use pointsman_domain::decision::EmbeddingRecord;
use pointsman_domain::usage::{Amount, CostLine};
use pointsman_domain::{GatewayError, Picos};
use pointsman_policy::policy::Phase;

use super::{Exchange, account};
use crate::meters::{Admission, Left, Refusal, Reservation, Wanted};
use crate::snapshot::PolicyLive;

impl Exchange {
    /// Rate and concurrency of key and tenant.
    pub(super) fn admit(&mut self) -> Result<(), GatewayError> {
        let policy = self.policy();
        let principal = self.principal.as_ref().expect("`authenticate` ran before");
        let (key, tenant) = (&principal.key_meter, &principal.tenant_meter);
        let admitted = Admission::new(key, tenant, policy.scopes);
        self.admission = Some(admitted.map_err(|refusal| self.refused_by(refusal))?);
        Ok(())
    }

    /// Plugin instances of the tenant's share, once there is something to decide: who sends a body slowly holds none.
    pub(super) fn claim_instances(&mut self) -> Result<(), GatewayError> {
        let count = instances(&self.policy());
        let admission = self.admission.as_mut().expect("`gate` ran before");
        let claimed = admission.claim_instances(count);
        claimed.map_err(|refusal| self.refused_by(refusal))
    }

    /// Until it is decided further.
    pub(super) fn give_up_instances(&mut self) {
        if let Some(admission) = &mut self.admission {
            admission.keep_instances(0);
        }
    }

    /// Tokens and money of the worst case; from here on only response guards hold instances.
    pub(super) fn set_aside(&mut self) -> Result<(), GatewayError> {
        let policy = self.policy();
        let decided = self.decided.as_ref().expect("phases after `select` decide");
        let wanted = Wanted {
            tokens: decided.worst.tokens,
            money: decided.reserved,
            unpriced: decided.worst.unpriced,
            is_accounted: !policy.steps(Phase::Account).is_empty(),
        };
        let admission = self.admission.as_mut().expect("`gate` ran before");
        admission.keep_instances(count(policy.response_guards().len()));
        let reserved = Reservation::new(&self.worker.meters, admission, wanted, self.at_ms);
        self.reservation = Some(reserved.map_err(|refusal| self.refused_by(refusal))?);
        Ok(())
    }

    fn refused_by(&self, refusal: Refusal) -> GatewayError {
        let tenant = self.principal.as_ref().map(|known| &*known.tenant);
        self.worker
            .metrics
            .limited(refusal.scope, refusal.limit, tenant);
        *refusal.error
    }

    /// What key and tenant may still spend, where a budget limits one of them.
    pub(super) fn money_left(&self) -> Option<i64> {
        let principal = self.principal.as_ref()?;
        let draws = self.policy.as_ref()?.scopes.budget;
        let of = |drawn: bool, meter: &crate::meters::ScopeMeter| {
            drawn.then(|| meter.money_left(self.at_ms)).flatten()
        };
        let key = of(draws.key, &principal.key_meter);
        let tenant = of(draws.tenant, &principal.tenant_meter);
        let left = key.into_iter().chain(tenant).min()?;
        Some(i64::try_from(left.0.max(0)).unwrap_or(i64::MAX))
    }

    /// The budget windows that the request counts in.
    pub(super) fn windows(&self) -> Vec<String> {
        let windows = self.reservation.as_ref().map(Reservation::windows);
        windows
            .filter(|windows| !windows.is_empty())
            .unwrap_or_else(|| self.embeddings.windows())
    }

    /// All that is set aside, each with the tokens that came of it (`used` by the attempts); that whose windows are
    /// recorded first.
    pub(super) fn set_asides(
        &mut self,
        used: u64,
        embeddings: &[EmbeddingRecord],
    ) -> Vec<(Reservation, u64)> {
        let reservation = self.reservation.take().map(|taken| (taken, used));
        let embeddings = self.embeddings.take(embeddings);
        reservation.into_iter().chain(embeddings).collect()
    }

    /// What budgets are charged. A credit charges nothing, and sets nothing free.
    pub(super) fn charge(&self, cost: &[CostLine]) -> Picos {
        if self.reservation.is_none() {
            return Picos(0);
        }
        let sum = account::sum(cost).max(Picos(0));
        let reserved = self.decided.as_ref().and_then(|decided| decided.reserved);
        if cost.iter().any(|line| line.amount == Amount::Unpriced) {
            sum.max(reserved.unwrap_or_default())
        } else {
            sum
        }
    }

    /// Tokens that all attempts used.
    pub(super) fn used_tokens(&self) -> u64 {
        let meters = self.attempts.iter().flat_map(|attempt| &attempt.meters);
        meters
            .map(|meter| meter.quantity)
            .fold(0, u64::saturating_add)
    }

    /// How much is left of the limits, as OpenAI's clients read it.
    pub(super) fn rate_headers(&self, headers: &mut HeaderMap) {
        let Some(admission) = &self.admission else {
            return;
        };
        let rates = [
            (admission.rates.requests, REQUESTS),
            (admission.rates.tokens, TOKENS),
        ];
        for (left, names) in rates {
            let Some(Left {
                limit,
                remaining,
                reset_ms,
            }) = left
            else {
                continue;
            };
            let reset = HeaderValue::from_str(&format!("{reset_ms}ms"));
            let values = [
                Some(HeaderValue::from(limit)),
                Some(HeaderValue::from(remaining)),
                reset.ok(),
            ];
            for (name, value) in names.into_iter().zip(values) {
                if let Some(value) = value {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
        }
    }
}

/// The `closed` record is written: its charge moves the balances of the windows that it names, once.
pub(super) fn settle(asides: Vec<(Reservation, u64)>, charged: Picos) {
    let mut charged = charged;
    for (reservation, tokens) in asides {
        let is_charged = !reservation.windows().is_empty();
        reservation.settle(charged, tokens);
        if is_charged {
            charged = Picos(0);
        }
    }
}

const REQUESTS: [&str; 3] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];
const TOKENS: [&str; 3] = [
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];

/// The most plugin instances that a request holds at once: one while it is decided, one a guard while it is answered.
fn instances(policy: &PolicyLive) -> u32 {
    if policy.phases.iter().all(Vec::is_empty) {
        return 0;
    }
    count(policy.response_guards().len()).max(1)
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
