//! The one writer of control state: what operators ask for is checked, built aside, committed, and live.
//!
//! Promises: a change is durable and serves when its call returns; one that fails changes nothing; changes come one
//! after the other, what takes long is built before its turn. Requests never wait for anything here. Refuses to know:
//! HTTP.

mod build;
mod control;
mod diff;
mod past;
mod people;
mod policies;
mod prices;
mod retire;
mod seed;
mod switched;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use pointsman_control::{By, Done, PlaneError};
use pointsman_domain::control::{Change, Idempotency};
use pointsman_plugin::{Runtime, RuntimeConfig};
use pointsman_store::{Recovered, State, Store, StoreConfig};
use pointsman_telemetry::Metrics;
use serde::Serialize;

use crate::bundle::House;
use crate::meters::Meters;
use crate::node::Settings;
use crate::pipeline::epoch_ms;
use crate::publish::Published;
use crate::snapshot::{PolicySlot, Snapshot};
use build::Warm;
pub(crate) use past::{Past, Served};

/// How long readers of the store are waited for before it changes hands.
const RELEASE_MAX: Duration = Duration::from_secs(5);
/// Between looks whether it can.
const RELEASE_PAUSE: Duration = Duration::from_millis(20);

/// What serves, as workers see it.
pub(crate) type Serving = Arc<Published<ArcSwap<Snapshot>>>;

/// Control state and what it is made to.
pub(crate) struct Plane {
    runtime: Runtime,
    house: House,
    pepper: Vec<u8>,
    meters: Arc<Meters>,
    serving: Serving,
    folder: PathBuf,
    /// None while another process owns the folder.
    store: RwLock<Option<Arc<Store>>>,
    /// Since when the node's monotonic clock runs.
    epoch: Instant,
    /// One change at a time.
    turn: Mutex<()>,
    warm: Mutex<Warm>,
    /// None on the command line, where nobody reads them.
    metrics: OnceLock<Arc<Metrics>>,
}

/// What a change comes to, decided under the turn.
enum Step<T> {
    /// It is so already.
    Already(T),
    /// To be committed and served.
    Make(Box<Make<T>>),
}

struct Make<T> {
    change: Change,
    /// 201 rather than 200.
    created: bool,
    /// Policies that serve otherwise from here on.
    policies: Vec<(String, PolicySlot)>,
    answer: T,
    /// The answer as a repeated idempotent call is told it.
    kept: serde_json::Value,
}

impl<T: Serialize> Make<T> {
    /// A change that no policy serves otherwise for.
    fn of(change: Change, answer: T) -> Self {
        Self {
            change,
            created: false,
            policies: Vec::new(),
            kept: serde_json::to_value(&answer).unwrap_or_default(),
            answer,
        }
    }
}

impl<T> From<Make<T>> for Step<T> {
    fn from(make: Make<T>) -> Self {
        Self::Make(Box::new(make))
    }
}

/// A change that is live.
struct Live<T> {
    done: Done<T>,
    /// From before the journal's commit until requests saw it.
    took_us: u64,
}

impl Plane {
    /// Opens the state folder's store, imports the folders of a first start, makes the active policies ready and
    /// publishes them. A version that does not build any more leaves its policy broken and said; the others serve.
    pub(crate) fn open(
        settings: &Settings,
        meters: Arc<Meters>,
        epoch: Instant,
    ) -> anyhow::Result<Self> {
        let house = House::open(&settings.config)?;
        let plane = Self::with(settings, house, meters, epoch)?;
        let ready = plane.ready(Snapshot::clone(&plane.serving.load()));
        plane.serving.publish(Arc::new(ready));
        plane.seed(settings)?;
        Ok(plane)
    }

    /// The control state of a folder that no gateway serves from, for the command line.
    pub(crate) fn offline(settings: &Settings) -> anyhow::Result<Self> {
        let house = House::facts(&settings.config)?;
        let epoch = Instant::now();
        let meters = Meters::new(1, &BTreeMap::new(), epoch_ms(), epoch);
        Self::with(settings, house, Arc::new(meters), epoch)
    }

    fn with(
        settings: &Settings,
        house: House,
        meters: Arc<Meters>,
        epoch: Instant,
    ) -> anyhow::Result<Self> {
        let folder = settings.control_dir();
        let (store, recovered) = Store::open(&folder, StoreConfig::default())
            .with_context(|| format!("cannot open the control state in {}", folder.display()))?;
        tell(&recovered);
        let runtime = Runtime::new(RuntimeConfig {
            compile_cache_dir: Some(settings.state().join("compiled")),
            ..RuntimeConfig::default()
        })
        .context("cannot start the plugin runtime")?;
        let snapshot = Snapshot::of(store.state(), &meters);
        Ok(Self {
            runtime,
            house,
            pepper: settings.pepper()?,
            serving: Arc::new(Published::new(ArcSwap::from_pointee(snapshot))),
            meters,
            folder,
            store: RwLock::new(Some(Arc::new(store))),
            epoch,
            turn: Mutex::default(),
            warm: Mutex::default(),
            metrics: OnceLock::new(),
        })
    }

