//! What the node has, as bundles see it: installed plugins, credentials by name, prices, the floor.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use pointsman_domain::Digest;
use pointsman_plugin::{Plugin, Runtime};
use pointsman_policy::document;
use pointsman_policy::finding::{Finding, Path};
use pointsman_policy::installed::{Installed, PluginFact};
use pointsman_policy::policy::{Kind, PluginRef, Target};
use pointsman_policy::prices::Catalogue;
use pointsman_policy::validate::{self, CredentialFact, Facts};
use pointsman_policy::{compose, digest};
use pointsman_upstream::EgressRules;

use super::{Folder, read_text};
use crate::node::Settings;

pub(crate) struct World<'a> {
    pub(super) runtime: &'a Runtime,
    /// What each plugin says of itself; row `i` is of `plugins[i]`.
    pub(super) facts: Vec<PluginFact>,
    plugins: Vec<Arc<Plugin>>,
    pub(super) prices: Option<Catalogue>,
    credentials: Vec<CredentialFact>,
    egress: EgressRules,
}

impl<'a> World<'a> {
    /// Loads every installed plugin. One that cannot be loaded is left out and said: it must not take down policies
    /// that do without it.
    pub(crate) fn open(settings: &Settings, runtime: &'a Runtime) -> anyhow::Result<Self> {
        let mut plugins = Vec::new();
        for path in components(&settings.plugins())? {
            let bytes =
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            match runtime.load(&bytes) {
                Ok(plugin) => plugins.push(plugin),
                Err(error) => tracing::warn!("{} is not installed: {error}", path.display()),
            }
        }
        let prices = settings.config.prices.as_ref().map(|path| {
            Ok::<_, anyhow::Error>(Catalogue::parse(
                path,
                &read_text(std::path::Path::new(path)).context("prices")?,
            )?)
        });
        let credential = |credential: &pointsman_policy::config::Credential| CredentialFact {
            name: credential.name.clone(),
            origins: credential.origins.clone(),
        };
        Ok(Self {
            runtime,
            facts: plugins.iter().map(|plugin| fact(plugin)).collect(),
            plugins,
            prices: prices.transpose()?,
            egress: super::egress(&settings.config)?,
            credentials: settings.config.credentials.iter().map(credential).collect(),
        })
    }

    /// The floor in force, where the configuration names one.
    pub(crate) fn floor(&self, settings: &Settings) -> anyhow::Result<Option<Folder>> {
        let Some(name) = &settings.config.floor else {
            return Ok(None);
        };
        let floor = Folder::read(&settings.policies().join(name))
            .with_context(|| format!("floor = \"{name}\""))?;
        anyhow::ensure!(
            floor.policy.kind == Kind::Floor,
            "floor = \"{name}\": {} is no floor; write `kind = \"floor\"` in it",
            floor.file
        );
        super::refuse(&self.findings(&floor, None))?;
        Ok(Some(floor))
    }

    /// All that is wrong with a bundle, placed in its file.
    pub(crate) fn findings(&self, folder: &Folder, floor: Option<&Folder>) -> Vec<Finding> {
        let floor = floor.map(|floor| &floor.policy);
        let mut findings = validate::check(&folder.policy, floor, &self.known(folder));
        findings.extend(self.unreachable(folder));
        document::place(&mut findings, &folder.file, &folder.text);
        findings
    }

    /// Targets at addresses that egress refuses, as far as their endpoints say it without being resolved.
    fn unreachable(&self, folder: &Folder) -> Vec<Finding> {
        let finding = |(index, target): (usize, &Target)| {
            let address = literal(&target.endpoint)?;
            let class = self.egress.refusal(address)?;
            let at = Path::of("target").index(index).key("endpoint");
            let message = format!("requests to it will be refused: {address} is {class}");
            let help = format!("add \"{address}\" to egress.allow-private in pointsman.toml");
            Some(Finding::warning(at, message).help(help))
        };
        let targets = folder.policy.targets.iter().enumerate();
        targets.filter_map(finding).collect()
    }

    fn known(&self, folder: &Folder) -> Facts {
        Facts {
            plugins: self.facts.clone(),
            credentials: self.credentials.clone(),
            prices: self
                .prices
                .as_ref()
                .map(|prices| prices.keys().map(str::to_owned).collect::<BTreeSet<_>>()),
            files: Some(folder.files.keys().cloned().collect()),
            lock: folder.lock.clone(),
        }
    }

    /// The plugin that a reference of a bundle means.
    pub(super) fn plugin(
        &self,
        folder: &Folder,
        reference: &PluginRef,
    ) -> anyhow::Result<&Arc<Plugin>> {
        let installed = Installed::new(&self.facts, folder.lock.as_ref());
        let fact = installed
            .resolve(reference)
            .map_err(|error| anyhow::anyhow!("{error}; {}", error.help()))?;
        let found = self
            .plugins
            .iter()
            .find(|plugin| plugin.digest() == fact.digest);
        found.context("a plugin that was resolved is installed")
    }

    /// The digest of the effective policy: floor and bundle, plugins and data.
    pub(crate) fn digest(&self, folder: &Folder, floor: Option<&Folder>) -> anyhow::Result<Digest> {
        let of = |folder: &Folder| -> anyhow::Result<Digest> {
            let pin = |step: &pointsman_policy::policy::Step| {
                Ok((
                    step.plugin.clone(),
                    self.plugin(folder, &step.plugin)?.digest(),
                ))
            };
            let plugins = folder
                .policy
                .steps
                .iter()
                .map(pin)
                .collect::<anyhow::Result<_>>()?;
            Ok(digest::bundle(
                &folder.policy,
                &plugins,
                &folder.data_digests(),
            ))
        };
        Ok(digest::effective(floor.map(of).transpose()?, of(folder)?))
    }

    /// Floor and bundle, composed.
    pub(super) fn effective(folder: &Folder, floor: Option<&Folder>) -> compose::Effective {
        compose::compose(floor.map(|floor| &floor.policy), &folder.policy)
    }
}

/// The address that an endpoint names itself; a host name has none before it is resolved.
fn literal(endpoint: &str) -> Option<SocketAddr> {
    let uri: http::Uri = endpoint.parse().ok()?;
    let usual = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = uri.port_u16().unwrap_or(usual);
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let ip = match host {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        host => host.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

fn fact(plugin: &Plugin) -> PluginFact {
    let info = plugin.info();
    PluginFact {
        name: info.name.clone(),
        version: info.version.clone(),
        digest: plugin.digest(),
        roles: info.roles.clone(),
        imports: info.imports.clone(),
        config_schema: info.config_schema.clone(),
    }
}

/// The `.wasm` files of a folder by name; a folder that is not there has none.
fn components(folder: &std::path::Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot read the plugins' folder {}", folder.display()));
        }
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read the plugins' folder {}", folder.display()))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}
