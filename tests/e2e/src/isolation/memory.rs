//! Plugins that try to remember: what an instance has seen, it may tell its own tenant and version at most, and only
//! where the policy pools instances.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use pointsman_audit::records;
use pointsman_domain::Value;
use pointsman_domain::decision::{Opened, Record};
use pointsman_harness::{Bundle, Gateway, GatewayOptions, Provider, eventually};
use serde_json::json;

use crate::{policy, says, step};

/// Requests of each tenant and version.
const ASKED: usize = 12;

/// What the guest of one tenant and version saw before each call.
type Seen = BTreeMap<(String, u64), Vec<(i64, String)>>;

fn bundle(name: &str, endpoint: &str, instances: &str, version: u64) -> Bundle {
    // The same component and configuration for everybody; versions differ in something else.
    let more = format!("instances = \"{instances}\"\nconfig = {{ behaviour = \"remember\" }}");
    let guest = step("guest", "classify", "pointsman-guests@0.1", "deny", &more);
    let more = format!(
        "config = {{ rules = [{{ name = \"v\", when = \"true\", then = {{ label = {{ v = \"{version}\" }} }} }}] }}"
    );
    let rules = step("v", "classify", "rules@0.1", "deny", &more);
    policy(name, &[("fake", endpoint)], &(guest + &rules))
}

/// Runs two tenants with fresh and two with pooled instances, over two versions each; what does not hold.
///
/// # Errors
/// Where the servers do not start or do not answer.
pub async fn run() -> anyhow::Result<Vec<String>> {
    let provider = Provider::start().await?;
    let tenants = [
        ("fresh-a", "fresh"),
        ("fresh-b", "fresh"),
        ("pooled-a", "pooled"),
        ("pooled-b", "pooled"),
    ];
    let endpoint = provider.endpoint();
    let name = |tenant: &str| (tenant.to_owned(), tenant.to_owned());
    let gateway = Gateway::start(GatewayOptions {
        bundles: tenants
            .map(|(tenant, instances)| bundle(tenant, &endpoint, instances, 1))
            .to_vec(),
        tenants: tenants.map(|(tenant, _)| name(tenant)).to_vec(),
        allow_private: vec![provider.authority().to_owned()],
        guests: true,
        ..GatewayOptions::default()
    })
    .await?;
    let mut asked = 0;
    for version in [1, 2] {
        if version > 1 {
            for (tenant, instances) in tenants {
                activate(
                    &gateway,
                    tenant,
                    &bundle(tenant, &endpoint, instances, version),
                )
                .await?;
            }
        }
        // In turns, so that an instance that is shared by mistake is soon somebody else's.
        for round in 0..ASKED {
            for (tenant, _) in tenants {
                let reply = gateway
                    .client(tenant)?
                    .chat(&says(&format!("{tenant} v{version} r{round}")))
                    .await?;
                ensure!(
                    reply.status == 200,
                    "{tenant}: {} {}",
                    reply.status,
                    reply.text()
                );
                asked += 1;
            }
        }
    }
    let mut opened = Vec::new();
    eventually("every request's record", async || {
        opened = read(&gateway).unwrap_or_default();
        opened.len() == asked
    })
    .await?;
    let mut seen = Seen::new();
    for record in &opened {
        let label = |key: &str| {
            record
                .labels
                .iter()
                .find(|label| label.key == key)
                .map(|label| label.value.clone())
        };
        let (Some(Value::Integer(count)), Some(Value::Text(before))) =
            (label("seen"), label("before"))
        else {
            anyhow::bail!("a record without the guest's labels: {:?}", record.labels);
        };
        let key = (record.tenant.clone(), record.version);
        seen.entry(key).or_default().push((count, before));
    }
    ensure!(
        seen.len() == 2 * tenants.len(),
        "versions: {:?}",
        seen.keys()
    );
    Ok(judged(&seen))
}

async fn activate(gateway: &Gateway, policy: &str, bundle: &Bundle) -> anyhow::Result<()> {
    let control = gateway.control()?;
    let path = format!("/admin/v1/policies/{policy}");
    let reply = control
        .post(&format!("{path}/versions"), &bundle.pushable())
        .await?;
    ensure!(reply.status == 201, "push: {}", reply.text());
    let version = reply.json()["version"].clone();
    let reply = control
        .post(&format!("{path}/activate"), &json!({ "version": version }))
        .await?;
    ensure!(reply.status == 200, "activate: {}", reply.text());
    Ok(())
}

fn read(gateway: &Gateway) -> anyhow::Result<Vec<Opened>> {
    let mut all = Vec::new();
    for item in records(&gateway.state().join("decisions"))? {
        if let Record::Opened(opened) = item.context("the log holds")?.1 {
            all.push(*opened);
        }
    }
    Ok(all)
}

fn judged(seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((tenant, version), told) in seen {
        let mut say = |what: String| wrong.push(format!("{tenant} v{version}: {what}"));
        if tenant.starts_with("fresh") {
            for (count, before) in told.iter().filter(|told| told.0 != 0 || !told.1.is_empty()) {
                say(format!(
                    "a fresh instance had seen {count} requests, `{before}` the last"
                ));
            }
            continue;
        }
        let own = format!("{tenant} v{version} ");
        for (_, before) in told
            .iter()
            .filter(|(_, before)| !before.is_empty() && !before.starts_with(&own))
        {
            say(format!("an instance had seen `{before}`"));
        }
        // Else the test would pass though nothing remembers.
        if told.iter().all(|(count, _)| *count == 0) {
            say("no pooled instance was used again".to_owned());
        }
    }
    wrong
}
