//! The gateway as a process, with its files and its command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::paths::{binary, guests, plugins, workspace};
use crate::process::Process;
use crate::settings::{self, Bundle, Credential};
use crate::wait::eventually;

/// How to start a gateway.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Its policies.
    pub bundles: Vec<Bundle>,
    /// Tenant and policy; each tenant gets a key.
    pub tenants: Vec<(String, String)>,
    /// Credentials of targets.
    pub credentials: Vec<Credential>,
    /// `host:port` of the test's servers, which are on loopback.
    pub allow_private: Vec<String>,
    /// Whether the misbehaving component is installed beside the shipped plugins.
    pub guests: bool,
    /// Data-plane threads.
    pub workers: u32,
    /// Further settings, merged over ours: `{"data": {"body-bytes-max": 1024}}`.
    pub settings: Value,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
    /// Another build of `pointsman` than the one beside the test.
    pub program: Option<PathBuf>,
    /// What starts it, such as `taskset -c 1`; it must become the process that it starts.
    pub launcher: Vec<String>,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            bundles: Vec::new(),
            tenants: Vec::new(),
            credentials: Vec::new(),
            allow_private: Vec::new(),
            guests: false,
            workers: 2,
            settings: json!({}),
            environment: Vec::new(),
            program: None,
            launcher: Vec::new(),
        }
    }
}

impl GatewayOptions {
    /// One policy for the tenant `demo`, whose targets are at the given `host:port`.
    #[must_use]
    pub fn serving(bundle: Bundle, allow_private: &[&str]) -> Self {
        Self {
            tenants: vec![("demo".to_owned(), bundle.name().to_owned())],
            bundles: vec![bundle],
            allow_private: allow_private
                .iter()
                .map(|&place| place.to_owned())
                .collect(),
            ..Self::default()
        }
    }
}

/// A gateway with its own state.
#[derive(Debug)]
pub struct Gateway {
    /// The process.
    pub process: Process,
    /// Where clients call it: `http://address:port`.
    pub data_url: String,
    /// Where operators call it.
    pub control_url: String,
    keys: BTreeMap<String, String>,
    place: Place,
}

/// Its files.
#[derive(Debug)]
struct Place {
    folder: TempDir,
    environment: Vec<(String, String)>,
    /// The words that start the program.
    program: Vec<OsString>,
}

/// What the command line told.
#[derive(Clone, Debug)]
pub struct Told {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Told {
    /// Standard output as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_default()
    }
}

impl Gateway {
    /// Writes the files, makes tenants and keys through the command line, starts, and waits until it serves.
    ///
    /// # Errors
    /// Where something is not built, or the gateway refuses to start; the error shows its log.
    pub async fn start(options: GatewayOptions) -> anyhow::Result<Self> {
        let place = Place::write(&options)?;
        let mut keys = BTreeMap::new();
        for (tenant, policy) in &options.tenants {
            place.expect(&["tenant", "add", tenant, "--policy", policy])?;
            keys.insert(tenant.clone(), place.make_key(tenant, &[])?);
        }
        let (process, word) = place.serve().await?;
        let (data_url, control_url) = urls(&word)?;
        place.tell(&control_url)?;
        Ok(Self {
            process,
            data_url,
            control_url,
            keys,
            place,
        })
    }

    /// Starts again from the same state; the old process must have ended or is killed.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        if self.process.running() {
            self.process.kill()?;
        }
        let (process, word) = self.place.serve().await?;
        (self.data_url, self.control_url) = urls(&word)?;
        self.place.tell(&self.control_url)?;
        self.process = process;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn drain(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.terminate()?;
        self.process.ended().await
    }

    /// The key that was made for a tenant at the start.
    ///
    /// # Errors
    /// Where there was no such tenant.
    pub fn key(&self, tenant: &str) -> anyhow::Result<&str> {
        self.keys
            .get(tenant)
            .map(String::as_str)
            .with_context(|| format!("no tenant `{tenant}` at the start"))
    }

    /// A client of a tenant.
    ///
    /// # Errors
    /// Where there was no such tenant.
    pub fn client(&self, tenant: &str) -> anyhow::Result<Client> {
        Ok(Client::new(&self.data_url).with_key(self.key(tenant)?))
    }

    /// A client of the control listener, with its token.
    ///
    /// # Errors
    /// Where the token cannot be read.
    pub fn control(&self) -> anyhow::Result<Client> {
        let path = self.state().join("admin-token");
        let token = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Client::new(&self.control_url).with_key(token.trim()))
    }

    /// Another key, made while the gateway runs; returned when the gateway knows it.
    ///
    /// # Errors
    /// Where the command line refuses, or the gateway never takes it.
    pub async fn new_key(&self, tenant: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let key = self.place.make_key(tenant, arguments)?;
        let client = Client::new(&self.data_url).with_key(&key);
        // 403 is a known key without the scope.
        eventually("the new key is known", async || {
            client
                .get("/v1/models")
                .await
                .is_ok_and(|reply| reply.status != 401)
        })
        .await?;
        Ok(key)
    }

    /// Runs `pointsman` with this gateway's settings.
    ///
    /// # Errors
    /// Where it cannot be run; a bad exit is told.
    pub fn cli(&self, arguments: &[&str]) -> anyhow::Result<Told> {
        self.place.cli(arguments)
    }

    /// `pointsman why ID --json`, once both records are there.
    ///
    /// # Errors
    /// Where they never are.
    pub async fn why(&self, id: &str) -> anyhow::Result<Value> {
        let mut told = Value::Null;
        eventually("both records of the decision", async || {
            told = self
                .cli(&["why", id, "--json"])
                .map(|told| told.json())
                .unwrap_or_default();
            told["opened"].is_object() && told["closed"].is_object()
        })
        .await?;
        Ok(told)
    }

    /// The value of a metric's sample, by its name and labels as they are written: `name{a="b"}`.
    ///
    /// # Errors
    /// Where the control listener does not answer.
    pub async fn metric(&self, sample: &str) -> anyhow::Result<Option<f64>> {
        let text = self.control()?.get("/metrics").await?.text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        Ok(value.and_then(|value| value.trim().parse().ok()))
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.place.path("state")
    }

    /// The settings file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.place.config()
    }

    /// The folder of the policies.
    #[must_use]
    pub fn policies(&self) -> PathBuf {
        self.place.path("policies")
    }
}

