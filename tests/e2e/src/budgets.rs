//! A gateway whose one target has a price, and what budgets say of it: the balances told, and the records summed.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use http::Method;
use pointsman_audit::records;
use pointsman_domain::Picos;
use pointsman_domain::decision::{Closed, Record};
use pointsman_harness::{Gateway, GatewayOptions, Provider, Reply, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{policy, step};

/// Pico-dollars of a prompt token: $10 a million.
pub const IN_PICOS: i128 = 10_000_000;
/// Pico-dollars of an answer's token: $200 a million.
pub const OUT_PICOS: i128 = 200_000_000;

/// The accountant that prices it.
#[must_use]
pub fn accountant() -> String {
    let grants = "grants = [\"prices\"]";
    step("cost", "account", "account-tokens@0.1", "fallback", grants)
}

/// A provider, a gateway, and the catalogue between them.
#[derive(Debug)]
pub struct Priced {
    /// What is called.
    pub provider: Provider,
    /// What calls it, for the tenant `demo`.
    pub gateway: Gateway,
    _catalogue: TempDir,
}

impl Priced {
    /// Starts both; `more` is further TOML of the policy.
    ///
    /// # Errors
    /// Where one of them does not start.
    pub async fn start(more: &str) -> anyhow::Result<Self> {
        Self::with(more, "", json!({})).await
    }

    /// The same; `execute` is further TOML of the policy's `[execute]`, a key a line, and `data` that of the settings.
    ///
    /// # Errors
    /// Where one of them does not start.
    pub async fn with(more: &str, execute: &str, data: Value) -> anyhow::Result<Self> {
        let provider = Provider::start().await?;
        let steps = format!("{}\n{more}", accountant());
        let target = "model = \"fake\"";
        let bundle = policy("test", &[("fake", &provider.endpoint())], &steps)
            .replace(target, &format!("{target}\nprice = \"test/fake\""))?
            .replace("[execute]\n", &format!("[execute]\n{execute}\n"))?;
        let catalogue = tempfile::tempdir().context("no temporary folder")?;
        let prices = catalogue.path().join("prices.jsonl");
        let row =
            json!({"provider": "test", "model": "fake", "usd_per_mtok": {"in": 10, "out": 200}});
        std::fs::write(&prices, format!("{row}\n")).context("cannot write prices")?;
        let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
        options.settings = json!({ "prices": prices, "data": data });
        let gateway = Gateway::start(options).await?;
        Ok(Self {
            provider,
            gateway,
            _catalogue: catalogue,
        })
    }
}

/// Puts limits and budgets of the tenant `demo` in force: `{"limits": {…}, "budget": […]}`.
///
/// # Errors
/// Where the control listener refuses.
pub async fn put(gateway: &Gateway, mut wanted: Value) -> anyhow::Result<Reply> {
    wanted["policy"] = json!("test");
    let body = wanted.to_string().into();
    let control = gateway.control()?;
    let reply = control
        .send(Method::PUT, "/admin/v1/tenants/demo", body)
        .await?;
    ensure!(reply.status < 300, "{}: {}", reply.status, reply.text());
    Ok(reply)
}

/// A day's budget, as `put` takes it.
#[must_use]
pub fn a_day(usd: &str) -> Value {
    json!({"budget": [{"period": "day", "usd": usd}]})
}

/// One window as `GET /admin/v1/usage` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Settled.
    pub spent: Picos,
    /// Set aside.
    pub reserved: Picos,
}

/// All windows, by name.
///
/// # Errors
/// Where the control listener does not tell them.
pub async fn balances(gateway: &Gateway) -> anyhow::Result<BTreeMap<String, Told>> {
    let usage = gateway.control()?.get("/admin/v1/usage").await?.json();
    let picos = |value: &Value| {
        let text = value.as_str().context("no amount")?;
        Picos::from_usd(text).context("no amount")
    };
    let mut told = BTreeMap::new();
    for balance in usage["balances"].as_array().context("no balances")? {
        let window = balance["window"].as_str().context("no window")?;
        let amounts = Told {
            spent: picos(&balance["spent-usd"])?,
            reserved: picos(&balance["reserved-usd"])?,
        };
        told.insert(window.to_owned(), amounts);
    }
    Ok(told)
}

/// The balances once nothing is set aside any more.
///
/// # Errors
/// Where that never is.
pub async fn settled(gateway: &Gateway) -> anyhow::Result<BTreeMap<String, Told>> {
    let mut told = BTreeMap::new();
    eventually("every reservation is settled", async || {
        let Ok(now) = balances(gateway).await else {
            return false;
        };
        told = now;
        told.values().all(|told| told.reserved == Picos(0))
    })
    .await?;
    Ok(told)
}

/// Every `closed` record.
///
/// # Errors
/// Where the log does not hold.
pub fn closed(gateway: &Gateway) -> anyhow::Result<Vec<Closed>> {
    let mut all = Vec::new();
    for item in records(&gateway.state().join("decisions"))? {
        if let Record::Closed(closed) = item?.1 {
            all.push(*closed);
        }
    }
    Ok(all)
}

/// The charges of records by the windows that they name.
#[must_use]
pub fn sums(records: &[Closed]) -> BTreeMap<String, Picos> {
    let mut sums: BTreeMap<String, Picos> = BTreeMap::new();
    for record in records {
        for window in &record.budgets {
            *sums.entry(window.clone()).or_default() += record.charged_pico_usd;
        }
    }
    sums
}

/// What differs between the balances told and the records summed.
#[must_use]
pub fn differences(told: &BTreeMap<String, Told>, sums: &BTreeMap<String, Picos>) -> Vec<String> {
    let mut names: Vec<_> = told.keys().chain(sums.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differs = |name: &&String| {
        let balance = told.get(*name).map_or(Picos(0), |told| told.spent);
        let sum = sums.get(*name).copied().unwrap_or_default();
        (balance != sum).then(|| format!("{name}: balance {balance}, records {sum}"))
    };
    names.iter().filter_map(differs).collect()
}
