//! What the end-to-end tests and the proofs share: policies as text, and chat bodies.

pub mod budgets;
pub mod faults;
pub mod isolation;
pub mod streams;
pub mod swap;

use pointsman_harness::{Bundle, Gateway, GatewayOptions, Provider};
use serde_json::{Value, json};

/// A policy whose model `auto` may use all of `targets` (name and endpoint), tried in their order, with these steps.
#[must_use]
pub fn policy(name: &str, targets: &[(&str, &str)], steps: &str) -> Bundle {
    let names: Vec<String> = targets
        .iter()
        .map(|(target, _)| format!("\"{target}\""))
        .collect();
    let names = names.join(", ");
    let mut text = format!(
        "format = 1\nname = \"{name}\"\nkind = \"tenant\"\n\n[[model]]\nname = \"auto\"\ntargets = [{names}]\n"
    );
    for (target, endpoint) in targets {
        text.push_str(&format!(
            "\n[[target]]\nname = \"{target}\"\nkind = \"openai-compatible\"\nendpoint = \"{endpoint}\"\nmodel = \"fake\"\ncapabilities = [\"streaming\", \"tools\"]\n"
        ));
    }
    text.push_str(&format!(
        "\n{steps}\n\n[execute]\ndefault-plan = [{names}]\nconnect-timeout-ms = 2000\nfirst-token-timeout-ms = 10000\n"
    ));
    Bundle::new(name, &text)
}

/// A step as TOML; `more` is further keys, a line each.
#[must_use]
pub fn step(id: &str, phase: &str, plugin: &str, on_fault: &str, more: &str) -> String {
    format!(
        "[[step]]\nid = \"{id}\"\nphase = \"{phase}\"\nplugin = \"{plugin}\"\non-fault = \"{on_fault}\"\n{more}\n"
    )
}

/// A fake provider, and a gateway whose only target it is.
///
/// # Errors
/// Where one of them does not start.
pub async fn serving(steps: &str) -> anyhow::Result<(Provider, Gateway)> {
    let provider = Provider::start().await?;
    let bundle = policy("test", &[("fake", &provider.endpoint())], steps);
    let gateway = Gateway::start(GatewayOptions::serving(bundle, &[provider.authority()])).await?;
    Ok((provider, gateway))
}

/// A chat body with one user message.
#[must_use]
pub fn says(text: &str) -> Value {
    json!({"model": "auto", "messages": [{"role": "user", "content": text}], "max_tokens": 64})
}

/// The same, asking for a stream.
#[must_use]
pub fn streams(text: &str) -> Value {
    let mut body = says(text);
    body["stream"] = Value::Bool(true);
    body
}

/// The body of the provider's nth request, as it arrived there.
///
/// # Errors
/// Where there was no such request, or its body is no JSON.
pub async fn sent(provider: &Provider, index: usize) -> anyhow::Result<Value> {
    let ledger = provider.ledger().await?;
    let body = ledger["requests"][index]["body"].as_str();
    Ok(serde_json::from_str(body.unwrap_or_default())?)
}