fn urls(word: &Value) -> anyhow::Result<(String, String)> {
    let url = |name: &str| word[name].as_str().map(str::to_owned);
    url("data_url")
        .zip(url("control_url"))
        .context("the ready file names no urls")
}

impl Place {
    fn write(options: &GatewayOptions) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let mut environment = options.environment.clone();
        for credential in &options.credentials {
            environment.push((credential.variable(), credential.value.clone()));
        }
        let program = match &options.program {
            Some(program) => program.clone(),
            None => binary("pointsman")?,
        };
        let launcher = options.launcher.iter().map(OsString::from);
        let place = Self {
            folder,
            environment,
            program: launcher.chain([program.into_os_string()]).collect(),
        };
        let mut components = vec![plugins()?];
        if options.guests {
            components.push(guests()?);
        }
        settings::install(&components, &place.path("plugins"))?;
        std::fs::create_dir_all(place.path("policies"))
            .context("cannot make the policies' folder")?;
        for bundle in &options.bundles {
            bundle.write(&place.path("policies"))?;
        }
        place.share_compiled()?;
        let mut settings = json!({
            "state": place.path("state"),
            "policies": place.path("policies"),
            "plugins": place.path("plugins"),
            "data": {"listen": "127.0.0.1:0", "workers": options.workers},
            "control": {"listen": "127.0.0.1:0"},
            "egress": {"allow-private": options.allow_private},
        });
        if !options.credentials.is_empty() {
            settings["credential"] = options
                .credentials
                .iter()
                .map(Credential::setting)
                .collect();
        }
        settings::merge(&mut settings, &options.settings);
        settings::write_toml(&place.config(), &settings)?;
        Ok(place)
    }

    /// Compiled code is a cache by content; sharing it among tests saves seconds a start. All else is the test's own.
    fn share_compiled(&self) -> anyhow::Result<()> {
        let shared = workspace().join("target/compiled");
        // The gateway takes compiled code from a folder of its own alone.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&shared)
            .with_context(|| format!("cannot make {}", shared.display()))?;
        let state = self.path("state");
        std::fs::create_dir_all(&state)
            .with_context(|| format!("cannot make {}", state.display()))?;
        std::os::unix::fs::symlink(shared, state.join("compiled"))
            .context("cannot link the compile cache")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("pointsman.toml")
    }

    fn command(&self) -> anyhow::Result<Command> {
        let (first, rest) = self.program.split_first().context("no program")?;
        let mut command = Command::new(first);
        command.args(rest);
        // The test's own environment must not configure the gateway.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POINTSMAN_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.folder.path())
            .arg("--config")
            .arg(self.config());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    async fn serve(&self) -> anyhow::Result<(Process, Value)> {
        let mut command = self.command()?;
        command.arg("serve");
        Process::start(command, self.folder.path()).await
    }

    /// Where the command line finds the server, whose port the system picked.
    fn tell(&self, control_url: &str) -> anyhow::Result<()> {
        let path = self.path("state").join("client.json");
        std::fs::write(&path, json!({"control_url": control_url}).to_string())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn cli(&self, arguments: &[&str]) -> anyhow::Result<Told> {
        let output = self
            .command()?
            .args(arguments)
            .output()
            .context("cannot run pointsman")?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Told {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        })
    }

    fn expect(&self, arguments: &[&str]) -> anyhow::Result<Told> {
        let told = self.cli(arguments)?;
        anyhow::ensure!(
            told.code == Some(0),
            "`pointsman {}` failed: {}",
            arguments.join(" "),
            told.stderr
        );
        Ok(told)
    }

    fn make_key(&self, tenant: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut all = vec!["key", "create", "--tenant", tenant, "--json"];
        all.extend(arguments);
        let told = self.expect(&all)?;
        told.json()["key"]
            .as_str()
            .map(str::to_owned)
            .context("`pointsman key create --json` tells no key")
    }
}

/// The folder of the shipped policies.
#[must_use]
pub fn shipped_policies() -> PathBuf {
    workspace().join(Path::new("policies"))
}
