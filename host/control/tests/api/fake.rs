//! Control state in memory: what a plane must do, as simply as it can be done, and trouble on demand.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Condvar, Mutex, PoisonError};

use bytes::Bytes;
use pointsman_control::api::{
    Activated, Balance, Bundle, CaseResult, Checked, Diff, DiffLine, Finding, KeyMade, KeyView,
    KeyWanted, PolicyView, PushedVersion, RotateWanted, TargetView, TenantView, TenantWanted,
    VersionView,
};
use pointsman_control::{By, ControlPlane, Done, PlaneError};
use pointsman_domain::control::{
    Change, Entry, Idempotency, Key, Period, Plugin, Prices, Tenant, Version,
};
use pointsman_domain::{Digest, Picos, Role};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// What keys are: told once, and never in a log.
pub(crate) const SECRET: &str = "pm-5ec2e7";

#[derive(Default)]
struct State {
    sequence: u64,
    plugins: BTreeMap<Digest, Plugin>,
    policies: BTreeMap<String, (PolicyView, Vec<Bundle>)>,
    tenants: BTreeMap<String, TenantView>,
    keys: BTreeMap<String, Key>,
    prices: Option<(Prices, String)>,
    done: BTreeMap<String, Idempotency>,
    changes: Vec<Entry>,
}

/// What goes wrong in the next calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trouble {
    #[default]
    None,
    Panic,
    Full,
    Bug,
    /// A backup breaks off after its first bytes.
    Torn,
    /// A backup panics after its first bytes.
    TornByPanic,
}

#[derive(Default)]
pub(crate) struct Fake {
    state: Mutex<State>,
    trouble: Mutex<Trouble>,
    /// Whether reads of tenants and switches of policies wait, and how many do.
    gate: Mutex<(bool, usize)>,
    opened: Condvar,
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn not_found(what: String) -> PlaneError {
    PlaneError::NotFound {
        what,
        next: "list what there is".to_owned(),
    }
}

impl Fake {
    pub(crate) fn make_trouble(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Holds reads of tenants and switches of policies back, or lets them go.
    pub(crate) fn hold(&self, hold: bool) {
        self.gate.lock().expect("not poisoned").0 = hold;
        self.opened.notify_all();
    }

    fn pass_gate(&self) {
        let mut gate = self.gate.lock().expect("not poisoned");
        gate.1 += 1;
        while gate.0 {
            gate = self.opened.wait(gate).expect("not poisoned");
        }
        gate.1 -= 1;
    }

    /// How many of those wait.
    pub(crate) fn held(&self) -> usize {
        self.gate.lock().expect("not poisoned").1
    }

    #[expect(clippy::panic, reason = "what a bug in a plane would do")]
    fn trouble(&self) -> Result<Trouble, PlaneError> {
        let trouble = *self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Trouble::Panic => panic!("the plane fell over"),
            Trouble::Full => Err(PlaneError::Unavailable("the disk is full".to_owned())),
            Trouble::Bug => Err(PlaneError::Internal("the state makes no sense".to_owned())),
            Trouble::None | Trouble::Torn | Trouble::TornByPanic => Ok(trouble),
        }
    }

    fn change<T: Serialize + Clone>(
        &self,
        by: &By,
        change: impl FnOnce(&mut State, u64) -> Result<(Done<T>, Option<Change>), PlaneError>,
    ) -> Result<Done<T>, PlaneError> {
        self.trouble()?;
        let mut state = self.state.lock().expect("not poisoned");
        let known = by
            .idempotency
            .as_ref()
            .and_then(|(key, _)| state.done.get(key));
        if let Some(earlier) = by.earlier(known)? {
            return Ok(Done::Replayed(earlier));
        }
        let sequence = state.sequence + 1;
        let (done, change) = change(&mut state, sequence)?;
        let kept = match &done {
            Done::Created(made) => by.remember(true, made),
            Done::Ok(made) => by.remember(false, made),
            Done::Replayed(_) => None,
        };
        if let Some(mut kept) = kept {
            if kept.answer.get("secret").is_some() {
                kept.answer["secret"] = serde_json::Value::Null;
            }
            state.done.insert(kept.key.clone(), kept);
        }
        if let Some(change) = change {
            state.sequence = sequence;
            state.changes.push(Entry {
                sequence,
                at_ms: sequence,
                actor: by.actor.clone(),
                change,
                idempotency: None,
            });
        }
        Ok(done)
    }

