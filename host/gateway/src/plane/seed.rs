//! What the first start of a state folder imports: plugins, prices, tenants, floor and policies from the folders that
//! the configuration names. After that the control API is the way.

use std::path::Path;

use anyhow::Context as _;
use pointsman_control::{By, Done, PlaneError};
use pointsman_domain::control::{Change, Key, Tenant};
use serde::Deserialize;

use super::people::{check_amounts, check_id};
use super::{Make, Plane, Step};
use crate::bundle::{components, list, pack, read_text};
use crate::node::Settings;
use crate::pipeline::epoch_ms;
use crate::tenants::default_scopes;

/// `tenants.toml`: tenants and keys of a gateway before control state was kept in a store, or of a deployment that
/// writes them down.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct TenantsFile {
    #[serde(default, rename = "tenant")]
    tenants: Vec<Tenant>,
    #[serde(default, rename = "key")]
    keys: Vec<KeyEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct KeyEntry {
    id: String,
    tenant: String,
    hash: String,
    #[serde(default = "default_scopes")]
    scopes: Vec<String>,
    #[serde(default)]
    revoked: bool,
    #[serde(default)]
    expires_ms: Option<u64>,
}

impl Plane {
    /// Imports, once for a state folder. What cannot be imported ends the start, and a later one begins again: what was
    /// imported before is the same content, and so the same version.
    pub(crate) fn seed(&self, settings: &Settings) -> anyhow::Result<()> {
        if self.state().seeded {
            return Ok(());
        }
        let by = By {
            actor: "seed".to_owned(),
            ..By::default()
        };
        for path in components(&settings.plugins())? {
            let bytes =
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            // A broken plugin must not take down policies that do without it.
            if let Err(error) = self.take_plugin(&by, bytes.into()) {
                tracing::warn!("{} is not installed: {}", path.display(), told(&error));
            }
        }
        if let Some(path) = &settings.config.prices {
            let text = read_text(Path::new(path)).context("prices")?;
            self.take_prices(&by, &text)
                .map_err(|error| anyhow::anyhow!("{path}: {}", told(&error)))?;
        }
        self.seed_tenants(&by, &settings.tenants_file())?;
        if let Some(name) = &settings.config.floor {
            self.seed_policy(&by, settings, name)
                .with_context(|| format!("floor = \"{name}\""))?;
            let floor = super::build::floor(&self.state()).map(|floor| floor.policy.clone());
            anyhow::ensure!(
                floor.as_ref() == Some(name),
                "floor = \"{name}\": it is no floor; write `kind = \"floor\"` in its policy.toml"
            );
        }
        let mut policies: Vec<String> = self
            .state()
            .tenants
            .values()
            .map(|tenant| tenant.policy.clone())
            .collect();
        policies.sort_unstable();
        policies.dedup();
        for name in &policies {
            self.seed_policy(&by, settings, name).with_context(|| {
                format!(
                    "a tenant uses policy `{name}`, which cannot be imported (policies = {:?})",
                    settings.config.policies
                )
            })?;
        }
        self.change(&by, |_| Ok(Make::of(Change::Seeded, ()).into()))
            .map_err(|error| anyhow::anyhow!("{}", told(&error)))?;
        tracing::info!(
            policies = policies.len(),
            plugins = self.state().plugins.len(),
            "imported the folders of the first start; from here on, changes go through `pointsman plugin push`, `policy push` and `tenant`"
        );
        Ok(())
    }

    fn seed_policy(&self, by: &By, settings: &Settings, name: &str) -> anyhow::Result<()> {
        let files = list(&settings.policies().join(name))?;
        let push = || -> Result<(), PlaneError> {
            let pushed = match self.take_version_of(by, name, &pack(&files), false)? {
                Done::Created(pushed) | Done::Ok(pushed) => pushed,
                Done::Replayed(_) => return Ok(()),
            };
            for warning in &pushed.findings {
                tracing::warn!(policy = name, "{}", warning.message);
            }
            self.switch(by, name, false, |_| Ok(pushed.version))?;
            Ok(())
        };
        push().map_err(|error| anyhow::anyhow!("{}", told(&error)))
    }

    fn seed_tenants(&self, by: &By, path: &Path) -> anyhow::Result<()> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let name = path.display().to_string();
        let file: TenantsFile = pointsman_policy::document::parse(&name, &text)?;
        let commit = |change: Change| {
            self.change(by, |_| Ok(Step::from(Make::of(change, ()))))
                .map_err(|error| anyhow::anyhow!("{name}: {}", told(&error)))
        };
        let sound = |checked: Result<(), PlaneError>| {
            checked.map_err(|error| anyhow::anyhow!("{name}: {}", told(&error)))
        };
        for tenant in file.tenants {
            sound(check_id(&tenant.id))?;
            sound(check_amounts(&tenant.limits, &tenant.budgets))?;
            if !self.state().tenants.contains_key(&tenant.id) {
                commit(Change::TenantPut(tenant))?;
            }
        }
        for entry in file.keys {
            let state = self.state();
            let (id, tenant) = (&entry.id, &entry.tenant);
            sound(check_id(id))?;
            anyhow::ensure!(
                state.tenants.contains_key(tenant),
                "{name}: key `{id}` names tenant `{tenant}`, which is not there"
            );
            if state.keys.contains_key(id) {
                continue;
            }
            let is_double = state.keys.values().any(|key| key.hash == entry.hash);
            anyhow::ensure!(
                !is_double,
                "{name}: key `{id}` and another one have the same hash; remove one"
            );
            let now_ms = epoch_ms();
            commit(Change::KeyCreated(Key {
                id: entry.id,
                tenant: entry.tenant,
                hash: entry.hash,
                scopes: entry.scopes,
                limits: pointsman_domain::control::Limits::default(),
                budgets: Vec::new(),
                created_ms: now_ms,
                expires_ms: entry.expires_ms,
                revoked_ms: entry.revoked.then_some(now_ms),
                replaces: None,
            }))?;
        }
        Ok(())
    }
}

/// An error with all its findings, for people.
fn told(error: &PlaneError) -> String {
    let PlaneError::Invalid { what, findings } = error else {
        return error.to_string();
    };
    let mut text = what.clone();
    for finding in findings {
        let place = finding.place.as_deref().unwrap_or_default();
        let parts = [place, &finding.path, &finding.message];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        text.push_str("\n  ");
        text.push_str(&parts.join(": "));
        if let Some(help) = &finding.help {
            text.push_str("; ");
            text.push_str(help);
        }
    }
    text
}
