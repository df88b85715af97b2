//! `cargo xtask bench tenants`: memory of one gateway with 10,000 tenants and keys under 50 policies that use every
//! shipped plugin, each policy with a config of its own. The last line is JSON: correctness decides, memory is reported.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::Parser;
use http::Method;
use pointsman_bench::upstream::{Pace, serve};
use pointsman_harness::{Bundle, Client, Gateway, GatewayOptions, Reply};
use serde_json::{Value, json};

/// The plugins with their roles and configs.
const CASES: &str = include_str!("../../plugins.json");
const POLICIES: usize = 50;
/// The design's bound, MiB.
const RESIDENT_MIB: f64 = 1024.0;

/// Measures what tenants cost.
#[derive(Parser)]
struct Arguments {
    /// Tenants, each with a key
    #[arg(long, default_value_t = 10_000)]
    tenants: usize,
    /// Taken like by every measurement; this one looks at no data
    #[arg(long)]
    data: Option<PathBuf>,
    /// Taken like by every measurement; this one looks at no recordings
    #[arg(long)]
    recordings: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    tokio::task::LocalSet::new().block_on(&runtime, measure(arguments.tenants))
}

async fn measure(tenants: usize) -> anyhow::Result<ExitCode> {
    ensure!(tenants >= POLICIES, "--tenants is at least {POLICIES}");
    let mut out = std::io::stdout();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.context("cannot listen")?;
    let provider = listener.local_addr().context("no address")?;
    tokio::task::spawn_local(serve(listener, Arc::new(Pace::new(0, 0, 0))));
    let cases: Vec<Value> = serde_json::from_str(CASES).context("plugins.json is no JSON")?;
    let bundles: Vec<Bundle> = (0..POLICIES)
        .map(|index| bundle(index, &cases, &provider.to_string()))
        .collect::<Result<_, _>>()?;
    let began = Instant::now();
    let gateway = Gateway::start(GatewayOptions {
        tenants: (0..POLICIES).map(|i| (tenant(i), policy(i))).collect(),
        bundles,
        allow_private: vec![provider.to_string()],
        settings: json!({"prices": pointsman_harness::workspace().join("policies/prices.jsonl")}),
        ..GatewayOptions::default()
    })
    .await?;
    let first = resident_mib(&gateway)?;
    writeln!(
        out,
        "{POLICIES} policies with a tenant each: {first:.1} MiB, built and started in {:.1} s",
        began.elapsed().as_secs_f64()
    )?;
    let control = gateway.control()?;
    let began = Instant::now();
    for index in POLICIES..tenants {
        add(&control, index).await?;
    }
    let all = resident_mib(&gateway)?;
    writeln!(
        out,
        "{tenants} tenants with a key each: {all:.1} MiB; {:.2} ms for each tenant and key",
        began.elapsed().as_secs_f64() * 1000.0 / (tenants - POLICIES).max(1) as f64
    )?;
    let mut refused = 0;
    for index in 0..POLICIES {
        let client = gateway.client(&tenant(index))?;
        let body = json!({
            "model": "auto", "messages": [{"role": "user", "content": "What is a railway switch?"}],
        });
        let reply = client.chat(&body).await?;
        if !is_served(&reply) {
            refused += 1;
            writeln!(out, "{}: {} {}", policy(index), reply.status, reply.text())?;
        }
    }
    let after = resident_mib(&gateway)?;
    writeln!(out, "after a request under each policy: {after:.1} MiB")?;
    let result = json!({
        "name": "tenants",
        "ok": refused == 0,
        "promises": {"policies-refusing": {"value": refused, "limit": 0, "ok": refused == 0}},
        "goals": {
            "resident, MiB": {"value": round(after), "limit": RESIDENT_MIB, "ok": after <= RESIDENT_MIB},
        },
        "conditions": {
            "tenants": tenants, "policies": POLICIES, "plugins": plugins(&cases),
            "kib-a-tenant": round((all - first) * 1024.0 / (tenants - POLICIES).max(1) as f64),
        },
    });
    writeln!(out, "{result}").context("cannot write to stdout")?;
    Ok(if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn tenant(index: usize) -> String {
    format!("t{index}")
}

fn policy(index: usize) -> String {
    format!("p{}", index % POLICIES)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn plugins(cases: &[Value]) -> usize {
    let names = cases.iter().filter_map(|case| case["plugin"].as_str());
    names.collect::<std::collections::BTreeSet<_>>().len()
}

async fn add(control: &Client, index: usize) -> anyhow::Result<()> {
    let path = format!("/admin/v1/tenants/{}", tenant(index));
    let body = Bytes::from(json!({"policy": policy(index)}).to_string());
    let put = control.send(Method::PUT, &path, body).await?;
    ensure!(put.status < 300, "{path}: {} {}", put.status, put.text());
    let key = control.post(&format!("{path}/keys"), &json!({})).await?;
    ensure!(key.status == 201, "{path}: {} {}", key.status, key.text());
    Ok(())
}

fn resident_mib(gateway: &Gateway) -> anyhow::Result<f64> {
    Ok(gateway.process.resident_bytes()? as f64 / f64::from(1 << 20))
}

/// Whether the policy served it: with an answer, or with its own refusal.
fn is_served(reply: &Reply) -> bool {
    reply.status == 200 || reply.json()["error"]["code"] == "policy_denied"
}

/// A policy with one step of every role, taken in turn from the cases, and a rule that no other policy has.
fn bundle(index: usize, cases: &[Value], provider: &str) -> anyhow::Result<Bundle> {
    let mut text = format!(
        "format = 1\nname = \"{}\"\nversion = \"0.1.0\"\n",
        policy(index)
    );
    text.push_str("\n[[model]]\nname = \"auto\"\ntargets = [\"local\", \"cloud\", \"backup\"]\n");
    for target in ["local", "cloud", "backup"] {
        write!(
            text,
            "\n[[target]]\nname = \"{target}\"\nkind = \"openai-compatible\"\nendpoint = \"http://{provider}/v1\"\n\
             model = \"gpt-4o-mini\"\nprice = \"openai/gpt-4o-mini\"\ncontext-tokens = 128000\nquality = 0.9\n"
        )?;
    }
    text.push_str("\n[[variant]]\nname = \"control\"\n\n[[variant]]\nname = \"candidate\"\n");
    let own = json!({"rules": [{"when": format!("{index} >= 0 && request.model == 'auto'"), "then": {"label": {"seen": true}}}]});
    step(&mut text, "own", "classify", "rules", &own)?;
    for (role, phase) in [
        ("classifier", "classify"),
        ("request-guard", "guard-request"),
        ("splitter", "split"),
        ("router", "route"),
        ("response-guard", "guard-response"),
        ("accountant", "account"),
    ] {
        let of_role: Vec<&Value> = cases.iter().filter(|case| case["role"] == role).collect();
        let case = of_role[index % of_role.len()];
        let plugin = case["plugin"].as_str().unwrap_or_default();
        step(&mut text, phase, phase, plugin, &case["config"])?;
    }
    text.push_str("\n[execute]\ndefault-plan = [\"local\"]\n");
    Ok(Bundle::new(&policy(index), &text))
}

fn step(
    text: &mut String,
    id: &str,
    phase: &str,
    plugin: &str,
    config: &Value,
) -> std::fmt::Result {
    // What it imports.
    let grants = match plugin {
        "account-tokens" => "[\"prices\"]",
        "route-latency" => "[\"random\"]",
        "route-learned" => "[\"data\"]",
        _ => "[]",
    };
    write!(
        text,
        "\n[[step]]\nid = \"{id}\"\nphase = \"{phase}\"\nplugin = \"{plugin}@0.1\"\ngrants = {grants}\nconfig = {}\n",
        toml(config)
    )
}

/// JSON as an inline value; strings of JSON are strings of TOML.
fn toml(json: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match json {
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                format!("{} = {}", Value::from(key.as_str()), toml(value))
            };
            format!("{{ {} }}", list(members.iter().map(member).collect()))
        }
        Value::Array(items) => format!("[{}]", list(items.iter().map(toml).collect())),
        other => other.to_string(),
    }
}