    fn make_key(
        &self,
        by: &By,
        tenant: &str,
        replaces: Option<&str>,
        wanted: KeyWanted,
    ) -> Result<Done<KeyMade>, PlaneError> {
        self.change(by, |state, sequence| {
            if !state.tenants.contains_key(tenant) {
                return Err(not_found(format!("no tenant `{tenant}`")));
            }
            if let Some(old) = replaces {
                let old = state.keys.get_mut(old);
                let old = old.ok_or_else(|| not_found("no such key".to_owned()))?;
                old.expires_ms = Some(u64::MAX);
            }
            let key = Key {
                id: format!("key-{sequence}"),
                tenant: tenant.to_owned(),
                hash: "feed".repeat(16),
                scopes: wanted.scopes,
                limits: wanted.limits,
                budgets: wanted.budgets,
                created_ms: 1,
                expires_ms: wanted.expires_in_s,
                revoked_ms: None,
                replaces: replaces.map(str::to_owned),
            };
            state.keys.insert(key.id.clone(), key.clone());
            let made = KeyMade {
                key: KeyView::of(&key, 0),
                secret: Some(SECRET.to_owned()),
            };
            Ok((Done::Created(made), Some(Change::KeyCreated(key))))
        })
    }

    fn switch(&self, by: &By, name: &str, to: Option<u64>) -> Result<Done<Activated>, PlaneError> {
        self.pass_gate();
        self.change(by, |state, sequence| {
            let line = state.policies.get_mut(name).map(|(view, _)| view);
            let tag = line.as_ref().map(|view| view.etag.clone());
            by.check(&format!("policy `{name}`"), tag.as_deref())?;
            let view = line.ok_or_else(|| not_found(format!("no policy `{name}`")))?;
            let version = to.or(view.previous).ok_or_else(|| PlaneError::Conflict {
                what: "no version served before".to_owned(),
                next: "name one".to_owned(),
            })?;
            if !view.versions.iter().any(|known| known.number == version) {
                return Err(not_found(format!("no version {version}")));
            }
            view.previous = view.active.replace(version);
            view.etag = sequence.to_string();
            let done = Activated {
                generation: sequence,
                version,
                previous: view.previous,
                etag: view.etag.clone(),
                commit_to_live_us: Some(1),
            };
            let change = Change::Activated {
                policy: name.to_owned(),
                version,
                previous: done.previous,
                rollback: to.is_none(),
            };
            Ok((Done::Ok(done), Some(change)))
        })
    }
}

fn findings(bundle: &Bundle) -> Vec<Finding> {
    if bundle.files.contains_key("policy.toml") {
        return Vec::new();
    }
    vec![Finding {
        error: true,
        path: "policy.toml".to_owned(),
        place: None,
        message: "it is missing".to_owned(),
        help: Some("add it".to_owned()),
    }]
}

impl ControlPlane for Fake {
    fn plugins(&self) -> Vec<Plugin> {
        let state = self.state.lock().expect("not poisoned");
        state.plugins.values().cloned().collect()
    }

    fn push_plugin(&self, by: &By, bytes: Bytes) -> Result<Done<Plugin>, PlaneError> {
        self.change(by, |state, _| {
            if !bytes.starts_with(b"\0asm") {
                return Err(PlaneError::Invalid {
                    what: "these bytes are no component".to_owned(),
                    findings: Vec::new(),
                });
            }
            let digest = digest(&bytes);
            if let Some(known) = state.plugins.get(&digest) {
                return Ok((Done::Ok(known.clone()), None));
            }
            let plugin = Plugin {
                digest,
                name: "route-rules".to_owned(),
                version: "0.1.0".to_owned(),
                roles: vec![Role::Router],
                imports: Vec::new(),
                config_schema: Some(serde_json::json!({"type": "object"})),
                bytes: bytes.len() as u64,
                pushed_ms: 1,
            };
            state.plugins.insert(digest, plugin.clone());
            let change = Change::PluginPushed(plugin.clone());
            Ok((Done::Created(plugin), Some(change)))
        })
    }

    fn policies(&self) -> Vec<PolicyView> {
        let state = self.state.lock().expect("not poisoned");
        state
            .policies
            .values()
            .map(|(view, _)| view.clone())
            .collect()
    }

    fn policy(&self, name: &str) -> Result<PolicyView, PlaneError> {
        let state = self.state.lock().expect("not poisoned");
        let known = state.policies.get(name).map(|(view, _)| view.clone());
        known.ok_or_else(|| not_found(format!("no policy `{name}`")))
    }

    fn version(&self, name: &str, number: u64) -> Result<VersionView, PlaneError> {
        let state = self.state.lock().expect("not poisoned");
        let line = state.policies.get(name);
        let (view, bundles) = line.ok_or_else(|| not_found(format!("no policy `{name}`")))?;
        let at = view
            .versions
            .iter()
            .position(|known| known.number == number);
        let at = at.ok_or_else(|| not_found(format!("no version {number}")))?;
        Ok(VersionView {
            version: view.versions[at].clone(),
            bundle: bundles[at].clone(),
        })
    }

