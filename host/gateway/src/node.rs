//! One node: its settings, its state folder, and everything that its threads share.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context as _, bail};
use pointsman_plugin::RuntimeConfig;
use pointsman_policy::config::{self, SecretRef, StaticConfig};
use pointsman_telemetry::Metrics;
use pointsman_upstream::EgressRules;
use secrecy::SecretString;
use tokio::sync::watch;

use crate::answers::Answers;
use crate::aside::Aside;
use crate::decisions::Charged;
use crate::meters::Meters;
use crate::pipeline::epoch_ms;
use crate::plane::{Plane, Serving};
use crate::snapshot::PolicySlot;
use crate::traces::Telling;

/// The static configuration and the places it names, which are relative to the working directory.
pub(crate) struct Settings {
    pub(crate) config: StaticConfig,
}

impl Settings {
    /// Reads a configuration file; without one every key has its default. `POINTSMAN_…` variables override both.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let (name, text) = match file {
            None => (String::new(), String::new()),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                (path.display().to_string(), text)
            }
        };
        let mut config: StaticConfig = pointsman_policy::document::parse(&name, &text)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        config.override_with(variables)?;
        let mut findings = config.check();
        pointsman_policy::document::place(&mut findings, &name, &text);
        if let Some(finding) = findings.iter().find(|finding| finding.is_error()) {
            bail!("{finding}");
        }
        Ok(Self { config })
    }

    pub(crate) fn state(&self) -> PathBuf {
        PathBuf::from(&self.config.state)
    }

    /// The folder of policy bundles.
    pub(crate) fn policies(&self) -> PathBuf {
        PathBuf::from(&self.config.policies)
    }

    /// The folder of installed plugins.
    pub(crate) fn plugins(&self) -> PathBuf {
        PathBuf::from(&self.config.plugins)
    }

    pub(crate) fn tenants_file(&self) -> PathBuf {
        match &self.config.keys.file {
            Some(path) => PathBuf::from(path),
            None => self.state().join("tenants.toml"),
        }
    }

    pub(crate) fn decisions_dir(&self) -> PathBuf {
        self.state().join("decisions")
    }

    /// What is kept of requests' content.
    pub(crate) fn content_dir(&self) -> PathBuf {
        self.state().join("content")
    }

    /// Control state, its journal included.
    pub(crate) fn control_dir(&self) -> PathBuf {
        self.state().join("control")
    }

    /// The node's pepper; made on first use where it is a file that is not there yet.
    pub(crate) fn pepper(&self) -> anyhow::Result<Vec<u8>> {
        let secret = match &self.config.keys.pepper {
            Some(reference) => secret_or_new(reference, "keys.pepper")?,
            None => file_or_new(&self.state().join("pepper"))?,
        };
        Ok(secret.into_bytes())
    }

    fn admin_token(&self) -> anyhow::Result<String> {
        match &self.config.control.token {
            Some(reference) => secret_or_new(reference, "control.token"),
            None => file_or_new(&self.state().join("admin-token")),
        }
    }
}

/// The value behind a reference; the reference is named in errors, the value never.
pub(crate) fn secret(reference: &SecretRef, key: &str) -> anyhow::Result<SecretString> {
    match reference {
        SecretRef::Env(name) => match std::env::var(name) {
            Ok(value) => Ok(SecretString::from(value)),
            Err(_) => bail!("{key} names the environment variable {name}, which is not set"),
        },
        SecretRef::File(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{key} names the file {path}"))?;
            Ok(SecretString::from(text.trim().to_owned()))
        }
    }
}

fn secret_or_new(reference: &SecretRef, key: &str) -> anyhow::Result<String> {
    use secrecy::ExposeSecret as _;
    match reference {
        SecretRef::File(path) => file_or_new(Path::new(path)),
        SecretRef::Env(_) => Ok(secret(reference, key)?.expose_secret().to_owned()),
    }
}

/// A secret file, made with 256 random bits and mode 0600 where it is missing.
fn file_or_new(path: &Path) -> anyhow::Result<String> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => bail!(
            "{} is empty; remove it to have a new secret made",
            path.display()
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).context("the operating system gives no random bytes")?;
    let secret = hex::encode(bytes);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(secret.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(secret)
}

fn workers(config: &StaticConfig) -> usize {
    config.data.workers.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        |workers| workers as usize,
    )
}

/// Whether the node serves.
#[derive(Default)]
pub(crate) struct Ready(AtomicBool);

impl Ready {
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }
}

impl pointsman_control::Readiness for Ready {
    fn not_ready(&self) -> Option<String> {
        (!self.0.load(Ordering::Acquire)).then(|| "starting or draining".to_owned())
    }
}

