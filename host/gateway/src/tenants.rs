//! Who calls: virtual keys of the pinned snapshot, looked up by keyed hash.
//!
//! Promises: no key is ever stored or logged, only its HMAC under the node's pepper; a key that is revoked, expired or
//! lacks the scope is told apart from an unknown one to whoever has it, and to nobody else.

use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use http::{HeaderMap, header};
use pointsman_domain::{ErrorKind, GatewayError};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::meters::ScopeMeter;
use crate::snapshot::Snapshot;

/// What keys may be for.
pub(crate) const SCOPES: [&str; 2] = ["chat", "models"];

/// What a key may do unless it says otherwise.
pub(crate) fn default_scopes() -> Vec<String> {
    SCOPES.map(str::to_owned).to_vec()
}

/// Who a request belongs to.
#[derive(Clone)]
pub(crate) struct Principal {
    pub(crate) tenant: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) policy: Arc<str>,
    pub(crate) tenant_meter: Arc<ScopeMeter>,
    pub(crate) key_meter: Arc<ScopeMeter>,
}

/// The stored form of a key.
pub(crate) fn hash_key(pepper: &[u8], key: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(pepper).expect("HMAC takes any key length");
    mac.update(key.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

impl Snapshot {
    /// Who sent these headers, if the key has `scope`.
    pub(crate) fn authenticate(
        &self,
        pepper: &[u8],
        headers: &HeaderMap,
        scope: &str,
        now_ms: u64,
    ) -> Result<Principal, GatewayError> {
        let refuse = |kind, message: &str| Err(GatewayError::new(kind, message));
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return refuse(
                ErrorKind::InvalidKey,
                "no API key: send it as `Authorization: Bearer <key>`",
            );
        };
        if values.next().is_some() {
            return refuse(
                ErrorKind::InvalidKey,
                "more than one Authorization header; send one",
            );
        }
        let key = value.to_str().ok().and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
        });
        let Some(key) = key.filter(|key| !key.is_empty() && key.len() <= 512) else {
            return refuse(
                ErrorKind::InvalidKey,
                "the Authorization header is not `Bearer <key>`",
            );
        };
        let hash = hash_key(pepper, key);
        // The lookup is by keyed hash, so its timing says nothing about keys; the last comparison is constant-time.
        let found = self.keys.get(&hash).and_then(|found| {
            let is_same = bool::from(found.key.hash.as_bytes().ct_eq(hash.as_bytes()));
            let tenant = self.tenants.get(&found.key.tenant)?;
            is_same.then_some((found, tenant))
        });
        let Some((found, tenant)) = found else {
            return refuse(
                ErrorKind::InvalidKey,
                "unknown API key: make one with `pointsman key create --tenant <tenant>`",
            );
        };
        if found.key.revoked_ms.is_some() {
            return refuse(ErrorKind::RevokedKey, "this API key was revoked");
        }
        if found
            .key
            .expires_ms
            .is_some_and(|expires_ms| expires_ms <= now_ms)
        {
            return refuse(ErrorKind::ExpiredKey, "this API key has expired");
        }
        if !found.key.scopes.iter().any(|has| has == scope) {
            let message = format!(
                "this API key lacks the scope `{scope}`; it has: {}",
                found.key.scopes.join(", ")
            );
            return refuse(ErrorKind::WrongScope, &message);
        }
        Ok(Principal {
            tenant: Arc::clone(&tenant.id),
            key: Arc::clone(&found.id),
            policy: Arc::clone(&tenant.policy),
            tenant_meter: Arc::clone(&tenant.meter),
            key_meter: Arc::clone(&found.meter),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meters::Meters;
    use pointsman_domain::control::{Key, Limits, Tenant};
    use pointsman_store::State;

    fn check(change: impl FnOnce(&mut Key), header: Option<&str>) -> Result<String, ErrorKind> {
        let mut key = Key {
            id: "k1".into(),
            tenant: "demo".into(),
            hash: hash_key(b"pepper", "pm-good"),
            scopes: default_scopes(),
            limits: Limits::default(),
            budgets: Vec::new(),
            created_ms: 0,
            expires_ms: None,
            revoked_ms: None,
            replaces: None,
        };
        change(&mut key);
        let tenant = Tenant {
            id: "demo".into(),
            policy: "quickstart".into(),
            limits: Limits::default(),
            budgets: Vec::new(),
        };
        let mut state = State::default();
        state.tenants.insert("demo".into(), Arc::new(tenant));
        state.keys.insert("k1".into(), Arc::new(key));
        let snapshot = Snapshot::of(state, &Meters::default());
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(header::AUTHORIZATION, header.parse().expect("a header"));
        }
        snapshot
            .authenticate(b"pepper", &headers, "chat", 1000)
            .map(|principal| principal.tenant.to_string())
            .map_err(|error| error.kind)
    }

    #[test]
    fn a_good_key_finds_its_tenant() {
        assert_eq!(check(|_| {}, Some("Bearer pm-good")), Ok("demo".to_owned()));
        assert_eq!(check(|_| {}, Some("bearer pm-good")), Ok("demo".to_owned()));
    }

    #[test]
    fn bad_keys_are_told_apart() {
        let good = Some("Bearer pm-good");
        assert_eq!(check(|_| {}, None), Err(ErrorKind::InvalidKey));
        for header in ["Basic pm-good", "Bearer pm-bad"] {
            assert_eq!(check(|_| {}, Some(header)), Err(ErrorKind::InvalidKey));
        }
        let revoked = check(|key| key.revoked_ms = Some(1), good);
        assert_eq!(revoked, Err(ErrorKind::RevokedKey));
        let expired = check(|key| key.expires_ms = Some(999), good);
        assert_eq!(expired, Err(ErrorKind::ExpiredKey));
        let scoped = check(|key| key.scopes = vec!["models".into()], good);
        assert_eq!(scoped, Err(ErrorKind::WrongScope));
        let orphan = check(|key| key.tenant = "gone".into(), good);
        assert_eq!(orphan, Err(ErrorKind::InvalidKey));
    }

    #[test]
    fn a_rotated_key_counts_where_the_first_did() {
        let key = |id: &str, replaces: Option<&str>| Key {
            id: id.into(),
            tenant: "demo".into(),
            hash: hash_key(b"pepper", id),
            scopes: default_scopes(),
            limits: Limits::default(),
            budgets: Vec::new(),
            created_ms: 0,
            expires_ms: None,
            revoked_ms: None,
            replaces: replaces.map(str::to_owned),
        };
        let mut state = State::default();
        for key in [
            key("k1", None),
            key("k2", Some("k1")),
            key("k3", Some("k2")),
            key("other", None),
        ] {
            state.keys.insert(key.id.clone(), Arc::new(key));
        }
        let snapshot = Snapshot::of(state, &Meters::default());
        let meter = |id: &str| {
            let live = snapshot.keys.get(&hash_key(b"pepper", id));
            Arc::clone(&live.expect("the key is known").meter)
        };
        for id in ["k2", "k3"] {
            assert!(Arc::ptr_eq(&meter("k1"), &meter(id)), "{id}");
        }
        assert!(!Arc::ptr_eq(&meter("k1"), &meter("other")));
    }
}