    fn push_version(
        &self,
        by: &By,
        name: &str,
        bundle: Bundle,
    ) -> Result<Done<PushedVersion>, PlaneError> {
        self.change(by, |state, _| {
            let findings = findings(&bundle);
            if !findings.is_empty() {
                return Err(PlaneError::Invalid {
                    what: "the bundle does not hold".to_owned(),
                    findings,
                });
            }
            let tag = state.policies.get(name).map(|(view, _)| view.etag.clone());
            by.check(&format!("policy `{name}`"), tag.as_deref())?;
            let content = digest(format!("{:?}", bundle.files).as_bytes());
            let (view, bundles) = state.policies.entry(name.to_owned()).or_insert_with(|| {
                let view = PolicyView {
                    name: name.to_owned(),
                    floor: false,
                    active: None,
                    previous: None,
                    etag: "0".to_owned(),
                    broken: None,
                    versions: Vec::new(),
                };
                (view, Vec::new())
            });
            let told = |version, view: &PolicyView| PushedVersion {
                version,
                digest: content,
                findings: Vec::new(),
                active: view.active,
                changes: Vec::new(),
                tenants: Vec::new(),
                etag: view.etag.clone(),
            };
            if let Some(known) = view.versions.iter().find(|known| known.digest == content) {
                return Ok((Done::Ok(told(known.number, view)), None));
            }
            let number = view.versions.len() as u64 + 1;
            let version = Version {
                policy: name.to_owned(),
                number,
                digest: content,
                bundle: content,
                floor: false,
                label: None,
                plugins: Vec::new(),
                pushed_ms: 1,
            };
            view.versions.push(version.clone());
            bundles.push(bundle);
            let done = Done::Created(told(number, view));
            Ok((done, Some(Change::VersionPushed(version))))
        })
    }

    fn validate(&self, _: &str, bundle: Bundle) -> Result<Checked, PlaneError> {
        self.trouble()?;
        let findings = findings(&bundle);
        Ok(Checked {
            sound: findings.is_empty(),
            version: None,
            findings,
            cases: vec![CaseResult {
                name: "a case".to_owned(),
                line: 1,
                mismatches: Vec::new(),
            }],
        })
    }

    fn diff(&self, name: &str, from: u64, to: u64) -> Result<Diff, PlaneError> {
        self.version(name, from)?;
        self.version(name, to)?;
        let lines = vec![DiffLine {
            what: "step pii-in".to_owned(),
            how: "added".to_owned(),
            from: None,
            to: Some("guard-pii@0.1".to_owned()),
        }];
        Ok(Diff { from, to, lines })
    }

    fn activate(&self, by: &By, name: &str, version: u64) -> Result<Done<Activated>, PlaneError> {
        self.switch(by, name, Some(version))
    }

    fn rollback(
        &self,
        by: &By,
        name: &str,
        to: Option<u64>,
    ) -> Result<Done<Activated>, PlaneError> {
        self.switch(by, name, to)
    }

    fn tenants(&self) -> Vec<TenantView> {
        let state = self.state.lock().expect("not poisoned");
        state.tenants.values().cloned().collect()
    }

    fn tenant(&self, id: &str) -> Result<TenantView, PlaneError> {
        self.trouble()?;
        self.pass_gate();
        let state = self.state.lock().expect("not poisoned");
        let known = state.tenants.get(id).cloned();
        known.ok_or_else(|| not_found(format!("no tenant `{id}`")))
    }

    fn put_tenant(
        &self,
        by: &By,
        id: &str,
        wanted: TenantWanted,
    ) -> Result<Done<TenantView>, PlaneError> {
        self.change(by, |state, sequence| {
            let tag = state.tenants.get(id).map(|known| known.etag.clone());
            by.check(&format!("tenant `{id}`"), tag.as_deref())?;
            let tenant = Tenant {
                id: id.to_owned(),
                policy: wanted.policy,
                limits: wanted.limits,
                budgets: wanted.budgets,
            };
            let view = TenantView {
                tenant: tenant.clone(),
                etag: sequence.to_string(),
            };
            let done = match state.tenants.insert(id.to_owned(), view.clone()) {
                None => Done::Created(view),
                Some(_) => Done::Ok(view),
            };
            Ok((done, Some(Change::TenantPut(tenant))))
        })
    }

