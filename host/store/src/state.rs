//! All control state at one sequence of the journal, as persistent maps: a copy is cheap and never changes.

use std::sync::Arc;

use imbl::OrdMap;
use pointsman_domain::Digest;
use pointsman_domain::control::{Change, Entry, Idempotency, Key, Plugin, Prices, Tenant, Version};

/// A policy: its versions, and which of them serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyLine {
    /// By number.
    pub versions: OrdMap<u64, Arc<Version>>,
    /// What serves; none before the first activation.
    pub active: Option<u64>,
    /// What served before, where `rollback` goes.
    pub previous: Option<u64>,
    /// The sequence of its last activation; its entity tag.
    pub activated_at: u64,
}

/// All control state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Of the last entry; the generation of the snapshot.
    pub sequence: u64,
    /// By id.
    pub tenants: OrdMap<String, Arc<Tenant>>,
    /// The sequence at which each tenant was last put: its entity tag.
    pub tenant_tags: OrdMap<String, u64>,
    /// By id.
    pub keys: OrdMap<String, Arc<Key>>,
    /// By digest.
    pub plugins: OrdMap<Digest, Arc<Plugin>>,
    /// By name.
    pub policies: OrdMap<String, PolicyLine>,
    /// In force.
    pub prices: Option<Arc<Prices>>,
    /// What idempotency keys did, by key; with the time of the entry in milliseconds since the epoch.
    pub idempotency: OrdMap<String, (u64, Arc<Idempotency>)>,
    /// Whether the folders of the first start were imported.
    pub seeded: bool,
    /// The idempotency keys by time, so that forgetting old ones costs what is forgotten.
    idempotency_order: OrdMap<(u64, String), ()>,
}

/// How long what an idempotency key did is remembered.
pub const IDEMPOTENCY_MS: u64 = 24 * 60 * 60 * 1000;

/// How many idempotency keys are remembered at most; above it the oldest is forgotten early.
pub const IDEMPOTENCY_KEYS_MAX: usize = 10_000;

impl State {
    /// Applies an entry. Total: an entry that the journal holds is a fact, and what it refers to and is not there is
    /// simply not changed.
    pub fn apply(&mut self, entry: &Entry) {
        self.sequence = entry.sequence;
        match &entry.change {
            Change::PluginPushed(plugin) => {
                self.plugins.insert(plugin.digest, Arc::new(plugin.clone()));
            }
            Change::VersionPushed(version) => {
                let line = self.policies.entry(version.policy.clone()).or_default();
                line.versions
                    .insert(version.number, Arc::new(version.clone()));
            }
            Change::Activated {
                policy,
                version,
                previous,
                ..
            } => {
                let line = self.policies.entry(policy.clone()).or_default();
                line.active = Some(*version);
                line.previous = *previous;
                line.activated_at = entry.sequence;
            }
            Change::TenantPut(tenant) => {
                self.tenant_tags.insert(tenant.id.clone(), entry.sequence);
                self.tenants
                    .insert(tenant.id.clone(), Arc::new(tenant.clone()));
            }
            Change::TenantRemoved { id } => {
                self.tenants.remove(id);
                self.tenant_tags.remove(id);
                let gone: Vec<String> = self
                    .keys
                    .values()
                    .filter(|key| key.tenant == *id)
                    .map(|key| key.id.clone())
                    .collect();
                for key in gone {
                    self.keys.remove(&key);
                }
            }
            Change::KeyCreated(key) => {
                self.keys.insert(key.id.clone(), Arc::new(key.clone()));
            }
            Change::KeyRevoked { id } => self.change_key(id, |key| {
                key.revoked_ms.get_or_insert(entry.at_ms);
            }),
            Change::KeyRotated {
                id,
                expires_ms,
                key,
            } => {
                self.change_key(id, |old| {
                    old.expires_ms =
                        Some(old.expires_ms.map_or(*expires_ms, |at| at.min(*expires_ms)));
                });
                self.keys.insert(key.id.clone(), Arc::new(key.clone()));
            }
            Change::PricesPut(prices) => self.prices = Some(Arc::new(prices.clone())),
            Change::Seeded => self.seeded = true,
        }
        if let Some(done) = &entry.idempotency {
            self.remember(entry.at_ms, Arc::new(done.clone()));
        }
    }

    fn change_key(&mut self, id: &str, change: impl FnOnce(&mut Key)) {
        if let Some(key) = self.keys.get_mut(id) {
            change(Arc::make_mut(key));
        }
    }

    /// Remembers what an idempotency key did, and forgets what is too old by the time of this entry.
    fn remember(&mut self, at_ms: u64, done: Arc<Idempotency>) {
        self.recall(at_ms, done);
        while let Some(((oldest_ms, _), ())) = self.idempotency_order.get_min() {
            let kept = self.idempotency_order.len() <= IDEMPOTENCY_KEYS_MAX
                && oldest_ms.saturating_add(IDEMPOTENCY_MS) > at_ms;
            if kept {
                return;
            }
            let (oldest, order) = self.idempotency_order.without_min_with_key();
            self.idempotency_order = order;
            if let Some(((_, key), ())) = oldest {
                self.idempotency.remove(&key);
            }
        }
    }

    /// Puts back what an idempotency key did, and forgets nothing.
    pub(crate) fn recall(&mut self, at_ms: u64, done: Arc<Idempotency>) {
        let key = done.key.clone();
        if let Some((before, _)) = self.idempotency.insert(key.clone(), (at_ms, done)) {
            self.idempotency_order.remove(&(before, key.clone()));
        }
        self.idempotency_order.insert((at_ms, key), ());
    }
}
