//! The counters of one tenant or key: request rate and concurrency without a lock, tokens and money under a short one.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use pointsman_control::api::Balance;
use pointsman_domain::Picos;
use pointsman_domain::control::{Budget, Limits};
use pointsman_traffic::budget::Ledger;
use pointsman_traffic::rate::TokenBucket;
use pointsman_traffic::window::Window;

use super::counts::Counts;
use super::refusal::Refusal;
use super::share::{Held, Share};
use super::{Now, ScopeId};

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// How many are left of how many, and how long until all are back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    pub(crate) reset_ms: u64,
}

/// What is in force.
struct Settings {
    limits: Limits,
    budgets: Vec<Budget>,
    /// Where requests a minute are limited, and to more than none.
    requests: Option<Arc<Limiter>>,
}

/// Tokens and money.
pub(super) struct Purse {
    pub(super) bucket: Option<TokenBucket>,
    pub(super) ledger: Ledger,
}

/// The counters of one scope, shared by all that hold it.
pub(crate) struct ScopeMeter {
    pub(super) id: ScopeId,
    settings: ArcSwap<Settings>,
    concurrent: AtomicU32,
    held: Held,
    instances: AtomicU32,
    instances_max: u32,
    purse: Mutex<Purse>,
    pub(super) counts: Counts,
}

impl std::fmt::Debug for ScopeMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScopeMeter")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ScopeMeter {
    pub(super) fn new(
        id: ScopeId,
        instances_max: u32,
        charged: &[(Window, Picos)],
        now: Now,
    ) -> Self {
        let mut ledger = Ledger::new(now.epoch_ms);
        for (window, picos) in charged {
            ledger.charge(*window, *picos);
        }
        Self {
            id,
            settings: ArcSwap::from_pointee(Settings {
                limits: Limits::default(),
                budgets: Vec::new(),
                requests: None,
            }),
            concurrent: AtomicU32::new(0),
            held: Held::default(),
            instances: AtomicU32::new(0),
            instances_max,
            purse: Mutex::new(Purse {
                bucket: None,
                ledger,
            }),
            counts: Counts::default(),
        }
    }

    pub(super) const fn id(&self) -> &ScopeId {
        &self.id
    }

    /// Whose it is.
    pub(crate) fn tenant(&self) -> &str {
        self.id.tenant()
    }

    /// What its requests hold of what all share.
    pub(crate) const fn held(&self) -> &Held {
        &self.held
    }

    /// The refusal that it holds its share.
    pub(crate) fn over_share(&self, limit: &'static str, of: &str, share: Share) -> Refusal {
        Refusal::share(&self.id, limit, of, share)
    }

    /// The lock is held for arithmetic alone, never over an await.
    pub(super) fn purse(&self) -> MutexGuard<'_, Purse> {
        self.purse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts limits and budgets in force; what was taken before still counts.
    pub(super) fn set(&self, limits: &Limits, budgets: &[Budget], now: Now) {
        let known = self.settings.load();
        if known.limits == *limits && known.budgets == budgets {
            return;
        }
        // Under the lock, so that two who set at once leave one whole setting.
        let mut purse = self.purse();
        let before = self.settings.load_full();
        let per_minute = limits.requests_per_minute;
        let requests = if per_minute == before.limits.requests_per_minute {
            before.requests.clone()
        } else {
            limiter(per_minute, &before)
        };
        match (&mut purse.bucket, limits.tokens_per_minute) {
            (Some(bucket), Some(limit)) => bucket.set_limit(limit, now.monotonic_ms),
            (bucket, limit) => {
                *bucket = limit.map(|limit| TokenBucket::new(limit, now.monotonic_ms));
            }
        }
        purse.ledger.set_budgets(budgets);
        self.settings.store(Arc::new(Settings {
            limits: *limits,
            budgets: budgets.to_vec(),
            requests,
        }));
    }

    /// Counts a request that begins; how many more may, where that is limited.
    pub(super) fn begin(&self) -> Result<Option<Left>, Refusal> {
        let settings = self.settings.load();
        let Some(limit) = settings.limits.requests_per_minute else {
            return Ok(None);
        };
        let refuse = |next: &str, retry_after_ms| {
            let may = format!("may begin {limit} requests a minute");
            let which = "requests-per-minute";
            Err(Refusal::rate(which, &self.id, &may, next, retry_after_ms))
        };
        let Some(requests) = &settings.requests else {
            return refuse("it may send none", None);
        };
        match requests.check() {
            Ok(state) => {
                let remaining = u64::from(state.remaining_burst_capacity());
                let limit = u64::from(limit);
                Ok(Some(Left {
                    limit,
                    remaining,
                    reset_ms: limit.saturating_sub(remaining) * 60_000 / limit,
                }))
            }
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                refuse(
                    &format!("try again in {} s", ms.div_ceil(1000).max(1)),
                    Some(ms),
                )
            }
        }
    }

    /// A place among the requests under way.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place, Refusal> {
        let limit = self.settings.load().limits.concurrent;
        let place = Place(Arc::clone(self));
        let under_way = self.concurrent.fetch_add(1, Ordering::Relaxed);
        match limit {
            Some(limit) if under_way >= limit => {
                let may = format!("may have {limit} requests under way at once");
                let next = "try again when one has ended";
                let again = (limit > 0).then_some(1_000);
                Err(Refusal::rate("concurrent", &self.id, &may, next, again))
            }
            Some(_) | None => Ok(place),
        }
    }

    /// So many plugin instances of the tenant's share.
    pub(super) fn claim(self: &Arc<Self>, count: u32) -> Result<Claim, Refusal> {
        let claim = Claim {
            meter: Arc::clone(self),
            count,
        };
        let held = self.instances.fetch_add(count, Ordering::Relaxed);
        // One request alone may hold more than the share, or a small share would serve nobody.
        if held > 0 && held.saturating_add(count) > self.instances_max {
            return Err(Refusal::instances(&self.id, self.instances_max));
        }
        Ok(claim)
    }

    /// Whether a budget limits it.
    pub(super) fn has_budget(&self) -> bool {
        !self.settings.load().budgets.is_empty()
    }

    /// What may still be spent, in the window with the least.
    pub(crate) fn money_left(&self, epoch_ms: u64) -> Option<Picos> {
        if !self.has_budget() {
            return None;
        }
        self.purse().ledger.left(epoch_ms)
    }

    /// Whether it must be remembered though nobody holds it.
    pub(super) fn is_in_use(&self, now: Now) -> bool {
        let standings = self.purse().ledger.standings(now.epoch_ms);
        standings
            .iter()
            .any(|standing| standing.spent != Picos(0) || standing.reserved != Picos(0))
    }

    /// Its windows, where they are limited or used.
    pub(super) fn balances(&self, epoch_ms: u64) -> Vec<Balance> {
        let standings = self.purse().ledger.standings(epoch_ms);
        let told = standings.iter().filter(|standing| {
            standing.limit.is_some() || standing.spent != Picos(0) || standing.reserved != Picos(0)
        });
        told.map(|standing| Balance {
            window: self.window_name(&standing.window),
            tenant: self.id.tenant().to_owned(),
            key: match &self.id {
                ScopeId::Tenant(_) => None,
                ScopeId::Key { id, .. } => Some(id.clone()),
            },
            period: standing.window.period(),
            limit_usd: standing.limit.map(Picos::to_usd_string),
            spent: standing.spent,
            reserved: standing.reserved,
        })
        .collect()
    }

    /// As records name it: `tenant/demo/day/2026-11-24`.
    pub(super) fn window_name(&self, window: &Window) -> String {
        format!("{}/{}/{window}", self.id.kind(), self.id.id())
    }
}