    fn remove_tenant(&self, by: &By, id: &str) -> Result<Done<()>, PlaneError> {
        self.change(by, |state, _| {
            let tag = state.tenants.get(id).map(|known| known.etag.clone());
            by.check(&format!("tenant `{id}`"), tag.as_deref())?;
            if state.tenants.remove(id).is_none() {
                return Err(not_found(format!("no tenant `{id}`")));
            }
            state.keys.retain(|_, key| key.tenant != id);
            let change = Change::TenantRemoved { id: id.to_owned() };
            Ok((Done::Ok(()), Some(change)))
        })
    }

    fn keys(&self, tenant: Option<&str>) -> Result<Vec<KeyView>, PlaneError> {
        let state = self.state.lock().expect("not poisoned");
        if let Some(tenant) = tenant
            && !state.tenants.contains_key(tenant)
        {
            return Err(not_found(format!("no tenant `{tenant}`")));
        }
        let keys = state.keys.values();
        Ok(keys
            .filter(|key| tenant.is_none_or(|tenant| key.tenant == tenant))
            .map(|key| KeyView::of(key, 0))
            .collect())
    }

    fn create_key(
        &self,
        by: &By,
        tenant: &str,
        wanted: KeyWanted,
    ) -> Result<Done<KeyMade>, PlaneError> {
        self.make_key(by, tenant, None, wanted)
    }

    fn rotate_key(
        &self,
        by: &By,
        tenant: &str,
        id: &str,
        _: RotateWanted,
    ) -> Result<Done<KeyMade>, PlaneError> {
        self.make_key(by, tenant, Some(id), KeyWanted::default())
    }

    fn revoke_key(&self, by: &By, tenant: &str, id: &str) -> Result<Done<KeyView>, PlaneError> {
        self.change(by, |state, _| {
            let key = state.keys.get_mut(id).filter(|key| key.tenant == tenant);
            let key = key.ok_or_else(|| not_found(format!("no key `{id}`")))?;
            key.revoked_ms = Some(1);
            let change = Change::KeyRevoked { id: id.to_owned() };
            Ok((Done::Ok(KeyView::of(key, 0)), Some(change)))
        })
    }

    fn prices(&self) -> Result<Option<(Prices, String)>, PlaneError> {
        Ok(self.state.lock().expect("not poisoned").prices.clone())
    }

    fn put_prices(&self, by: &By, text: &str) -> Result<Done<Prices>, PlaneError> {
        self.change(by, |state, _| {
            let tag = state
                .prices
                .as_ref()
                .map(|(known, _)| known.digest.to_string());
            by.check("the price catalogue", tag.as_deref())?;
            let digest = digest(text.as_bytes());
            let prices = Prices {
                digest,
                blob: digest,
                rows: text.lines().count() as u64,
                put_ms: 1,
            };
            state.prices = Some((prices.clone(), text.to_owned()));
            Ok((
                Done::Created(prices.clone()),
                Some(Change::PricesPut(prices)),
            ))
        })
    }

    fn usage(&self, tenant: Option<&str>) -> Vec<Balance> {
        vec![Balance {
            window: "tenant/demo/day/2026-11-24".to_owned(),
            tenant: tenant.unwrap_or("demo").to_owned(),
            key: None,
            period: Period::Day,
            limit_usd: Some("1".to_owned()),
            spent: Picos(480_000),
            reserved: Picos(0),
        }]
    }

    fn targets(&self) -> Vec<TargetView> {
        vec![TargetView {
            policy: "quickstart".to_owned(),
            version: 1,
            name: "local".to_owned(),
            model: "smollm2-135m-instruct".to_owned(),
            endpoint: "http://127.0.0.1:8090/v1".to_owned(),
            healthy: true,
            in_flight: 0,
        }]
    }

    fn changes(&self, after: u64, limit: usize) -> Result<Vec<Entry>, PlaneError> {
        let state = self.state.lock().expect("not poisoned");
        let later = state.changes.iter().filter(|entry| entry.sequence > after);
        Ok(later.take(limit).cloned().collect())
    }

    #[expect(clippy::panic, reason = "what a bug in a plane would do")]
    fn backup(&self, out: &mut dyn Write) -> Result<(), PlaneError> {
        let trouble = self.trouble()?;
        let failed = |error: std::io::Error| PlaneError::Unavailable(error.to_string());
        for _ in 0..3 {
            out.write_all(&[7; 100_000]).map_err(failed)?;
            match trouble {
                Trouble::Torn => return Err(PlaneError::Unavailable("the disk broke".to_owned())),
                Trouble::TornByPanic => panic!("the plane fell over"),
                Trouble::None | Trouble::Panic | Trouble::Full | Trouble::Bug => {}
            }
        }
        Ok(())
    }
}
