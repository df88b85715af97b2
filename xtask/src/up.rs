//! `cargo xtask up`: from nothing to a gateway that answers.

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
use crate::step::{output, say, step, tell};

const TENANT: &str = "demo";
const POLICY: &str = "quickstart";
/// The port of the data plane; control is the next, the engine ten above.
const PORT_BASE: u16 = 8080;
/// How long a running gateway may take to know a new key.
const KEY_MAX: Duration = Duration::from_secs(10);

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
        None => step("starting the engine", || start_engine(options, &model))?,
    };
    let engine_url = engine.url("url")?;
    let config = config::ensure()?;
    let (gateway, key) = match GATEWAY.healthy() {
        Some(running) => {
            let running = known(GATEWAY, running);
            let key = key(&config)?;
            (running, key)
        }
        None => {
            let key = step(&format!("making the tenant {TENANT} and its key"), || {
                cli(&config, &["tenant", "add", TENANT, "--policy", POLICY])?;
                key(&config)
            })?;
            let running = step("starting the gateway", || {
                start_gateway(options, &config, &engine_url)
            })?;
            (running, key)
        }
    };
    let ready = Ready {
        data_url: gateway.url("data_url")?,
        control_url: gateway.url("control_url")?,
        engine_url,
        key,
    };
    let ready = ready.checked(&config)?;
    ready.remember()?;
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

fn start_gateway(options: &UpOptions, config: &Path, engine_url: &str) -> anyhow::Result<Running> {
    let mut command = Command::new(binary("pointsman"));
    command
        .current_dir(root())
        .arg("--config")
        .arg(config)
        .arg("serve");
    command.env("POINTSMAN_DATA_LISTEN", listen(options, 0)?);
    command.env("POINTSMAN_CONTROL_LISTEN", listen(options, 1)?);
    for (name, value) in config::for_engine(engine_url)? {
        command.env(name, value);
    }
    GATEWAY.start(command, options.detach)
}

fn cli(config: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(binary("pointsman"));
    command
        .current_dir(root())
        .arg("--config")
        .arg(config)
        .args(arguments);
    output(&mut command, "see the message")
}

/// The tenant's key of an earlier `up`, or a new one.
fn key(config: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(state("demo.key")) {
        Ok(key) if !key.trim().is_empty() => Ok(key.trim().to_owned()),
        _ => new_key(config),
    }
}

fn new_key(config: &Path) -> anyhow::Result<String> {
    let told = cli(config, &["key", "create", "--tenant", TENANT, "--json"])?;
    let told: serde_json::Value =
        serde_json::from_str(&told).context("`pointsman key create --json` told no JSON")?;
    let key = told["key"]
        .as_str()
        .context("`pointsman key create --json` told no key")?
        .to_owned();
    write(&state("demo.key"), &key, 0o600)?;
    Ok(key)
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

    /// With a key that the gateway takes: one of an earlier life may be gone with the tenants file.
    fn checked(mut self, config: &Path) -> anyhow::Result<Self> {
        if self.accepts_key()? {
            return Ok(self);
        }
        self.key = new_key(config)?;
        let began = Instant::now();
        while !self.accepts_key()? {
            if began.elapsed() > KEY_MAX {
                bail!(
                    "the gateway does not take the key it was given; {}",
                    GATEWAY.last_words()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(self)
    }

    /// For the command line, which finds its server there.
    fn remember(&self) -> anyhow::Result<()> {
        let client = json!({"data_url": self.data_url, "control_url": self.control_url, "engine_url": self.engine_url});
        write(&state("client.json"), &format!("{client}\n"), 0o644)
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

Next: change policies/{POLICY}/policy.toml and run `cargo run -q --bin pointsman -- policy check policies/{POLICY}`.
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
