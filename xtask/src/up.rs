//! `cargo xtask up`: from nothing to a gateway that answers.

mod bring;
mod config;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::build;
use crate::model;
use crate::place::{binary, root, state, write};
use crate::server::{ENGINE, GATEWAY, Running, Server, status};
use crate::step::{output, say, step, tell, wait};

const TENANT: &str = "demo";
const POLICY: &str = "quickstart";
/// The port of the data plane; control is the next, the engine ten above.
const PORT_BASE: u16 = 8080;
/// What the command line finds its server by, in the state folder.
const CLIENT: &str = "client.json";

#[derive(Args, Debug)]
pub(crate) struct UpOptions {
    /// Return when all is ready; `cargo xtask down` stops it
    #[arg(long)]
    detach: bool,
    /// Print one JSON line: data_url, control_url, engine_url, tenant, key, admin_token
    #[arg(long)]
    json: bool,
    /// The data plane's port; control takes the next, the engine the tenth after it [default: 8080]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65_525))]
    port_base: Option<u16>,
}

pub(crate) fn up(options: &UpOptions) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    build::binaries(&["pointsman", "pointsman-engine"])?;
    build::plugins()?;
    let model = model::fetch()?;
    let engine = match ENGINE.healthy() {
        Some(running) => known(ENGINE, running),
        None => wait("starting the engine", || start_engine(options, &model))?,
    };
    let engine_url = engine.url("url")?;
    let config = config::ensure()?;
    let environment = config::for_engine(&engine_url)?;
    let gateway = match GATEWAY.healthy() {
        Some(running) => known(GATEWAY, running),
        None => {
            wait(&format!("making the tenant {TENANT} and its key"), || {
                let folder = Cli {
                    config: &config,
                    control: None,
                };
                tenant(&folder)?;
                key(&folder)
            })?;
            wait("starting the gateway", || {
                start_gateway(options, &config, environment)
            })?
        }
    };
    let control_url = gateway.url("control_url")?;
    let cli = Cli {
        config: &config,
        control: Some(&control_url),
    };
    tenant(&cli)?;
    let ready = Ready {
        data_url: gateway.url("data_url")?,
        control_url: control_url.clone(),
        engine_url,
        key: key(&cli)?,
    };
    ready.remember()?;
    step("bringing plugins and policies up to date", || {
        bring::all(&cli)
    })?;
    let ready = ready.checked(&cli)?;
    say(&format!(
        "ready after {:.0} s",
        began.elapsed().as_secs_f64()
    ));
    // What ran before is not ours to stop when this process ends.
    let ours = gateway.child.is_some() || engine.child.is_some();
    let stays = ours && !options.detach;
    ready.show(
        options.json,
        if stays { "Ctrl-C" } else { "cargo xtask down" },
    )?;
    if !stays {
        return Ok(ExitCode::SUCCESS);
    }
    stay(gateway, engine)
}

fn known(server: Server, running: Running) -> Running {
    let hint = if server.outdated(running.process) {
        ", an older build: `cargo xtask down` first to run the new one"
    } else {
        ""
    };
    say(&format!(
        "== the {} runs already (process {}{hint})",
        server.name, running.process
    ));
    running
}

/// An address for a server: the asked port, or, where nobody asked and it is taken, any free one.
fn listen(options: &UpOptions, above: u16) -> anyhow::Result<String> {
    let port = options.port_base.unwrap_or(PORT_BASE) + above;
    if TcpListener::bind(("127.0.0.1", port)).is_ok() {
        return Ok(format!("127.0.0.1:{port}"));
    }
    if options.port_base.is_some() {
        bail!("port {port} is taken; choose another --port-base");
    }
    say(&format!(
        "   port {port} is taken by another program; taking a free one"
    ));
    Ok("127.0.0.1:0".to_owned())
}

fn start_engine(options: &UpOptions, model: &Path) -> anyhow::Result<Running> {
    let mut command = Command::new(binary("pointsman-engine"));
    command.current_dir(root()).arg("--model").arg(model);
    command.args(["--listen", &listen(options, 10)?]);
    ENGINE.start(command, options.detach)
}

fn start_gateway(
    options: &UpOptions,
    config: &Path,
    environment: Vec<(&'static str, String)>,
) -> anyhow::Result<Running> {
    let mut command = Command::new(binary("pointsman"));
    command
        .current_dir(root())
        .arg("--config")
        .arg(config)
        .arg("serve");
    command.env("POINTSMAN_DATA_LISTEN", listen(options, 0)?);
    command.env("POINTSMAN_CONTROL_LISTEN", listen(options, 1)?);
    command.envs(environment);
    GATEWAY.start(command, options.detach)
}

/// The command line, at work on a running gateway or on the state folder of one that does not run.
struct Cli<'a> {
    config: &'a Path,
    /// None: nobody's server is asked, whoever may listen at the usual place.
    control: Option<&'a str>,
}

impl Cli<'_> {
    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(binary("pointsman"));
        command
            .current_dir(root())
            .arg("--config")
            .arg(self.config)
            .args(arguments);
        match self.control {
            Some(url) => command.env("POINTSMAN_CONTROL_URL", url),
            None => command
                .env_remove("POINTSMAN_CONTROL_URL")
                .env("POINTSMAN_CONTROL_LISTEN", "127.0.0.1:0"),
        };
        output(&mut command, "see the message")
    }
}