    /// What serves, for workers and readers.
    pub(crate) fn serving(&self) -> Serving {
        Arc::clone(&self.serving)
    }

    /// Where targets may be.
    pub(crate) fn egress(&self) -> pointsman_upstream::EgressRules {
        self.house.egress.clone()
    }

    /// Gives up the state folder, so that another process can own it; changes are refused until `take_back`.
    ///
    /// # Errors
    /// Where someone still reads from it after a while; it is then kept.
    pub(crate) fn release(&self) -> anyhow::Result<()> {
        let _no_change_is_under_way = self.turn();
        let mut held = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let Some(mut store) = held.take() else {
            return Ok(());
        };
        let began = Instant::now();
        loop {
            match Arc::try_unwrap(store) {
                Ok(store) => return Ok(store.release()?),
                Err(shared) if began.elapsed() > RELEASE_MAX => {
                    *held = Some(shared);
                    anyhow::bail!("the control state is still being read, by a backup or a build");
                }
                Err(shared) => store = shared,
            }
            std::thread::sleep(RELEASE_PAUSE);
        }
    }

    /// Owns the state folder again, with what the other process may have changed.
    pub(crate) fn take_back(&self) -> anyhow::Result<()> {
        let _no_change_is_under_way = self.turn();
        if self.store().is_ok() {
            return Ok(());
        }
        let began = Instant::now();
        let (store, recovered) = loop {
            match Store::open(&self.folder, StoreConfig::default()) {
                Ok(opened) => break opened,
                // The other process is ended, but may not be gone yet.
                Err(error) if began.elapsed() > RELEASE_MAX => return Err(error.into()),
                Err(_) => std::thread::sleep(RELEASE_PAUSE),
            }
        };
        tell(&recovered);
        let state = store.state();
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(store));
        if state.sequence != self.serving.load().generation() {
            let next = self.ready(Snapshot::of(state, &self.meters));
            self.serving.publish(Arc::new(next));
        }
        Ok(())
    }

    fn state(&self) -> State {
        self.serving.load().state.clone()
    }

    fn store(&self) -> Result<Arc<Store>, PlaneError> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.clone().ok_or_else(|| {
            PlaneError::Unavailable(
                "another process takes over this state folder; ask it, in a moment".to_owned(),
            )
        })
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides under the turn, commits, publishes.
    fn change<T>(
        &self,
        by: &By,
        decide: impl FnOnce(&State) -> Result<Step<T>, PlaneError>,
    ) -> Result<Live<T>, PlaneError> {
        let _turn = self.turn();
        let before = self.serving.load();
        if let Some(done) = earlier(&before.state, by)? {
            let done = Done::Replayed(done);
            return Ok(Live { done, took_us: 0 });
        }
        let make = match decide(&before.state)? {
            Step::Already(answer) => {
                let done = Done::Ok(answer);
                return Ok(Live { done, took_us: 0 });
            }
            Step::Make(make) => *make,
        };
        let idempotency = by.remember(make.created, &make.kept);
        let began = Instant::now();
        let at_ms = epoch_ms();
        let state = self
            .store()?
            .commit(at_ms, &by.actor, make.change.clone(), idempotency)
            .map_err(|error| unavailable(&error))?;
        let mut next = before.after(&make.change, state, &self.meters);
        for (name, slot) in make.policies {
            next.policies.insert(name, slot);
        }
        self.serving.publish(Arc::new(next));
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        drop(before);
        let done = if make.created {
            Done::Created(make.answer)
        } else {
            Done::Ok(make.answer)
        };
        Ok(Live { done, took_us })
    }
}

/// What opening the store found, to the operator.
fn tell(recovered: &Recovered) {
    if let Some(damage) = &recovered.damage {
        tracing::error!(damage = %damage, "the control journal is damaged where the state has it whole; nothing is lost, but no backup can be made: restore an older one, or keep this folder safe");
    }
    if let Some(why) = &recovered.rebuilt {
        tracing::warn!(
            why,
            replayed = recovered.replayed,
            "the control state was rebuilt from its journal"
        );
    }
    if let Some(why) = &recovered.shelf_failed {
        tracing::warn!(
            why,
            "the control state is kept in memory and its journal alone"
        );
    }
    if recovered.cut_bytes > 0 {
        tracing::warn!(
            bytes = recovered.cut_bytes,
            "a change that was never acknowledged was cut from the control journal"
        );
    }
}

/// What an idempotency key did before; an error where it stands for another request.
fn earlier(state: &State, by: &By) -> Result<Option<Idempotency>, PlaneError> {
    let known = by.idempotency.as_ref();
    let known = known.and_then(|(key, _)| state.idempotency.get(key));
    by.earlier(known.map(|(_, done)| &**done))
}

fn unavailable(error: &pointsman_store::StoreError) -> PlaneError {
    PlaneError::Unavailable(format!("nothing was changed: {error}"))
}

/// What is refused because of its content.
fn invalid(error: &anyhow::Error) -> PlaneError {
    PlaneError::Invalid {
        what: format!("{error:#}"),
        findings: Vec::new(),
    }
}
