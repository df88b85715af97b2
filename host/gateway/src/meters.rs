//! Limits and budgets for real: what each tenant and key has taken, node-wide, whatever snapshot a request has pinned.
//!
//! Promises: the same id has the same counters for as long as anything counts against it; other limits and budgets
//! take effect at once for every request that has not passed them yet; what one scope takes never waits for another
//! scope. Refuses to know HTTP, what plugins do, and the decision log: balances come in as sums and go out as views.

mod admission;
mod counts;
mod refusal;
mod reservation;
mod scope;
mod share;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pointsman_control::api::Balance;
use pointsman_domain::Picos;
use pointsman_domain::control::{Budget, Limits};
use pointsman_traffic::window::{DAY_MS, Window};

use crate::limits;

pub(crate) use admission::{Admission, Draws, Scopes};
pub(crate) use refusal::Refusal;
pub(crate) use reservation::{Reservation, Wanted};
pub(crate) use scope::{Left, ScopeMeter};
pub(crate) use share::Share;

/// Whose limits and budgets. Two are the same scope where kind and id are.
#[derive(Clone, Debug)]
pub(crate) enum ScopeId {
    /// A tenant's own.
    Tenant(String),
    /// A key's, beneath its tenant's.
    Key { id: String, tenant: String },
}

impl ScopeId {
    /// `tenant` or `key`.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::Key { .. } => "key",
        }
    }

    /// The tenant's or key's id.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Tenant(id) | Self::Key { id, .. } => id,
        }
    }

    pub(crate) fn tenant(&self) -> &str {
        match self {
            Self::Tenant(tenant) | Self::Key { tenant, .. } => tenant,
        }
    }

    /// What the names of its windows begin with: `tenant/demo`.
    pub(crate) fn prefix(&self) -> String {
        format!("{}/{}", self.kind(), self.id())
    }
}

/// The two clocks of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Milliseconds since the epoch: what windows go by.
    pub(crate) epoch_ms: u64,
    /// Milliseconds that never go back: what rates go by.
    pub(crate) monotonic_ms: u64,
}

#[derive(Default)]
struct Registry {
    /// By prefix.
    scopes: HashMap<String, Arc<ScopeMeter>>,
    /// What was charged before the start, for scopes that nobody has asked for yet.
    charged: HashMap<String, Vec<(Window, Picos)>>,
    /// Scopes at the last sweep.
    swept: usize,
}

/// Every scope of the node.
pub(crate) struct Meters {
    registry: Mutex<Registry>,
    /// Plugin instances that one tenant's requests may hold at once.
    tenant_instances: u32,
    epoch: Instant,
}

impl Meters {
    /// With the charges of windows that are still open, by the names that records give them, and the instances that
    /// the plugin runtime has.
    pub(crate) fn new(
        instances_max: u32,
        charged: &BTreeMap<String, Picos>,
        epoch_ms: u64,
        epoch: Instant,
    ) -> Self {
        let mut registry = Registry::default();
        for (name, picos) in charged {
            let Some((prefix, window)) = window_of(name) else {
                tracing::warn!(window = %name, "a budget window of the decision log has no name of ours; it is not counted");
                continue;
            };
            // A clock that was wrong by days must not close today's window for good.
            if window.start_ms() <= epoch_ms.saturating_add(DAY_MS) {
                let windows = registry.charged.entry(prefix.to_owned()).or_default();
                windows.push((window, *picos));
            }
        }
        Self {
            registry: Mutex::new(registry),
            tenant_instances: (instances_max / limits::TENANT_INSTANCES_SHARE).max(1),
            epoch,
        }
    }

    /// The counters of a scope. Limits and budgets are in force at once for everyone who holds it.
    pub(crate) fn scope(
        &self,
        id: ScopeId,
        limits: &Limits,
        budgets: &[Budget],
    ) -> Arc<ScopeMeter> {
        let prefix = id.prefix();
        let now = self.now();
        let mut registry = self.registry();
        let meter = match registry.scopes.get(&prefix) {
            Some(meter) => Arc::clone(meter),
            None => {
                registry.sweep(now);
                let charged = registry.charged.remove(&prefix).unwrap_or_default();
                let meter = Arc::new(ScopeMeter::new(id, self.tenant_instances, &charged, now));
                registry.scopes.insert(prefix, Arc::clone(&meter));
                meter
            }
        };
        drop(registry);
        meter.set(limits, budgets, now);
        meter
    }

    /// Counts what another process charged, in the windows that its records name.
    pub(crate) fn charge(&self, charged: &BTreeMap<String, Picos>) {
        for (name, picos) in charged {
            let Some((prefix, window)) = window_of(name) else {
                continue;
            };
            let mut registry = self.registry();
            match registry.scopes.get(prefix) {
                Some(scope) => scope.purse().ledger.charge(window, *picos),
                None => {
                    let windows = registry.charged.entry(prefix.to_owned()).or_default();
                    windows.push((window, *picos));
                }
            }
        }
    }

    /// How every window stands that is limited or used, by its name.
    pub(crate) fn balances(&self) -> Vec<Balance> {
        let now = self.now();
        let scopes: Vec<_> = self.registry().scopes.values().cloned().collect();
        let mut balances: Vec<Balance> = scopes
            .iter()
            .flat_map(|scope| scope.balances(now.epoch_ms))
            .collect();
        balances.sort_by(|a, b| a.window.cmp(&b.window));
        balances
    }

    /// The time, by both clocks.
    pub(crate) fn now(&self) -> Now {
        Now {
            epoch_ms: crate::pipeline::epoch_ms(),
            monotonic_ms: u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Default for Meters {
    fn default() -> Self {
        Self::new(100, &BTreeMap::new(), 0, Instant::now())
    }
}

impl Registry {
    /// Forgets scopes that nobody holds and nothing counts against, once their number has doubled.
    fn sweep(&mut self, now: Now) {
        if self.scopes.len() < (2 * self.swept).max(limits::SCOPES_BEFORE_SWEEP) {
            return;
        }
        self.scopes
            .retain(|_, scope| Arc::strong_count(scope) > 1 || scope.is_in_use(now));
        self.swept = self.scopes.len();
    }
}

/// `tenant/demo/day/2026-11-24` as the scope's prefix and the window.
fn window_of(name: &str) -> Option<(&str, Window)> {
    let after_kind = name.find('/')? + 1;
    let after_id = after_kind + name[after_kind..].find('/')?;
    let window = Window::parse(&name[after_id + 1..])?;
    matches!(&name[..after_kind], "tenant/" | "key/").then_some((&name[..after_id], window))
}

#[cfg(test)]
mod tests;