/// Makes the tenant where it is not there; one that is there keeps its policy, limits and budgets.
fn tenant(cli: &Cli<'_>) -> anyhow::Result<()> {
    if cli.control.is_none() {
        forget()?;
    }
    if cli.control.is_some() || state("control").is_dir() {
        let told = cli.run(&["tenant", "list", "--json"])?;
        let known: serde_json::Value =
            serde_json::from_str(&told).context("`pointsman tenant list --json` told no JSON")?;
        let mut known = known.as_array().into_iter().flatten();
        if known.any(|tenant| tenant["id"] == TENANT) {
            return Ok(());
        }
    }
    cli.run(&["tenant", "add", TENANT, "--policy", POLICY])
        .map(|_told| ())
}

/// The tenant's key of an earlier `up`, or a new one.
fn key(cli: &Cli<'_>) -> anyhow::Result<String> {
    match std::fs::read_to_string(state("demo.key")) {
        Ok(key) if !key.trim().is_empty() => Ok(key.trim().to_owned()),
        _ => new_key(cli),
    }
}

fn new_key(cli: &Cli<'_>) -> anyhow::Result<String> {
    let told = cli.run(&["key", "create", "--tenant", TENANT, "--json"])?;
    let told: serde_json::Value =
        serde_json::from_str(&told).context("`pointsman key create --json` told no JSON")?;
    let key = told["key"]
        .as_str()
        .context("`pointsman key create --json` told no key")?
        .to_owned();
    write(&state("demo.key"), &key, 0o600)?;
    Ok(key)
}

/// What the command line finds its server by is of an earlier life.
fn forget() -> anyhow::Result<()> {
    let path = state(CLIENT);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Where everything is.
struct Ready {
    data_url: String,
    control_url: String,
    engine_url: String,
    key: String,
}

impl Ready {
    fn accepts_key(&self) -> anyhow::Result<bool> {
        let bearer = format!("Bearer {}", self.key);
        Ok(status(&self.data_url, "/v1/models", &[("Authorization", &bearer)])? == 200)
    }

    /// With a key that the gateway takes: one of an earlier life may be gone with the control state.
    fn checked(mut self, cli: &Cli<'_>) -> anyhow::Result<Self> {
        if self.accepts_key()? {
            return Ok(self);
        }
        self.key = new_key(cli)?;
        if !self.accepts_key()? {
            bail!(
                "the gateway does not take the key it was given; {}",
                GATEWAY.last_words()
            );
        }
        Ok(self)
    }

    /// For the command line, which finds its server there.
    fn remember(&self) -> anyhow::Result<()> {
        let client = json!({
            "data_url": self.data_url, "control_url": self.control_url, "engine_url": self.engine_url,
            "token_file": state("admin-token"),
        });
        write(&state(CLIENT), &format!("{client}\n"), 0o600)
    }

    fn show(&self, json: bool, stop: &str) -> anyhow::Result<()> {
        let Self {
            data_url,
            control_url,
            engine_url,
            key,
        } = self;
        let path = state("admin-token");
        let token = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if json {
            let line = json!({
                "data_url": data_url, "control_url": control_url, "engine_url": engine_url,
                "tenant": TENANT, "key": key, "admin_token": token.trim(),
            });
            tell(&line.to_string());
            return Ok(());
        }
        let change = if bring::folder(POLICY).starts_with(state("policies")) {
            // The copies are written anew by each `up`; what somebody changes is the original.
            "  cargo xtask up --detach     # the engine is not at its usual place, which up writes into a copy".to_owned()
        } else {
            format!(
                "  cargo run -q --bin pointsman -- policy push policies/{POLICY}\n  cargo run -q --bin pointsman -- policy activate {POLICY}"
            )
        };
        tell(&format!(
            r#"
gateway  {data_url}  (control {control_url}, token in .pointsman/admin-token)
engine   {engine_url}
key      {key}  (tenant {TENANT}, policy {POLICY})

Ask it something:

  curl -i {data_url}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \
    -d '{{"model": "auto", "messages": [{{"role": "user", "content": "What is the capital of France? Answer in one word."}}], "temperature": 0}}'

Or with any OpenAI SDK, unmodified:

  export OPENAI_BASE_URL={data_url}/v1 OPENAI_API_KEY={key}

Then ask why it went where it went (the id is in the header x-pointsman-request-id):

  cargo run -q --bin pointsman -- why ID
  cargo run -q --bin pointsman -- decisions list

Change what it does, without a restart: edit policies/{POLICY}/policy.toml, then

{change}
  cargo run -q --bin pointsman -- policy rollback {POLICY}     # undoes it

Something wrong? cargo run -q --bin pointsman -- doctor
Logs are in .pointsman/logs. Stop with: {stop}"#
        ));
        Ok(())
    }
}

/// Stays until a signal or until a server ends, then stops both.
fn stay(gateway: Running, engine: Running) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot wait for signals")?;
    let mut servers = [(GATEWAY, gateway), (ENGINE, engine)];
    let failed = loop {
        if signals.pending().next().is_some() {
            break None;
        }
        let ended = servers.iter_mut().find_map(|(server, running)| {
            let status = running.child.as_mut()?.try_wait().ok()??;
            Some((*server, status))
        });
        if let Some(ended) = ended {
            break Some(ended);
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    for (server, running) in &mut servers {
        if running.child.is_some() {
            server.stop()?;
        }
    }
    match failed {
        None => Ok(ExitCode::SUCCESS),
        Some((server, status)) => bail!(
            "the {} ended by itself ({status}); {}",
            server.name,
            server.last_words()
        ),
    }
}