/// Everything that the node's threads share.
pub(crate) struct Node {
    pub(crate) config: Arc<StaticConfig>,
    pub(crate) plane: Arc<Plane>,
    pub(crate) serving: Serving,
    /// What tenants and keys have taken, whatever snapshot a request has pinned.
    pub(crate) meters: Arc<Meters>,
    /// What keys are hashed under; also the key of conversation ids.
    pub(crate) pepper: Arc<[u8]>,
    /// Requests pinned to generations below this are to end now.
    pub(crate) cut_below: watch::Sender<u64>,
    pub(crate) metrics: Arc<Metrics>,
    /// What is told of requests; nothing is exported before the node serves.
    pub(crate) telling: Telling,
    pub(crate) egress: EgressRules,
    pub(crate) admin_token: SecretString,
    pub(crate) in_flight: Arc<AtomicU32>,
    /// Bytes of all request bodies under way.
    pub(crate) bodies: Arc<AtomicUsize>,
    /// Where large bodies are parsed.
    pub(crate) aside: Arc<Aside>,
    /// Answers that may be told again.
    pub(crate) answers: Arc<Answers>,
    pub(crate) epoch: Instant,
    pub(crate) ready: Arc<Ready>,
    /// Another process had the sockets before, and may still write its decision chains.
    pub(crate) succeeds: bool,
    /// The decision chains that this process writes.
    pub(crate) own_chains: Mutex<BTreeSet<String>>,
    /// What the chains had charged when balances were summed.
    pub(crate) charged: Mutex<Charged>,
    decisions_dir: PathBuf,
    pub(crate) content_dir: PathBuf,
}

impl Node {
    /// Loads configuration and control state, and makes the active policies ready. What is broken is refused here, before any listener.
    pub(crate) fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let settings = Settings::load(file)?;
        let format = match settings.config.telemetry.log {
            config::LogFormat::Text => pointsman_telemetry::LogFormat::Text,
            config::LogFormat::Json => pointsman_telemetry::LogFormat::Json,
        };
        let level = settings.config.telemetry.level.as_str();
        pointsman_telemetry::init(format, Some(level)).context("cannot start logging")?;
        let state = settings.state();
        std::fs::create_dir_all(&state)
            .with_context(|| format!("cannot make the state folder {}", state.display()))?;
        let epoch = Instant::now();
        let instances = RuntimeConfig::default().instances_max;
        let charged = Charged::read(&settings.decisions_dir(), epoch_ms())?;
        let meters = Meters::new(instances, &charged.total(), epoch_ms(), epoch);
        let meters = Arc::new(meters);
        let plane = Plane::open(&settings, Arc::clone(&meters), epoch)?;
        let metrics = Arc::new(Metrics::new());
        plane.count_in(Arc::clone(&metrics));
        let (in_flight, bodies) = (Arc::<AtomicU32>::default(), Arc::<AtomicUsize>::default());
        metrics.watch({
            let (in_flight, bodies) = (Arc::clone(&in_flight), Arc::clone(&bodies));
            let serving = plane.serving();
            move |metrics| {
                let requests = u64::from(in_flight.load(Ordering::Relaxed));
                metrics.under_way(requests, bodies.load(Ordering::Relaxed) as u64);
                let snapshot = serving.load();
                metrics.generation(snapshot.generation());
                for (name, slot) in &snapshot.policies {
                    if let PolicySlot::Live(policy) = slot {
                        metrics.serving(name, policy.version);
                    }
                }
            }
        });
        Ok(Self {
            telling: Telling::new(&settings.config.telemetry, None),
            decisions_dir: settings.decisions_dir(),
            content_dir: settings.content_dir(),
            admin_token: SecretString::from(settings.admin_token()?),
            answers: Arc::new(Answers::new(&settings.config)),
            aside: Arc::new(Aside::new(workers(&settings.config)).context("cannot start threads")?),
            pepper: settings.pepper()?.into(),
            config: Arc::new(settings.config),
            serving: plane.serving(),
            meters,
            egress: plane.egress(),
            plane: Arc::new(plane),
            cut_below: watch::channel(0).0,
            metrics,
            in_flight,
            bodies,
            epoch,
            ready: Arc::default(),
            succeeds: false,
            own_chains: Mutex::default(),
            charged: Mutex::new(charged),
        })
    }

    /// Data-plane threads: as configured, else one a core.
    pub(crate) fn workers(&self) -> usize {
        workers(&self.config)
    }

    pub(crate) fn decisions_dir(&self) -> PathBuf {
        self.decisions_dir.clone()
    }
}
