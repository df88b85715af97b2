//! The bodies of the control API that are not nouns of the domain. JSON keys are kebab-case.

use std::collections::BTreeMap;

use pointsman_domain::Digest;
use pointsman_domain::control::{
    Budget, Entry, Key, Limits, Period, Plugin, Prices, Tenant, Version,
};
use pointsman_domain::money::{Picos, usd};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A bundle's files by their path below its folder: `policy.toml`, `cases.jsonl`, `policy.lock`, data. Bytes as base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schema(examples(json!({"files": {"policy.toml": "bmFtZSA9ICJxdWlja3N0YXJ0Igo="}})))]
pub struct Bundle {
    /// Path and content.
    pub files: BTreeMap<String, String>,
}

/// One thing that is wrong or doubtful.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Whether it refuses the bundle.
    pub error: bool,
    /// Where: `step[2].config`; empty for the whole.
    pub path: String,
    /// File and line, where it is known: `policy.toml:12:3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// What one case of a bundle came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// Its line in `cases.jsonl`.
    pub line: usize,
    /// What differs from what it expects; empty where it holds.
    pub mismatches: Vec<String>,
}

/// What a check of a bundle came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Checked {
    /// Whether it would be taken.
    pub sound: bool,
    /// The version that it is already, where the same content was pushed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// All that is wrong or doubtful.
    pub findings: Vec<Finding>,
    /// Every case.
    pub cases: Vec<CaseResult>,
}

/// A version that was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PushedVersion {
    /// Its number.
    pub version: u64,
    /// Of its content.
    pub digest: Digest,
    /// Warnings.
    pub findings: Vec<Finding>,
    /// What serves now, so that the caller can tell what activation would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<u64>,
    /// What differs from the active version.
    pub changes: Vec<DiffLine>,
    /// The tenants that an activation would concern.
    pub tenants: Vec<String>,
    /// The policy's entity tag.
    pub etag: String,
}

/// A policy and its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// Whether it is the floor.
    pub floor: bool,
    /// What serves.
    pub active: Option<u64>,
    /// Where `rollback` goes.
    pub previous: Option<u64>,
    /// Its entity tag.
    pub etag: String,
    /// Why its active version does not serve, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// Oldest first.
    pub versions: Vec<Version>,
}

/// A version and its bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct VersionView {
    /// What it is.
    pub version: Version,
    /// As it was pushed.
    pub bundle: Bundle,
}

/// One difference between two versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DiffLine {
    /// What: `step pii-in`, `target cloud`, `execute.deadline-ms`, `file words.txt`.
    pub what: String,
    /// `added`, `removed`, `changed`, `moved`.
    pub how: String,
    /// Before, where it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// After, where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What differs between two versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Diff {
    /// The older one.
    pub from: u64,
    /// The newer one.
    pub to: u64,
    /// All of it.
    pub lines: Vec<DiffLine>,
}

/// Body of `activate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schema(examples(json!({"version": 1})))]
pub struct ActivateWanted {
    /// Which version.
    pub version: u64,
}

/// Body of `rollback`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schema(examples(json!({})))]
pub struct RollbackWanted {
    /// Which version; none: the one that served before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// An activation that is durable and live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(examples(json!({"generation": 42, "version": 3, "previous": 2, "etag": "42", "commit-to-live-us": 180})))]
pub struct Activated {
    /// The snapshot that serves it.
    pub generation: u64,
    /// What serves.
    pub version: u64,
    /// What served before.
    pub previous: Option<u64>,
    /// The policy's new entity tag.
    pub etag: String,
    /// Microseconds from the journal's commit until requests saw it; none where an idempotent call is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_to_live_us: Option<u64>,
}

/// Body of `PUT /admin/v1/tenants/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schema(examples(json!({"policy": "quickstart", "limits": {"requests-per-minute": 600, "concurrent": 20}, "budget": [{"period": "month", "usd": "50"}]})))]
pub struct TenantWanted {
    /// The policy whose active version serves it.
    pub policy: String,
    /// How much traffic.
    #[serde(default)]
    pub limits: Limits,
    /// What it may spend; at most one a period.
    #[serde(default, rename = "budget")]
    pub budgets: Vec<Budget>,
}

/// A tenant and its entity tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct TenantView {
    /// What it is.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// Its entity tag: changes with each change of the tenant.
    pub etag: String,
}

/// Body of `POST /admin/v1/tenants/{id}/keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schema(examples(json!({"scopes": ["chat", "models"], "expires-in-s": 2592000, "budget": [{"period": "day", "usd": "2.50"}]})))]
pub struct KeyWanted {
    /// What it may do; empty: all.
    pub scopes: Vec<String>,
    /// Seconds until it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
    /// How much traffic.
    pub limits: Limits,
    /// What it may spend.
    #[serde(rename = "budget")]
    pub budgets: Vec<Budget>,
}

