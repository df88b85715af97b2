//! What operators do, as this listener sees it. Implementations may block: they run on threads for that.

use std::io::Write;

use bytes::Bytes;
use pointsman_domain::Digest;
use pointsman_domain::control::{Entry, Idempotency, Plugin, Prices};
use serde::Serialize;

use crate::api::{
    Activated, Balance, Bundle, Checked, Diff, KeyMade, KeyView, KeyWanted, PolicyView,
    PushedVersion, RotateWanted, TargetView, TenantView, TenantWanted, VersionView,
};

/// What must hold of the thing that is changed (RFC 9110, section 13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `If-Match: *`: it is there.
    Exists,
    /// `If-None-Match: *`: it is not there.
    Absent,
    /// `If-Match: "a", "b"`: it has one of these entity tags, without quotes. Empty where the caller sent weak tags
    /// alone, which match nothing.
    Tag(Vec<String>),
}

/// Who asks for a change, and under which conditions.
///
/// An implementation asks [`By::earlier`] first, because a change that was made has changed the tag, then
/// [`By::check`], and keeps [`By::remember`] in the entry of the journal that commits the change.
#[derive(Clone, Debug, Default)]
pub struct By {
    /// Who: `admin`.
    pub actor: String,
    /// What must hold; none: nothing. Only policies, tenants and the price catalogue have entity tags: changes of
    /// plugins and keys come without.
    pub condition: Option<Condition>,
    /// The caller's idempotency key and the digest of the request that it stands for.
    pub idempotency: Option<(String, Digest)>,
}

impl By {
    /// Whether the condition holds of a thing, `what` it is and the entity tag that it has; none where it is not there.
    ///
    /// # Errors
    /// [`PlaneError::Precondition`] where it does not.
    pub fn check(&self, what: &str, current: Option<&str>) -> Result<(), PlaneError> {
        let holds = match &self.condition {
            None => true,
            Some(Condition::Exists) => current.is_some(),
            Some(Condition::Absent) => current.is_none(),
            Some(Condition::Tag(tags)) => {
                current.is_some_and(|current| tags.iter().any(|tag| tag == current))
            }
        };
        if holds {
            return Ok(());
        }
        Err(PlaneError::Precondition {
            what: what.to_owned(),
            current: current.map(str::to_owned),
        })
    }

    /// What an earlier call with the same idempotency key did; `known` is what the state holds under
    /// [`By::idempotency`]'s key.
    ///
    /// # Errors
    /// [`PlaneError::Conflict`] where the key stands for another request.
    pub fn earlier(&self, known: Option<&Idempotency>) -> Result<Option<Idempotency>, PlaneError> {
        let (Some((_, request)), Some(known)) = (&self.idempotency, known) else {
            return Ok(None);
        };
        if known.request == *request {
            return Ok(Some(known.clone()));
        }
        Err(PlaneError::Conflict {
            what: "the idempotency key stands for another request".to_owned(),
            next: "repeat a request as it was, or give the new one a new key".to_owned(),
        })
    }

    /// What to keep of an answer, so that a repeated call is told the same: 201 for what was made, 204 where there is
    /// nothing to tell, else 200. The caller of this leaves out what only the first call is told (the secret of a key).
    #[must_use]
    pub fn remember<T: Serialize>(&self, created: bool, answer: &T) -> Option<Idempotency> {
        let (key, request) = self.idempotency.clone()?;
        let answer = serde_json::to_value(answer).unwrap_or_default();
        let status = match (created, answer.is_null()) {
            (true, _) => 201,
            (false, true) => 204,
            (false, false) => 200,
        };
        Some(Idempotency {
            key,
            request,
            status,
            answer,
        })
    }
}

/// What a change came to. The body of the answer is `T`.
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
    /// 412: the condition does not hold.
    #[error("{what} {}", has(current.as_deref()))]
    Precondition {
        /// The policy or tenant.
        what: String,
        /// The tag that it has; none where it is not there.
        current: Option<String>,
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

fn has(current: Option<&str>) -> String {
    current.map_or_else(
        || "is not there".to_owned(),
        |tag| format!("is not as the condition wants it: its entity tag is \"{tag}\" now"),
    )
}

/// The control state of a node and what may be done to it. Every change is durable and live when it returns.
pub trait ControlPlane: Send + Sync {
    /// All plugins.
    fn plugins(&self) -> Vec<Plugin>;
    /// One plugin.
    fn plugin(&self, digest: &Digest) -> Result<Plugin, PlaneError> {
        let found = self
            .plugins()
            .into_iter()
            .find(|plugin| plugin.digest == *digest);
        found.ok_or_else(|| PlaneError::NotFound {
            what: format!("no plugin {digest}"),
            next: "GET /admin/v1/plugins lists those that were pushed".to_owned(),
        })
    }
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
    fn tenants(&self) -> Vec<TenantView>;
    /// One tenant and its entity tag.
    fn tenant(&self, id: &str) -> Result<TenantView, PlaneError>;
    /// Makes or changes a tenant; the answer has its new entity tag.
    fn put_tenant(
        &self,
        by: &By,
        id: &str,
        wanted: TenantWanted,
    ) -> Result<Done<TenantView>, PlaneError>;
    /// Removes a tenant and its keys.
    fn remove_tenant(&self, by: &By, id: &str) -> Result<Done<()>, PlaneError>;

    /// The keys of one tenant, or all.
    fn keys(&self, tenant: Option<&str>) -> Result<Vec<KeyView>, PlaneError>;
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
    fn revoke_key(&self, by: &By, tenant: &str, id: &str) -> Result<Done<KeyView>, PlaneError>;

    /// The catalogue in force, and its text.
    fn prices(&self) -> Result<Option<(Prices, String)>, PlaneError>;
    /// Puts another catalogue in force: the text of a `prices.jsonl`. Its entity tag is its digest.
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
