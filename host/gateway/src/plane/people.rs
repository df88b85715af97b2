//! Tenants and keys.

use std::sync::Arc;

use pointsman_control::api::{KeyMade, KeyView, KeyWanted, RotateWanted, TenantView, TenantWanted};
use pointsman_control::{By, Done, PlaneError};
use pointsman_domain::control::{Budget, Change, Key, Limits, Tenant};
use pointsman_store::State;

use super::policies::no_policy;
use super::{Make, Plane, Step};
use crate::pipeline::epoch_ms;
use crate::tenants::{SCOPES, default_scopes, hash_key};

/// Bytes of a tenant's id.
const ID_BYTES_MAX: usize = 64;
/// Longest overlap of a rotated key with its successor, seconds: 30 days.
const OVERLAP_S_MAX: u64 = 30 * 24 * 60 * 60;
/// Overlap where nothing is said, seconds: a day.
const OVERLAP_S: u64 = 24 * 60 * 60;
/// Longest life of a key, seconds: ten years.
const EXPIRES_S_MAX: u64 = 10 * 365 * 24 * 60 * 60;

impl Plane {
    pub(super) fn take_tenant(
        &self,
        by: &By,
        id: &str,
        wanted: TenantWanted,
    ) -> Result<Done<TenantView>, PlaneError> {
        check_id(id)?;
        check_amounts(&wanted.limits, &wanted.budgets)?;
        let tenant = Tenant {
            id: id.to_owned(),
            policy: wanted.policy,
            limits: wanted.limits,
            budgets: wanted.budgets,
        };
        let change = self.change(by, |state| {
            let known = state.tenants.get(id);
            let tag = tenant_tag(state, id);
            by.check(&format!("tenant `{id}`"), tag.as_deref())?;
            // Before the first start has imported the policies, their names are taken on trust.
            if state.seeded && !state.policies.contains_key(&tenant.policy) {
                return Err(no_policy(state, &tenant.policy));
            }
            if known.is_some_and(|known| **known == tenant) {
                let etag = tag.unwrap_or_default();
                return Ok(Step::Already(TenantView { tenant, etag }));
            }
            let created = known.is_none();
            let etag = (state.sequence + 1).to_string();
            let change = Change::TenantPut(tenant.clone());
            let make = Make::of(change, TenantView { tenant, etag });
            Ok(Make { created, ..make }.into())
        })?;
        Ok(change.done)
    }

    pub(super) fn drop_tenant(&self, by: &By, id: &str) -> Result<Done<()>, PlaneError> {
        let change = self.change(by, |state| {
            let tag = tenant_tag(state, id);
            by.check(&format!("tenant `{id}`"), tag.as_deref())?;
            if tag.is_none() {
                return Err(no_tenant(state, id));
            }
            Ok(Make::of(Change::TenantRemoved { id: id.to_owned() }, ()).into())
        })?;
        Ok(change.done)
    }

    pub(super) fn keys_of(&self, tenant: Option<&str>) -> Result<Vec<KeyView>, PlaneError> {
        let now_ms = epoch_ms();
        let state = self.state();
        if let Some(tenant) = tenant
            && !state.tenants.contains_key(tenant)
        {
            return Err(no_tenant(&state, tenant));
        }
        let wanted = |key: &&Arc<Key>| tenant.is_none_or(|tenant| key.tenant == tenant);
        let keys = state.keys.values().filter(wanted);
        Ok(keys.map(|key| KeyView::of(key, now_ms)).collect())
    }

    pub(super) fn make_key(
        &self,
        by: &By,
        tenant: &str,
        wanted: KeyWanted,
    ) -> Result<Done<KeyMade>, PlaneError> {
        let now_ms = epoch_ms();
        check_amounts(&wanted.limits, &wanted.budgets)?;
        let scopes = if wanted.scopes.is_empty() {
            default_scopes()
        } else {
            wanted.scopes
        };
        if let Some(unknown) = scopes.iter().find(|scope| !SCOPES.contains(&&***scope)) {
            return Err(refused(format!(
                "`{unknown}` is no scope; there are: {}",
                SCOPES.join(", ")
            )));
        }
        if wanted
            .expires_in_s
            .is_some_and(|s| s == 0 || s > EXPIRES_S_MAX)
        {
            return Err(refused(format!(
                "expires-in-s must be between 1 and {EXPIRES_S_MAX}"
            )));
        }
        let key = Key {
            id: new_id(),
            tenant: tenant.to_owned(),
            hash: String::new(),
            scopes,
            limits: wanted.limits,
            budgets: wanted.budgets,
            created_ms: now_ms,
            expires_ms: wanted.expires_in_s.map(|s| now_ms + s * 1000),
            revoked_ms: None,
            replaces: None,
        };
        let change = self.change(by, |state| {
            if !state.tenants.contains_key(tenant) {
                return Err(no_tenant(state, tenant));
            }
            let (key, made) = self.with_secret(key)?;
            Ok(made_key(Change::KeyCreated(key), made).into())
        })?;
        Ok(change.done)
    }