/// Body of `POST /admin/v1/tenants/{id}/keys/{key}/rotate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schema(examples(json!({"overlap-s": 3600})))]
pub struct RotateWanted {
    /// Seconds for which both are taken; none: a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_s: Option<u64>,
}

/// A new key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(examples(json!({"key": {"id": "key-3097d9c4c3e9", "tenant": "demo", "scopes": ["chat", "models"], "state": "live", "limits": {}, "budget": [], "created-ms": 1795564800000u64, "expires-ms": null, "revoked-ms": null, "replaces": null}, "secret": "pm-…"})))]
pub struct KeyMade {
    /// What is kept of it.
    pub key: KeyView,
    /// The key itself: told this once. None where an idempotent call is repeated.
    pub secret: Option<String>,
}

/// A key as operators see it: without its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct KeyView {
    /// `key-…`.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// `live`, `expired`, `revoked`.
    pub state: String,
    /// How much traffic.
    pub limits: Limits,
    /// What it may spend.
    #[serde(rename = "budget")]
    pub budgets: Vec<Budget>,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Refused from then on.
    pub expires_ms: Option<u64>,
    /// Refused since then.
    pub revoked_ms: Option<u64>,
    /// The key that it takes over from.
    pub replaces: Option<String>,
}

impl KeyView {
    /// What operators see of a key at a time.
    #[must_use]
    pub fn of(key: &Key, now_ms: u64) -> Self {
        let state = if key.revoked_ms.is_some() {
            "revoked"
        } else if key.expires_ms.is_some_and(|at| at <= now_ms) {
            "expired"
        } else {
            "live"
        };
        Self {
            id: key.id.clone(),
            tenant: key.tenant.clone(),
            scopes: key.scopes.clone(),
            state: state.to_owned(),
            limits: key.limits,
            budgets: key.budgets.clone(),
            created_ms: key.created_ms,
            expires_ms: key.expires_ms,
            revoked_ms: key.revoked_ms,
            replaces: key.replaces.clone(),
        }
    }
}

/// How one budget stands in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Balance {
    /// `tenant/demo/month/2026-11`, as decisions name it.
    pub window: String,
    /// Whose.
    pub tenant: String,
    /// The key, where it is a key's budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its period.
    pub period: Period,
    /// What may be spent; none where nothing limits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_usd: Option<String>,
    /// Settled.
    #[serde(with = "usd", rename = "spent-usd")]
    #[schema(value_type = String, example = "0.00048")]
    pub spent: Picos,
    /// Set aside for requests under way.
    #[serde(with = "usd", rename = "reserved-usd")]
    #[schema(value_type = String, example = "0")]
    pub reserved: Picos,
}

/// One target of an active policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct TargetView {
    /// The policy.
    pub policy: String,
    /// Its version.
    pub version: u64,
    /// Its name.
    pub name: String,
    /// What it calls the model.
    pub model: String,
    /// Its base URL.
    pub endpoint: String,
    /// Whether attempts go to it.
    pub healthy: bool,
    /// Requests under way.
    pub in_flight: u32,
}

/// Answer of `GET /admin/v1/plugins`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Plugins {
    /// All of them.
    pub plugins: Vec<Plugin>,
}

/// Answer of `GET /admin/v1/policies`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Policies {
    /// All of them.
    pub policies: Vec<PolicyView>,
}

/// Answer of `GET /admin/v1/policies/{name}/versions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Versions {
    /// Oldest first.
    pub versions: Vec<Version>,
}

/// Answer of `GET /admin/v1/tenants`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Tenants {
    /// All of them.
    pub tenants: Vec<TenantView>,
}

/// Answer of `GET /admin/v1/tenants/{id}/keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Keys {
    /// All of the tenant's, revoked and expired ones too.
    pub keys: Vec<KeyView>,
}

/// Answer of `GET /admin/v1/prices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PricesView {
    /// What it is.
    #[serde(flatten)]
    pub prices: Prices,
    /// The text of the `prices.jsonl` that was put.
    pub text: String,
}

/// Answer of `GET /admin/v1/usage`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Usage {
    /// One a budget and window.
    pub balances: Vec<Balance>,
}

/// Answer of `GET /admin/v1/targets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Targets {
    /// Of all active policies.
    pub targets: Vec<TargetView>,
}

/// Answer of `GET /admin/v1/changes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Changes {
    /// Oldest first; those of keys without their hash.
    pub changes: Vec<Entry>,
}
