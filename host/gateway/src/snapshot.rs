//! All that requests need at one instant, immutable, behind one pointer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pointsman_domain::control::{Change, Key, Tenant};
use pointsman_domain::{Digest, ErrorKind, GatewayError};
use pointsman_plugin::{PriceBook, Step};
use pointsman_policy::policy::{Audit, Cache, OnFault, Phase};
use pointsman_policy::when::When;
use pointsman_store::State;
use pointsman_traffic::attempts::ExecuteSettings;
use pointsman_traffic::health::TargetHealth;
use pointsman_upstream::Credential;

use crate::meters::{Meters, ScopeId, ScopeMeter, Scopes};
use crate::tenants::Principal;

/// Every tenant, key and active policy, ready to run. Maps share structure with the snapshot before.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    /// What it was made from; its sequence is the generation.
    pub(crate) state: State,
    /// By name.
    pub(crate) policies: imbl::HashMap<String, PolicySlot>,
    /// By keyed hash.
    pub(crate) keys: imbl::HashMap<String, Arc<KeyLive>>,
    /// By id.
    pub(crate) tenants: imbl::HashMap<String, Arc<TenantLive>>,
}

/// The active version of a policy.
#[derive(Clone)]
pub(crate) enum PolicySlot {
    Live(Arc<PolicyLive>),
    /// Why it does not serve.
    Broken(Arc<str>),
}

/// A tenant with its counters, which outlive snapshots.
pub(crate) struct TenantLive {
    pub(crate) id: Arc<str>,
    pub(crate) policy: Arc<str>,
    pub(crate) meter: Arc<ScopeMeter>,
}

/// A key with its counters.
pub(crate) struct KeyLive {
    pub(crate) key: Arc<Key>,
    pub(crate) id: Arc<str>,
    pub(crate) meter: Arc<ScopeMeter>,
}

impl Snapshot {
    /// The snapshot's number.
    pub(crate) fn generation(&self) -> u64 {
        self.state.sequence
    }

    /// Tenants and keys of a state; policies come on top.
    pub(crate) fn of(state: State, meters: &Meters) -> Self {
        let mut snapshot = Self {
            state,
            ..Self::default()
        };
        let tenants: Vec<_> = snapshot.state.tenants.values().cloned().collect();
        let keys: Vec<_> = snapshot.state.keys.values().cloned().collect();
        for tenant in &tenants {
            snapshot.put_tenant(tenant, meters);
        }
        for key in keys {
            snapshot.put_key(key, meters);
        }
        snapshot
    }

    /// The snapshot after a change whose state is `state`. What a change of policies leads to is put on top by whoever
    /// built it.
    pub(crate) fn after(&self, change: &Change, state: State, meters: &Meters) -> Self {
        let mut next = self.clone();
        next.state = state;
        let key = |state: &State, id: &str| state.keys.get(id).cloned();
        match change {
            Change::TenantPut(tenant) => next.put_tenant(tenant, meters),
            Change::TenantRemoved { id } => {
                next.tenants.remove(id);
                let gone: Vec<String> = self
                    .keys
                    .iter()
                    .filter(|(_, key)| key.key.tenant == *id)
                    .map(|(hash, _)| hash.clone())
                    .collect();
                for hash in gone {
                    next.keys.remove(&hash);
                }
            }
            Change::KeyCreated(made) => {
                if let Some(key) = key(&next.state, &made.id) {
                    next.put_key(key, meters);
                }
            }
            Change::KeyRevoked { id } => {
                if let Some(key) = key(&next.state, id) {
                    next.put_key(key, meters);
                }
            }
            Change::KeyRotated { id, key: made, .. } => {
                for id in [id, &made.id] {
                    if let Some(key) = key(&next.state, id) {
                        next.put_key(key, meters);
                    }
                }
            }
            Change::PluginPushed(_)
            | Change::VersionPushed(_)
            | Change::Activated { .. }
            | Change::PricesPut(_)
            | Change::Seeded => {}
        }
        next
    }

    fn put_tenant(&mut self, tenant: &Tenant, meters: &Meters) {
        let scope = ScopeId::Tenant(tenant.id.clone());
        let live = TenantLive {
            id: tenant.id.as_str().into(),
            policy: tenant.policy.as_str().into(),
            meter: meters.scope(scope, &tenant.limits, &tenant.budgets),
        };
        self.tenants.insert(tenant.id.clone(), Arc::new(live));
    }

    fn put_key(&mut self, key: Arc<Key>, meters: &Meters) {
        let scope = ScopeId::Key {
            id: self.first_of(&key).to_owned(),
            tenant: key.tenant.clone(),
        };
        let live = KeyLive {
            id: key.id.as_str().into(),
            meter: meters.scope(scope, &key.limits, &key.budgets),
            key: Arc::clone(&key),
        };
        self.keys.insert(key.hash.clone(), Arc::new(live));
    }

