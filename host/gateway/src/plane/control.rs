//! The plane as the control listener and the command line see it.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use pointsman_control::api::{
    Activated, Balance, Bundle, Checked, Diff, KeyMade, KeyView, KeyWanted, PolicyView,
    PushedVersion, RotateWanted, TargetView, TenantView, TenantWanted, VersionView,
};
use pointsman_control::{By, ControlPlane, Done, PlaneError};
use pointsman_domain::control::{Entry, Plugin, Prices, Tenant};
use pointsman_store::PolicyLine;

use super::people::{no_tenant, tenant_tag};
use super::policies::{before, no_policy};
use super::{Plane, unavailable};
use crate::snapshot::PolicySlot;

impl ControlPlane for Plane {
    fn plugins(&self) -> Vec<Plugin> {
        let state = self.state();
        state.plugins.values().map(|p| Plugin::clone(p)).collect()
    }

    fn push_plugin(&self, by: &By, bytes: Bytes) -> Result<Done<Plugin>, PlaneError> {
        self.take_plugin(by, bytes)
    }

    fn policies(&self) -> Vec<PolicyView> {
        let state = self.state();
        let lines = state.policies.iter();
        lines
            .map(|(name, line)| self.policy_view(name, line))
            .collect()
    }

    fn policy(&self, name: &str) -> Result<PolicyView, PlaneError> {
        let state = self.state();
        let line = state.policies.get(name);
        let line = line.ok_or_else(|| no_policy(&state, name))?;
        Ok(self.policy_view(name, line))
    }

    fn version(&self, name: &str, number: u64) -> Result<VersionView, PlaneError> {
        self.version_view(name, number)
    }

    fn push_version(
        &self,
        by: &By,
        name: &str,
        bundle: Bundle,
    ) -> Result<Done<PushedVersion>, PlaneError> {
        self.take_version(by, name, &bundle)
    }

    fn validate(&self, name: &str, bundle: Bundle) -> Result<Checked, PlaneError> {
        self.check_bundle(name, &bundle)
    }

    fn diff(&self, name: &str, from: u64, to: u64) -> Result<Diff, PlaneError> {
        self.diff_of(name, from, to)
    }

    fn activate(&self, by: &By, name: &str, version: u64) -> Result<Done<Activated>, PlaneError> {
        self.told(by, name, false, || {
            self.switch(by, name, false, |_| Ok(version))
        })
    }

    fn rollback(
        &self,
        by: &By,
        name: &str,
        to: Option<u64>,
    ) -> Result<Done<Activated>, PlaneError> {
        let pick = |line: &PolicyLine| match to {
            Some(version) => Ok(version),
            None => before(line, name),
        };
        self.told(by, name, true, || self.switch(by, name, true, pick))
    }

    fn tenants(&self) -> Vec<TenantView> {
        let state = self.state();
        let view = |tenant: &Arc<Tenant>| TenantView {
            tenant: Tenant::clone(tenant),
            etag: tenant_tag(&state, &tenant.id).unwrap_or_default(),
        };
        state.tenants.values().map(view).collect()
    }

    fn tenant(&self, id: &str) -> Result<TenantView, PlaneError> {
        let state = self.state();
        let tenant = state.tenants.get(id);
        let tenant = tenant.ok_or_else(|| no_tenant(&state, id))?;
        Ok(TenantView {
            tenant: Tenant::clone(tenant),
            etag: tenant_tag(&state, id).unwrap_or_default(),
        })
    }

    fn put_tenant(
        &self,
        by: &By,
        id: &str,
        wanted: TenantWanted,
    ) -> Result<Done<TenantView>, PlaneError> {
        self.take_tenant(by, id, wanted)
    }

    fn remove_tenant(&self, by: &By, id: &str) -> Result<Done<()>, PlaneError> {
        self.drop_tenant(by, id)
    }

    fn keys(&self, tenant: Option<&str>) -> Result<Vec<KeyView>, PlaneError> {
        self.keys_of(tenant)
    }

    fn create_key(
        &self,
        by: &By,
        tenant: &str,
        wanted: KeyWanted,
    ) -> Result<Done<KeyMade>, PlaneError> {
        self.make_key(by, tenant, wanted)
    }

    fn rotate_key(
        &self,
        by: &By,
        tenant: &str,
        id: &str,
        wanted: RotateWanted,
    ) -> Result<Done<KeyMade>, PlaneError> {
        self.replace_key(by, tenant, id, &wanted)
    }

    fn revoke_key(&self, by: &By, tenant: &str, id: &str) -> Result<Done<KeyView>, PlaneError> {
        self.refuse_key(by, tenant, id)
    }

    fn prices(&self) -> Result<Option<(Prices, String)>, PlaneError> {
        self.prices_view()
    }

    fn put_prices(&self, by: &By, text: &str) -> Result<Done<Prices>, PlaneError> {
        self.take_prices(by, text)
    }

    fn usage(&self, tenant: Option<&str>) -> Vec<Balance> {
        let mut balances = self.meters.balances();
        balances.retain(|balance| tenant.is_none_or(|tenant| balance.tenant == tenant));
        balances
    }

    fn targets(&self) -> Vec<TargetView> {
        let serving = self.serving.load();
        let now_ms = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut views = Vec::new();
        for slot in serving.policies.values() {
            let PolicySlot::Live(policy) = slot else {
                continue;
            };
            views.extend(policy.targets.iter().map(|target| TargetView {
                policy: policy.name.clone(),
                version: policy.version,
                name: target.name.clone(),
                model: target.model.clone(),
                endpoint: target.endpoint.to_string(),
                healthy: target.health.healthy(now_ms),
                in_flight: target.health.in_flight(),
            }));
        }
        views.sort_by(|a, b| (&a.policy, &a.name).cmp(&(&b.policy, &b.name)));
        views
    }

    fn changes(&self, after: u64, limit: usize) -> Result<Vec<Entry>, PlaneError> {
        self.store()?
            .entries(after, limit)
            .map_err(|error| unavailable(&error))
    }

    fn backup(&self, out: &mut dyn Write) -> Result<(), PlaneError> {
        let store = self.store()?;
        store.backup(out).map_err(|error| unavailable(&error))?;
        Ok(())
    }
}
