//! Control state: what must not roll back with a policy, and the changes that make it.
//!
//! Every change is one [`Entry`] of the control journal, which is the commit and the control audit at once. No field
//! holds a secret: keys are there as keyed hashes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::Role;
use crate::id::Digest;
use crate::money::{Picos, usd};

/// How much traffic a tenant or a key may send; what is none is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Requests that may begin in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Tokens in and out together in a minute; reserved before, settled after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Requests under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The window of a budget, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first to the last of a month.
    Month,
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Month => "month",
        })
    }
}

/// What may be spent in one window. Zero lets nothing through that costs anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Budget {
    /// Its window.
    pub period: Period,
    /// Dollars as a decimal string: `"12.50"`.
    #[serde(with = "usd")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = String, pattern = r"^[0-9]+(\.[0-9]{1,12})?$", example = "12.50")
    )]
    pub usd: Picos,
}

/// Who pays and whose policy applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tenant {
    /// Lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// The policy whose active version serves it.
    pub policy: String,
    /// How much traffic.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// What it may spend; at most one a period.
    #[serde(default, rename = "budget", skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
}

/// A virtual key. The key itself is shown once and never stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Key {
    /// `key-…`; what records and operators call it.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// HMAC-SHA256 of the key under the node's pepper, as hex digits.
    pub hash: String,
    /// What it may do: `chat`, `models`.
    pub scopes: Vec<String>,
    /// How much traffic, beneath the tenant's own limits.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// What it may spend, beneath the tenant's own budgets.
    #[serde(default, rename = "budget", skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Refused from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Refused since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
    /// The key that this one takes over from; that one expires when the overlap ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// A plugin that was pushed; its bytes lie beside the state, by digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plugin {
    /// sha256 of its bytes: its identity.
    pub digest: Digest,
    /// What it calls itself.
    pub name: String,
    /// Its semver.
    pub version: String,
    /// What it can be.
    pub roles: Vec<Role>,
    /// The host interfaces that it calls.
    pub imports: Vec<String>,
    /// JSON Schema of its configuration, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<serde_json::Value>,
    /// Its size.
    pub bytes: u64,
    /// Milliseconds since the epoch.
    pub pushed_ms: u64,
}

/// One immutable version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Version {
    /// The policy's name.
    pub policy: String,
    /// From 1, never reused.
    pub number: u64,
    /// Of its content: policy, plugins' digests, data. The same content is the same version.
    pub digest: Digest,
    /// The blob that holds its bundle as it was pushed.
    pub bundle: Digest,
    /// Whether it is a floor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub floor: bool,
    /// The author's label, `version` in `policy.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The plugin that each step means, pinned when it was pushed: step id and digest.
    pub plugins: Vec<Pin>,
    /// Milliseconds since the epoch.
    pub pushed_ms: u64,
}

/// The plugin that a reference of a version means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pin {
    /// As the policy writes it: `guard-pii@0.1`.
    pub plugin: String,
    /// What it means.
    pub digest: Digest,
}

/// The price catalogue in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Prices {
    /// Of its content; decisions name it.
    pub digest: Digest,
    /// The blob that holds it.
    pub blob: Digest,
    /// Rows.
    pub rows: u64,
    /// Milliseconds since the epoch.
    pub put_ms: u64,
}

/// One change of control state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "change"
)]
pub enum Change {
    /// A plugin's bytes are there.
    PluginPushed(Plugin),
    /// A policy has another version.
    VersionPushed(Version),
    /// A policy's version serves from here on.
    #[cfg_attr(feature = "openapi", schema(rename_all = "kebab-case"))]
    Activated {
        /// The policy.
        policy: String,
        /// What serves now.
        version: u64,
        /// What served before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<u64>,
        /// Whether it went back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        rollback: bool,
    },
    /// A tenant is there, or is there otherwise than before.
    TenantPut(Tenant),
    /// A tenant is gone, and its keys with it.
    #[cfg_attr(feature = "openapi", schema(rename_all = "kebab-case"))]
    TenantRemoved {
        /// Whose.
        id: String,
    },
    /// A key was made.
    KeyCreated(Key),
    /// A key is refused from here on.
    #[cfg_attr(feature = "openapi", schema(rename_all = "kebab-case"))]
    KeyRevoked {
        /// Its id.
        id: String,
    },
    /// A key was replaced by another, and expires when their overlap ends.
    #[cfg_attr(feature = "openapi", schema(rename_all = "kebab-case"))]
    KeyRotated {
        /// The old key's id.
        id: String,
        /// When the old one expires.
        expires_ms: u64,
        /// The new one.
        key: Key,
    },
    /// Other prices are in force.
    PricesPut(Prices),
    /// The folders that the first start imports were imported.
    Seeded,
}

/// What one idempotency key of the control API did, so that a repeated call is told the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Idempotency {
    /// The caller's key.
    pub key: String,
    /// Of method, path and body: another request with the same key is refused.
    pub request: Digest,
    /// The status that was answered.
    pub status: u16,
    /// The answer, without the secret of a new key.
    pub answer: serde_json::Value,
}

/// One line of the control journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// From 1, without gaps: the generation of the snapshot that it led to.
    pub sequence: u64,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// Who: `admin`, `seed`, `cli`.
    pub actor: String,
    /// What.
    #[serde(flatten)]
    pub change: Change,
    /// Under which idempotency key, where the caller gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_as_it_was_written() {
        let tenant = Tenant {
            id: "demo".to_owned(),
            policy: "quickstart".to_owned(),
            limits: Limits {
                concurrent: Some(3),
                ..Limits::default()
            },
            budgets: vec![Budget {
                period: Period::Month,
                usd: Picos(12_500_000_000_000),
            }],
        };
        let entry = Entry {
            sequence: 7,
            at_ms: 1,
            actor: "admin".to_owned(),
            change: Change::TenantPut(tenant),
            idempotency: None,
        };
        let json = serde_json::to_string(&entry).expect("written");
        assert_eq!(
            json,
            r#"{"sequence":7,"at-ms":1,"actor":"admin","change":"tenant-put","id":"demo","policy":"quickstart","limits":{"concurrent":3},"budget":[{"period":"month","usd":"12.5"}]}"#
        );
        assert_eq!(serde_json::from_str::<Entry>(&json).expect("read"), entry);
    }
}
