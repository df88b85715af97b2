//! From versions in the store to policies that run, and the few that are kept ready without serving.

use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};

use anyhow::Context as _;
use pointsman_control::PlaneError;
use pointsman_control::api::Bundle;
use pointsman_domain::Digest;
use pointsman_domain::control::Version;
use pointsman_policy::lock::{Lock, Locked};
use pointsman_policy::policy::Policy;
use pointsman_policy::prices::Catalogue;
use pointsman_store::{PolicyLine, State, Store};

use super::{Plane, invalid, unavailable};
use crate::bundle::{Folder, World, refuse, unpack};
use crate::snapshot::{PolicyLive, PolicySlot, Snapshot};

/// Policies that are kept ready beyond those that serve, so that what was just pushed, and what served before, is live
/// at once.
const WARM_MAX: usize = 32;

/// What a built policy depends on beside its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Basis {
    /// Name and number of the floor's active version.
    floor: Option<(String, u64)>,
    prices: Option<Digest>,
}

impl Basis {
    pub(super) fn of(state: &State) -> Self {
        Self {
            floor: floor(state).map(|version| (version.policy.clone(), version.number)),
            prices: state.prices.as_ref().map(|prices| prices.digest),
        }
    }
}

/// The active version that is a floor.
pub(super) fn floor(state: &State) -> Option<&Arc<Version>> {
    state
        .policies
        .values()
        .filter_map(active)
        .find(|version| version.floor)
}

/// A policy's active version.
pub(super) fn active(line: &PolicyLine) -> Option<&Arc<Version>> {
    line.versions.get(&line.active?)
}

/// Built and not forgotten yet; the newest last.
#[derive(Default)]
pub(super) struct Warm {
    policies: Vec<Built>,
    prices: Option<(Digest, Arc<Catalogue>)>,
}

/// A version that is ready to serve.
#[derive(Clone)]
pub(super) struct Built {
    pub(super) version: u64,
    pub(super) basis: Basis,
    pub(super) live: Arc<PolicyLive>,
    pub(super) policy: Arc<Policy>,
}

impl Plane {
    fn warm(&self) -> MutexGuard<'_, Warm> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a policy ready; the least used leaves.
    pub(super) fn keep_warm(&self, built: Built) {
        let mut warm = self.warm();
        let is_same = |known: &Built| {
            known.live.name == built.live.name
                && known.version == built.version
                && known.basis == built.basis
        };
        warm.policies.retain(|known| !is_same(known));
        warm.policies.push(built);
        // What serves, or is about to, is held elsewhere too and counts for nothing here.
        let idle = |known: &Built| Arc::strong_count(&known.live) == 1;
        let over = warm.policies.iter().filter(|known| idle(known)).count();
        let mut over = over.saturating_sub(WARM_MAX);
        let (freed, kept) = std::mem::take(&mut warm.policies)
            .into_iter()
            .partition::<Vec<_>, _>(|known| {
                let goes = over > 0 && idle(known);
                over -= usize::from(goes);
                goes
            });
        warm.policies = kept;
        drop(warm);
        drop(freed);
    }

    /// The version ready to serve on the basis of a state: kept, repriced, or built anew.
    pub(super) fn built(&self, state: &State, version: &Version) -> Result<Built, PlaneError> {
        let basis = Basis::of(state);
        let known: Vec<Built> = self
            .warm()
            .policies
            .iter()
            .rev()
            .filter(|built| built.live.name == version.policy && built.version == version.number)
            .cloned()
            .collect();
        if let Some(built) = known.iter().find(|built| built.basis == basis) {
            self.keep_warm(built.clone());
            return Ok(built.clone());
        }
        let repriceable = known
            .into_iter()
            .find(|built| built.basis.floor == basis.floor);
        let built = match repriceable {
            Some(other) => {
                let world = self.world(state)?;
                let folder = self.stored(state, version)?;
                let floor = self.stored_floor(state)?;
                refuse(&world.findings(&folder, floor.as_ref()))
                    .map_err(|error| invalid(&error))?;
                let live = world.repriced(&other.live, &other.policy);
                Built {
                    basis,
                    live: Arc::new(live),
                    ..other
                }
            }
            None => self.anew(state, version, basis)?,
        };
        self.keep_warm(built.clone());
        Ok(built)
    }

    fn anew(&self, state: &State, version: &Version, basis: Basis) -> Result<Built, PlaneError> {
        let world = self.world(state)?;
        let folder = self.stored(state, version)?;
        let floor = self.stored_floor(state)?;
        let build = || {
            refuse(&world.findings(&folder, floor.as_ref()))?;
            let digest = world.digest(&folder, floor.as_ref())?;
            world.live(&folder, floor.as_ref(), digest, version.number)
        };
        let live = build().map_err(|error| invalid(&error))?;
        Ok(Built {
            version: version.number,
            basis,
            live: Arc::new(live),
            policy: Arc::new(folder.policy),
        })
    }

