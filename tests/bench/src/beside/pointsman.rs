//! The gateway under the policies that are compared, and what its decision log holds afterwards.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pointsman_harness::{Bundle, Gateway, GatewayOptions, shipped_policies, workspace};
use serde_json::json;

use super::GATEWAY_CORE;

/// What `policies/quickstart` names as its engine.
const ENGINE: &str = "http://127.0.0.1:8090/v1";

/// One target, no plugin: what the gateway itself costs.
const PLAIN: &str = r#"
format = 1
name = "plain"
version = "0.1.0"

[[model]]
name = "auto"
targets = ["local"]

[[target]]
name = "local"
kind = "openai-compatible"
endpoint = "ENDPOINT"
model = "gpt-4o-mini"

[execute]
default-plan = ["local"]
"#;

/// Under which policy it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// Without plugins.
    Plain,
    /// `policies/quickstart` as it is shipped: a fresh instance for every decision.
    Fresh,
    /// The same with pooled instances.
    Pooled,
}

impl Policy {
    fn bundle(self, provider: SocketAddr) -> anyhow::Result<Bundle> {
        let endpoint = format!("http://{provider}/v1");
        if self == Self::Plain {
            return Ok(Bundle::new("plain", &PLAIN.replace("ENDPOINT", &endpoint)));
        }
        let bundle =
            Bundle::read(&shipped_policies().join("quickstart"))?.replace(ENGINE, &endpoint)?;
        if self == Self::Fresh {
            return Ok(bundle);
        }
        bundle.replace("\nplugin = ", "\ninstances = \"pooled\"\nplugin = ")
    }
}

/// Starts a gateway for one provider; `program`: another build than this one's.
pub(super) async fn start(
    policy: Policy,
    listen: SocketAddr,
    provider: SocketAddr,
    program: Option<PathBuf>,
) -> anyhow::Result<Gateway> {
    let bundle = policy.bundle(provider)?;
    let core = GATEWAY_CORE.to_string();
    let options = GatewayOptions {
        workers: 1,
        settings: json!({
            "prices": workspace().join("policies/prices.jsonl"),
            "data": {"listen": listen.to_string()},
        }),
        program,
        launcher: ["taskset", "-c", &core].map(str::to_owned).to_vec(),
        ..GatewayOptions::serving(bundle, &[&provider.to_string()])
    };
    Gateway::start(options).await
}

/// What a decision log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Requests that were opened.
    pub opened: u64,
    /// Of those, closed with an answer that went out whole.
    pub closed_ok: u64,
    /// Closed in any other way.
    pub closed_otherwise: u64,
    /// Whether `pointsman audit verify` found every link sound.
    pub sound: bool,
}

/// Ends the gateway in order and reads its log.
pub(super) async fn recorded(gateway: &mut Gateway) -> anyhow::Result<Recorded> {
    gateway.drain().await?;
    let verified = gateway.cli(&["audit", "verify", "--json"])?;
    let mut recorded = Recorded {
        sound: verified.code == Some(0),
        ..Recorded::default()
    };
    let folder = gateway.state().join("decisions");
    let listed =
        std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in listed {
        let path = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .path();
        if path.extension().is_some_and(|extension| extension == "log") {
            count(&path, &mut recorded)
                .with_context(|| format!("cannot read {}", path.display()))?;
        }
    }
    Ok(recorded)
}

fn count(path: &Path, recorded: &mut Recorded) -> std::io::Result<()> {
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if line.starts_with(br#"{"record":"opened""#) {
            recorded.opened += 1;
        } else if line.starts_with(br#"{"record":"closed""#) {
            let ok = memchr::memmem::find(&line, br#""outcome":"ok""#).is_some();
            recorded.closed_ok += u64::from(ok);
            recorded.closed_otherwise += u64::from(!ok);
        }
        line.clear();
    }
    Ok(())
}
