//! What the node has, as bundles see it: installed plugins, credentials by name, prices, the floor.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use pointsman_domain::{Digest, control};
use pointsman_plugin::{Plugin, Runtime, Secret};
use pointsman_policy::config::{self, StaticConfig};
use pointsman_policy::document;
use pointsman_policy::finding::{Finding, Path};
use pointsman_policy::installed::{Installed, PluginFact};
use pointsman_policy::policy::{Kind, PluginRef, Target};
use pointsman_policy::prices::Catalogue;
use pointsman_policy::validate::{self, CredentialFact, Facts};
use pointsman_policy::{compose, digest};
use pointsman_store::{State, Store};
use pointsman_traffic::health::TargetHealth;
use pointsman_upstream::{Credential, EgressRules};
use secrecy::ExposeSecret as _;

use super::{Folder, read_text};
use crate::node::{Settings, secret};

/// What of a node's configuration bundles see.
pub(crate) struct House {
    facts: Vec<CredentialFact>,
    /// With their secrets; none where bundles are only checked.
    credentials: HashMap<String, Arc<Credential>>,
    secret_names: BTreeSet<String>,
    /// Likewise.
    secrets: Vec<Secret>,
    pub(crate) egress: EgressRules,
    /// Health by policy, target, endpoint and model: a new version does not forget what is known of its targets.
    healths: Mutex<HashMap<[String; 4], TargetHealth>>,
}

impl House {
    /// Without secrets: enough to check a bundle.
    pub(crate) fn facts(config: &StaticConfig) -> anyhow::Result<Self> {
        let listed = config.egress.allow_private.iter().map(String::as_str);
        let fact = |credential: &config::Credential| CredentialFact {
            name: credential.name.clone(),
            origins: credential.origins.clone(),
        };
        Ok(Self {
            facts: config.credentials.iter().map(fact).collect(),
            credentials: HashMap::new(),
            secret_names: config
                .secrets
                .iter()
                .map(|secret| secret.name.clone())
                .collect(),
            secrets: Vec::new(),
            egress: EgressRules::new(listed).context("egress.allow-private")?,
            healths: Mutex::default(),
        })
    }

    /// With the secrets of its credentials.
    pub(crate) fn open(config: &StaticConfig) -> anyhow::Result<Self> {
        let read = |credential: &config::Credential| {
            let key = format!("credential `{}`", credential.name);
            let value = secret(&credential.value, &key)?;
            let header = credential.header.as_deref();
            let live = Credential::new(
                &credential.name,
                value,
                &credential.origins,
                &credential.tenants,
                header,
            )
            .with_context(|| key)?;
            Ok((credential.name.clone(), Arc::new(live)))
        };
        let credentials = config.credentials.iter().map(read);
        let signing = |named: &config::Secret| {
            let key = format!("secret `{}`", named.name);
            let value = secret(&named.value, &key)?;
            let bytes = value.expose_secret().as_bytes();
            anyhow::ensure!(!bytes.is_empty(), "{key} is empty");
            Ok(Secret::new(&named.name, bytes, &named.tenants))
        };
        let secrets = config.secrets.iter().map(signing);
        Ok(Self {
            credentials: credentials.collect::<anyhow::Result<_>>()?,
            secrets: secrets.collect::<anyhow::Result<_>>()?,
            ..Self::facts(config)?
        })
    }

    pub(super) fn credential(&self, name: &str) -> Option<Arc<Credential>> {
        self.credentials.get(name).cloned()
    }

    /// What steps may name, where bundles are run.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.secrets.clone()
    }

    pub(super) fn health(&self, policy: &str, target: &Target) -> TargetHealth {
        let place = [policy, &target.name, &target.endpoint, &target.model].map(str::to_owned);
        let mut healths = self.healths.lock().unwrap_or_else(PoisonError::into_inner);
        healths.entry(place).or_default().clone()
    }
}

/// Where the bytes of plugins are.
pub(crate) enum Shelf {
    /// All loaded; in no order.
    Loaded(Vec<Arc<Plugin>>),
    /// By digest in the store.
    Stored(Arc<Store>),
}

/// Plugins of which other bytes were pushed later under the same name and version.
fn replaced(state: &State) -> BTreeSet<Digest> {
    let mut newest: BTreeMap<(&str, &str), &control::Plugin> = BTreeMap::new();
    let mut replaced = BTreeSet::new();
    for plugin in state.plugins.values() {
        let place = (plugin.name.as_str(), plugin.version.as_str());
        let older = match newest.get(&place) {
            Some(known) if known.pushed_ms > plugin.pushed_ms => plugin.digest,
            Some(known) => {
                let older = known.digest;
                newest.insert(place, plugin);
                older
            }
            None => {
                newest.insert(place, plugin);
                continue;
            }
        };
        replaced.insert(older);
    }
    replaced
}

/// Another plugin in the place of one step's, with all that it asks to be granted.
#[derive(Clone)]
pub(crate) struct StandIn {
    /// The step's id, `floor/…` where it is the floor's.
    pub(crate) step: String,
    pub(crate) plugin: Arc<Plugin>,
    /// None where the step's own is to be used.
    pub(crate) config: Option<serde_json::Value>,
}

/// What a node has, as bundles see it: plugins, credentials by name, prices.
pub(crate) struct World<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) house: &'a House,
    /// What each plugin says of itself.
    pub(crate) facts: Vec<PluginFact>,
    /// Those of which other bytes of the same name and version were pushed later: only what is pinned to them means them.
    replaced: BTreeSet<Digest>,
    pub(crate) shelf: Shelf,
    pub(crate) prices: Option<Arc<Catalogue>>,
    /// Only where a policy is tried otherwise than it is.
    pub(crate) stand_in: Option<StandIn>,
}

