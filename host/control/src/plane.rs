//! What operators do, as this listener sees it. Implementations may block: they run on threads for that.

use std::io::Write;

use bytes::Bytes;
use pointsman_domain::Digest;
use pointsman_domain::control::{Entry, Idempotency, Key, Plugin, Prices, Tenant};

use crate::api::{
    Activated, Balance, Bundle, Checked, Diff, KeyMade, KeyWanted, PolicyView, PushedVersion,
    RotateWanted, TargetView, TenantWanted, VersionView,
};

/// Who asks for a change, and under which conditions.
#[derive(Clone, Debug, Default)]
pub struct By {
    /// Who: `admin`.
    pub actor: String,
    /// The entity tag that the thing must still have (`If-Match`), without quotes.
    pub if_match: Option<String>,
    /// The caller's idempotency key and the digest of the request that it stands for.
    pub idempotency: Option<(String, Digest)>,
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Done<T> {
    /// It made something.
    Created(T),
    /// It was there already, or was changed.
    Ok(T),
    /// An earlier call with the same idempotency key did it.
    Replayed(Idempotency),
}

/// Why a change or a question is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaneError {
    /// 404.
    #[error("{what}")]
    NotFound {
        /// What is not there.
        what: String,
        /// What to do.
        next: String,
    },
    /// 409: it contradicts what is there.
    #[error("{what}")]
    Conflict {
        /// What.
        what: String,
        /// What to do.
        next: String,
    },
    /// 412: the thing has another entity tag than `If-Match` says.
    #[error("{what} has changed: its entity tag is \"{current}\" now")]
    Precondition {
        /// The policy or tenant.
        what: String,
        /// The tag that it has.
        current: String,
    },
    /// 422: it does not hold; nothing was changed.
    #[error("{what}")]
    Invalid {
        /// What.
        what: String,
        /// All that is wrong, placed.
        findings: Vec<crate::api::Finding>,
    },
    /// 413.
    #[error("{0}")]
    TooLarge(String),
    /// 503: the store cannot take a change now; nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// 500: a bug of ours.
    #[error("{0}")]
    Internal(String),
}

/// The control state of a node and what may be done to it. Every change is durable and live when it returns.
pub trait ControlPlane: Send + Sync {
    /// All plugins.
    fn plugins(&self) -> Vec<Plugin>;
    /// Loads a component and keeps it; the same bytes again are the same plugin.
    fn push_plugin(&self, by: &By, bytes: Bytes) -> Result<Done<Plugin>, PlaneError>;

    /// All policies.
    fn policies(&self) -> Vec<PolicyView>;
    /// One policy with its versions.
    fn policy(&self, name: &str) -> Result<PolicyView, PlaneError>;
    /// One version with its bundle.
    fn version(&self, name: &str, number: u64) -> Result<VersionView, PlaneError>;
    /// Keeps a bundle as a version; the same content again is the same version.
    fn push_version(
        &self,
        by: &By,
        name: &str,
        bundle: Bundle,
    ) -> Result<Done<PushedVersion>, PlaneError>;
    /// Checks a bundle and runs its cases; changes nothing.
    fn validate(&self, name: &str, bundle: Bundle) -> Result<Checked, PlaneError>;
    /// What differs between two versions.
    fn diff(&self, name: &str, from: u64, to: u64) -> Result<Diff, PlaneError>;
    /// Makes a version serve.
    fn activate(&self, by: &By, name: &str, version: u64) -> Result<Done<Activated>, PlaneError>;
    /// Makes the version before, or a named one, serve again.
    fn rollback(&self, by: &By, name: &str, to: Option<u64>)
    -> Result<Done<Activated>, PlaneError>;

    /// All tenants.
    fn tenants(&self) -> Vec<Tenant>;
    /// One tenant and its entity tag.
    fn tenant(&self, id: &str) -> Result<(Tenant, String), PlaneError>;
    /// Makes or changes a tenant; the answer has its new entity tag.
    fn put_tenant(
        &self,
        by: &By,
        id: &str,
        wanted: TenantWanted,
    ) -> Result<Done<(Tenant, String)>, PlaneError>;
    /// Removes a tenant and its keys.
    fn remove_tenant(&self, by: &By, id: &str) -> Result<Done<()>, PlaneError>;

    /// The keys of one tenant, or all.
    fn keys(&self, tenant: Option<&str>) -> Result<Vec<Key>, PlaneError>;
    /// Makes a key; its secret is told once.
    fn create_key(
        &self,
        by: &By,
        tenant: &str,
        wanted: KeyWanted,
    ) -> Result<Done<KeyMade>, PlaneError>;
    /// Makes a key that takes over from another, which expires after an overlap.
    fn rotate_key(
        &self,
        by: &By,
        tenant: &str,
        id: &str,
        wanted: RotateWanted,
    ) -> Result<Done<KeyMade>, PlaneError>;
    /// Refuses a key from here on.
    fn revoke_key(&self, by: &By, tenant: &str, id: &str) -> Result<Done<Key>, PlaneError>;

    /// The catalogue in force, and its text.
    fn prices(&self) -> Result<Option<(Prices, String)>, PlaneError>;
    /// Puts another catalogue in force: the text of a `prices.jsonl`.
    fn put_prices(&self, by: &By, text: &str) -> Result<Done<Prices>, PlaneError>;

    /// Spent, reserved and left, by budget window.
    fn usage(&self, tenant: Option<&str>) -> Vec<Balance>;
    /// The targets of all active policies, with their health.
    fn targets(&self) -> Vec<TargetView>;
    /// The control audit: entries behind `after`, oldest first.
    fn changes(&self, after: u64, limit: usize) -> Result<Vec<Entry>, PlaneError>;
    /// A consistent copy of the control state as a tar archive.
    fn backup(&self, out: &mut dyn Write) -> Result<(), PlaneError>;
}