/// A limiter that counts what began under the one before.
fn limiter(per_minute: Option<u32>, before: &Settings) -> Option<Arc<Limiter>> {
    let burst = NonZeroU32::new(per_minute?)?;
    let limiter = RateLimiter::direct(Quota::per_minute(burst)).with_middleware();
    let began = match (&before.requests, before.limits.requests_per_minute) {
        (Some(requests), Some(limit)) => match requests.check() {
            // Less the one that this look has counted.
            Ok(state) => limit.saturating_sub(state.remaining_burst_capacity() + 1),
            Err(_none_is_left) => limit,
        },
        _ => 0,
    };
    if let Some(began) = NonZeroU32::new(began.min(burst.get())) {
        let _fits_the_burst = limiter.check_n(began);
    }
    Some(Arc::new(limiter))
}

/// One of the requests under way; dropping it makes room.
#[derive(Debug)]
pub(super) struct Place(Arc<ScopeMeter>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.concurrent.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Plugin instances that a request may hold at once; dropping it gives them back.
#[derive(Debug)]
pub(super) struct Claim {
    meter: Arc<ScopeMeter>,
    count: u32,
}

impl Claim {
    /// Gives back what is over `count`.
    pub(super) fn shrink_to(&mut self, count: u32) {
        let over = self.count.saturating_sub(count);
        self.meter.instances.fetch_sub(over, Ordering::Relaxed);
        self.count -= over;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.meter
            .instances
            .fetch_sub(self.count, Ordering::Relaxed);
    }
}