    pub(super) fn replace_key(
        &self,
        by: &By,
        tenant: &str,
        id: &str,
        wanted: &RotateWanted,
    ) -> Result<Done<KeyMade>, PlaneError> {
        let overlap_s = wanted.overlap_s.unwrap_or(OVERLAP_S);
        if overlap_s > OVERLAP_S_MAX {
            return Err(refused(format!("overlap-s may be at most {OVERLAP_S_MAX}")));
        }
        let change = self.change(by, |state| {
            let old = find_key(state, tenant, id)?;
            let now_ms = epoch_ms();
            if KeyView::of(&old, now_ms).state != "live" {
                return Err(PlaneError::Conflict {
                    what: format!("{id} is {}", KeyView::of(&old, now_ms).state),
                    next: format!("make a new one: pointsman key create --tenant {tenant}"),
                });
            }
            let key = Key {
                id: new_id(),
                created_ms: now_ms,
                replaces: Some(id.to_owned()),
                ..Key::clone(&old)
            };
            let (key, made) = self.with_secret(key)?;
            let change = Change::KeyRotated {
                id: id.to_owned(),
                expires_ms: now_ms + overlap_s * 1000,
                key,
            };
            Ok(made_key(change, made).into())
        })?;
        Ok(change.done)
    }

    pub(super) fn refuse_key(
        &self,
        by: &By,
        tenant: &str,
        id: &str,
    ) -> Result<Done<KeyView>, PlaneError> {
        let now_ms = epoch_ms();
        let change = self.change(by, |state| {
            let key = find_key(state, tenant, id)?;
            if key.revoked_ms.is_some() {
                return Ok(Step::Already(KeyView::of(&key, now_ms)));
            }
            let key = Key {
                revoked_ms: Some(now_ms),
                ..Key::clone(&key)
            };
            let change = Change::KeyRevoked { id: id.to_owned() };
            Ok(Make::of(change, KeyView::of(&key, now_ms)).into())
        })?;
        Ok(change.done)
    }

    /// Gives a key its secret.
    fn with_secret(&self, mut key: Key) -> Result<(Key, KeyMade), PlaneError> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| {
            PlaneError::Unavailable(format!(
                "the operating system gives no random bytes: {error}"
            ))
        })?;
        let secret = format!("pm-{}", hex::encode(bytes));
        key.hash = hash_key(&self.pepper, &secret);
        let made = KeyMade {
            key: KeyView::of(&key, key.created_ms),
            secret: Some(secret),
        };
        Ok((key, made))
    }
}

/// The secret is told once, and kept nowhere.
fn made_key(change: Change, made: KeyMade) -> Make<KeyMade> {
    let without = KeyMade {
        secret: None,
        ..made.clone()
    };
    Make {
        created: true,
        kept: serde_json::to_value(without).unwrap_or_default(),
        ..Make::of(change, made)
    }
}

fn new_id() -> String {
    format!("key-{}", &uuid::Uuid::new_v4().simple().to_string()[..12])
}

fn find_key(state: &State, tenant: &str, id: &str) -> Result<Arc<Key>, PlaneError> {
    let key = state.keys.get(id).filter(|key| key.tenant == tenant);
    key.cloned().ok_or_else(|| PlaneError::NotFound {
        what: format!("tenant `{tenant}` has no key `{id}`"),
        next: format!("see: pointsman key list --tenant {tenant}"),
    })
}

pub(super) fn no_tenant(state: &State, id: &str) -> PlaneError {
    let names: Vec<&str> = state.tenants.keys().take(20).map(String::as_str).collect();
    PlaneError::NotFound {
        what: format!("there is no tenant `{id}`; there are: {}", names.join(", ")),
        next: format!("add it first: pointsman tenant add {id} --policy quickstart"),
    }
}

pub(super) fn tenant_tag(state: &State, id: &str) -> Option<String> {
    state.tenant_tags.get(id).map(ToString::to_string)
}

pub(super) fn check_id(id: &str) -> Result<(), PlaneError> {
    let fits = (1..=ID_BYTES_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    if fits {
        return Ok(());
    }
    Err(refused(format!(
        "`{}` is no id: write up to {ID_BYTES_MAX} lower-case letters, digits, `-` and `_`",
        id.escape_default()
    )))
}

pub(super) fn check_amounts(limits: &Limits, budgets: &[Budget]) -> Result<(), PlaneError> {
    let zero = limits.requests_per_minute == Some(0)
        || limits.tokens_per_minute == Some(0)
        || limits.concurrent == Some(0);
    if zero {
        return Err(refused(
            "a limit of 0 lets nothing through; leave it out for no limit, or revoke the keys"
                .to_owned(),
        ));
    }
    for (index, budget) in budgets.iter().enumerate() {
        if budget.usd.0 < 0 {
            return Err(refused("a budget cannot be below 0".to_owned()));
        }
        if budgets[..index]
            .iter()
            .any(|other| other.period == budget.period)
        {
            return Err(refused(format!(
                "there are two budgets for a {}; keep one",
                budget.period
            )));
        }
    }
    Ok(())
}

fn refused(what: String) -> PlaneError {
    PlaneError::Invalid {
        what,
        findings: Vec::new(),
    }
}