impl<'a> World<'a> {
    /// The folder of plugins and the price file that the configuration names. A plugin that cannot be loaded is left
    /// out and said: it must not take down policies that do without it.
    pub(crate) fn of_folders(
        settings: &Settings,
        runtime: &'a Runtime,
        house: &'a House,
    ) -> anyhow::Result<Self> {
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
            let text = read_text(std::path::Path::new(path)).context("prices")?;
            Ok::<_, anyhow::Error>(Arc::new(Catalogue::parse(path, &text)?))
        });
        Ok(Self::of_plugins(
            plugins,
            prices.transpose()?,
            runtime,
            house,
        ))
    }

    /// Plugins that are loaded already.
    pub(crate) fn of_plugins(
        plugins: Vec<Arc<Plugin>>,
        prices: Option<Arc<Catalogue>>,
        runtime: &'a Runtime,
        house: &'a House,
    ) -> Self {
        Self {
            runtime,
            house,
            facts: plugins.iter().map(|plugin| fact(plugin)).collect(),
            replaced: BTreeSet::new(),
            shelf: Shelf::Loaded(plugins),
            prices,
            stand_in: None,
        }
    }

    /// The plugins and prices of a store's state.
    pub(crate) fn of_state(
        state: &State,
        store: &Arc<Store>,
        prices: Option<Arc<Catalogue>>,
        runtime: &'a Runtime,
        house: &'a House,
    ) -> Self {
        let fact = |plugin: &Arc<control::Plugin>| PluginFact {
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            digest: plugin.digest,
            roles: plugin.roles.clone(),
            imports: plugin.imports.clone(),
            config_schema: plugin.config_schema.clone().unwrap_or_default(),
        };
        Self {
            runtime,
            house,
            facts: state.plugins.values().map(fact).collect(),
            replaced: replaced(state),
            shelf: Shelf::Stored(Arc::clone(store)),
            prices,
            stand_in: None,
        }
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
            let class = self.house.egress.refusal(address)?;
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
            plugins: self.meant(folder),
            credentials: self.house.facts.clone(),
            secrets: self.house.secret_names.clone(),
            prices: self
                .prices
                .as_ref()
                .map(|prices| prices.keys().map(str::to_owned).collect::<BTreeSet<_>>()),
            files: Some(folder.files.keys().cloned().collect()),
            lock: folder.lock.clone(),
        }
    }

    /// The plugins that a bundle may mean: what was pushed last under a name and version, and what it is pinned to.
    fn meant(&self, folder: &Folder) -> Vec<PluginFact> {
        let pinned = |digest: &Digest| {
            let locked = folder.lock.iter().flat_map(|lock| &lock.plugins);
            locked.into_iter().any(|locked| locked.digest == *digest)
        };
        let facts = self.facts.iter();
        facts
            .filter(|fact| !self.replaced.contains(&fact.digest) || pinned(&fact.digest))
            .cloned()
            .collect()
    }

    /// The digest of the plugin that a reference of a bundle means.
    fn resolved<'b>(
        &'b self,
        folder: &'b Folder,
        reference: &PluginRef,
    ) -> anyhow::Result<&'b PluginFact> {
        let meant = self.meant(folder);
        let digest = Installed::new(&meant, folder.lock.as_ref())
            .resolve(reference)
            .map_err(|error| anyhow::anyhow!("{error}; {}", error.help()))?
            .digest;
        let mut facts = self.facts.iter();
        facts
            .find(|fact| fact.digest == digest)
            .context("a plugin that was resolved is known")
    }

    /// The plugin that a reference of a bundle means.
    pub(super) fn plugin(
        &self,
        folder: &Folder,
        reference: &PluginRef,
    ) -> anyhow::Result<Arc<Plugin>> {
        let digest = self.resolved(folder, reference)?.digest;
        match &self.shelf {
            Shelf::Loaded(plugins) => {
                let found = plugins.iter().find(|plugin| plugin.digest() == digest);
                found
                    .cloned()
                    .context("a plugin that was resolved is installed")
            }
            Shelf::Stored(store) => {
                let bytes = store.blob(&digest)?;
                Ok(self.runtime.load(&bytes)?)
            }
        }
    }

    /// What each reference of a bundle means, each once.
    pub(crate) fn pins(&self, folder: &Folder) -> anyhow::Result<BTreeMap<PluginRef, Digest>> {
        let pin = |step: &pointsman_policy::policy::Step| {
            let fact = self.resolved(folder, &step.plugin)?;
            Ok((step.plugin.clone(), fact.digest))
        };
        folder.policy.steps.iter().map(pin).collect()
    }

    /// The digest of a bundle's content: policy, plugins and data.
    pub(crate) fn content(&self, folder: &Folder) -> anyhow::Result<Digest> {
        let pins = self.pins(folder)?;
        Ok(digest::bundle(
            &folder.policy,
            &pins,
            &folder.data_digests(),
        ))
    }

    /// The digest of the effective policy: floor and bundle, plugins and data.
    pub(crate) fn digest(&self, folder: &Folder, floor: Option<&Folder>) -> anyhow::Result<Digest> {
        let floor = floor.map(|floor| self.content(floor)).transpose()?;
        Ok(digest::effective(floor, self.content(folder)?))
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

/// What a loaded plugin says of itself.
pub(crate) fn fact(plugin: &Plugin) -> PluginFact {
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
pub(crate) fn components(folder: &std::path::Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
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