    /// The key that this one stems from by rotations: all of them count in its windows, so that rotating a key sets
    /// nothing free.
    fn first_of<'a>(&'a self, key: &'a Key) -> &'a str {
        let mut first = key;
        while let Some(before) = &first.replaces
            && let Some(known) = self.state.keys.get(before)
        {
            first = known;
        }
        &first.id
    }

    /// The policy of a caller's tenant, or what an operator must do.
    pub(crate) fn policy_of(&self, principal: &Principal) -> Result<Arc<PolicyLive>, GatewayError> {
        let policy = &principal.policy;
        let reason = match self.policies.get(&**policy) {
            Some(PolicySlot::Live(live)) => return Ok(Arc::clone(live)),
            Some(PolicySlot::Broken(why)) => format!(
                "its active version does not build any more ({why}); activate another one: pointsman policy list"
            ),
            None => format!(
                "no version of it is active; push and activate one: pointsman policy push policies/{policy}"
            ),
        };
        let message = format!(
            "tenant {} uses the policy `{policy}`, but {reason}",
            principal.tenant
        );
        Err(GatewayError::new(ErrorKind::NoPolicy, message))
    }

    /// Compiled state that this snapshot holds: bytes by identity.
    pub(crate) fn images(&self) -> HashMap<usize, usize> {
        let live = self.policies.values().filter_map(|slot| match slot {
            PolicySlot::Live(live) => Some(live),
            PolicySlot::Broken(_) => None,
        });
        live.flat_map(|policy| policy.phases.iter().flatten())
            .map(|step| step.step.image())
            .collect()
    }
}

/// One step, ready to run.
pub(crate) struct LiveStep {
    pub(crate) id: String,
    pub(crate) phase: Phase,
    /// `name@version`.
    pub(crate) plugin: String,
    pub(crate) digest: Digest,
    pub(crate) on_fault: OnFault,
    pub(crate) required: bool,
    pub(crate) when: Option<When>,
    pub(crate) step: Arc<Step>,
    /// Its files that may be embedded; none where its plugin asks for no vectors.
    pub(crate) embeds: Option<Vec<FileText>>,
}

/// A data file that is text.
pub(crate) struct FileText {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) digest: Digest,
}

/// Where a policy's vectors come from.
#[derive(Clone)]
pub(crate) struct EmbeddingLive {
    /// Index into its targets.
    pub(crate) target: usize,
    pub(crate) timeout_ms: u64,
    pub(crate) text_bytes_max: u32,
    pub(crate) dimensions_max: usize,
}

/// One target, with what is known of its health by all workers.
#[derive(Clone)]
pub(crate) struct TargetLive {
    pub(crate) name: String,
    pub(crate) endpoint: http::Uri,
    pub(crate) model: String,
    pub(crate) credential: Option<Arc<Credential>>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) context_tokens: Option<u32>,
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) quality: Option<f64>,
    pub(crate) region: Option<String>,
    /// Whether streams are asked for usage (`stream_options.include_usage`).
    pub(crate) stream_usage: bool,
    /// The same for all versions of the policy in which the target is the same.
    pub(crate) health: TargetHealth,
}

/// One effective policy (floor and version), ready to run.
#[derive(Clone)]
pub(crate) struct PolicyLive {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) digest: Digest,
    pub(crate) prices_digest: Option<Digest>,
    /// Rates by target name.
    pub(crate) price_book: Arc<PriceBook>,
    /// Model → indexes into `targets`.
    pub(crate) models: BTreeMap<String, Vec<usize>>,
    /// In the order of `/v1/models`.
    pub(crate) model_names: Vec<String>,
    pub(crate) targets: Vec<TargetLive>,
    pub(crate) embedding: Option<EmbeddingLive>,
    /// The first is what a splitter's fallback means.
    pub(crate) variants: Vec<String>,
    pub(crate) default_plan: Vec<String>,
    pub(crate) execute: ExecuteSettings,
    pub(crate) cache: Cache,
    /// What its records hold of content; under the floor's.
    pub(crate) audit: Audit,
    /// Whose limits and budgets its requests draw on.
    pub(crate) scopes: Scopes,
    /// Shared with the same policy under other prices.
    pub(crate) phases: Arc<[Vec<LiveStep>; Phase::COUNT]>,
}

impl PolicyLive {
    pub(crate) fn steps(&self, phase: Phase) -> &[LiveStep] {
        &self.phases[phase as usize]
    }

    pub(crate) fn response_guards(&self) -> &[LiveStep] {
        self.steps(Phase::GuardResponse)
    }

    pub(crate) fn target(&self, name: &str) -> Option<&TargetLive> {
        self.targets.iter().find(|target| target.name == name)
    }
}
