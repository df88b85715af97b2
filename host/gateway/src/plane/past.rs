//! What decided a request that is recorded: its policy version, floor and prices out of the store, ready to run again,
//! beside whoever owns the store.
//!
//! Promises: what is rebuilt has the digest that the record names, or it is not rebuilt.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use pointsman_control::api::Bundle;
use pointsman_domain::Digest;
use pointsman_domain::control::Version;
use pointsman_domain::decision::Opened;
use pointsman_plugin::{Plugin, Runtime};
use pointsman_policy::digest;
use pointsman_policy::prices::Catalogue;
use pointsman_store::Look;

use super::build::lock;
use crate::bundle::{Folder, House, StandIn, World, unpack};
use crate::node::Settings;
use crate::snapshot::PolicyLive;

/// The store of a state folder as it can be read from beside.
pub(crate) struct Past<'a> {
    runtime: &'a Runtime,
    house: House,
    look: Look,
    plugins: RefCell<HashMap<Digest, Arc<Plugin>>>,
}

/// What decided some requests: an effective policy under its prices.
pub(crate) struct Served {
    folder: Folder,
    floor: Option<Folder>,
    digest: Digest,
    version: u64,
    plugins: Vec<Arc<Plugin>>,
    prices: Option<Arc<Catalogue>>,
}

impl<'a> Past<'a> {
    pub(crate) fn open(settings: &Settings, runtime: &'a Runtime) -> anyhow::Result<Self> {
        let folder = settings.control_dir();
        let look = Look::open(&folder)
            .with_context(|| format!("cannot read the control state in {}", folder.display()))?;
        // Without its secrets a step that signs says otherwise, which is seen.
        let house = House::open(&settings.config).or_else(|_| House::facts(&settings.config))?;
        Ok(Self {
            runtime,
            house,
            look,
            plugins: RefCell::default(),
        })
    }

    /// What decided a request.
    pub(crate) fn served(&self, opened: &Opened) -> anyhow::Result<Served> {
        let line = self.look.state().policies.get(&opened.policy);
        let version = line.and_then(|line| line.versions.get(&opened.version));
        let version = version.with_context(|| {
            format!(
                "version {} of policy `{}` is not in the store",
                opened.version, opened.policy
            )
        })?;
        let floor = self.floor(version, &opened.policy_digest)?;
        let prices = opened.prices_digest.as_ref();
        let prices = prices.map(|digest| self.prices(digest)).transpose()?;
        let versions = floor.into_iter().chain([&**version]);
        let pins = versions.flat_map(|version| &version.plugins);
        let plugins: BTreeSet<Digest> = pins.map(|pin| pin.digest).collect();
        Ok(Served {
            plugins: plugins
                .iter()
                .map(|digest| self.plugin(digest))
                .collect::<anyhow::Result<_>>()?,
            folder: self.bundle(version)?,
            floor: floor.map(|floor| self.bundle(floor)).transpose()?,
            digest: opened.policy_digest,
            version: opened.version,
            prices,
        })
    }

    /// It, ready to run; with another plugin in the place of a step's where one is given.
    pub(crate) fn live(
        &self,
        served: &Served,
        stand_in: Option<StandIn>,
    ) -> anyhow::Result<PolicyLive> {
        let (plugins, prices) = (served.plugins.clone(), served.prices.clone());
        let mut world = World::of_plugins(plugins, prices, self.runtime, &self.house);
        world.stand_in = stand_in;
        let floor = served.floor.as_ref();
        world.live(&served.folder, floor, served.digest, served.version)
    }

    /// The floor under which a version has this digest.
    fn floor(&self, version: &Version, wanted: &Digest) -> anyhow::Result<Option<&Version>> {
        if digest::effective(None, version.digest) == *wanted {
            return Ok(None);
        }
        let lines = self.look.state().policies.values();
        let floors = lines.flat_map(|line| line.versions.values());
        let mut floors = floors.filter(|version| version.floor);
        let is_it = |floor: &&Arc<Version>| {
            digest::effective(Some(floor.digest), version.digest) == *wanted
        };
        match floors.find(is_it) {
            Some(floor) => Ok(Some(floor)),
            None => bail!("no floor in the store makes its policy what the record names"),
        }
    }

    fn prices(&self, digest: &Digest) -> anyhow::Result<Arc<Catalogue>> {
        let known = self.look.prices(digest);
        let known = known.context("its price catalogue is not in the store")?;
        let bytes = self.look.blob(&known.blob)?;
        let text = std::str::from_utf8(&bytes).context("the price catalogue is not UTF-8")?;
        Ok(Arc::new(Catalogue::parse("prices.jsonl", text)?))
    }

    fn bundle(&self, version: &Version) -> anyhow::Result<Folder> {
        let bytes = self.look.blob(&version.bundle)?;
        let bundle: Bundle =
            serde_json::from_slice(&bytes).context("a stored bundle cannot be read")?;
        let mut folder = Folder::of(Path::new(&version.policy), unpack(&bundle)?)?;
        folder.lock = Some(lock(self.look.state(), version)?);
        Ok(folder)
    }

    fn plugin(&self, digest: &Digest) -> anyhow::Result<Arc<Plugin>> {
        if let Some(known) = self.plugins.borrow().get(digest) {
            return Ok(Arc::clone(known));
        }
        let loaded = self.runtime.load(&self.look.blob(digest)?)?;
        let mut plugins = self.plugins.borrow_mut();
        Ok(Arc::clone(plugins.entry(*digest).or_insert(loaded)))
    }
}
