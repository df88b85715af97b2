//! How soon an activation serves: versions of a policy with plugins in every phase, ready and in turn, over the control
//! API, each followed by a request that must be decided by it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use http::Method;
use pointsman_e2e::{policy, says, step};
use pointsman_harness::{Bundle, Client, Gateway, GatewayOptions, Provider};
use serde_json::{Value, json};

/// Activations that are measured.
const ACTIVATIONS: usize = 200;
/// Activations before, which make all versions ready.
const WARM: usize = 10;
/// Versions that serve in turn.
const VERSIONS: u64 = 4;
/// Microseconds from the commit until requests see it, in the median.
const LIVE_US_P50_MAX: u64 = 10_000;
/// Microseconds of a whole call, in 99 of 100.
const CALL_US_P99_MAX: u64 = 100_000;

fn main() -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure())
}

/// A policy with plugins in every phase; `number` makes it differ.
fn bundle(endpoint: &str, number: u64) -> anyhow::Result<Bundle> {
    let pii = "config = { email = \"mask\", card = \"deny\" }";
    let steps = [
        step("task", "classify", "classify-task@0.1", "skip", ""),
        step("pii-in", "guard-request", "guard-pii@0.1", "deny", pii),
        step("pii-out", "guard-response", "guard-pii@0.1", "deny", pii),
        step("cheapest", "route", "route-cheapest@0.1", "fallback", ""),
    ]
    .concat();
    let timeout = "first-token-timeout-ms = 10000";
    policy("test", &[("fake", endpoint)], &steps).replace(timeout, &format!("{timeout}{number}"))
}

async fn measure() -> anyhow::Result<ExitCode> {
    let provider = Provider::start().await?;
    let endpoint = provider.endpoint();
    let options = GatewayOptions::serving(bundle(&endpoint, 1)?, &[provider.authority()]);
    let gateway = Gateway::start(options).await?;
    for number in 2..=VERSIONS {
        let folder = bundle(&endpoint, number)?.write(&gateway.policies())?;
        let told = gateway.cli(&["policy", "push", &folder.display().to_string(), "--json"])?;
        anyhow::ensure!(
            told.json()["version"] == number,
            "{}{}",
            told.stdout,
            told.stderr
        );
    }
    let control = gateway.control()?;
    let client = gateway.client("demo")?;
    let (mut live_us, mut call_us, mut disobeyed) = (Vec::new(), Vec::new(), 0u64);
    for turn in 0..WARM + ACTIVATIONS {
        let version = u64::try_from(turn)? % VERSIONS + 1;
        let (live, call) = activate(&control, version).await?;
        let reply = client.chat(&says("hello")).await?;
        anyhow::ensure!(reply.status == 200, "{}", reply.text());
        let decided = format!("test@{version}");
        disobeyed += u64::from(reply.header("x-pointsman-policy") != Some(&decided));
        if turn >= WARM {
            live_us.push(live);
            call_us.push(call);
        }
    }
    let (live, call) = (Spread::of(live_us), Spread::of(call_us));
    let goal =
        |value: u64, limit: u64| json!({"value": value, "limit": limit, "ok": value <= limit});
    let result = json!({
        "name": "swap",
        "ok": disobeyed == 0,
        "promises": {"first-requests-disobeyed": goal(disobeyed, 0)},
        "goals": {
            "commit-to-live-us-p50": goal(live.p50, LIVE_US_P50_MAX),
            "call-us-p99": goal(call.p99, CALL_US_P99_MAX),
        },
        "conditions": {
            "activations": ACTIVATIONS, "versions": VERSIONS, "steps": 4,
            "commit-to-live-us": live.told(), "call-us": call.told(),
        },
    });
    writeln!(std::io::stdout().lock(), "{result}")?;
    Ok(if disobeyed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Microseconds from the commit until requests saw it, and of the whole call.
async fn activate(control: &Client, version: u64) -> anyhow::Result<(u64, u64)> {
    let body = Bytes::from(json!({ "version": version }).to_string());
    let path = "/admin/v1/policies/test/activate";
    let began = Instant::now();
    let reply = control.send(Method::POST, path, body).await?;
    let call = u64::try_from(began.elapsed().as_micros())?;
    anyhow::ensure!(reply.status == 200, "{}", reply.text());
    let told: Value = reply.json();
    let live = told["commit-to-live-us"].as_u64();
    Ok((live.context("an activation tells no time")?, call))
}

struct Spread {
    p50: u64,
    p99: u64,
    max: u64,
}

impl Spread {
    fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let at = |percent: usize| {
            let place = (values.len() * percent).div_ceil(100);
            values.get(place.saturating_sub(1)).copied().unwrap_or(0)
        };
        Self {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }

    fn told(&self) -> Value {
        json!({"p50": self.p50, "p99": self.p99, "max": self.max})
    }
}