    /// What bundles see of a state.
    pub(super) fn world(&self, state: &State) -> Result<World<'_>, PlaneError> {
        let store = self.store()?;
        let prices = self.catalogue(state, &store)?;
        Ok(World::of_state(
            state,
            &store,
            prices,
            &self.runtime,
            &self.house,
        ))
    }

    /// The price catalogue of a state.
    fn catalogue(
        &self,
        state: &State,
        store: &Store,
    ) -> Result<Option<Arc<Catalogue>>, PlaneError> {
        let Some(prices) = &state.prices else {
            return Ok(None);
        };
        if let Some((digest, known)) = &self.warm().prices
            && *digest == prices.digest
        {
            return Ok(Some(Arc::clone(known)));
        }
        let bytes = store
            .blob(&prices.blob)
            .map_err(|error| unavailable(&error))?;
        let text = std::str::from_utf8(&bytes).context("the price catalogue is not UTF-8");
        let read = text.and_then(|text| Ok(Catalogue::parse("prices.jsonl", text)?));
        let catalogue = Arc::new(read.map_err(|error| invalid(&error))?);
        self.warm().prices = Some((prices.digest, Arc::clone(&catalogue)));
        Ok(Some(catalogue))
    }

    /// A version's bundle as it was pushed.
    pub(super) fn bundle(&self, version: &Version) -> Result<Bundle, PlaneError> {
        let store = self.store()?;
        let bytes = store
            .blob(&version.bundle)
            .map_err(|error| unavailable(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            PlaneError::Internal(format!("a stored bundle cannot be read: {error}"))
        })
    }

    /// A version's bundle, its references pinned to what they meant when it was pushed.
    pub(super) fn stored(&self, state: &State, version: &Version) -> Result<Folder, PlaneError> {
        let bundle = self.bundle(version)?;
        let read = || {
            let mut folder = Folder::of(Path::new(&version.policy), unpack(&bundle)?)?;
            folder.lock = Some(lock(state, version)?);
            anyhow::Ok(folder)
        };
        read().map_err(|error| invalid(&error))
    }

    /// The floor in force.
    pub(super) fn stored_floor(&self, state: &State) -> Result<Option<Folder>, PlaneError> {
        floor(state)
            .map(|version| self.stored(state, version))
            .transpose()
    }

    /// Every active policy on the basis of a state that is about to be; an error where one cannot be.
    pub(super) fn all_on(&self, state: &State) -> Result<Vec<(String, PolicySlot)>, PlaneError> {
        let mut slots = Vec::new();
        for (name, line) in &state.policies {
            let Some(version) = active(line) else {
                continue;
            };
            let built = self.built(state, version).map_err(|error| match error {
                PlaneError::Invalid { what, findings } => PlaneError::Invalid {
                    what: format!(
                        "version {} of policy `{name}`, which is active, would not build: {what}",
                        version.number
                    ),
                    findings,
                },
                other => other,
            })?;
            slots.push((name.clone(), PolicySlot::Live(built.live)));
        }
        Ok(slots)
    }

    /// A snapshot with every active policy ready; those that do not build are told, and broken in it.
    pub(super) fn ready(&self, mut next: Snapshot) -> Snapshot {
        for (name, line) in &next.state.policies {
            let Some(version) = active(line) else {
                continue;
            };
            let slot = match self.built(&next.state, version) {
                Ok(built) => PolicySlot::Live(built.live),
                Err(error) => {
                    tracing::error!(policy = %name, version = version.number, error = %error, "the active version does not build any more; its tenants are refused until another is activated");
                    PolicySlot::Broken(error.to_string().into())
                }
            };
            next.policies.insert(name.clone(), slot);
        }
        next
    }
}

/// What the references of a version meant when it was pushed.
pub(super) fn lock(state: &State, version: &Version) -> anyhow::Result<Lock> {
    let locked = |pin: &pointsman_domain::control::Pin| {
        let plugin = state.plugins.get(&pin.digest);
        let plugin =
            plugin.with_context(|| format!("plugin {} is not in the store", pin.digest))?;
        Ok(Locked {
            reference: pin.plugin.parse()?,
            version: plugin.version.clone(),
            digest: pin.digest,
        })
    };
    Ok(Lock {
        format: 1,
        plugins: version
            .plugins
            .iter()
            .map(locked)
            .collect::<anyhow::Result<_>>()?,
    })
}
